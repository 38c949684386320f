"""Against every labelling there is."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hiermtl.heads import CrfHead
from hiermtl.heads.base import pad_words
from hiermtl.records import MISSING, HeadOutput, Tap
from hiermtl.structures import padding
from tests.unit.heads.test_relation import Largest
from tests.unit.heads.test_tagging import layout_of

LABELS = ("O", "B-A", "I-A", "B-B", "I-B")
COUNTS = (4, 2, 1)


def head_of(*, bio: bool = True, spread: float = 1.0) -> CrfHead:
    head = CrfHead(5, LABELS, bio=bio).double().eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(std=spread)
    return head


def scored(head: CrfHead, counts: tuple[int, ...] = COUNTS) -> HeadOutput:
    layout = layout_of(counts)
    scores = head(Tap(torch.randn(layout.words, 5, dtype=torch.float64), layout))
    return HeadOutput(scores, layout, np.arange(layout.sentences))


def chain_score(head: CrfHead, emissions: torch.Tensor, labels: tuple[int, ...]) -> torch.Tensor:
    total = head.start[labels[0]] + head.end[labels[-1]]
    total = total + sum(emissions[i, label] for i, label in enumerate(labels))
    return total + sum(head.transitions[a, b] for a, b in itertools.pairwise(labels))


def all_labellings(words: int) -> list[tuple[int, ...]]:
    return list(itertools.product(range(len(LABELS)), repeat=words))


def brute_force(head: CrfHead, output: HeadOutput, gold: torch.Tensor) -> torch.Tensor:
    """Minus the log of the share of all labellings that agree with the gold there is."""
    counts = output.layout.word_counts.tolist()
    total = torch.zeros((), dtype=torch.float64)
    for emissions, labels in zip(
        output.scores["labels"].split(counts), gold.split(counts), strict=True
    ):
        known = labels.tolist()
        every, agreeing = [], []
        for labelling in all_labellings(len(known)):
            score = chain_score(head, emissions, labelling)
            every.append(score)
            if all(g in (MISSING, own) for g, own in zip(known, labelling, strict=True)):
                agreeing.append(score)
        total = total + torch.stack(every).logsumexp(0) - torch.stack(agreeing).logsumexp(0)
    return total


@pytest.mark.parametrize(
    "gold",
    [
        [0, 1, 2, 3, 4, 0, 1],
        [0, MISSING, 2, 3, 4, 0, 1],
        [MISSING, MISSING, 2, MISSING, MISSING, 0, MISSING],
        [MISSING] * 7,
    ],
    ids=["whole", "one gap", "many gaps", "none"],
)
def test_the_loss_and_its_gradient_are_those_of_brute_force(gold: list[int]) -> None:
    head = head_of()
    labels = torch.tensor(gold)
    output = scored(head)
    loss = head.loss(output, {"labels": labels})
    expected = brute_force(head, output, labels)
    torch.testing.assert_close(loss, expected)
    if not any(label != MISSING for label in gold):
        assert loss == 0
        return
    parameters = list(head.parameters())
    left = torch.autograd.grad(loss, parameters, retain_graph=True)
    right = torch.autograd.grad(expected, parameters)
    for one, two in zip(left, right, strict=True):
        torch.testing.assert_close(one, two)


def test_gold_may_step_where_decoding_may_not() -> None:
    head = head_of()
    output = scored(head, (2,))
    illegal = torch.tensor([LABELS.index("O"), LABELS.index("I-A")])
    loss = head.loss(output, {"labels": illegal})
    assert loss.isfinite()
    torch.testing.assert_close(loss, brute_force(head, output, illegal))


def legal(labels: list[str]) -> bool:
    for before, now in itertools.pairwise(["O", *labels]):
        if now.startswith("I-") and before[2:] != now[2:]:
            return False
    return True


@given(seed=st.integers(0, 1000), spread=st.sampled_from([0.3, 3.0, 30.0]))
def test_decoding_is_the_best_legal_labelling(seed: int, spread: float) -> None:
    torch.manual_seed(seed)
    head = head_of(spread=spread)
    output = scored(head, (4, 3, 1))
    counts = output.layout.word_counts.tolist()
    for found, emissions in zip(
        head.decode(output), output.scores["labels"].split(counts), strict=True
    ):
        assert legal([LABELS[label] for label in found])
        options = [x for x in all_labellings(len(found)) if legal([LABELS[i] for i in x])]
        best = max(options, key=lambda x: float(chain_score(head, emissions, x).detach()))
        assert tuple(found) == best


def test_without_bio_decoding_is_the_best_labelling_of_all() -> None:
    head = head_of(bio=False, spread=3.0)
    illegal = 0
    for _ in range(10):
        output = scored(head, (4, 3))
        counts = output.layout.word_counts.tolist()
        parts = output.scores["labels"].split(counts)
        for found, emissions in zip(head.decode(output), parts, strict=True):
            best = max(
                all_labellings(len(found)),
                key=lambda x: float(chain_score(head, emissions, x).detach()),
            )
            assert tuple(found) == best
            illegal += not legal([LABELS[label] for label in found])
    assert illegal


def test_marginals_are_the_shares_of_labellings() -> None:
    head = head_of()
    output = scored(head, (3, 1))
    found = head.marginals(output)
    counts = output.layout.word_counts.tolist()
    rows = []
    for emissions in output.scores["labels"].split(counts):
        labellings = all_labellings(len(emissions))
        scores = torch.stack([chain_score(head, emissions, x) for x in labellings]).softmax(0)
        share = torch.zeros(len(emissions), len(LABELS), dtype=torch.float64)
        for probability, labelling in zip(scores, labellings, strict=True):
            share[range(len(labelling)), labelling] += probability
        rows.append(share)
    torch.testing.assert_close(found, torch.cat(rows))


def test_probabilities_are_differentiable_and_sum_to_one() -> None:
    head = head_of()
    probabilities = head.probabilities(scored(head))
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(7, dtype=torch.float64))
    assert probabilities.requires_grad


def test_words_are_padded_sentence_by_sentence() -> None:
    layout = layout_of(COUNTS)
    padded, lengths = pad_words(torch.arange(1, 8), layout, fill=-1)
    assert padded.tolist() == [[1, 2, 3, 4], [5, 6, -1, -1], [7, -1, -1, -1]]
    assert lengths.tolist() == [4, 2, 1]


def test_no_words_are_no_obstacle() -> None:
    head = head_of()
    output = scored(head, (0, 0))
    assert [len(labels) for labels in head.decode(output)] == [0, 0]
    assert head.loss(output, {"labels": torch.zeros(0, dtype=torch.long)}) == 0


def test_sentences_of_other_lengths_have_the_same_labels_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head = head_of()
    output = scored(head, (3, 9, 0, 1, 4, 30, 2, 5, 17, 8))
    whole, posterior = head.decode(output), head.marginals(output)
    monkeypatch.setattr(padding, "CELLS", 100)
    for one, other in zip(whole, head.decode(output), strict=True):
        np.testing.assert_array_equal(one, other)
    torch.testing.assert_close(head.marginals(output), posterior)


def test_a_long_sentence_of_a_document_does_not_cost_the_others_its_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(padding, "CELLS", 10_000)
    head = head_of()
    output = scored(head, (4,) * 400 + (300,))
    with torch.no_grad(), Largest() as largest:
        head.decode(output)
        head.marginals(output)
    assert largest.numbers < 401 * 300 * len(LABELS) / 20
