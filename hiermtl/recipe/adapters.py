"""The adapters that a recipe may choose from, and their options."""

from types import MappingProxyType

from pydantic import Field

from hiermtl.recipe.base import Options, Table, row
from hiermtl.recipe.files import NamesOrNone


class NoAdapter(Options):
    """The encoder's own weights are trained."""

    name: str = row("none")
    """No adapter."""


class LoraAdapter(Options):
    """A low-rank delta beside each linear layer of blocks whose weights stay (Hu et al., 2022).

    Each copy of a block has its own, over one set of weights.
    """

    name: str = row("lora")
    """Low-rank adaptation, by the package peft (extra `lora`)."""

    rank: int = Field(default=8, ge=1)
    """Rank of each delta. Default: the paper, for RoBERTa."""

    alpha: float = Field(default=8.0, gt=0)
    """Deltas are multiplied by alpha / rank. Default: the paper, for RoBERTa base."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Rate at which what a delta reads is dropped. Default: peft's."""

    targets: NamesOrNone = ()
    """The linear layers that get one: of `query`, `key`, `value`, `out` (attention), `inner` and
    `outer` (feed-forward), by their names in the family's blocks; one name or a list. Default: all
    of them; the paper adapts queries and values."""

    embeddings: bool = False
    """Whether the embeddings are trained too, whole. Default: the paper."""


ADAPTERS: Table = MappingProxyType({"none": NoAdapter, "lora": LoraAdapter})
