"""What commands print and write."""

import os
from pathlib import Path

import typer

from hiermtl.errors import RunError


def say(text: object, *, quiet: bool = False) -> None:
    """A note on standard error, so that standard output holds results alone."""
    if not quiet:
        typer.echo(str(text), err=True)


def leads() -> bool:
    """Whether this process speaks for all: under `accelerate launch`, each runs the command."""
    return os.environ.get("RANK", "0") == "0"


def write_whole(path: Path, text: str) -> None:
    """Replaces a file, whole or not at all: a reader never sees half of it.

    Raises RunError when the file cannot be written.
    """
    # A link keeps pointing where it did; a pipe or a device cannot be replaced, only written to.
    path = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        path.write_text(text, encoding="utf-8")
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"{path}: cannot be written: {error.strerror}") from error
