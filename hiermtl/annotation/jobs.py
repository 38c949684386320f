"""Which files are read and which are written for them; all is checked before any is read."""

import os
from dataclasses import dataclass
from pathlib import Path

from hiermtl.annotation.reading import (
    PARQUET,
    SOURCE_FORMATS,
    STANDARD,
    Part,
    files_in,
    format_of,
)
from hiermtl.annotation.writing import FORMAT_OF, SUFFIXES
from hiermtl.errors import DataError, RecipeError, listing, nearest


@dataclass(frozen=True, slots=True)
class Job:
    """A file, or a part of it, to read and one to write; `-` is standard input or output."""

    source: str
    target: str
    source_format: str
    format: str
    part: Part | None = None


def plan_jobs(
    source: str, output: str, *, format: str | None, source_format: str | None
) -> tuple[list[Job], list[Path]]:
    """The files to read and write, and files that are left alone.

    Raises:
        DataError: There is no such input.
        RecipeError: Formats, endings or places do not go together.
    """
    _check_formats(format, source_format)
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
    job = Job(source, output, given, format or _format_of(output, given))
    return [job], []


def plan_into(
    source: str, folder: str, *, format: str | None, source_format: str | None
) -> tuple[list[Job], list[Path]]:
    """As `plan_jobs`, for an output that is a folder whether the input is one or a file."""
    if os.path.isdir(source) or not os.path.exists(source):
        return plan_jobs(source, folder, format=format, source_format=source_format)
    _check_formats(format, source_format)
    given = _source_format(source, source_format)
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise RecipeError(f"{place} is a file; on a cluster the output is a folder: name one")
    if not place.resolve().parent.is_dir():
        raise RecipeError(f"the folder {place.parent} does not exist; make it, or name another")
    kind = format or _like(given)
    return [Job(source, str(place / _renamed(Path(source), kind)), given, kind)], []


def _renamed(path: Path, format: str) -> str:
    """The name of a file in another format."""
    stem = Path(path.stem).stem if path.suffix == ".gz" else path.stem
    return f"{stem}{SUFFIXES[format]}"


def _check_formats(format: str | None, source_format: str | None) -> None:
    if format is not None and format not in SUFFIXES:
        raise RecipeError(
            f"output format {format!r}; allowed are {listing(SUFFIXES)}{nearest(format, SUFFIXES)}"
        )
    if source_format is not None and source_format not in SOURCE_FORMATS:
        raise RecipeError(
            f"input format {source_format!r}; allowed are {listing(SOURCE_FORMATS)}"
            f"{nearest(source_format, SOURCE_FORMATS)}"
        )


def _plan_folder(source: Path, output: str, *, format: str | None) -> tuple[list[Job], list[Path]]:
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
    jobs: dict[str, Job] = {}
    for path in found:
        given = _source_format(str(path), None)
        kind = format or _like(given)
        inside = path.relative_to(source)
        file = target / inside.parent / _renamed(inside, kind)
        if str(file) in jobs:
            raise RecipeError(
                f"{jobs[str(file)].source} and {path} would both be written to {file}; rename one"
            )
        jobs[str(file)] = Job(str(path), str(file), given, kind)
    return list(jobs.values()), skipped


def _source_format(source: str, given: str | None) -> str:
    if given == PARQUET and source == STANDARD:
        raise RecipeError(
            "Parquet cannot be read from standard input, since it is read from its end; name a file"
        )
    if given is not None:
        return given
    if source == STANDARD:
        return "txt"
    found = format_of(Path(source))
    if found is None:
        raise RecipeError(
            f"{source} ends in {Path(source).suffix or 'nothing'!r}; files that can be annotated "
            "end in .txt, .conllu or .jsonl (or one of these and .gz), or .parquet: rename it"
        )
    return found


def _like(given: str) -> str:
    """The output format of an input format."""
    return given if given in ("jsonl", PARQUET) else "conllu"


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
