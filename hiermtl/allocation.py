"""Memory that goes back to the system once it is free.

glibc gives every block above some size pages of its own, which go back when it is freed, but raises
that size to the largest such block it has seen freed, up to 32 MiB (mallopt(3), M_MMAP_THRESHOLD).
What is smaller then comes from one heap, and arrays of ever other sizes leave holes in it: a
process that reads text for hours needs more and more.
"""

import ctypes
import os

M_MMAP_THRESHOLD = -3
"""The option of glibc's `mallopt`, in malloc.h."""

LARGE = 1 << 20
"""Bytes from which a block has pages of its own. Smaller ones would cost time: fresh pages are
cleared."""

GIVEN = "MALLOC_MMAP_THRESHOLD_"
"""What a process may begin with instead."""


def return_large_blocks() -> bool:
    """Fixes that size for this process; without use where the C library is not glibc.

    What the environment sets stays. It holds for the whole process and cannot be taken back, so
    that programs ask for it, and not the library. Returns whether the size is fixed by this call.
    """
    if GIVEN in os.environ or os.name != "posix":
        return False
    # Other C libraries have no such function, or one that refuses.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(M_MMAP_THRESHOLD, LARGE) == 1
