"""Weights of every sharing scheme by formula, and the bytes that training keeps for them.

A scheme's weights are copies of the embedding and of each block, each copy as large as the inputs
that the scheme adds make it, the heads, and numbers of the scheme's own. All are trained in fp32 by
AdamW: 4 bytes a weight, 4 its gradient, 8 its two moments, and 4 a tensor for the count of steps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hiermtl.text.casing import CASINGS

FP32 = 4


@dataclass(frozen=True, slots=True)
class Size:
    """How many weights, in how many tensors."""

    weights: int = 0
    tensors: int = 0

    def __add__(self, other: "Size") -> "Size":
        """Both together."""
        return Size(self.weights + other.weights, self.tensors + other.tensors)

    def __rmul__(self, times: int) -> "Size":
        """So many times."""
        return Size(times * self.weights, times * self.tensors)

    def bytes(self) -> dict[str, int]:
        """What a training keeps for them, by kind."""
        return {
            "weights": FP32 * self.weights,
            "gradients": FP32 * self.weights,
            "optimizer": 2 * FP32 * self.weights + FP32 * self.tensors,
        }


@dataclass(frozen=True, slots=True)
class Transformer:
    """BERT: width w, inner width f."""

    width: int
    inner: int
    blocks: int
    attention: int
    vocabulary: int
    positions: int
    segments: int
    casing: bool
    directions: int = 1

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Transformer":
        """Of an encoder's `config()`, whose missing keys are the library's defaults."""
        from transformers import BertConfig

        full = BertConfig(**{k: v for k, v in config.items() if k in BertConfig().to_dict()})
        return cls(
            full.hidden_size,
            full.intermediate_size,
            full.num_hidden_layers,
            full.num_attention_heads,
            full.vocab_size,
            full.max_position_embeddings,
            full.type_vocab_size,
            bool(config.get("casing")),
        )

    @property
    def widths(self) -> list[int]:
        """Of states, by depth."""
        return [self.width] * (self.blocks + 1)

    def embedding(self) -> Size:
        """Pieces, positions, segments, perhaps casings, and a norm."""
        rows = self.vocabulary + self.positions + self.segments + 2
        size = Size(rows * self.width, 5)
        return size + Size(len(CASINGS) * self.width, 1) if self.casing else size

    def block(self, depth: int, extra: int) -> Size:
        """4 w^2 + 2 w f + 9 w + f, and a matrix for what is added."""
        w, f = self.width, self.inner
        size = Size(4 * w * w + 2 * w * f + 9 * w + f, 16)
        return size + Size(extra * w, 1) if extra else size

    def writes(self, depth: int) -> tuple[int, list[tuple[int, int]]]:
        """How many matrices make the states, and (rows, columns) of each kind."""
        return 1, [(self.width, self.width), (self.width, self.inner)]


@dataclass(frozen=True, slots=True)
class Bilstm:
    """Layers of two LSTMs with h units each."""

    hidden: int
    blocks: int
    vocabulary: int
    buckets: int
    word_width: int
    ngram_width: int
    directions: int = 2

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Bilstm":
        """Of an encoder's `config()`."""
        return cls(
            config["hidden"],
            config["layers"],
            config["vocabulary"],
            config["buckets"],
            config["word_width"],
            config["ngram_width"],
        )

    @property
    def widths(self) -> list[int]:
        """Of states, by depth."""
        return [self.word_width + self.ngram_width] + [2 * self.hidden] * self.blocks

    def embedding(self) -> Size:
        """A row for each word of the vocabulary, one for all others, and one for each bucket."""
        ngrams = Size(self.buckets * self.ngram_width, 1)
        words = Size((self.vocabulary + 1) * self.word_width, 1) if self.word_width else Size()
        return ngrams + words

    def block(self, depth: int, extra: int) -> Size:
        """Two directions of 4 h (inputs + h + 2)."""
        reads = self.widths[depth - 1] + extra
        return 2 * Size(4 * self.hidden * (reads + self.hidden + 2), 4)

    def writes(self, depth: int) -> tuple[int, list[tuple[int, int]]]:
        """Four gates in each direction, each of what is read and of the state before."""
        return 8, [(self.hidden, self.widths[depth - 1]), (self.hidden, self.hidden)]


FAMILIES: dict[str, type[Transformer] | type[Bilstm]] = {"bert": Transformer, "bilstm": Bilstm}


def tagging(width: int, labels: int, options: Mapping[str, Any]) -> Size:
    """A linear layer."""
    return Size((width + 1) * labels, 2)


def crf(width: int, labels: int, options: Mapping[str, Any]) -> Size:
    """A linear layer, moves between labels, and where chains begin and end."""
    return tagging(width, labels, options) + Size(labels * labels + 2 * labels, 3)


def biaffine(width: int, labels: int, options: Mapping[str, Any]) -> Size:
    """The root, a projection to dependents and heads of arcs and labels, and two products."""
    arc, label = options.get("arc_width", 400), options.get("label_width", 100)
    projection = (width + 1) * 2 * (arc + label)
    products = (arc + 1) * arc + (label + 1) ** 2 * labels
    return Size(width + projection + products, 5)


HEADS: dict[str, Callable[[int, int, Mapping[str, Any]], Size]] = {
    "tagging": tagging,
    "crf": crf,
    "biaffine": biaffine,
}
"""The heads of the models that are compared."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a scheme is told: encoder, depths and labels by task, and options."""

    encoder: Transformer | Bilstm
    tasks: Mapping[str, Mapping[str, Any]]
    options: Mapping[str, Any]

    @property
    def top(self) -> int:
        """The deepest task's depth."""
        return max(self.depths.values())

    @property
    def depths(self) -> dict[str, int]:
        """Task to depth."""
        return {name: task["depth"] for name, task in self.tasks.items()}

    def live(self, depth: int) -> int:
        """Tasks that are read at a depth or above."""
        return sum(own >= depth for own in self.depths.values())


@dataclass(frozen=True, slots=True)
class Shape:
    """Copies of embedding and blocks by depth, further inputs of blocks, numbers of its own.

    `mixed` are the depths after which states are mixed; `head_width` what heads read, where it is
    not the states.
    """

    copies: Sequence[int]
    extra: Mapping[int, int] = field(default_factory=dict)
    own: Size = field(default_factory=Size)
    mixed: Sequence[int] = ()
    head_width: int | None = None


def one_stream(case: Case) -> Shape:
    """Hard sharing and low supervision: everything once."""
    return Shape([1] * (case.top + 1))


def single(case: Case) -> Shape:
    """Everything for each task, up to its depth."""
    return Shape([case.live(depth) for depth in range(case.top + 1)])


def columns(case: Case, *, streams: str = "live") -> Shape:
    """A copy for each task from `shared_below` on, to its depth or to the deepest."""
    below = case.options.get("shared_below", 1)
    every = case.options.get("streams", streams) == "all"
    copies = [
        1 if depth < below else len(case.tasks) if every else case.live(depth)
        for depth in range(case.top + 1)
    ]
    mixes = case.options.get("mix_last", True)
    if every and not mixes:
        # What would only be mixed into others is not computed.
        copies[case.top] = sum(depth == case.top for depth in case.depths.values())
    last = case.top if mixes else case.top - 1
    mixed = [depth for depth in range(max(1, below), last + 1) if copies[depth] > 1]
    return Shape(copies, mixed=mixed)


def soft(case: Case) -> Shape:
    """Columns that are not mixed."""
    return Shape(columns(case).copies)


def cross_stitch(case: Case) -> Shape:
    """A share for each pair of streams and depth, or one for each channel."""
    shape = columns(case, streams="all")
    channel = case.options.get("per", "layer") == "channel"
    shares = sum(
        shape.copies[depth] ** 2 * (case.encoder.widths[depth] if channel else 1)
        for depth in shape.mixed
    )
    return Shape(shape.copies, own=Size(shares, len(shape.mixed)), mixed=shape.mixed)


def sluice(case: Case) -> Shape:
    """A share for each pair of parts of streams and depth, and one for each depth of a task."""
    shape, parts = columns(case, streams="all"), case.options.get("subspaces", 2)
    own = Size(sum((parts * shape.copies[d]) ** 2 for d in shape.mixed), len(shape.mixed))
    if case.options.get("betas", "plain") != "off":
        own += Size(sum(case.depths.values()), len(case.depths))
    return Shape(shape.copies, own=own, mixed=shape.mixed)


def joint_many(case: Case) -> Shape:
    """A vector for each label of lower tagging tasks; above each level, these and the words."""
    options, depths = case.options, case.depths
    width = options.get("label_width", 100)
    fed = [
        name
        for name, task in case.tasks.items()
        if options.get("label_embeddings", True)
        and depths[name] < case.top
        and task["head"] != "biaffine"
    ]
    words = case.encoder.widths[0] if options.get("shortcuts", True) else 0
    first = {depth + 1 for depth in depths.values() if depth < case.top}
    extra = {
        depth: words + (width if any(depths[name] < depth for name in fed) else 0)
        for depth in first
    }
    tables = Size(sum(len(case.tasks[name]["labels"]) * width for name in fed), len(fed))
    return Shape(one_stream(case).copies, {k: v for k, v in extra.items() if v}, tables)


def hmtl(case: Case) -> Shape:
    """Blocks for each level above its parent's; where levels begin above others, the words too."""
    depths, trunk = case.depths, case.options.get("trunk", 0)
    given = case.options.get("tree")
    parents = dict(given) if given is not None else {}
    if given is None:
        for name, depth in depths.items():
            lower = [other for other in depths.values() if other < depth]
            if lower:
                parents[name] = next(n for n, other in depths.items() if other == max(lower))
    floors = {
        name: max(trunk, depths[parents[name]]) if parents.get(name) else trunk for name in depths
    }
    copies = [
        1 if depth <= trunk else sum(floors[n] < depth <= own for n, own in depths.items())
        for depth in range(case.top + 1)
    ]
    words = case.encoder.widths[0] if case.options.get("shortcuts", True) else 0
    extra = {floor + 1: words for floor in floors.values() if floor and words}
    return Shape(copies, {depth: width for depth, width in extra.items() if depth <= case.top})


def learned(case: Case) -> Shape:
    """A share for each depth of a task."""
    return Shape(one_stream(case).copies, own=Size(sum(case.depths.values()), len(case.depths)))


def relationship(case: Case) -> Shape:
    """A layer for each task."""
    units = case.options.get("units", 128)
    width = case.encoder.widths[case.top]
    own = len(case.tasks) * Size((width + 1) * units, 2)
    return Shape(one_stream(case).copies, own=own, head_width=units)


def adaptive(case: Case) -> Shape:
    """As many copies as there are groups; before the first split, one."""
    tree = case.options.get("tree") or {}
    return Shape([len(tree.get(str(depth), "1")) for depth in range(case.top + 1)])


SCHEMES: dict[str, Callable[[Case], Shape]] = {
    "adaptive": adaptive,
    "cross_stitch": cross_stitch,
    "hard": one_stream,
    "hmtl": hmtl,
    "joint_many": joint_many,
    "learned": learned,
    "low_supervision": one_stream,
    "relationship": relationship,
    "single": single,
    "sluice": sluice,
    "soft_l2": soft,
    "soft_trace": soft,
}


def case_of(config: Any) -> tuple[Case, Shape]:
    """What a model's config says, and the shape its scheme has by formula."""
    encoder = FAMILIES[config.encoder["family"]].of(config.encoder)
    case = Case(encoder, config.tasks, config.sharing)
    return case, SCHEMES[config.sharing["name"]](case)


def size(config: Any) -> Size:
    """All weights of a model."""
    case, shape = case_of(config)
    total = shape.own + shape.copies[0] * case.encoder.embedding()
    for depth in range(1, case.top + 1):
        total += shape.copies[depth] * case.encoder.block(depth, shape.extra.get(depth, 0))
    for task in config.tasks.values():
        width = shape.head_width or case.encoder.widths[task["depth"]]
        total += HEADS[task["head"]](width, len(task["labels"]), task.get("options", {}))
    return total
