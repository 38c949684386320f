"""`hiermtl probe`, `hiermtl exits` and `hiermtl demo`: what a model knows at each depth."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from hiermtl.atomic import written_whole
from hiermtl.cli.arguments import (
    DataDir,
    Device,
    ModelName,
    Overrides,
    Precision,
    Quiet,
    Tasks,
    read_names,
    read_overrides,
)
from hiermtl.cli.output import say


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command(epilog="Example: hiermtl probe runs/ewt -o probes --tasks upos,ner")(probe)
    app.command(epilog="Example: hiermtl exits runs/ewt --loss 0.5 -o runs/ewt-exits")(exits)
    app.command(epilog="Example: hiermtl demo runs/ewt --port 8080")(demo)


def probe(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A run or model folder, a shipped name or a hub id; or a recipe, of which the "
            "pretrained encoder is probed.",
        ),
    ],
    overrides: Overrides = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Write scores, a recipe and a picture there."
        ),
    ] = None,
    tasks: Tasks = None,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=1, help="Probes of each kind.")
    ] = 5,
    examples: Annotated[
        int,
        typer.Option(
            "--examples",
            metavar="N",
            min=10,
            help="Examples of each corpus to learn from.",
        ),
    ] = 1_000,
    device: Device = None,
    json: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Also write everything as JSON."),
    ] = None,
    format: Annotated[
        Literal["text", "markdown", "json"],
        typer.Option("--format", help="How tables are printed."),
    ] = "text",
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Find the depth at which linear probes read each task. The encoder stays as it is."""
    wanted = read_names(tasks)
    settings = read_overrides(overrides)
    from hiermtl import commands

    if output is not None:
        commands.make_folder(output)
    # Places to write to are found missing before the work, and what is found is told in any case.
    with written_whole(json) if json is not None else nullcontext() as file:
        found = commands.probe(
            model,
            tasks=wanted,
            seeds=seeds,
            examples=examples,
            device=device,
            data_dir=data_dir,
            told=lambda line: say(line, quiet=quiet),
            overrides=settings,
        )
        match format:
            case "text":
                typer.echo(found.to_text())
            case "markdown":
                typer.echo(found.to_markdown())
            case "json":
                typer.echo(found.to_json())
        if file is not None:
            file.write(f"{found.to_json()}\n".encode())
    if output is not None:
        found.save(output)
        say(f"The proposed recipe is {output}/recipe.yaml.", quiet=quiet)


def exits(
    model: ModelName,
    *,
    loss: Annotated[
        float,
        typer.Option(
            "--loss", metavar="POINTS", help="How many points of its metric a task may lose on dev."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="A new folder, for the new model."),
    ],
    tasks: Tasks = None,
    device: Device = None,
    json: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Also write what was found as JSON."),
    ] = None,
    format: Annotated[
        Literal["text", "markdown", "json"],
        typer.Option("--format", help="How tables are printed."),
    ] = "text",
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Let sentences leave for a task below its depth, calibrated on dev to a stated loss."""
    wanted = read_names(tasks)
    from hiermtl import commands

    with written_whole(json) if json is not None else nullcontext() as file:
        found = commands.exits(
            model,
            output=output,
            loss=loss,
            tasks=wanted,
            device=device,
            data_dir=data_dir,
            told=lambda line: say(line, quiet=quiet),
        )
        match format:
            case "text":
                typer.echo(found.to_text())
            case "markdown":
                typer.echo(found.to_markdown())
            case "json":
                typer.echo(found.to_json())
        if file is not None:
            file.write(f"{found.to_json()}\n".encode())
    say(f"The model with exits is {output}; load it with exits=True.", quiet=quiet)


def demo(
    model: ModelName,
    *,
    port: Annotated[
        int,
        typer.Option(
            "--port", metavar="N", min=0, max=65_535, help="Of this machine; 0: any free one."
        ),
    ] = 8000,
    limit: Annotated[
        int,
        typer.Option("--limit", metavar="N", min=1, help="Characters that a text may have."),
    ] = 5_000,
    precision: Precision = None,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Show every level of what you type, on a page of this machine alone. Ctrl-C ends it."""
    from hiermtl import commands

    commands.demo(
        model,
        port=port,
        limit=limit,
        precision=precision,
        device=device,
        told=lambda address: say(f"open {address} (Ctrl-C ends)", quiet=quiet),
    )
