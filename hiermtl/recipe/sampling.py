"""The ways of sampling tasks that a recipe may choose from, and their options."""

from types import MappingProxyType

from pydantic import Field

from hiermtl.recipe.base import Options, Table, row


class ProportionalSampling(Options):
    """Each task is seen as often as its corpora are large."""

    name: str = row("proportional")
    """Every sentence once per epoch."""


class TemperatureSampling(Options):
    """Steps of one task each, drawn by size to the power of an exponent."""

    name: str = row("temperature")
    """The same chances in all epochs."""

    exponent: float = Field(default=0.5, ge=0, le=1)
    """1: in proportion to size; 0: all tasks alike. One over the temperature. Default: the square
    root, as in Stickland and Murray (2019)."""


class AnnealedSampling(Options):
    """Steps of one task each, first by size, then flatter (Stickland and Murray, 2019)."""

    name: str = row("annealed")
    """From the chances of size to flatter ones."""

    last: float = Field(default=0.2, ge=0, le=1)
    """The exponent of the last epoch; that of the first is 1. Default: the paper."""


class CooldownSampling(Options):
    """Steps of one task each, first alike, in the end by size (Li et al., 2025)."""

    name: str = row("cooldown")
    """From flat chances to those of size."""

    first: float = Field(default=0.2, ge=0, le=1)
    """The exponent of the first epoch; that of the last is 1. Default: `annealed` reversed."""


class RoundRobinSampling(Options):
    """Steps of one task each, the tasks in turn."""

    name: str = row("round_robin")
    """One step each, over and over."""


class BottomUpSampling(Options):
    """In each epoch all batches of the lowest task, then of the next (Hashimoto et al., 2017)."""

    name: str = row("bottom_up")
    """Phases from low to high."""

    successive: float = Field(default=0.0, ge=0)
    """How strongly the weights that lower tasks depend on are held to where a phase found them: a
    step undoes 2 * rate * strength of the distance, so that useful strengths are high where rates
    are low. Default: not at all; the paper has 0.001 beside summed losses and a rate of 1."""

    successive_heads: float = Field(default=0.0, ge=0)
    """The same for heads. Default: not at all; the paper has 0.01."""

    decoupled: bool = True
    """Whether this moves the weights with each step, apart from the gradient. Default: ours;
    the paper has it in the loss, where Adam would rescale it."""

    rate_decay: float | None = Field(default=None, ge=0)
    """d: the rate of epoch e is 1 / (1 + d e) of the peak, without warm-up. Default: as
    `training` says; the paper has 0.3."""

    clip_by_level: bool = False
    """Whether the largest norm of a gradient is the task's level, at most 3. Default:
    `training.clip`; the paper has it so."""


SAMPLING: Table = MappingProxyType(
    {
        "proportional": ProportionalSampling,
        "temperature": TemperatureSampling,
        "annealed": AnnealedSampling,
        "cooldown": CooldownSampling,
        "round_robin": RoundRobinSampling,
        "bottom_up": BottomUpSampling,
    }
)
