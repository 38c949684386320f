"""Counts behind scores: one row per sentence, from which any resampling can be scored again."""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiermtl.atomic import written_whole
from hiermtl.errors import DataError

_ARRAYS = ("rows", "sentences", "documents")
_ABOUT = "about"


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """What was counted for one task, in the order of the data.

    Only sentences with gold for the task have a row. Scores of a resample are those of the sum of
    its rows: `counted_by(counts).score_rows(counts.rows[chosen])`.

    Attributes:
        task: The task that was scored.
        rows: Counts `(sentences, columns)`.
        sentences: Place of each row's sentence in the data, counted from 0.
        documents: Document id of each row's sentence; empty where the data gives none.
        metric: Family of the metric that counted, such as `spans`.
        columns: What is counted.
        data: Name of the data.
        split: Its split.
        scorer: The definition of the main metric.
        dtype: Number format of the model.
        seed: Seed of the model's training, if known.
        gold: A short name of the words and the gold that were scored: of other gold it is another.
            Empty where it was not kept.
    """

    task: str
    rows: NDArray[np.float64]
    sentences: NDArray[np.int64]
    documents: NDArray[np.str_]
    metric: str
    columns: tuple[str, ...]
    data: str
    split: str
    scorer: str
    dtype: str
    seed: int | None
    gold: str = ""


class GoldName:
    """Makes a short name of words and gold, as they are scored; of others it is another one."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=6)

    def add(self, *parts: object) -> None:
        """Takes the next words and their gold."""
        self._hash.update(repr(parts).encode())

    def __str__(self) -> str:
        """Twelve hexadecimal digits."""
        return self._hash.hexdigest()


def save_counts(counts: Mapping[str, Counts], path: str | Path) -> None:
    """Writes counts to one `.npz` file, whole or not at all."""
    about: dict[str, dict[str, Any]] = {}
    arrays: dict[str, Any] = {}
    for number, (key, of_task) in enumerate(counts.items()):
        about[key] = {
            field.name: getattr(of_task, field.name)
            for field in fields(Counts)
            if field.name not in _ARRAYS
        }
        arrays.update({f"{number}_{name}": getattr(of_task, name) for name in _ARRAYS})
    arrays[_ABOUT] = np.array(json.dumps(about, ensure_ascii=False))
    with written_whole(path) as file:
        np.savez_compressed(file, **arrays)


def load_counts(path: str | Path) -> dict[str, Counts]:
    """The counts in a file that `save_counts` wrote, under the same keys.

    Raises:
        DataError: The file is missing or is no file of counts.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            about = json.loads(str(arrays[_ABOUT]))
            return {
                key: Counts(
                    **{name: arrays[f"{number}_{name}"] for name in _ARRAYS},
                    **{**values, "columns": tuple(values["columns"])},
                )
                for number, (key, values) in enumerate(about.items())
            }
    except FileNotFoundError:
        raise DataError("no such file of counts; write one with save_counts", path) from None
    except (KeyError, TypeError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(f"no file of counts ({error}); write one with save_counts", path) from None
