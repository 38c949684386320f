"""The program: its commands, its version, and how errors become messages and exit codes.

Exit codes: 0 done, 1 failed in running, 2 the user's input, 130 interrupted, 143 terminated.
"""

import os
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hiermtl.atomic import disk_is_full
from hiermtl.cli import catalogue, depths, experiments, models, runs
from hiermtl.errors import HiermtlError
from hiermtl.last_word import leave_word


class Program(TyperGroup):
    """The group of all commands: the one place where errors are caught."""

    def invoke(self, ctx: Any) -> Any:
        """Runs a command; a user's error is a message on standard error, never a stack trace."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except HiermtlError as error:
            typer.echo(f"error: {error}", err=True)
            leave_word(str(error), kind=type(error).__name__)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            typer.echo("interrupted", err=True)
            raise typer.Exit(130) from error
        except BrokenPipeError as error:
            # Whoever read our output has closed it.
            _write_no_more()
            raise typer.Exit(1) from error
        except OSError as error:
            # Errors of files name them, or are messages of ours.
            if error.filename is not None or not disk_is_full(error):
                raise
            _write_no_more()
            typer.echo(
                "error: no space is left for the output; make room, or send it elsewhere", err=True
            )
            raise typer.Exit(1) from error
        return result


def _write_no_more() -> None:
    """Keeps Python from flushing to a standard output again, when it ends, that takes nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(
    name="hiermtl",
    cls=Program,
    help="One encoder, many tasks, each read at the depth where it belongs.",
    epilog="Example: hiermtl train quickstart",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        from hiermtl._version import __version__

        typer.echo(f"hiermtl {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_version),
    ] = False,
) -> None:
    """One encoder, many tasks, each read at the depth where it belongs."""
    del version


runs.add_to(app)
models.add_to(app)
depths.add_to(app)
experiments.add_to(app)
catalogue.add_to(app)


def main() -> None:
    """Entry point of the `hiermtl` script."""
    # A request to end unwinds like an error, so that nothing temporary stays behind.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    app(prog_name="hiermtl")
