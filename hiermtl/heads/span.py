"""Labelled spans, which may nest: every start with every end.

Source: Yu, Bohnet and Poesio 2020 (Named Entity Recognition as Dependency Parsing), section 3: with
a projection of each word as a start, s, and as an end, e, the span from word i to word j has for
each label the score

    [s_i; 1]^T U_label [e_j; 1]

and 0 for being none; the softmax over both gives the loss. Decoding takes each span's best label
and, best first, drops what crosses a span that was taken. Departs: the 1 appended on both sides
holds the paper's linear terms; "none" has no weights, since only differences of scores matter; the
projections are one linear layer instead of two with the paper's inner one; spans of more than
`reach` words are not looked at, so that memory grows with the words of a sentence and not with
their square. Unless `inside` is false, to the score is added

    mean(v_label^T h_i .. v_label^T h_j) + w_label,length

with h the states of the words (in training, what dropout leaves of them) and `length` j - i, since
the ends alone say little of a long span (Lee et al. 2017, End-to-end Neural Coreference Resolution,
section 4, give a span both, the words weighed). With `bases` the score of the ends is

    s_i^T (sum_b m_b,label U_b) e_j + a_label^T s_i + b_label^T e_j

with so many matrices for all labels (as the relations of Schlichtkrull et al. 2018, Modeling
Relational Data with Graph Convolutional Networks, section 2.2): the matrices, where nearly all
weights and work are, do not grow with the labels. Shapes: states (words, width) to projections
(words, size) of both kinds, and to scores (words, labels) of each word as first, as last and as one
of a span; scores (words, reach, labels), of the span from each word to the k-th behind it. Units:
the loss is in nats, summed over spans.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiermtl.dropout import Dropout
from hiermtl.heads.base import Head, evened, first_of_each, running, split_by_sentence
from hiermtl.heads.biaffine import with_one
from hiermtl.precision import full_precision
from hiermtl.records import MISSING, HeadOutput, Layout, Tap, placed
from hiermtl.structures.spans import nested


class SpanHead(Head):
    """Spans by biaffine scores of their first and last words, and by the words inside."""

    kind = "span"
    layer = "spans"
    probable = False

    def __init__(
        self,
        width: int,
        labels: Sequence[str],
        *,
        size: int = 150,
        bases: int | None = None,
        inside: bool = True,
        reach: int = 100,
        dropout: float = 0.1,
    ) -> None:
        """Takes the states' width, the labels, and the width of the projections.

        `bases` is how many matrices the labels share, by default each has its own; `inside` whether
        all words of a span and its length count, or its ends alone; `reach` how many words the
        longest span has that is looked at.
        """
        super().__init__()
        self.labels = tuple(labels)
        self.reach = reach
        self._options: dict[str, Any] = {
            "size": size,
            "bases": bases,
            "inside": inside,
            "reach": reach,
            "dropout": dropout,
        }
        self.dropout = Dropout(dropout)
        self.projection = nn.Linear(width, 2 * size)
        count = len(self.labels)
        if bases is None:
            self.label = nn.Parameter(torch.zeros(size + 1, count, size + 1))
        else:
            self.label = nn.Parameter(torch.empty(size, bases, size).normal_(std=1 / size))
            self.mix = nn.Parameter(torch.zeros(bases, count))
            self.first, self.last = _zeros(size, count), _zeros(size, count)
        if inside:
            self.inside = _zeros(width, count)
            self.length = nn.Parameter(torch.zeros(reach, count))

    def forward(self, tap: Tap) -> dict[str, Tensor]:
        """Projected states of the words, as `start` and as `end`.

        And, as far as the head weighs them, `first`, `last` and `inside`: (words, labels), what a
        word adds to spans that begin with it, end with it, and hold it.
        """
        states = evened(self.dropout(tap.values))
        start, end = self.dropout(F.leaky_relu(self.projection(states), 0.1)).chunk(2, dim=-1)
        found = {"start": start, "end": end}
        if self._options["bases"] is not None:
            found |= {"first": self.first(start), "last": self.last(end)}
        if self._options["inside"]:
            found["inside"] = self.inside(states)
        return {name: values[: len(tap.values)] for name, values in found.items()}

    def span_scores(self, output: HeadOutput) -> tuple[Tensor, Tensor]:
        """(words, reach, labels) of each first word and how many stand behind it in the span.

        Beside them (words, reach) bool: whether that is a span of a sentence. `reach` is at most
        the longest sentence.
        """
        layout = output.layout
        reach = max(1, min(self.reach, int(layout.word_counts.max(initial=0))))
        start, end = output.scores["start"], output.scores["end"]
        if self._options["bases"] is None:
            found = self._products(with_one(start), with_one(end), reach)
        else:
            found = self._products(start, end, reach) @ full_precision(self.mix)
            found = found + _of_ends(output, reach)
        if self._options["inside"]:
            found = found + _mean_inside(output, reach) + full_precision(self.length[:reach])
        left = layout.cached("words behind", lambda: _words_behind(layout))
        return found, torch.arange(reach, device=found.device) <= left[:, None]

    def _products(self, start: Tensor, end: Tensor, reach: int) -> Tensor:
        """(words, reach, matrices): each word, by each matrix, with the `reach` from it on."""
        size, matrices, _ = self.label.shape
        words = len(start)
        blocks = max(1, -(-words // reach))
        filled = blocks * reach - words
        mixed = evened(start) @ self.label.view(size, -1)
        rows = F.pad(mixed[:words], (0, 0, 0, filled)).view(blocks, reach * matrices, size)
        ends = F.pad(end, (0, 0, 0, filled + reach))
        product = rows @ ends.unfold(0, 2 * reach, reach)
        product = product.view(blocks, reach, matrices, 2 * reach)
        apart = torch.arange(reach, device=start.device)
        columns = (apart[:, None] + apart)[None, :, None].expand(blocks, -1, matrices, -1)
        return full_precision(product.gather(3, columns).transpose(2, 3).flatten(0, 1)[:words])

    def loss(self, output: HeadOutput, gold: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy of each span's label, or of being none.

        Shapes: gold `items` (spans, 4): sentence of the output, first word, word behind the last,
        label. Spans whose label is `MISSING`, and those out of reach, add nothing.
        """
        scores, there = self.span_scores(output)
        # Of an extent with several labels the first known one is learnt.
        items = gold["items"]
        items = items[items[:, 2] - items[:, 1] <= scores.shape[1]]
        items = items[(items[:, 3] == MISSING).sort(stable=True).indices]
        items = items[first_of_each(items[:, :3])]
        starts = placed(output.layout.word_starts[:-1], scores.device)
        sentence, first, behind, label = items.unbind(1)
        word, further = starts[sentence] + first, behind - first - 1
        unknown = label == MISSING
        there = there.index_put((word[unknown], further[unknown]), there.new_zeros(()))
        none = scores.new_zeros((*scores.shape[:-1], 1))
        total = torch.cat([scores, none], dim=-1).logsumexp(-1)
        known = ~unknown
        own = scores[word[known], further[known], label[known]]
        return total[there].sum() - own.sum()

    def decode(self, output: HeadOutput) -> list[Any]:
        """Of each sentence (spans, 3): first word, word behind the last, label; none crosses."""
        layout = output.layout
        if not layout.words:
            return [np.zeros((0, 3), dtype=np.int64) for _ in layout.word_counts]
        scores, there = self.span_scores(output)
        best, label = scores.detach().max(-1)
        found = ((best > 0) & there).nonzero()
        chosen = tuple(found.unbind(1))
        values, labels = best[chosen].cpu().numpy(), label[chosen].cpu().numpy()
        word, further = found.cpu().numpy().T
        owners = layout.word_sentences[word]
        first = word - layout.word_starts[owners]
        behind = first + further + 1
        kept = nested(first, behind, values, owners=owners, words=layout.word_counts)
        spans = np.stack([first, behind, labels], axis=1)[kept]
        return split_by_sentence(spans, np.bincount(owners[kept], minlength=layout.sentences))

    def options(self) -> dict[str, Any]:
        """Width of the projections, `bases`, `inside`, reach, and dropout."""
        return self._options


def _words_behind(layout: Layout) -> Tensor:
    """(words,): how many words of its sentence stand behind each."""
    ends = np.repeat(layout.word_starts[1:], layout.word_counts)
    return placed(ends - 1 - np.arange(layout.words), layout.device)


def _zeros(width: int, count: int) -> nn.Linear:
    """A layer without bias that begins with no say."""
    layer = nn.Linear(width, count, bias=False)
    nn.init.zeros_(layer.weight)
    return layer


def _of_ends(output: HeadOutput, reach: int) -> Tensor:
    """(words, reach, labels): what the first and the last word of each span add."""
    first, last = (full_precision(output.scores[name]) for name in ("first", "last"))
    return first[:, None] + _from_each(last, reach)


def _mean_inside(output: HeadOutput, reach: int) -> Tensor:
    """(words, reach, labels): the mean of what the words of each span add."""
    totals, mean = running(output.scores["inside"])
    counts = torch.arange(1, reach + 1, device=totals.device)[:, None]
    return (_from_each(totals[1:], reach) - totals[:-1, None]) / counts + mean


def _from_each(values: Tensor, reach: int) -> Tensor:
    """(words, width) to (words, reach, width): the rows from each word on; 0 behind the last."""
    rows = F.pad(values, (0, 0, 0, reach)).unfold(0, reach, 1)[: len(values)]
    return rows.transpose(1, 2)
