"""Reads model folders. Nothing in a folder is ever run: tensors, JSON and text only."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError

from hiermtl.config import FORMAT_VERSION, HierarchicalConfig
from hiermtl.encoders import encoder_from_config
from hiermtl.errors import ModelError
from hiermtl.folders import CONFIG
from hiermtl.model import HierarchicalModel
from hiermtl.pretrained.finding import find_model
from hiermtl.pretrained.hub import refuse_code
from hiermtl.pretrained.parts import Part, part_of
from hiermtl.pretrained.quiet import quiet
from hiermtl.pretrained.weights import check_weights, read_json, weight_files
from hiermtl.tokens import PieceTokenizer, Tokenizer, WordTokenizer

_NAMED = 4
_TOKENIZER_CONFIG = "tokenizer_config.json"


def load_model(
    name_or_folder: str | Path,
    *,
    tasks: Iterable[str] | None = None,
    depth: int | None = None,
    device: str = "cpu",
    revision: str | None = None,
) -> tuple[HierarchicalModel, Tokenizer]:
    """A model in evaluation mode, and its tokenizer; weights stored in 16 bits become fp32.

    With `tasks` or `depth` it is a smaller model: the tensors that the other tasks need alone are
    not read, and of the file of weights, which is then not read through, the size is checked and
    not the checksum.

    Args:
        name_or_folder: Tried as a folder, as a shipped name, and as a hub id, in this order.
        tasks: Those wanted. The model also has those whose predictions they read, and `segment`,
            which finds the words of raw text, if it was there. Default: all.
        depth: The most blocks of the encoder that a task may need. Default: any number.
        device: Where the model is put.
        revision: Of a hub model: a branch, tag or commit.

    Raises:
        ModelError: There is no such model; the folder is damaged or incomplete, is no hiermtl
            model, asks for code, or is of a newer format; no task is left.
    """
    folder = find_model(name_or_folder, revision=revision)
    config = read_json(folder / CONFIG)
    check_config(config, folder)
    files = weight_files(folder)
    whole = tasks is None and depth is None
    for file in files:
        check_weights(file, checksum=whole)
    with _building(folder):
        part = None if whole else part_of(folder, files, tasks=tasks, depth=depth)
    model = _read_model(folder, part)
    tokenizer = load_tokenizer(folder, model.config.encoder)
    _put(model, device)
    return model, tokenizer


def _put(model: HierarchicalModel, device: str) -> None:
    try:
        place = torch.device(device)
        if place.type == "meta":
            raise RuntimeError("it holds no weights")
        model.to(place)  # pyright: ignore[reportArgumentType] - transformers wraps `to`
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"device {device!r} cannot be used ({reason}); use 'cpu'") from None


def check_config(config: Mapping[str, Any], folder: Path) -> None:
    """Whether the content of config.json is that of a model this version reads.

    Raises:
        ModelError: It is another library's, of a newer format, asks for code, or is incomplete.
    """
    path, kind = folder / CONFIG, config.get("model_type")
    if kind != HierarchicalConfig.model_type:
        raise ModelError(
            f"{path}: model_type is {kind!r}, and a model of this package has "
            f"{HierarchicalConfig.model_type!r}; an encoder without tasks is used for training, "
            f"as encoder.name={folder}"
        )
    version = config.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise ModelError(f"{path}: format_version is {version!r}; allowed is a number from 1")
    if version > FORMAT_VERSION:
        raise ModelError(
            f"{path}: format_version is {version}, and this version of hiermtl reads up to "
            f"{FORMAT_VERSION}; install a newer hiermtl"
        )
    refuse_code(config, path)
    for key in ("encoder", "tasks"):
        if not isinstance(config.get(key), dict) or not config[key]:
            raise ModelError(f"{path}: `{key}` is missing or empty; copy the file again")


def load_tokenizer(folder: Path, encoder: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer in a model folder, of the kind its encoder reads.

    Raises:
        ModelError: Its files are missing or damaged, or ask for code.
    """
    if encoder.get("family") == "bilstm":
        asking = folder / _TOKENIZER_CONFIG
        if asking.exists():
            refuse_code(read_json(asking), asking)
        read_json(folder / "words.json")
        try:
            return WordTokenizer.load(folder)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"{folder / 'words.json'}: damaged ({error!r}); copy it again"
            ) from None
    limit = encoder_from_config(encoder).limit
    assert limit is not None
    return read_pieces(
        folder,
        limit=limit,
        casing=bool(encoder.get("casing", False)),
    )


def read_pieces(folder: Path, *, limit: int, casing: bool | None) -> PieceTokenizer:
    """A transformers tokenizer from the files of a folder.

    `limit` is the encoder's, in units; `casing` is that of `PieceTokenizer`.

    Raises:
        ModelError: Its files are missing or damaged, ask for code, or it cannot be used word by
            word.
    """
    from transformers import AutoTokenizer

    for name in ("tokenizer.json", _TOKENIZER_CONFIG):
        if name == "tokenizer.json" or (folder / name).exists():
            refuse_code(read_json(folder / name), folder / name)
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, add_prefix_space=True, trust_remote_code=False
            )
    except Exception as error:  # the tokenizers library raises bare exceptions
        reason = str(error).strip().splitlines()[:1]
        raise ModelError(
            f"{folder}: the tokenizer cannot be read ({''.join(reason)[:200]}); copy the files "
            "tokenizer.json and tokenizer_config.json again"
        ) from None
    return PieceTokenizer(tokenizer, limit=limit, casing=casing)


def _read_model(folder: Path, part: Part | None) -> HierarchicalModel:
    with _building(folder), quiet():
        loaded: Any = HierarchicalModel.from_pretrained(
            folder,
            config=None if part is None else part.config,
            local_files_only=True,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
        model, report = loaded
    known = frozenset() if part is None else part.known
    for what, names in (
        ("misses the tensors", report["missing_keys"]),
        ("has tensors the model does not have:", set(report["unexpected_keys"]) - known),
        ("has tensors of another shape than config.json says:", report["mismatched_keys"]),
    ):
        if names:
            raise ModelError(
                f"{folder}: the file of weights {what} {_some(names)}; config.json and weights "
                "belong to different models: copy both from one folder"
            )
    # Tensors lie in the mapped file, aligned by chance; aligned ones of its own give the same
    # products to the last bit as those the model was saved from.
    for tensor in (*model.parameters(), *model.buffers()):
        half = tensor.dtype in (torch.float16, torch.bfloat16)
        tensor.data = tensor.data.float() if half else tensor.data.clone()
    return model.eval()


@contextmanager
def _building(folder: Path) -> Iterator[None]:
    """Tells what goes wrong inside of the config that a model is built from."""
    try:
        yield
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        StrictDataclassError,  # transformers checks the kinds of an encoder's values by it
    ) as error:
        raise ModelError(
            f"{folder / CONFIG}: no model can be built from it ({error!r:.200}); copy the file "
            "again, or train again"
        ) from error


def _some(names: Any) -> str:
    """The first few keys; those of another shape come as (key, in the file, in the model)."""
    texts = []
    for name in sorted(names, key=str):
        if isinstance(name, tuple):
            key, found, wanted = name
            texts.append(f"{key} {tuple(found)} instead of {tuple(wanted)}")
        else:
            texts.append(str(name))
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return ", ".join(texts[:_NAMED]) + more
