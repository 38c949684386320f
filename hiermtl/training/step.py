"""One step of training: the losses of its pieces, their gradients, one move of the optimizer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from hiermtl.model import HierarchicalModel
from hiermtl.records import Batch
from hiermtl.seeding import derived_seed
from hiermtl.tokens import Collator
from hiermtl.training.balancing import Balancer
from hiermtl.training.examples import Examples
from hiermtl.training.leash import Leash
from hiermtl.training.plan import shares
from hiermtl.training.settings import Settings

MOST_CLIP = 3
"""The largest norm of a gradient where it is clipped by level (Hashimoto et al. 2017)."""


class TrainingStep(nn.Module):
    """The model with its losses, as one module.

    What accelerate wraps and what processes run alike.
    """

    def __init__(self, model: HierarchicalModel, balancer: Balancer | None = None) -> None:
        """Takes the bare model, and what weighs its losses (default: the recipe's weights)."""
        super().__init__()
        self.model = model
        weights = {task.name: task.weight for task in model.hierarchy}
        self.balancer = balancer or Balancer(weights)

    def forward(
        self, batch: Batch, items: Mapping[str, int], *, step: int, once: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to descend, and each task's loss per item of the whole step, detached.

        `items` are the labelled items per task of the whole step; `once` adds the terms that do not
        depend on the batch, which must happen in one piece of a step.
        """
        losses = self.model.losses(batch, self.model(batch))
        shares = {task: loss / items[task] for task, loss in losses.items() if task in items}
        terms = self.balancer(shares, step=step, own=items if once else ())
        if once:
            # Terms on weights are differences of nearly equal numbers: never in half precision.
            with torch.autocast(batch.layout.device.type, enabled=False):
                model = self.model
                terms += model.sharing.penalties(model.stack, model.heads).values()
        total = torch.stack(terms).sum() if terms else torch.zeros((), requires_grad=True)
        return total, {task: share.detach() for task, share in shares.items()}


def run_step(
    wrapped: nn.Module,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    collate: Collator,
    examples: Examples,
    chosen: np.ndarray,
    *,
    step: int,
    settings: Settings,
    task: str | None = None,
    leash: Leash | None = None,
) -> dict[str, Tensor]:
    """One optimizer step; returns each task's loss per labelled item, over all processes.

    With `task` the step serves that task alone, whatever else its examples are annotated with.

    All processes make equally many passes, since data-parallel wrappers wait for each other in
    each: one without a piece of its own reads an example and counts it not at all.
    """
    served = examples.items if task is None else {task: examples.items[task]}
    items = {name: int(counts[chosen].sum()) for name, counts in served.items()}
    items = {name: count for name, count in items.items() if count}
    world, rank = accelerator.num_processes, accelerator.process_index
    parts = shares(chosen, examples.lengths, parts=world * settings.accumulation)
    own, *others = (
        [part for part in parts[(rank + n) % world :: world] if len(part)] for n in range(world)
    )
    passes = max(map(len, [own, *others]))
    half = settings.precision == "bf16"
    wrapped.train()
    optimizer.zero_grad(set_to_none=True)
    losses: dict[str, Tensor] = {}
    for place in range(passes):
        mine = place < len(own)
        torch.manual_seed(derived_seed(settings.seed, "step", step, rank, place))
        fetched = examples.fetch((own[place] if mine else chosen[:1]).tolist())
        batch = collate(fetched if task is None else [example.only(task) for example in fetched])
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=half):
            total, each = wrapped(batch, items, step=step, once=place == 0 and rank == 0)
        # Data-parallel wrappers average gradients over processes; the loss is already over all of
        # them.
        if total.requires_grad:
            accelerator.backward(total * (world if mine else 0))
        for name, loss in each.items() if mine else ():
            losses[name] = losses[name] + loss if name in losses else loss
    apart = settings.sampling.decoupled
    if leash is not None and not apart:
        leash.add_gradient()
    model = accelerator.unwrap_model(wrapped).model
    clip: float = settings.clip
    if settings.sampling.clip_by_level and task is not None:
        clip = min(MOST_CLIP, model.hierarchy.level(task))
    if clip:
        accelerator.clip_grad_norm_(model.parameters(), clip)
    if leash is not None and apart:
        leash.pull(optimizer)
    optimizer.step()
    if world > 1 and items:
        none = torch.zeros((), device=accelerator.device)
        summed: Any = accelerator.reduce(
            torch.stack([losses.get(name, none).float() for name in sorted(items)]), "sum"
        )
        losses = dict(zip(sorted(items), summed.unbind(), strict=True))
    return losses
