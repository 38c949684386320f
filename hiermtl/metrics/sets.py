"""Items of sentences as rows of whole numbers, compared as sets.

An item is a span, an argument or a relation: the number of its sentence, word positions, and the
code of its label. Two items are the same where their rows are.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Comparison(NamedTuple):
    """Rows of two tables, each kind of row once.

    ``gold`` and ``correct`` are rows of the gold table, ``predicted`` of the other; ``correct`` are
    those that both tables have.
    """

    gold: NDArray[np.int64]
    predicted: NDArray[np.int64]
    correct: NDArray[np.int64]


def annotated(
    gold: Sequence[Any], predicted: Sequence[Any], *, nothing: tuple[Any, Any]
) -> tuple[Sequence[Any], Sequence[Any]]:
    """Gold and predictions, with ``nothing`` on both sides where gold is ``None``."""
    pairs = [
        nothing if right is None else (right, guess)
        for right, guess in zip(gold, predicted, strict=True)
    ]
    return [right for right, _ in pairs], [guess for _, guess in pairs]


def lengths_of(sequences: Sequence[Sequence[Any]]) -> NDArray[np.int64]:
    """Number of items of each sequence."""
    return np.fromiter(map(len, sequences), np.int64, len(sequences))


def codes_of(labels: Iterable[str], codes: dict[str, int]) -> NDArray[np.int64]:
    """The code of each label; labels that are new to ``codes`` are added."""
    return np.array([codes.setdefault(label, len(codes)) for label in labels], dtype=np.int64)


def item_table(
    sentences: Sequence[Sequence[Any]], codes: dict[str, int], *, numbers: int
) -> NDArray[np.int64]:
    """The items of all sentences, in order.

    Args:
        sentences: Per sentence its items: tuples of ``numbers`` whole numbers and a label.
        codes: Codes of labels; labels that are new to it are added.
        numbers: How many numbers an item has.

    Returns:
        ``(items, numbers + 2)``: sentence, numbers, code of the label.
    """
    flat = list(chain.from_iterable(sentences))
    table = np.empty((len(flat), numbers + 2), dtype=np.int64)
    table[:, 0] = np.repeat(np.arange(len(sentences)), lengths_of(sentences))
    table[:, 1:-1] = np.array([item[:-1] for item in flat], dtype=np.int64).reshape(-1, numbers)
    table[:, -1] = codes_of((item[-1] for item in flat), codes)
    return table


def row_codes(*tables: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Codes of the rows of tables: equal for equal rows, in whichever table, and dense from 0.

    Args:
        *tables: ``(rows, columns)`` each, with the same columns.

    Returns:
        ``(rows,)`` for each table.
    """
    rows = np.concatenate(tables)
    order = np.lexsort(rows.T)
    ordered = rows[order]
    changes = (ordered[1:] != ordered[:-1]).any(axis=1)
    codes = np.zeros(len(rows), dtype=np.int64)
    codes[order[1:]] = np.cumsum(changes)
    return np.split(codes, np.cumsum([len(table) for table in tables])[:-1])


def compare(gold: NDArray[np.int64], predicted: NDArray[np.int64]) -> Comparison:
    """What two tables have, and what they have in common.

    Args:
        gold: ``(rows, columns)``.
        predicted: ``(rows, columns)``.
    """
    left, right = row_codes(gold, predicted)
    right_codes, right_rows = np.unique(right, return_index=True)
    left_codes, left_rows = np.unique(left, return_index=True)
    _, both, _ = np.intersect1d(left_codes, right_codes, assume_unique=True, return_indices=True)
    return Comparison(left_rows, right_rows, left_rows[both])


def count_rows(
    table: NDArray[np.int64], rows: NDArray[np.int64], *, count: int
) -> NDArray[np.int64]:
    """How many of these rows of a table each sentence has.

    Args:
        table: ``(rows, columns)``; the first column is the sentence.
        rows: Which rows to count.
        count: Number of sentences.

    Returns:
        ``(sentences,)``.
    """
    return np.bincount(table[rows, 0], minlength=count)
