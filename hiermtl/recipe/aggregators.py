"""The aggregators of torchjd: balancing by the gradients of tasks instead of their losses.

Defaults are torchjd's where it has any.
"""

from types import MappingProxyType
from typing import Literal

from pydantic import Field

from hiermtl.recipe.base import Options, Table, row


class AggregatedBalancing(Options):
    """Gradients that tasks have on the weights they share are made one by torchjd."""


class SumBalancing(AggregatedBalancing):
    """The sum: what fixed weights give, at the price of the others."""

    name: str = row("torchjd.sum")
    """The sum of gradients, to compare the others with."""


class MeanBalancing(AggregatedBalancing):
    """The mean."""

    name: str = row("torchjd.mean")
    """The mean of gradients."""


class RandomAggregation(AggregatedBalancing):
    """Weights drawn for each set of tasks that share weights (Lin et al., 2022)."""

    name: str = row("torchjd.random")
    """The softmax of normal numbers, drawn at each step."""


class PCGradBalancing(AggregatedBalancing):
    """What conflicts with another task's gradient is projected away (Yu et al., 2020)."""

    name: str = row("torchjd.pcgrad")
    """Gradient surgery."""


class GradVacBalancing(AggregatedBalancing):
    """Gradients are turned to the angle they usually have to each other (Wang et al., 2021)."""

    name: str = row("torchjd.gradvac")
    """Gradient vaccine."""

    beta: float = Field(default=0.5, ge=0, le=1)
    """Share of a step's angle in what is usual from then on. Default: torchjd."""

    eps: float = Field(default=1e-8, ge=0)
    """What is added to lengths that are divided by. Default: torchjd."""


class GradDropBalancing(AggregatedBalancing):
    """In each weight what has one sign, drawn by how much of it there is (Chen et al., 2020)."""

    name: str = row("torchjd.graddrop")
    """Gradient sign dropout."""

    leak: float = Field(default=0.0, ge=0, le=1)
    """Share of every task's gradient that is not dropped. Default: torchjd."""


class MGDABalancing(AggregatedBalancing):
    """The shortest mean of gradients, which no task is against (Sener and Koltun, 2018)."""

    name: str = row("torchjd.mgda")
    """Multiple-gradient descent."""

    epsilon: float = Field(default=0.001, gt=0)
    """Length of the solver's step below which it stops. Default: torchjd."""

    max_iters: int = Field(default=100, ge=1)
    """Steps of the solver at most. Default: torchjd."""


class CAGradBalancing(AggregatedBalancing):
    """Near the mean, what helps the worst task most (Liu et al., 2021)."""

    name: str = row("torchjd.cagrad")
    """Conflict-averse gradients."""

    c: float = Field(default=0.4, ge=0)
    """How far from the mean it may go, as a share of the mean's length. Default: ours; torchjd has
    none."""

    norm_eps: float = Field(default=1e-4, ge=0)
    """Length of the best mean, as a share of the gradients', below which the step is left out.
    Default: torchjd."""


class ProjectingBalancing(AggregatedBalancing):
    """Those that solve a quadratic program."""

    reg_eps: float = Field(default=1e-4, ge=0)
    """What is added to the diagonal of the gradients' products, of trace 1. Default: torchjd."""


class UPGradBalancing(ProjectingBalancing):
    """Each gradient projected to where no task loses, then the mean (Quinton and Rey, 2024)."""

    name: str = row("torchjd.upgrad")
    """Unconflicting projection of gradients."""


class DualProjBalancing(ProjectingBalancing):
    """The mean projected to where no task loses (Lopez-Paz and Ranzato, 2017)."""

    name: str = row("torchjd.dualproj")
    """Projection onto the dual cone."""


class IMTLGBalancing(AggregatedBalancing):
    """The direction to which all gradients have the same projection (Liu et al., 2021)."""

    name: str = row("torchjd.imtlg")
    """Impartial multi-task learning, of gradients."""


class AlignedMTLBalancing(AggregatedBalancing):
    """Gradients made orthogonal and of one length, then the mean (Senushkin et al., 2023)."""

    name: str = row("torchjd.aligned_mtl")
    """Independent component alignment."""

    scale_mode: Literal["min", "median", "rmse"] = "min"
    """Which of the lengths is the one: the least, the middle one, or the root of the mean square.
    Default: torchjd."""


class ConFIGBalancing(AggregatedBalancing):
    """The direction of equal angles to all gradients (Liu et al., 2024)."""

    name: str = row("torchjd.config")
    """Conflict-free gradients."""


class FairGradBalancing(AggregatedBalancing):
    """Progress shared out by alpha-fairness (Ban and Ji, 2024)."""

    name: str = row("torchjd.fairgrad")
    """Fair resource allocation."""

    alpha: float = Field(default=1.0, ge=0)
    """How fair: 0 for the mean, 1 proportional, more towards the worst task. Default: ours; torchjd
    has none."""

    max_iters: int | None = Field(default=None, ge=1)
    """Evaluations of the solver at most. Default: scipy's, 100 for each task."""


class PCDBalancing(AggregatedBalancing):
    """A main task's gradient, as far as others progress by a share of theirs (TMLR 2026)."""

    name: str = row("torchjd.pcd")
    """Priority-constrained descent."""

    primary: str
    """The main task; weights that it does not reach have the sum of gradients."""

    tau: float = Field(default=0.02, ge=0, le=1)
    """Share of its own progress that every other task is sure of. Default: torchjd."""

    beta: float = Field(default=0.999, ge=0, lt=1)
    """What a running mean of squared lengths keeps from step to step. Default: torchjd."""

    eps: float = Field(default=1e-8, ge=0)
    """What is added to it before it is divided by. Default: torchjd."""


AGGREGATORS: Table = MappingProxyType(
    {
        "torchjd.sum": SumBalancing,
        "torchjd.mean": MeanBalancing,
        "torchjd.random": RandomAggregation,
        "torchjd.pcgrad": PCGradBalancing,
        "torchjd.gradvac": GradVacBalancing,
        "torchjd.graddrop": GradDropBalancing,
        "torchjd.mgda": MGDABalancing,
        "torchjd.cagrad": CAGradBalancing,
        "torchjd.upgrad": UPGradBalancing,
        "torchjd.dualproj": DualProjBalancing,
        "torchjd.imtlg": IMTLGBalancing,
        "torchjd.aligned_mtl": AlignedMTLBalancing,
        "torchjd.config": ConFIGBalancing,
        "torchjd.fairgrad": FairGradBalancing,
        "torchjd.pcd": PCDBalancing,
    }
)
