"""Dependency trees: deep biaffine scores of arcs and labels, single-root maximum spanning tree.

Source: Dozat and Manning 2017 (Deep biaffine attention for neural dependency parsing), section 3.1.
Departs: the root is a learned vector of the states' width, not a token; label scores have no
separate linear classifier (the 1 appended on both sides covers it); no word is a candidate for its
own head, as in Hashimoto et al. 2017 (A Joint Many-Task Model). Decoding is exact
(Chu-Liu/Edmonds), with one word under the root. Shapes: states (words, width) to projected
states (words, size); arc scores (sentences, n, n + 1) are made where they are used. Units: nats per
word, arc and label losses added.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiermtl.dropout import Dropout
from hiermtl.errors import ModelError
from hiermtl.heads.base import (
    Head,
    evened,
    in_order,
    in_parts,
    pad_words,
    split_by_sentence,
    taken,
)
from hiermtl.precision import full_precision
from hiermtl.records import MISSING, HeadOutput, Layout, Tap, placed, recurring
from hiermtl.structures.tree import maximum_spanning_trees


class BiaffineHead(Head):
    """A head and a relation for each word."""

    kind = "biaffine"
    layer = "tree"

    def __init__(
        self,
        width: int,
        labels: Sequence[str],
        *,
        arc_width: int = 400,
        label_width: int = 100,
        dropout: float = 0.33,
    ) -> None:
        """Takes the width of the states and the relations.

        Widths of the projections default to the paper's scale.
        """
        super().__init__()
        self.labels = tuple(labels)
        self._options: dict[str, Any] = {
            "arc_width": arc_width,
            "label_width": label_width,
            "dropout": dropout,
        }
        self._sizes = [arc_width, arc_width, label_width, label_width]
        self.dropout = Dropout(dropout)
        self.root = nn.Parameter(torch.zeros(1, width))
        # One product for the four projections: arc dependent, arc head, label dependent, label
        # head.
        self.projection = nn.Linear(width, sum(self._sizes))
        self.arc = nn.Parameter(torch.zeros(arc_width + 1, arc_width))
        self.label = nn.Parameter(torch.zeros(label_width + 1, len(self.labels), label_width + 1))
        for weight in self.projection.weight.split(self._sizes):
            nn.init.orthogonal_(weight)
        nn.init.zeros_(self.projection.bias)

    def forward(self, tap: Tap) -> dict[str, Tensor]:
        """Projected states of the words, and of the root in `root`.

        `arc_dep`, `arc_head`, `label_dep`, `label_head`.
        """
        states = torch.cat([tap.values, self.root.to(tap.values.dtype)])
        projected = self.projection(evened(states))[: states.shape[0]]
        projected = self.dropout(F.leaky_relu(projected, 0.1))
        parts = dict(zip(PARTS, projected.split(self._sizes, dim=-1), strict=True))
        root = {f"root_{name}": part[-1:] for name, part in parts.items()}
        return {name: part[:-1] for name, part in parts.items()} | root

    def arc_scores(self, output: HeadOutput) -> Tensor:
        """(sentences, longest, longest + 1).

        Score of each candidate head (0: the root) of each word; no mask.
        """
        weighed = evened(with_one(output.scores["arc_dep"])) @ self.arc
        dependents, _ = pad_words(weighed[: output.layout.words], output.layout)
        heads, _ = pad_words(output.scores["arc_head"], output.layout)
        root = output.scores["root_arc_head"].expand(output.layout.sentences, 1, -1)
        heads = torch.cat([root, heads], dim=1)
        sentences, longest = (recurring(n, 4, 1, device=heads.device) for n in heads.shape[:2])
        product = _filled(dependents, sentences, longest) @ _filled(
            heads, sentences, longest
        ).transpose(1, 2)
        return full_precision(product[: len(heads), : heads.shape[1] - 1, : heads.shape[1]])

    def label_scores(self, output: HeadOutput, heads: Tensor) -> Tensor:
        """(words, labels) given each word's head.

        Its place among all words counted from 1, or 0 for the root.
        """
        head_states = torch.cat([output.scores["root_label_head"], output.scores["label_head"]])
        head_states = evened(with_one(head_states.index_select(0, heads)))
        dependents = evened(with_one(output.scores["label_dep"]))
        pairs = zip(*(_in_pieces(rows) for rows in (dependents, head_states)), strict=True)
        found = [self._of_arcs(*rows) for rows in pairs]
        scores = found[0] if len(found) == 1 else torch.cat(found)
        return full_precision(scores[: len(heads)])

    def _of_arcs(self, dependents: Tensor, heads: Tensor) -> Tensor:
        """(words, labels) scores of arcs; dependents and heads (words, size), the last number 1."""
        size, labels, _ = self.label.shape
        mixed = (dependents @ self.label.view(size, -1)).view(-1, labels, size)
        return (mixed @ heads.unsqueeze(-1)).squeeze(-1)

    def loss(self, output: HeadOutput, gold: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy of the head, and of the relation given the gold head."""
        layout = output.layout
        scores = self._candidates(output)
        heads, _ = pad_words(gold["heads"].unsqueeze(-1), layout, fill=MISSING)
        arcs = F.cross_entropy(
            scores.flatten(0, 1), heads.flatten(), ignore_index=MISSING, reduction="sum"
        )
        labels = self.label_scores(output, self._places(gold["heads"].clamp(min=0), layout))
        known = gold["relations"].masked_fill(gold["heads"] == MISSING, MISSING)
        return arcs + F.cross_entropy(labels, known, ignore_index=MISSING, reduction="sum")

    def decode(self, output: HeadOutput) -> list[Any]:
        """The best single-root tree of each sentence and the best relation of each of its arcs."""
        layout = output.layout
        if not layout.words:
            return [
                (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
                for _ in layout.word_counts
            ]
        heads, relations = (np.empty(layout.words, dtype=np.int64) for _ in range(2))
        for words, part in in_parts(output, power=2):
            heads[words], relations[words] = self._trees(part)
        pair = (split_by_sentence(x, layout.word_counts) for x in (heads, relations))
        return list(zip(*pair, strict=True))

    def _trees(self, output: HeadOutput) -> tuple[np.ndarray, np.ndarray]:
        """(words,) the head of each in the best tree, and (words,) the relation."""
        layout = output.layout
        scores = self.arc_scores(output).detach().cpu().numpy()
        square = np.full(
            (len(scores), scores.shape[1] + 1, scores.shape[2]), -np.inf, dtype=scores.dtype
        )
        square[:, 1:] = scores
        try:
            padded = maximum_spanning_trees(square, layout.word_counts)
        except ValueError as error:  # the mask leaves every sentence a tree
            raise ModelError(
                f"trees cannot be told ({error}): weights have gone wrong, as they do at too high "
                "a rate; go back to an earlier model, or train with a lower one"
            ) from error
        heads = padded[np.arange(padded.shape[1]) < layout.word_counts[:, None]]
        places = self._places(placed(heads, layout.device), layout)
        return heads, self.label_scores(output, places).argmax(-1).cpu().numpy()

    def confidence(self, output: HeadOutput, decoded: Sequence[Any]) -> Tensor:
        """(words,): softmax over candidate heads, without the demand that arcs form a tree."""
        heads = np.concatenate([heads for heads, _ in decoded])
        return self._of_words(
            output, lambda words, part: taken(self._probable_heads(part), heads[words])
        )

    def surest(self, output: HeadOutput) -> Tensor:
        """(words,): how probable the most probable head of each is."""
        return self._of_words(output, lambda _, part: self._probable_heads(part).amax(-1))

    def _of_words(
        self, output: HeadOutput, told: Callable[[np.ndarray, HeadOutput], Tensor]
    ) -> Tensor:
        """(words,): what is told of the words at some places by the output that has these alone."""
        return in_order([(words, told(words, part)) for words, part in in_parts(output, power=2)])

    def _probable_heads(self, output: HeadOutput) -> Tensor:
        """(words, candidates)."""
        scores = self._candidates(output)
        places = torch.arange(scores.shape[1], device=scores.device)
        return scores[places < output.layout.tensor("word_counts")[:, None]].softmax(-1)

    def _candidates(self, output: HeadOutput) -> Tensor:
        """The arc scores; minus infinity beyond the sentence and for the word itself."""
        scores = self.arc_scores(output)
        lengths = output.layout.tensor("word_counts")
        candidates = torch.arange(scores.shape[-1], device=scores.device)
        own = candidates == torch.arange(1, scores.shape[-1], device=scores.device)[:, None]
        return scores.masked_fill(own | (candidates > lengths[:, None, None]), float("-inf"))

    @staticmethod
    def _places(heads: Tensor, layout: Layout) -> Tensor:
        """Heads counted within their sentence to places among all words of the layout, from 1.

        0 stays the root.
        """
        starts = layout.cached("word sentence starts", lambda: _sentence_starts(layout))
        return torch.where(heads > 0, heads + starts, 0)

    def options(self) -> dict[str, Any]:
        """Projection widths and dropout."""
        return self._options


_AT_ONCE = 256
"""Words whose arcs are labelled together on a processor.

With 50 labels and a size of 100 what lies between, (words, labels, size), has 2.6 MB in bf16.
"""

PARTS = ("arc_dep", "arc_head", "label_dep", "label_head")


def with_one(values: Tensor) -> Tensor:
    """Appends a 1 to each row, so that a product also holds the linear terms."""
    return F.pad(values, (0, 1), value=1.0)


def _in_pieces(rows: Tensor) -> Sequence[Tensor]:
    """The rows, few at once where what is made of them should stay in the processor's cache."""
    if rows.device.type != "cpu" or torch.compiler.is_compiling():
        return (rows,)
    return rows.split(_AT_ONCE)


def _filled(values: Tensor, sentences: int, longest: int) -> Tensor:
    """(sentences, words, width) with zeros up to these sizes."""
    return F.pad(values, (0, 0, 0, longest - values.shape[1], 0, sentences - len(values)))


def _sentence_starts(layout: Layout) -> Tensor:
    return placed(np.repeat(layout.word_starts[:-1], layout.word_counts), layout.device)
