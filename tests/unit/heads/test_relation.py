"""Against loops over pairs, as the equation is written."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hiermtl.heads.relation import _AT_ONCE, RelationHead, _pairs, _widths
from hiermtl.records import MISSING, HeadOutput, Tap
from tests.unit.heads.test_tagging import layout_of

LABELS = ("has", "of")
COUNTS = (5, 3, 1, 0)
SPANS = [(0, 2, 4, 1), (0, 0, 1, 0), (0, 3, 5, MISSING), (1, 1, 2, 0), (1, 2, 3, 1), (2, 0, 1, 0)]
"""Sentence, first word, word behind the last, label; in no order."""
GOLD = [(0, 0, 1, 2, 4, 0), (0, 0, 1, 2, 4, 1), (0, 3, 5, 0, 1, 1), (1, 2, 3, 1, 2, 0)]


def head_of(**options: float) -> RelationHead:
    torch.manual_seed(0)
    head = RelationHead(6, LABELS, reads={"entity": 2}, size=3, **options).double().eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_()
    return head


def scored(head: RelationHead, spans: list[tuple[int, ...]] = SPANS) -> HeadOutput:
    layout = layout_of(COUNTS)
    torch.manual_seed(1)
    states = torch.randn(layout.words, 6, dtype=torch.float64)
    output = HeadOutput(head(Tap(states, layout)), layout, np.arange(layout.sentences))
    return replace(output, read={"entity": torch.tensor(spans, dtype=torch.int64).view(-1, 4)})


def gold_of(items: list[tuple[int, ...]]) -> dict[str, Tensor]:
    return {"items": torch.tensor(items, dtype=torch.int64).view(-1, 6)}


def slow_scores(head: RelationHead, output: HeadOutput) -> dict[tuple[int, ...], Tensor]:
    """Sentence and both spans to the scores of the labels."""
    starts, scores = output.layout.word_starts, output.scores
    one = torch.ones(1, dtype=torch.float64)

    def end(side: str, number: int, span: list[int]) -> Tensor:
        sentence, first, behind, label = span
        start = int(starts[sentence])
        value = scores[f"{side}_first"][start + first] + scores[f"{side}_last"][start + behind - 1]
        value = value + (0 if label == MISSING else head.span_label[number, label])
        return torch.cat([F.leaky_relu(value, 0.1), one])

    found = {}
    spans = output.read["entity"].tolist()
    for head_span in spans:
        for tail in spans:
            if head_span[0] != tail[0] or head_span[1:3] == tail[1:3]:
                continue
            left, right = end("head", 0, head_span), end("tail", 1, tail)
            start = int(starts[head_span[0]])
            begin = start + min(head_span[2], tail[2])
            stop = max(start + max(head_span[1], tail[1]), begin)
            words = scores["between"][begin:stop]
            between = words.mean(0) if len(words) else torch.zeros(3, dtype=torch.float64)
            order = head.order[int(head_span[1] > tail[1])]
            found[(head_span[0], *head_span[1:3], *tail[1:3])] = torch.stack(
                [
                    left @ head.label[:, label] @ right
                    + head.between[label] @ F.leaky_relu(between, 0.1)
                    + order[label]
                    for label in range(len(LABELS))
                ]
            )
    return found


@pytest.mark.parametrize(
    "items",
    [
        GOLD,
        GOLD[:1],
        [],
        [*GOLD, (1, 1, 2, 2, 3, MISSING)],
        [(0, 3, 5, 0, 1, MISSING), *GOLD],
        [*GOLD, (0, 1, 2, 0, 1, 0)],
    ],
    ids=[
        "all",
        "one",
        "none",
        "unknown label",
        "an unknown label beside a known one",
        "of a span that is not read",
    ],
)
def test_the_loss_is_that_of_the_equation(items: list[tuple[int, ...]]) -> None:
    head = head_of()
    output = scored(head)
    total = torch.zeros((), dtype=torch.float64)
    for (sentence, *ends), scores in slow_scores(head, output).items():
        own = [item[5] for item in items if list(item[:5]) == [sentence, *ends]]
        wanted = torch.tensor([float(label in own) for label in range(len(LABELS))]).double()
        every = F.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
        total = total + (every @ wanted if MISSING in own else every.sum())
    torch.testing.assert_close(head.loss(output, gold_of(items)), total)


def test_direction_and_label_count() -> None:
    """The check of the check: a relation turned round, or called otherwise, has another loss."""
    head = head_of()
    output = scored(head)
    own, turned, other = (
        head.loss(output, gold_of([item]))
        for item in ((0, 0, 1, 2, 4, 0), (0, 2, 4, 0, 1, 0), (0, 0, 1, 2, 4, 1))
    )
    assert not torch.isclose(own, turned)
    assert not torch.isclose(own, other)


@pytest.mark.parametrize("threshold", [0.5, 0.2, 0.9])
def test_pairs_have_all_labels_that_are_likely_enough(threshold: float) -> None:
    head = head_of(threshold=threshold)
    assert head.options()["threshold"] == threshold
    output = scored(head)
    wanted = sorted(
        (sentence, *ends, label)
        for (sentence, *ends), scores in slow_scores(head, output).items()
        for label in range(len(LABELS))
        if scores[label].sigmoid() > threshold
    )
    found = head.decode(output)
    assert [(at, *item) for at, items in enumerate(found) for item in items.tolist()] == wanted
    assert len(wanted) > 2
    assert len(found) == len(COUNTS)


COUNTED = (200, 9, 2, 1, 5, 9)
"""Spans of each sentence."""


def crowded(head: RelationHead) -> tuple[HeadOutput, Tensor, Tensor, Tensor]:
    """The output over sentences of many spans, the spans, their sentences, and all pairs."""
    layout = layout_of((max(COUNTED) + 3,) * len(COUNTED))
    torch.manual_seed(2)
    states = torch.randn(layout.words, 6, dtype=torch.float64)
    output = HeadOutput(head(Tap(states, layout)), layout, np.arange(layout.sentences))
    spans = [(s, at, at + 1 + at % 3, at % 2) for s, n in enumerate(COUNTED) for at in range(n)]
    output = replace(output, read={"entity": torch.tensor(spans)})
    spans, owners, _ = head._spans(output)
    return output, spans, owners, _pairs(owners)


def products_by_pair(
    head: RelationHead, heads: Tensor, tails: Tensor, _: Tensor, pairs: Tensor
) -> Tensor:
    """As the equation is written, some pairs at a time."""
    parts = [
        torch.einsum("pi,ilj,pj->pl", heads[some[:, 0]], head.label, tails[some[:, 1]])
        for some in pairs.split(1000)
    ]
    return torch.cat(parts)


def test_sentences_of_many_spans_have_the_scores_of_each_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head = head_of()
    given = crowded(head)
    own = head.pair_scores(*given)
    monkeypatch.setattr(head, "_products", partial(products_by_pair, head))
    torch.testing.assert_close(own, head.pair_scores(*given))
    assert own.shape == (sum(n * (n - 1) for n in COUNTED), len(LABELS))


def test_no_tensor_is_as_large_as_pairs_times_labels_times_size() -> None:
    """Words between are counted for some pairs at a time; the rest is pairs times labels."""
    torch.manual_seed(0)
    size, labels = 150, 17
    head = RelationHead(6, [str(n) for n in range(labels)], reads={"entity": 2}, size=size).eval()
    with torch.no_grad():
        output, spans, owners, pairs = crowded(head.double())
        with Largest() as largest:
            head.pair_scores(output, spans, owners, pairs)
        most = max(
            _AT_ONCE * size, 2.25 * len(pairs) * labels, 1.5 * len(spans) * labels * (size + 1)
        )
        assert largest.numbers <= most
        assert most * 40 < len(pairs) * labels * size
        # The check of the check.
        with Largest() as largest:
            head.label.flatten().repeat(100).view(100, -1)
        assert largest.numbers == 100 * head.label.numel()


class Largest(TorchDispatchMode):
    """Holds how many numbers the largest tensor has that is made."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for one in tree_leaves(found):
            if isinstance(one, Tensor):
                self.numbers = max(self.numbers, one.untyped_storage().nbytes() // one.itemsize)
        return found


def test_a_span_that_is_named_twice_is_one() -> None:
    head = head_of()
    once, twice = (head.loss(scored(head, s), gold_of(GOLD)) for s in (SPANS, [*SPANS, SPANS[1]]))
    torch.testing.assert_close(once, twice)


@pytest.mark.parametrize("spans", [[], SPANS[-1:], SPANS[:1]])
def test_fewer_than_two_spans_have_no_relation(spans: list[tuple[int, ...]]) -> None:
    head = head_of()
    output = scored(head, spans)
    assert head.loss(output, gold_of(GOLD)) == 0
    assert [items.shape for items in head.decode(output)] == [(0, 5)] * len(COUNTS)


def test_widths_are_little_more_than_what_they_hold() -> None:
    counts = torch.arange(2, 1000)
    widths = _widths(counts)
    assert (widths >= counts).all()
    assert (widths[counts > 2] < 1.5 * counts[counts > 2]).all()
    assert len(set(widths.tolist())) < 20
