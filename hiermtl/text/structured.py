"""Spans, roles, relations and clusters as JSON holds them, to layers of sentences.

Places are words of the whole object, from 0 and half open.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NoReturn

from hiermtl.errors import DataError
from hiermtl.text.jsonl import JsonLine
from hiermtl.text.sentence import (
    Frame,
    Frames,
    Mentions,
    Relation,
    Relations,
    Span,
    Spans,
    Structure,
    Words,
)

FORMS: Mapping[str, str] = {
    "spans": '[start, end, "label"]',
    "roles": '{"predicate": word, "sense": "..." or null, "arguments": [[start, end, "role"]]}',
    "relations": '[head start, head end, tail start, tail end, "label"]',
    "clusters": "a list of mentions, [start, end]",
}
"""The keys that hold structures, each an object with a list per level, and what the lists hold."""


def is_structure(column: object) -> bool:
    """Whether what a column map names is a structure, such as `spans.entity`."""
    return isinstance(column, str) and column.partition(".")[0] in FORMS and "." in column


def structures_of(
    line: JsonLine, lengths: Sequence[int], columns: Mapping[str, str] | None = None
) -> list[dict[str, Structure]]:
    """For each sentence of an object its structures, by layer.

    The label of a mention is the number of its cluster in the object, behind that of the line:
    other objects may be of the same document.

    Args:
        line: The object. A level that is null is not annotated.
        lengths: The numbers of words of its sentences.
        columns: Layer -> key and level, `spans.entity`. Default: all there are, under their names.

    Raises:
        DataError: What lies there is of another form, has an empty label, is outside of the words
            or in two sentences, or a level has several keys.
    """
    reader = _Reader(line, [0, *accumulate(lengths)])
    if columns is None:
        columns = reader.columns()
    found: list[dict[str, Structure]] = [{} for _ in lengths]
    for layer, column in columns.items():
        key, _, level = column.partition(".")
        values = reader.levels(key).get(level)
        if values is not None:
            structures = reader.structures(key, column, values)
            for own, structure in zip(found, structures, strict=True):
                own[layer] = structure
    return found


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the structures of an object; `bounds` are where its sentences begin, and its end."""

    line: JsonLine
    bounds: Sequence[int]

    def refuse(self, message: str) -> NoReturn:
        """Raises a DataError that names the line."""
        raise DataError(message, self.line.origin.path, line=self.line.origin.line)

    def levels(self, key: str) -> dict[str, Any]:
        """What an object has under a key for each level, but for null."""
        found = self.line.data.get(key)
        if found is None:
            return {}
        if not isinstance(found, dict):
            self.refuse(f"`{key}` is {found!r:.60}; allowed is an object, a key per level")
        return {level: values for level, values in found.items() if values is not None}

    def columns(self) -> dict[str, str]:
        """Every structure there is, under the name of its level."""
        keys = {level: key for key in ("tags", "trees") for level in self.levels(key)}
        for key in FORMS:
            for level in self.levels(key):
                other = keys.setdefault(level, key)
                if other != key:
                    self.refuse(f"level {level!r} lies in `{other}` and in `{key}`; leave one")
        return {level: f"{key}.{level}" for level, key in keys.items() if key in FORMS}

    def structures(self, key: str, name: str, values: Any) -> list[Structure]:
        """A level's structure for each sentence."""
        if not isinstance(values, list):
            self.refuse(f"{name!r} is {values!r:.60}; allowed is a list, of {FORMS[key]} each")
        parts = [_Part() for _ in self.bounds[1:]]
        predicates: set[int] = set()
        for number, item in enumerate(values):
            match key, item:
                case "spans", [start, end, str(label)]:
                    at, words = self._words(start, end, item, name)
                    # CorefUD's mentions may have no type, and are written so.
                    own = label and self._label(label, item, name)
                    parts[at].spans.append(Span(*words, own))
                case "relations", [*places, str(label)] if len(places) == 4:
                    at, head = self._words(*places[:2], item, name)
                    other, tail = self._words(*places[2:], item, name)
                    if at != other:
                        self._refuse_two(item, name, places[0], places[2])
                    own = self._label(label, item, name)
                    parts[at].relations.append(Relation(head, tail, own))
                case "clusters", [*mentions] if all(map(_is_pair, mentions)):
                    label = f"{self.line.origin.line}.{number}"
                    for start, end in mentions:
                        at, words = self._words(start, end, [start, end], name)
                        parts[at].spans.append(Span(*words, label))
                case "roles", {"predicate": place, **rest}:
                    at, frame = self._frame(place, rest, item, name)
                    if place in predicates:
                        self.refuse(
                            f"{name!r} has the predicate {place} twice; give it once, with all its "
                            "arguments"
                        )
                    predicates.add(place)
                    parts[at].frames.append(frame)
                case _:
                    self._refuse_form(item, key, name)
        return [part.structure(key) for part in parts]

    def _frame(
        self, place: Any, rest: Mapping[str, Any], item: Any, name: str
    ) -> tuple[int, Frame]:
        sense, given = rest.get("sense"), rest.get("arguments", [])
        if not (isinstance(sense, str | None) and isinstance(given, list) and _is_place(place)):
            self._refuse_form(item, "roles", name)
        if sense is not None and not sense.strip():
            self.refuse(f"{name!r} has {item!r:.80}, whose sense is empty; name it, or write null")
        at, words = self._words(place, place + 1, item, name)
        arguments = []
        for argument in given:
            match argument:
                case [start, end, str(role)]:
                    other, own = self._words(start, end, argument, name)
                    if at != other:
                        self._refuse_two(item, name, place, start)
                    arguments.append(Span(*own, self._label(role, argument, name)))
                case _:
                    self._refuse_form(item, "roles", name)
        return at, Frame(words[0], sense, tuple(arguments))

    def _words(self, start: Any, end: Any, item: Any, name: str) -> tuple[int, Words]:
        """The sentence of a range, and its words there."""
        count = self.bounds[-1]
        if not (_is_place(start) and _is_place(end) and 0 <= start < end <= count):
            self.refuse(
                f"{name!r} has {item!r:.80} in {count} words; places are words from 0 to "
                f"{count - 1}, and a range ends behind its last word"
            )
        at = bisect_right(self.bounds, start) - 1
        if end > self.bounds[at + 1]:
            self._refuse_two(item, name, start, end - 1)
        return at, (start - self.bounds[at], end - self.bounds[at])

    def _label(self, label: str, item: Any, name: str) -> str:
        """The label of an item, which says something."""
        if not label.strip():
            self.refuse(
                f"{name!r} has {item!r:.80}, whose label is empty; name it, or leave it out"
            )
        return label

    def _refuse_form(self, item: Any, key: str, name: str) -> NoReturn:
        self.refuse(f"{name!r} has {item!r:.80}; allowed is {FORMS[key]}")

    def _refuse_two(self, item: Any, name: str, *words: int) -> NoReturn:
        own = (self.bounds[bisect_right(self.bounds, w) - 1 :][:2] for w in words)
        first, second = (f"words {start} to {end - 1}" for start, end in own)
        self.refuse(
            f"{name!r} has {item!r:.80}, which is in two sentences, {first} and {second}; keep it "
            "in one, or divide the object otherwise in `sentences`"
        )


@dataclass(slots=True)
class _Part:
    """What was found for a sentence."""

    spans: list[Span] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)

    def structure(self, key: str) -> Structure:
        """As the structure of a key; frames in the order of their words."""
        match key:
            case "spans":
                return Spans(tuple(self.spans))
            case "relations":
                return Relations(tuple(self.relations))
            case "clusters":
                return Mentions(tuple(self.spans))
            case _:
                return Frames(tuple(sorted(self.frames, key=lambda frame: frame.predicate)))


def _is_place(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2
