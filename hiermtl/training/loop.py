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
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from torch import nn

from hiermtl.atomic import write_whole
from hiermtl.errors import ModelError, RunError
from hiermtl.folders import CHECKPOINTS, LOG, SKIPPED
from hiermtl.model import HierarchicalModel
from hiermtl.seeding import untouched
from hiermtl.sharing import Sharing
from hiermtl.tokens import Collator, Tokenizer
from hiermtl.training.balancing import Balancer, make_balancer
from hiermtl.training.causes import UNKNOWN, Cause, search
from hiermtl.training.checkpoint import (
    Checkpoint,
    drop_above,
    load_checkpoint,
    newest_checkpoint,
    part_of,
    prune_checkpoints,
    save_checkpoint,
)
from hiermtl.training.compiling import compiled
from hiermtl.training.examples import Examples
from hiermtl.training.guard import Guard
from hiermtl.training.leash import Leash
from hiermtl.training.log import Log, Means
from hiermtl.training.optimizer import (
    carry,
    freeze,
    make_optimizer,
    optimizer_state,
    rates_of,
    restore_optimizer,
    set_rates,
)
from hiermtl.training.plan import BatchPlan
from hiermtl.training.progress import Progress
from hiermtl.training.replicas import Replicas
from hiermtl.training.sampling import TaskPlan
from hiermtl.training.settings import Settings
from hiermtl.training.shards import make_shards
from hiermtl.training.step import Stepper, TrainingStep
from hiermtl.training.stopping import BrokenOffError, Stopping
from hiermtl.training.watch import Watch
from hiermtl.training.world import LONGEST, begin_alike, of_first

BACKEND = "HIERMTL_BACKEND"
"""The variable that says how processes exchange tensors, where that is not left to torch."""


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
    from the newest checkpoint that is whole. `settings.precision` must be resolved. Asked to end by
    SIGTERM or SIGINT, it writes a checkpoint and ends as the signal would have made it.

    Raises RunError when too many steps in a row have no number as their gradient, when memory is
    out or a disk is full, ModelError when the checkpoint is of another model.
    """
    accelerator = accelerator or make_accelerator()
    checkpoints = folder / CHECKPOINTS
    if settings.precision == "fp64":
        model.double()
    model.to(accelerator.device)
    found = None
    if resume:
        found, passed = newest_checkpoint(checkpoints)
        for sentence in passed:
            accelerator.print(f"passed over: {sentence}", file=sys.stderr)
        if passed and found is None:
            raise ModelError(
                f"no checkpoint in {checkpoints} is whole; copy one again, or train anew into "
                "another folder"
            )
    if found is not None:
        _restore(model, found)
    freeze(model, settings.freeze_from, settings.freeze_below)
    model.recompute_blocks = settings.recompute_blocks
    weights = {task.name: task.weight for task in model.hierarchy}
    balancer = make_balancer(settings, weights)
    balancer.to(model.device, model.dtype)
    begin_alike(
        model,
        examples.lengths,
        (model.config.to_json_string(), settings, None if found is None else found.state),
    )
    if found is not None and accelerator.is_main_process:
        # Those above it are broken; new ones of lower numbers must not be taken for older.
        drop_above(checkpoints, found.folder)
    whole = TrainingStep(model, balancer)
    replicas = make_shards(whole, settings) or Replicas(whole)
    trained = replicas.trained
    optimizer = make_optimizer(trained.model, settings, balancer)
    half = settings.precision == "fp16"
    guard = Guard(accelerator.device, half=half, most=settings.max_skipped)
    plan = make_plan(model, tokenizer, examples, settings)
    leash = make_leash(trained.model, plan)
    history = History()
    if found is None:
        trained.model.sharing.begin(trained.model.stack, trained.model.heads)
    if found is not None:
        balancer.load_state_dict(part_of(found.beside, "balancing"))
        guard.load_state_dict(part_of(found.beside, "guard"))
        restore_optimizer(trained, optimizer, found.optimizer)
        if leash is not None:
            leash.restore(part_of(found.beside, "anchors"))
        trained.model.sharing.anchors = {
            name: anchor.to(model.device)
            for name, anchor in part_of(found.beside, "sharing").items()
        }
        history = History(**found.state)
    total = settings.steps(plan.steps_per_epoch)
    stepper = Stepper(
        replicas, optimizer, accelerator, guard, examples, settings, leash, total=total
    )
    log = Log(folder / LOG, accelerator, start=history.step)
    bar = progress(total, start=history.step)
    with (
        Stopping() as stopping,
        Watch(settings.timeout) as watch,
        compiled(trained.model, wanted=settings.compile, again=balancer.apart) as recompile,
        contextlib.closing(bar),
    ):
        training = _Training(
            stepper,
            tokenizer,
            plan,
            total,
            history,
            evaluate,
            folder,
            log,
            bar,
            stopping,
            watch,
            recompile,
        )
        training.run()
    replicas.hand_back()
    accelerator.wait_for_everyone()
    best = checkpoints / "best"
    if evaluate is not None and best.exists():
        _restore(model, load_checkpoint(best))
    model.eval()
    return history


class _Training:
    """A run on its way: steps, what is told of them, evaluations and checkpoints."""

    def __init__(
        self,
        stepper: Stepper,
        tokenizer: Tokenizer,
        plan: BatchPlan | TaskPlan,
        total: int,
        history: History,
        evaluate: Callable[[HierarchicalModel], Evaluation] | None,
        folder: Path,
        log: Log,
        bar: Progress,
        stopping: Stopping,
        watch: Watch,
        recompile: Callable[[], None],
    ) -> None:
        self.stepper, self.tokenizer, self.plan, self.total = stepper, tokenizer, plan, total
        self.history, self.evaluate, self.folder = history, evaluate, folder
        self.log, self.bar, self.stopping, self.watch = log, bar, stopping, watch
        self.recompile = recompile
        self.settings, self.accelerator = stepper.settings, stepper.accelerator
        self.replicas, self.guard = stepper.replicas, stepper.guard
        self.trained = self.replicas.trained
        self.model = self.trained.model
        self.losses, self.penalties = Means(), Means()
        self.kept = 0
        self.began = time.monotonic()
        self.collate = self._collator()

    def run(self) -> None:
        """To the last step, or to the end of patience, or until it is asked to end."""
        history = self.history
        before = history.seconds
        try:
            # It was broken off in an evaluation.
            if history.step and self._judges() and not self._judged():
                self._judge()
            while history.step < self.total and not history.finished:
                with self.watch.at(history.step):
                    self._end_if_asked()
                    self._step()
                    self._tell()
                if self._judges():
                    self._judge()
                if self._keeps() and history.step < self.total:
                    self._save()
            self._end_if_asked()
        finally:
            history.seconds = before + time.monotonic() - self.began

    @property
    def epoch(self) -> float:
        """How many times examples have been seen."""
        return self.history.step / self.plan.steps_per_epoch

    def _step(self) -> None:
        history, plan, model, settings = self.history, self.plan, self.model, self.settings
        step = history.step
        self.rate = set_rates(
            self.stepper.optimizer,
            step,
            total=self.total,
            warmup=settings.warmup,
            decay=settings.sampling.rate_decay,
            epoch=step // plan.steps_per_epoch,
        )
        chosen, task = plan.step(step), plan.task(step)
        leash = self.stepper.leash
        if leash is not None and task is not None and plan.opens_phase(step):
            leash.opens(task)
        losses = self.stepper.take(self.collate, chosen, step=step, task=task)
        sharing = model.sharing
        # Asking whether the step moved makes a device wait: it is asked of few schemes.
        if type(sharing).after_step is not Sharing.after_step and not self.guard.bad:
            sharing.after_step(
                model.stack, model.heads, step, rates=rates_of(self.stepper.optimizer)
            )
        edit = sharing.propose(model.stack, step, done=(step + 1) / self.total)
        if edit is not None:
            model.restructured()
            beside = self.trained.balancer.parameters()
            carry(self.stepper.optimizer, model, edit, beside=beside)
            if leash is not None and task is not None:
                leash.follow(edit, task)
            self.replicas.restructured()
            self.recompile()
            self.collate = self._collator()
            if edit.another:
                history.best_main, history.since_best = None, 0
        history.step = step + 1
        self.losses.add(losses, good=1 - self.guard.bad)
        self.penalties.add(self.trained.penalties, good=1 - self.guard.bad)
        read = int(self.stepper.examples.words[chosen].sum())
        history.words += read
        self.bar.advance(read)

    def _tell(self, *, ending: bool = False) -> None:
        """Tells of losses, and of steps that were left out.

        No score and no checkpoint is made of weights that went wrong, and no step goes unlogged.
        """
        step, shown = self.history.step, self.bar.due()
        weighed = ending or self._judges() or self._keeps()
        left_out = []
        if weighed or step % self.guard.every == 0:
            left_out = self.guard.look()
            for bad in left_out:
                self._set_aside(bad)
            self.guard.check_row(
                self.folder / SKIPPED, search=self._cause, remedies=self.model.sharing.remedies
            )
        if weighed:
            _check_finite(self.trained, step)
        if not (shown or weighed or left_out):
            return
        mean, penalties = self.losses.taken(), self.penalties.taken()
        if shown:
            self.bar.show(step, epoch=self.epoch, losses=mean)
        for bad in left_out:
            cause = self.guard.causes.get(bad) or "its gradient is no number"
            self.bar.say(f"step {bad + 1} left out: {cause}")
        self.log.write(
            step=step,
            losses=mean,
            **({"penalties": penalties} if penalties else {}),
            rate=self.rate,
            words_per_second=self.bar.words_per_second,
            **_factors(self.trained.balancer, step - 1),
            **({"skipped": [bad + 1 for bad in left_out]} if left_out else {}),
        )

    def _cause(self, step: int) -> Cause:
        """What is no number in a step that was left out; the same in all processes."""
        known = of_first(self.guard.causes.get(step, UNKNOWN))
        chosen, task = self.plan.step(step), self.plan.task(step)
        return known or search(self.stepper, self.collate, chosen, step=step, task=task)

    def _set_aside(self, step: int) -> None:
        """Writes down what a step that was left out trained on."""
        if not self.accelerator.is_main_process:
            return
        examples, chosen = self.stepper.examples, self.plan.step(step)
        found = [{"corpus": c, "number": n} for c, n in map(examples.place, chosen.tolist())]
        cause = self.guard.causes.get(step, UNKNOWN)
        strange = {"losses": list(cause.tasks), "penalties": list(cause.terms)}
        batch = {"step": step + 1, "task": self.plan.task(step), **strange, "examples": found}
        file = self.folder / SKIPPED / f"step-{step + 1}.json"
        file.parent.mkdir(exist_ok=True)
        write_whole(file, json.dumps(batch) + "\n")

    def _judges(self) -> bool:
        """Whether the model is scored on dev at this step."""
        every = self.plan.steps_per_epoch * self.settings.evaluate_every
        return self.history.step % every == 0 or self.history.step == self.total

    def _keeps(self) -> bool:
        """Whether a checkpoint is due at this step."""
        every = self.settings.checkpoint_every
        return self._judges() or (every is not None and self.history.step % every == 0)

    def _judged(self) -> bool:
        """Whether it was scored at this step."""
        last = self.history.evaluations[-1:]
        return bool(last) and last[0]["step"] == self.history.step

    def _judge(self) -> None:
        """Scores dev, remembers the best weights, and says when patience is at an end."""
        history = self.history
        if self.evaluate is None:
            return
        result = None
        self.watch.doing("evaluating")
        with (
            contextlib.suppress(BrokenOffError),
            self.replicas.evaluated() as model,
            self.stopping.breaking_off(),
        ):
            result = self.evaluate(model)
        # One process may have been asked to end before another was done.
        with self.watch.at(history.step, "waiting for evaluations"):
            asked = self.stopping.asked()
        if asked or result is None:
            return
        main = of_first(result.main)
        better = history.best_main is None or main > history.best_main
        history.since_best = 0 if better else history.since_best + 1
        history.evaluations.append(
            {"epoch": self.epoch, "step": history.step, "main": main, "rows": result.rows}
        )
        self.log.write(step=history.step, epoch=self.epoch, main=main, rows=result.rows)
        self.bar.say(f"epoch {self.epoch:g}  dev {result.text}{'  (best)' if better else ''}")
        if better:
            history.best, history.best_main = history.step, main
            weights = self.replicas.whole(self.model.state_dict())
            if self.accelerator.is_main_process:
                place, state = self.folder / CHECKPOINTS / "best", {"step": history.step}
                save_checkpoint(place, self.model.config, weights, state=state)
        patience = self.settings.patience
        ended = patience is not None and history.since_best >= patience
        history.finished = ended and self.model.sharing.settled

    def _save(self) -> None:
        """Writes a checkpoint."""
        self.watch.doing("writing a checkpoint")
        self.kept = self.history.step
        began = time.monotonic()
        history, leash, whole = self.history, self.stepper.leash, self.replicas.whole
        weights = whole(self.model.state_dict())
        optimizer = whole(optimizer_state(self.trained, self.stepper.optimizer))
        anchors = whole({} if leash is None else leash.anchors)
        remembered = whole(self.model.sharing.anchors)
        if not self.accelerator.is_main_process:
            return
        seconds = history.seconds + time.monotonic() - self.began
        checkpoints = self.folder / CHECKPOINTS
        save_checkpoint(
            checkpoints / f"step-{history.step}",
            self.model.config,
            weights,
            optimizer=optimizer,
            state={**_plain(history), "seconds": seconds},
            beside={
                "anchors": anchors,
                "balancing": self.trained.balancer.state_dict(),
                "guard": self.guard.state_dict(),
                "sharing": remembered,
            },
        )
        prune_checkpoints(checkpoints, self.settings.keep_checkpoints)
        taken = time.monotonic() - began
        self.log.write(step=history.step, checkpoint_seconds=round(taken, 3))

    def _end_if_asked(self) -> None:
        """Writes a checkpoint and ends, when a process was asked to."""
        number = self.stopping.asked()
        if not number:
            return
        if self.history.step and self.history.step != self.kept:
            if self.losses:
                self._tell(ending=True)
            self._save()
        self.accelerator.wait_for_everyone()
        self.bar.say(f"ended at step {self.history.step}; go on with --resume")
        self.stopping.leave(number)

    def _collator(self) -> Collator:
        return Collator(
            self.tokenizer,
            self.model.routes.depths(),
            flat=self.settings.flat,
            device=self.accelerator.device,
        )


def make_plan(
    model: HierarchicalModel, tokenizer: Tokenizer, examples: Examples, settings: Settings
) -> BatchPlan | TaskPlan:
    """Which examples make which step, and whom each step serves."""
    lengths, size = examples.lengths, settings.tokens_per_batch
    special = len(tokenizer.prefix) + len(tokenizer.suffix)
    if settings.sampling.rule == "mixed":
        return BatchPlan(lengths, size, seed=settings.seed, special=special)
    # A task comes behind those whose predictions it reads.
    order = sorted(model.hierarchy.names, key=lambda name: len(model.routes[name].tasks))
    order.sort(key=lambda name: model.hierarchy[name].depth)
    return TaskPlan(
        lengths,
        examples.items,
        size,
        order=order,
        sampling=settings.sampling,
        epochs=settings.epochs,
        seed=settings.seed,
        special=special,
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
    found = os.environ.get(BACKEND)
    # How long a step may take is watched by the loop; encoding a corpus may take hours.
    handlers: list[Any] = [InitProcessGroupKwargs(backend=found, timeout=LONGEST)]
    on_processor = not torch.accelerator.is_available()
    return Accelerator(cpu=on_processor, mixed_precision="no", kwargs_handlers=handlers, **options)


def _restore(model: HierarchicalModel, found: Checkpoint) -> None:
    """Weights, and the structure they belong to."""
    now = json.loads(model.config.to_json_string())
    other = [key for key in ("encoder", "tasks") if found.config.get(key) != now[key]]
    if other:
        raise ModelError(
            f"the checkpoint {found.folder} has another {' and another '.join(other)} than the "
            "recipe gives now, because its corpora or the version of hiermtl have changed; train "
            "anew into another folder"
        )
    if found.config["sharing"] != now["sharing"]:
        model.rebuild(found.config["sharing"])
    model.load_state_dict(dict(found.weights))


def _plain(history: History) -> dict[str, Any]:
    return {name: getattr(history, name) for name in History.__slots__}


def _factors(balancer: Balancer, step: int) -> dict[str, Any]:
    found = balancer.factors(step)
    return {"factors": found} if found else {}


def _check_finite(trained: nn.Module, step: int) -> None:
    """Raises RunError when a weight is no number."""
    for name, value in trained.named_parameters():
        if not bool(value.isfinite().all()):
            raise RunError(
                f"by step {step} weight {name} is not a number; lower training.lr or "
                "training.lr_heads, or set training.precision=fp32, and train again into another "
                "folder"
            )
