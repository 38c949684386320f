"""How a run trains, as plain values with their units."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hiermtl.training.sampling import MIXED, Sampling

AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the loop needs beside model and data.

    lr, lr_heads: peak rates of encoder and heads. layer_decay: the rate of depth k is `lr *
    layer_decay ** (top - k)`. warmup: steps, or, as a float up to 1, a share of all steps. clip:
    largest gradient norm, 0 for none. tokens_per_batch: units per optimizer step over all
    processes. accumulation: pieces a process cuts its share into. patience: evaluations without a
    better main score before stopping. max_skipped: steps in a row that may have no number as their
    gradient. timeout: seconds that a step may take where several processes share it.
    evaluate_every: epochs. checkpoint_every: steps, beside the one at each evaluation. freeze_from,
    freeze_below: the depths from one to below the other are not trained. recompute_blocks:
    activations inside blocks are made again backwards instead of kept. compile: what blocks compute
    of each unit by itself is compiled. shard: each process holds a part of the weights instead of
    all. flat: rows without padding. sampling: whose examples a step takes. balancing,
    balancing_options: what weighs the tasks, a key of `BALANCERS`, and what it is told.
    """

    epochs: int = 6
    max_steps: int | None = None
    seed: int = 0
    precision: str = "auto"
    lr: float = 4e-4
    lr_heads: float = 2e-3
    layer_decay: float = 1.0
    warmup: int | float = 100
    weight_decay: float = 0.01
    clip: float = 5.0
    tokens_per_batch: int = 1024
    accumulation: int | Literal["auto"] = 1
    patience: int | None = None
    evaluate_every: int = 1
    checkpoint_every: int | None = None
    keep_checkpoints: int = 2
    freeze_from: int = 0
    freeze_below: int = 0
    recompute_blocks: bool = False
    compile: bool = False
    shard: bool = False
    flat: bool = True
    sampling: Sampling = MIXED
    balancing: str = "static"
    balancing_options: Mapping[str, Any] = field(default_factory=dict)
    max_skipped: int = 10
    timeout: float = 1800.0

    def steps(self, per_epoch: int) -> int:
        """The steps of the whole run, of so many an epoch."""
        total = self.epochs * per_epoch
        return total if self.max_steps is None else min(total, self.max_steps)
