"""PropBank columns: words, constituents, predicates and one column of arguments for each.

Source: the format of the CoNLL-2005 shared task (Carreras and Màrquez 2005, section 3), with a word
number first. Columns: number, form, part of speech, constituents (`(NP*`), lemma and sense of a
predicate or `-`, and for each predicate of the sentence, in order, its arguments (`(ARG1*`).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from hiermtl.atomic import written_whole
from hiermtl.errors import DataError
from hiermtl.text.brackets import brackets, unopened
from hiermtl.text.chunks import chunk_tags, read_tree
from hiermtl.text.lines import read_blocks, read_lines
from hiermtl.text.sentence import Frame, Frames, Origin, Sentence, Span

FIXED = 6
"""Columns before those of the predicates."""

VERB = "V"
"""The role that a predicate has in its own column."""


def read_propbank(path: str | Path) -> Iterator[Sentence]:
    """Sentences with the layers `xpos` and `parse` and the structure `srl`, one at a time.

    `parse` has each word's piece of the bracketed tree. Arguments keep their role as it stands,
    `R-` and `C-` included; the predicate itself is no argument. `.gz` files are unpacked.

    Raises:
        DataError: With file and line, when the file is missing, is not UTF-8, a row has another
            number of columns, or brackets do not balance.
    """
    name = str(path)
    for first, block in read_blocks(read_lines(path), name, blank=b" \t\r\n"):
        sent_id = None
        rows: list[list[str]] = []
        start = first
        for number, line in enumerate(block, first):
            if line.startswith("#") and "\t" not in line:
                key, _, value = line.removeprefix("#").partition("=")
                sent_id = value.strip() if key.strip() == "sent_id" else sent_id
                continue
            cells = line.split("\t")
            if not rows:
                start = number
            _check_row(cells, rows, name, number=number)
            rows.append(cells)
        if rows:
            yield _sentence(rows, Origin(name, start), sent_id)


def _check_row(cells: Sequence[str], rows: list[list[str]], name: str, *, number: int) -> None:
    wanted = len(rows[0]) if rows else max(FIXED, len(cells))
    if len(cells) != wanted:
        raise DataError(
            f"{len(cells)} columns, but {wanted} are needed: {FIXED}, and one for each predicate "
            "of the sentence",
            name,
            line=number,
        )
    if cells[0] != str(len(rows) + 1):
        raise DataError(
            f"word number {cells[0]!r}, but {len(rows) + 1} is expected; words are numbered from 1",
            name,
            line=number,
        )


def _sentence(rows: list[list[str]], origin: Origin, sent_id: str | None) -> Sentence:
    columns = list(zip(*rows, strict=True))
    predicates = [at for at, sense in enumerate(columns[5]) if sense != "-"]
    if len(predicates) != len(columns) - FIXED:
        raise DataError(
            f"{len(predicates)} predicates have a sense, but there are {len(columns) - FIXED} "
            "columns of arguments; give one for each, in order",
            origin.path,
            line=origin.line,
        )
    read_tree(columns[3], origin)
    frames = []
    for at, column in zip(predicates, columns[FIXED:], strict=True):
        spans = bracketed(column, origin)
        arguments = tuple(span for span in spans if span.label != VERB)
        frames.append(Frame(at, columns[5][at], arguments))
    return Sentence(
        tuple(columns[1]),
        {
            "xpos": tuple(columns[2]),
            "parse": tuple(columns[3]),
            "srl": Frames(tuple(frames)),
        },
        sent_id=sent_id,
        origin=origin,
    )


def bracketed(cells: Sequence[str], origin: Origin) -> list[Span]:
    """The spans of a column such as `(ARG1*`, `*`, `*)`, outermost first.

    Raises:
        DataError: Brackets do not balance.
    """
    spans: list[Span] = []
    opened: list[tuple[int, str]] = []
    for at, cell in enumerate(cells):
        labels, closed = brackets(cell, at, origin)
        if "" in labels:
            raise DataError(
                f"{cell!r} for word {at + 1} opens an argument without a role; write (ROLE*",
                origin.path,
                line=origin.line + at,
            )
        opened += [(at, label) for label in labels]
        for _ in range(closed):
            if not opened:
                raise unopened(cell, at, origin)
            start, label = opened.pop()
            spans.append(Span(start, at + 1, label))
    if opened:
        raise DataError(
            f"({opened[-1][1]} at word {opened[-1][0] + 1} is never closed",
            origin.path,
            line=origin.line + opened[-1][0],
        )
    return sorted(spans, key=lambda span: (span.start, -span.end))


def chunks_from_propbank(source: str | Path, target: str | Path) -> int:
    """Writes a file of chunks from the brackets of a PropBank file; returns the sentences written.

    Columns of `target`: number, form, part of speech, chunk in IOB2. It is written whole or not at
    all.

    Raises:
        DataError: `source` is missing or malformed.
        RecipeError: There is no folder for `target`.
        RunError: `target` cannot be written.
    """
    count = 0
    with written_whole(target) as file:
        for sentence in read_propbank(source):
            cells, tags = (sentence.layers[name] for name in ("parse", "xpos"))
            assert isinstance(cells, tuple)
            assert isinstance(tags, tuple)
            assert sentence.origin is not None
            brackets, parts = (tuple(str(v) for v in values) for values in (cells, tags))
            chunks = chunk_tags(brackets, parts, sentence.words, sentence.origin)
            rows = zip(sentence.words, parts, chunks, strict=True)
            lines = [f"# sent_id = {sentence.sent_id}"] if sentence.sent_id else []
            lines += [
                f"{n}\t{form}\t{tag}\t{chunk}" for n, (form, tag, chunk) in enumerate(rows, 1)
            ]
            file.write(("\n".join(lines) + "\n\n").encode("utf-8"))
            count += 1
    return count
