"""What the training loop reads of a split: arrays straight from Arrow, label ids of the model."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hiermtl.arrays import joined, new_array, parts, taken, zeros
from hiermtl.corpus.names import PLACES, Kind, label_column, place_column
from hiermtl.errors import DataError, listing
from hiermtl.records import MISSING, Example, Group

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task's gold: its layer, the layer's kind, and the model's labels by id."""

    layer: str
    kind: Kind
    labels: tuple[str, ...]


class _Lists:
    """A column of lists, not copied: offsets, values and which rows are there, by Arrow chunk."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        chunks = [chunk for chunk in column.chunks if len(chunk)]
        self.starts = [0, *accumulate(map(len, chunks))]
        self.offsets = [chunk.offsets.to_numpy() for chunk in chunks]
        self.values = [chunk.values.to_numpy() for chunk in chunks]
        self._there = [_bits(chunk) for chunk in chunks]

    def find(self, index: int) -> tuple[int, int]:
        """The chunk of a row, and its place in it."""
        chunk = bisect_right(self.starts, index) - 1
        return chunk, index - self.starts[chunk]

    def row(self, chunk: int, place: int) -> np.ndarray | None:
        """A view of the row's values; `None` where the row is null."""
        offsets = self.offsets[chunk]
        there = self._there[chunk]
        if there is not None:
            bits, first = there
            at = first + place
            if not bits[at >> 3] >> (at & 7) & 1:
                return None
        return self.values[chunk][offsets[place] : offsets[place + 1]]

    def lengths(self) -> np.ndarray:
        """(rows,) int32: the number of values; 0 where null."""
        found = new_array(self.starts[-1], np.int32)
        for first, offsets in zip(self.starts, self.offsets, strict=False):
            found[first : first + len(offsets) - 1] = np.diff(offsets)
        return found

    def there(self) -> np.ndarray:
        """(rows,) bool: which rows are not null."""
        found = new_array(self.starts[-1], np.bool_)
        found[:] = True
        for first, offsets, bits in zip(self.starts, self.offsets, self._there, strict=False):
            if bits is not None:
                taken, at = bits
                size = len(offsets) - 1
                own = np.unpackbits(taken, bitorder="little", count=at + size)[at:]
                found[first : first + size] = own.astype(bool)
        return found

    def count(self, kept: np.ndarray) -> np.ndarray:
        """(rows,) int32: how many values v of each row have `kept[v]`; -1 reads the last entry."""
        found = new_array(self.starts[-1], np.int32)
        for first, offsets, values in zip(self.starts, self.offsets, self.values, strict=False):
            total = np.concatenate([[0], np.cumsum(kept[values])])
            found[first : first + len(offsets) - 1] = total[offsets[1:]] - total[offsets[:-1]]
        return found


def _bits(chunk: pa.Array) -> tuple[np.ndarray, int] | None:
    """Arrow's own bits that say which rows are there, and which is the first row's."""
    buffer = chunk.buffers()[0]
    if buffer is None or not chunk.null_count:
        return None
    return np.frombuffer(buffer, dtype=np.uint8), chunk.offset


class Examples:
    """Examples of one split.

    Shapes: `lengths` and `words` (examples,) int32, pieces and words of each; `items[task]`
    (examples,) int32, its words with a label the model knows, of a tree its words with a head; of
    spans and what holds between them all words, for each could begin one.
    """

    def __init__(
        self, split: "Dataset", encoded: "Dataset", *, tasks: Mapping[str, Wanted]
    ) -> None:
        """Opens the columns; a task whose layer `split` lacks has no gold.

        `split` and `encoded` have the same rows.

        Raises:
            DataError: Rows differ in number, rows were selected or shuffled (which would make every
                access a look-up: choose indices for `fetch` instead), or a task's layer is of
                another kind.
        """
        if len(split) != len(encoded):
            raise DataError(
                f"{len(split)} sentences but {len(encoded)} encoded ones; encode this very split"
            )
        for data in (split, encoded):
            if getattr(data, "_indices", None) is not None:
                raise DataError(
                    "rows were selected or shuffled; give the stored split and pass indices to "
                    "`fetch`"
                )
        table = encoded.data
        self.tasks = dict(tasks)
        self._count = len(split)
        self._features = {name: _Lists(table.column(name)) for name in encoded.column_names}
        self._labels: dict[str, _Lists] = {}
        self._beside: dict[str, _Lists] = {}
        self._lookups: dict[str, np.ndarray] = {}
        self.lengths = self._features["pieces"].lengths()
        self.words = self._features["piece_counts"].lengths()
        for task, wanted in tasks.items():
            column = label_column(wanted.layer, wanted.kind)
            beside = place_column(wanted.layer, wanted.kind)
            columns = [name for name in (column, beside) if name is not None]
            if set(columns) <= set(split.column_names):
                self._labels[task] = _Lists(split.data.column(column))
                names = split.features[column].feature.names
                place = {label: number for number, label in enumerate(wanted.labels)}
                known = [place.get(name, MISSING) for name in names]
                # The last entry answers for -1, a word without label.
                self._lookups[task] = np.array([*known, MISSING], dtype=np.int64)
                if beside is not None:
                    self._beside[task] = _Lists(split.data.column(beside))
            elif any(name.partition(".")[0] == wanted.layer for name in split.column_names):
                raise DataError(
                    f"task {task!r} reads layer {wanted.layer!r} as {wanted.kind}, but it is of "
                    f"another kind; the split has {listing(split.column_names)}"
                )

    def __len__(self) -> int:
        return self._count

    @cached_property
    def items(self) -> dict[str, np.ndarray]:
        """Task -> (examples,) int32: labelled items."""
        out = {}
        for task in self.tasks:
            if task not in self._labels:
                out[task] = zeros(self._count, np.int32)
            elif self.tasks[task].kind == "tree":
                # Heads are -1 or at most the longest sentence.
                kept = np.ones(int(self.words.max(initial=0)) + 2, dtype=bool)
                kept[-1] = False
                out[task] = self._beside[task].count(kept)
            elif task in self._beside:
                out[task] = self.words * self._labels[task].there()
            else:
                out[task] = self._labels[task].count(self._lookups[task] != MISSING)
        return out

    def place(self, index: int) -> tuple[str, int]:
        """No corpus, and the number of the sentence."""
        return "", index + 1

    def fetch(self, indices: Sequence[int]) -> list[Example]:
        """The examples at these places, in this order.

        `gold` lacks the tasks a sentence has no layer for.

        Raises:
            IndexError: An index is negative or not less than the number of examples.
        """
        return [self._example(int(index)) for index in indices]

    def _example(self, index: int) -> Example:
        if not 0 <= index < self._count:
            raise IndexError(f"example {index} of {self._count}")
        pieces = self._features["pieces"]
        # All columns of `encoded` were written in the same chunks, and so were those of the split.
        at = pieces.find(index)
        features = {name: column.row(*at) for name, column in self._features.items()}
        gold: dict[str, dict[str, np.ndarray]] = {}
        items: dict[str, np.ndarray] = {}
        place: tuple[int, int] | None = None
        for task, labels in self._labels.items():
            place = place or labels.find(index)
            row = labels.row(*place)
            if row is None:
                continue
            found = self._lookups[task][row]
            if task not in self._beside:
                gold[task] = {"labels": found}
                continue
            beside = self._beside[task].row(*place)
            if beside is None:
                continue
            beside = beside.astype(np.int64)
            each = PLACES.get(self.tasks[task].kind)
            if each is not None:
                gold[task] = {}
                items[task] = np.column_stack([beside.reshape(-1, each), found])
                continue
            beside[beside < 0] = MISSING
            gold[task] = {"heads": beside, "relations": found}
        return Example(
            pieces=_there(features.pop("pieces")),
            piece_counts=_there(features.pop("piece_counts")),
            features={name: _there(row) for name, row in features.items()},
            gold=gold,
            index=index,
            items=items,
        )


class PassageExamples:
    """Examples of a split whose sentences are parts of passages: a passage is one example.

    What is part of none is an example too, behind the passages: each sentence, or each document of
    such. Shapes: as `Examples`; `items` of a task that judges passages are 1 where its label is
    there and known to the model.
    """

    def __init__(
        self,
        sentences: Examples,
        passages: "Dataset",
        *,
        tasks: Mapping[str, Wanted],
        rest: "SomeExamples | DocumentExamples",
    ) -> None:
        """Takes the examples of the sentences, and the tasks that judge passages.

        `rest` are the examples of what is in no passage.
        """
        self.tasks = {**sentences.tasks, **tasks}
        self._sentences, self._passages, self._rest = sentences, passages, rest
        self._rows = _Lists(passages.data.column("sentences"))
        self._gold: dict[str, np.ndarray] = {}
        for task, wanted in tasks.items():
            if wanted.layer not in passages.column_names:
                continue
            chunks = passages.data.column(wanted.layer).chunks
            number = wanted.kind == "number"
            found = new_array(len(passages), np.float64 if number else np.int64)
            place = {label: number for number, label in enumerate(wanted.labels)}
            names = [] if number else passages.features[wanted.layer].names
            known = np.array([place.get(name, MISSING) for name in names] + [MISSING])
            first = 0
            for chunk in chunks:
                values = (
                    chunk.to_numpy(zero_copy_only=False)
                    if number
                    else known[chunk.fill_null(-1).to_numpy()]
                )
                found[first : first + len(chunk)] = values
                first += len(chunk)
            self._gold[task] = found
        self.lengths = joined([self._summed(sentences.lengths), self._rest.lengths])
        self.words = joined([self._summed(sentences.words), self._rest.words])

    def __len__(self) -> int:
        return len(self._passages) + len(self._rest)

    @cached_property
    def items(self) -> dict[str, np.ndarray]:
        """Task -> (examples,) int32: labelled items."""
        rest = self._rest.items
        out = {
            task: joined([self._summed(counts), rest[task]])
            for task, counts in self._sentences.items.items()
        }
        for task in self.tasks:
            if task in out:
                continue
            counts = out[task] = new_array(len(self), np.int32)
            counts[:] = 0
            if task in self._gold:
                values = self._gold[task]
                for part in parts(len(values)):
                    counts[part] = _known(values[part])
        return out

    def place(self, index: int) -> tuple[str, int]:
        """No corpus; the number of a passage, or of a sentence that is in none."""
        rest = index - len(self._passages)
        return self._rest.place(rest) if rest >= 0 else ("", index + 1)

    def fetch(self, indices: Sequence[int]) -> list[Example | Group]:
        """The examples at these places, in this order; passages and documents as groups.

        Raises:
            IndexError: An index is negative or not less than the number of examples.
        """
        return [self._example(int(index)) for index in indices]

    def _example(self, index: int) -> Example | Group:
        if not 0 <= index < len(self):
            raise IndexError(f"example {index} of {len(self)}")
        if index >= len(self._passages):
            (found,) = self._rest.fetch([index - len(self._passages)])
            return found
        rows = _there(self._rows.row(*self._rows.find(index)))
        gold: dict[str, int | float] = {}
        for task, values in self._gold.items():
            if _known(values[index]):
                gold[task] = values[index].item()
        return Group(tuple(self._sentences.fetch(rows.tolist())), gold, index)

    def _summed(self, of_sentences: np.ndarray) -> np.ndarray:
        """(sentences,) to (passages,), added up over a passage's sentences."""
        found = new_array(len(self._passages), np.int32)
        for first, offsets, rows in zip(
            self._rows.starts, self._rows.offsets, self._rows.values, strict=False
        ):
            sums = np.add.reduceat(of_sentences[rows], offsets[:-1])
            found[first : first + len(sums)] = sums
        return found


class SomeExamples:
    """The examples of some sentences of a split; shapes as of `Examples`."""

    def __init__(self, sentences: Examples, rows: np.ndarray) -> None:
        """Takes the examples of all, and the places of some, ascending."""
        self._sentences, self._rows = sentences, rows
        self.lengths, self.words = (taken(of, rows) for of in (sentences.lengths, sentences.words))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._rows)

    @cached_property
    def items(self) -> dict[str, np.ndarray]:
        """Task -> (examples,) int32: labelled items."""
        return {task: taken(of, self._rows) for task, of in self._sentences.items.items()}

    def place(self, index: int) -> tuple[str, int]:
        """No corpus, and the number of the sentence in the split."""
        return "", int(self._rows[index]) + 1

    def fetch(self, indices: Sequence[int]) -> list[Example]:
        """The examples at these places, in this order."""
        return self._sentences.fetch([int(self._rows[index]) for index in indices])


class DocumentExamples:
    """Examples of sentences that belong to documents: a document, or a part of one, is one example.

    Shapes: as of `Examples`.
    """

    def __init__(self, sentences: SomeExamples, parts: np.ndarray, *, tasks: Sequence[str]) -> None:
        """Takes the examples of the sentences, and the tasks that judge documents.

        `parts` (sentences,) are numbers, ascending, the same for those of one example.
        """
        self._sentences, self._tasks = sentences, tuple(tasks)
        begins = np.flatnonzero(np.diff(parts, prepend=-1))
        self._starts = np.append(begins, len(parts))
        self.lengths = self._summed(sentences.lengths)
        self.words = self._summed(sentences.words)

    def __len__(self) -> int:
        return len(self._starts) - 1

    @cached_property
    def items(self) -> dict[str, np.ndarray]:
        """Task -> (examples,) int32: labelled items."""
        return {task: self._summed(counts) for task, counts in self._sentences.items.items()}

    def place(self, index: int) -> tuple[str, int]:
        """No corpus; the number of the document's first sentence."""
        return self._sentences.place(int(self._starts[index]))

    def fetch(self, indices: Sequence[int]) -> list[Group]:
        """The documents at these places, in this order.

        Raises:
            IndexError: An index is negative or not less than the number of examples.
        """
        return [self._example(int(index)) for index in indices]

    def _example(self, index: int) -> Group:
        if not 0 <= index < len(self):
            raise IndexError(f"example {index} of {len(self)}")
        rows = range(int(self._starts[index]), int(self._starts[index + 1]))
        found = tuple(self._sentences.fetch(rows))
        gold = {task: 1 for task in self._tasks if any(task in e.gold for e in found)}
        return Group(found, gold, index, document=True)

    def _summed(self, of_sentences: np.ndarray) -> np.ndarray:
        if not len(self):
            return of_sentences[:0]
        return np.add.reduceat(of_sentences, self._starts[:-1], dtype=np.int32)


def _known(values: np.ndarray) -> np.ndarray:
    return ~np.isnan(values) if values.dtype.kind == "f" else values != MISSING


def _there(row: np.ndarray | None) -> np.ndarray:
    if row is None:
        raise DataError(
            "the encoded split has a null row; remove this entry of the cache and run again"
        )
    return row
