"""Coreference: each mention of a document links to one before it, or to none.

Source: Lee et al. 2017 (End-to-end Neural Coreference Resolution), sections 3 and 4: mention i has
the distribution

    P(j) = exp s(i, j) / (exp s(i, new) + sum over j' < i of exp s(i, j'))

over the mentions before it and being new, and the loss is minus the logarithm of the probability of
all mentions before it that are of its entity, or of being new where there is none. s(i, j) is
bilinear in vectors of the two, as the coarse score of Lee et al. 2018 (Higher-order Coreference
Resolution with Coarse-to-fine Inference), section 4. Departs: mentions are those that another task
finds, not pruned spans; a mention's vector is made of its first, its last and the mean of its
words; there is no second, finer score, but i weighs what can be counted of the pair by itself: how
many mentions and sentences apart, whether first words, last words and all words are the same, and
the label that the other task gave j; only the `window` mentions before i are looked at, so that
memory and time grow with the length of a document and not faster; in a document of which some
sentences are not annotated, a mention there may be of any entity, and the probabilities of all that
is possible are summed. Decoding takes the best j of each
mention; links make clusters. Shapes: states (words, width) to projections (words, size); scores
(mentions, window) are made where they are used. Units: nats, summed over mentions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiermtl.heads.base import evened, first_of_each, means, split_by_sentence
from hiermtl.heads.biaffine import with_one
from hiermtl.heads.reading import ReadingHead
from hiermtl.precision import full_precision
from hiermtl.records import MISSING, Groups, HeadOutput, Tap, placed

_STEPS = 10
"""Distances that are told apart: 1, 2, 3, 4, 5 to 7, 8 to 15, 16 to 31, 32 to 63, 64 or more, and
none."""

_SAME = 32
"""Combinations of five bits: first, last and all words are the same, i has one word, j has one."""


class CoreferenceHead(ReadingHead):
    """Clusters of mentions."""

    kind = "coreference"
    layer = "mentions"
    unit = "document"

    def __init__(
        self,
        width: int,
        labels: Sequence[str],
        *,
        reads: Mapping[str, int],
        size: int = 150,
        window: int = 200,
        dropout: float = 0.2,
        first_predicted: float = 0.0,
        last_predicted: float = 0.5,
    ) -> None:
        """Takes the states' width, the one label, and the vectors' width; see `ReadingHead`."""
        super().__init__(
            labels,
            reads=reads,
            dropout=dropout,
            first_predicted=first_predicted,
            last_predicted=last_predicted,
            size=size,
            window=window,
        )
        self.window = window
        self.projection = nn.Linear(width, 3 * size)
        self.span_label = nn.Parameter(torch.zeros(self.kinds, size))
        self.anaphor = nn.Linear(size, size)
        self.antecedent = nn.Linear(size, size)
        self.link = nn.Parameter(torch.zeros(size + 1, size + 1))
        self.new = nn.Linear(size, 1)
        self.weigh = nn.Linear(size, 2 * _STEPS + _SAME + self.kinds + 1)

    def forward(self, tap: Tap) -> dict[str, Tensor]:
        """Projections of the words: as first, as last, and as any word of a mention.

        `first`, `last`, `inside`.
        """
        states = evened(self.dropout(tap.values))
        projected = self.projection(states)[: len(tap.values)]
        return dict(zip(("first", "last", "inside"), projected.chunk(3, dim=-1), strict=True))

    def link_scores(self, output: HeadOutput, mentions: "Found") -> tuple[Tensor, Tensor]:
        """(mentions, window) of each with the k-th mention before it, k from 1; (mentions,) of new.

        Minus infinity where there is none in the document.
        """
        vectors = self._vectors(output, mentions)
        anaphors = self.dropout(F.leaky_relu(self.anaphor(vectors), 0.1))
        antecedents = self.dropout(F.leaky_relu(self.antecedent(vectors), 0.1))
        wanted = with_one(anaphors) @ self.link
        band = full_precision(_band(wanted, with_one(antecedents), self.window))
        there = mentions.before(self.window)
        for table, places in zip(
            self.weigh(vectors).split([_STEPS, _STEPS, _SAME, self.kinds + 1], dim=-1),
            mentions.features(self.window, self.kinds),
            strict=True,
        ):
            band = band + full_precision(table).gather(1, places)
        scores = band.masked_fill(~there, float("-inf"))
        return scores, full_precision(self.new(vectors)).squeeze(-1)

    def _vectors(self, output: HeadOutput, mentions: "Found") -> Tensor:
        """(mentions, size)."""
        scores, first, last = output.scores, mentions.first, mentions.last
        inside = means(scores["inside"], first, last + 1)
        value = scores["first"].index_select(0, first) + scores["last"].index_select(0, last)
        table = F.pad(self.span_label, (0, 0, 0, 1))  # a label it does not know
        value = value + inside.to(value.dtype) + table[mentions.kind].to(value.dtype)
        return self.dropout(F.leaky_relu(value, 0.1))

    def loss(self, output: HeadOutput, gold: Mapping[str, Tensor]) -> Tensor:
        """Minus the logarithm of the probability of what the mentions before may be to each.

        Mentions of sentences without gold have no term; before a mention with an entity, such a
        one may be of that entity or not, so that a link to it is neither right nor wrong.

        Shapes: gold `items` (mentions, 5): sentence of the output, first word, word behind the
        last, number of the entity in its document, label; `annotated` (sentences of the output,)
        bool, which have gold.
        """
        mentions = self._found(output)
        scores, new = self.link_scores(output, mentions)
        told = gold["annotated"][mentions.sentence]
        entity = mentions.entities(gold["items"])
        others = mentions.earlier(entity, self.window, fill=-1)
        there = mentions.before(self.window) & (entity[:, None] >= 0)
        right = (others == entity[:, None]) & there
        unknown = (mentions.earlier(told.long(), self.window) == 0) & there
        fresh = new.masked_fill(right.any(1), float("-inf"))
        every = torch.cat([new[:, None], scores], dim=1)[told]
        possible = scores.masked_fill(~(right | unknown), float("-inf"))
        possible = torch.cat([fresh[:, None], possible], dim=1)[told]
        return (every.logsumexp(1) - possible.logsumexp(1)).sum()

    def decode(self, output: HeadOutput) -> list[Any]:
        """Of each document (mentions, 5): its place there, first word, word behind the last.

        Then the number of its entity, in the order of their first mentions, and the one label.
        """
        mentions = self._found(output)
        assert output.members is not None
        if not len(mentions.first):
            return [np.zeros((0, 5), dtype=np.int64) for _ in output.members.sizes]
        with torch.no_grad():
            scores, new = self.link_scores(output, mentions)
            best, back = scores.max(1)
        own = torch.arange(len(new), device=new.device)
        parent = torch.where(best > new, own - 1 - back, own)
        while True:
            above = parent[parent]
            if torch.equal(above, parent):
                break
            parent = above
        return mentions.clusters(parent)

    def _found(self, output: HeadOutput) -> "Found":
        assert output.members is not None
        return Found.of(output.read[self.read_task], output, output.members, self.kinds)


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """The mentions of some documents, in the order of the text, of nested ones the longer first.

    Shapes: all (mentions,). `rank` is the place of the sentence among those of all documents, in
    their order, `sentence` its place in the layout; `document` that of the document; `start`, `end`
    words of the sentence, `first`, `last` the first and the last word among all words of the
    layout; `kind` the label, that behind the last one where it is not known; `keys` numbers that
    are the same for the same first, last and all words; `ranks` (sentences of the layout,) and
    `begins` (documents,) places among those of all documents.
    """

    rank: Tensor
    sentence: Tensor
    document: Tensor
    start: Tensor
    end: Tensor
    first: Tensor
    last: Tensor
    kind: Tensor
    keys: tuple[Tensor, Tensor, Tensor]
    ranks: Tensor
    begins: Tensor
    longest: int

    @classmethod
    def of(cls, items: Tensor, output: HeadOutput, members: Groups, kinds: int) -> "Found":
        """Of spans (spans, 4): sentence, first word, word behind the last, label.

        Those of sentences of no document are none.
        """
        layout, device = output.layout, items.device
        inside = np.zeros(layout.sentences, dtype=bool)
        inside[members.members] = True
        items = items[placed(inside, device)[items[:, 0]]]
        ranks = np.zeros(layout.sentences, dtype=np.int64)
        ranks[members.members] = np.arange(len(members.members))
        documents = np.repeat(np.arange(len(members)), members.sizes)
        begins = np.cumsum(members.sizes) - members.sizes
        longest = int(layout.word_counts.max(initial=0)) + 1
        order = placed(ranks, device)
        key = _key(order[items[:, 0]], items[:, 1], items[:, 2], longest)
        at = first_of_each(key[:, None])
        sentence, start, end, label = items[at].unbind(1)
        first = placed(layout.word_starts[:-1], device)[sentence] + start
        last = first + end - start - 1
        words = layout.tensor("word_keys")
        totals = F.pad(words.cumsum(0), (1, 0))
        keys = words[first], words[last], totals[last + 1] - totals[first]
        rank = order[sentence]
        return cls(
            rank,
            sentence,
            placed(documents, device)[rank],
            start,
            end,
            first,
            last,
            torch.where(label == MISSING, kinds, label),
            keys,
            order,
            placed(begins, device),
            longest,
        )

    def earlier(self, values: Tensor, window: int, *, fill: int = 0) -> Tensor:
        """(mentions, window): the values (mentions,) of those before each, the nearest first."""
        padded = F.pad(values, (window, 0), value=fill)
        return padded.unfold(0, window, 1)[: len(values)].flip(1)

    def before(self, window: int) -> Tensor:
        """(mentions, window) bool: whether there is one in the document."""
        return self.earlier(self.document, window, fill=-1) == self.document[:, None]

    def features(self, window: int, kinds: int) -> list[Tensor]:
        """For each kind of what is counted of a pair, (mentions, window) its place in a table."""
        count = len(self.first)
        apart = _step(torch.arange(1, window + 1, device=self.first.device)).expand(count, -1)
        sentences = _step(self.rank[:, None] - self.earlier(self.rank, window))
        single = self.start + 1 == self.end
        same = torch.zeros_like(sentences)
        for key in self.keys:
            same = 2 * same + (self.earlier(key, window) == key[:, None])
        same = 2 * same + single[:, None]
        same = 2 * same + self.earlier(single.long(), window)
        return [apart, sentences, same, self.earlier(self.kind, window, fill=kinds)]

    def entities(self, items: Tensor) -> Tensor:
        """(mentions,) the gold entity of each, -1 where it is no gold mention."""
        if not len(items) or not len(self.first):
            return torch.full_like(self.first, -1)
        own = _key(self.rank, self.start, self.end, self.longest)
        wanted = _key(self.ranks[items[:, 0]], items[:, 1], items[:, 2], self.longest)
        place = torch.searchsorted(own, wanted).clamp(max=len(own) - 1)
        there = own[place] == wanted
        found = torch.full_like(self.first, -1)
        found[place[there]] = items[there, 3]
        return found

    def clusters(self, root: Tensor) -> list[np.ndarray]:
        """Of each document its mentions with the number of their entity; root is the first of it.

        Shapes: as `CoreferenceHead.decode` gives them.
        """
        starts = (root == torch.arange(len(root), device=root.device)).long()
        numbers = starts.cumsum(0)
        # How many entities begin before the document.
        document = self.document
        least = torch.full((len(self.begins),), len(root) + 1, device=root.device)
        least = least.scatter_reduce(0, document, numbers - starts, "amin")
        number = numbers[root] - 1 - least[document]
        place = self.rank - self.begins[document]
        rows = torch.stack([place, self.start, self.end, number, torch.zeros_like(place)], dim=1)
        counts = torch.bincount(document, minlength=len(self.begins)).cpu().numpy()
        return split_by_sentence(rows.cpu().numpy(), counts)


def _key(rank: Tensor, start: Tensor, end: Tensor, longest: int) -> Tensor:
    """Numbers that rise with the order of the text, of nested spans the longer first."""
    return (rank * longest + start) * longest + (longest - 1 - end)


def _step(distance: Tensor) -> Tensor:
    """0 for none, 1 to 4 as they are, then by powers of two, up to `_STEPS` - 1."""
    far = 3 + torch.log2(distance.clamp(min=4).float()).floor().long()
    return torch.where(distance < 5, distance, far).clamp(0, _STEPS - 1)


def _band(wanted: Tensor, given: Tensor, window: int) -> Tensor:
    """(mentions, window): the product of each row of `wanted` with the k-th row of `given` above.

    By blocks of `window` rows, each with the two blocks that hold all it needs.
    """
    count, size = wanted.shape
    blocks = max(1, -(-count // window))
    rows = F.pad(wanted, (0, 0, 0, blocks * window - count)).view(blocks, window, size)
    others = F.pad(given, (0, 0, window, blocks * window - count)).unfold(0, 2 * window, window)
    product = rows @ others  # (blocks, window, 2 window)
    at = torch.arange(window, device=wanted.device)
    columns = window + at[:, None] - 1 - at
    return product.gather(2, columns.expand(blocks, -1, -1)).flatten(0, 1)[:count]
