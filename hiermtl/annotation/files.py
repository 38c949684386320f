"""Whole files and folders: read, annotated and written at constant memory."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from hiermtl.annotation.annotator import Annotator
from hiermtl.annotation.given import Given
from hiermtl.annotation.jobs import Job, plan_jobs
from hiermtl.annotation.reading import STANDARD, Record, read_records
from hiermtl.annotation.writing import WRITERS, Writer, opened
from hiermtl.corpus.names import PLACES
from hiermtl.document import TOKEN_FIELDS, conllu_columns
from hiermtl.errors import RecipeError, RunError, listing
from hiermtl.text.bio import is_iob2
from hiermtl.text.conllu_write import WRITABLE

LEVELS = {
    "tree": "trees",
    "spans": "spans",
    "frames": "roles",
    "relations": "relations",
    "mentions": "clusters",
    "label": "labels",
    "number": "numbers",
}
"""What a head is trained on -> what its level is in `Document.to_dict`, where that is not tags."""


@dataclass(frozen=True, slots=True)
class AnnotateReport:
    """What was done.

    `seconds` run from the first line read to the last file in place. `left_out` are tasks of the
    model without a place in the output's format; `skipped` files of a folder that were not read;
    `there` how many of a cluster's parts were done before. `files` are those written. `left` has
    for each task with exits, where they are used, how many sentences were read at which depth.
    `cut` are documents that were annotated in parts since they are long, between which nothing is
    linked.
    """

    sentences: int
    words: int
    seconds: float
    documents: int
    files: int
    tasks: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    skipped: tuple[Path, ...] = ()
    there: int = 0
    left: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    cut: int = 0

    @property
    def words_per_second(self) -> float:
        """The rate; 0 when there was nothing to do."""
        return self.words / self.seconds if self.words else 0.0


def annotate_files(
    nlp: Annotator,
    source: str | Path,
    output: str | Path,
    *,
    tasks: Iterable[str] | None = None,
    format: str | None = None,
    source_format: str | None = None,
    workers: int = 0,
) -> AnnotateReport:
    """Annotates a file, the files below a folder, or standard input.

    Files are replaced, each written whole or not at all; an error half-way through a folder leaves
    the files that are done. Output formats: `conllu`; `jsonl`, for each input line (of `.jsonl`),
    paragraph (of `.txt`) or sentence (of `.conllu`) one object with its own keys and those of
    `Document.to_dict`; `parquet`, the same in rows; `docbin`, a spaCy `DocBin`, which is held in
    memory until it is written.
    Sentences of `.conllu` keep their tokens and every column that is not predicted.

    Args:
        nlp: The annotator.
        source: `.txt` (a paragraph per line, blank lines between documents), `.conllu` or `.jsonl`
            (`text`, `words`, or `first` and `second`), each also with `.gz`; `.parquet` with such
            columns; a folder of these; or `-`.
        output: A file, `-` for standard output, or, where `source` is a folder, a folder, which is
            made if need be.
        tasks: Default: all that the output format has a place for.
        format: `conllu`, `jsonl`, `parquet` or `docbin`. Default: by the output's ending, else like
            the input.
        source_format: `txt`, `conllu`, `jsonl` or `parquet`, not for a folder. Default: by the
            input's ending, `txt` for `-`.
        workers: Processes that predict; see `Annotator.pipe`, also for what can go wrong.

    Raises:
        DataError: The input is missing or malformed.
        RecipeError: Formats, endings, tasks or places do not go together.
        RunError: An output cannot be written.
    """
    jobs, skipped = plan_jobs(str(source), str(output), format=format, source_format=source_format)
    names, left_out = writable(nlp, tasks, {job.format for job in jobs})
    report = annotate_jobs(nlp, jobs, names, workers=workers)
    return replace(report, left_out=left_out, skipped=tuple(skipped))


def annotate_jobs(
    nlp: Annotator, jobs: Sequence[Job], names: tuple[str, ...], *, workers: int = 0
) -> AnnotateReport:
    """Annotates one file after the other with these tasks, for which their formats have places."""
    started = time.perf_counter()
    sentences = words = documents = cut = 0
    line: deque[tuple[int, Record]] = deque()
    nlp = nlp.with_exits(nlp.exits)  # counted anew
    levels = {name: LEVELS.get(nlp.model.head(name).layer, "tags") for name in names}
    with ExitStack() as stack:
        at, writer, goes_on = -1, None, False
        whole = any(nlp.model.head(name).unit == "document" for name in names)
        for document in nlp.pipe(_texts(jobs, line, whole), names, workers=workers):
            place, record = line.popleft()
            while at < place:
                at, writer = _next_writer(jobs, at, stack, writer, levels=levels)
            assert writer is not None
            writer.write(record, document)
            sentences += len(document.source)
            words += len(document)
            documents += record.opens
            cut += whole and not record.opens and not goes_on
            goes_on = not record.opens
        while at < len(jobs) - 1:
            at, writer = _next_writer(jobs, at, stack, writer, levels=levels)
        if writer is not None:
            writer.finish()
    seconds = time.perf_counter() - started
    left = {task: dict(sorted(depths.items())) for task, depths in nlp.left.items()}
    return AnnotateReport(
        sentences, words, seconds, documents, len(jobs), names, left=left, cut=cut
    )


def _texts(jobs: Sequence[Job], line: deque[tuple[int, Record]], whole: bool) -> Iterator[Given]:
    """What is to be annotated, of all files, by documents if they are; records are put in line."""
    for place, job in enumerate(jobs):
        for record in read_records(job.source, job.source_format, part=job.part, whole=whole):
            line.append((place, record))
            yield record.given


def _next_writer(
    jobs: Sequence[Job],
    at: int,
    stack: ExitStack,
    writer: Writer | None,
    *,
    levels: Mapping[str, str],
) -> tuple[int, Writer]:
    """Puts the finished file in place and opens the next."""
    if writer is not None:
        writer.finish()
        stack.pop_all().close()
    job = jobs[at + 1]
    if job.target != STANDARD:
        folder = Path(job.target).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"{folder}: cannot be made ({error.strerror}); name another output"
            ) from error
    found = WRITERS[job.format](stack.enter_context(opened(job.target)), levels)
    stack.callback(found.release)
    return at + 1, found


def writable(
    nlp: Annotator, tasks: Iterable[str] | None, formats: set[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tasks to annotate, and those left out because a format has no place for them.

    Raises:
        ModelError: The model has no such task.
        RecipeError: A format has no place for a task that is asked for, or for any.
    """
    names = nlp.levels(tasks)
    layers = {name: nlp.model.head(name).layer for name in names}
    kinds = {name: "tags" if layer == "edits" else layer for name, layer in layers.items()}
    placed = {
        "conllu": set(conllu_columns({name: nlp.columns[name] for name in names}, kinds)),
        "docbin": {name for name in names if _in_docbin(nlp, name)},
    }
    holds = {
        "conllu": f"CoNLL-U has no place for {{}}; it holds {listing(WRITABLE)}, each once",
        "docbin": f"DocBin has no place for {{}}; it holds {listing(TOKEN_FIELDS)}, a tree in dep, "
        "spans and what holds between them",
    }
    homeless: dict[str, str] = {
        name: format
        for format in placed
        if format in formats
        for name in names
        if name not in placed[format]
    }
    kept = tuple(name for name in names if name not in homeless)
    if homeless and (tasks is not None or not kept):
        message = holds[next(iter(homeless.values()))].format(listing(homeless))
        raise RecipeError(f"{message}: use --format jsonl, or leave them out of the tasks")
    return kept, tuple(homeless)


def _in_docbin(nlp: Annotator, task: str) -> bool:
    """Whether spaCy's documents have a place for what a task says."""
    head = nlp.model.head(task)
    if head.layer == "tree":
        return task == "dep"
    if head.layer in PLACES:
        return True
    if head.unit != "word":
        return False
    return task in TOKEN_FIELDS or all(is_iob2(label) for label in head.labels)
