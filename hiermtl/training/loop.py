"""The training loop: plan, step, evaluate, checkpoint.

Read it from top to bottom. A step's examples come from the plan; each process takes its share, cuts it into pieces,
adds up gradients, and the optimizer moves once. A task's loss is divided by its labelled items in the whole step, over
all processes and pieces, so that how a step is cut does not change its gradient. Heads and blocks a step does not use
keep `None` as gradient and do not move.

Every step draws its dropout from a seed made of (seed, step, process, piece), so that a run resumed at a step goes on
exactly as the unbroken one.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from hiermtl.errors import RunError
from hiermtl.model import HierarchicalModel
from hiermtl.records import Batch
from hiermtl.seeding import derived_seed
from hiermtl.tokens import Collator, Tokenizer
from hiermtl.training.checkpoint import (
    Checkpoint,
    checkpoint_folders,
    load_checkpoint,
    newest_checkpoint,
    prune_checkpoints,
    restore_optimizer,
    save_checkpoint,
)
from hiermtl.training.examples import Examples
from hiermtl.training.optimizer import carry, freeze, make_optimizer, set_rates
from hiermtl.training.plan import BatchPlan, shares
from hiermtl.training.progress import Progress
from hiermtl.training.settings import Settings


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What judging the model on dev gave: the number that is to grow, and rows for the log."""

    main: float
    rows: list[dict[str, Any]]
    text: str


@dataclass(slots=True)
class History:
    """How a run went. `evaluations` hold epoch, main score and rows; `best` is the step of the best one."""

    step: int = 0
    best: int = 0
    best_main: float = -math.inf
    since_best: int = 0
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    finished: bool = False


class TrainingStep(nn.Module):
    """The model with its losses, as one module: what accelerate wraps and what processes run alike."""

    def __init__(self, model: HierarchicalModel) -> None:
        """Takes the bare model."""
        super().__init__()
        self.model = model

    def forward(
        self, batch: Batch, items: Mapping[str, int], *, penalties: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to descend, and each task's loss per item of the whole step, detached.

        `items` are the labelled items per task of the whole step; `penalties` adds the scheme's terms on weights, which
        must happen once per step.
        """
        losses = self.model.losses(batch, self.model(batch))
        shares = {task: loss / items[task] for task, loss in losses.items()}
        terms = [self.model.hierarchy[task].weight * share for task, share in shares.items()]
        if penalties:
            terms += self.model.sharing.penalties(self.model.stack).values()
        total = torch.stack(terms).sum() if terms else torch.zeros((), requires_grad=True)
        return total, {task: share.detach() for task, share in shares.items()}


def train_model(
    model: HierarchicalModel,
    tokenizer: Tokenizer,
    examples: Examples,
    settings: Settings,
    *,
    folder: Path,
    evaluate: Callable[[HierarchicalModel], Evaluation] | None = None,
    accelerator: Accelerator | None = None,
    resume: bool = False,
    progress: Callable[..., Progress] = Progress,
) -> History:
    """Trains the model in place and leaves it with the best weights seen on dev (the last ones without `evaluate`).

    Checkpoints go to `folder/checkpoints`, the log to `folder/log.jsonl`. With `resume` it goes on from the newest
    checkpoint that is whole. `settings.precision` must be resolved.

    Raises RunError when the loss is no longer a number or a disk is full.
    """
    accelerator = accelerator or make_accelerator(settings)
    checkpoints = folder / "checkpoints"
    freeze(model, settings.freeze_below)
    if settings.precision == "fp64":
        model.double()
    history = History()
    model.to(accelerator.device)
    optimizer = make_optimizer(model, settings)
    if resume:
        found, passed = newest_checkpoint(checkpoints)
        for sentence in passed:
            accelerator.print(f"passed over: {sentence}")
        if found is not None:
            history = _restore(model, optimizer, found)
    wrapped = accelerator.prepare(TrainingStep(model))
    plan = BatchPlan(
        examples.lengths + len(tokenizer.prefix) + len(tokenizer.suffix), settings.tokens_per_batch, seed=settings.seed
    )
    collate = Collator(tokenizer, model.routes.depths(), flat=settings.flat, device=accelerator.device)
    total = settings.epochs * plan.steps_per_epoch
    total = total if settings.max_steps is None else min(total, settings.max_steps)
    outside, began = torch.random.get_rng_state(), time.monotonic()
    bar = progress(total, start=history.step)
    log = Log(folder / "log.jsonl", accelerator)
    sums: dict[str, Tensor] = {}
    counted = 0
    try:
        while history.step < total and not history.finished:
            step = history.step
            rate = set_rates(optimizer, step, total=total, warmup=settings.warmup)
            chosen = plan.step(step)
            losses = _step(wrapped, optimizer, accelerator, collate, examples, chosen, step=step, settings=settings)
            model.sharing.after_step(model.stack, step)
            edit = model.sharing.propose(model.stack, step)
            if edit is not None:
                model.restructured()
                carry(optimizer, model, edit)
                collate = Collator(tokenizer, model.routes.depths(), flat=settings.flat, device=accelerator.device)
            history.step = step + 1
            for task, loss in losses.items():
                sums[task] = sums[task] + loss if task in sums else loss
            counted += 1
            bar.advance(int(examples.words[chosen].sum()))
            if bar.due():
                mean = {task: float(loss) / counted for task, loss in sums.items()}
                bar.show(history.step, epoch=history.step / plan.steps_per_epoch, losses=mean)
                log.write(step=history.step, losses=mean, rate=rate, words_per_second=bar.words_per_second)
                _check_finite(mean, history.step)
                sums, counted = {}, 0
            ends_epoch = history.step % (plan.steps_per_epoch * settings.evaluate_every) == 0
            last = history.step == total
            if evaluate is not None and (ends_epoch or last):
                _check_finite({task: float(loss) for task, loss in sums.items()}, history.step)
                epoch = history.step / plan.steps_per_epoch
                _judge(model, evaluate, history, checkpoints, accelerator, settings, epoch=epoch, say=bar.say, log=log)
            due = settings.checkpoint_every and history.step % settings.checkpoint_every == 0
            if (ends_epoch or due) and not last and accelerator.is_main_process:
                place = checkpoints / f"step-{history.step}"
                save_checkpoint(place, model, optimizer=optimizer, state=_plain(history))
                prune_checkpoints(checkpoints, settings.keep_checkpoints)
    finally:
        bar.close()
        torch.random.set_rng_state(outside)
        history.seconds += time.monotonic() - began
    accelerator.wait_for_everyone()
    best = checkpoints / "best"
    if evaluate is not None and best.exists():
        model.load_state_dict(dict(load_checkpoint(best).weights))
    model.eval()
    return history


def make_accelerator(settings: Settings) -> Accelerator:
    """accelerate, with the mixed precision of the settings; bf16 keeps weights in fp32."""
    return Accelerator(mixed_precision="bf16" if settings.precision == "bf16" else "no")


def _step(
    wrapped: nn.Module,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    collate: Collator,
    examples: Examples,
    chosen: np.ndarray,
    *,
    step: int,
    settings: Settings,
) -> dict[str, Tensor]:
    """One optimizer step over these examples; returns each task's loss per labelled item on this process."""
    items = {task: int(counts[chosen].sum()) for task, counts in examples.items.items()}
    items = {task: count for task, count in items.items() if count}
    world, rank = accelerator.num_processes, accelerator.process_index
    parts = shares(chosen, examples.lengths, parts=world * settings.accumulation)
    own = [part for part in parts[rank::world] if len(part)]
    wrapped.train()
    optimizer.zero_grad(set_to_none=True)
    losses: dict[str, Tensor] = {}
    for place, part in enumerate(own):
        torch.manual_seed(derived_seed(settings.seed, "step", step, rank, place))
        batch = collate(examples.fetch(part))
        with accelerator.autocast():
            total, each = wrapped(batch, items, penalties=place == 0)
        # Data-parallel wrappers average gradients over processes; the loss is already over all of them.
        accelerator.backward(total * world)
        for task, loss in each.items():
            losses[task] = losses[task] + loss if task in losses else loss
    if settings.clip:
        accelerator.clip_grad_norm_(wrapped.parameters(), settings.clip)
    optimizer.step()
    return losses


def _judge(
    model: HierarchicalModel,
    evaluate: Callable[[HierarchicalModel], Evaluation],
    history: History,
    checkpoints: Path,
    accelerator: Accelerator,
    settings: Settings,
    *,
    epoch: float,
    say: Callable[[str], None],
    log: "Log",
) -> None:
    """Scores dev, remembers the best weights, and says when patience is at an end."""
    result = evaluate(model)
    better = result.main > history.best_main
    history.since_best = 0 if better else history.since_best + 1
    history.evaluations.append({"epoch": epoch, "step": history.step, "main": result.main, "rows": result.rows})
    log.write(step=history.step, epoch=epoch, main=result.main, rows=result.rows)
    say(f"epoch {epoch:g}  dev {result.text}{'  (best)' if better else ''}")
    if better:
        history.best, history.best_main = history.step, result.main
        if accelerator.is_main_process:
            save_checkpoint(checkpoints / "best", model, optimizer=None, state={"step": history.step})
    history.finished = settings.patience is not None and history.since_best >= settings.patience


def _restore(model: HierarchicalModel, optimizer: torch.optim.Optimizer, found: Checkpoint) -> History:
    model.load_state_dict(dict(found.weights))
    restore_optimizer(model, optimizer, found.optimizer)
    return History(**found.state)


def _plain(history: History) -> dict[str, Any]:
    return {name: getattr(history, name) for name in History.__slots__}


def _check_finite(losses: Mapping[str, float], step: int) -> None:
    bad = [task for task, loss in losses.items() if not math.isfinite(loss)]
    if bad:
        raise RunError(
            f"at step {step} the loss of {', '.join(bad)} is not a number; lower training.lr or training.lr_heads, or "
            "set training.precision=fp32, and resume from the last checkpoint"
        )


class Log:
    """One JSON object a line, on the main process alone; also passed to accelerate's trackers."""

    def __init__(self, path: Path, accelerator: Accelerator) -> None:
        """Appends to `path`."""
        self._path, self._accelerator = path, accelerator
        if accelerator.is_main_process:
            path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, *, step: int, **values: Any) -> None:
        """One entry at a step."""
        if not self._accelerator.is_main_process:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        self._accelerator.log(_flat(values), step=step)


def _flat(values: Mapping[str, Any]) -> dict[str, float]:
    """Names as trackers show them: `train/<task>/loss`, `eval/<task>/<metric>`."""
    out: dict[str, float] = {}
    for name, value in values.items():
        if name == "losses":
            out |= {f"train/{task}/loss": loss for task, loss in value.items()}
        elif name == "rows":
            out |= {f"eval/{row['task']}/{row['metric']}": row["score"] for row in value}
        elif isinstance(value, int | float):
            out[f"train/{name}"] = value
    return out


__all__ = ["Evaluation", "History", "TrainingStep", "checkpoint_folders", "make_accelerator", "train_model"]
