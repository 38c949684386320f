"""The names a recipe may choose from and their options.

They are those of sharing, adapters, heads, balancing and sampling.

A new scheme or head adds its options' model and one row. A row says only what a recipe may write;
the code behind it lies in the room of the same name.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from hiermtl.recipe.aggregators import AGGREGATORS
from hiermtl.recipe.base import Options, Table, problem, row
from hiermtl.recipe.files import Names, NamesOrNone


class SharingOptions(Options):
    """What tasks share. `depths` says who decides where a task is read.

    `own`: the recipe, for each task. `top`: the scheme, which reads all at the top. `any`: the
    recipe, and the top where it says nothing.
    """

    depths: ClassVar[Literal["own", "top", "any"]] = "own"

    unadapted: ClassVar[str | None] = None
    """Why the encoder cannot be adapted under the scheme, where that is so."""


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
    """Cost of each further copy of a block. Default: ours, by which two tasks part whose affinity
    is below 0.9; the paper's 1/64 parts nearly all."""

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

    mode_weights: list[float] | None = None
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


class HeadOptions(Options):
    """What turns states into labels; `weighs_classes`: whether a task may give `class_weights`."""

    weighs_classes: ClassVar[bool] = False

    of_labels: ClassVar[frozenset[str]] = frozenset()
    """Options that say what the labels are, not how the head scores them."""


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

    of_labels = frozenset({"min_count", "most_inserted"})
    name: str = row("edits")
    """Scripts seen in training, applied to any word."""

    min_count: int = Field(default=2, ge=1)
    """Scripts on fewer training words are left out: most of them fit one word. Default: ours."""

    most_inserted: int = Field(default=5, ge=1)
    """Scripts that insert more characters are left out: they spell words, and a model is to hold
    none. Default: ours, which keeps `Sept` to `September`."""


SUFFIX = 3
"""Characters of a suffix where a recipe does not say."""


class HintHead(HeadOptions):
    """A feature of each word, which a task predicts so that the encoder learns it."""

    of_labels = frozenset({"feature", "size", "min_count"})
    name: str = row("hint")
    """Labels that are computed from the words; for auxiliary tasks alone."""

    feature: Literal["casing", "digit", "frequency", "length", "shape", "suffix"]
    """What is predicted of a word: how it is written in capitals, whether it has a digit, how often
    it stands in the training data (the whole number of the logarithm), its length, its shape, or
    its last characters."""

    size: int | None = Field(default=None, ge=1)
    """Characters of a `suffix`. Default: 3."""

    min_count: int = Field(default=2, ge=1)
    """Labels on fewer training words are left out. Default: as of `edits`."""

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        if self.size is not None and self.feature != "suffix":
            raise problem(
                f"gives the size {self.size}, but the feature is {self.feature!r}, and only "
                "'suffix' has one; leave size out"
            )
        return self

    @property
    def characters(self) -> int:
        """The size with its default."""
        return SUFFIX if self.size is None else self.size


def hint_layer(feature: object, size: object) -> str:
    """The layer under which the labels of a hint are kept."""
    return f"hint:{feature}" + (f"-{size or SUFFIX}" if feature == "suffix" else "")


class BiaffineHead(HeadOptions):
    """Dependency trees by biaffine attention (Dozat and Manning, 2017)."""

    name: str = row("biaffine")
    """Arcs and labels of a tree."""

    arc_width: int = Field(default=400, ge=1)
    """Numbers per word and role when arcs are scored. Default: ours; the paper has 500."""

    label_width: int = Field(default=100, ge=1)
    """Numbers per word and role when labels are scored. Default: the paper."""


class SpanHead(HeadOptions):
    """Labelled spans that may nest, by biaffine scores of their ends (Yu et al., 2020)."""

    name: str = row("span")
    """Spans, such as entities inside others."""

    size: int = Field(default=150, ge=1)
    """Numbers per word, as a first and as a last one. Default: ours; the paper has 150."""

    reach: int = Field(default=100, ge=1)
    """Words of the longest span that is looked at. Default: ours."""


class RolesHead(HeadOptions):
    """Predicates, their senses, and the spans of their arguments (Strubell et al., 2018)."""

    of_labels = frozenset({"min_count", "most_inserted"})
    name: str = row("roles")
    """Semantic roles."""

    size: int = Field(default=150, ge=1)
    """Numbers per word, as a predicate and as a part of an argument. Default: ours."""

    reach: int = Field(default=16, ge=0)
    """Words from a predicate up to which distances are told apart. Default: ours."""

    min_count: int = Field(default=2, ge=1)
    """Scripts of senses on fewer training words are left out. Default: as of `edits`."""

    most_inserted: int = Field(default=8, ge=1)
    """Scripts that insert more characters are left out. Default: ours; a sense ends on three more
    than a lemma."""


class ReadingHead(HeadOptions):
    """What reads the spans that another task finds."""

    size: int = Field(default=150, ge=1)
    """Numbers per word, as an end of a head or a tail, or per mention. Default: ours."""

    reads: Names
    """The task whose spans are read. Default: `entity`; `mention` for coreference."""

    first_predicted: float = Field(default=0.0, ge=0, le=1)
    """Share of steps that read predicted spans instead of gold ones, when training begins. Default:
    gold, as teacher forcing does."""

    last_predicted: float = Field(default=0.5, ge=0, le=1)
    """That share when training ends; it grows evenly in between (scheduled sampling, Bengio et al.,
    2015). Default: ours."""

    @field_validator("reads")
    @classmethod
    def _one(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > 1:
            raise problem(f"names {len(value)} tasks, but the spans of one are read; name it")
        return value


class RelationHead(ReadingHead):
    """Directed relations between the spans that another task finds."""

    name: str = row("relation")
    """Each label of each pair of spans by itself."""

    reads: Names = ("entity",)
    """The task whose spans are paired. Default: `entity`."""


class CoreferenceHead(ReadingHead):
    """Clusters of the spans that another task finds, by links backwards (Lee et al., 2017)."""

    name: str = row("coreference")
    """Each mention with one before it, or with none."""

    reads: Names = ("mention",)
    """The task whose spans are mentions. Default: `mention`."""

    window: int = Field(default=200, ge=1)
    """Mentions before each that are looked at. Default: ours, of a document of about 700 words."""


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

    pooling: Literal["max", "mean"] = "max"
    """What makes one vector of a text's words: the largest of each number, or the mean. Default:
    the paper; encoders of sentences are trained for means."""


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
HEADS: Table = MappingProxyType(
    {
        "tagging": TaggingHead,
        "crf": CrfHead,
        "edits": EditsHead,
        "hint": HintHead,
        "biaffine": BiaffineHead,
        "span": SpanHead,
        "roles": RolesHead,
        "relation": RelationHead,
        "coreference": CoreferenceHead,
        "text_classification": TextClassificationHead,
        "pair_classification": PairClassificationHead,
        "pair_regression": PairRegressionHead,
    }
)
ADAPTERS: Table = MappingProxyType({"none": NoAdapter, "lora": LoraAdapter})
BALANCING: Table = MappingProxyType(
    {
        "static": StaticBalancing,
        "uncertainty": UncertaintyBalancing,
        "random": RandomBalancing,
        **AGGREGATORS,
    }
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
        "segment": "tagging",
        "upos": "tagging",
        "xpos": "tagging",
        "feats": "tagging",
        "lemma": "edits",
        "chunk": "crf",
        "ner": "crf",
        "dep": "biaffine",
        "entity": "span",
        "mention": "span",
        "srl": "roles",
        "relation": "relation",
        "coref": "coreference",
        "relatedness": "pair_regression",
        "entailment": "pair_classification",
    }
)
"""Task name -> its head where the recipe names none."""
