"""JSON lines with annotation: what `annotate` writes, or lists of labels under keys one names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from hiermtl.errors import DataError, RecipeError, listing
from hiermtl.text.jsonl import JsonLine, read_jsonl
from hiermtl.text.listed import ColumnMap, tags_of, tree_of
from hiermtl.text.sentence import Layer, Sentence, Tree
from hiermtl.text.structured import is_structure, structures_of

HEADS_FROM = (0, 1)
"""What the first word may be counted as in heads; the root is one less."""

_Arcs: TypeAlias = tuple[str, list[int | None], list[Any] | None]
"""The key of a tree's heads, the heads of an object's words, and their relations."""


def read_annotated(
    path: str | Path, columns: ColumnMap | None = None, *, heads_from: int = 0
) -> Iterator[Sentence]:
    """Sentences of a `.jsonl` or `.jsonl.gz` file with their layers, one at a time.

    Each object has `words` and, where these are several sentences, `sentences` (`[start, end]` of
    each, half open). Layers lie under the keys of `columns`, where `tags.ner` is `ner` in `tags`
    and `spans.entity` a structure; without it, all of `tags` (layer to labels), `trees` (layer to
    `heads` and `relations`) and the structures of `hiermtl.text.structured` are read, as
    `Document.to_dict` gives them. Null is "not annotated", and so are a key that is absent and a
    label that is a number below 0. Heads count the object's words from `heads_from`, 0 (as
    `to_dict` does) or 1, and the root is one less. `sent_id` or `id` names the sentence, if there
    is one. An object is a document, called by its name or `line-2` after its line, unless `doc_id`
    says of which it is a part.

    Raises:
        DataError: With file and line: the file is missing, a line is malformed or has no `words`,
            its values do not fit its words, are no tree or are in two sentences, or no line has any
            of `columns`.
        RecipeError: `heads_from` is neither.
    """
    if heads_from not in HEADS_FROM:
        raise RecipeError(f"heads_from is {heads_from!r}; allowed are {listing(HEADS_FROM)}")
    flat = {name: column for name, column in (columns or {}).items() if not is_structure(column)}
    placed = None
    if columns is not None:
        placed = {name: str(column) for name, column in columns.items() if name not in flat}
    read = found = False
    document = ""
    for line in read_jsonl(path):
        read = True
        if line.words is None:
            _refuse("it has no `words`; labels belong to words, so every object lists them", line)
        if not line.words:
            continue
        values = _values(line, line.words, _own(line) if columns is None else flat, heads_from)
        sentences = line.sentences()
        structures = structures_of(line, [len(own.words) for own in sentences], placed)
        found = found or bool(values) or any(structures)
        document = _document(line, before=document)
        yield from _sentences(line, sentences, values, structures, document=document)
    if columns and read and not found:
        raise DataError(f"no object has the keys of {listing(columns)}; name others", path)


def _sentences(
    line: JsonLine,
    sentences: Sequence[Sentence],
    values: Mapping[str, list[Any] | _Arcs],
    structures: Sequence[Mapping[str, Layer]],
    *,
    document: str,
) -> Iterator[Sentence]:
    name = None if len(sentences) > 1 else _name(line)
    end = 0
    for sentence, placed in zip(sentences, structures, strict=True):
        start, end = end, end + len(sentence.words)
        layers = dict(placed)
        for layer, of_line in values.items():
            own = (
                tags_of(of_line[start:end])
                if isinstance(of_line, list)
                else _tree(of_line, start, end, line)
            )
            if own is not None:
                layers[layer] = own
        yield replace(
            sentence,
            layers=layers,
            sent_id=name,
            doc_id=document,
        )


def _name(line: JsonLine) -> str | None:
    """What an object is called."""
    ids = (line.data.get(key) for key in ("sent_id", "id"))
    return next((str(own) for own in ids if own is not None), None)


def _document(line: JsonLine, *, before: str) -> str:
    """The document of an object, a name other than the one `before` where it is one of its own."""
    given = line.data.get("doc_id")
    if given is not None:
        return str(given)
    own = _name(line) or f"line-{line.origin.line}"
    return own if own != before else f"{own} (line {line.origin.line})"


def _values(
    line: JsonLine, words: Sequence[str], columns: ColumnMap, heads_from: int
) -> dict[str, list[Any] | _Arcs]:
    """For each layer the object has, one value per word."""
    found: dict[str, list[Any] | _Arcs] = {}
    for layer, column in columns.items():
        if isinstance(column, str):
            tags = _list(line, column, len(words))
            if tags is not None:
                found[layer] = tags
            continue
        heads, relations = (_list(line, column[key], len(words)) for key in ("heads", "relations"))
        if heads is not None:
            places = _from_zero(heads, column["heads"], line, heads_from)
            found[layer] = column["heads"], places, relations
        elif relations is not None:
            _refuse(f"it has {column['relations']!r} without {column['heads']!r}; name both", line)
    return found


def _own(line: JsonLine) -> ColumnMap:
    """The keys under which `Document.to_dict` puts layers."""
    tags, trees = ({} if line.data.get(k) is None else line.data[k] for k in ("tags", "trees"))
    for key, value in (("tags", tags), ("trees", trees)):
        if not isinstance(value, dict):
            _refuse(f"`{key}` is {value!r:.60}; allowed is an object, a key per layer", line)
    return {
        **{layer: f"tags.{layer}" for layer in tags},
        **{
            layer: {"heads": f"trees.{layer}.heads", "relations": f"trees.{layer}.relations"}
            for layer in trees
        },
    }


def _list(line: JsonLine, key: str, count: int) -> list[Any] | None:
    """What lies under a key, or under keys with dots between; `None` where nothing does."""
    found: Any = line.data
    for part in (key,) if key in line.data else key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if found is None:
        return None
    if not isinstance(found, list) or len(found) != count:
        said = f"{len(found)} values" if isinstance(found, list) else repr(found)[:60]
        _refuse(f"{key!r} holds {said} for {count} words; allowed is a list, a value each", line)
    for value in found:
        if isinstance(value, list | dict | float):
            _refuse(f"{key!r} holds {value!r:.60}; allowed are labels, numbers and null", line)
    return found


def _from_zero(heads: list[Any], key: str, line: JsonLine, heads_from: int) -> list[int | None]:
    """Places of the heads among the object's words from 0; -1 for roots."""
    least, most = heads_from - 1, heads_from + len(heads) - 1
    for head in heads:
        if head is None:
            continue
        if isinstance(head, bool) or not isinstance(head, int) or not least <= head <= most:
            _refuse(
                f"{key!r} holds {head!r:.60}; heads are {least} for the root, {heads_from} to "
                f"{most} for the object's words, and null where the arc is not annotated",
                line,
            )
    return [None if head is None else head - heads_from for head in heads]


def _tree(arcs: _Arcs, start: int, end: int, line: JsonLine) -> Tree | None:
    """The tree of words `start` to `end`."""
    column, heads, relations = arcs
    own: list[int | None] = []
    for place in range(start, end):
        head = heads[place]
        if head is not None and head != -1 and not start <= head < end:
            _refuse(
                f"the head of word {place} (counted from 0) is word {head}, but its sentence is "
                f"words {start} to {end - 1}",
                line,
            )
        own.append(None if head is None else 0 if head == -1 else head - start + 1)
    labels = tags_of(relations[start:end]) if relations is not None else None
    return tree_of(own, labels, column=column, origin=line.origin)


def _refuse(message: str, line: JsonLine) -> NoReturn:
    raise DataError(message, line.origin.path, line=line.origin.line)
