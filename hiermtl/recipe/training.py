"""The recipe's `training`, `check` and `evaluation` sections."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema

from hiermtl.recipe.base import NUMBER, Section, problem, shown
from hiermtl.recipe.files import Names


def _warmup(value: object) -> int | float:
    allowed = "allowed: a whole number of steps from 0, or a share of all steps from 0.0 to 1.0"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise problem(f"is {shown(value)}; {allowed}", NUMBER)
    if (isinstance(value, int) and value < 0) or (isinstance(value, float) and not 0 <= value <= 1):
        raise problem(f"is {value}; {allowed}")
    return value


Warmup: TypeAlias = Annotated[
    int | float,
    BeforeValidator(_warmup),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "number", "minimum": 0, "maximum": 1},
            ]
        }
    ),
]

Tracker: TypeAlias = Literal[
    "aim",
    "clearml",
    "comet_ml",
    "dvclive",
    "mlflow",
    "swanlab",
    "tensorboard",
    "trackio",
    "wandb",
]


class TrainingOptions(Section):
    """How long, how fast and on what the recipe is trained."""

    epochs: int = Field(default=6, ge=1)
    """Passes over the training data. Default: ours, for the BiLSTM on one CPU."""

    max_steps: int | None = Field(default=None, ge=1)
    """Optimizer steps after which training ends, if the epochs have not ended it. Default: no
    limit."""

    seed: int = Field(default=0, ge=0)
    """Seed of weights, order of batches and dropout. Default: ours."""

    precision: Literal["auto", "fp32", "bf16", "fp16", "fp64"] = "auto"
    """Number type of the blocks; `auto` is bf16 where the processor has it, else fp32. With `fp16`
    the loss is scaled. Default: ours."""

    lr: float = Field(default=4e-4, gt=0)
    """Peak learning rate of the encoder's top block, per step. Default: our measurement on MiniLM
    and EWT."""

    lr_heads: float = Field(default=2e-3, gt=0)
    """Peak learning rate of heads and of the sharing's own parameters. Default: our measurement, as
    `lr`."""

    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Factor of the rate per depth below the top: depth k has lr * layer_decay ** (top - k).
    Default: 1, none."""

    warmup: Warmup = 100
    """Steps of linear growth of the rate (whole number), or their share of all steps (0.0 to 1.0).
    Default: ours."""

    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's decoupled decay, per unit of learning rate. Default: PyTorch's AdamW."""

    clip: float = Field(default=5.0, ge=0)
    """Largest norm of the whole gradient; 0 leaves it as it is. Default: ours."""

    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Replaces every dropout rate of encoder and heads; 0 makes training deterministic. Default:
    each part's own."""

    tokens_per_batch: int = Field(default=1024, ge=1)
    """Pieces per optimizer step, over all processes, padding not counted. Default: our measurement,
    as `lr`."""

    accumulation: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    """Parts that the batch of a step is cut into, to save memory; the gradient is the same. With
    `auto` one, and twice as many whenever memory runs out. Default: ours."""

    recompute_blocks: bool = False
    """Whether a block's inner activations are computed again backwards instead of kept: less
    memory, about a third more time, the same gradients. Default: ours."""

    compile: bool = False
    """Whether blocks of transformers are compiled for training, once for all sizes of batches: for
    graphics processors. Default: ours."""

    flat: bool = True
    """Whether the rows of a batch lie end to end instead of being padded: faster, the same states.
    Default: ours."""

    shard: bool = False
    """Whether each process holds a part of the weights instead of all, for encoders whose weights
    fit into one device, but not with gradients and moments. Default: ours."""

    processes: int = Field(default=1, ge=1)
    """Processes that share the work of a step; the batches are the same for any number. Default:
    ours."""

    output: str | None = Field(default=None, min_length=1)
    """Run folder. Default: runs/<recipe, with / as ->."""

    patience: int | None = Field(default=None, ge=1)
    """Evaluations without a better main score after which training ends. Default: no end."""

    evaluate_every: int = Field(default=1, ge=1)
    """Epochs between evaluations on dev. Default: ours."""

    checkpoint_every: int | None = Field(default=None, ge=1)
    """Steps between checkpoints, besides the one after each evaluation. Default: none."""

    keep_checkpoints: int = Field(default=2, ge=1)
    """Newest checkpoints kept for --resume. Default: ours."""

    max_skipped: int = Field(default=10, ge=1)
    """Steps in a row that are left out because their gradient is no number, before the run ends.
    Default: ours."""

    timeout: float = Field(default=1800.0, gt=0)
    """Seconds that a step may take where several processes share it; then the one that the others
    wait for is named, and all end. Default: that of PyTorch's gloo.

    Not counted are evaluations and checkpoints, but the time that others wait for them is."""

    trackers: Annotated[tuple[Tracker, ...], Field(strict=False)] = ()
    """Experiment trackers, as accelerate names them. Default: none."""

    max_examples: int | None = Field(default=None, ge=1)
    """Training sentences (or texts, or pairs) used of each corpus, sentences also where documents
    are examples; for curves and tests. Label inventories stay those of the whole corpus. Default:
    all."""

    examples: Literal["first", "spread"] = "first"
    """Which ones `max_examples` takes: the first, or as many spread evenly over the corpus, so that
    each of its sources has its share; documents are then taken whole. Default: ours."""


class CheckOptions(Section):
    """What data must not have."""

    leakage: Literal["warn", "error", "off"] = "warn"
    """What happens when dev or test sentences stand in training data, of whichever corpus:
    `hiermtl check` says so (`warn`), or nothing is trained when any of 6 or more words does
    (`error`). Default: ours."""


class EvaluationOptions(Section):
    """How checkpoints are compared."""

    main: Names | None = None
    """Tasks whose main metrics are averaged to choose the best checkpoint. Default: all that are
    not auxiliary."""
