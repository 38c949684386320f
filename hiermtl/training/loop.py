"""The training loop: plan, step, evaluate, checkpoint.

Read it from top to bottom. A step's examples come from the plan; each process takes its share, cuts
it into pieces, adds up gradients, and the optimizer moves once. A task's loss is divided by its
labelled items in the whole step, over all processes and pieces, so that how a step is cut does not
change its gradient. Heads and blocks a step does not use keep `None` as gradient and do not move.

Every step draws its dropout from a seed made of (seed, step, process, piece), so that a run resumed
at a step goes on exactly as the unbroken one.
"""

import contextlib
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from hiermtl.errors import ModelError, RunError
from hiermtl.model import HierarchicalModel
from hiermtl.seeding import untouched
from hiermtl.tokens import Collator, Tokenizer
from hiermtl.training.balancing import BALANCERS, Balancer
from hiermtl.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    newest_checkpoint,
    part_of,
    prune_checkpoints,
    restore_optimizer,
    save_checkpoint,
)
from hiermtl.training.examples import Examples
from hiermtl.training.leash import Leash
from hiermtl.training.optimizer import carry, freeze, make_optimizer, set_rates
from hiermtl.training.plan import BatchPlan
from hiermtl.training.progress import Progress
from hiermtl.training.replicas import Replicas
from hiermtl.training.sampling import TaskPlan
from hiermtl.training.settings import Settings
from hiermtl.training.step import TrainingStep, run_step


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What judging the model on dev gave: the number that is to grow, and rows for the log."""

    main: float
    rows: list[dict[str, Any]]
    text: str


@dataclass(slots=True)
class History:
    """How a run went. `evaluations` hold epoch, main score and rows.

    `best` is the step of the best one; `words` those of all steps' sentences.
    """

    step: int = 0
    words: int = 0
    best: int = 0
    best_main: float | None = None
    since_best: int = 0
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    finished: bool = False


@untouched()
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
    """Trains the model in place; it keeps the best weights on dev (without `evaluate`, the last).

    Checkpoints go to `folder/checkpoints`, the log to `folder/log.jsonl`. With `resume` it goes on
    from the newest checkpoint that is whole. `settings.precision` must be resolved.

    Raises RunError when the loss is no longer a number or a disk is full, ModelError when the
    checkpoint is of another model.
    """
    accelerator = accelerator or make_accelerator()
    checkpoints = folder / "checkpoints"
    if settings.precision == "fp64":
        model.double()
    model.to(accelerator.device)
    found = None
    if resume:
        found, passed = newest_checkpoint(checkpoints)
        for sentence in passed:
            accelerator.print(f"passed over: {sentence}", file=sys.stderr)
    if found is not None:
        _restore(model, found)
    freeze(model, settings.freeze_from, settings.freeze_below)
    model.recompute_blocks = settings.recompute_blocks
    weights = {task.name: task.weight for task in model.hierarchy}
    balancer = BALANCERS[settings.balancing](weights, seed=settings.seed).to(
        model.device, model.dtype
    )
    trained = TrainingStep(model, balancer)
    optimizer = make_optimizer(model, settings, balancer)
    history = History()
    if found is not None:
        balancer.load_state_dict(part_of(found.beside, "balancing"))
        restore_optimizer(trained, optimizer, found.optimizer)
        history = History(**found.state)
    replicas = Replicas(trained)
    plan = make_plan(model, tokenizer, examples, settings)
    leash = make_leash(model, plan)
    if leash is not None and found is not None:
        leash.restore(part_of(found.beside, "anchors"))
    collate = Collator(
        tokenizer, model.routes.depths(), flat=settings.flat, device=accelerator.device
    )
    total = settings.epochs * plan.steps_per_epoch
    total = total if settings.max_steps is None else min(total, settings.max_steps)
    began = time.monotonic()
    bar = progress(total, start=history.step)
    log = Log(folder / "log.jsonl", accelerator, start=history.step)
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    try:
        while history.step < total and not history.finished:
            step = history.step
            rate = set_rates(
                optimizer,
                step,
                total=total,
                warmup=settings.warmup,
                decay=settings.sampling.rate_decay,
                epoch=step // plan.steps_per_epoch,
            )
            chosen, task = plan.step(step), plan.task(step)
            if leash is not None and task is not None and plan.opens_phase(step):
                leash.opens(task)
            losses = run_step(
                replicas,
                optimizer,
                accelerator,
                collate,
                examples,
                chosen,
                step=step,
                settings=settings,
                task=task,
                leash=leash,
            )
            model.sharing.after_step(model.stack, step)
            edit = model.sharing.propose(model.stack, step)
            if edit is not None:
                model.restructured()
                carry(optimizer, model, edit)
                replicas.restructured()
                collate = Collator(
                    tokenizer, model.routes.depths(), flat=settings.flat, device=accelerator.device
                )
            history.step = step + 1
            for task, loss in losses.items():
                sums[task] = sums[task] + loss if task in sums else loss
                counts[task] = counts.get(task, 0) + 1
            read = int(examples.words[chosen].sum())
            history.words += read
            bar.advance(read)
            epoch = history.step / plan.steps_per_epoch
            ends_epoch = history.step % (plan.steps_per_epoch * settings.evaluate_every) == 0
            last = history.step == total
            due = settings.checkpoint_every and history.step % settings.checkpoint_every == 0
            shown = bar.due()
            # No score and no checkpoint is made of weights that went wrong, and no step goes
            # unlogged.
            if shown or ends_epoch or due or last:
                mean = {task: float(loss) / counts[task] for task, loss in sums.items()}
                _check_finite(mean, trained if ends_epoch or due or last else None, history.step)
                if shown:
                    bar.show(history.step, epoch=epoch, losses=mean)
                log.write(
                    step=history.step,
                    losses=mean,
                    rate=rate,
                    words_per_second=bar.words_per_second,
                    **_factors(balancer, step),
                )
                sums, counts = {}, {}
            if evaluate is not None and (ends_epoch or last):
                _judge(
                    model,
                    evaluate,
                    history,
                    checkpoints,
                    accelerator,
                    settings,
                    epoch=epoch,
                    say=bar.say,
                    log=log,
                )
            if (ends_epoch or due) and not last and accelerator.is_main_process:
                place = checkpoints / f"step-{history.step}"
                state = {**_plain(history), "seconds": history.seconds + time.monotonic() - began}
                save_checkpoint(
                    place,
                    model,
                    trained=trained,
                    optimizer=optimizer,
                    state=state,
                    beside={
                        "anchors": {} if leash is None else leash.anchors,
                        "balancing": balancer.state_dict(),
                    },
                )
                prune_checkpoints(checkpoints, settings.keep_checkpoints)
    finally:
        bar.close()
        history.seconds += time.monotonic() - began
    accelerator.wait_for_everyone()
    best = checkpoints / "best"
    if evaluate is not None and best.exists():
        _restore(model, load_checkpoint(best))
    model.eval()
    return history


def make_plan(
    model: HierarchicalModel, tokenizer: Tokenizer, examples: Examples, settings: Settings
) -> BatchPlan | TaskPlan:
    """Which examples make which step, and whom each step serves."""
    lengths = examples.lengths + len(tokenizer.prefix) + len(tokenizer.suffix)
    if settings.sampling.rule == "mixed":
        return BatchPlan(lengths, settings.tokens_per_batch, seed=settings.seed)
    # A task comes behind those whose predictions it reads.
    order = sorted(model.hierarchy.names, key=lambda name: len(model.routes[name].tasks))
    order.sort(key=lambda name: model.hierarchy[name].depth)
    return TaskPlan(
        lengths,
        examples.items,
        settings.tokens_per_batch,
        order=order,
        sampling=settings.sampling,
        epochs=settings.epochs,
        seed=settings.seed,
    )


def make_leash(model: HierarchicalModel, plan: BatchPlan | TaskPlan) -> Leash | None:
    """What holds lower weights in a phase, where the plan has phases and the sampling asks."""
    if not isinstance(plan, TaskPlan):
        return None
    sampling = plan.sampling
    if not (sampling.successive or sampling.successive_heads):
        return None
    return Leash(model, plan.tasks, strength=sampling.successive, heads=sampling.successive_heads)


def make_accelerator(**options: Any) -> Accelerator:
    """`accelerate.Accelerator` with these options.

    Its mixed precision would hold for the whole process, so that a later run could have no other
    one; it is left out, and steps in bf16 do without (weights stay fp32). Processes started by
    `torchrun` on a machine without another device find each other only if told that it is one.
    """
    return Accelerator(cpu=not torch.accelerator.is_available(), mixed_precision="no", **options)


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
    better = history.best_main is None or result.main > history.best_main
    history.since_best = 0 if better else history.since_best + 1
    history.evaluations.append(
        {"epoch": epoch, "step": history.step, "main": result.main, "rows": result.rows}
    )
    log.write(step=history.step, epoch=epoch, main=result.main, rows=result.rows)
    say(f"epoch {epoch:g}  dev {result.text}{'  (best)' if better else ''}")
    if better:
        history.best, history.best_main = history.step, result.main
        if accelerator.is_main_process:
            save_checkpoint(checkpoints / "best", model, state={"step": history.step})
    history.finished = settings.patience is not None and history.since_best >= settings.patience


def _restore(model: HierarchicalModel, found: Checkpoint) -> None:
    """Weights, and the structure they belong to."""
    now = json.loads(model.config.to_json_string())
    other = [key for key in ("encoder", "tasks") if found.config.get(key) != now[key]]
    if other:
        raise ModelError(
            f"the checkpoint {found.folder} has another {' and another '.join(other)} than the "
            "recipe gives now, because its corpora have changed; train anew into another folder"
        )
    if found.config["sharing"] != now["sharing"]:
        model.rebuild(found.config["sharing"])
    model.load_state_dict(dict(found.weights))


def _plain(history: History) -> dict[str, Any]:
    return {name: getattr(history, name) for name in History.__slots__}


def _factors(balancer: Balancer, step: int) -> dict[str, Any]:
    found = balancer.factors(step)
    return {"factors": found} if found else {}


def _check_finite(losses: Mapping[str, float], trained: nn.Module | None, step: int) -> None:
    """Raises RunError when losses since the last look, or weights if given, are no numbers."""
    bad = [f"the loss of {task}" for task, loss in losses.items() if not math.isfinite(loss)]
    if not bad and trained is not None:
        named = trained.named_parameters()
        bad = [f"weight {name}" for name, value in named if not bool(value.isfinite().all())][:1]
    if bad:
        raise RunError(
            f"by step {step} {', '.join(bad)} is not a number; lower training.lr or "
            "training.lr_heads, or set training.precision=fp32, and train again into "
            "another folder"
        )


class Log:
    """One JSON object a line, on the main process alone; also passed to accelerate's trackers."""

    def __init__(self, path: Path, accelerator: Accelerator, *, start: int) -> None:
        """Appends to `path`, after cutting what a broken-off run wrote behind the step `start`."""
        self._path, self._accelerator = path, accelerator
        if accelerator.is_main_process:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                _cut(path, start)

    def write(self, *, step: int, **values: Any) -> None:
        """One entry at a step."""
        if not self._accelerator.is_main_process:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        except OSError as error:
            raise RunError(
                f"{self._path} cannot be written ({error.strerror}); make room and run again "
                f"with --resume"
            ) from error
        self._accelerator.log(_flat(values), step=step)


def _cut(path: Path, start: int) -> None:
    """Keeps the whole lines up to the step `start`.

    A process that was killed may have left half a line.
    """
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            if json.loads(line)["step"] <= start:
                kept.append(line + "\n")
    beside = path.with_name(f".{path.name}.partial")
    beside.write_text("".join(kept), encoding="utf-8")
    beside.replace(path)


def _flat(values: Mapping[str, Any]) -> dict[str, float]:
    """Names as trackers show them: `train/<task>/loss`, `eval/<task>/<metric>`.

    Of a task that is scored on several corpora, `eval/<task>/<metric>/<corpus>`.
    """
    out: dict[str, float] = {}
    for name, value in values.items():
        if name == "losses":
            out |= {f"train/{task}/loss": loss for task, loss in value.items()}
        elif name == "factors":
            out |= {f"train/{task}/factor": factor for task, factor in value.items()}
        elif name == "rows":
            data = {(row["task"], row["data"]) for row in value}
            often = Counter(task for task, _ in data)
            for row in value:
                place = f"eval/{row['task']}/{row['metric']}"
                out[f"{place}/{row['data']}" if often[row["task"]] > 1 else place] = row["score"]
        elif name == "main":
            out["eval/main"] = value
        elif isinstance(value, int | float):
            out[f"train/{name}"] = value
    return out
