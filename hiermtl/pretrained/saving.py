"""Writes model folders, whole or not at all."""

import copy
import os
import secrets
import shutil
from pathlib import Path

import torch

from hiermtl.atomic import disk_is_full, free_bytes
from hiermtl.errors import ModelError, RunError, listing
from hiermtl.folders import CONFIG
from hiermtl.model import HierarchicalModel
from hiermtl.pretrained.cards import default_card
from hiermtl.pretrained.quiet import quiet
from hiermtl.pretrained.weights import INDEX, WEIGHTS, seal_weights
from hiermtl.tokens import Tokenizer

CARD = "README.md"
WEIGHT_FORMATS = {"fp32": torch.float32, "fp16": torch.float16}


def save_model(
    model: HierarchicalModel,
    tokenizer: Tokenizer,
    folder: str | Path,
    *,
    card: str | None = None,
    weights: str | None = None,
) -> None:
    """Writes config.json, model.safetensors, the tokenizer's files and README.md.

    They are written beside the folder first. A folder that does not exist then appears in one step;
    in one that does (a run folder, say) the files are replaced one by one, config.json last, and
    whatever else lies there stays.

    Args:
        model: In any mode and on any device.
        tokenizer: The one the model was trained with.
        folder: Made if need be, with the folders above it.
        card: The text of README.md. Default: a table of the tasks.
        weights: Number format of the file, one of `WEIGHT_FORMATS`. Default: the model's. In fp16
            a file has half the size and weights about three digits; loading makes fp32 of it.

    Raises:
        ModelError: `folder` is a file, there is no such number format, or a weight is too large for
            it.
        RunError: It cannot be written, for lack of space or of permission. An earlier model in it
            is then still whole, unless the failure fell between two replacements.
    """
    if weights is not None and weights not in WEIGHT_FORMATS:
        raise ModelError(f"weights are {weights!r}; allowed are {listing(WEIGHT_FORMATS)}")
    target = Path(folder).absolute()
    if target.exists() and not target.is_dir():
        raise ModelError(f"{target} is a file; name a folder to save the model in")
    parent = target.parent
    beside = parent / f".{target.name}.{secrets.token_hex(4)}.tmp"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        beside.mkdir()
        if weights is not None and model.dtype != WEIGHT_FORMATS[weights]:
            model = _converted(model, weights)
        _write(model, tokenizer, beside, card=card)
        _put(beside, target)
    except Exception as error:
        _explain(error, target)
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _converted(model: HierarchicalModel, weights: str) -> HierarchicalModel:
    """A copy of the model in another number format."""
    changed = copy.deepcopy(model)
    changed.to(WEIGHT_FORMATS[weights])  # pyright: ignore[reportArgumentType] - wrapped
    before = model.state_dict()
    for name, tensor in changed.state_dict().items():
        if tensor.isinf().any() and not before[name].isinf().any():
            raise ModelError(
                f"{name} holds {float(before[name].abs().max()):g}, more than {weights} can: at "
                f"most {torch.finfo(WEIGHT_FORMATS[weights]).max:g}; save with weights='fp32'"
            )
    return changed


def read_card(folder: str | Path) -> str | None:
    """The text of a model folder's README.md, `None` if it has none that can be read."""
    try:
        return (Path(folder) / CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _write(
    model: HierarchicalModel, tokenizer: Tokenizer, folder: Path, *, card: str | None
) -> None:
    with quiet():
        model.save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        seal_weights(file)
    tokenizer.save(folder)
    (folder / CARD).write_text(default_card(model) if card is None else card, encoding="utf-8")


def _put(beside: Path, target: Path) -> None:
    """Moves the finished files to their place."""
    if not target.exists():
        os.rename(beside, target)
        return
    new = sorted(beside.iterdir(), key=lambda file: (file.name == CONFIG, file.name))
    names = {file.name for file in new}
    for file in new:
        os.replace(file, target / file.name)
    # Weights of an earlier model under other names would contradict the new ones.
    for old in (*target.glob("model-*-of-*.safetensors"), target / WEIGHTS, target / INDEX):
        if old.name not in names:
            old.unlink(missing_ok=True)


def _explain(error: Exception, target: Path) -> None:
    """Raises RunError if the error came from the disk; the libraries wrap it in their own."""
    if disk_is_full(error):
        raise RunError(
            f"{target}: no space left to save the model, {free_bytes(target):,} bytes are free; "
            "what was there before is unchanged: make room and save again, or name another folder"
        ) from error
    if isinstance(error, OSError) or "os error" in str(error):
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RunError(
            f"{target}: the model cannot be saved ({reason}); name a folder you may write to"
        ) from error
