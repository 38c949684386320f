"""What is read of each kind of annotation, and what stands beside it that is none."""

import numpy as np
import pytest
import torch

from hiermtl.heads import HEADS
from hiermtl.probing.items import found_items, group_items, tree_items, word_items
from hiermtl.probing.run import LAYERS
from hiermtl.probing.states import States
from hiermtl.records import MISSING, Example


def states_of(
    *examples: Example, groups: tuple[tuple[range, dict[str, float]], ...] = ()
) -> States:
    counts = [len(example.piece_counts) for example in examples]
    starts = np.concatenate([[0], np.cumsum(counts)])
    values = torch.zeros(2, int(starts[-1]), 3)
    keys = np.arange(int(starts[-1]))
    return States(values, starts, keys, examples, groups, np.arange(len(examples)))


def example(words: int, **given: object) -> Example:
    plain = np.ones(words, dtype=np.int32)
    return Example(plain, plain, **given)  # pyright: ignore[reportArgumentType]


def test_words_without_gold_are_no_items() -> None:
    states = states_of(
        example(3, gold={"upos": {"labels": np.array([1, MISSING, 0])}}),
        example(2),
        example(2, gold={"upos": {"labels": np.array([2, 2])}}),
    )
    items = word_items(states, "upos")
    assert items.ends[:, 0].tolist() == [0, 2, 5, 6]
    assert items.gold.tolist() == [1, 0, 2, 2]
    assert items.owners.tolist() == [0, 0, 2, 2]
    kept = items.of(np.array([False, True, True]))
    assert kept.ends[:, 0].tolist() == [5, 6]


def test_a_relation_is_read_of_a_word_and_its_gold_head() -> None:
    tree = {"heads": np.array([2, 0, 2]), "relations": np.array([1, 0, MISSING])}
    items, arcs = tree_items(states_of(example(1), example(3, gold={"dep": tree})), "dep")
    assert items.ends.tolist() == [[1, 2], [2, -1]]
    assert items.gold.tolist() == [1, 0]
    assert arcs.heads.tolist() == [MISSING, 2, 0, 2]
    assert (arcs.starts.tolist(), arcs.counts.tolist(), arcs.owners.tolist()) == ([1], [3], [1])


def test_beside_each_span_there_is_one_of_its_length_that_is_none() -> None:
    rows = np.array([[0, 2, 1], [4, 5, 0]])
    made = example(6, gold={"entity": {}}, items={"entity": rows})
    items = found_items(states_of(example(2), made), "entity", "spans", ("place", "person"))
    assert items.ends[:2].tolist() == [[2, 3], [6, 6]]
    assert items.gold.tolist() == [1, 0, 2, 2]
    others = items.ends[2:]
    assert (others[:, 1] - others[:, 0]).tolist() == [1, 0]
    assert not {tuple(own) for own in others.tolist()} & {(2, 3), (6, 6)}
    assert others.min() >= 2
    assert others.max() < 8


def test_where_there_is_no_other_span_there_is_none_beside() -> None:
    rows = np.array([[0, 1, 0]])
    made = example(1, gold={"entity": {}}, items={"entity": rows})
    assert found_items(states_of(made), "entity", "spans", ("place",)).gold.tolist() == [0]


def test_arguments_are_read_with_their_predicate_and_senses_are_not() -> None:
    labels = ("ARG0", "ARG1", "V:l||")
    rows = np.array([[1, 1, 2, 2], [1, 0, 1, 0], [1, 2, 4, 1]])
    made = example(5, gold={"srl": {}}, items={"srl": rows})
    items = found_items(states_of(made), "srl", "frames", labels)
    assert items.ends[:2].tolist() == [[1, 0, 0], [1, 2, 3]]
    assert items.gold.tolist() == [0, 1, 3, 3]
    assert items.ends[2:, 0].tolist() == [1, 1]


def test_pairs_that_are_not_related_stand_beside_those_that_are() -> None:
    rows = np.array([[0, 1, 2, 4, 0]])
    made = example(5, gold={"relation": {}}, items={"relation": rows})
    items = found_items(states_of(made), "relation", "relations", ("in",))
    assert items.ends.tolist() == [[0, 0, 2, 3], [2, 3, 0, 0]]
    assert items.gold.tolist() == [0, 1]


def test_unknown_labels_are_not_read() -> None:
    rows = np.array([[0, 1, MISSING], [1, 2, 0]])
    made = example(2, gold={"entity": {}}, items={"entity": rows})
    items = found_items(states_of(made), "entity", "spans", ("place",))
    assert (items.gold == MISSING).sum() == 0
    assert items.ends[0].tolist() == [1, 1]


@pytest.mark.parametrize("value", [1, 3.5])
def test_texts_and_pairs_are_read_by_their_sentences(value: float) -> None:
    states = states_of(
        *(example(2) for _ in range(3)), groups=((range(2), {"same": value}), (range(2, 3), {}))
    )
    items = group_items(states, "same")
    assert items.ends.tolist() == [[0, 1]]
    assert items.gold.tolist() == [value]
    assert len(group_items(states, "other")) == 0


def test_there_is_a_probe_for_each_kind_of_head_that_judges_no_documents() -> None:
    assert {head.layer for head in HEADS.values() if head.unit != "document"} == set(LAYERS)
