"""Against loops over pairs, as the equation is written."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hiermtl.heads.relation import RelationHead
from hiermtl.records import MISSING, HeadOutput, Tap
from tests.unit.heads.test_tagging import layout_of

LABELS = ("has", "of")
COUNTS = (5, 3, 1, 0)
SPANS = [(0, 2, 4, 1), (0, 0, 1, 0), (0, 3, 5, MISSING), (1, 1, 2, 0), (1, 2, 3, 1), (2, 0, 1, 0)]
"""Sentence, first word, word behind the last, label; in no order."""
GOLD = [(0, 0, 1, 2, 4, 0), (0, 0, 1, 2, 4, 1), (0, 3, 5, 0, 1, 1), (1, 2, 3, 1, 2, 0)]


def head_of() -> RelationHead:
    torch.manual_seed(0)
    head = RelationHead(6, LABELS, reads={"entity": 2}, size=3).double().eval()
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
    [GOLD, GOLD[:1], [], [*GOLD, (1, 1, 2, 2, 3, MISSING)], [*GOLD, (0, 1, 2, 0, 1, 0)]],
    ids=["all", "one", "none", "unknown label", "of a span that is not read"],
)
def test_the_loss_is_that_of_the_equation(items: list[tuple[int, ...]]) -> None:
    head = head_of()
    output = scored(head)
    total = torch.zeros((), dtype=torch.float64)
    for (sentence, *ends), scores in slow_scores(head, output).items():
        own = [item[5] for item in items if list(item[:5]) == [sentence, *ends]]
        if MISSING in own:
            continue
        wanted = torch.tensor([float(label in own) for label in range(len(LABELS))]).double()
        total = total + F.binary_cross_entropy_with_logits(scores, wanted, reduction="sum")
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


def test_pairs_have_all_labels_with_a_score_above_none() -> None:
    head = head_of()
    output = scored(head)
    wanted = sorted(
        (sentence, *ends, label)
        for (sentence, *ends), scores in slow_scores(head, output).items()
        for label in range(len(LABELS))
        if scores[label] > 0
    )
    found = head.decode(output)
    assert [(at, *item) for at, items in enumerate(found) for item in items.tolist()] == wanted
    assert len(wanted) > 4
    assert len(found) == len(COUNTS)


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
