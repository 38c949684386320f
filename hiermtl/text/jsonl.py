"""JSON lines as `annotate` reads them: `text`, `words` or a pair; other keys are kept."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hiermtl.errors import DataError, listing, nearest
from hiermtl.text.lines import decoded_lines, read_lines
from hiermtl.text.plain import from_words, split_text
from hiermtl.text.sentence import Origin, Sentence


@dataclass(frozen=True, slots=True)
class JsonLine:
    """One line: the whole object, its `text`, its `words` or its two texts, and its place."""

    data: Mapping[str, Any]
    text: str | None
    words: tuple[str, ...] | None
    origin: Origin
    pair: tuple[str | tuple[str, ...], str | tuple[str, ...]] | None = None

    def sentences(self, language: str) -> list[Sentence]:
        """The words as one sentence, or the text split by `split_text`."""
        if self.words is not None:
            return [Sentence(self.words, origin=self.origin)] if self.words else []
        found = split_text(self.text or "", language)
        return [
            Sentence(s.words, text=s.text, space_after=s.space_after, origin=self.origin)
            for s in found
        ]


def read_jsonl(path: str | Path) -> Iterator[JsonLine]:
    """The lines of a `.jsonl` or `.jsonl.gz` file, one at a time; blank lines are passed over.

    Where an object has both `words` and `text`, its words are used.

    Raises:
        DataError: With file and line, when the file is missing, is not UTF-8, a line is not a JSON
            object, or it has neither a string `text` nor a list of strings `words`.
    """
    return parse_jsonl(read_lines(path), str(path))


def parse_jsonl(lines: Iterable[bytes], name: str, *, pairs: bool = False) -> Iterator[JsonLine]:
    """Like `read_jsonl`, from encoded lines such as standard input; `name` stands in messages.

    With `pairs` an object may have two texts, `first` and `second`, each a string or a list of
    words.
    """
    for number, text in decoded_lines(lines, name):
        if text.strip():
            yield _line(text, Origin(name, number), pairs=pairs)


def _line(text: str, origin: Origin, *, pairs: bool) -> JsonLine:
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
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
    hint = next(filter(None, (nearest(key, ("text", "words")) for key in data)), "")
    raise DataError(
        f"neither `text` nor `words`; this object has {listing(data)}{hint}",
        origin.path,
        line=origin.line,
    )


def _side(data: Mapping[str, Any], key: str, origin: Origin) -> str | tuple[str, ...]:
    """One text of a pair."""
    given = data[key]
    if isinstance(given, str):
        return given
    return _words(given, key, origin)


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
