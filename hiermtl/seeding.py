"""Randomness by name: each module draws from a seed of its own, whatever stands beside it."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derived_seed(seed: int, *names: object) -> int:
    """A seed for one named purpose: the same on every platform, different for different names."""
    text = "\x1f".join(str(name) for name in (seed, *names))
    return zlib.crc32(text.encode()) | (zlib.crc32(text[::-1].encode()) & 0x7FFFFFFF) << 32


@contextmanager
def seeded(seed: int, *names: object) -> Iterator[None]:
    """Inside, torch's randomness starts from the derived seed, on the processor and on CUDA.

    Outside, it is as if nothing had been drawn.
    """
    with untouched():
        torch.manual_seed(derived_seed(seed, *names))
        yield


@contextmanager
def untouched() -> Iterator[None]:
    """What is drawn of torch's randomness inside is not missing outside: processor and CUDA."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        yield
