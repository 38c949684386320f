"""Against a loop over the words, as the equations are written."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from hiermtl.errors import ModelError
from hiermtl.heads import BiaffineHead
from hiermtl.records import MISSING, HeadOutput, Tap
from hiermtl.structures import padding
from hiermtl.structures.tree import is_tree
from tests.unit.heads.test_relation import Largest
from tests.unit.heads.test_tagging import layout_of

LABELS = ("root", "subj", "mod")
COUNTS = (4, 2, 1)
HEADS = torch.tensor([2, 0, 2, 3, 0, 1, 0])
RELATIONS = torch.tensor([1, 0, 2, 2, 0, 1, 0])


def head_of(spread: float = 0.5) -> BiaffineHead:
    head = BiaffineHead(5, LABELS, arc_width=4, label_width=3).double().eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(std=spread)
    return head


def scored(head: BiaffineHead, counts: tuple[int, ...] = COUNTS) -> tuple[HeadOutput, torch.Tensor]:
    layout = layout_of(counts)
    states = torch.randn(layout.words, 5, dtype=torch.float64)
    return HeadOutput(head(Tap(states, layout)), layout, np.arange(layout.sentences)), states


def projections(head: BiaffineHead, state: torch.Tensor) -> list[torch.Tensor]:
    projected = F.leaky_relu(head.projection.weight @ state + head.projection.bias, 0.1)
    return list(projected.split([4, 4, 3, 3]))


def with_one(vector: torch.Tensor) -> torch.Tensor:
    return torch.cat([vector, vector.new_ones(1)])


def arc_scores_by_hand(head: BiaffineHead, states: torch.Tensor) -> torch.Tensor:
    """(words, words + 1) of one sentence, the root first."""
    candidates = [head.root[0], *states]
    rows = []
    for dependent in states:
        dep = with_one(projections(head, dependent)[0])
        rows.append(torch.stack([dep @ head.arc @ projections(head, c)[1] for c in candidates]))
    return torch.stack(rows)


def label_scores_by_hand(
    head: BiaffineHead, dependent: torch.Tensor, governor: torch.Tensor
) -> torch.Tensor:
    dep, gov = with_one(projections(head, dependent)[2]), with_one(projections(head, governor)[3])
    return torch.stack([dep @ head.label[:, label] @ gov for label in range(len(LABELS))])


def loss_by_hand(
    head: BiaffineHead,
    states: torch.Tensor,
    heads: torch.Tensor,
    relations: torch.Tensor,
    *,
    itself: bool = False,
) -> torch.Tensor:
    """`itself`: as if a word could be its own head."""
    total = torch.zeros((), dtype=torch.float64)
    start = 0
    for count in COUNTS:
        own = states[start : start + count]
        arcs = arc_scores_by_hand(head, own)
        if not itself:
            arcs = arcs - F.pad(torch.eye(count, dtype=arcs.dtype), (1, 0)) * 1e9
        arcs = arcs.log_softmax(-1)
        for word in range(count):
            gold, relation = int(heads[start + word]), int(relations[start + word])
            if gold == MISSING:
                continue
            total = total - arcs[word, gold]
            if relation != MISSING:
                governor = head.root[0] if gold == 0 else own[gold - 1]
                labels = label_scores_by_hand(head, own[word], governor).log_softmax(-1)
                total = total - labels[relation]
        start += count
    return total


@pytest.mark.parametrize("missing", ["none", "arcs", "relations", "both"])
def test_the_loss_and_its_gradient_are_those_of_a_loop_over_words(missing: str) -> None:
    head = head_of()
    output, states = scored(head)
    heads, relations = HEADS.clone(), RELATIONS.clone()
    if missing in ("arcs", "both"):
        heads[[1, 6]] = MISSING
    if missing in ("relations", "both"):
        relations[[0, 5]] = MISSING
    loss = head.loss(output, {"heads": heads, "relations": relations})
    expected = loss_by_hand(head, states, heads, relations)
    torch.testing.assert_close(loss, expected)
    parameters = list(head.parameters())
    left = torch.autograd.grad(loss, parameters, retain_graph=True)
    right = torch.autograd.grad(expected, parameters)
    for one, two in zip(left, right, strict=True):
        torch.testing.assert_close(one, two)


def test_no_word_is_a_candidate_for_its_own_head() -> None:
    head = head_of()
    output, states = scored(head)
    loss = head.loss(output, {"heads": HEADS, "relations": RELATIONS})
    assert loss < loss_by_hand(head, states, HEADS, RELATIONS, itself=True)
    itself = [(np.arange(1, count + 1), np.zeros(count, dtype=np.int64)) for count in COUNTS]
    assert not head.confidence(output, itself).any()
    columns = []
    for place in range(COUNTS[0] + 1):
        heads = [(np.full(count, min(place, count)), np.zeros(count)) for count in COUNTS]
        columns.append(head.confidence(output, heads)[: COUNTS[0]].detach())
    total = torch.stack(columns).sum(0)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_words_without_a_head_add_nothing() -> None:
    head = head_of()
    output, _ = scored(head)
    nothing = torch.full_like(HEADS, MISSING)
    assert head.loss(output, {"heads": nothing, "relations": nothing}) == 0
    assert head.loss(output, {"heads": nothing, "relations": RELATIONS}) == 0


def test_arc_scores_put_the_root_in_column_zero() -> None:
    head = head_of()
    output, states = scored(head)
    found = head.arc_scores(output)
    assert found.shape == (3, 4, 5)
    starts = np.cumsum([0, *COUNTS])
    for sentence, (start, count) in enumerate(zip(starts[:-1], COUNTS, strict=True)):
        expected = arc_scores_by_hand(head, states[start : start + count])
        torch.testing.assert_close(found[sentence, :count, : count + 1], expected)
    before = found.detach()
    with torch.no_grad():
        head.root.add_(1.0)
        output = HeadOutput(head(Tap(states, output.layout)), output.layout, output.sentences)
    after = head.arc_scores(output).detach()
    assert torch.equal(before[..., 1:], after[..., 1:])
    assert not torch.isclose(before[..., 0], after[..., 0])[0].any()


def trees(words: int) -> list[tuple[int, ...]]:
    """Every single-root tree over so many words."""
    found = []
    for heads in itertools.product(range(words + 1), repeat=words):
        if heads.count(0) != 1:
            continue
        if all(reaches_root(heads, word) for word in range(1, words + 1)):
            found.append(heads)
    return found


def reaches_root(heads: tuple[int, ...], word: int) -> bool:
    for _ in heads:
        if not word:
            return True
        word = heads[word - 1]
    return not word


@given(seed=st.integers(0, 1000), spread=st.sampled_from([0.5, 2.0]))
def test_decoding_gives_the_best_single_root_tree_and_its_best_relations(
    seed: int, spread: float
) -> None:
    torch.manual_seed(seed)
    head = head_of(spread)
    with torch.no_grad():
        output, states = scored(head)
        start = 0
        for (heads, relations), count in zip(head.decode(output), COUNTS, strict=True):
            own = states[start : start + count]
            arcs = arc_scores_by_hand(head, own)
            best = max(trees(count), key=lambda x: float(sum(arcs[i, h] for i, h in enumerate(x))))
            assert tuple(heads) == best
            for word in range(count):
                governor = head.root[0] if heads[word] == 0 else own[heads[word] - 1]
                scores = label_scores_by_hand(head, own[word], governor)
                assert relations[word] == scores.argmax()
            assert heads.dtype == relations.dtype == np.int64
            start += count


def test_scores_that_went_wrong_are_an_error_of_the_model() -> None:
    head = head_of()
    output, _ = scored(head)
    wrong = replace(
        output, scores={**output.scores, "arc_head": output.scores["arc_head"] * np.inf}
    )
    with pytest.raises(ModelError, match=r"trees cannot be told .*train with a lower one"):
        head.decode(wrong)


def test_decoding_works_while_gradients_are_recorded() -> None:
    head = head_of()
    output, _ = scored(head)
    assert output.scores["arc_dep"].requires_grad
    assert len(head.decode(output)) == 3


def test_at_the_start_all_heads_are_equally_likely_and_the_loss_is_known() -> None:
    head = BiaffineHead(5, LABELS, arc_width=4, label_width=3).double().eval()
    output, _ = scored(head)  # type: ignore[arg-type]
    loss = head.loss(output, {"heads": HEADS, "relations": RELATIONS})
    expected = sum(n * np.log(n) for n in COUNTS) + 7 * np.log(3)
    assert loss.item() == pytest.approx(expected)


def test_no_words_are_no_obstacle() -> None:
    head = head_of()
    output, _ = scored(head, (0, 0))
    assert [[len(part) for part in pair] for pair in head.decode(output)] == [[0, 0], [0, 0]]
    nothing = torch.zeros(0, dtype=torch.long)
    assert head.loss(output, {"heads": nothing, "relations": nothing}) == 0


def test_sentences_of_other_lengths_have_the_same_trees_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head = head_of()
    output, _ = scored(head, (3, 9, 0, 1, 4, 30, 2, 5, 17, 8))
    whole = head.decode(output)
    sure, surest = head.confidence(output, whole), head.surest(output)
    monkeypatch.setattr(padding, "CELLS", 100)
    assert len(padding.alike(output.layout.word_counts, power=2)) > 4
    for one, other in zip(whole, head.decode(output), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    torch.testing.assert_close(head.confidence(output, whole), sure)
    torch.testing.assert_close(head.surest(output), surest)


def test_a_long_sentence_of_a_document_does_not_cost_the_others_its_room() -> None:
    """Padded to the longest, there would be 400 times 400 numbers for each of 401 sentences."""
    torch.manual_seed(0)
    head = BiaffineHead(5, LABELS, arc_width=4, label_width=3).eval()
    layout = layout_of((4,) * 400 + (400,))
    output = HeadOutput(
        head(Tap(torch.randn(layout.words, 5), layout)), layout, np.arange(layout.sentences)
    )
    with torch.no_grad(), Largest() as largest:
        found = head.decode(output)
        head.confidence(output, found)
    assert largest.numbers < 2 * 400 * 400
    assert all(is_tree(heads) for heads, _ in found)


def test_the_arcs_of_many_words_are_labelled_some_at_a_time() -> None:
    """What lies between words and labels, words times labels times size, would leave the cache."""
    torch.manual_seed(0)
    head, words = head_of(), 1024
    output, _ = scored(head, (64,) * (words // 64))
    governors = torch.randint(words + 1, (words,))
    with torch.no_grad(), Largest() as largest:
        found = head.label_scores(output, governors)
    between = len(LABELS) * head.label.shape[0]
    assert largest.numbers < words * between / 2
    states = torch.cat([output.scores["root_label_head"], output.scores["label_head"]])
    ends = [with_ones(x) for x in (output.scores["label_dep"], states[governors])]
    torch.testing.assert_close(found, torch.einsum("wi,ilj,wj->wl", ends[0], head.label, ends[1]))


def with_ones(rows: torch.Tensor) -> torch.Tensor:
    return torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)
