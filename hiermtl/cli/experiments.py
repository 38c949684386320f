"""`hiermtl grid`, `hiermtl compare` and `hiermtl report`."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import typer

from hiermtl.atomic import written_whole
from hiermtl.cli.arguments import DataDir, Device, Quiet, read_names
from hiermtl.cli.output import say

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
    app.command(epilog="Example: hiermtl report runs/quickstart -o report.html")(report)


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

    with written_whole(json) if json is not None else nullcontext() as place:
        found = commands.grid(file, output, jobs=jobs, keep=keep, data_dir=data_dir, quiet=quiet)
        _show(found, format=format, json=place, quiet=quiet)


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

    with written_whole(json) if json is not None else nullcontext() as place:
        found = commands.compare(runs, split=split, controls=against, test=test, data_dir=data_dir)
        _show(found, format=format, json=place, quiet=quiet)


def report(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run folder, finished or not, or a model.")
    ],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The page to write, HTML.")
    ],
    others: Annotated[
        list[Path] | None,
        typer.Option(
            "--compare",
            metavar="RUN",
            help="A run, or results, to compare with; may be given several times.",
            show_default=False,
        ),
    ] = None,
    controls: Annotated[
        str | None,
        typer.Option("--controls", metavar="NAMES", help="Arms the others are set against."),
    ] = None,
    probe: Annotated[
        Path | None,
        typer.Option("--probe", metavar="FILE", help="Probes. Default: probe.json of the run."),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option("--pictures", metavar="DIR", help="Also write the pictures, SVG and PNG."),
    ] = None,
    errors: Annotated[
        int, typer.Option("--errors", metavar="N", min=0, help="Sentences shown of each task.")
    ] = 5,
    speed: Annotated[bool, typer.Option("--speed", help="Time each task, too.")] = False,
    device: Device = None,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Write a page on a run, for a person who was not there. It needs no network."""
    against = read_names(controls, option="--controls")
    from hiermtl import commands

    found = commands.report(
        run,
        output,
        compare_with=others or (),
        controls=against,
        probe=probe,
        pictures=pictures,
        errors=errors,
        speed=speed,
        device=device,
        data_dir=data_dir,
    )
    for note in found.notes:
        say(f"note: {note}", quiet=quiet)
    if found.pictures:
        say(f"wrote {len(found.pictures)} pictures to {pictures}", quiet=quiet)
    say(f"wrote {found.file}", quiet=quiet)


def _show(found: "Comparison", *, format: str, json: BinaryIO | None, quiet: bool) -> None:
    """What was found, printed and then written, so that it is told in any case."""
    if json is None or not quiet:
        match format:
            case "markdown":
                typer.echo(found.to_markdown())
            case "json":
                typer.echo(found.to_json())
            case "csv":
                typer.echo(found.to_csv(), nl=False)
            case _:
                typer.echo(found.to_text())
    if json is not None:
        json.write(f"{found.to_json()}\n".encode())
