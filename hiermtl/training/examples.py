"""Examples for the loop: held in memory, or several stored splits one after the other."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from hiermtl.arrays import joined, taken, zeros
from hiermtl.records import MISSING, Example, Group


class Examples(Protocol):
    """Random access to tokenized examples: sentences, or groups of them that are judged as one.

    Shapes: lengths (examples,) pieces; words (examples,); items: task -> (examples,) labelled
    items.
    """

    lengths: np.ndarray
    words: np.ndarray

    @property
    def items(self) -> Mapping[str, np.ndarray]:
        """Task -> (examples,) labelled items."""
        ...

    def __len__(self) -> int:
        """The number of examples."""
        ...

    def fetch(self, indices: Sequence[int]) -> Sequence[Example | Group]:
        """These examples, in this order."""
        ...

    def place(self, index: int) -> tuple[str, int]:
        """Where an example comes from: a corpus, and its number there, from 1."""
        ...


class MemoryExamples:
    """A list of examples: for small corpora, benchmarks and tests, without `datasets`."""

    def __init__(self, examples: Iterable[Example | Group]) -> None:
        """Counts pieces, words and labelled items once.

        A word counts as an item of a task when its first gold array, in order of name, is not
        `MISSING`.
        """
        self._examples = list(examples)
        members = [e.examples if isinstance(e, Group) else (e,) for e in self._examples]
        self.lengths = np.array([sum(len(e.pieces) for e in of) for of in members], dtype=np.int32)
        self.words = np.array(
            [sum(len(e.piece_counts) for e in of) for of in members], dtype=np.int32
        )
        tasks = sorted(
            {task for e in self._examples for task in e.gold}
            | {task for of in members for e in of for task in e.gold}
        )
        self.items = {
            task: np.array([_items(e, task) for e in self._examples], dtype=np.int32)
            for task in tasks
        }

    def __len__(self) -> int:
        """The number of examples."""
        return len(self._examples)

    def fetch(self, indices: Sequence[int]) -> Sequence[Example | Group]:
        """These examples, in this order."""
        return [self._examples[i] for i in indices]

    def place(self, index: int) -> tuple[str, int]:
        """No corpus, and the number in the list."""
        return "", index + 1


class ChainedExamples:
    """Several splits as one, of each all examples or some."""

    def __init__(
        self,
        parts: Sequence[Examples],
        *,
        chosen: Sequence[np.ndarray | None] | None = None,
        names: Sequence[str] = (),
    ) -> None:
        """Takes parts with any tasks each; a part without a task has no items of it.

        `chosen` are the places of each part's examples, ascending, `None` for all; `names` are
        those of the parts' corpora.
        """
        self._names = list(names) or [""] * len(parts)
        places = [None] * len(parts) if chosen is None else chosen
        cut = [_Cut(part, at) for part, at in zip(parts, places, strict=True)]
        self._parts = cut
        self._ends = np.cumsum([part.size for part in cut])
        self.lengths = joined([part.of(part.whole.lengths) for part in cut])
        self.words = joined([part.of(part.whole.words) for part in cut])
        tasks = sorted({task for part in parts for task in part.items})
        self.items = {
            task: joined(
                [
                    part.of(part.whole.items[task])
                    if task in part.whole.items
                    else zeros(part.size, np.int32)
                    for part in cut
                ]
            )
            for task in tasks
        }

    def __len__(self) -> int:
        """The number of examples."""
        return int(self._ends[-1])

    def fetch(self, indices: Sequence[int]) -> Sequence[Example | Group]:
        """These examples, in this order."""
        if len(self._parts) == 1:
            return self._parts[0].fetch(indices)
        places = np.asarray(indices)
        part_of = np.searchsorted(self._ends, places, side="right")
        starts = np.concatenate([[0], self._ends[:-1]])
        out: list[Example | Group | None] = [None] * len(places)
        for number, part in enumerate(self._parts):
            chosen = np.flatnonzero(part_of == number)
            own = (places[chosen] - starts[number]).tolist()
            for place, example in zip(chosen, part.fetch(own), strict=True):
                out[place] = example
        return [example for example in out if example is not None]

    def place(self, index: int) -> tuple[str, int]:
        """The name of the part's corpus, and the number there."""
        part = int(np.searchsorted(self._ends, index, side="right"))
        own = index - (int(self._ends[part - 1]) if part else 0)
        _, number = self._parts[part].place(own)
        return self._names[part], number


class _Cut:
    """Some examples of a split, or all."""

    def __init__(self, whole: Examples, at: np.ndarray | None) -> None:
        self.whole, self._at = whole, at
        self.size = len(whole) if at is None else len(at)

    def of(self, values: np.ndarray) -> np.ndarray:
        """What values (all examples,) are of these: (size,)."""
        return values if self._at is None else taken(values, self._at)

    def fetch(self, indices: Sequence[int]) -> Sequence[Example | Group]:
        """These examples, in this order."""
        at = self._at
        return self.whole.fetch(indices if at is None else at[list(indices)].tolist())

    def place(self, index: int) -> tuple[str, int]:
        """Where the whole has it."""
        return self.whole.place(index if self._at is None else int(self._at[index]))


def _items(example: Example | Group, task: str) -> int:
    if isinstance(example, Group):
        return int(task in example.gold) + sum(_items(member, task) for member in example.examples)
    gold = example.gold.get(task)
    return 0 if gold is None else int((gold[min(gold)] != MISSING).sum())
