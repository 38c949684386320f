"""`SRL=` in CoNLL-U's MISC: on a predicate's word its sense and its arguments.

The value is `get.01;ARG0:1-2;ARG1:4-7`: the sense, `_` if it is not known, and of each argument its
role, its first and its last word, counted from 1 in the sentence. After the comment `# global.SRL`
with `HEADER` every predicate is annotated so, and a sentence without any has none.
"""

import re
from collections.abc import Callable, Sequence

from hiermtl.errors import DataError
from hiermtl.text.percent import quoted, unquote
from hiermtl.text.sentence import Frame, Frames, Origin, Span

HEADER = "sense-arguments"
"""What `# global.SRL` says of a file of this form."""

KEY = "SRL="

_ARGUMENT = re.compile(r"(.*):(\d+)-(\d+)", re.ASCII | re.DOTALL)
# What would end a value or a part of it.
_RESERVED = re.compile(r"[\x00-\x20\x7f\s%;|\\]")


def frames_of(
    rows: Sequence[tuple[str, str]], *, words: int, where: Callable[[str], Origin]
) -> Frames:
    """The predicates of a sentence.

    Args:
        rows: The id of each row and its MISC.
        words: How many of the rows are words.
        where: Where a row stands, by its id.

    Raises:
        DataError: A row has two values, or is no word; a value has no sense; an argument is
            malformed, empty, reversed or outside the sentence.
    """
    frames = []
    for row, misc in rows:
        values = [v for v in misc.split("|") if v.startswith(KEY)] if KEY in misc else []
        if not values:
            continue
        try:
            if len(values) > 1:
                raise ValueError(f"{len(values)} values: a word is a predicate once, leave one out")
            if not row.isdecimal():
                raise ValueError("roles without a predicate: write them on a word, this is none")
            frames.append(_frame(int(row) - 1, values[0].removeprefix(KEY), words))
        except ValueError as error:
            origin = where(row)
            raise DataError(
                f"SRL= of {row}: {error}; a value is such as get.01;ARG0:1-2;ARG1:4-7",
                origin.path,
                line=origin.line,
            ) from None
    return Frames(tuple(frames))


def _frame(place: int, value: str, words: int) -> Frame:
    """Raises ValueError with what is wrong."""
    sense, *parts = value.split(";")
    if not sense or _ARGUMENT.fullmatch(sense):
        raise ValueError(f"{value!r} has no sense: begin it with one, or with _ if it is not known")
    arguments = []
    for part in parts:
        found = _ARGUMENT.fullmatch(part)
        if found is None:
            raise ValueError(f"{part!r} is no argument: write ROLE:first-last")
        first, last = int(found[2]), int(found[3])
        if not 1 <= first <= last <= words:
            raise ValueError(
                f"{part!r} in a sentence of {words} words: give its first and its last word, "
                f"counted from 1 to {words}"
            )
        arguments.append(Span(first - 1, last, unquote(found[1])))
    return Frame(place, None if sense == "_" else unquote(sense), tuple(arguments))


def role_cells(frames: Frames, words: int) -> list[str | None]:
    """The value of `SRL=` of each word, `None` where it is no predicate.

    Raises:
        DataError: A word has two predicates.
    """
    cells: list[str | None] = [None] * words
    for frame in frames.frames:
        if cells[frame.predicate] is not None:
            raise DataError(
                f"word {frame.predicate + 1} is a predicate twice; give it once, with all its "
                "arguments"
            )
        parts = [f"{quoted(s.label, _RESERVED)}:{s.start + 1}-{s.end}" for s in frame.arguments]
        cells[frame.predicate] = ";".join([_sense(frame.sense), *parts])
    return cells


def _sense(sense: str | None) -> str:
    if not sense:
        return "_"
    text = quoted(sense, _RESERVED).replace(":", "%3A")
    return "%5F" if text == "_" else text
