"""CoNLL-U files to sentences; `render_conllu` writes them back.

Format: https://universaldependencies.org/format.html. All layers are per *word*; multiword ranges
and empty nodes are
kept in `Sentence.lines` and come back when the sentence is written. What a `_` means differs by
column:

- FORM: the word is an underscore.
- UPOS, XPOS, HEAD, DEPREL: not annotated.
- LEMMA: not annotated, except of an annotated word that is itself an underscore.
- FEATS: "no features", a value like others, of a word with UPOS or XPOS; else not annotated.
- MISC: no `NER=` or `Chunk=` key means that the word has no gold for it; `O` is written out. Those
  tags are not checked here, so that whatever a model wrote can be read. `Entity=` and `SRL=` are
  read after comments that declare them; a sentence without a key then has no entity, no predicate.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from hiermtl.text.conllu_checks import check_rows, check_tree, find_cycle
from hiermtl.text.conllu_write import MISC_KEYS, render_conllu, unescape
from hiermtl.text.entities import BOTH, entity_structures, layers_named, names_entities
from hiermtl.text.lines import read_blocks, read_lines
from hiermtl.text.roles import HEADER as ROLES
from hiermtl.text.roles import frames_of
from hiermtl.text.sentence import Layer, Origin, Sentence, Tags, Tree

__all__ = ["parse_conllu", "read_conllu", "render_conllu"]

_KNOWN = 1024
_IDS = tuple(str(place) for place in range(1, _KNOWN + 1))
_NUMBERS = {str(place): place for place in range(_KNOWN + 1)}
_COMMENT = re.compile(
    r"#\s*(sent_id|text|newdoc|global\.(?:Entity|EntityLayers|SRL))(\s+id)?\s*(?:$|=\s?(.*))",
    re.DOTALL,
)


@dataclass(slots=True)
class _Declared:
    """What comments have said of the sentences from there on."""

    mentions: str | None = None
    layers: tuple[str, ...] = BOTH
    roles: bool = False

    def take(self, key: str, value: str, origin: Origin) -> None:
        """Takes a comment `# global.`."""
        match key:
            case "global.Entity":
                self.mentions = value if names_entities(value) else None
                self.layers = BOTH
            case "global.EntityLayers":
                self.layers = layers_named(value, origin)
            case _:
                self.roles = value == ROLES


def read_conllu(path: str | Path) -> Iterator[Sentence]:
    """Sentences of a `.conllu` or `.conllu.gz` file, one at a time.

    Layers: `upos`, `xpos`, `feats`, `lemma`, `dep`, and `ner` and `chunk` from MISC; a layer
    without any value in a sentence is absent there. After a comment `# global.Entity` sentences
    have the structures `entity` and `coref`, unless a mention has several parts or stands on an
    empty node, or the comment names no types; after `# global.SRL = sense-arguments` they have
    `srl`. `doc_id` is that of the last `# newdoc`; a document without id is called `newdoc-2` after
    its place among the documents of the file. A file without sentences yields nothing.

    Raises:
        DataError: With file and line, when the file is missing, is not UTF-8 or is malformed.
    """
    return parse_conllu(read_lines(path), str(path))


def parse_conllu(lines: Iterable[bytes], name: str) -> Iterator[Sentence]:
    """Like `read_conllu`, from encoded lines such as standard input; `name` stands in messages."""
    doc_id, documents, declared = None, 0, _Declared()
    for first, block in read_blocks(lines, name):
        sent_id = text = None
        rows: list[list[str]] = []
        for number, line in enumerate(block, first):
            if line[0] != "#":
                rows.append(line.split("\t"))
            elif match := _COMMENT.match(line):
                key, _, value = match.groups()
                if key == "newdoc":
                    documents += 1
                    doc_id = (value or "").strip() or f"newdoc-{documents}"
                elif key == "text":
                    text = value
                elif key.startswith("global."):
                    declared.take(key, (value or "").strip(), Origin(name, number))
                else:
                    sent_id = (value or "").strip() or None
        ids = {"sent_id": sent_id, "doc_id": doc_id, "text": text}
        yield _sentence(block, rows, first, name=name, declared=declared, **ids)


def _sentence(
    block: list[str],
    rows: list[list[str]],
    first: int,
    *,
    name: str,
    declared: _Declared,
    sent_id: str | None,
    doc_id: str | None,
    text: str | None,
) -> Sentence:
    count = len(rows)
    widths = set(map(len, rows))
    columns = list(zip(*rows, strict=False))
    if widths != {10} or any("" in column for column in columns):
        check_rows(block, first, path=name)
    ids = _IDS[:count] if count <= _KNOWN else tuple(map(str, range(1, count + 1)))
    spaces = None
    if columns[0] != ids:
        check_rows(block, first, path=name)
        spaces = _space_after(rows)
        columns = list(zip(*[row for row in rows if row[0].isdecimal()], strict=True))
        count = len(columns[0])
    words, misc = columns[1], columns[9]
    notes = "|".join(misc)
    if spaces is None:
        spaces = _space_after(rows) if "SpaceAfter=No" in notes else (True,) * count

    layers: dict[str, Layer] = {}
    upos, xpos = _tags(columns[3]), _tags(columns[4])
    if upos:
        layers["upos"] = upos
    if xpos:
        layers["xpos"] = xpos
    if feats := _feats(columns[5], upos or (None,) * count, xpos=xpos or (None,) * count):
        layers["feats"] = feats
    if lemma := _lemma(columns[2], words, upos=upos):
        layers["lemma"] = lemma
    if tree := _tree(columns[6], columns[7]):
        if not _is_tree(tree, columns[6]):
            check_tree(block, first, path=name)
        layers["dep"] = tree
    for layer, key in MISC_KEYS.items():
        if f"{key}=" in notes and (tags := _keyed(misc, f"{key}=")):
            layers[layer] = tags
    origin = Origin(name, first)
    layers |= _structures(rows, misc, declared, origin=origin, block=block)
    return Sentence(
        words=words,
        layers=MappingProxyType(layers),
        sent_id=sent_id,
        doc_id=doc_id,
        text=text,
        space_after=spaces,
        origin=origin,
        lines=tuple(block),
    )


def _structures(
    rows: Sequence[Sequence[str]],
    misc: Sequence[str],
    declared: _Declared,
    *,
    origin: Origin,
    block: Sequence[str],
) -> dict[str, Layer]:
    layers: dict[str, Layer] = {}
    if declared.mentions is not None:
        # A mention on an empty node is no span of words.
        hidden = any("." in row[0] and "Entity=" in row[9] for row in rows)
        cells = [cell or "" for cell in _keyed(misc, "Entity=") or (None,) * len(misc)]
        if not hidden:
            header, names = declared.mentions, declared.layers
            layers |= entity_structures(cells, header, origin=origin, layers=names) or {}
    if declared.roles:

        def where(row: str) -> Origin:
            lines = enumerate(block, origin.line)
            return Origin(origin.path, next(n for n, line in lines if line.startswith(f"{row}\t")))

        layers["srl"] = frames_of([(row[0], row[9]) for row in rows], words=len(misc), where=where)
    return layers


def _tags(column: tuple[str, ...]) -> Tags | None:
    if "_" not in column:
        return column
    tags = tuple(None if value == "_" else value for value in column)
    return tags if any(tags) else None


def _feats(column: tuple[str, ...], upos: Tags, *, xpos: Tags) -> Tags | None:
    if None not in upos:
        return column
    known = [u is not None or x is not None for u, x in zip(upos, xpos, strict=True)]
    tags = tuple(
        value if value != "_" or tagged else None
        for value, tagged in zip(column, known, strict=True)
    )
    return tags if any(tags) else None


def _lemma(column: tuple[str, ...], words: tuple[str, ...], *, upos: Tags | None) -> Tags | None:
    if "_" not in column:
        return column
    tags = tuple(
        lemma if lemma != "_" or (word == "_" and upos and upos[place]) else None
        for place, (lemma, word) in enumerate(zip(column, words, strict=True))
    )
    return tags if any(tags) else None


def _tree(heads: tuple[str, ...], relations: tuple[str, ...]) -> Tree | None:
    numbers = _NUMBERS if len(heads) <= _KNOWN else {str(n): n for n in range(len(heads) + 1)}
    found = tuple(map(numbers.get, heads))
    names = _tags(relations)
    if names is None:
        if set(heads) == {"_"}:
            return None
        names = (None,) * len(heads)
    return Tree(found, names)


def _is_tree(tree: Tree, column: tuple[str, ...]) -> bool:
    """Whether the heads are fine; if not, `check_tree` finds out what is wrong."""
    heads = tree.heads
    if None in heads:
        if any(head is None and cell != "_" for head, cell in zip(heads, column, strict=True)):
            return False
        largest = max((head for head in heads if head is not None), default=0)
        roots_fit = heads.count(0) <= 1
    else:
        largest = max(heads)  # type: ignore[type-var]
        roots_fit = heads.count(0) == 1
    return roots_fit and largest <= len(heads) and not find_cycle(heads)


def _keyed(misc: Sequence[str], start: str) -> Tags | None:
    tags = tuple(
        next(
            (unescape(item[len(start) :]) for item in cell.split("|") if item.startswith(start)),
            None,
        )
        for cell in misc
    )
    return tags if any(tags) else None


def _space_after(rows: Sequence[Sequence[str]]) -> tuple[bool, ...]:
    """Of each word: none inside a multiword token, and its last word ends as the token does."""
    spaces: list[bool] = []
    inside: tuple[int, bool] | None = None
    for row in rows:
        name = row[0]
        closes = "SpaceAfter=No" in row[9] and "SpaceAfter=No" in row[9].split("|")
        if name.isdecimal():
            if inside is None:
                spaces.append(not closes)
            else:
                last = len(spaces) + 1 == inside[0]
                spaces.append(inside[1] if last else False)
                inside = None if last else inside
        elif "-" in name:
            inside = int(name.split("-")[1]), not closes
    return tuple(spaces)
