"""Rows that are padded together, so that one long row does not cost each of the others its room."""

import numpy as np
from numpy.typing import NDArray

CELLS = 1 << 24
"""Numbers of a padded table above which it is made for some of its rows at a time."""


def alike(
    lengths: NDArray[np.int64], *, power: int = 1, width: int = 1, most: int | None = None
) -> list[NDArray[np.int64]]:
    """Places of rows, ascending, in parts that padded to their longest are no large table.

    In most batches that is one part of all. In a document one sentence may be many times as long as
    the others; parts are then of rows whose lengths have the same power of 2 above them. A single
    row may be more.

    Args:
        lengths: (rows,) of each.
        power: How a row's cells grow with the length it is padded to.
        width: Numbers of a cell.
        most: Numbers of a table. Default: `CELLS`.
    """
    most = CELLS if most is None else most
    if len(lengths) * int(lengths.max(initial=0)) ** power * width <= most:
        return [np.arange(len(lengths))]
    steps = np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64)
    parts = []
    for step in np.unique(steps).tolist():
        rows = np.flatnonzero(steps == step)
        count = max(1, most // (2 ** (step * power) * width))
        parts += [rows[at : at + count] for at in range(0, len(rows), count)]
    return parts
