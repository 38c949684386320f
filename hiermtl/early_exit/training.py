"""Exit heads learn from states that do not move.

Source: Xin et al. 2020 (DeeBERT: Dynamic Early Exiting for Accelerating BERT Inference), section
3.1, second stage: the model as it was trained is frozen, and the heads at lower depths are trained
on its states. Departs: a head starts as the task's own, where states are as wide; tasks have heads
of every kind, each with its own loss. Units: losses are nats per labelled item.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from hiermtl.errors import DataError
from hiermtl.model import HierarchicalModel
from hiermtl.precision import has_bf16
from hiermtl.seeding import derived_seed, seeded
from hiermtl.tokens import Collator, Tokenizer
from hiermtl.training.examples import Examples

PASSES = 3
"""How often each training sentence is seen, where that makes `FEWEST` steps."""

FEWEST = 200
"""Steps that few examples have too."""

TOKENS = 1024
"""Pieces in a batch."""

RATE = 1e-3
"""The learning rate of the first step; it falls evenly to 0."""

SECONDS = 15.0
"""Between lines about the training."""


def train_exits(
    model: HierarchicalModel,
    tokenizer: Tokenizer,
    examples: Examples,
    *,
    told: Callable[[str], None] | None = None,
) -> None:
    """Trains the exit heads of a model, all together; no other weight moves.

    Examples without gold for a task with exits are left out. `told` is told how far it is.

    Raises:
        DataError: A task with exits has no gold.
    """
    tasks = list(model.exits)
    for task in tasks:
        if task not in examples.items or not examples.items[task].any():
            raise DataError(
                f"nothing in training carries a label for task {task!r}, so that its exits have "
                "nothing to learn from; name other tasks"
            )
    places = np.flatnonzero(sum(examples.items[task] for task in tasks))
    half = model.config.precision == "bf16" and has_bf16(model.device)
    collate = Collator(tokenizer, model.routes.depths(), device=model.device)
    optimizer = torch.optim.AdamW(model.exits.parameters(), lr=RATE)
    lengths = examples.lengths
    per_pass = sum(1 for _ in _batches(places, lengths, 0))
    steps = max(FEWEST, PASSES * per_pass)
    said, step = time.monotonic(), 0
    with _exits_alone(model), seeded(0, "exits"):
        while step < steps:
            order = np.random.default_rng(derived_seed(0, "exits", "order", step))
            for chosen in _batches(order.permutation(places), lengths, steps - step):
                for group in optimizer.param_groups:
                    group["lr"] = RATE * (1 - step / steps)
                batch = collate(examples.fetch(chosen.tolist()))
                with torch.autocast(model.device.type, torch.bfloat16, enabled=half):
                    losses = model.exit_losses(batch)
                items = {task: max(1, int(examples.items[task][chosen].sum())) for task in tasks}
                mean = {key: loss / items[key[0]] for key, loss in losses.items()}
                torch.stack(list(mean.values())).sum().backward()
                optimizer.step()
                optimizer.zero_grad()
                step += 1
                if told is not None and time.monotonic() - said > SECONDS:
                    said = time.monotonic()
                    told(f"exit heads: step {step:,} of {steps:,}")


@contextmanager
def _exits_alone(model: HierarchicalModel) -> Iterator[None]:
    """Inside, exit heads alone are in training and move; afterwards all is as it was before."""
    modes = {module: module.training for module in model.modules()}
    moving = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.eval()
    model.requires_grad_(False)
    model.exits.train().requires_grad_(True)
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for parameter, moves in moving.items():
            parameter.requires_grad = moves


def _batches(places: np.ndarray, lengths: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Places in order, cut into batches of at most `TOKENS` pieces; at most so many, 0 for all."""
    begin, size, count = 0, 0, 0
    for at, length in enumerate(lengths[places].tolist()):
        if at > begin and size + length > TOKENS:
            yield places[begin:at]
            begin, size, count = at, 0, count + 1
            if count == most > 0:
                return
        size += length
    if begin < len(places):
        yield places[begin:]
