"""`hiermtl train`, `hiermtl extend` and `hiermtl check`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hiermtl.cli.arguments import (
    DataDir,
    ModelName,
    Overrides,
    Quiet,
    RecipeName,
    read_names,
    read_overrides,
)
from hiermtl.cli.output import leads


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command(epilog="Example: hiermtl train quickstart -o runs/first training.epochs=2")(train)
    app.command(epilog="Example: hiermtl extend runs/ewt chunks.yaml -o runs/with-chunks")(extend)
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
    _show(run, quiet=quiet)


def extend(
    model: ModelName,
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="[RECIPE]", help="Tasks to add or replace, their corpora, training."
        ),
    ] = None,
    overrides: Overrides = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="RUN", help="Folder of the new model."),
    ] = None,
    drop: Annotated[
        str | None, typer.Option("--drop", metavar="NAMES", help="Tasks to leave out: ner,dep.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that lies in the folder.")
    ] = False,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Add, replace or drop tasks of a trained model. The others stay as they are.

    The encoder is frozen unless the recipe sets encoder.freeze_below.
    """
    settings = read_overrides(overrides)
    dropped = read_names(drop, option="--drop") or []
    from hiermtl import commands

    run = commands.extend(
        model,
        recipe,
        output=output,
        drop=dropped,
        resume=resume,
        data_dir=data_dir,
        quiet=quiet,
        overrides=settings,
    )
    _show(run, quiet=quiet)


def _show(run: Any, *, quiet: bool) -> None:
    """The end of a run, in words."""
    if not leads() or quiet:
        return
    if run.scores.rows:
        typer.echo(run.scores.to_text())
    if run.example is not None:
        typer.echo(f"\n{run.example}")
    scored = "; scores are those of dev" if run.scores.rows else ""
    typer.echo(f"\nThe model is in {run.folder}{scored}.")


def check(
    recipe: RecipeName,
    overrides: Overrides = None,
    *,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Find what is wrong with a recipe. Nothing is trained; data that was read stays in the cache.

    With --quiet only errors are printed.
    """
    settings = read_overrides(overrides)
    from hiermtl import commands

    findings = commands.check(recipe, data_dir=data_dir, overrides=settings)
    if not quiet:
        for line in findings:
            typer.echo(line)
