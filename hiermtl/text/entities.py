"""`Entity=` in CoNLL-U's MISC: nested entities and coreference as GUM and CorefUD write them.

Format: https://ufal.mff.cuni.cz/corefud. A cell opens mentions, `(12-person-...`, closes them,
`12)`, or holds some of one word, `(12-person-...)`; the comment `# global.Entity` names the fields.

Written is CorefUD's own form, `HEADER`: the group, the type, the head, which is the place of a word
among those of the mention, and what else is known. There every mention has a group and a type. Two
things are added, so that what has only one of them reads back as it was: `entity:none` and
`coref:none` in the last field say to which layer a mention does not belong, and the comment
`# global.EntityLayers` which layers there are, unless these are `entity` and `coref`.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from hiermtl.errors import DataError, listing
from hiermtl.text.percent import quoted, unquote
from hiermtl.text.sentence import Mentions, Origin, Span, Spans, Structure

HEADER = "eid-etype-head-other"
"""The fields of a mention that is written."""

BOTH = ("entity", "coref")
"""The layers of a file that says nothing of them."""

TYPED = ("entity", "mention")
"""Layers of spans that may be the types of mentions."""

_BRACKET = re.compile(r"\(([^()]+)(\))?|([^()]+)\)")
_PART = re.compile(r"(.*)\[\d+/\d+\]")
_GROUPS = ("GRP", "eid")
_TYPE = "etype"
_OTHER = "other"
# What would end a field, a bracket or a cell, and what CorefUD forbids in ids.
_RESERVED = re.compile(r"[\x00-\x20\x7f\s%()\[\]=|\\-]")


def names_entities(header: str) -> bool:
    """Whether the fields of a mention have a group and a type."""
    fields = header.split("-")
    return _TYPE in fields and any(name in fields for name in _GROUPS)


def layers_named(value: str, origin: Origin) -> tuple[str, ...]:
    """The layers that the comment `# global.EntityLayers` names.

    Raises:
        DataError: They are others, or none.
    """
    names = tuple(value.split())
    allowed = [("coref",), *((name, *rest) for name in TYPED for rest in ((), ("coref",)))]
    if names not in allowed:
        raise DataError(
            f"`# global.EntityLayers` is {value!r}; allowed are "
            f"{listing(' '.join(found) for found in allowed)}",
            origin.path,
            line=origin.line,
        )
    return names


class _Mention(NamedTuple):
    """A mention that was read: where it was opened, and its fields."""

    opened: int
    start: int
    end: int
    values: list[str]


def entity_structures(
    cells: Sequence[str], header: str, *, origin: Origin, layers: Sequence[str] = BOTH
) -> dict[str, Structure] | None:
    """`entity`, the spans with their types, and `coref`, the same with their groups.

    `None` where a mention has several parts, which no span can say.

    Args:
        cells: The value of `Entity=` of each word, empty where there is none.
        header: The fields of a mention, from `# global.Entity`.
        origin: Where the sentence stands.
        layers: Those that there are, from `# global.EntityLayers`.

    Raises:
        DataError: The header names no group or type, or brackets do not balance.
    """
    fields = header.split("-")
    group = next((fields.index(name) for name in _GROUPS if name in fields), None)
    if group is None or _TYPE not in fields:
        raise DataError(
            f"`# global.Entity` is {header!r}; its fields need {_TYPE} and one of "
            f"{listing(_GROUPS)}",
            origin.path,
            line=origin.line,
        )
    if any("[" in cell and any(map(_PART.match, re.split(r"[()]", cell))) for cell in cells):
        return None
    found = sorted(
        _mentions(cells, len(fields), group=group, origin=origin),
        key=lambda mention: (mention.start, -mention.end, mention.opened),
    )
    structures: dict[str, Structure] = {}
    for layer in layers:
        field = group if layer == "coref" else fields.index(_TYPE)
        spans = tuple(
            Span(mention.start, mention.end, unquote("".join(mention.values[field : field + 1])))
            for mention in found
            if not _left_out(layer, mention.values, fields)
        )
        structures[layer] = Mentions(spans) if layer == "coref" else Spans(spans)
    return structures


def _left_out(layer: str, values: Sequence[str], fields: Sequence[str]) -> bool:
    """Whether a mention is said to be none of a layer's."""
    at = fields.index(_OTHER) if _OTHER in fields else len(values)
    return at < len(values) and _none(layer) in values[at].split(",")


def _none(layer: str) -> str:
    return f"{'coref' if layer == 'coref' else 'entity'}:none"


def _mentions(
    cells: Sequence[str], fields: int, *, group: int, origin: Origin
) -> Iterator[_Mention]:
    """The mentions of a sentence, each where it is closed."""
    opened: list[_Mention] = []
    count = 0
    for at, cell in enumerate(cells):
        end = 0
        for found in _BRACKET.finditer(cell):
            if found.start() != end:
                break
            end = found.end()
            opening, at_once, closing = found.groups()
            if opening is not None:
                count += 1
                mention = _Mention(count, at, at + 1, opening.split("-", fields - 1))
                if not "".join(mention.values[group : group + 1]):
                    raise _unbalanced(f"{opening!r} has no group", at, origin)
                if at_once:
                    yield mention
                else:
                    opened.append(mention)
                continue
            places = (i for i in reversed(range(len(opened))) if opened[i].values[group] == closing)
            place = next(places, None)
            if place is None:
                raise _unbalanced(f"{closing!r} is closed and was never opened", at, origin)
            yield opened.pop(place)._replace(end=at + 1)
        if end != len(cell):
            raise _unbalanced(f"{cell[end:]!r} is no bracket", at, origin)
    if opened:
        last = opened[-1]
        raise _unbalanced(f"{last.values[group]!r} is never closed", last.start, origin)


def _unbalanced(what: str, at: int, origin: Origin) -> DataError:
    return DataError(
        f"Entity= of word {at + 1}: {what}; mentions open and close within their sentence, as in "
        "(1-person and 1)",
        origin.path,
        line=origin.line,
    )


class _Bracket(NamedTuple):
    """A mention to be written: its words, its id, and what opens it."""

    start: int
    end: int
    eid: str
    opening: str


def entity_cells(
    types: Spans | None,
    groups: Mentions | None,
    *,
    words: int,
    prefix: str,
    new_id: Callable[[], str],
    head: Callable[[int, int], int],
) -> list[str | None]:
    """The value of `Entity=` of each word, `None` where it has none.

    A mention of `groups` and a span of `types` with the same words are one. Brackets stand as
    CorefUD wants them: closed before others are opened, the longer one opened first and closed
    last, those of one word innermost.

    Args:
        types: Spans with their types.
        groups: The same or other spans with their groups.
        words: The sentence's number of words.
        prefix: What the ids of the groups begin with.
        new_id: Gives an id to a span that is in no group.
        head: The place of the head among the words of a span, from 1.

    Raises:
        DataError: Two mentions of one group cross, which these brackets cannot say.
    """
    found = defaultdict[tuple[int, int], tuple[list[str], list[str]]](lambda: ([], []))
    for side, spans in enumerate((types.spans if types else (), groups.mentions if groups else ())):
        for span in spans:
            found[span.start, span.end][side].append(span.label)
    brackets: list[_Bracket] = []
    for start, end in sorted(found, key=lambda span: (span[0], -span[1])):
        for label, group in zip_longest(*found[start, end]):
            eid = new_id() if group is None else _named(group, prefix)
            lacks = (("entity", label, types), ("coref", group, groups))
            other = [
                _none(layer) for layer, own, given in lacks if own is None and given is not None
            ]
            values = [eid, quoted(label or "", _RESERVED), str(head(start, end)), *other]
            brackets.append(_Bracket(start, end, eid, "-".join(values)))
    _refuse_crossing(brackets)
    return _cells(brackets, words)


def _cells(brackets: Sequence[_Bracket], words: int) -> list[str | None]:
    opened, closed, alone = ([""] * words for _ in range(3))
    for start, end, eid, opening in brackets:
        if end == start + 1:
            alone[start] += f"({opening})"
        else:
            opened[start] += f"({opening}"
            closed[end - 1] = f"{eid}){closed[end - 1]}"
    return [
        (closes + opens + single if opens else single + closes) or None
        for opens, closes, single in zip(opened, closed, alone, strict=True)
    ]


def _refuse_crossing(brackets: Sequence[_Bracket]) -> None:
    """Raises DataError where the reader, who closes what was opened last, would mix up two."""
    ends: dict[str, list[int]] = defaultdict(list)
    for start, end, eid, _ in brackets:
        own = ends[eid]
        while own and own[-1] - 1 <= start:
            own.pop()
        if own and own[-1] < end:
            raise DataError(
                f"mentions of {eid!r} cross: one ends with word {own[-1]}, another has the words "
                f"{start + 1} to {end}; CoNLL-U cannot say that: leave one out, or write JSON lines"
            )
        own.append(end)


def _named(group: str, prefix: str) -> str:
    """The id of a group, which begins with `prefix`, once."""
    eid = quoted(group, _RESERVED) or "_"
    return eid if eid.startswith(prefix) else prefix + eid
