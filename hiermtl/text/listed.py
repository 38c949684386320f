"""Labels and trees that come as lists of values, as data sets and JSON hold them, to layers."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from hiermtl.errors import DataError, listing
from hiermtl.text.conllu_checks import find_cycle
from hiermtl.text.sentence import Origin, Tags, Tree

ColumnMap: TypeAlias = Mapping[str, str | Mapping[str, str]]
"""Layer -> column of its tags, or -> `{"heads": column, "relations": column}` of a tree."""


def tags_of(values: Any, names: tuple[str, ...] | None = None) -> Tags | None:
    """One tag per value, `None` for null and negative ids; `None` in all where nothing is said.

    `names` are those of class ids; without them a value is its own name.
    """
    if values is None:
        return None
    tags: Tags
    if names is None:
        tags = tuple(
            None if value is None or (isinstance(value, int) and value < 0) else str(value)
            for value in values
        )
    else:
        tags = tuple(None if value is None or value < 0 else names[value] for value in values)
    return tags if any(tag is not None for tag in tags) or not tags else None


def tree_of(
    heads: Sequence[int | None], relations: Tags | None, *, column: str, origin: Origin
) -> Tree | None:
    """The tree of a sentence: heads from 1, 0 for the root; `None` where nothing is said.

    Raises:
        DataError: Heads that are no words of the sentence, several roots, none although every word
            has a head, or a cycle. `column` and `origin` say where they were read.
    """
    if relations is None and all(head is None for head in heads):
        return None
    beyond = [head for head in heads if head is not None and not 0 <= head <= len(heads)]
    roots = [place for place, head in enumerate(heads, 1) if head == 0]
    wrong = None
    if beyond:
        wrong = f"holds {beyond[0]} in a sentence of {len(heads)} words"
    elif len(roots) > 1:
        wrong = f"has {len(roots)} roots, words {listing(map(str, roots))}"
    elif cycle := find_cycle(heads):
        wrong = f"leads from word {cycle[0]} back to it"
    elif heads and not roots and None not in heads:
        wrong = "has no root"
    if wrong is not None:
        raise DataError(
            f"column {column!r} {wrong}; heads make a tree: words counted from 1, 0 for the one "
            "root, and null where the arc is not annotated",
            origin.path,
            line=origin.line,
        )
    return Tree(tuple(heads), relations if relations is not None else (None,) * len(heads))
