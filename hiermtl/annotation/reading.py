"""Files to the texts that are annotated: a paragraph, a sentence or a line of JSON at a time."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from hiermtl.annotation.given import Given, Pair
from hiermtl.annotation.parquet import read_rows
from hiermtl.errors import DataError, RecipeError, listing, nearest
from hiermtl.text.conllu import parse_conllu
from hiermtl.text.jsonl import JsonLine, parse_jsonl
from hiermtl.text.lines import decoded_lines, read_lines
from hiermtl.text.sentence import Sentence

PARQUET = "parquet"
SOURCE_FORMATS = ("txt", "conllu", "jsonl", PARQUET)
STANDARD = "-"

LONGEST = 100_000
"""Words after which a document is annotated in parts."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file, half open: of `jsonl` in bytes, of `parquet` in rows, each from 0.

    `line` is the number of its first line, from 1.
    """

    begin: int
    end: int
    line: int = 1


@dataclass(frozen=True, slots=True)
class Record:
    """What becomes one `Document`.

    `given` is a text, the words of a sentence, sentences, or a pair. `data` are further keys for
    JSON lines. `doc_id` names the document the record belongs to, `opens` says whether it is its
    first.
    """

    given: Given
    data: Mapping[str, Any] = field(default_factory=dict)
    doc_id: str | None = None
    opens: bool = False


def format_of(path: Path) -> str | None:
    """The format a name ends in, `.gz` aside; `None` if it is none that is read."""
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    name = suffix.lower().removeprefix(".")
    return name if name in SOURCE_FORMATS else None


def read_records(
    source: str | Path, format: str, *, part: Part | None = None, whole: bool = False
) -> Iterator[Record]:
    """The records of a file or a part of it, or of standard input for `-`.

    - `txt`: a paragraph per line; blank lines lie between documents, `doc-1`, `doc-2` and so on.
    - `conllu`: sentence by sentence, with its own words.
    - `jsonl`: a line each, `first` and `second`, or `words`, divided by `sentences` if there are
      several, or `text`; blank lines are passed over.
    - `parquet`: a row each, with such columns.

    With `whole`, `txt` and `conllu` are read document by document, one of more than `LONGEST` words
    in parts; sentences of CoNLL-U without `# newdoc` are one document.

    Raises:
        DataError: With file and line, when the file is missing or malformed.
    """
    if format == PARQUET:
        return _objects(read_rows(source, part))
    if str(source) == STANDARD:
        lines, name = iter(sys.stdin.buffer), "standard input"
    else:
        lines = read_lines(source) if part is None else _lines_of(source, part)
        name = str(source)
    if format == "txt":
        paragraphs = _paragraphs(lines, name)
        return map(_text_of, _documents(paragraphs)) if whole else paragraphs
    if format == "conllu":
        sentences = _sentences(lines, name)
        return map(_sentences_of, _documents(sentences)) if whole else sentences
    if format == "jsonl":
        where = {} if part is None else {"first": part.line, "offset": part.begin}
        return _objects(parse_jsonl(lines, name, pairs=True, **where))
    raise RecipeError(
        f"input format {format!r}; allowed are {listing(SOURCE_FORMATS)}"
        f"{nearest(format, SOURCE_FORMATS)}"
    )


def files_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files below a folder that can be read, and those that are left alone; hidden ones aside.

    Raises:
        DataError: None can be read.
    """
    every = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )
    read = [path for path in every if format_of(path)]
    if not read:
        raise DataError(
            f"no file here can be annotated, of {len(every)}; names must end in .txt, .conllu or "
            ".jsonl (or one of these and .gz), or .parquet",
            folder,
        )
    return read, [path for path in every if not format_of(path)]


def _paragraphs(lines: Iterable[bytes], name: str) -> Iterator[Record]:
    documents, opens = 0, True
    for _, line in decoded_lines(lines, name):
        text = line.strip()
        if not text:
            opens = True
            continue
        documents += opens
        doc_id = f"doc-{documents}"
        yield Record(text, {"doc_id": doc_id}, doc_id, opens)
        opens = False


def _sentences(lines: Iterable[bytes], name: str) -> Iterator[Record]:
    last: str | None = None
    for number, sentence in enumerate(parse_conllu(lines, name)):
        ids = {"sent_id": sentence.sent_id, "doc_id": sentence.doc_id}
        opens = not number or sentence.doc_id != last
        last = sentence.doc_id
        data = {key: value for key, value in ids.items() if value is not None}
        yield Record((sentence,), data, sentence.doc_id, opens)


def _documents(records: Iterator[Record]) -> Iterator[list[Record]]:
    """The records of each document, of a long one some at a time."""
    own: list[Record] = []
    words = 0
    for record in records:
        if own and (record.opens or words >= LONGEST):
            yield own
            own, words = [], 0
        own.append(record)
        given = record.given
        if isinstance(given, str):
            words += len(given.split())
        else:
            words += sum(len(sentence.words) for sentence in _given_sentences(record))
    if own:
        yield own


def _given_sentences(record: Record) -> Sequence[Sentence]:
    """The sentences of a record of CoNLL-U."""
    return cast("Sequence[Sentence]", record.given)


def _text_of(records: list[Record]) -> Record:
    """The paragraphs of a document as one text."""
    first = records[0]
    texts = (record.given for record in records)
    return replace(first, given="\n\n".join(text for text in texts if isinstance(text, str)))


def _sentences_of(records: list[Record]) -> Record:
    """The sentences of a document as one record."""
    first = records[0]
    sentences = tuple(sentence for record in records for sentence in _given_sentences(record))
    data = {key: value for key, value in first.data.items() if key == "doc_id"}
    return Record(sentences, data, first.doc_id, first.opens)


def _lines_of(source: str | Path, part: Part) -> Iterator[bytes]:
    with Path(source).open("rb") as file:
        file.seek(part.begin)
        left = part.end - part.begin
        for line in file:
            if left <= 0:
                return
            yield line
            left -= len(line)


def _objects(lines: Iterable[JsonLine]) -> Iterator[Record]:
    for line in lines:
        own = line.data.get("id")
        doc_id = str(own) if isinstance(own, str | int) else f"line-{line.origin.line}"
        given: Given
        if line.pair is not None:
            given = Pair(*line.pair)
        else:
            given = line.sentences() if line.words is not None else line.text or ""
        yield Record(given, line.data, doc_id, True)
