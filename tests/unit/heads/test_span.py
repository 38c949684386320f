"""Against a loop over the spans, as the equation is written."""

from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hiermtl.heads.span import SpanHead
from hiermtl.records import MISSING, HeadOutput, Tap
from tests.unit.heads.test_tagging import layout_of

LABELS = ("person", "place")
COUNTS = (4, 2, 1, 0)
GOLD = [(0, 0, 3, 1), (0, 1, 2, 0), (1, 0, 2, 0)]
"""Sentence, first word, word behind the last, label."""


def head_of(spread: float = 0.5, *, bases: int | None = None, inside: bool = True) -> SpanHead:
    torch.manual_seed(0)
    head = SpanHead(5, LABELS, size=3, bases=bases, inside=inside).double().eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(std=spread)
    return head


def scored(head: SpanHead) -> tuple[HeadOutput, Tensor]:
    layout = layout_of(COUNTS)
    states = torch.randn(layout.words, 5, dtype=torch.float64)
    return HeadOutput(head(Tap(states, layout)), layout, np.arange(layout.sentences)), states


def by_hand(head: SpanHead, states: Tensor) -> dict[tuple[int, int, int], Tensor]:
    """Sentence, first word and word behind the last to the scores of the labels."""
    found, begin = {}, 0
    for sentence, count in enumerate(COUNTS):
        own = states[begin : begin + count]
        begin += count
        projected = [
            F.leaky_relu(head.projection.weight @ state + head.projection.bias, 0.1)
            for state in own
        ]
        one = torch.ones(1, dtype=states.dtype)
        for start, end in combinations(range(count + 1), 2):
            left, right = projected[start][:3], projected[end - 1][3:]
            scores = []
            for number in range(len(LABELS)):
                if head.options()["bases"] is None:
                    ends = torch.cat([left, one]) @ head.label[:, number] @ torch.cat([right, one])
                else:
                    ends = head.first.weight[number] @ left + head.last.weight[number] @ right
                    for base in range(len(head.mix)):
                        ends = ends + head.mix[base, number] * (left @ head.label[:, base] @ right)
                if head.options()["inside"]:
                    words = torch.stack([head.inside.weight[number] @ word for word in own])
                    ends = ends + words[start:end].mean() + head.length[end - start - 1, number]
                scores.append(ends)
            found[sentence, start, end] = torch.stack(scores)
    return found


def gold_of(*items: tuple[int, int, int, int]) -> dict[str, Tensor]:
    return {"items": torch.tensor(items, dtype=torch.int64).view(-1, 4)}


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("bases", [None, 1, 3])
def test_scores_are_those_of_the_equation(bases: int | None, inside: bool) -> None:
    head = head_of(bases=bases, inside=inside)
    output, states = scored(head)
    scores, there = head.span_scores(output)
    assert scores.shape == (7, 4, 2)
    spans = by_hand(head, states)
    for (sentence, start, end), own in spans.items():
        word = int(output.layout.word_starts[sentence]) + start
        torch.testing.assert_close(scores[word, end - start - 1], own)
        assert there[word, end - start - 1]
    assert there.sum() == len(spans)


@pytest.mark.parametrize("reach", [1, 2, 3])
def test_longer_spans_than_can_be_reached_are_nothing(reach: int) -> None:
    whole, head = head_of(), head_of()
    head.reach = reach
    output, states = scored(whole)
    scores, there = whole.span_scores(output)
    own, reached = head.span_scores(output)
    torch.testing.assert_close(own, scores[:, :reach])
    assert torch.equal(reached, there[:, :reach])
    expected = torch.zeros((), dtype=torch.float64)
    label = {item[:3]: item[3] for item in GOLD}
    for (sentence, start, end), every in by_hand(head, states).items():
        if end - start <= reach:
            number = label.get((sentence, start, end), len(LABELS))
            expected = expected - torch.cat([every, every.new_zeros(1)]).log_softmax(0)[number]
    torch.testing.assert_close(head.loss(output, gold_of(*GOLD)), expected)
    found = [span for spans in head.decode(output) for span in spans.tolist()]
    assert all(end - start <= reach for start, end, _ in found)


@pytest.mark.parametrize("unknown", [False, True])
def test_the_loss_is_the_cross_entropy_of_every_span(unknown: bool) -> None:
    head = head_of()
    output, states = scored(head)
    items = [*GOLD, (2, 0, 1, MISSING)] if unknown else GOLD
    label = {item[:3]: item[3] for item in items}
    expected = torch.zeros((), dtype=torch.float64)
    for span, own in by_hand(head, states).items():
        number = label.get(span, len(LABELS))
        if number != MISSING:
            every = torch.cat([own, own.new_zeros(1)])
            expected = expected - every.log_softmax(0)[number]
    torch.testing.assert_close(head.loss(output, gold_of(*items)), expected)
    everywhere = gold_of(*((s, a, b, 1 - n) for s, a, b, n in GOLD))
    assert not torch.isclose(head.loss(output, everywhere), expected)


def test_an_extent_with_several_labels_counts_once() -> None:
    """Otherwise a loss could fall without end."""
    head = head_of()
    output, _ = scored(head)
    expected = head.loss(output, gold_of(*GOLD))
    sentence, start, end, label = GOLD[0]
    for more in ((sentence, start, end, 1 - label), GOLD[0], (sentence, start, end, MISSING)):
        torch.testing.assert_close(head.loss(output, gold_of(*GOLD, more)), expected)


def test_without_gold_spans_all_are_none() -> None:
    head = head_of(0.0)
    output, _ = scored(head)
    spans = sum(count * (count + 1) // 2 for count in COUNTS)
    expected = torch.tensor(spans * np.log(1 + len(LABELS)))
    torch.testing.assert_close(head.loss(output, gold_of()), expected)


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("bases", [None, 3])
def test_a_head_begins_with_all_labels_alike(bases: int | None, inside: bool) -> None:
    torch.manual_seed(0)
    head = SpanHead(5, LABELS, size=3, bases=bases, inside=inside).double()
    output, _ = scored(head)
    assert not head.span_scores(output)[0].any()
    head.loss(output, gold_of(*GOLD)).backward()
    own = {n for n, p in head.named_parameters() if p.grad is not None and p.grad.any()}
    outer = {"mix", "first.weight", "last.weight"} if bases else {"label"}
    assert own == outer | ({"inside.weight", "length"} if inside else set())


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("bases", [None, 3])
def test_half_precision_gives_full_precision_scores(bases: int | None, inside: bool) -> None:
    head = head_of(bases=bases, inside=inside).float()
    layout = layout_of(COUNTS)
    states = torch.randn(layout.words, 5)
    sentences = np.arange(layout.sentences)
    scores, there = head.span_scores(HeadOutput(head(Tap(states, layout)), layout, sentences))
    half = head.bfloat16()
    output = HeadOutput(half(Tap(states.bfloat16(), layout)), layout, sentences)
    found, _ = half.span_scores(output)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[there], scores[there], atol=0.1, rtol=0.05)


@pytest.mark.parametrize("inside", [True, False])
def test_what_is_decoded_is_better_than_none_and_nests(inside: bool) -> None:
    head = head_of(2.0, inside=inside)
    with torch.no_grad():
        head.label.abs_()
        head.projection.bias += 5
    output, states = scored(head)
    found = head.decode(output)
    scores = by_hand(head, states)
    assert not len(found[3])
    assert sum(map(len, found)) > 3
    for sentence, own in enumerate(found):
        taken = {(sentence, a, b): n for a, b, n in own.tolist()}
        for span, number in taken.items():
            assert scores[span][number] == scores[span].max() > 0
        for (_, a, b), (_, c, d) in combinations(taken, 2):
            assert not a < c < b < d
            assert not c < a < d < b
    positive = [span for span, own in scores.items() if own.max() > 0]
    assert len(positive) > sum(map(len, found)), "some cross"


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("bases", [None, 2])
def test_training_finds_its_gold(bases: int | None, inside: bool) -> None:
    torch.manual_seed(0)
    head = SpanHead(5, LABELS, size=8, bases=bases, inside=inside, dropout=0.0)
    layout = layout_of(COUNTS)
    states = torch.randn(layout.words, 5)
    optimizer = torch.optim.Adam(head.parameters(), 0.05)
    for _ in range(150):
        output = HeadOutput(head(Tap(states, layout)), layout, np.arange(layout.sentences))
        optimizer.zero_grad()
        head.loss(output, gold_of(*GOLD)).backward()
        optimizer.step()
    with torch.no_grad():
        output = HeadOutput(head(Tap(states, layout)), layout, np.arange(layout.sentences))
        found = head.decode(output)
    told = [(s, *span) for s, own in enumerate(found) for span in map(tuple, own.tolist())]
    assert told == GOLD
    begun = SpanHead(5, LABELS, size=8, bases=bases, inside=inside).state_dict()
    for name, weight in head.state_dict().items():
        assert not torch.equal(weight, begun[name]), name
    if bases:
        assert head.mix.abs().max() > 0.01, "the matrices have a say"


def test_a_layout_without_words_has_no_spans() -> None:
    head = head_of()
    layout = layout_of((0, 0))
    output = HeadOutput(
        head(Tap(torch.zeros(0, 5, dtype=torch.float64), layout)), layout, np.arange(2)
    )
    assert [own.shape for own in head.decode(output)] == [(0, 3), (0, 3)]
    assert head.loss(output, gold_of()).item() == 0
