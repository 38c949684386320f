"""Checkpoints: safetensors and JSON with checksums, written whole or not at all.

A checkpoint is a folder `step-N`. It is written beside its place and renamed, so that a folder of
that name is complete; each file's SHA-256 is verified on load. There is no random state in it: each
step draws from a seed of its own (`hiermtl.seeding`), so that the step number says all.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hiermtl.atomic import disk_is_full, free_bytes
from hiermtl.errors import ModelError, RunError
from hiermtl.model import HierarchicalModel
from hiermtl.training.optimizer import named_state

MODEL, OPTIMIZER, BESIDE, STATE, CONFIG, SUMS = (
    "model.safetensors",
    "optimizer.safetensors",
    "beside.safetensors",
    "state.json",
    "config.json",
    "checksums.json",
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was read back. `state` is the loop's own plain data.

    `optimizer` maps `name::quantity` to tensors; `beside` what training holds beside model and
    optimizer, as `part::name`.
    """

    folder: Path
    state: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    config: Mapping[str, Any]
    beside: Mapping[str, Tensor] = field(default_factory=dict)


def save_checkpoint(
    folder: Path,
    model: HierarchicalModel,
    *,
    state: Mapping[str, Any],
    optimizer: torch.optim.Optimizer | None = None,
    trained: nn.Module | None = None,
    beside: Mapping[str, Mapping[str, Tensor]] = MappingProxyType({}),
) -> Path:
    """Writes `folder` whole or not at all.

    `trained` is the module whose parameters the optimizer moves, the model's own by default;
    `beside` are parts of tensors by name that training also goes on from.

    Raises RunError when the disk is full; what stood there before is untouched.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file(_weights(model), partial / MODEL)
        if optimizer is not None:
            tensors = {
                f"{name}::{key}": value
                for name, key, value in named_state(trained or model, optimizer)
            }
            save_file(
                {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
                partial / OPTIMIZER,
            )
        tensors = {f"{part}::{n}": v.cpu() for part, own in beside.items() for n, v in own.items()}
        if tensors:
            save_file(tensors, partial / BESIDE)
        (partial / STATE).write_text(json.dumps(state), encoding="utf-8")
        (partial / CONFIG).write_text(json.dumps(_made_of(model)), encoding="utf-8")
        sums = {path.name: _digest(path) for path in sorted(partial.iterdir())}
        (partial / SUMS).write_text(json.dumps(sums), encoding="utf-8")
        _replace(partial, folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        full = disk_is_full(error)
        reason = f"the disk is full, {free_bytes(folder):,} bytes free" if full else str(error)
        remedy = "make room" if full else "make the folder writable"
        raise RunError(
            f"{folder} could not be written ({reason}); the checkpoint before it is whole: "
            f"{remedy} and run again with --resume"
        ) from error
    return folder


def _made_of(model: HierarchicalModel) -> dict[str, Any]:
    """What the weights belong to, in the order in which its parts draw dropout."""
    return {name: getattr(model.config, name) for name in ("encoder", "tasks", "sharing")}


def _weights(model: HierarchicalModel) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}


def _replace(partial: Path, folder: Path) -> None:
    """Renames a complete folder into place and makes the rename last through a power cut."""
    for path in partial.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    try:
        partial.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    # Not every system lets a folder be opened.
    with contextlib.suppress(OSError):
        handle = os.open(folder.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    shutil.rmtree(old, ignore_errors=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_checkpoint(folder: Path) -> Checkpoint:
    """Reads and verifies a checkpoint.

    Raises ModelError naming the file that is missing or differs from its checksum.
    """
    try:
        sums = json.loads((folder / SUMS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"checkpoint {folder} has no readable {SUMS}; delete it and resume from another"
        ) from error
    for name, expected in sums.items():
        path = folder / name
        if not path.exists():
            raise ModelError(f"checkpoint {folder} lacks {name}; delete it and resume from another")
        if _digest(path) != expected:
            raise ModelError(
                f"{path} is damaged (its SHA-256 differs from {SUMS}); delete the checkpoint "
                f"{folder}"
            )
    return Checkpoint(
        folder=folder,
        state=json.loads((folder / STATE).read_text(encoding="utf-8")),
        weights=load_file(folder / MODEL),
        optimizer=load_file(folder / OPTIMIZER) if (folder / OPTIMIZER).exists() else {},
        config=json.loads((folder / CONFIG).read_text(encoding="utf-8")),
        beside=load_file(folder / BESIDE) if (folder / BESIDE).exists() else {},
    )


def part_of(found: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The tensors of a part of `Checkpoint.beside`, by name."""
    prefix = f"{part}::"
    return {n.removeprefix(prefix): value for n, value in found.items() if n.startswith(prefix)}


def restore_optimizer(
    trained: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Puts saved state back by parameter name."""
    named = dict(trained.named_parameters())
    for key, value in tensors.items():
        name, _, quantity = key.rpartition("::")
        parameter = named[name]
        # AdamW keeps even the step count beside the parameter when it is fused, as ours is.
        optimizer.state[parameter][quantity] = value.to(parameter.device).clone()


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is whole, and a sentence for each broken one above it."""
    passed: list[str] = []
    for path in reversed(checkpoint_folders(folder)):
        try:
            return load_checkpoint(path), passed
        except ModelError as error:
            passed.append(str(error))
    return None, passed


def checkpoint_folders(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    steps = {
        path: path.name.removeprefix("step-") for path in folder.glob("step-*") if path.is_dir()
    }
    return sorted(
        (path for path, step in steps.items() if step.isdecimal()),
        key=lambda path: int(steps[path]),
    )


def prune_checkpoints(folder: Path, keep: int) -> None:
    """Deletes all but the newest `keep` checkpoints."""
    for path in checkpoint_folders(folder)[:-keep]:
        with contextlib.suppress(OSError):
            shutil.rmtree(path)
