"""Memory that goes back to the system, as glibc tells of it."""

import os
import subprocess
import sys
from platform import libc_ver

import pytest

PROGRAM = """
import ctypes, sys
from hiermtl.allocation import return_large_blocks

class Told(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.mallinfo2.restype = Told
fixed = return_large_blocks() if sys.argv[1] == "fixed" else False
libc.free(libc.malloc(16 << 20))  # glibc's own size is 16 MiB from here on
before = libc.mallinfo2().hblkhd
kept = libc.malloc(4 << 20)
print(fixed, libc.mallinfo2().hblkhd - before >= 4 << 20)
"""


def run(how: str, **environment: str) -> list[str]:
    """Whether it says that the size is fixed, and whether a large block has pages of its own."""
    known = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    command = [sys.executable, "-c", PROGRAM, how]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**known, **environment}
    )
    return done.stdout.split()


@pytest.mark.skipif(libc_ver()[0] != "glibc", reason="asks glibc")
def test_large_blocks_have_pages_of_their_own() -> None:
    assert run("fixed") == ["True", "True"]
    assert run("as it is") == ["False", "False"]
    # What the environment says stays: 32 MiB, so that this block comes from the heap.
    assert run("fixed", MALLOC_MMAP_THRESHOLD_=str(32 << 20)) == ["False", "False"]
