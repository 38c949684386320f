"""Semantic roles: predicates with their senses, and for each predicate the spans of its arguments.

Source: Strubell et al. 2018 (Linguistically-Informed Self-Attention for Semantic Role Labeling),
section 2.3: with projections of each word as a predicate, p, and as a part of an argument, a, word
i has for the predicate at word j and each IOB2 tag of a role the score

    [p_j; 1]^T U_tag [a_i; 1]

and the softmax over tags gives the loss, word by word; the best legal sequence of tags is taken, as
in He et al. 2017 (Deep Semantic Role Labeling: What Works and What's Next), section 2.2, of those
in which a predicate has each core role (ARG0 to ARG5, ARGA) once at most, a constraint of
Punyakanok et al. 2008 (The Importance of Syntactic Parsing and Inference in Semantic Role
Labeling). It is found exactly, and what keeps to that anyhow is as it is without. Departs:
the tag outside has no weights, since only differences of scores matter; a learned number is added
for the distance from the predicate to the word, up to `reach` words away; being a predicate and its
sense are one choice of each word, by a linear layer, among scripts that make a sense of a word (see
`hiermtl.text.edits`), so that senses of new words can be told; no sense is a choice too. Of scripts
about as probable the first is taken whose sense training had: the list of senses stands in for the
frame files of PropBank. Tags are learnt for gold predicates, and told for those that are predicted.
Shapes: states (words, width) to projections (words, size); tag scores (predicates, longest, tags)
are made where they are used. Units: the loss is in nats, summed over words, of senses and of tags.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiermtl.corpus.items import SENSE
from hiermtl.dropout import Dropout
from hiermtl.heads.base import Head, evened, pad_words, split_by_sentence
from hiermtl.heads.biaffine import with_one
from hiermtl.precision import full_precision
from hiermtl.records import MISSING, HeadOutput, Layout, Tap, placed
from hiermtl.structures.bio import best_bio, spans_of_bio
from hiermtl.structures.padding import alike

MOST_SENSES = 16
"""How many senses of a predicate are told at most, where there is a list to choose by."""

LEAST_PROBABLE = 0.01
"""How probable one is at least that is told, as a share of the most probable."""


CORE = re.compile(r"(ARG|A)[0-5A]")
"""Roles that a predicate has once at most, as PropBank and CoNLL-2005 write them; not those that go
on with one (`C-ARG1`) or refer to one (`R-ARG1`), which stand beside it."""


class RolesHead(Head):
    """Predicates and their arguments, by tags of words for each predicate."""

    kind = "roles"
    layer = "frames"
    probable = False
    informed = True
    sense_of: Tensor
    role_of: Tensor

    def __init__(
        self,
        width: int,
        labels: Sequence[str],
        *,
        size: int = 150,
        reach: int = 16,
        dropout: float = 0.1,
        unique: bool = True,
        senses: Sequence[str] = (),
    ) -> None:
        """Takes the states' width, roles and scripts of senses, and the projections' width.

        `reach` is how many words away from a predicate distances are told apart; `unique` whether a
        predicate has each core role once at most; `senses` are those that predicates of the
        training data have.
        """
        super().__init__()
        self.labels = tuple(labels)
        self.reach = reach
        self.senses = frozenset(senses)
        self._options: dict[str, Any] = {
            "size": size,
            "reach": reach,
            "dropout": dropout,
            "unique": unique,
        }
        if senses:
            self._options["senses"] = list(senses)
        places = range(len(self.labels))
        self._senses = [at for at in places if self.labels[at].startswith(SENSE)]
        self._roles = [at for at in places if not self.labels[at].startswith(SENSE)]
        core = [n for n, at in enumerate(self._roles) if CORE.fullmatch(self.labels[at])]
        self._once = core if unique else []
        tags = 2 * len(self._roles)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(width, 1 + len(self._senses))
        self.projection = nn.Linear(width, 2 * size)
        self.tag = nn.Parameter(torch.zeros(size + 1, tags, size + 1))
        self.distance = nn.Parameter(torch.zeros(2 * reach + 1, tags))
        self.register_buffer("sense_of", _places_in(self._senses, len(labels)), persistent=False)
        self.register_buffer("role_of", _places_in(self._roles, len(labels)), persistent=False)

    def forward(self, tap: Tap) -> dict[str, Tensor]:
        """`sense`: (words, 1 + senses), no predicate first; projections of the words.

        `predicate` and `argument`.
        """
        states = evened(self.dropout(tap.values))
        count = len(tap.values)
        projected = self.dropout(F.leaky_relu(self.projection(states)[:count], 0.1))
        predicate, argument = projected.chunk(2, dim=-1)
        sense = self.output(states)[:count]
        return {"sense": sense, "predicate": predicate, "argument": argument}

    def tag_scores(self, output: HeadOutput, owners: Tensor, at: Tensor) -> Tensor:
        """(predicates, longest, 2 roles): of begin, then of inside each role; no mask.

        Shapes: owners (predicates,) the sentence of each, at (predicates,) its word there.
        """
        layout = output.layout
        size, tags, _ = self.tag.shape
        starts = placed(layout.word_starts[:-1], at.device)
        own = evened(with_one(output.scores["predicate"].index_select(0, starts[owners] + at)))
        mixed = (own @ self.tag.view(size, -1))[: len(at)].view(len(at), tags, size)
        words, _ = pad_words(with_one(output.scores["argument"]), layout)
        scores = full_precision(words.index_select(0, owners) @ mixed.transpose(1, 2))
        apart = torch.arange(scores.shape[1], device=at.device) - at[:, None]
        apart = apart.clamp(-self.reach, self.reach) + self.reach
        # Rows by index_select: indexing by a matrix of places takes several times as long.
        near = full_precision(self.distance).index_select(0, apart.flatten())
        return scores + near.view(*apart.shape, tags)

    def loss(self, output: HeadOutput, gold: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy of each word's sense, and of each word's tag for each gold predicate.

        Shapes: gold `items` (items, 5): sentence of the output, predicate, first word, word behind
        the last, label. A predicate has an item of its own before its arguments. Predicates of
        unknown sense and arguments of unknown role add nothing.
        """
        items, layout = gold["items"], output.layout
        starts = placed(layout.word_starts[:-1], items.device)
        heading = _heading(items)
        owners, at = items[heading][:, 0], items[heading][:, 1]
        label = items[heading][:, 4]
        senses = torch.zeros(layout.words, dtype=torch.long, device=items.device)
        known = torch.where(label == MISSING, MISSING, 1 + self.sense_of[label.clamp(min=0)])
        senses[starts[owners] + at] = known
        scores = full_precision(output.scores["sense"])
        loss = F.cross_entropy(scores, senses, ignore_index=MISSING, reduction="sum")
        tags = self._tags(items, heading, layout)
        scores = self.tag_scores(output, owners, at)
        scores = torch.cat([scores.new_zeros((*scores.shape[:2], 1)), scores], dim=-1)
        return loss + F.cross_entropy(
            scores.flatten(0, 1), tags.flatten(), ignore_index=MISSING, reduction="sum"
        )

    def _tags(self, items: Tensor, heading: Tensor, layout: Layout) -> Tensor:
        """(predicates, longest) the tag of each word, `MISSING` behind the sentence's end."""
        longest = int(layout.word_counts.max(initial=0))
        counts = layout.tensor("word_counts")[items[heading][:, 0]]
        places = torch.arange(longest, device=items.device)
        tags = torch.where(places < counts[:, None], 0, MISSING)
        arguments = items[~heading]
        rows = (heading.cumsum(0) - 1)[~heading]
        first, behind, label = arguments[:, 2:].unbind(1)
        role = self.role_of[label.clamp(min=0)]
        sizes = behind - first
        row = rows.repeat_interleave(sizes)
        within = torch.arange(len(row), device=items.device)
        within = within - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
        kind = 1 + role.repeat_interleave(sizes) + len(self._roles) * (within > 0)
        kind = torch.where(label.repeat_interleave(sizes) == MISSING, MISSING, kind)
        tags[row, first.repeat_interleave(sizes) + within] = kind
        return tags

    def decode(self, output: HeadOutput) -> list[Any]:
        """Of each sentence (items, 4): each predicate, and behind it its arguments.

        Predicate, first word, word behind the last, label; a predicate's own item is its word with
        its sense. Where there is a list of senses it has an item for each that is probable, the
        best first, of which `hiermtl.corpus.items.from_items` chooses. Given predicates keep
        their place.
        """
        layout = output.layout
        # In fp32, of which the best is found several times faster than in bf16.
        scores = full_precision(output.scores["sense"].detach())
        if not self._senses:
            return [np.zeros((0, 4), dtype=np.int64) for _ in layout.word_counts]
        if output.given is None:
            words = np.flatnonzero(scores.argmax(-1).cpu().numpy())
        else:
            own = output.given[_heading(output.given)].cpu().numpy()
            words = np.unique(layout.word_starts[own[:, 0]] + own[:, 1])
        if not len(words):
            return [np.zeros((0, 4), dtype=np.int64) for _ in layout.word_counts]
        owners = layout.word_sentences[words]
        at = words - layout.word_starts[owners]
        rows, first, behind, role = self._arguments(output, owners, at)
        told, sense = self._probable(scores[placed(words, scores.device), 1:])
        heads = np.column_stack([at[told], at[told], at[told] + 1, np.array(self._senses)[sense]])
        arguments = np.column_stack([at[rows], first, behind, np.array(self._roles)[role]])
        every = np.concatenate([heads, arguments.reshape(-1, 4)]).astype(np.int64)
        predicates = np.concatenate([told, rows])
        order = np.argsort(predicates, kind="stable")
        counts = np.bincount(owners[predicates], minlength=layout.sentences)
        return split_by_sentence(every[order], counts)

    def _probable(self, scores: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """(choices,) predicate and sense of those that are told, the best of a predicate first.

        Shapes: scores (predicates, senses), whose differences are those of the logarithms of how
        probable senses are.
        """
        best = scores.topk(min(MOST_SENSES, scores.shape[1]) if self.senses else 1)
        there = best.values >= best.values[:, :1] + math.log(LEAST_PROBABLE)
        predicates, ranks = np.nonzero(there.cpu().numpy())
        return predicates, best.indices.cpu().numpy()[predicates, ranks]

    def _arguments(
        self, output: HeadOutput, owners: np.ndarray, at: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """(arguments,) predicate, first word, word behind the last and role of each.

        Those of one predicate are neighbours, in order. Shapes: as in `tag_scores`.
        """
        parts = alike(output.layout.word_counts[owners], width=2 * len(self._roles))
        if len(parts) == 1:
            return spans_of_bio(self._paths(output, owners, at), len(self._roles))
        found = []
        for chosen in parts:
            sentences = np.unique(owners[chosen])
            part = output.narrow(output.sentences[sentences])
            path = self._paths(part, np.searchsorted(sentences, owners[chosen]), at[chosen])
            rows, *rest = spans_of_bio(path, len(self._roles))
            found.append((chosen[rows], *rest))
        return tuple(map(np.concatenate, zip(*found, strict=True)))

    def _paths(self, output: HeadOutput, owners: np.ndarray, at: np.ndarray) -> np.ndarray:
        """(predicates, longest): the best tags of the words of each."""
        device = output.scores["sense"].device
        scores = self.tag_scores(output, placed(owners, device), placed(at, device))
        begin, inside = np.split(scores.detach().cpu().numpy(), 2, axis=-1)
        outside = np.zeros(begin.shape[:2], dtype=begin.dtype)
        lengths = output.layout.word_counts[owners]
        return best_bio(outside, begin, inside, lengths=lengths, once=self._once)

    def options(self) -> dict[str, Any]:
        """Width, reach of distances, dropout, whether core roles are unique, training's senses."""
        return self._options


def _places_in(chosen: Sequence[int], count: int) -> Tensor:
    """(labels,): the place of each label among those chosen, -1 for the others."""
    places = torch.full((count,), -1, dtype=torch.long)
    places[list(chosen)] = torch.arange(len(chosen))
    return places


def _heading(items: Tensor) -> Tensor:
    """(items,) bool: which are predicates; each stands before its arguments."""
    frame = items[:, :2]
    heading = torch.ones(len(items), dtype=torch.bool, device=items.device)
    heading[1:] = (frame[1:] != frame[:-1]).any(1)
    return heading
