"""The sharing schemes a recipe may choose from, and their options.

A new scheme adds its options' model and one row. A row says only what a recipe may write; the code
behind it lies in `hiermtl.sharing`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from hiermtl.recipe.base import Options, Table, problem, row, shown


class SharingOptions(Options):
    """What tasks share. `depths` says who decides where a task is read.

    `own`: the recipe, for each task. `top`: the scheme, which reads all at the top. `any`: the
    recipe, and the top where it says nothing.
    """

    depths: ClassVar[Literal["own", "top", "any"]] = "own"

    unadapted: ClassVar[str | None] = None
    """Why the encoder cannot be adapted under the scheme, where that is so."""

    def idle(self) -> dict[str, str]:
        """The options that do nothing beside the others, and beside what."""
        return {}

    @model_validator(mode="after")
    def _check_idle(self) -> Self:
        for name, beside in self.idle().items():
            given = getattr(self, name)
            # A recipe that a run keeps has all options.
            if given != type(self).model_fields[name].default:
                raise problem(
                    f"gives {name} {shown(given)}, which does nothing {beside}; leave {name} out"
                )
        return self


class SingleSharing(SharingOptions):
    """One encoder, optimizer and best checkpoint per task: the control that shares nothing."""

    depths = "any"
    name: str = row("single")
    """Single-task training of every task, in one run."""


class HardSharing(SharingOptions):
    """One encoder for all tasks, all read at the top: the control without hierarchy."""

    depths = "top"
    name: str = row("hard")
    """Hard parameter sharing."""


class LowSupervisionSharing(SharingOptions):
    """One encoder, each task read at its own depth (Soegaard and Goldberg, 2016)."""

    name: str = row("low_supervision")
    """Low tasks supervise low layers."""


class JointManySharing(SharingOptions):
    """Levels that also read words and lower levels' labels (Hashimoto et al., 2017)."""

    name: str = row("joint_many")
    """The joint many-task model."""

    shortcuts: bool = True
    """Whether the first block above each level reads the embeddings again. Default: the paper."""

    label_embeddings: bool = True
    """Whether it reads the labels that lower tagging tasks predict. Default: the paper."""

    label_width: int = Field(default=100, ge=1)
    """Numbers per label. Default: the paper."""

    detach_labels: bool = False
    """Whether the losses of upper tasks leave the heads of lower ones alone. Default: the
    paper."""

    zero_softmax: bool = True
    """Whether the layers that score labels start at zero, so that all are equally probable.
    Default: the paper."""

    def idle(self) -> dict[str, str]:
        """What says how labels are read, where none are."""
        if self.label_embeddings:
            return {}
        return dict.fromkeys(("label_width", "detach_labels"), "without label_embeddings")


class LearnedSharing(SharingOptions):
    """One encoder; each task learns at which depth, then reads that alone."""

    depths = "any"
    name: str = row("learned")
    """Learned depths, up to the task's own."""

    budget: float = Field(default=0.0, ge=0)
    """What a block costs in the loss, for each task that reads so deep. Default: nothing."""

    harden_at: float = Field(default=0.5, gt=0, lt=1)
    """Share of training after which each task keeps one depth. Default: ours."""

    lr: float = Field(default=1e-2, gt=0)
    """Peak learning rate of the mixes. Default: ours, for AdamW."""


class AdaptiveSharing(SharingOptions):
    """One encoder that is split from the top where tasks differ (Lu et al., 2017)."""

    depths = "any"
    name: str = row("adaptive")
    """Fully-adaptive feature sharing."""

    alpha: float = Field(default=1.0, ge=0)
    """Weight of what unlike tasks share. Default: the paper."""

    cost: float = Field(default=0.1, ge=0)
    """Cost of each further copy of a block. Default: ours, by which two tasks alone on a block
    part when their affinity is below 0.9; the paper's 1/64 parts nearly all."""

    every: int = Field(default=200, ge=1)
    """Steps between looks at the lowest junction. Default: ours; the paper has 1000."""

    decay: float = Field(default=0.99, gt=0, le=1)
    """What a step's observations keep of their weight in the next. Default: the paper's code."""

    least: int = Field(default=200, ge=1)
    """Examples two tasks must have in common to be compared. Default: ours."""

    margin: Literal["gold", "uncertainty"] = "gold"
    """What says how hard a task finds an example: how improbable the gold is, or what the head
    says, which examples without gold have too. Default: the paper."""

    affinity: dict[str, dict[str, float]] | None = None
    """Affinity of each pair of tasks, 0 to 1, in place of what is observed. Default: observed."""

    tree: dict[str, list[list[str]]] | None = None
    """Depth -> groups of tasks with a copy each, by hand; then nothing is split. Default: none."""

    def idle(self) -> dict[str, str]:
        """What says when and where to split, where the tree is given."""
        deciding = ("alpha", "cost", "every", "decay", "least", "margin", "affinity")
        return {} if self.tree is None else dict.fromkeys(deciding, "beside a tree")

    @field_validator("tree", mode="before")
    @classmethod
    def _depths_as_text(cls, value: Any) -> Any:
        """Depths are numbers in YAML, and text in the JSON that a run keeps."""
        return {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else value


class RelationshipSharing(SharingOptions):
    """One encoder, and a layer per task under a prior of how tasks relate (Long et al., 2017)."""

    depths = "any"
    name: str = row("relationship")
    """Deep relationship networks."""

    units: int = Field(default=128, ge=1)
    """Numbers in each task's layer. Default: ours."""

    strength: float = Field(default=1e-3, ge=0)
    """Factor of the prior in the loss. Default: ours."""

    every: int = Field(default=100, ge=1)
    """Steps between estimates of how axes vary together. Default: the paper's code."""

    estimator: Literal["shrunk", "mle"] = "shrunk"
    """How that is estimated: scaled and mixed with the identity, or by the paper's formula.
    Default: ours, which stays bounded."""

    shrink: float = Field(default=0.05, gt=0, le=1)
    """Share of the identity in each estimate. Default: ours."""

    eps: float = Field(default=1e-5, gt=0)
    """What `mle` adds to the diagonal. Default: the paper's code."""

    modes: Literal["auto", "all", "unit_task", "task"] = "auto"
    """Which axes are learned. Default: all where tasks are read at one depth, else units and
    tasks; the paper's code learns tasks alone."""

    def idle(self) -> dict[str, str]:
        """What belongs to the other estimator."""
        other = "eps" if self.estimator == "shrunk" else "shrink"
        return {other: f"with the estimator {self.estimator!r}"}


class ColumnsSharing(SharingOptions):
    """Schemes with a copy of the encoder for each task."""

    depths = "any"

    shared_below: int = Field(default=1, ge=0)
    """Depth from which on each task has copies of its own; below it all share one, at 1 the
    embeddings. Default: ours."""


class SoftL2Sharing(ColumnsSharing):
    """An encoder per task, tied by the squared distance of weights (Duong et al., 2015)."""

    name: str = row("soft_l2")
    """Soft parameter sharing."""

    strength: float = Field(default=1e-3, ge=0)
    """Factor of the squared distance between each two copies. Default: ours."""

    anchor: Literal["mean", "source"] = "mean"
    """What copies are held to: each other, or the encoder they start as. Default: the symmetric
    form of overviews; the paper has its source."""

    decoupled: bool = False
    """Whether copies are moved after each step instead of by the loss, so that AdamW does not
    undo the strength. Default: the paper."""


class SoftTraceSharing(ColumnsSharing):
    """An encoder per task, whose copies are to span few directions (Yang and Hospedales, 2017)."""

    unadapted = "measures whole matrices, of which deltas are factors"
    name: str = row("soft_trace")
    """Soft parameter sharing by trace norms."""

    strength: float = Field(default=1e-3, ge=0)
    """Factor of the trace norms. Default: the paper's code."""

    variant: Literal["laf", "tucker", "tt"] = "laf"
    """How the copies make matrices: one flattened copy per column, every axis against the others,
    or axes in their order. Default: ours; the others are dear, and mostly compress layers."""

    center: Literal["init", "zero"] = "init"
    """Whether it is deviations from the start whose norm is taken, or the weights themselves.
    Default: ours, for encoders that begin pretrained; the paper has zero."""

    eps: float = Field(default=1e-4, gt=0)
    """How far singular values are smoothed at 0, as a share of a weight's norm. Default: ours."""

    mode_weights: list[Annotated[float, Field(ge=0)]] | None = None
    """Weight of each term of the variant. Default: 1 each."""


class MixedSharing(ColumnsSharing):
    """Schemes that mix the states of tasks' own encoders."""

    own: float = Field(default=0.9, gt=0, le=1)
    """Share of a stream in its own mix at the start; the others have the rest evenly. Default:
    the cross-stitch paper."""

    lr: float = Field(default=1e-2, gt=0)
    """Peak learning rate of the shares, apart from the encoder's. Default: ours, for AdamW."""

    mix_last: bool = True
    """Whether states are mixed after the last block too. Default: the papers."""

    streams: Literal["all", "live"] = "all"
    """Whether every stream runs to the deepest task's depth and is mixed there, or to its own
    task's. Default: the papers, which read all tasks at the top."""


class CrossStitchSharing(MixedSharing):
    """An encoder per task, each fed a linear mix of all after each block (Misra et al., 2016)."""

    name: str = row("cross_stitch")
    """Cross-stitch networks."""

    per: Literal["layer", "channel"] = "layer"
    """What has a share of its own, for each pair of tasks. Default: ours; in the paper it depends
    on the tasks."""


class SluiceSharing(MixedSharing):
    """Subspaces of tasks' layers mixed, and layers chosen, by learned shares (Ruder et al.)."""

    name: str = row("sluice")
    """Sluice networks."""

    subspaces: int = Field(default=2, ge=1)
    """Parts that the states of a block are cut into. Default: the paper."""

    betas: Literal["plain", "softmax", "off"] = "plain"
    """How a head reads the depths up to its task's: by plain shares, by shares that add up to 1,
    or its own depth alone. Default: the paper's code."""

    orthogonality: float = Field(default=0.1, ge=0)
    """Factor of what the parts of a block's weights have in common, where its states are mixed.
    Default: the code's example."""

    sparsity: float = Field(default=0.0, ge=0)
    """Strength of a group lasso over the shares between two tasks, which makes them 0 together.
    Default: none."""

    def idle(self) -> dict[str, str]:
        """What keeps parts apart, where there is one."""
        return {} if self.subspaces > 1 else {"orthogonality": "with one of subspaces"}


class HmtlSharing(SharingOptions):
    """Levels in a tree, each with an encoder of its own over the one below (Sanh et al., 2019)."""

    name: str = row("hmtl")
    """The hierarchical model of semantic tasks."""

    tree: dict[str, str | None] | None = None
    """Task -> the task whose level lies below its own; none for those over the words. Default: the
    first task of the next lower depth."""

    trunk: int = Field(default=0, ge=0)
    """Depth up to which all tasks share blocks. Default: the paper, which shares the words'
    vectors alone."""

    shortcuts: bool = True
    """Whether each level reads the embeddings again. Default: the paper."""


SHARING: Table = MappingProxyType(
    {
        "single": SingleSharing,
        "hard": HardSharing,
        "low_supervision": LowSupervisionSharing,
        "joint_many": JointManySharing,
        "hmtl": HmtlSharing,
        "learned": LearnedSharing,
        "relationship": RelationshipSharing,
        "adaptive": AdaptiveSharing,
        "soft_l2": SoftL2Sharing,
        "soft_trace": SoftTraceSharing,
        "cross_stitch": CrossStitchSharing,
        "sluice": SluiceSharing,
    }
)
