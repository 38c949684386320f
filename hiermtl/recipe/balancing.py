"""The ways of balancing losses that a recipe may choose from, and their options.

A row says only what a recipe may write; the code behind it lies in `hiermtl.training`.
"""

from types import MappingProxyType

from hiermtl.recipe.aggregators import AGGREGATORS
from hiermtl.recipe.base import Options, Table, row


class StaticBalancing(Options):
    """Losses are added with the weights the recipe gives (`tasks.<name>.weight`)."""

    name: str = row("static")
    """Fixed weights."""


class UncertaintyBalancing(Options):
    """Weights that are learnt, each task's falling with its loss (Kendall et al., 2018)."""

    name: str = row("uncertainty")
    """Learnt weights."""


class RandomBalancing(Options):
    """Weights drawn anew at each step (Lin et al., 2022): what a method must beat."""

    name: str = row("random")
    """Random weights, 1 on average."""


BALANCING: Table = MappingProxyType(
    {
        "static": StaticBalancing,
        "uncertainty": UncertaintyBalancing,
        "random": RandomBalancing,
        **AGGREGATORS,
    }
)
