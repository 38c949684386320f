"""Files of weights: a checksum travels with the tensors, so that damage is found.

Format: https://huggingface.co/docs/safetensors, eight bytes with the length of a JSON header, the
header, the tensors. The checksum of the tensors' bytes stands in the header's `__metadata__`; a
file without one (written by another program) is only checked for its structure.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError, safe_open

from hiermtl.errors import ModelError
from hiermtl.folders import CONFIG

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_KEY = "sha256"
_LARGEST_HEADER = 100_000_000


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights of a model folder: one, or the shards its index names.

    Raises:
        ModelError: There are none, the index names none, or one that it names is missing.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        raise ModelError(
            f"{folder}: there is no {WEIGHTS}; a model folder holds its weights in that file: "
            "copy the whole folder, or train again"
        )
    names = _names_in(folder / INDEX)
    for name in names:
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: {INDEX} names {name}, which is missing; copy it too")
    return [folder / name for name in names]


def model_name(folder: Path) -> str:
    """A short name of the bytes of a model's config and weights: of another model it is another.

    Raises:
        ModelError: There are no weights.
    """
    name = hashlib.sha256((folder / CONFIG).read_bytes())
    for path in weight_files(folder):
        with path.open("rb") as file:
            name.update(hashlib.file_digest(file, "sha256").digest())
    return name.hexdigest()[:16]


def _names_in(index: Path) -> list[str]:
    """The names of shards, each once.

    Raises:
        ModelError: There are none, or something stands in the place of one.
    """
    given = read_json(index).get("weight_map")
    if not isinstance(given, dict) or not given:
        raise ModelError(
            f"{index}: weight_map is {given!r:.100}; allowed is an object that names a file for "
            "each tensor; copy the file again"
        )
    for tensor, name in given.items():
        if not isinstance(name, str):
            raise ModelError(
                f"{index}: weight_map[{tensor!r}] is {name!r:.100}; allowed is the name of a file; "
                "copy the file again"
            )
    return sorted(set(given.values()))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ModelError: The file is missing or damaged; with line and column where that is known.
    """
    try:
        data = json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path.parent}: there is no {path.name}; copy the whole folder") from None
    except json.JSONDecodeError as error:
        raise ModelError(
            f"{path}:{error.lineno}:{error.colno}: damaged JSON ({error.msg}); copy the file "
            "again, or train again"
        ) from None
    except (UnicodeDecodeError, OSError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); copy the file again") from None
    if not isinstance(data, dict):
        raise ModelError(
            f"{path}: holds a JSON {type(data).__name__}, allowed is an object; copy the file again"
        )
    return data


def check_weights(path: Path, *, checksum: bool = True) -> None:
    """Reads a file of weights through once; without `checksum` only its header.

    Raises:
        ModelError: The file is truncated, its header is broken, or its bytes have changed.
    """
    with open(path, "rb") as file:
        header, start = _read_header(file, path)
        size = path.stat().st_size
        tensors = [value for name, value in header.items() if name != "__metadata__"]
        try:
            end = start + max((int(tensor["data_offsets"][1]) for tensor in tensors), default=0)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError):
            raise _damaged(path, "its header does not say where the tensors lie") from None
        if size != end:
            raise _damaged(path, f"it has {size} bytes, and its header promises {end}")
        try:
            with safe_open(path, framework="np"):
                pass
        except SafetensorError as error:
            raise _damaged(path, str(error)) from None
        known = (header.get("__metadata__") or {}).get(_KEY)
        if checksum and known is not None and known != _digest(file):
            raise _damaged(path, "its bytes are not those that were written (checksum)")


def seal_weights(path: Path) -> None:
    """Writes the checksum of the tensors into the header of a file of weights."""
    sealed = path.with_name(f"{path.name}.sealed")
    with open(path, "rb") as file:
        header, start = _read_header(file, path)
        digest = _digest(file)
        header["__metadata__"] = {**(header.get("__metadata__") or {}), _KEY: digest}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with open(sealed, "wb") as out:
            out.write(len(text).to_bytes(8, "little") + text)
            file.seek(start)
            shutil.copyfileobj(file, out, 1 << 22)
            out.flush()
            os.fsync(out.fileno())
    os.replace(sealed, path)


def _read_header(file: BinaryIO, path: Path) -> tuple[dict[str, Any], int]:
    """The header, and where the tensors begin; the file stands there afterwards."""
    first = file.read(8)
    length = int.from_bytes(first, "little")
    left = path.stat().st_size - 8
    if len(first) < 8 or length > left or length > _LARGEST_HEADER:
        raise _damaged(path, f"its header should have {length} bytes, and {max(left, 0)} follow")
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError):
        raise _damaged(path, "its header is not JSON") from None
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not a JSON object")
    return header, 8 + length


def _digest(file: BinaryIO) -> str:
    """Of everything from where the file stands to its end."""
    digest = hashlib.sha256()
    while chunk := file.read(1 << 22):
        digest.update(chunk)
    return digest.hexdigest()


def _damaged(path: Path, what: str) -> ModelError:
    return ModelError(f"{path}: damaged or cut short: {what}; copy the file again, or train again")
