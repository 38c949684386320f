"""Whole files and folders: read, annotated and written at constant memory."""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from hiermtl.annotation.annotator import Annotator
from hiermtl.annotation.given import Given
from hiermtl.annotation.reading import (
    SOURCE_FORMATS,
    STANDARD,
    Record,
    files_in,
    format_of,
    read_records,
)
from hiermtl.annotation.writing import FORMAT_OF, SUFFIXES, WRITERS, Writer, opened
from hiermtl.document import TOKEN_FIELDS, conllu_columns
from hiermtl.errors import DataError, RecipeError, RunError, listing, nearest
from hiermtl.text.bio import is_iob2
from hiermtl.text.conllu_write import WRITABLE


@dataclass(frozen=True, slots=True)
class AnnotateReport:
    """What was done.

    `seconds` run from the first line read to the last file in place. `left_out` are tasks of the
    model without a place in the output's format; `skipped` files of a folder that were not read.
    """

    sentences: int
    words: int
    seconds: float
    documents: int
    files: int
    tasks: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    skipped: tuple[Path, ...] = ()

    @property
    def words_per_second(self) -> float:
        """The rate; 0 when there was nothing to do."""
        return self.words / self.seconds if self.words else 0.0


@dataclass(frozen=True, slots=True)
class _Job:
    """One file to read and one to write; `-` is standard input or output."""

    source: str
    target: str
    source_format: str
    format: str


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
    `Document.to_dict`; `docbin`, a spaCy `DocBin`, which is held in memory until it is written.
    Sentences of `.conllu` keep their tokens and every column that is not predicted.

    Args:
        nlp: The annotator.
        source: `.txt` (a paragraph per line, blank lines between documents), `.conllu` or `.jsonl`
            (`text`, `words`, or `first` and `second`), each also with `.gz`; a folder of these; or
            `-`.
        output: A file, `-` for standard output, or, where `source` is a folder, a folder, which is
            made if need be.
        tasks: Default: all that the output format has a place for.
        format: `conllu`, `jsonl` or `docbin`. Default: by the output's ending, else like the input.
        source_format: `txt`, `conllu` or `jsonl`, not for a folder. Default: by the input's ending,
            `txt` for `-`.
        workers: Processes that predict; see `Annotator.pipe`, also for what can go wrong.

    Raises:
        DataError: The input is missing or malformed.
        RecipeError: Formats, endings, tasks or places do not go together.
        RunError: An output cannot be written.
    """
    jobs, skipped = _plan(str(source), str(output), format=format, source_format=source_format)
    names, left_out = _writable(nlp, tasks, {job.format for job in jobs})
    started = time.perf_counter()
    sentences = words = documents = 0
    line: deque[tuple[int, Record]] = deque()
    with ExitStack() as stack:
        at, writer = -1, None
        for document in nlp.pipe(_texts(jobs, line), names, workers=workers):
            place, record = line.popleft()
            while at < place:
                at, writer = _next_writer(jobs, at, stack, writer)
            assert writer is not None
            writer.write(record, document)
            sentences += len(document.source)
            words += len(document)
            documents += record.opens
        while at < len(jobs) - 1:
            at, writer = _next_writer(jobs, at, stack, writer)
        if writer is not None:
            writer.finish()
    seconds = time.perf_counter() - started
    return AnnotateReport(
        sentences, words, seconds, documents, len(jobs), names, left_out, tuple(skipped)
    )


def _texts(jobs: Sequence[_Job], line: deque[tuple[int, Record]]) -> Iterator[Given]:
    """What is to be annotated, of all files; the records are put in line."""
    for place, job in enumerate(jobs):
        for record in read_records(job.source, job.source_format):
            line.append((place, record))
            yield record.given


def _next_writer(
    jobs: Sequence[_Job], at: int, stack: ExitStack, writer: Writer | None
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
    return at + 1, WRITERS[job.format](stack.enter_context(opened(job.target)))


def _writable(
    nlp: Annotator, tasks: Iterable[str] | None, formats: set[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tasks to annotate, and those left out because the format has no place for them."""
    names = nlp.model.hierarchy.select(tasks)
    placed = {
        "conllu": set(conllu_columns({name: nlp.columns[name] for name in names})),
        "docbin": {name for name in names if _in_docbin(nlp, name)},
    }
    holds = {
        "conllu": f"CoNLL-U has no place for {{}}; it holds {listing(WRITABLE)}, each once",
        "docbin": f"DocBin has no place for {{}}; it holds {listing(TOKEN_FIELDS)}, a tree in dep, "
        "and spans",
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
    if head.unit != "word":
        return False
    if head.layer == "tree":
        return task == "dep"
    return task in TOKEN_FIELDS or all(is_iob2(label) for label in head.labels)


def _plan(
    source: str, output: str, *, format: str | None, source_format: str | None
) -> tuple[list[_Job], list[Path]]:
    """The files to read and write, and files that are left alone; checks all before any is read."""
    if format is not None and format not in SUFFIXES:
        raise RecipeError(
            f"output format {format!r}; allowed are {listing(SUFFIXES)}{nearest(format, SUFFIXES)}"
        )
    if source_format is not None and source_format not in SOURCE_FORMATS:
        raise RecipeError(
            f"input format {source_format!r}; allowed are {listing(SOURCE_FORMATS)}"
            f"{nearest(source_format, SOURCE_FORMATS)}"
        )
    if source != STANDARD and not os.path.exists(source):
        raise DataError("no such file or folder; name one, or - for standard input", source)
    if source != STANDARD and os.path.isdir(source):
        if source_format is not None:
            raise RecipeError(
                f"input format {source_format!r} is given for the folder {source}, whose files are "
                "read by their endings; leave it out"
            )
        return _plan_folder(Path(source), output, format=format)
    given = _source_format(source, source_format)
    _check_target(source, output)
    job = _Job(source, output, given, format or _format_of(output, given))
    return [job], []


def _plan_folder(source: Path, output: str, *, format: str | None) -> tuple[list[_Job], list[Path]]:
    if output == STANDARD:
        raise RecipeError(f"{source} is a folder; its output is a folder too, not standard output")
    target = Path(output)
    if target.exists() and not target.is_dir():
        raise RecipeError(
            f"{target} is a file, and {source} a folder; name a folder for the output"
        )
    if target.resolve().is_relative_to(source.resolve()):
        raise RecipeError(
            f"the output {target} lies in the input {source}; name a folder outside of it"
        )
    if not target.resolve().parent.is_dir():
        raise RecipeError(f"the folder {target.parent} does not exist; make it, or name another")
    found, skipped = files_in(source)
    jobs: dict[str, _Job] = {}
    for path in found:
        given = _source_format(str(path), None)
        kind = format or _like(given)
        inside = path.relative_to(source)
        stem = Path(inside.stem).stem if inside.suffix == ".gz" else inside.stem
        file = target / inside.parent / f"{stem}{SUFFIXES[kind]}"
        if str(file) in jobs:
            raise RecipeError(
                f"{jobs[str(file)].source} and {path} would both be written to {file}; rename one"
            )
        jobs[str(file)] = _Job(str(path), str(file), given, kind)
    return list(jobs.values()), skipped


def _source_format(source: str, given: str | None) -> str:
    if given is not None:
        return given
    if source == STANDARD:
        return "txt"
    found = format_of(Path(source))
    if found is None:
        raise RecipeError(
            f"{source} ends in {Path(source).suffix or 'nothing'!r}; files that can be annotated "
            "end in .txt, .conllu or .jsonl (or one of these and .gz): rename it"
        )
    return found


def _like(given: str) -> str:
    """The output format of an input format."""
    return "jsonl" if given == "jsonl" else "conllu"


def _format_of(output: str, given: str) -> str:
    suffix = Path(output).suffix.lower()
    if output == STANDARD or not suffix or not _regular(output):
        return _like(given)
    if suffix not in FORMAT_OF:
        raise RecipeError(
            f"output {output} ends in {suffix!r}; allowed are {listing(FORMAT_OF)}, or any ending "
            f"with --format ({listing(SUFFIXES)})"
        )
    return FORMAT_OF[suffix]


def _regular(path: str) -> bool:
    return Path(path).is_file() or not Path(path).exists()


def _check_target(source: str, output: str) -> None:
    if output == STANDARD:
        return
    path = Path(output)
    if path.is_dir():
        raise RecipeError(f"output {path} is a folder, and {source} a file; name a file in it")
    if not path.resolve().parent.is_dir():
        raise RecipeError(
            f"output {path}: the folder {path.parent} does not exist; make it, or name another"
        )
    if source != STANDARD and path.resolve() == Path(source).resolve():
        raise RecipeError(f"output {path} is the input itself; name another file")
