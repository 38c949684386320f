"""How a layer's columns are called in a stored split; light, so that reading one needs no more."""

from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["tags", "edits", "tree", "label", "number"]
"""What a layer holds: one label per word, an edit script per word, or a head and a relation; or, of
a whole passage, one label or a number."""

OF_PASSAGES: frozenset[Kind] = frozenset({"label", "number"})
"""Kinds of layers that passages have, not sentences."""


def label_column(layer: str, kind: Kind) -> str:
    """The column of a layer's labels."""
    return f"{layer}.relations" if kind == "tree" else layer


def heads_column(layer: str) -> str:
    """The column of a tree's heads."""
    return f"{layer}.heads"
