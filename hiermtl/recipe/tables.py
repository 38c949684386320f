"""The names a recipe may choose from and their options: sharing, heads, balancing, sampling.

A new scheme or head adds its options' model and one row. A row says only what a recipe may write;
the code behind it lies in the room of the same name.
"""

from types import MappingProxyType
from typing import ClassVar, Literal

from pydantic import Field

from hiermtl.recipe.base import Options, Table, row
from hiermtl.recipe.files import NamesOrNone


class SharingOptions(Options):
    """What tasks share. `depths` says who decides where a task is read.

    `own`: the recipe, for each task. `top`: the scheme, which reads all at the top. `any`: the
    recipe, and the top where it says nothing.
    """

    depths: ClassVar[Literal["own", "top", "any"]] = "own"


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


class HeadOptions(Options):
    """What turns states into labels; `weighs_classes`: whether a task may give `class_weights`."""

    weighs_classes: ClassVar[bool] = False


class TaggingHead(HeadOptions):
    """One label per word, each decided alone: a linear layer and softmax."""

    weighs_classes = True
    name: str = row("tagging")
    """Independent labels."""


class CrfHead(HeadOptions):
    """One label per word, decided together: a linear-chain conditional random field."""

    name: str = row("crf")
    """Labels that depend on their neighbours."""

    bio: bool = True
    """Whether labels are IOB2 and transitions that IOB2 forbids are impossible. Default: true, as
    for `ner` and `chunk`; false where the head is given to upos, xpos or feats."""


class EditsHead(HeadOptions):
    """One edit script per word, which makes its lemma of it."""

    name: str = row("edits")
    """Scripts seen in training, applied to any word."""

    min_count: int = Field(default=2, ge=1)
    """Scripts on fewer training words are left out: most of them fit one word. Default: ours."""

    most_inserted: int = Field(default=5, ge=1)
    """Scripts that insert more characters are left out: they spell words, and a model is to hold
    none. Default: ours, which keeps `Sept` to `September`."""


class BiaffineHead(HeadOptions):
    """Dependency trees by biaffine attention (Dozat and Manning, 2017)."""

    name: str = row("biaffine")
    """Arcs and labels of a tree."""

    arc_width: int = Field(default=400, ge=1)
    """Numbers per word and role when arcs are scored. Default: ours; the paper has 500."""

    label_width: int = Field(default=100, ge=1)
    """Numbers per word and role when labels are scored. Default: the paper."""


class TextClassificationHead(HeadOptions):
    """One label per text: the largest value of each state over its words, and a linear layer."""

    name: str = row("text_classification")
    """A label for a whole text."""


class PairHead(HeadOptions):
    """What compares two texts (Hashimoto et al., 2017)."""

    hidden: int = Field(default=100, ge=1)
    """Numbers in each maxout layer. Default: ours."""

    pool: int = Field(default=4, ge=1)
    """Linear maps a number of a maxout layer is the largest of. Default: ours."""


class PairClassificationHead(PairHead):
    """One label per pair of texts, in their order."""

    name: str = row("pair_classification")
    """A label for a pair, such as entailment."""

    layers: int = Field(default=3, ge=1)
    """Maxout layers. Default: the paper."""

    reads: NamesOrNone = ()
    """Tasks of pairs whose predictions the head reads too, one name or a list. Default: none; the
    paper lets entailment read relatedness."""

    label_width: int = Field(default=100, ge=1)
    """Numbers per label of the tasks it reads. Default: the paper."""


class PairRegressionHead(PairHead):
    """One number per pair of texts, in either order."""

    name: str = row("pair_regression")
    """A score for a pair, such as relatedness."""

    layers: int = Field(default=1, ge=1)
    """Maxout layers. Default: the paper."""


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


SHARING: Table = MappingProxyType(
    {
        "single": SingleSharing,
        "hard": HardSharing,
        "low_supervision": LowSupervisionSharing,
        "joint_many": JointManySharing,
    }
)
HEADS: Table = MappingProxyType(
    {
        "tagging": TaggingHead,
        "crf": CrfHead,
        "edits": EditsHead,
        "biaffine": BiaffineHead,
        "text_classification": TextClassificationHead,
        "pair_classification": PairClassificationHead,
        "pair_regression": PairRegressionHead,
    }
)
BALANCING: Table = MappingProxyType(
    {"static": StaticBalancing, "uncertainty": UncertaintyBalancing, "random": RandomBalancing}
)
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

DEFAULT_HEADS = MappingProxyType(
    {
        "upos": "tagging",
        "xpos": "tagging",
        "feats": "tagging",
        "lemma": "edits",
        "chunk": "crf",
        "ner": "crf",
        "dep": "biaffine",
        "relatedness": "pair_regression",
        "entailment": "pair_classification",
    }
)
"""Task name -> its head where the recipe names none."""
