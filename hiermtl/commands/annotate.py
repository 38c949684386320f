"""`hiermtl annotate`."""

from collections.abc import Callable, Iterable
from pathlib import Path

from hiermtl.annotation import (
    AnnotateReport,
    Annotator,
    annotate_files,
    annotate_on_cluster,
    load,
)
from hiermtl.errors import ModelError, RecipeError, listing, nearest
from hiermtl.precision import resolve_device

ENGINES = ("local", "ray")


def annotate(
    model: str | Path | Annotator,
    source: str | Path,
    output: str | Path,
    *,
    tasks: Iterable[str] | None = None,
    format: str | None = None,
    source_format: str | None = None,
    precision: str | None = None,
    device: str | None = None,
    workers: int = 0,
    engine: str = "local",
    exits: bool = False,
    told: Callable[[int, int], None] | None = None,
) -> AnnotateReport:
    """Annotates a file, a folder or standard input (`-`) and writes the result whole or not at all.

    With the engine `ray` a cluster does, part by part, into a folder; `told` is then told how many
    parts are done, and of how many. See `hiermtl.annotation.annotate_on_cluster`.

    Formats are those of `hiermtl.annotation.annotate_files`. A model that is loaded here computes
    on `device`; by default on a graphics processor where there is one, and no workers are asked
    for. With `exits` sentences may leave for a task below its depth, where the model has exits:
    faster, and not the whole model's answers; `left` of the report says how many. Default: off.

    Raises:
        ModelError: The model, its exits, a task or the precision is not there.
        DataError: The input is missing or malformed.
        RecipeError: Formats, endings, tasks or places do not go together.
        RunError: The output cannot be written, or a worker died.
    """
    if engine not in ENGINES:
        raise RecipeError(
            f"engine {engine!r}; allowed are {listing(ENGINES)}{nearest(engine, ENGINES)}"
        )
    if engine == "ray":
        if exits:
            raise RecipeError(
                "exits are not used on a cluster, whose workers read every sentence at its tasks' "
                "depths; leave exits out, or use --engine local"
            )
        if isinstance(model, Annotator):
            raise ModelError(
                "the workers of a cluster load the model themselves; give its folder or name, "
                "after save_pretrained"
            )
        return annotate_on_cluster(
            model,
            source,
            output,
            tasks=tasks,
            format=format,
            source_format=source_format,
            precision=precision,
            device=device or "cpu",
            workers=workers,
            told=told,
        )
    nlp = model
    if not isinstance(nlp, Annotator):
        # Workers are processes that compute on the processor.
        where = "cpu" if workers and device is None else resolve_device(device)
        nlp = load(nlp, device=where, precision=precision, exits=exits)
    elif exits:
        nlp = nlp.with_exits()
    return annotate_files(
        nlp,
        source,
        output,
        tasks=tasks,
        format=format,
        source_format=source_format,
        workers=workers,
    )
