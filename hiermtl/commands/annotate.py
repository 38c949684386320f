"""`hiermtl annotate`."""

from collections.abc import Iterable
from pathlib import Path

from hiermtl.annotation import AnnotateReport, Annotator, annotate_files, load
from hiermtl.precision import resolve_device


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
) -> AnnotateReport:
    """Annotates a file, a folder or standard input (`-`) and writes the result whole or not at all.

    Formats are those of `hiermtl.annotation.annotate_files`. A model that is loaded here computes
    on `device`; by default on a graphics processor where there is one, and no workers are asked
    for.

    Raises:
        ModelError: The model, a task or the precision is not there.
        DataError: The input is missing or malformed.
        RecipeError: Formats, endings, tasks or places do not go together.
        RunError: The output cannot be written, or a worker died.
    """
    nlp = model
    if not isinstance(nlp, Annotator):
        # Workers are processes that compute on the processor.
        where = "cpu" if workers and device is None else resolve_device(device)
        nlp = load(nlp, device=where, precision=precision)
    return annotate_files(
        nlp,
        source,
        output,
        tasks=tasks,
        format=format,
        source_format=source_format,
        workers=workers,
    )
