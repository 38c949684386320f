"""Against loops over predicates and words, as the equations are written."""

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hiermtl.heads.roles import RolesHead
from hiermtl.records import MISSING, HeadOutput, Tap
from hiermtl.structures import padding
from tests.unit.heads.test_relation import Largest
from tests.unit.heads.test_tagging import layout_of
from tests.unit.structures.test_bio import legal, repeats

LABELS = ("ARG0", "ARG1", "V:be", "V:get")
COUNTS = (4, 2, 1, 0)
GOLD = [
    (0, 1, 1, 2, 3),
    (0, 1, 0, 1, 0),
    (0, 1, 2, 4, 1),
    (0, 3, 3, 4, 2),
    (1, 0, 0, 1, 2),
    (1, 0, 1, 2, 1),
]
"""Sentence, predicate, first word, word behind the last, label."""


def head_of(spread: float = 0.7, *, unique: bool = True) -> RolesHead:
    torch.manual_seed(0)
    head = RolesHead(5, LABELS, size=3, reach=2, unique=unique).double().eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(std=spread)
    return head


def scored(head: RolesHead) -> HeadOutput:
    layout = layout_of(COUNTS)
    torch.manual_seed(1)
    states = torch.randn(layout.words, 5, dtype=torch.float64)
    return HeadOutput(head(Tap(states, layout)), layout, np.arange(layout.sentences))


def gold_of(items: list[tuple[int, ...]]) -> dict[str, Tensor]:
    return {"items": torch.tensor(items, dtype=torch.int64).view(-1, 5)}


def slow_tags(head: RolesHead, output: HeadOutput, sentence: int, at: int) -> Tensor:
    """(words, 5) of the sentence: outside, begin of two roles, inside of two."""
    start = int(output.layout.word_starts[sentence])
    one = torch.ones(1, dtype=torch.float64)
    predicate = torch.cat([output.scores["predicate"][start + at], one])
    rows = []
    for word in range(COUNTS[sentence]):
        own = torch.cat([output.scores["argument"][start + word], one])
        away = max(-2, min(2, word - at)) + 2
        scores = [predicate @ head.tag[:, tag] @ own + head.distance[away, tag] for tag in range(4)]
        rows.append(torch.stack([torch.zeros((), dtype=torch.float64), *scores]))
    return torch.stack(rows)


def slow_loss(head: RolesHead, output: HeadOutput, items: list[tuple[int, ...]]) -> Tensor:
    senses = torch.zeros(sum(COUNTS), dtype=torch.long)
    frames: dict[tuple[int, int], list[int]] = {}
    for sentence, at, first, behind, label in items:
        place = int(output.layout.word_starts[sentence]) + at
        if (sentence, at) not in frames:
            frames[sentence, at] = [0] * COUNTS[sentence]
            senses[place] = MISSING if label == MISSING else 1 + LABELS[2:].index(LABELS[label])
            continue
        for word in range(first, behind):
            kind = MISSING if label == MISSING else 1 + label + 2 * (word > first)
            frames[sentence, at][word] = kind
    total = F.cross_entropy(output.scores["sense"], senses, reduction="sum")
    for (sentence, at), tags in frames.items():
        scores = slow_tags(head, output, sentence, at)
        total = total + F.cross_entropy(scores, torch.tensor(tags), reduction="sum")
    return total


@pytest.mark.parametrize(
    "items",
    [
        GOLD,
        GOLD[:1],
        [],
        [(0, 1, 1, 2, MISSING), (0, 1, 1, 2, MISSING), *GOLD[3:]],
        [*GOLD[:2], (0, 1, 2, 4, MISSING)],
    ],
    ids=["all", "no arguments", "no predicates", "unknown sense", "unknown role"],
)
def test_the_loss_is_that_of_the_equations(items: list[tuple[int, ...]]) -> None:
    head = head_of()
    output = scored(head)
    found = head.loss(output, gold_of(items))
    torch.testing.assert_close(found, slow_loss(head, output, items))


def test_a_word_more_changes_the_loss() -> None:
    """The check of the check: one word of one argument moved."""
    head = head_of()
    output = scored(head)
    moved = [*GOLD[:2], (0, 1, 3, 4, 1), *GOLD[3:]]
    found, other = (head.loss(output, gold_of(items)) for items in (GOLD, moved))
    assert not torch.isclose(found, other)


@pytest.mark.parametrize("unique", [True, False])
def test_predicates_are_words_with_a_sense_and_arguments_their_best_tags(unique: bool) -> None:
    head = head_of(2.0, unique=unique)
    output = scored(head)
    found = head.decode(output)
    assert len(found) == len(COUNTS)
    assert sum(len(items) for items in found) > 4
    senses = output.scores["sense"].argmax(-1)
    for sentence, items in enumerate(found):
        start = int(output.layout.word_starts[sentence])
        own = senses[start : start + COUNTS[sentence]]
        heading = [row for row in items.tolist() if row[3] >= 2]
        assert [row[0] for row in heading] == own.nonzero().flatten().tolist()
        assert [row[3] - 1 for row in heading] == own[own > 0].tolist()
        assert all(row[1:3] == [row[0], row[0] + 1] for row in heading)
        for at in {row[0] for row in heading}:
            # No legal labelling is better than the one that was taken.
            scores = slow_tags(head, output, sentence, at).detach()
            tags = [0] * COUNTS[sentence]
            for _, first, behind, label in (r for r in items.tolist() if r[0] == at and r[3] < 2):
                tags[first:behind] = [3 + label] * (behind - first)
                tags[first] = 1 + label
            taken = sum(float(scores[word, tag]) for word, tag in enumerate(tags))
            best = max(
                sum(float(scores[word, tag]) for word, tag in enumerate(other))
                for other in product(range(5), repeat=len(tags))
                if legal(other, 2) and not (unique and repeats(other, (0, 1)))
            )
            assert taken == pytest.approx(best)


def test_a_predicate_has_each_core_role_once_at_most() -> None:
    labels = ("A0", "ARG5", "ARGA", "ARGM-TMP", "C-ARG5", "R-A0", "ARG1-DSP", "V:be")
    torch.manual_seed(7)
    held, free = (
        RolesHead(5, labels, size=3, unique=unique).double().eval() for unique in (True, False)
    )
    with torch.no_grad():
        for parameter in held.parameters():
            parameter.normal_(std=0.7)
    free.load_state_dict(held.state_dict())
    assert held.options()["unique"]
    assert not free.options()["unique"]
    output = long_and_short(held, (9,) * 12)
    repeated: dict[bool, set[int]] = {True: set(), False: set()}
    kept = 0
    for one, other in zip(held.decode(output), free.decode(output), strict=True):
        for at in np.unique(other[:, 0]):
            frames = [items[items[:, 0] == at] for items in (one, other)]
            counts = [np.bincount(frame[1:, 3], minlength=8) for frame in frames]
            for head, count in zip((held, free), counts, strict=True):
                repeated[head is held] |= set(np.flatnonzero(count > 1).tolist())
            if not (counts[1][:3] > 1).any():
                np.testing.assert_array_equal(*frames)
                kept += 1
    assert kept > 3
    assert repeated[False] >= {0, 1, 2}  # so that the rule was needed
    assert repeated[True] == {3, 4, 5, 6}


def test_a_head_with_a_list_of_senses_tells_all_that_are_probable_the_best_first() -> None:
    labels = ("ARG0", "ARG1", *(f"V:{number}" for number in range(40)))
    torch.manual_seed(0)
    plain = RolesHead(5, labels, size=3).double().eval()
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.normal_(std=2.0)
    listed = RolesHead(5, labels, size=3, senses=("go.01",)).double().eval()
    listed.load_state_dict(plain.state_dict())
    assert listed.options()["senses"] == ["go.01"]
    output = scored(plain)
    output.scores["sense"][:, 0] -= 3
    output.scores["sense"][0, 1:] = 0.0  # as probable as each other, and too many
    output.scores["sense"][1, 7] = 100.0  # and one alone
    probable = output.scores["sense"][:, 1:].softmax(-1)
    told = []
    for sentence, (ones, several) in enumerate(
        zip(plain.decode(output), listed.decode(output), strict=True)
    ):
        assert [r for r in several.tolist() if r[3] < 2] == [r for r in ones.tolist() if r[3] < 2]
        for at in {row[0] for row in ones.tolist()}:
            senses = [row[3] - 2 for row in several.tolist() if row[0] == at and row[3] >= 2]
            own = probable[int(output.layout.word_starts[sentence]) + at]
            best = own.argsort(descending=True).tolist()
            least = own.max() / 100
            wanted = [place for place in best if own[place] >= least][:16]
            assert own[senses].tolist() == own[wanted].tolist()
            assert len(set(senses)) == len(senses)
            told.append(len(senses))
    assert max(told) == 16
    assert min(told) == 1


def test_given_predicates_are_kept_and_have_a_sense() -> None:
    head = head_of()
    output = scored(head)
    given = torch.tensor([(1, 1, 1, 2, 3), (0, 2, 2, 3, 2), (0, 2, 0, 1, 0)])
    informed = HeadOutput(output.scores, output.layout, output.sentences, given=given)
    found = head.decode(informed)
    assert [[row[0] for row in items.tolist() if row[3] >= 2] for items in found] == [
        [2],
        [1],
        [],
        [],
    ]


def test_without_predicates_every_weight_has_a_gradient() -> None:
    """So that all processes of a step have the same."""
    head = head_of()
    head.loss(scored(head), gold_of([])).backward()
    assert all(p.grad is not None for p in head.parameters())


def test_predicates_are_given_to_a_head_without_senses() -> None:
    head = RolesHead(5, ("ARG0",), size=3).double().eval()
    output = scored(head)
    given = torch.tensor([(1, 1, 1, 2, MISSING)])
    informed = HeadOutput(output.scores, output.layout, output.sentences, given=given)
    assert [items.shape for items in head.decode(informed)] == [(0, 4)] * len(COUNTS)


def test_words_without_any_predicate_give_no_items() -> None:
    head = head_of()
    output = scored(head)
    output.scores["sense"][:, 0] = 100
    assert [items.shape for items in head.decode(output)] == [(0, 4)] * len(COUNTS)
    head = RolesHead(5, ("ARG0",), size=3)
    assert [items.shape for items in head.decode(scored(head.double()))] == [(0, 4)] * len(COUNTS)


def long_and_short(head: RolesHead, counts: tuple[int, ...]) -> HeadOutput:
    layout = layout_of(counts)
    torch.manual_seed(1)
    states = torch.randn(layout.words, 5, dtype=torch.float64)
    return HeadOutput(head(Tap(states, layout)), layout, np.arange(layout.sentences))


def test_sentences_of_other_lengths_have_the_same_items_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head = head_of()
    output = long_and_short(head, (3, 9, 0, 1, 4, 30, 2, 5, 17, 8))
    whole = head.decode(output)
    assert sum(len(items) for items in whole) > 100
    monkeypatch.setattr(padding, "CELLS", 100)
    for one, other in zip(whole, head.decode(output), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_long_sentence_of_a_document_does_not_cost_the_others_its_room() -> None:
    """Padded to the longest, there would be 1,200 numbers for each predicate and tag."""
    head = head_of()
    output = long_and_short(head, (4,) * 3000 + (1200,))
    with torch.no_grad(), Largest() as largest:
        found = head.decode(output)
    predicates = sum((items[:, 1] == items[:, 0]).sum() for items in found)
    assert predicates > 4000
    assert largest.numbers < predicates * 1200 * 4 / 2
