"""What the processes of a run agree on before and between steps."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from hiermtl.arrays import parts
from hiermtl.errors import RunError

LONGEST = timedelta(days=2)
"""How long processes wait for each other where nothing watches them."""

Value = TypeVar("Value")

_waiting = False


def alone() -> bool:
    """Whether this process is the only one."""
    return not dist.is_initialized() or dist.get_world_size() == 1


@contextmanager
def waiting() -> Iterator[None]:
    """Around what ends when other processes have come as far."""
    global _waiting
    _waiting = True
    try:
        yield
    finally:
        _waiting = False


def waits() -> bool:
    """Whether this process waits for others."""
    return _waiting


def begin_alike(module: nn.Module, lengths: np.ndarray, given: object) -> None:
    """Gives every process the weights of the first.

    Raises RunError where processes have examples of other lengths, or were given other things.
    """
    if alone():
        return
    digest = hashlib.sha256(repr(given).encode())
    for part in parts(len(lengths)):
        digest.update(lengths[part].tobytes())
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, digest.hexdigest())
    others = [rank for rank, own in enumerate(found) if own != found[0]]
    if others:
        raise RunError(
            f"process {others[0]} has another model, other settings, other data or another "
            "checkpoint than process 0; start all with the same version, recipe, corpora and run "
            "folder"
        )
    with torch.no_grad():
        for weight in module.parameters():
            dist.broadcast(weight, 0)


def of_first(value: Value) -> Value:
    """What the first process has."""
    if alone():
        return value
    found = [value]
    dist.broadcast_object_list(found, 0)
    return found[0]


def of_each(value: Value) -> list[Value]:
    """What every process has, in their order."""
    if alone():
        return [value]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, value)
    return found


def agreed(values: Tensor) -> Tensor:
    """The numbers that the first process has, where all have as many."""
    if not alone():
        with waiting():
            dist.broadcast(values, 0)
    return values
