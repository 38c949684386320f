"""Documents as text to look at."""

import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hiermtl.document.base import Document
    from hiermtl.document.parts import Span

_SHOWN_WORDS = 40
_SHOWN_CELL = 24
_SHOWN_LINES = 40


def table(document: "Document") -> Iterator[str]:
    """The words with their annotation, one word a line, the first forty of them."""
    shown = min(len(document), _SHOWN_WORDS)
    columns = [["", *map(str, range(shown))], ["word", *document.words[:shown]]]
    below: list[str] = []
    for task, kind in document.kinds.items():
        if kind == "tags":
            columns.append([task, *(tag or "_" for tag in document.tags(task)[:shown])])
            continue
        if kind != "tree":
            below += [f"{task}: {line}" for line in _lines(document, task, kind)]
            continue
        arcs = document.arcs(task)
        heads = ["-" if h < 0 else f"{h} {document.words[h]}" for h in arcs.heads[:shown]]
        columns += [[f"{task} head", *heads], ["relation", *arcs.relations[:shown]]]
    cells = [[_cut(cell) for cell in column] for column in columns]
    widths = [max(map(_width, column)) for column in cells]
    starts = {sentence.start for sentence in document.sentences if sentence.start}
    for place, row in enumerate(zip(*cells, strict=True), -1):
        if place in starts:
            yield ""
        padded = [c + " " * (w - _width(c)) for c, w in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join([row[0].rjust(widths[0]), *padded]).rstrip()
    if shown < len(document):
        yield f"... and {counted(len(document) - shown, 'more word')}"
    yield from below[:_SHOWN_LINES]
    if len(below) > _SHOWN_LINES:
        yield f"... and {counted(len(below) - _SHOWN_LINES, 'more line')}"


def _lines(document: "Document", task: str, kind: str) -> Iterator[str]:
    """What a level holds besides words, a line for each span, predicate, relation or thing."""
    match kind:
        case "spans":
            yield from (f"{_span(span)} is {span.label}" for span in document.spans(task))
        case "frames":
            for one in document.predicates(task):
                told = ", ".join(f"{span.label} {_span(span)}" for span in one.arguments)
                yield f"{one.sense or document.words[one.word]} ({one.word}): {told or 'alone'}"
        case "relations":
            for one in document.related(task):
                yield f"{_span(one.head)} {one.label} {_span(one.tail)}"
        case "mentions":
            for chain in document.chains(task):
                if len(chain) > 1:
                    yield " = ".join(map(_span, chain))


def _span(span: "Span") -> str:
    """The text of a span, and its place."""
    return f"{_cut(span.text)!r} ({span.start}:{span.end})"


def counted(number: int, what: str) -> str:
    """A number with its noun, which gets an `s` but for 1."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _cut(cell: str) -> str:
    clean = "".join(c if c.isprintable() else "\ufffd" for c in cell)
    return clean if len(clean) <= _SHOWN_CELL else clean[: _SHOWN_CELL - 1] + "…"


def _width(cell: str) -> int:
    """Columns of a terminal the text takes."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in cell)
    return len(cell) + wide - sum(unicodedata.combining(c) > 0 for c in cell)
