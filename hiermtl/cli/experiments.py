"""`hiermtl grid` and `hiermtl compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hiermtl.atomic import write_whole
from hiermtl.cli.arguments import DataDir, Quiet, read_names

if TYPE_CHECKING:
    from hiermtl.evaluation import Comparison

Format = Annotated[
    Literal["text", "markdown", "json", "csv"],
    typer.Option("--format", help="How tables are printed."),
]
Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the comparison as JSON.")
]


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command(epilog="Example: hiermtl grid levels.yaml -o runs/levels --jobs 2")(grid)
    app.command(epilog="Example: hiermtl compare runs/single runs/low --split test")(compare)


def grid(
    file: Annotated[Path, typer.Argument(metavar="GRID", help="A YAML file: arms, seeds, sizes.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Results. Default: runs/<file's name>."),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option("--jobs", metavar="N", min=1, help="Runs at a time; they share cores."),
    ] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the trained models.")] = False,
    format: Format = "text",
    json: Json = None,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Run an experiment: recipes times seeds times sizes. What is done is skipped.

    With --json, --quiet prints no table.
    """
    from hiermtl import commands

    found = commands.grid(file, output, jobs=jobs, keep=keep, data_dir=data_dir, quiet=quiet)
    _show(found, format=format, json=json, quiet=quiet)


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folders, results of a grid, or its folder."),
    ],
    *,
    split: Annotated[
        Literal["dev", "test"], typer.Option("--split", help="What run folders are scored on.")
    ] = "dev",
    controls: Annotated[
        str | None,
        typer.Option("--controls", metavar="NAMES", help="Arms the others are set against."),
    ] = None,
    test: Annotated[
        Literal["bootstrap", "randomisation"],
        typer.Option("--test", help="How differences are tested."),
    ] = "bootstrap",
    format: Format = "text",
    json: Json = None,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Compare runs per level: means over seeds, differences to controls, tests of these.

    With --json, --quiet prints no table.
    """
    against = read_names(controls, option="--controls")
    from hiermtl import commands

    found = commands.compare(runs, split=split, controls=against, test=test, data_dir=data_dir)
    _show(found, format=format, json=json, quiet=quiet)


def _show(found: "Comparison", *, format: str, json: Path | None, quiet: bool) -> None:
    if json is not None:
        write_whole(json, found.to_json() + "\n")
        if quiet:
            return
    match format:
        case "markdown":
            typer.echo(found.to_markdown())
        case "json":
            typer.echo(found.to_json())
        case "csv":
            typer.echo(found.to_csv(), nl=False)
        case _:
            typer.echo(found.to_text())
