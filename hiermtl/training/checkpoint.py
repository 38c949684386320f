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

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedConfig

from hiermtl.atomic import disk_is_full, free_bytes
from hiermtl.errors import ModelError, RunError

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
    config: PreTrainedConfig,
    weights: Mapping[str, Tensor],
    *,
    state: Mapping[str, Any],
    optimizer: Mapping[str, Tensor] = MappingProxyType({}),
    beside: Mapping[str, Mapping[str, Tensor]] = MappingProxyType({}),
) -> Path:
    """Writes `folder` whole or not at all.

    `weights` are a model's by name; `optimizer` what `optimizer_state` gives; `beside` further
    parts of tensors by name that training goes on from.

    Raises RunError when the disk is full; what stood there before is untouched.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    others = {f"{part}::{name}": v for part, own in beside.items() for name, v in own.items()}
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, tensors in ((MODEL, weights), (OPTIMIZER, optimizer), (BESIDE, others)):
            if tensors:
                held = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
                save_file(held, partial / name)
        (partial / STATE).write_text(json.dumps(state), encoding="utf-8")
        (partial / CONFIG).write_text(json.dumps(_made_of(config)), encoding="utf-8")
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


def _made_of(config: PreTrainedConfig) -> dict[str, Any]:
    """What the weights belong to, in the order in which its parts draw dropout."""
    return {name: getattr(config, name) for name in ("encoder", "tasks", "sharing")}


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


def drop_above(folder: Path, used: Path) -> None:
    """Deletes the checkpoints that are newer than the one which is used."""
    found = checkpoint_folders(folder)
    for path in found[found.index(used) + 1 :]:
        shutil.rmtree(path, ignore_errors=True)


def prune_checkpoints(folder: Path, keep: int) -> None:
    """Deletes all but the newest `keep` checkpoints."""
    for path in checkpoint_folders(folder)[:-keep]:
        with contextlib.suppress(OSError):
            shutil.rmtree(path)
