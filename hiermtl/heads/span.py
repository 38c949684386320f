"""Labelled spans, which may nest: every start with every end.

Source: Yu, Bohnet and Poesio 2020 (Named Entity Recognition as Dependency Parsing), section 3: with
a projection of each word as a start, s, and as an end, e, the span from word i to word j has for
each label the score

    [s_i; 1]^T U_label [e_j; 1]

and 0 for being none; the softmax over both gives the loss. Decoding takes each span's best label
and, best first, drops what crosses a span that was taken. Departs: the 1 appended on both sides
holds the paper's linear terms; "none" has no weights, since only differences of scores matter; the
projections are one linear layer instead of two with the paper's inner one. Shapes: states (words,
width) to projections (words, size) of both kinds; scores of all spans of a sentence (sentences,
longest, longest, labels), the second axis the start. Units: the loss is in nats, summed over spans.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiermtl.dropout import Dropout
from hiermtl.heads.base import Head, evened, pad_words
from hiermtl.heads.biaffine import with_one
from hiermtl.precision import full_precision
from hiermtl.records import MISSING, HeadOutput, Layout, Tap
from hiermtl.structures.spans import nested


class SpanHead(Head):
    """Spans by biaffine scores of their first and last words."""

    kind = "span"
    layer = "spans"

    def __init__(
        self, width: int, labels: Sequence[str], *, size: int = 150, dropout: float = 0.1
    ) -> None:
        """Takes the states' width, the labels, and the width of the projections."""
        super().__init__()
        self.labels = tuple(labels)
        self._options: dict[str, Any] = {"size": size, "dropout": dropout}
        self.dropout = Dropout(dropout)
        self.projection = nn.Linear(width, 2 * size)
        self.label = nn.Parameter(torch.zeros(size + 1, len(self.labels), size + 1))

    def forward(self, tap: Tap) -> dict[str, Tensor]:
        """Projected states of the words, as `start` and as `end`."""
        projected = self.projection(evened(self.dropout(tap.values)))[: len(tap.values)]
        start, end = self.dropout(F.leaky_relu(projected, 0.1)).chunk(2, dim=-1)
        return {"start": start, "end": end}

    def span_scores(self, output: HeadOutput) -> Tensor:
        """(sentences, longest, longest, labels) of each first and last word; no mask."""
        size, labels, _ = self.label.shape
        mixed = evened(with_one(output.scores["start"])) @ self.label.view(size, -1)
        starts, _ = pad_words(mixed[: output.layout.words], output.layout)
        ends, _ = pad_words(with_one(output.scores["end"]), output.layout)
        sentences, longest, _ = starts.shape
        product = starts.view(sentences, longest * labels, size) @ ends.transpose(1, 2)
        return full_precision(product.view(sentences, longest, labels, longest).transpose(2, 3))

    def loss(self, output: HeadOutput, gold: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy of each span's label, or of being none.

        Shapes: gold `items` (spans, 4): sentence of the output, first word, word behind the last,
        label. Spans whose label is `MISSING` add nothing.
        """
        scores = self.span_scores(output)
        there = _spans(output.layout, scores.device)
        sentence, first, behind, label = gold["items"].unbind(1)
        unknown = label == MISSING
        there = there.index_put(
            (sentence[unknown], first[unknown], behind[unknown] - 1), there.new_zeros(())
        )
        none = scores.new_zeros((*scores.shape[:-1], 1))
        total = torch.cat([scores, none], dim=-1).logsumexp(-1)
        known = ~unknown
        own = scores[sentence[known], first[known], behind[known] - 1, label[known]]
        return total[there].sum() - own.sum()

    def decode(self, output: HeadOutput) -> list[Any]:
        """Of each sentence (spans, 3): first word, word behind the last, label; none crosses."""
        layout = output.layout
        if not layout.words:
            return [np.zeros((0, 3), dtype=np.int64) for _ in layout.word_counts]
        best, label = self.span_scores(output).detach().max(-1)
        found = ((best > 0) & _spans(layout, best.device)).nonzero()
        owners, first, last = found.unbind(1)
        chosen = (owners, first, last)
        values, labels = best[chosen].cpu().numpy(), label[chosen].cpu().numpy()
        owners, first, last = found.cpu().numpy().T
        kept = nested(first, last + 1, values, owners=owners, words=layout.word_counts)
        spans = np.stack([first, last + 1, labels], axis=1)[kept]
        ends = np.cumsum(np.bincount(owners[kept], minlength=layout.sentences))
        return np.split(spans, ends[:-1])

    def options(self) -> dict[str, Any]:
        """Width of the projections and dropout."""
        return self._options


def _spans(layout: Layout, device: torch.device) -> Tensor:
    """(sentences, longest, longest) bool: whether that is a span of the sentence."""
    longest = int(layout.word_counts.max(initial=0))
    places = torch.arange(longest, device=device)
    inside = places < layout.tensor("word_counts")[:, None, None]
    return inside & (places >= places[:, None])
