"""Which part of a saved model some of its tasks need, found without reading its weights."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from hiermtl.config import HierarchicalConfig
from hiermtl.errors import ModelError
from hiermtl.model import HierarchicalModel
from hiermtl.text.segment import SEGMENT

_SCHEME = "sharing."


@dataclass(frozen=True, slots=True)
class Part:
    """The config of the smaller model, and the names of all tensors of the whole one."""

    config: HierarchicalConfig
    known: frozenset[str]


def part_of(
    folder: Path, files: Sequence[Path], *, tasks: Iterable[str] | None, depth: int | None
) -> Part | None:
    """What is needed of a model folder; `None` where that is all of it.

    Args:
        folder: Of the model.
        files: Those with its weights, of which the scheme's own are read.
        tasks: Those wanted; with them come those whose predictions they read, and `segment` if it
            is there. Default: all.
        depth: The most blocks a task may need. Default: any number.

    Raises:
        ModelError: The depth is no whole number, the model has no such task, or none is left.
    """
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, Integral)):
        raise ModelError(
            f"depth is {depth!r}, but a whole number of blocks is needed; leave it out for all"
        )
    config = HierarchicalConfig.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        whole = HierarchicalModel(config)
    wanted, needs = whole.hierarchy.select(tasks), whole.routes.depths()
    kept = {task for task in wanted if depth is None or needs[task] <= depth}
    if not kept:
        asked = f"depth is {depth!r}" if wanted else "tasks is empty"
        told = ", ".join(f"{task} {needs[task]}" for task in wanted or whole.hierarchy.names)
        raise ModelError(
            f"{asked}, so that no task is left; the blocks they need are {told}: ask for more, or "
            "leave it out"
        )
    if SEGMENT in whole.hierarchy and (depth is None or needs[SEGMENT] <= depth):
        kept.add(SEGMENT)
    kept = set().union(*(whole.routes[task].tasks for task in kept))
    gone = set(whole.hierarchy.names) - kept
    if not gone:
        return None
    # What the scheme has learnt is told in the config of a model that has lost tasks.
    scheme = _tensors(files, {_SCHEME + name for name in whole.sharing.state_dict()})
    own = {name.removeprefix(_SCHEME): tensor for name, tensor in scheme.items()}
    whole.sharing.load_state_dict(own, strict=False, assign=True)
    return Part(whole.config_without(gone), frozenset(whole.state_dict()))


def _tensors(files: Sequence[Path], names: Iterable[str]) -> dict[str, Tensor]:
    """The tensors of these names, as far as there are any."""
    found: dict[str, Tensor] = {}
    wanted = set(names)
    for file in files if wanted else ():
        with safe_open(file, framework="pt") as stored:
            found |= {name: stored.get_tensor(name) for name in wanted & set(stored.keys())}
    return found
