"""Sentences to CoNLL-U text: what was not predicted stays as it was read."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

from hiermtl.errors import DataError, listing
from hiermtl.text import entities, roles
from hiermtl.text.sentence import (
    Frames,
    Layer,
    LayerKind,
    Mentions,
    Sentence,
    Spans,
    Structure,
    Tree,
    kind_of,
    misfit,
)

COLUMN = {"lemma": 2, "upos": 3, "xpos": 4, "feats": 5}
MISC_KEYS = {"ner": "NER", "chunk": "Chunk"}
WRITABLE: Mapping[str, LayerKind] = MappingProxyType(
    {
        **dict.fromkeys(COLUMN, "tags"),
        "dep": "tree",
        **dict.fromkeys(MISC_KEYS, "tags"),
        **dict.fromkeys(entities.TYPED, "spans"),
        "coref": "mentions",
        "srl": "frames",
    }
)
"""The layers that have a place in CoNLL-U, and of what kind they are there."""

_BREAKS = re.compile(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_NEWDOC = re.compile(r"#\s*newdoc(\s|$)")
_GLOBAL = re.compile(r"#\s*global\.(\w+)")
# Of each comment, with which it stands or falls.
_SAID_BY = {"Entity": "Entity", "EntityLayers": "Entity", "SRL": "SRL"}
# What names the groups of `Entity=`.
_GROUP_KEYS = ("Bridge", "SplitAnte")


@dataclass(slots=True)
class Written:
    """What a CoNLL-U file has so far that gets one sentence after the other.

    `documents` have begun, `spans` in no group have got ids of their own, and `said` are the
    comments that hold for what follows, under their keys.
    """

    documents: int = 0
    spans: int = 0
    said: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def new_id(self) -> str:
        """An id that no span of the file has."""
        self.spans += 1
        return f"span{self.spans}"


def render_conllu(
    sentence: Sentence,
    predicted: Mapping[str, Layer] | None = None,
    *,
    newdoc: bool = False,
    written: Written | None = None,
) -> str:
    """The sentence as a CoNLL-U block that ends with a blank line.

    A sentence read from CoNLL-U keeps its lines, comments, multiword ranges and empty nodes, byte
    for byte, but for the columns of `predicted`: `lemma upos xpos feats dep` and, in MISC, `NER=`
    and `Chunk=` (one key per word, `O` too, so that reading gives the same layer), `Entity=` of
    `entity` (or `mention`) and `coref`, and `SRL=` of `srl`. A word whose predicted value is `None`
    gets `_`, or no key. A predicted `dep` empties DEPS, whose graph would contradict the new tree.
    Predicted entities or groups make all `Entity=` new (what is not predicted stays, without
    further fields) and end `Bridge=` and `SplitAnte=`, which name groups. The head of a mention is
    the first of its words whose HEAD is none of them. Other sentences get their lines from words,
    text and spacing; white space that would break a line becomes a space, `newdoc` writes
    `# newdoc id`, and a sentence without words gives an empty text.

    The comments that `Entity=` and `SRL=` are read by, such as `# global.Entity`, stand before the
    first sentence of a file and of each document, once. Groups of a file's second document get ids
    that begin with `d2.`, since CorefUD's ids are a file's.

    Args:
        sentence: Its words, and its lines if it was read from CoNLL-U.
        predicted: The layers to write.
        newdoc: Whether a document begins; a sentence whose lines say so begins one anyhow.
        written: What the file has so far, the same object for all of its sentences. Default:
            nothing, so that the block can be read by itself.

    Raises:
        DataError: `predicted` has a layer CoNLL-U has no place for, one that does not fit the
            words, both `entity` and `mention`, crossing mentions of one group, or a word that is a
            predicate twice.
    """
    predicted = predicted or {}
    _check(sentence, predicted)
    if not sentence.words:
        return ""
    written = Written() if written is None else written
    flat = {name: layer for name, layer in predicted.items() if not isinstance(layer, Structure)}
    if sentence.lines is None:
        lines = [*_comments(sentence, newdoc=newdoc), *_rows(sentence, flat)]
    else:
        lines = _refilled(sentence.lines, flat) if flat else list(sentence.lines)
    begins = newdoc or any(_NEWDOC.match(line) for line in lines if line.startswith("#"))
    written.documents += begins or not written.documents
    if len(flat) < len(predicted):
        lines = _with_structures(lines, sentence, predicted, written=written, begins=begins)
    return "\n".join(lines) + "\n\n"


def _check(sentence: Sentence, predicted: Mapping[str, Layer]) -> None:
    for name, layer in predicted.items():
        kind = kind_of(layer)
        if WRITABLE.get(name) != kind:
            raise DataError(
                f"layer {name!r} ({kind}) has no place in CoNLL-U; it holds tags of "
                f"{listing(COLUMN | MISC_KEYS)}, a tree in dep, spans in "
                f"{' or '.join(entities.TYPED)}, mentions in coref, and frames in srl: leave the "
                "layer out, or write JSON lines"
            )
        if problem := misfit(layer, len(sentence.words)):
            raise DataError(f"layer {name!r} has {problem}")
    if all(name in predicted for name in entities.TYPED):
        raise DataError(
            f"layers {listing(map(repr, entities.TYPED))} would both be Entity= in CoNLL-U; leave "
            "one out, or write JSON lines"
        )


def _refilled(lines: Sequence[str], flat: Mapping[str, Layer]) -> list[str]:
    """The lines with the values of their words."""
    place, out = 0, []
    for line in lines:
        if line.startswith("#") or not (cells := line.split("\t"))[0].isdecimal():
            out.append(line)
            continue
        _fill(cells, flat, place=place)
        out.append("\t".join(cells))
        place += 1
    return out


def _with_structures(
    lines: Sequence[str],
    sentence: Sentence,
    predicted: Mapping[str, Layer],
    *,
    written: Written,
    begins: bool,
) -> list[str]:
    """The lines with the structures of their words, and the comments that say how to read them."""
    cells_of = [None if line.startswith("#") else line.split("\t") for line in lines]
    rows = [cells for cells in cells_of if cells is not None]
    words = [cells for cells in rows if cells[0].isdecimal()]
    said: dict[str, tuple[str, ...]] = {}
    bracketed = _bracketed(sentence, predicted)
    if bracketed:
        said["Entity"] = _declared("Entity", entities.HEADER)
        if tuple(bracketed) != entities.BOTH:
            said["Entity"] += _declared("EntityLayers", " ".join(bracketed))
        _place_entities(rows, words, bracketed, written)
    frames = predicted.get("srl")
    if isinstance(frames, Frames):
        said["SRL"] = _declared("SRL", roles.HEADER)
        for cells, value in zip(words, roles.role_cells(frames, len(words)), strict=True):
            cells[9] = _with_key(cells[9], "SRL", value=value)
    if sentence.lines is None:
        for cells in words:
            cells[9] = _sorted_items(cells[9])
    due = {key: own for key, own in said.items() if begins or written.said.get(key) != own}
    written.said.update(said)
    own = zip(lines, cells_of, strict=True)
    texts = [line if cells is None else "\t".join(cells) for line, cells in own]
    return _with_comments(texts, due, replaced=said)


def _bracketed(sentence: Sentence, predicted: Mapping[str, Layer]) -> dict[str, Layer]:
    """The layers of `Entity=`, if any is predicted.

    What is not predicted shares the brackets with what is: of a sentence that was read it stays.
    """
    places = (*entities.TYPED, "coref")
    if not any(name in predicted for name in places):
        return {}
    read = sentence.layers if sentence.lines is not None else {}
    own = {name: layer for name, layer in read.items() if kind_of(layer) == WRITABLE.get(name)}
    typed = [name for found in (predicted, own) for name in entities.TYPED if name in found]
    names = [*typed[:1], *(name for name in ("coref",) if name in predicted or name in own)]
    return {name: predicted.get(name) or own[name] for name in names}


def _declared(key: str, value: str) -> tuple[str, ...]:
    return (f"# global.{key} = {value}",)


def _with_comments(
    lines: Sequence[str], due: Mapping[str, Sequence[str]], *, replaced: Mapping[str, object]
) -> list[str]:
    """The lines of a sentence with the comments due, in place of its own of the keys `replaced`."""
    left = dict(due)
    out = []
    for line in lines:
        found = _GLOBAL.match(line)
        key = _SAID_BY.get(found[1], "") if found else ""
        if key in replaced:
            out += left.pop(key, ())
        else:
            out.append(line)
    at = next((place for place, line in enumerate(out, 1) if _NEWDOC.match(line)), 0)
    out[at:at] = [line for own in left.values() for line in own]
    return out


def _place_entities(
    rows: Sequence[list[str]],
    words: Sequence[list[str]],
    layers: Mapping[str, Layer],
    written: Written,
) -> None:
    """Writes entities and groups into the cells of a sentence, in place of all there are."""
    values = entities.entity_cells(
        next((layer for layer in layers.values() if isinstance(layer, Spans)), None),
        next((layer for layer in layers.values() if isinstance(layer, Mentions)), None),
        words=len(words),
        prefix=f"d{written.documents}." if written.documents > 1 else "",
        new_id=written.new_id,
        head=_heads(rows, words),
    )
    own = iter(values)
    for cells in rows:
        if "-" in cells[0]:
            continue
        value = next(own) if cells[0].isdecimal() else None
        cells[9] = _with_key(cells[9], "Entity", value=value)
        for key in _GROUP_KEYS:
            cells[9] = _with_key(cells[9], key, value=None)


def _heads(
    rows: Sequence[Sequence[str]], words: Sequence[Sequence[str]]
) -> Callable[[int, int], int]:
    """Gives the place of a span's head among its words and empty nodes, from 1."""
    nodes = [cells[0] for cells in rows if "-" not in cells[0]]
    places = [place for place, name in enumerate(nodes) if name.isdecimal()]

    def head(start: int, end: int) -> int:
        inside = {str(number) for number in range(start + 1, end + 1)}
        outside = (word for word in range(start, end) if words[word][6] not in inside)
        return places[next(outside, start)] - places[start] + 1

    return head


def _fill(cells: list[str], predicted: Mapping[str, Layer], *, place: int) -> None:
    """Writes the predictions for the word at `place` into its ten cells."""
    for name, layer in predicted.items():
        if isinstance(layer, Tree):
            head, relation = layer.heads[place], layer.relations[place]
            cells[6] = "_" if head is None else str(head)
            cells[7] = "_" if relation is None else _clean(relation)
            cells[8] = "_"
            continue
        assert isinstance(layer, tuple)
        value = layer[place]
        if name in COLUMN:
            text = "_" if value is None else _clean(value)
            cells[COLUMN[name]] = sorted_feats(text) if name == "feats" else text
        else:
            cells[9] = _with_key(cells[9], MISC_KEYS[name], value=value)


def _with_key(cell: str, key: str, *, value: str | None) -> str:
    items = [] if cell == "_" else cell.split("|")
    new = [] if value is None else [f"{key}={escape(value)}"]
    kept = []
    for item in items:
        if item.startswith(f"{key}="):
            kept += new
            new = []
        else:
            kept.append(item)
    return "|".join(kept + new) or "_"


def _comments(sentence: Sentence, *, newdoc: bool) -> list[str]:
    lines = []
    if newdoc and sentence.doc_id is not None:
        lines.append(f"# newdoc id = {_clean(sentence.doc_id)}")
    if sentence.sent_id is not None:
        lines.append(f"# sent_id = {_clean(sentence.sent_id)}")
    text = sentence.text
    if text is None and sentence.space_after is not None:
        pairs = zip(sentence.words, sentence.space_after, strict=True)
        text = "".join(word + " " * space for word, space in pairs)
    if text is not None and (text := _clean(text)) != "_":
        lines.append(f"# text = {text}")
    return lines


def _rows(sentence: Sentence, predicted: Mapping[str, Layer]) -> list[str]:
    spaces = sentence.space_after or (True,) * len(sentence.words)
    opening = {token.start: token for token in sentence.multiwords}
    inside = {at for token in sentence.multiwords for at in range(token.start, token.end)}
    lines = []
    for place, word in enumerate(sentence.words):
        if token := opening.get(place):
            closes = "_" if spaces[token.end - 1] else "SpaceAfter=No"
            cells = [f"{place + 1}-{token.end}", _clean(token.label), *"_______", closes]
            lines.append("\t".join(cells))
        cells = [str(place + 1), _clean(word), *"________"]
        _fill(cells, predicted, place=place)
        if not spaces[place] and place not in inside:
            cells[9] = _with_key(cells[9], "SpaceAfter", value="No")
        cells[9] = _sorted_items(cells[9])
        lines.append("\t".join(cells))
    return lines


def _sorted_items(cell: str) -> str:
    items = cell.split("|")
    return "|".join(sorted(items, key=str.lower)) if len(items) > 1 else cell


def _clean(text: str) -> str:
    """One non-empty field on one line, without white space at its ends."""
    return _BREAKS.sub(" ", text).strip() or "_"


def sorted_feats(text: str) -> str:
    """Features in UD's order, by name without regard to case."""
    items = text.split("|")
    if all(a.lower() <= b.lower() for a, b in pairwise(items)):
        return text
    return "|".join(sorted(items, key=lambda item: item.split("=")[0].lower()))


def escape(value: str) -> str:
    r"""A label as a MISC value, with UD's escapes: `\p` for `|`, `\\` for a backslash."""
    if "\\" in value or "|" in value:
        value = value.replace("\\", "\\\\").replace("|", "\\p")
    return _clean(value)


def unescape(value: str) -> str:
    """The label that `escape` wrote."""
    if "\\" not in value:
        return value
    return re.sub(r"\\([\\p])", lambda match: "\\" if match[1] == "\\" else "|", value)
