"""Relations between spans that another task finds: every ordered pair, each label by itself.

Source: Verga et al. 2018 (Simultaneously Self-Attending to All Mentions for Full-Abstract
Biological Relation Extraction), section 2.2: a pair has for each label a score that is bilinear in
a head and a tail projection. Departs: what is scored are spans, each the sum of a projection of its
first and of one of its last word, and of a vector for its label; two linear terms are added, of the
words between the two, by the mean of a third projection, and of which of the two comes first;
labels are decided one by one (a pair may have several), by whether their probability is above a
threshold: where few pairs are related, fewer are sure than there are, and a lower one finds more.
In training spans are gold, in a share of the steps those that the other task predicts; then a gold
relation of a span that is not among them is not learnt.
Shapes: states (words, width) to projections (words, size); scores (pairs, labels) are made where
they are used, sentences with about as many spans at once, so that nothing is as large as pairs
times labels times size. Units: nats, summed over pairs and labels.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiermtl.heads.base import evened, first_of_each, means, split_by_sentence
from hiermtl.heads.biaffine import with_one
from hiermtl.heads.reading import ReadingHead
from hiermtl.precision import full_precision
from hiermtl.records import MISSING, HeadOutput, Tap, placed


class RelationHead(ReadingHead):
    """Directed, labelled pairs of spans."""

    kind = "relation"
    layer = "relations"
    informed = True

    def __init__(
        self,
        width: int,
        labels: Sequence[str],
        *,
        reads: Mapping[str, int],
        size: int = 150,
        dropout: float = 0.1,
        first_predicted: float = 0.0,
        last_predicted: float = 0.5,
        threshold: float = 0.5,
    ) -> None:
        """Takes the states' width, the labels, and the projections' width; see `ReadingHead`.

        `threshold` is the probability above which a label is told.
        """
        super().__init__(
            labels,
            reads=reads,
            dropout=dropout,
            first_predicted=first_predicted,
            last_predicted=last_predicted,
            size=size,
            threshold=threshold,
        )
        self.least = math.log(threshold / (1 - threshold))
        self.projection = nn.Linear(width, 5 * size)
        self.span_label = nn.Parameter(torch.zeros(2, self.kinds, size))
        self.label = nn.Parameter(torch.zeros(size + 1, len(self.labels), size + 1))
        self.between = nn.Parameter(torch.zeros(len(self.labels), size))
        self.order = nn.Parameter(torch.zeros(2, len(self.labels)))

    def forward(self, tap: Tap) -> dict[str, Tensor]:
        """Projections of the words: as first and as last of a head and of a tail, and between.

        `head_first`, `head_last`, `tail_first`, `tail_last`, `between`.
        """
        states = evened(self.dropout(tap.values))
        projected = self.projection(states)[: len(tap.values)]
        return dict(zip(_PARTS, projected.chunk(len(_PARTS), dim=-1), strict=True))

    def pair_scores(
        self, output: HeadOutput, spans: Tensor, owners: Tensor, pairs: Tensor
    ) -> Tensor:
        """(pairs, labels).

        Shapes: spans (spans, 3) first word and last among all words of the layout, and label;
        owners (spans,) their sentences, ascending; pairs (pairs, 2) places of spans, head first.
        """
        first, last, kind = spans.unbind(1)
        scores = output.scores
        ends = []
        for side in ("head", "tail"):
            value = scores[f"{side}_first"].index_select(0, first)
            value = value + scores[f"{side}_last"].index_select(0, last)
            table = F.pad(self.span_label[len(ends)], (0, 0, 0, 1))  # a label it does not know
            value = value + table[kind].to(value.dtype)
            ends.append(self.dropout(F.leaky_relu(value, 0.1)))
        found = full_precision(self._products(with_one(ends[0]), with_one(ends[1]), owners, pairs))
        apart = [
            self.dropout(F.leaky_relu(self._between(output, spans, some), 0.1)) @ self.between.T
            for some in pairs.split(_AT_ONCE)
        ]
        found = found + full_precision(torch.cat(apart))
        return found + full_precision(self.order)[(first[pairs[:, 0]] > first[pairs[:, 1]]).long()]

    def _products(self, heads: Tensor, tails: Tensor, owners: Tensor, pairs: Tensor) -> Tensor:
        """(pairs, labels): what is bilinear in two spans; heads and tails (spans, size + 1).

        One product for all sentences with about as many spans.
        """
        size, labels, _ = self.label.shape
        mixed = (evened(heads) @ self.label.view(size, -1))[: len(owners)]
        counts = torch.bincount(owners)
        within = torch.arange(len(owners), device=owners.device)
        within = within - (counts.cumsum(0) - counts)[owners]
        wide = _widths(counts)
        found, rows = [], []
        for width in torch.unique(wide[counts > 1]).tolist():
            here = wide == width
            chosen = here[owners].nonzero().squeeze(1)
            place = (here.cumsum(0) - 1)[owners] * width + within
            filled = place[chosen]
            sentences = int(here.sum())
            left = mixed.new_zeros(sentences * width, labels * size)
            left = left.index_copy(0, filled, mixed.index_select(0, chosen))
            right = tails.new_zeros(sentences * width, size)
            right = right.index_copy(0, filled, tails.index_select(0, chosen))
            product = right.view(sentences, width, size) @ left.view(
                sentences, width * labels, size
            ).transpose(1, 2)
            row = here[owners[pairs[:, 0]]].nonzero().squeeze(1)
            head, tail = pairs[row].unbind(1)
            cells = product.reshape(-1, labels)
            found.append(cells.index_select(0, place[tail] * width + within[head]))
            rows.append(row)
        if not found:
            return mixed.new_zeros(0, labels)
        return torch.cat(found).index_select(0, torch.cat(rows).argsort())

    def _between(self, output: HeadOutput, spans: Tensor, pairs: Tensor) -> Tensor:
        """(pairs, size): the mean over the words between two spans; 0 where there are none."""
        values = output.scores["between"]
        one, other = spans[pairs[:, 0]], spans[pairs[:, 1]]
        begin = torch.minimum(one[:, 1], other[:, 1]) + 1
        end = torch.maximum(torch.maximum(one[:, 0], other[:, 0]), begin)
        return means(values, begin, end).to(values.dtype)

    def loss(self, output: HeadOutput, gold: Mapping[str, Tensor]) -> Tensor:
        """Binary cross-entropy of each label of each ordered pair of spans that are read.

        Shapes: gold `items` (relations, 6): sentence of the output, first word and word behind the
        last of head and of tail, label.
        """
        spans, owners, places = self._spans(output)
        pairs = _pairs(owners)
        scores = self.pair_scores(output, spans, owners, pairs)
        wanted = torch.zeros_like(scores)
        known = torch.ones_like(scores)
        if len(pairs) and len(gold["items"]):
            row, label = _rows_of(gold["items"], places, pairs, len(spans))
            there = row >= 0
            learnt = there & (label != MISSING)
            # Of a label it does not know the head can only tell that the pair has one: of such a
            # pair the labels it knows are learnt, and that it has no other is not.
            known[row[there & (label == MISSING)]] = 0.0
            wanted[row[learnt], label[learnt]] = 1.0
            known[row[learnt], label[learnt]] = 1.0
        loss = F.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
        return (loss * known).sum()

    def decode(self, output: HeadOutput) -> list[Any]:
        """Of each sentence (relations, 5): first word and word behind the last of both, label."""
        layout = output.layout
        spans, owners, places = self._spans(output)
        pairs = _pairs(owners)
        if not len(pairs):
            return [np.zeros((0, 5), dtype=np.int64) for _ in layout.word_counts]
        scores = self.pair_scores(output, spans, owners, pairs).detach()
        row, label = (scores > self.least).nonzero().unbind(1)
        chosen = pairs[row]
        items = torch.cat([places[chosen[:, 0], 1:], places[chosen[:, 1], 1:], label[:, None]], 1)
        of = owners[chosen[:, 0]].cpu().numpy()
        found = items.cpu().numpy()
        order = np.lexsort((*found.T[::-1], of))
        counts = np.bincount(of, minlength=layout.sentences)
        return split_by_sentence(found[order], counts)

    def _spans(self, output: HeadOutput) -> tuple[Tensor, Tensor, Tensor]:
        """The spans that are read: as `pair_scores` takes them, their sentences, their places.

        A place is sentence, first word and word behind the last; each is there once.
        """
        items = output.read[self.read_task]
        at = first_of_each(items[:, :3])
        places = items[at, :3]
        kind = items[at, 3]
        kind = torch.where(kind == MISSING, self.kinds, kind)
        starts = placed(output.layout.word_starts[:-1], items.device)[places[:, 0]]
        spans = torch.stack([starts + places[:, 1], starts + places[:, 2] - 1, kind], dim=1)
        return spans, places[:, 0], places

    def start_even(self) -> None:
        """Its scores are 0 before training as it is."""


_AT_ONCE = 1 << 13
"""Pairs whose words between are looked at together."""

_PARTS = ("head_first", "head_last", "tail_first", "tail_last", "between")


def _widths(counts: Tensor) -> Tensor:
    """(sentences,) the numbers of spans, rounded up to 2, 3, 4, 6, 8, 12, 16 and so on."""
    power = torch.pow(2, torch.log2(counts.clamp(min=2).double()).ceil().long())
    return torch.where(4 * counts <= 3 * power, 3 * power // 4, power).clamp(min=2)


def _pairs(owners: Tensor) -> Tensor:
    """(pairs, 2): all ordered pairs of different spans of one sentence; owners ascending."""
    count = len(owners)
    sizes = torch.bincount(owners) if count else owners
    each = sizes[owners]
    starts = (sizes.cumsum(0) - sizes)[owners]
    head = torch.arange(count, device=owners.device).repeat_interleave(each)
    within = torch.arange(len(head), device=owners.device)
    within = within - (each.cumsum(0) - each).repeat_interleave(each)
    tail = starts.repeat_interleave(each) + within
    different = head != tail
    return torch.stack([head[different], tail[different]], dim=1)


def _rows_of(items: Tensor, places: Tensor, pairs: Tensor, spans: int) -> tuple[Tensor, Tensor]:
    """For each relation the pair it is of, -1 where its spans are not among those read, and label.

    Shapes: items as in `loss`; places (spans, 3) sorted; pairs (pairs, 2) in the order of `_pairs`.
    """
    longest = int(torch.maximum(items[:, 1:5].max(), places[:, 1:].max())) + 1

    def keys(sentence: Tensor, first: Tensor, behind: Tensor) -> Tensor:
        return (sentence * longest + first) * longest + behind

    known = keys(*places.unbind(1))
    ends = []
    for columns in ((1, 2), (3, 4)):
        wanted = keys(items[:, 0], *(items[:, at] for at in columns))
        place = torch.searchsorted(known, wanted).clamp(max=spans - 1)
        ends.append(torch.where(known[place] == wanted, place, -1))
    of_pairs = pairs[:, 0] * spans + pairs[:, 1]
    wanted = ends[0] * spans + ends[1]
    row = torch.searchsorted(of_pairs, wanted).clamp(min=0, max=len(of_pairs) - 1)
    there = (ends[0] >= 0) & (ends[1] >= 0) & (of_pairs[row] == wanted)
    return torch.where(there, row, -1), items[:, 5]
