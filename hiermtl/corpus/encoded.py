"""Splits through a tokenizer, once: pieces and further features in memory-mapped Arrow files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import datasets
import numpy as np
import pyarrow as pa

from hiermtl.corpus.cache import digest, kept
from hiermtl.errors import DataError

FORMAT = 1
"""Version of the stored form; a change makes every entry new."""

ROWS = 5_000
"""Sentences per Arrow record batch and per call of the tokenizer."""

_FILE = "encoded.arrow"
_LIST = pa.list_(pa.int32())


class WordEncoder(Protocol):
    """What is asked of a tokenizer; `hiermtl.tokens.Tokenizer` is one.

    `encode` gives for each of `features` one int32 array per sentence; `pieces` (pieces,) and
    `piece_counts` (words,), at least 1 each, are always among them. `dropped` counts words it had
    no piece for, over its life. `fingerprint` is another whenever `encode` could give other arrays.
    """

    features: tuple[str, ...]
    dropped: int

    @property
    def fingerprint(self) -> str:
        """Names the tokenizer's behaviour."""
        ...

    def encode(self, sentences: Sequence[Sequence[str]]) -> dict[str, list[np.ndarray]]:
        """One int32 array per sentence and feature."""
        ...


@dataclass(frozen=True)
class EncodedSplit:
    """One int32 list per feature and sentence, and how many words the tokenizer dropped."""

    dataset: datasets.Dataset
    dropped: int


def encode_split(
    dataset: datasets.Dataset, tokenizer: WordEncoder, *, folder: str | Path, key: str
) -> EncodedSplit:
    """The split through the tokenizer: opened if stored under these keys, else encoded and stored.

    `key` must change with the content of `dataset`, as `Corpus.keys` do. Rows are those of
    `dataset`, in its order.

    Raises:
        DataError: The tokenizer's arrays do not fit the sentences.
    """
    whole = digest({"format": FORMAT, "split": key, "tokenizer": tokenizer.fingerprint})
    place = Path(folder) / whole
    meta = kept(place, partial(_make, dataset=dataset, tokenizer=tokenizer))
    return EncodedSplit(datasets.Dataset.from_file(str(place / _FILE)), meta["dropped"])


def _make(folder: Path, *, dataset: datasets.Dataset, tokenizer: WordEncoder) -> dict[str, Any]:
    before = tokenizer.dropped
    names = tokenizer.features
    whole = datasets.List(datasets.Value("int32"))
    schema = datasets.Features(dict.fromkeys(names, whole)).arrow_schema
    with (
        pa.OSFile(str(folder / _FILE), "wb") as file,
        pa.ipc.new_stream(file, schema) as writer,
    ):
        for words in _words(dataset):
            found = tokenizer.encode(words)
            _check(found, words, names=names)
            arrays = [_list_array(found[name]) for name in names]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return {"dropped": tokenizer.dropped - before}


def _words(dataset: datasets.Dataset) -> Iterator[list[list[str]]]:
    for start in range(0, len(dataset), ROWS):
        yield dataset.data.column("words").slice(start, ROWS).to_pylist()


def _list_array(arrays: Sequence[np.ndarray]) -> pa.ListArray:
    offsets = np.zeros(len(arrays) + 1, dtype=np.int32)
    np.cumsum([len(array) for array in arrays], out=offsets[1:])
    values = np.concatenate(arrays) if arrays else np.zeros(0)
    return pa.ListArray.from_arrays(offsets, values.astype(np.int32, copy=False), type=_LIST)


def _check(
    found: dict[str, list[np.ndarray]], words: list[list[str]], *, names: tuple[str, ...]
) -> None:
    if not {"pieces", "piece_counts"} <= set(names) <= set(found):
        raise DataError(
            f"the tokenizer gives {sorted(found)} and names {sorted(names)}; it must give "
            "`pieces`, `piece_counts` and "
            "every feature it names"
        )
    rows = zip(found["pieces"], found["piece_counts"], words, strict=True)
    for pieces, counts, sentence in rows:
        if len(counts) != len(sentence) or counts.sum() != len(pieces) or (counts < 1).any():
            raise DataError(
                f"the tokenizer gives {len(pieces)} pieces and counts {counts.tolist()} for the "
                f"{len(sentence)} words {sentence[:8]}; every word must have at least one piece, "
                "and the counts must add up"
            )
