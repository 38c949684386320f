"""What commands print."""

import os

import typer


def say(text: object, *, quiet: bool = False) -> None:
    """A note on standard error, so that standard output holds results alone."""
    if not quiet:
        typer.echo(str(text), err=True)


def leads() -> bool:
    """Whether this process speaks for all: under `accelerate launch`, each runs the command."""
    return os.environ.get("RANK", "0") == "0"
