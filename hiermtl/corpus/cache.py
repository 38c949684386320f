"""Folders of derived files under a key of their contents, made whole or not at all."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from hiermtl.atomic import disk_is_full
from hiermtl.corpus.catalogue import missing_file_error
from hiermtl.errors import DataError, RunError

META = "meta.json"


def file_digest(path: str | Path) -> str:
    """The SHA-256 of a file's bytes; computed once a run for a path, size and time of change.

    Raises:
        DataError: There is no such file; the message has what the catalogue knows of it.
    """
    path = Path(path)
    try:
        state = path.stat()
        return _digest(path.resolve(), state.st_size, state.st_mtime_ns)
    except FileNotFoundError:
        raise missing_file_error(path) from None
    except IsADirectoryError:
        raise DataError("this is a folder; name one of its files", path) from None
    except OSError as error:
        raise DataError(
            f"the file cannot be read ({error.strerror}); change its mode, or name another", path
        ) from None


@lru_cache(maxsize=4096)
def _digest(path: Path, size: int, changed: int) -> str:
    del size, changed  # They only make the cached digest a stale file's no longer.
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: object) -> str:
    """A key of 32 hexadecimal digits for a value of JSON types; the order of keys is immaterial.

    Raises:
        TypeError: A part has no JSON form, so that no key could stand for it.
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, default=_jsonable)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _jsonable(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{value!r} of type {type(value).__name__} has no JSON form")


def kept(folder: Path, make: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    """What `make` returned for this folder: read from it, or made now.

    `make` fills a temporary folder, which then takes its name; a process that is killed leaves
    nothing under that name, and of two that make it at once the later one uses the earlier one's.
    An entry whose files are not those written (one was deleted or cut short) is made again.

    Raises:
        RunError: The cache folder cannot be written.
    """
    found = _read(folder)
    if found is not None:
        return found
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name[:16]}-", dir=folder.parent))
    except OSError as error:
        raise RunError(
            f"{folder.parent}: the cache cannot be written ({error.strerror}); set "
            "HIERMTL_CACHE to another folder"
        ) from error
    try:
        value = dict(make(work))
        sizes = {path.name: path.stat().st_size for path in work.iterdir()}
        meta = json.dumps({"files": sizes, "value": value}, ensure_ascii=False)
        with (work / META).open("w", encoding="utf-8") as file:
            file.write(meta)
            file.flush()
            os.fsync(file.fileno())
        return _publish(work, folder, json.loads(meta)["value"])
    except OSError as error:
        # Others are those of the files that are read.
        if not disk_is_full(error):
            raise
        raise RunError(
            f"{folder.parent}: no space is left in the cache; make room, or set HIERMTL_CACHE to "
            "another folder"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _publish(work: Path, folder: Path, value: dict[str, Any]) -> dict[str, Any]:
    for _ in range(10):
        try:
            os.replace(work, folder)
        except OSError:
            found = _read(folder)
            if found is not None:
                return found
            # Damaged: it steps aside under a name of our own, so that two processes never remove
            # the same folder.
            aside = work.with_name(work.name + "-damaged")
            try:
                os.replace(folder, aside)
            except FileNotFoundError:
                continue
            shutil.rmtree(aside, ignore_errors=True)
        else:
            return value
    raise RunError(
        f"{folder}: the cache entry cannot be replaced; remove this folder and run again"
    )


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        whole = all((folder / name).stat().st_size == size for name, size in meta["files"].items())
        return meta["value"] if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
