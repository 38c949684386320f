"""Examples for the loop: held in memory, or several stored splits one after the other."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from hiermtl.arrays import joined, zeros
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
    """Several splits as one, each cut to its first `limit` examples if that is given."""

    def __init__(
        self, parts: Sequence[Examples], *, limit: int | None = None, names: Sequence[str] = ()
    ) -> None:
        """Takes parts with any tasks each; a part without a task has no items of it.

        `names` are those of the parts' corpora.
        """
        self._parts = list(parts)
        self._names = list(names) or [""] * len(self._parts)
        sizes = [len(part) if limit is None else min(limit, len(part)) for part in parts]
        self._ends = np.cumsum(sizes)
        cut = list(zip(parts, sizes, strict=True))
        self.lengths = joined([part.lengths[:n] for part, n in cut])
        self.words = joined([part.words[:n] for part, n in cut])
        tasks = sorted({task for part in parts for task in part.items})
        self.items = {
            task: joined(
                [p.items[task][:n] if task in p.items else zeros(n, np.int32) for p, n in cut]
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
            for place, example in zip(
                chosen, part.fetch(places[chosen] - starts[number]), strict=True
            ):
                out[place] = example
        return [example for example in out if example is not None]

    def place(self, index: int) -> tuple[str, int]:
        """The name of the part's corpus, and the number there."""
        part = int(np.searchsorted(self._ends, index, side="right"))
        _, number = self._parts[part].place(index - (int(self._ends[part - 1]) if part else 0))
        return self._names[part], number


def _items(example: Example | Group, task: str) -> int:
    if isinstance(example, Group):
        return int(task in example.gold) + sum(_items(member, task) for member in example.examples)
    gold = example.gold.get(task)
    return 0 if gold is None else int((gold[min(gold)] != MISSING).sum())
