"""`hiermtl train` and `hiermtl check`."""

from pathlib import Path
from typing import Annotated

import typer

from hiermtl.cli.arguments import DataDir, Overrides, Quiet, RecipeName, read_overrides
from hiermtl.cli.output import leads


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command(epilog="Example: hiermtl train quickstart -o runs/first training.epochs=2")(train)
    app.command(epilog="Example: hiermtl check low_supervision/ewt --data-dir data")(check)


def train(
    recipe: RecipeName,
    overrides: Overrides = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="RUN", help="Run folder. Default: runs/<recipe>."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that lies in the folder.")
    ] = False,
    processes: Annotated[
        int | None, typer.Option("--processes", metavar="N", min=1, help="Processes to share work.")
    ] = None,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Train a recipe. The run folder that results is a model folder."""
    settings = read_overrides(overrides)
    from hiermtl import commands

    run = commands.train(
        recipe,
        output=output,
        resume=resume,
        processes=processes,
        data_dir=data_dir,
        quiet=quiet,
        overrides=settings,
    )
    if not leads() or quiet:
        return
    typer.echo(run.scores.to_text())
    if run.example is not None:
        typer.echo(f"\n{run.example}")
    typer.echo(f"\nThe model is in {run.folder}; scores are those of dev.")


def check(
    recipe: RecipeName,
    overrides: Overrides = None,
    *,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Find what is wrong with a recipe. Nothing is trained or written."""
    settings = read_overrides(overrides)
    from hiermtl import commands

    findings = commands.check(recipe, data_dir=data_dir, overrides=settings)
    if not quiet:
        for line in findings:
            typer.echo(line)
