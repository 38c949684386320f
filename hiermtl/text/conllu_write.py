"""Sentences to CoNLL-U text: what was not predicted stays as it was read."""

import re
from collections.abc import Mapping
from itertools import pairwise

from hiermtl.errors import DataError, listing
from hiermtl.text.sentence import Layer, Sentence, Tree

COLUMN = {"lemma": 2, "upos": 3, "xpos": 4, "feats": 5}
MISC_KEYS = {"ner": "NER", "chunk": "Chunk"}
WRITABLE = (*COLUMN, "dep", *MISC_KEYS)
_BREAKS = re.compile(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def render_conllu(
    sentence: Sentence, predicted: Mapping[str, Layer] | None = None, *, newdoc: bool = False
) -> str:
    """The sentence as a CoNLL-U block that ends with a blank line.

    A sentence read from CoNLL-U keeps its lines, comments, multiword ranges and empty nodes, byte
    for byte, but for the columns of `predicted`: `lemma upos xpos feats dep` and, in MISC, `NER=`
    and `Chunk=` (one key per word, `O` too, so that reading gives the same layer). A word whose
    predicted value is `None` gets `_`, or no key. A predicted `dep` empties DEPS, whose graph would
    contradict the new tree. Other sentences get their lines from words, text and spacing; white
    space that would break a line becomes a space, `newdoc` writes `# newdoc id`, and a sentence
    without words gives an empty text.

    Raises:
        DataError: `predicted` has a layer CoNLL-U has no place for, or one whose length is not the
            number of words.
    """
    predicted = predicted or {}
    _check(sentence, predicted)
    if not sentence.words:
        return ""
    if sentence.lines is None:
        return (
            "\n".join([*_comments(sentence, newdoc=newdoc), *_rows(sentence, predicted)]) + "\n\n"
        )
    if not predicted:
        return "\n".join(sentence.lines) + "\n\n"
    place, lines = 0, []
    for line in sentence.lines:
        if line.startswith("#") or not (cells := line.split("\t"))[0].isdecimal():
            lines.append(line)
            continue
        _fill(cells, predicted, place=place)
        lines.append("\t".join(cells))
        place += 1
    return "\n".join(lines) + "\n\n"


def _check(sentence: Sentence, predicted: Mapping[str, Layer]) -> None:
    for name, layer in predicted.items():
        if name not in WRITABLE or (name == "dep") != isinstance(layer, Tree):
            kind = "a tree" if isinstance(layer, Tree) else "tags"
            raise DataError(
                f"layer {name!r} ({kind}) has no place in CoNLL-U; it holds tags of "
                f"{listing(COLUMN | MISC_KEYS)}, and "
                "a tree in dep: leave the layer out, or write JSON lines"
            )
        count = len(layer.heads) if isinstance(layer, Tree) else len(layer)
        if count != len(sentence.words):
            raise DataError(
                f"layer {name!r} has {count} values for {len(sentence.words)} words; give one per "
                "word"
            )


def _fill(cells: list[str], predicted: Mapping[str, Layer], *, place: int) -> None:
    """Writes the predictions for the word at `place` into its ten cells."""
    for name, layer in predicted.items():
        if isinstance(layer, Tree):
            head, relation = layer.heads[place], layer.relations[place]
            cells[6] = "_" if head is None else str(head)
            cells[7] = "_" if relation is None else _clean(relation)
            cells[8] = "_"
            continue
        value = layer[place]
        if name in COLUMN:
            text = "_" if value is None else _clean(value)
            cells[COLUMN[name]] = _sorted_feats(text) if name == "feats" else text
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
        items = cells[9].split("|")
        cells[9] = "|".join(sorted(items, key=str.lower)) if len(items) > 1 else cells[9]
        lines.append("\t".join(cells))
    return lines


def _clean(text: str) -> str:
    """One non-empty field on one line, without white space at its ends."""
    return _BREAKS.sub(" ", text).strip() or "_"


def _sorted_feats(text: str) -> str:
    # UD orders features by name without regard to case.
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
