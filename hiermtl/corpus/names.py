"""How a layer's columns are called in a stored split; light, so that reading one needs no more."""

from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["tags", "tree"]
"""What a layer holds: one label per word, or a head and a relation per word."""


def label_column(layer: str, kind: Kind) -> str:
    """The column of a layer's labels."""
    return layer if kind == "tags" else f"{layer}.relations"


def heads_column(layer: str) -> str:
    """The column of a tree's heads."""
    return f"{layer}.heads"
