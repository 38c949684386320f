"""The records that flow from sentences to labels: Example, Layout, Batch, Stream, HeadOutput.

Axes: *sentences* of a batch; *groups* of sentences that are judged as one, a text or the two of a
pair; *rows*, the encoder's sequences (a sentence longer than the encoder has several, its windows);
*units*, all positions of all rows one after the other, and behind them some of no row
(`recurring`); *words* of all sentences one after the other.

Encoder states are always (units, width). How units form rows is the `Layout`'s business alone: rows
may be padded to one length or lie end to end without padding ("flat"). Heads see words only,
(words, width), and so never see padding.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

Made = TypeVar("Made")

PROCESSOR = torch.device("cpu")

Unit: TypeAlias = Literal["word", "text", "pair", "document"]
"""What a head judges: each word (or what stands among the words of a sentence), a text as one
sentence, two that are compared, or the sentences of a document together."""

MISSING = -100
"""The label id of a word without gold: `ignore_index` of torch's losses."""


@dataclass(frozen=True, slots=True)
class Example:
    """One sentence as the collator reads it.

    Shapes: pieces (pieces,) ids without special tokens; piece_counts (words,) pieces of each word,
    at least 1; features: further arrays of the encoder's tokenizer; gold: task -> name -> (words,)
    int64 with `MISSING` where a word is not annotated. A task without any gold here is absent from
    `gold`. Tasks that find items among the words have them in `items`, (items, numbers) as their
    head's layer says (`spans`: first word, word behind the last, label), and nothing in `gold` but
    their name; without that the items are for others to read.
    """

    pieces: np.ndarray
    piece_counts: np.ndarray
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    gold: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    index: int = 0
    items: Mapping[str, np.ndarray] = field(default_factory=dict)

    def only(self, task: str) -> "Example":
        """The same sentence with the gold of one task."""
        return replace(self, gold=_of(self.gold, task))


@dataclass(frozen=True, slots=True)
class Group:
    """Sentences that are judged as one: a text, the two of a pair, or a document, in their order.

    `gold`: task -> a label's id or a number; of a task that judges documents any, for its gold are
    `items` of the sentences. Their own tasks the sentences carry themselves.
    """

    examples: tuple[Example, ...]
    gold: Mapping[str, int | float] = field(default_factory=dict)
    index: int = 0
    document: bool = False

    @property
    def unit(self) -> Unit:
        """What it is."""
        if self.document:
            return "document"
        return "text" if len(self.examples) == 1 else "pair"

    def only(self, task: str) -> "Group":
        """The same sentences with the gold of one task, of the group and of its members."""
        members = tuple(example.only(task) for example in self.examples)
        return replace(self, examples=members, gold=_of(self.gold, task))


@dataclass(frozen=True, eq=False, slots=True)
class Groups:
    """Which sentences are judged together.

    Shapes: members (members of all groups,) places of sentences, group after group; sizes
    (groups,); units (groups,) what each is, as text.
    """

    members: np.ndarray
    sizes: np.ndarray
    units: np.ndarray

    def __len__(self) -> int:
        return len(self.sizes)

    def inside(self, sentences: np.ndarray, unit: Unit) -> np.ndarray:
        """Places of the groups of this unit whose sentences are all among these (ascending)."""
        there = np.isin(self.members, sentences)
        starts = np.cumsum(self.sizes) - self.sizes
        missing = np.add.reduceat(~there, starts) if len(starts) else np.zeros(0, dtype=np.int64)
        return np.flatnonzero((missing == 0) & (self.units == unit))

    def at(self, places: np.ndarray) -> "Groups":
        """The groups at these places (ascending)."""
        chosen = np.zeros(len(self), dtype=bool)
        chosen[places] = True
        members = self.members[np.repeat(chosen, self.sizes)]
        return Groups(members, self.sizes[places], self.units[places])

    def within(self, sentences: np.ndarray) -> "Groups":
        """The same groups, their sentences counted among these (ascending)."""
        return Groups(np.searchsorted(sentences, self.members), self.sizes, self.units)


@dataclass(frozen=True, eq=False)
class Layout:
    """How the units of some sentences form rows and words; arrays on the host.

    Shapes: word_counts (sentences,); row_sentences, row_lengths, row_starts (rows,); word_units
    (words,) unit of each word's first piece; piece_units, piece_words (pieces,) each piece's unit
    and word, pieces their ids; scatter_units, scatter_words: units and words for every copy of a
    piece, copies in overlapping windows included. Rows of a sentence are neighbours and in the
    order of its text. `padded` is the common row length, or 0 when rows lie end to end; then
    `units` is `recurring` and those behind the last row belong to none.
    """

    word_counts: np.ndarray
    row_sentences: np.ndarray
    row_lengths: np.ndarray
    row_starts: np.ndarray
    units: int
    padded: int
    word_units: np.ndarray
    piece_units: np.ndarray
    piece_words: np.ndarray
    pieces: np.ndarray
    scatter_units: np.ndarray
    scatter_words: np.ndarray
    device: torch.device
    _cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def sentences(self) -> int:
        """The number of sentences."""
        return len(self.word_counts)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.row_lengths)

    @cached_property
    def word_starts(self) -> np.ndarray:
        """(sentences + 1,): where each sentence's words begin among all words."""
        return np.concatenate([[0], np.cumsum(self.word_counts)])

    @property
    def words(self) -> int:
        """The number of words."""
        return int(self.word_starts[-1])

    @cached_property
    def word_sentences(self) -> np.ndarray:
        """(words,): the sentence of each word."""
        return np.repeat(np.arange(self.sentences), self.word_counts)

    @cached_property
    def word_keys(self) -> np.ndarray:
        """(words,) int64: numbers that are the same for words of the same pieces."""
        if not self.words:
            return np.zeros(0, dtype=np.int64)
        first = np.searchsorted(self.piece_words, np.arange(self.words))
        within = np.arange(len(self.pieces)) - first[self.piece_words]
        # Multiplied by odd numbers and mixed, so that sums of several words rarely meet.
        mixed = (self.pieces.astype(np.uint64) + 1) * np.uint64(0x9E3779B97F4A7C15)
        mixed *= (2 * within.astype(np.uint64) + 1) * np.uint64(0xD1342543DE82EF95) | np.uint64(1)
        mixed ^= mixed >> np.uint64(29)
        return np.add.reduceat(mixed, first).view(np.int64)

    def tensor(self, name: str) -> Tensor:
        """The array of that name as a tensor on the device."""
        return self.cached(name, lambda: self._move(getattr(self, name)))

    def _move(self, array: np.ndarray) -> Tensor:
        return placed(array, self.device)

    def cached(self, key: object, make: Callable[[], Made]) -> Made:
        """`make()`, computed once for this layout.

        Encoders and heads keep masks and orderings here.
        """
        if key not in self._cache:
            self._cache[key] = make()
        return cast("Made", self._cache[key])

    def gather(self, values: Tensor, pooling: str) -> Tensor:
        """(units, width) states to (words, width).

        Each word's first piece, or the mean of its pieces.
        """
        if pooling == "first" or len(self.piece_units) == len(self.word_units):
            return values.index_select(0, self.tensor("word_units"))
        pieces = values.index_select(0, self.tensor("piece_units"))
        words = self.tensor("piece_words")
        total = pieces.new_zeros(self.words, pieces.shape[-1]).index_add_(0, words, pieces)
        return total / torch.bincount(words, minlength=self.words).unsqueeze(-1).to(total.dtype)

    def scatter(self, words: Tensor) -> Tensor:
        """(words, width) to (units, width).

        Every piece of a word gets its vector, special and padding units get 0.
        """
        out = words.new_zeros(self.units, words.shape[-1])
        return out.index_copy(
            0, self.tensor("scatter_units"), words.index_select(0, self.tensor("scatter_words"))
        )

    def select(self, sentences: np.ndarray) -> "Selection":
        """The layout of some sentences (ascending indices), and how to take their units."""
        if len(sentences) == self.sentences:  # kept, it would hold the layout that keeps it
            return Selection(self, sentences, None, None)
        return self.cached(("select", sentences.tobytes()), lambda: self._select(sentences))

    def _select(self, sentences: np.ndarray) -> "Selection":
        chosen = np.zeros(self.sentences, dtype=bool)
        chosen[sentences] = True
        row_kept = chosen[self.row_sentences]
        word_kept = np.repeat(chosen, self.word_counts)
        stride = np.full(self.rows, self.padded) if self.padded else self.row_lengths
        unit_kept = np.repeat(row_kept, stride)
        units = int(unit_kept.sum())
        whole = units if self.padded else recurring(units, device=self.device)
        new_unit, new_word = np.cumsum(unit_kept) - 1, np.cumsum(word_kept) - 1
        piece_kept, copy_kept = word_kept[self.piece_words], word_kept[self.scatter_words]
        # A row without units may stand behind the last unit.
        before = np.append(0, np.cumsum(unit_kept))
        layout = Layout(
            word_counts=self.word_counts[sentences],
            row_sentences=(np.cumsum(chosen) - 1)[self.row_sentences[row_kept]],
            row_lengths=self.row_lengths[row_kept],
            row_starts=before[self.row_starts[row_kept]],
            units=whole,
            padded=self.padded,
            word_units=new_unit[self.word_units[word_kept]],
            piece_units=new_unit[self.piece_units[piece_kept]],
            piece_words=new_word[self.piece_words[piece_kept]],
            pieces=self.pieces[piece_kept],
            scatter_units=new_unit[self.scatter_units[copy_kept]],
            scatter_words=new_word[self.scatter_words[copy_kept]],
            device=self.device,
        )
        prefix = bool(sentences.size == 0 or sentences[-1] == sentences.size - 1)
        if prefix:
            return Selection(layout, sentences, slice(0, layout.units), slice(0, layout.words))
        taken = np.pad(np.flatnonzero(unit_kept), (0, whole - units))
        return Selection(
            layout, sentences, self._move(taken), self._move(np.flatnonzero(word_kept))
        )


@dataclass(frozen=True, eq=False, slots=True)
class Selection:
    """Some sentences of a layout.

    Their own layout, and the units and words to take (a slice where they come first).
    """

    layout: Layout
    sentences: np.ndarray
    units: slice | Tensor | None
    words: slice | Tensor | None

    def take_units(self, values: Tensor) -> Tensor:
        """(units of the wider layout, ...) to (units of this one, ...)."""
        return take(values, self.units)

    def take_words(self, values: Tensor) -> Tensor:
        """(words of the wider layout, ...) to (words of this one, ...)."""
        return take(values, self.words)


def _of(gold: Mapping[str, Made], task: str) -> dict[str, Made]:
    return {task: gold[task]} if task in gold else {}


def recurring(
    count: int, steps: int = 16, grain: int = 8, *, device: torch.device = PROCESSOR
) -> int:
    """A count of rows of a matrix, rounded up: by the share 1 / `steps`, or to the next `grain`.

    For a size they have not met yet, matrix libraries for processors write code and keep it, which
    takes longer than many a product; of rounded sizes few occur. Those for other devices have code
    for all sizes, so that there only the grain counts.
    """
    if device.type == "cpu":
        grain = max(grain, (1 << max(0, (count - 1).bit_length() - 1)) // steps)
    return -(-count // grain) * grain


def placed(array: np.ndarray, device: torch.device) -> Tensor:
    """The array as a tensor on a device.

    From memory that is pinned a graphics processor takes it when it comes to it; otherwise this
    process would wait until all it was given before is done.
    """
    values = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def take(values: Tensor, index: slice | Tensor | None) -> Tensor:
    """Entries of the first axis; `None` takes all of them."""
    if index is None:
        return values
    return values[index] if isinstance(index, slice) else values.index_select(0, index)


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """Sentences on their way through the model.

    Shapes: inputs: what the encoder's embedding reads, by name (`ids` and `positions` are
    (units,)); gold: task -> name -> (words,) with `MISSING`; annotated: task -> (sentences,) bool,
    whether the sentence has gold for the task, its own or that of a group it belongs to. `order`
    gives for each sentence its place in the list the batch was made from, counted over the
    sentences of all its entries. `groups` are the entries that are groups, in their order, and
    `group_gold` maps tasks that judge groups to (groups,) ids with `MISSING`, or numbers with NaN.
    `items`, on the host, are those of tasks that find items: (items, 1 + numbers), the sentence
    first; and `itemised` says of which sentences they are told, (sentences,) bool.
    """

    layout: Layout
    inputs: Mapping[str, Tensor]
    gold: Mapping[str, Mapping[str, Tensor]]
    annotated: Mapping[str, np.ndarray]
    order: np.ndarray
    groups: Groups
    group_gold: Mapping[str, Tensor]
    items: Mapping[str, np.ndarray] = field(default_factory=dict)
    itemised: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Stream:
    """One column of states.

    Values (units, width) of the sentences named by `sentences` (ascending, in the batch).
    """

    values: Tensor
    layout: Layout
    sentences: np.ndarray

    def narrow(self, sentences: np.ndarray) -> "Stream":
        """The same stream for fewer sentences; itself when they are the same."""
        if len(sentences) == len(self.sentences):
            return self
        chosen = self.layout.select(np.searchsorted(self.sentences, sentences))
        return Stream(chosen.take_units(self.values), chosen.layout, sentences)

    def replace(self, values: Tensor) -> "Stream":
        """Other states for the same sentences."""
        return Stream(values, self.layout, self.sentences)


@dataclass(frozen=True, eq=False, slots=True)
class Tap:
    """What a head reads: word states (words, width) of some sentences, and their layout.

    A head that judges groups also reads which these are, and, of tasks it depends on, how probable
    their labels are, (groups, labels).
    """

    values: Tensor
    layout: Layout
    groups: Groups | None = None
    lower: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class HeadOutput:
    """A head's scores for the sentences it ran on.

    `scores` are the head's own tensors, words first; those of a head that judges texts or pairs
    have these first. `groups` are the places in the batch of those it judges, and `members` which
    of its own sentences they are. Of a head that reads what other tasks find, `read` is that, for
    each (items, 1 + numbers), the sentence first; `given` are its own items where only the rest of
    them is asked.
    """

    scores: Mapping[str, Tensor]
    layout: Layout
    sentences: np.ndarray
    groups: np.ndarray | None = None
    members: Groups | None = None
    read: Mapping[str, Tensor] = field(default_factory=dict)
    given: Tensor | None = None

    def narrow(self, sentences: np.ndarray) -> "HeadOutput":
        """The same for fewer sentences of the batch (ascending), and the groups that lie in them.

        Not of a head that judges documents.
        """
        if len(sentences) == len(self.sentences):
            return self
        at = self.positions(sentences)
        chosen = self.layout.select(at)
        if self.groups is not None and self.members is not None:
            units = self.members.units
            places = (
                self.members.inside(at, units[0]) if len(units) else np.zeros(0, dtype=np.int64)
            )
            rows = placed(places, self.layout.device)
            return replace(
                self,
                scores={n: values.index_select(0, rows) for n, values in self.scores.items()},
                layout=chosen.layout,
                sentences=sentences,
                groups=self.groups[places],
                members=self.members.at(places).within(at),
            )
        scores = {
            name: values if name.startswith("root_") else chosen.take_words(values)
            for name, values in self.scores.items()
        }
        return replace(self, scores=scores, layout=chosen.layout, sentences=sentences)

    def means(
        self, values: Tensor, groups: Groups, *, there: np.ndarray | None = None
    ) -> tuple[np.ndarray, Tensor]:
        """Sentences that have any of the values, ascending, and the mean of each's own.

        `groups` are the batch's. Shapes: values, of the words, or of the groups of a head that
        judges these; there, likewise, bool, which of them count (by default all).
        """
        chosen = np.arange(len(values)) if there is None else np.flatnonzero(there)
        if self.groups is None:
            owners = self.sentences[self.layout.word_sentences][chosen]
        else:
            judged = groups.at(self.groups[chosen])
            owners, chosen = judged.members, np.repeat(chosen, judged.sizes)
        own = values[placed(chosen, values.device)]
        sentences, places, counts = np.unique(owners, return_inverse=True, return_counts=True)
        total = own.new_zeros(len(sentences)).index_add(0, placed(places, own.device), own)
        return sentences, total / placed(counts, own.device)

    def rows_of(self, groups: np.ndarray) -> Tensor:
        """Where these groups of the batch (ascending) stand in this output, of a head of groups."""
        assert self.groups is not None
        return torch.from_numpy(np.searchsorted(self.groups, groups))

    def positions(self, sentences: Sequence[int] | np.ndarray) -> np.ndarray:
        """Where these sentences of the batch stand in this output."""
        return np.searchsorted(self.sentences, np.asarray(sentences))
