"""Output files that are written whole or not at all."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hiermtl.errors import RecipeError, RunError


def disk_is_full(error: BaseException) -> bool:
    """Whether an error says that no space is left, also one that a library made a text of."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left" in str(error) or "os error 28" in str(error)


def free_bytes(place: str | Path) -> int:
    """Bytes left where a file or folder lies or would lie."""
    path = Path(place).absolute()
    return shutil.disk_usage(next(p for p in (path, *path.parents) if p.exists())).free


@contextmanager
def written_whole(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends without an error.

    Until then a file of that name stays as it was; after an error nothing new is left behind. The
    new one may be read and written by those who might the old one. A link goes on pointing where it
    did. A pipe or a device cannot be replaced and is written to directly.

    Raises:
        RecipeError: There is no such folder, or `path` is one.
        RunError: It cannot be written, for lack of permission or of space.
    """
    place = Path(path).resolve()
    if not os.path.isdir(place.parent):
        raise RecipeError(
            f"{path}: the folder {place.parent} does not exist; make it, or name another"
        )
    if os.path.isdir(place):
        raise RecipeError(f"{path}: cannot be written (it is a folder); name a file in it")
    special = os.path.exists(place) and not os.path.isfile(place)
    beside = place if special else place.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with beside.open("wb" if special else "xb") as file:
            yield file
            file.flush()
            if not special:
                os.fsync(file.fileno())
        if not special:
            if os.path.exists(place):
                shutil.copymode(place, beside)
            os.replace(beside, place)
    except OSError as error:
        full = disk_is_full(error)
        # Other errors are those of the block, about files it reads.
        if not full and Path(error.filename or "") != beside:
            raise
        reason, remedy = (
            ("no space left", "make room") if full else (error.strerror, "make its folder writable")
        )
        raise RunError(
            f"{path}: cannot be written ({reason}); {remedy}, or name another file"
        ) from error
    finally:
        if not special:
            beside.unlink(missing_ok=True)


def write_whole(path: str | Path, text: str) -> None:
    """Writes a text as `written_whole` does, in UTF-8.

    Raises:
        RecipeError: There is no such folder, or `path` is one.
        RunError: It cannot be written, for lack of permission or of space.
    """
    with written_whole(path) as file:
        file.write(text.encode("utf-8"))
