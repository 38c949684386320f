"""Passages as memory-mapped Arrow files beside the sentences they consist of.

Columns: `sentences`, the rows of the split that the passage consists of, in its order; `pair`,
whether these are two that are compared; `passage_id`; for each layer of labels a class id under its
name, for each of numbers a float. Null says that the passage has no such layer.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from hiermtl.corpus.names import OF_PASSAGES, Kind
from hiermtl.errors import DataError
from hiermtl.text.sentence import Passage, Sentence


@dataclass(slots=True)
class PassageDraft:
    """The passages of a split as they come, with provisional label ids.

    `rows` and `sizes` are the rows of all passages one after the other, and how many each has;
    `values` are per layer an id or a number, `None` where a passage has none.
    """

    rows: "array[int]" = field(default_factory=lambda: array("i"))
    sizes: "array[int]" = field(default_factory=lambda: array("i"))
    pairs: bytearray = field(default_factory=bytearray)
    names: list[str | None] = field(default_factory=list)
    kinds: dict[str, Kind] = field(default_factory=dict)
    ids: dict[str, dict[str, int]] = field(default_factory=dict)
    values: dict[str, list[int | float | None]] = field(default_factory=dict)
    _known: dict[tuple[str, ...], int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sizes)

    def place(self, sentence: Sentence, row: int) -> int:
        """The row of a sentence of a passage: `row`, or that of an equal one without layers."""
        return row if sentence.layers else self._known.setdefault(sentence.words, row)

    def add(self, rows: Sequence[int], passage: Passage, *, wanted: set[str] | None) -> None:
        """Takes a passage whose sentences stand in these rows.

        Raises:
            DataError: A layer holds a number here and labels before, or the other way round.
        """
        for name, value in passage.labels.items():
            if wanted is not None and name not in wanted:
                continue
            kind: Kind = "label" if isinstance(value, str) else "number"
            if self.kinds.setdefault(name, kind) != kind:
                place = passage.origin
                raise DataError(
                    f"layer {name!r} holds a {kind} here and a {self.kinds[name]} before; give "
                    "them different names",
                    place and place.path,
                    line=place and place.line,
                )
            column = self.values.setdefault(name, [])
            column += [None] * (len(self) - len(column))
            if isinstance(value, str):
                ids = self.ids.setdefault(name, {})
                column.append(ids.setdefault(value, len(ids)))
            else:
                column.append(float(value))
        self.rows.extend(rows)
        self.sizes.append(len(rows))
        self.pairs.append(passage.pair)
        self.names.append(passage.passage_id)

    def counts(self, name: str) -> list[int]:
        """How many passages have each label of a layer, by provisional id."""
        found = [0] * len(self.ids.get(name, ()))
        for value in self.values[name]:
            if isinstance(value, int):
                found[value] += 1
        return found

    def write(
        self, path: Path, *, kinds: Mapping[str, Kind], names: Mapping[str, tuple[str, ...]]
    ) -> None:
        """Writes the passages with the corpus's label ids; `kinds` are its layers of passages."""
        schema = passage_features(kinds, names).arrow_schema
        ends = [0]
        for size in self.sizes:
            ends.append(ends[-1] + size)
        rows = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(self.rows, pa.int32()))
        pairs = pa.array([bool(pair) for pair in self.pairs])
        columns: list[pa.Array] = [rows, pairs, pa.array(self.names, pa.string())]
        for name, kind in kinds.items():
            values = self.values.get(name, [])
            values = [*values, *[None] * (len(self) - len(values))]
            if kind == "label":
                place = {label: number for number, label in enumerate(names[name])}
                known = [place[label] for label in self.ids.get(name, {})]
                ids = [None if value is None else known[int(value)] for value in values]
                columns.append(pa.array(ids, pa.int64()))
            else:
                columns.append(pa.array(values, pa.float64()))
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def passage_features(
    kinds: Mapping[str, Kind], names: Mapping[str, tuple[str, ...]]
) -> datasets.Features:
    """The features of the passages of a split, in the order of its columns."""
    features: dict[str, Any] = {
        "sentences": datasets.List(datasets.Value("int32")),
        "pair": datasets.Value("bool"),
        "passage_id": datasets.Value("string"),
    }
    for name, kind in kinds.items():
        labels = datasets.ClassLabel(names=list(names[name]))
        features[name] = labels if kind == "label" else datasets.Value("float64")
    return datasets.Features(features)


def read_passages(
    passages: datasets.Dataset,
    sentences: Sequence[Sentence],
    kinds: Mapping[str, Kind],
    *,
    names: Mapping[str, tuple[str, ...]],
) -> Iterator[Passage]:
    """The passages of a split again, without origin."""
    layers = {name: kind for name, kind in kinds.items() if kind in OF_PASSAGES}
    for batch in passages.data.to_batches():
        columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
        for place, rows in enumerate(columns["sentences"]):
            labels: dict[str, str | float] = {}
            for name, kind in layers.items():
                value = columns[name][place]
                if value is not None:
                    labels[name] = names[name][value] if kind == "label" else value
            yield Passage(
                tuple(sentences[row] for row in rows),
                labels,
                pair=columns["pair"][place],
                passage_id=columns["passage_id"][place],
            )
