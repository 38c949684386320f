"""Examples to a batch: order, rows, windows, gold.

Sentences stand in order of the deepest depth they need, deepest first, then of length, longest
first: those that leave at a low depth leave from the end, and rows of one length are neighbours.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from hiermtl.records import (
    MISSING,
    Batch,
    Example,
    Group,
    Groups,
    Layout,
    Unit,
    placed,
    recurring,
)
from hiermtl.tokens.base import Rows, Tokenizer


class Collator:
    """Makes batches.

    `flat` lays rows end to end without padding; otherwise rows are padded to the longest. Both give
    the same states. `depths` says how deep the encoder must run for a task.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        depths: Mapping[str, int],
        *,
        flat: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        """Takes the model's tokenizer and, per task, the deepest depth it needs."""
        self.tokenizer, self.depths, self.flat = tokenizer, dict(depths), flat
        self.device = torch.device(device)

    def __call__(
        self, entries: Sequence[Example | Group], tasks: Iterable[str] | None = None
    ) -> Batch:
        """A batch of these sentences and groups.

        `tasks` are asked of all of them, or, if `None`, each task of those with its gold. A
        sentence that several groups have in common is then encoded once.
        """
        given = _Given.of(entries, once=tasks is None)
        asked = None if tasks is None else max((self.depths[task] for task in tasks), default=0)
        deepest = [
            max((self.depths[t] for t in found if t in self.depths), default=0)
            if asked is None
            else asked
            for found in given.tasks
        ]
        order = sorted(
            range(len(deepest)), key=lambda i: (-deepest[i], -len(given.examples[i].pieces), i)
        )
        examples = [given.examples[i] for i in order]
        piece_ends = np.cumsum([len(e.pieces) for e in examples])
        rows, row_sentences, own = self._rows(examples, piece_ends)
        word_counts = np.array([len(e.piece_counts) for e in examples])
        piece_counts = np.concatenate([e.piece_counts for e in examples]).astype(np.int64)
        first_pieces = np.cumsum(piece_counts) - piece_counts
        word_of_piece = np.repeat(np.arange(len(piece_counts)), piece_counts)
        unit_of_piece = np.empty(len(rows.pieces), dtype=np.int64)
        unit_of_piece[rows.piece_of_copy[own]] = rows.unit_of_copy[own]
        layout = Layout(
            word_counts=word_counts,
            row_sentences=row_sentences,
            row_lengths=rows.lengths,
            row_starts=rows.starts,
            units=rows.units,
            padded=0 if self.flat else int(rows.lengths.max(initial=0)),
            word_units=unit_of_piece[first_pieces],
            piece_units=unit_of_piece,
            piece_words=word_of_piece,
            pieces=rows.pieces,
            scatter_units=rows.unit_of_copy,
            scatter_words=word_of_piece[rows.piece_of_copy],
            device=self.device,
        )
        inputs = self.tokenizer.inputs(rows, [e.features for e in examples])
        return Batch(
            layout=layout,
            inputs={name: placed(v, self.device) for name, v in inputs.items()},
            gold=self._gold(examples, word_counts),
            annotated={
                t: np.array([t in given.tasks[i] for i in order])
                for t in dict.fromkeys(t for i in order for t in given.tasks[i])
            },
            order=np.array(given.places)[order],
            groups=Groups(
                np.argsort(order)[given.members],
                np.array(given.sizes, dtype=np.int64),
                np.array(given.units, dtype=np.str_),
            ),
            group_gold={
                t: placed(torch.tensor(values).numpy(), self.device)
                for t, values in given.group_gold().items()
            },
            items=_items(examples),
            itemised={
                task: np.array([task in example.items for example in examples])
                for task in dict.fromkeys(task for example in examples for task in example.items)
            },
        )

    def _rows(
        self, examples: Sequence[Example], piece_ends: np.ndarray
    ) -> tuple[Rows, np.ndarray, np.ndarray]:
        sentences, first, last, own_first, own_last = [], [], [], [], []
        for index, example in enumerate(examples):
            end = int(piece_ends[index])
            start = end - len(example.pieces)
            for window in windows(len(example.pieces), self.tokenizer.limit):
                sentences.append(index)
                for target, offset in zip((first, last, own_first, own_last), window, strict=True):
                    target.append(start + offset)
        ranges = np.array([first, last, own_first, own_last], dtype=np.int64)
        before, after = len(self.tokenizer.prefix), len(self.tokenizer.suffix)
        counts = ranges[1] - ranges[0]
        lengths = counts + before + after
        stride = lengths if self.flat else np.full(len(lengths), lengths.max(initial=0))
        starts = np.cumsum(stride) - stride
        units = int(stride.sum())
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        piece = np.repeat(ranges[0], counts) + within
        own = (piece >= np.repeat(ranges[2], counts)) & (piece < np.repeat(ranges[3], counts))
        rows = Rows(
            lengths=lengths,
            starts=starts,
            first=ranges[0],
            last=ranges[1],
            units=recurring(units, device=self.device) if self.flat else units,
            pieces=np.concatenate([e.pieces for e in examples]),
            unit_of_copy=np.repeat(starts + before, counts) + within,
            piece_of_copy=piece,
        )
        return rows, np.array(sentences, dtype=np.int64), own

    def _gold(
        self, examples: Sequence[Example], word_counts: np.ndarray
    ) -> dict[str, dict[str, torch.Tensor]]:
        names = {
            (task, name) for e in examples for task, arrays in e.gold.items() for name in arrays
        }
        gold: dict[str, dict[str, torch.Tensor]] = {}
        for task, name in sorted(names):
            parts = [
                e.gold[task][name] if task in e.gold else np.full(count, MISSING)
                for e, count in zip(examples, word_counts, strict=True)
            ]
            values = np.concatenate(parts).astype(np.int64)
            gold.setdefault(task, {})[name] = placed(values, self.device)
        return gold


def _items(examples: Sequence[Example]) -> dict[str, np.ndarray]:
    """Task -> (items, 1 + numbers) of all sentences, the sentence first."""
    tasks = sorted({task for example in examples for task in example.items})
    found = {}
    for task in tasks:
        own = [(place, e.items[task]) for place, e in enumerate(examples) if task in e.items]
        owners = np.repeat([place for place, _ in own], [len(items) for _, items in own])
        found[task] = np.column_stack([owners, np.concatenate([items for _, items in own])])
    return found


@dataclass(slots=True)
class _Given:
    """The sentences of entries, each with the tasks it is needed for, and the groups among them.

    `places` are where sentences stand among those of all entries; `members`, `sizes`
    and `units` as in `Groups`.
    """

    examples: list[Example] = field(default_factory=list)
    tasks: list[set[str]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    members: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)
    gold: list[Mapping[str, int | float]] = field(default_factory=list)

    @classmethod
    def of(cls, entries: Sequence[Example | Group], *, once: bool) -> "_Given":
        """With `once`, sentences of groups that have no gold of their own are merged if equal."""
        found, known, place = cls(), dict[bytes, int](), 0
        for entry in entries:
            if isinstance(entry, Example):
                found.examples.append(entry)
                found.tasks.append(set(entry.gold))
                found.places.append(place)
                place += 1
                continue
            apart = entry.document  # its sentences have places in it
            for example in entry.examples:
                arrays = (example.pieces, example.piece_counts, *example.features.values())
                key = b"|".join(array.tobytes() for array in arrays)
                at = known.get(key) if once and not (apart or example.gold) else None
                if at is None:
                    at = len(found.examples)
                    found.examples.append(example)
                    found.tasks.append(set(example.gold))
                    found.places.append(place)
                    if not (apart or example.gold):
                        known[key] = at
                found.tasks[at].update(entry.gold)
                found.members.append(at)
                place += 1
            found.sizes.append(len(entry.examples))
            found.units.append(entry.unit)
            found.gold.append(entry.gold)
        return found

    def group_gold(self) -> dict[str, list[int] | list[float]]:
        """Task -> the gold of each group: ids, or numbers."""
        out: dict[str, list[int] | list[float]] = {}
        for task in dict.fromkeys(task for gold in self.gold for task in gold):
            values = [gold.get(task) for gold in self.gold]
            if any(isinstance(value, float) for value in values):
                out[task] = [math.nan if value is None else float(value) for value in values]
            else:
                out[task] = [MISSING if value is None else int(value) for value in values]
        return out


def windows(pieces: int, limit: int | None) -> list[tuple[int, int, int, int]]:
    """Ranges of pieces that fit the encoder: (first, last, own first, own last) of each window.

    Windows overlap by a quarter of the limit; each piece is read from the window in which it stands
    furthest from an edge. A sequence within the limit is one window.
    """
    if limit is None or pieces <= limit:
        return [(0, pieces, 0, pieces)]
    overlap = limit // 4
    starts = [*range(0, pieces - limit, limit - overlap), pieces - limit]
    cuts = (
        [0] + [(starts[i] + starts[i - 1] + limit) // 2 for i in range(1, len(starts))] + [pieces]
    )
    return [(s, s + limit, cuts[i], cuts[i + 1]) for i, s in enumerate(starts)]
