"""JSON lines as `annotate` reads them: `text`, `words` or a pair; other keys are kept."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from hiermtl.errors import DataError, listing, nearest
from hiermtl.text.lines import decoded_lines, read_lines
from hiermtl.text.plain import from_words, whole_characters, word_offsets
from hiermtl.text.sentence import Origin, Sentence


@dataclass(frozen=True, slots=True)
class JsonLine:
    """One line: the whole object, its `text`, its `words` or its two texts, and its place."""

    data: Mapping[str, Any]
    text: str | None
    words: tuple[str, ...] | None
    origin: Origin
    pair: tuple[str | tuple[str, ...], str | tuple[str, ...]] | None = None

    def sentences(self) -> list[Sentence]:
        """The words in the sentences that `sentences` divides them into, with the text's spacing.

        A text in which the words do not stand is passed over.

        Raises:
            DataError: `sentences` does not divide the words.
        """
        words = self.words or ()
        bounds = _bounds(self, len(words)) if words else [0]
        text, places = _text(self, words)
        return [
            Sentence(
                words[start:end],
                text=text[places[start][0] : places[end - 1][1]] if places else None,
                space_after=tuple(text[at : at + 1].isspace() for _, at in places[start:end])
                if places
                else None,
                origin=self.origin,
            )
            for start, end in pairwise(bounds)
        ]


def read_jsonl(path: str | Path) -> Iterator[JsonLine]:
    """The lines of a `.jsonl` or `.jsonl.gz` file, one at a time; blank lines are passed over.

    Where an object has both `words` and `text`, its words are used.

    Raises:
        DataError: With file and line, when the file is missing, is not UTF-8, a line is not a JSON
            object, or it has neither a string `text` nor a list of strings `words`.
    """
    return parse_jsonl(read_lines(path), str(path))


def parse_jsonl(
    lines: Iterable[bytes], name: str, *, pairs: bool = False, first: int = 1, offset: int = 0
) -> Iterator[JsonLine]:
    """Like `read_jsonl`, from encoded lines such as standard input; `name` stands in messages.

    With `pairs` an object may have two texts, `first` and `second`, each a string or a list of
    words. `first` and `offset` say where in the file the lines begin, from 1 and from 0.
    """
    for number, text in decoded_lines(lines, name, first=first, offset=offset):
        if text.strip():
            yield _line(text, Origin(name, number), pairs=pairs)


def _line(text: str, origin: Origin, *, pairs: bool) -> JsonLine:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise DataError(
            f"not JSON ({error}): {text[:40]!r}; "
            'each line must be one object such as {"text": "..."}',
            origin.path,
            line=origin.line,
        ) from None
    if not isinstance(data, dict):
        raise DataError(
            f"a JSON {type(data).__name__}, {text[:40].strip()!r}; each line must be an object "
            "with `text` or `words`",
            origin.path,
            line=origin.line,
        )
    return line_of(data, origin, pairs=pairs)


def line_of(data: Mapping[str, Any], origin: Origin, *, pairs: bool) -> JsonLine:
    """What an object, or a row of a table, says is to be read.

    Raises:
        DataError: As `read_jsonl`.
    """
    if pairs and "first" in data and "second" in data:
        return JsonLine(
            data, None, None, origin, (_side(data, "first", origin), _side(data, "second", origin))
        )
    words, given = data.get("words"), data.get("text")
    if pairs and words is None and given is None and ("first" in data or "second" in data):
        has, lacks = ("first", "second") if "first" in data else ("second", "first")
        raise DataError(
            f"`{has}` without `{lacks}`; a pair needs both", origin.path, line=origin.line
        )
    if words is not None:
        return JsonLine(data, None, _words(words, "words", origin), origin)
    if isinstance(given, str):
        return JsonLine(data, given, None, origin)
    if given is not None:
        raise DataError(f"`text` is {given!r}; allowed is a string", origin.path, line=origin.line)
    if "text" in data or "words" in data:
        key = "text" if "text" in data else "words"
        raise DataError(
            f"its `{key}` is null; give it, or leave it out", origin.path, line=origin.line
        )
    hint = next(filter(None, (nearest(key, ("text", "words")) for key in data)), "")
    raise DataError(
        f"neither `text` nor `words`; this object has {listing(data)}{hint}",
        origin.path,
        line=origin.line,
    )


def _side(data: Mapping[str, Any], key: str, origin: Origin) -> str | tuple[str, ...]:
    """One text of a pair, which has words."""
    given = data[key]
    side = given if isinstance(given, str) else _words(given, key, origin)
    if not side or (isinstance(side, str) and side.isspace()):
        raise DataError(
            f"`{key}` is empty; give it words, or leave the pair out",
            origin.path,
            line=origin.line,
        )
    return side


def _words(given: Any, key: str, origin: Origin) -> tuple[str, ...]:
    if not isinstance(given, list):
        allowed = "a list of words" if key == "words" else "a string or a list of words"
        raise DataError(
            f"`{key}` is {given!r}; allowed is {allowed}", origin.path, line=origin.line
        )
    try:
        return from_words(given).words
    except DataError as error:
        raise DataError(f"`{key}`: {error}", origin.path, line=origin.line) from None


def _bounds(line: JsonLine, count: int) -> list[int]:
    """Where the sentences begin, and the number of words."""
    given = line.data.get("sentences")
    if given is None:
        return [0, count]
    at = 0
    for pair in given if isinstance(given, list) else [given]:
        match pair:
            case [int(start), int(end)] if start == at < end <= count:
                at = end
            case _:
                at = -1
                break
    if at != count:
        raise DataError(
            f"`sentences` is {given!r:.60}; allowed are [start, end] of each, half open, which "
            f"follow each other from 0 to the last of {count} words",
            line.origin.path,
            line=line.origin.line,
        )
    return [0, *(end for _, end in given)]


def _text(line: JsonLine, words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """The text and where the words stand in it; nothing if it is not given or is another's."""
    text = line.data.get("text")
    if not isinstance(text, str):
        return "", []
    try:
        return whole_characters(text), word_offsets(text, words)
    except DataError:
        return "", []
