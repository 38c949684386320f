"""What the processes of a run agree on before and between steps."""

import hashlib
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from hiermtl.errors import RunError


def alone() -> bool:
    """Whether this process is the only one."""
    return not dist.is_initialized() or dist.get_world_size() == 1


def begin_alike(module: nn.Module, given: object) -> None:
    """Gives every process the weights of the first.

    Raises RunError where processes were given different things, such as settings or data.
    """
    if alone():
        return
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, hashlib.sha256(repr(given).encode()).hexdigest())
    others = [rank for rank, digest in enumerate(found) if digest != found[0]]
    if others:
        raise RunError(
            f"process {others[0]} has another model, other settings or other data than process 0; "
            "start all with the same version, recipe and corpora"
        )
    with torch.no_grad():
        for weight in module.parameters():
            dist.broadcast(weight, 0)


def of_first(value: float) -> float:
    """The value that the first process has."""
    if alone():
        return value
    found = [value]
    dist.broadcast_object_list(found, 0)
    return found[0]
