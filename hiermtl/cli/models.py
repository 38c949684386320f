"""`hiermtl evaluate`, `annotate`, `benchmark` and `export`."""

import time
from contextlib import ExitStack
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
from hiermtl.errors import listing

SECONDS = 10.0
"""Between lines about a long job."""


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command(epilog="Example: hiermtl evaluate runs/ewt --split test --json scores.json")(
        evaluate
    )
    app.command(epilog="Example: hiermtl annotate runs/ewt notes.txt -o notes.conllu --tasks upos")(
        annotate
    )
    app.command(epilog="Example: hiermtl benchmark runs/ewt --data notes.txt")(benchmark)
    app.command(epilog="Example: hiermtl export runs/ewt -o onnx/ewt --tasks upos,dep --int8")(
        export
    )


def benchmark(
    model: ModelName,
    *,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FILE", help="Text. Default: generated sentences."),
    ] = None,
    tasks: Tasks = None,
    words: Annotated[
        int, typer.Option("--words", metavar="N", min=1, help="Words in a round.")
    ] = 20_000,
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", min=1, help="Rounds; the median is shown.")
    ] = 3,
    precision: Precision = None,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Time a model: words per second and memory, for each task alone and for all."""
    wanted = read_names(tasks)
    from hiermtl import commands

    report = commands.benchmark(
        model, data, tasks=wanted, words=words, rounds=rounds, precision=precision, device=device
    )
    typer.echo(report.to_text(about=not quiet))


def export(
    model: ModelName,
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="A new folder for graph and tokenizer."),
    ],
    tasks: Tasks = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Also write a graph in 8 bits, and score both on dev."),
    ] = False,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="FILE", help="Gold to score both on, in place of dev."),
    ] = None,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Write a model as an ONNX graph: its encoder, and the scores of its tasks."""
    wanted = read_names(tasks)
    from hiermtl import commands

    done = commands.export(model, output, tasks=wanted, int8=int8, data=data, data_dir=data_dir)
    if done.scores or not quiet:
        typer.echo(done.to_text())


def evaluate(
    model: ModelName,
    overrides: Overrides = None,
    *,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="FILE",
            help="Gold: .conllu, .jsonl or .spacy. Default: the recipe's own corpora.",
        ),
    ] = None,
    split: Annotated[
        Literal["dev", "test"] | None,
        typer.Option("--split", help="Which part of the recipe's corpora. Default: dev."),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Score from plain text, aligned as in CoNLL-18.")
    ] = False,
    json: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Also write the rows as a JSON list."),
    ] = None,
    tasks: Tasks = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="KINDS",
            help="Also score parts, by: length, seen (words), genre, label. Several with commas.",
        ),
    ] = None,
    intervals: Annotated[
        bool, typer.Option("--intervals", help="95 % intervals, of documents drawn again.")
    ] = False,
    calibration: Annotated[
        bool, typer.Option("--calibration", help="How sure the model is, and how often right.")
    ] = False,
    confusion: Annotated[
        bool, typer.Option("--confusion", help="What labels were taken for.")
    ] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Blocks and words/s of each level alone.")
    ] = False,
    details: Annotated[
        Path | None,
        typer.Option(
            "--details",
            metavar="FILE",
            help="Also write calibration, confusion, cost, exits as JSON.",
        ),
    ] = None,
    exits: Annotated[
        bool,
        typer.Option(
            "--exits", help="Let sentences leave early; scores and cost with and without."
        ),
    ] = False,
    precision: Precision = None,
    device: Device = None,
    format: Annotated[
        Literal["text", "markdown", "json"],
        typer.Option("--format", help="How scores are printed."),
    ] = "text",
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Score a model per level and task. With --json, --quiet prints no table.

    Of its recipe only keys of corpora can be set: corpora.mine.test=other.tsv.
    """
    wanted, settings = read_names(tasks), read_overrides(overrides)
    if details is not None and not (calibration or confusion or cost or exits):
        raise typer.BadParameter(
            "there is nothing to write; add --calibration, --confusion, --cost or --exits",
            param_hint="--details",
        )
    if details is not None and json is not None and details.resolve() == json.resolve():
        raise typer.BadParameter(
            f"{details} is named by --json too; name another file", param_hint="--details"
        )
    import json as plain

    from hiermtl import commands

    # Places to write to are found missing before the work, and what is found is told in any case.
    with ExitStack() as places:
        rows = None if json is None else places.enter_context(written_whole(json))
        more = None if details is None else places.enter_context(written_whole(details))
        scores = commands.evaluate(
            model,
            data,
            split=split,
            tasks=wanted,
            raw=raw,
            by=by or (),
            intervals=intervals,
            calibration=calibration,
            confusion=confusion,
            cost=cost,
            exits=exits,
            precision=precision,
            device=device,
            data_dir=data_dir,
            overrides=settings,
        )
        if rows is None or not quiet:
            match format:
                case "text":
                    typer.echo(scores.to_text())
                case "markdown":
                    typer.echo(scores.to_markdown())
                case "json":
                    typer.echo(scores.to_json())
        if rows is not None:
            rows.write(f"{scores.to_json()}\n".encode())
        if more is not None:
            told = plain.dumps(scores.details(), ensure_ascii=False, indent=1)
            more.write(f"{told}\n".encode())


def annotate(
    model: ModelName,
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="A file, a folder of files, or - for text.")
    ],
    *,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="OUTPUT", help="File to write, or -; of a folder, a folder."
        ),
    ],
    tasks: Tasks = None,
    format: Annotated[
        Literal["conllu", "jsonl", "parquet", "docbin"] | None,
        typer.Option("--format", help="Format of the output. Default: by its ending."),
    ] = None,
    input_format: Annotated[
        Literal["txt", "conllu", "jsonl", "parquet"] | None,
        typer.Option(
            "--input-format", help="Format of the input. Default: by its ending; txt for -."
        ),
    ] = None,
    precision: Precision = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="NAME",
            help="cpu, or cuda. Default: cuda where there is one; of workers and a cluster, cpu.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", metavar="N", min=0, help="Processes to share the work of a big input."
        ),
    ] = 0,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option("--engine", help="This machine, or a cluster; OUTPUT is then a folder."),
    ] = "local",
    exits: Annotated[
        bool,
        typer.Option(
            "--exits", help="Let sentences leave where the model is sure: faster, not exact."
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Annotate text. Blocks above the deepest task asked for are not run."""
    wanted = read_names(tasks)
    from hiermtl import commands

    report = commands.annotate(
        model,
        source,
        output,
        tasks=wanted,
        format=format,
        source_format=input_format,
        precision=precision,
        device=device,
        workers=workers,
        engine=engine,
        exits=exits,
        told=_Parts(quiet=quiet),
    )
    for task in report.left_out:
        say(f"left out: {task}, which the format of the output cannot hold", quiet=quiet)
    for path in report.skipped:
        say(f"skipped: {path}, which is of no format that is read", quiet=quiet)
    if report.there:
        say(f"{report.there:,} parts were there already", quiet=quiet)
    if report.cut:
        from hiermtl.annotation.reading import LONGEST

        say(
            f"{report.cut:,} documents of more than {LONGEST:,} words were annotated in parts, "
            "between which no mentions are linked",
            quiet=quiet,
        )
    for task, depths in report.left.items():
        read = listing(f"{count:,} at depth {depth}" for depth, count in depths.items())
        say(f"{task}: {read}", quiet=quiet)
    rate = f", {report.words / report.seconds:,.0f} words/s" if report.seconds > 0 else ""
    say(
        f"{report.sentences:,} sentences, {report.words:,} words in {report.seconds:.1f} s{rate}",
        quiet=quiet,
    )


class _Parts:
    """Says now and then how many parts of a long job are done."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._last = quiet, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self._last > SECONDS:
            self._last = time.monotonic()
            say(f"{done:,} of {total:,} parts", quiet=self._quiet)
