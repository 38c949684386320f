"""The heads a recipe may choose from, and their options.

A new head adds its options' model and one row. A row says only what a recipe may write; the code
behind it lies in `hiermtl.heads`.
"""

from types import MappingProxyType
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from hiermtl.recipe.base import Options, Table, problem, row
from hiermtl.recipe.files import Names, NamesOrNone


class HeadOptions(Options):
    """What turns states into labels; `weighs_classes`: whether a task may give `class_weights`."""

    weighs_classes: ClassVar[bool] = False

    of_labels: ClassVar[frozenset[str]] = frozenset()
    """Options that say what the labels are, not how the head scores them."""

    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Rate at which what the head reads, and what it makes of that, is dropped in training.
    Default: ours."""


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

    dropout: float = Field(default=0.33, ge=0, lt=1)
    """As of all heads. Default: the paper."""

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

    bases: int | None = Field(default=None, ge=1)
    """Matrices that the labels share, each weighing them for itself: for many labels faster, and
    with few sentences better. Default: the paper, each label has its own."""

    inside: bool = True
    """Whether all words of a span and its length count, or its ends alone, as in the paper.
    Default: ours."""

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

    unique: bool = True
    """Whether a predicate has each core role, ARG0 to ARG5 and ARGA, once at most. Default: true,
    as PropBank has it."""

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

    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Probability above which a relation is told; a lower one finds more and errs more. Default: as
    likely as not."""


class CoreferenceHead(ReadingHead):
    """Clusters of the spans that another task finds, by links backwards (Lee et al., 2017)."""

    name: str = row("coreference")
    """Each mention with one before it, or with none."""

    dropout: float = Field(default=0.2, ge=0, lt=1)
    """As of all heads. Default: ours."""

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

    dropout: float = Field(default=0.2, ge=0, lt=1)
    """As of all heads. Default: the paper."""

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

    dropout: float = Field(default=0.4, ge=0, lt=1)
    """As of all heads. Default: the paper."""

    layers: int = Field(default=1, ge=1)
    """Maxout layers. Default: the paper."""


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
