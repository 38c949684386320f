"""Arrays with a number per example, for corpora of any size.

A small one is in memory; a large one lies in a file without a name in the cache, of which the
system keeps in memory what is in use. Both are filled and read a part at a time.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np

from hiermtl.errors import RunError
from hiermtl.folders import cache_folder

IN_MEMORY = 1 << 22
"""Bytes of the largest array that is kept in memory."""

PART = 1 << 20
"""Entries that are computed at once."""


def new_array(count: int, dtype: type[np.generic]) -> np.ndarray:
    """An array (count,) to be filled.

    Raises:
        RunError: The cache has no room for it.
    """
    size = count * np.dtype(dtype).itemsize
    if size <= IN_MEMORY:
        return np.empty(count, dtype=dtype)
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                # Room that is missing must be an error now: when a page is written, it is a signal.
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return np.asarray(np.memmap(file, dtype=dtype, mode="r+", shape=(count,)))
    except OSError as error:
        raise RunError(
            f"{folder}: a file of {size / 1e9:.1f} GB for {count:,} examples cannot be made "
            f"({error.strerror}); make room, or set HIERMTL_CACHE to another folder"
        ) from error


def zeros(count: int, dtype: type[np.generic]) -> np.ndarray:
    """Zeros (count,) that need no memory and cannot be written to."""
    return np.broadcast_to(np.zeros((), dtype=dtype), (count,))


def parts(count: int) -> Iterator[slice]:
    """An array's parts one after the other."""
    for first in range(0, count, PART):
        yield slice(first, min(first + PART, count))


def evenly(count: int, wanted: int) -> np.ndarray:
    """Places (wanted,) of `count` that are as far apart as can be, the first of them 0."""
    return np.arange(wanted, dtype=np.int64) * count // max(wanted, 1)


def count_nonzero(values: np.ndarray) -> int:
    """How many of the values (count,) are not 0."""
    return int(sum(np.count_nonzero(values[part]) for part in parts(len(values))))


def nonzero(values: np.ndarray) -> np.ndarray:
    """Where values (count,) are not 0: (found,) int64."""
    found = new_array(count_nonzero(values), np.int64)
    filled = 0
    for part in parts(len(values)):
        own = np.flatnonzero(values[part])
        found[filled : filled + len(own)] = own + part.start
        filled += len(own)
    return found


def taken(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The values at these places: (len(at),)."""
    found = new_array(len(at), values.dtype.type)
    for part in parts(len(at)):
        found[part] = values[at[part]]
    return found


def joined(pieces: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of one type one after the other; of one, that one."""
    if len(pieces) == 1:
        return pieces[0]
    found = new_array(sum(map(len, pieces)), np.result_type(*pieces).type)
    filled = 0
    for piece in pieces:
        for part in parts(len(piece)):
            found[filled + part.start : filled + part.stop] = piece[part]
        filled += len(piece)
    return found
