"""`Entity=` in CoNLL-U's MISC: nested entities and coreference as GUM and CorefUD write them.

Format: https://ufal.mff.cuni.cz/corefud. A cell opens mentions, `(12-person-...`, closes them,
`12)`, or holds some of one word, `(12-person-...)`; the comment `# global.Entity` names the fields.
"""

import re
from collections.abc import Sequence

from hiermtl.errors import DataError, listing
from hiermtl.text.sentence import Mentions, Origin, Span, Spans, Structure

_BRACKET = re.compile(r"\(([^()]+)(\))?|([^()]+)\)")
_PART = re.compile(r"(.*)\[\d+/\d+\]")
_GROUPS = ("GRP", "eid")
_TYPE = "etype"


def names_entities(header: str) -> bool:
    """Whether the fields of a mention have a group and a type."""
    fields = header.split("-")
    return _TYPE in fields and any(name in fields for name in _GROUPS)


def entity_structures(
    cells: Sequence[str], header: str, *, origin: Origin
) -> dict[str, Structure] | None:
    """`entity`, the spans with their types, and `coref`, the same with their groups.

    `None` where a mention has several parts, which no span can say.

    Args:
        cells: The value of `Entity=` of each word, empty where there is none.
        header: The fields of a mention, from `# global.Entity`.
        origin: Where the sentence stands.

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
    kind = fields.index(_TYPE)
    types: list[Span] = []
    groups: list[Span] = []
    opened: list[tuple[int, str, str]] = []
    for at, cell in enumerate(cells):
        if cell and "[" in cell and any(map(_PART.match, re.split(r"[()]", cell))):
            return None
        end = 0
        for found in _BRACKET.finditer(cell):
            if found.start() != end:
                break
            end = found.end()
            opening, at_once, closing = found.groups()
            if opening is not None:
                values = opening.split("-", len(fields) - 1)
                label = values[kind] if kind < len(values) else ""
                if at_once:
                    types.append(Span(at, at + 1, label))
                    groups.append(Span(at, at + 1, values[group]))
                else:
                    opened.append((at, values[group], label))
                continue
            place = next((i for i in reversed(range(len(opened))) if opened[i][1] == closing), None)
            if place is None:
                raise _unbalanced(f"{closing!r} is closed and was never opened", at, origin)
            start, name, label = opened.pop(place)
            types.append(Span(start, at + 1, label))
            groups.append(Span(start, at + 1, name))
        if end != len(cell):
            raise _unbalanced(f"{cell[end:]!r} is no bracket", at, origin)
    if opened:
        raise _unbalanced(f"{opened[-1][1]!r} is never closed", opened[-1][0], origin)
    order = sorted(range(len(types)), key=lambda i: (types[i].start, -types[i].end, i))
    return {
        "entity": Spans(tuple(types[i] for i in order)),
        "coref": Mentions(tuple(groups[i] for i in order)),
    }


def _unbalanced(what: str, at: int, origin: Origin) -> DataError:
    return DataError(
        f"Entity= of word {at + 1}: {what}; mentions open and close within their sentence, as in "
        "(1-person and 1)",
        origin.path,
        line=origin.line,
    )
