"""Passages as memory-mapped Arrow files beside the sentences they consist of.

Columns: `sentences`, the rows of the split that the passage consists of, in its order; `pair`,
whether these are two that are compared; `passage_id`; for each layer of labels a class id under its
name, for each of numbers a float. Null says that the passage has no such layer.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from hiermtl.corpus.drafts import append_table, provisional_ids, read_tables
from hiermtl.corpus.names import OF_PASSAGES, Kind
from hiermtl.errors import DataError
from hiermtl.text.sentence import Passage, Sentence

ROWS = 5_000
"""Passages per Arrow record batch: what is in memory at once while writing."""

_PLAIN = {
    "sentences": pa.list_(pa.int32()),
    "pair": pa.bool_(),
    "passage_id": pa.string(),
}


class PassageDraft:
    """The passages of a split as they come, in a file with provisional label ids.

    Of each sentence of a pair a digest is held in memory, since pairs that share a sentence store
    it once.
    """

    def __init__(self, path: Path) -> None:
        """Writes to `path`, if any passage comes."""
        self.kinds: dict[str, Kind] = {}
        self.ids: dict[str, dict[str, int]] = {}
        self.counts: dict[str, list[int]] = {}
        self._path, self._size = path, 0
        self._held: list[tuple[Sequence[int], Passage, dict[str, str | float]]] = []
        self._known: dict[bytes, int] = {}

    def __len__(self) -> int:
        return self._size

    def place(self, sentence: Sentence, row: int, *, pair: bool) -> int:
        """The row of a sentence of a passage: `row`, or of a pair's that of an equal one.

        Sentences that have layers stand for themselves.
        """
        if sentence.layers or not pair:
            return row
        words = "\0".join(sentence.words).encode("utf-8", "surrogatepass")
        return self._known.setdefault(hashlib.blake2b(words, digest_size=16).digest(), row)

    def add(self, rows: Sequence[int], passage: Passage, *, wanted: set[str] | None) -> None:
        """Takes a passage whose sentences stand in these rows.

        Raises:
            DataError: A layer holds a number here and labels before, or the other way round.
        """
        labels = {
            name: value
            for name, value in passage.labels.items()
            if wanted is None or name in wanted
        }
        for name, value in labels.items():
            kind: Kind = "label" if isinstance(value, str) else "number"
            if self.kinds.setdefault(name, kind) != kind:
                place = passage.origin
                raise DataError(
                    f"layer {name!r} holds a {kind} here and a {self.kinds[name]} before; give "
                    "them different names",
                    place and place.path,
                    line=place and place.line,
                )
            if isinstance(value, str):
                ids = self.ids.setdefault(name, {})
                number = ids.setdefault(value, len(ids))
                counts = self.counts.setdefault(name, [])
                counts += [0] * (len(ids) - len(counts))
                counts[number] += 1
        self._held.append((rows, passage, labels))
        self._size += 1
        if len(self._held) >= ROWS:
            self._write()

    def _write(self) -> None:
        """Writes the passages that are held."""
        rows, passages, labels = zip(*self._held, strict=True)
        arrays: dict[str, pa.Array] = {
            "sentences": pa.array(rows, _PLAIN["sentences"]),
            "pair": pa.array([passage.pair for passage in passages], _PLAIN["pair"]),
            "passage_id": pa.array([p.passage_id for p in passages], _PLAIN["passage_id"]),
        }
        for name in dict.fromkeys(chain.from_iterable(labels)):
            values = [own.get(name) for own in labels]
            if self.kinds[name] == "label":
                ids = self.ids[name]
                numbers = [None if value is None else ids[str(value)] for value in values]
                arrays[name] = pa.array(numbers, pa.int64())
            else:
                arrays[name] = pa.array(values, pa.float64())
        append_table(self._path, pa.table(arrays))
        self._held = []

    def finish(
        self, path: Path, *, kinds: Mapping[str, Kind], names: Mapping[str, tuple[str, ...]]
    ) -> None:
        """Writes the passages with the corpus's label ids, and removes the draft.

        `kinds` are the corpus's layers of passages.
        """
        if self._held:
            self._write()
        schema = passage_features(kinds, names).arrow_schema
        lookups = {
            name: provisional_ids(self.ids.get(name, {}), names[name])
            for name, kind in kinds.items()
            if kind == "label"
        }
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            for batch in read_tables(self._path):
                arrays = [batch.column(name) for name in _PLAIN]
                for name, kind in kinds.items():
                    if name not in batch.schema.names:
                        arrays.append(pa.nulls(batch.num_rows, schema.field(name).type))
                    elif kind == "label":
                        column = batch.column(name)
                        ids = lookups[name][column.fill_null(-1).to_numpy()]
                        arrays.append(pa.array(ids, mask=ids < 0))
                    else:
                        arrays.append(batch.column(name))
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        self._path.unlink()


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
