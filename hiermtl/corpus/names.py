"""How a layer's columns are called in a stored split; light, so that reading one needs no more."""

from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "tags", "edits", "tree", "spans", "relations", "frames", "mentions", "label", "number"
]
"""What a layer holds: one label per word, an edit script per word, or a head and a relation; spans,
relations between them, predicates with their arguments, or mentions of entities; or, of a whole
passage, one label or a number."""

OF_PASSAGES: frozenset[Kind] = frozenset({"label", "number"})
"""Kinds of layers that passages have, not sentences."""

PLACES: dict[str, int] = {"spans": 2, "relations": 4, "frames": 3, "mentions": 3}
"""Kinds of layers that are lists of items, and how many numbers say where an item is: the first
word of a span and the one behind its last; those of a relation's head and of its tail; a predicate
and the two of an argument; the two of a mention and the number of its entity."""


def label_column(layer: str, kind: Kind) -> str:
    """The column of a layer's labels."""
    return f"{layer}.relations" if kind == "tree" else layer


def place_column(layer: str, kind: Kind) -> str | None:
    """The column that says what the labels are of, for layers that are not one per word.

    Of a tree the heads, of items the numbers of each, one after the other.
    """
    if kind == "tree":
        return f"{layer}.heads"
    return f"{layer}.places" if kind in PLACES else None
