"""`hiermtl annotate`."""

from collections.abc import Iterable
from pathlib import Path

from hiermtl.annotation import AnnotateReport, Annotator, annotate_files, load


def annotate(
    model: str | Path | Annotator,
    source: str | Path,
    output: str | Path,
    *,
    tasks: Iterable[str] | None = None,
    format: str | None = None,
    source_format: str | None = None,
    precision: str | None = None,
    workers: int = 0,
) -> AnnotateReport:
    """Annotates a file, a folder or standard input (`-`) and writes the result whole or not at all.

    Formats are those of `hiermtl.annotation.annotate_files`.

    Raises:
        ModelError: The model, a task or the precision is not there.
        DataError: The input is missing or malformed.
        RecipeError: Formats, endings, tasks or places do not go together.
        RunError: The output cannot be written, or a worker died.
    """
    nlp = model if isinstance(model, Annotator) else load(model, precision=precision)
    return annotate_files(
        nlp,
        source,
        output,
        tasks=tasks,
        format=format,
        source_format=source_format,
        workers=workers,
    )
