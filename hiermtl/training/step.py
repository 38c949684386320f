"""One step of training: the losses of its pieces, their gradients, one move of the optimizer."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from hiermtl.errors import RunError
from hiermtl.model import HierarchicalModel
from hiermtl.records import Batch, Example, Group, HeadOutput
from hiermtl.seeding import derived_seed
from hiermtl.sharing import Sharing
from hiermtl.tokens import Collator
from hiermtl.training.balancing import Balancer
from hiermtl.training.examples import Examples
from hiermtl.training.gradients import BESIDE, WHOLE, Gradients
from hiermtl.training.guard import Guard
from hiermtl.training.leash import Leash
from hiermtl.training.plan import shares
from hiermtl.training.replicas import Replicas, nothing
from hiermtl.training.settings import AUTO, Settings
from hiermtl.training.world import agreed, alone

if TYPE_CHECKING:
    from hiermtl.training.shards import Shards

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""The number types in which blocks can compute while weights stay fp32."""

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
        self.penalties: dict[str, Tensor] = {}
        """The scheme's terms in the last pass that had them, detached."""

    def reach(self, tasks: Collection[str], *, beside: bool = True) -> dict[str, bool]:
        """The weights that tasks with labels can move, and whether they surely do.

        `beside`: whether terms on weights are among what moves them.

        Not sure are heads that are read, but serve none of the tasks, heads that judge what others
        find, which may be nothing, and what only terms on weights may reach.
        """
        model, names = self.model, [name for name, _ in self.named_parameters()]
        spared = tuple(
            f"{part}.{task}."
            for part in ("heads", "taps")
            for task in model.hierarchy.names
            if task not in tasks or model.head(task).reads_layer is not None
        )
        held = beside and type(model.sharing).penalties is not Sharing.penalties
        found = dict.fromkeys(names if held else (), False)
        for task in tasks:
            found |= {
                f"model.{name}": not name.startswith(spared)
                for name in model.depends_on(task, by_loss=True)
            }
        return found | {
            name: name.rpartition(".")[2] in tasks for name in names if name.startswith("balancer.")
        }

    def forward(
        self,
        batch: Batch,
        items: Mapping[str, int],
        *,
        step: int,
        once: bool,
        counted: Mapping[str, bool] | None = None,
        predicted: Collection[str] = (),
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What to descend, and each task's loss per item of the whole step, detached.

        The former is the whole loss, or, where the balancer wants gradients apart, each task's term
        and what stands beside them.

        `items` are the labelled items per task of the whole step; `once` adds the terms that do not
        depend on the batch, which must happen in one piece of a step. `counted` are the tasks that
        are to run, and whether their loss counts; by default all that have gold, and it does.
        `predicted` are those that read predictions where there is gold too.
        """
        terms, on_weights, told = self.parts(
            batch, items, step=step, once=once, counted=counted, predicted=predicted
        )
        if once:
            self.penalties = {name: term.detach() for name, term in on_weights.items()}
        beside = list(on_weights.values())
        if self.balancer.apart:
            return terms | ({BESIDE: torch.stack(beside).sum()} if beside else {}), told
        both = [*terms.values(), *beside]
        return {WHOLE: torch.stack(both).sum()} if both else {}, told

    def parts(
        self,
        batch: Batch,
        items: Mapping[str, int],
        *,
        step: int,
        once: bool,
        counted: Mapping[str, bool] | None = None,
        predicted: Collection[str] = (),
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Each task's term and each term on weights of what to descend, and losses.

        All as `forward` has them.
        """
        # What is computed first is derived last, and so, weight by weight, added to gradients that
        # are there already. Of several processes each sends a gradient once all of it is there.
        early = once and alone()
        on_weights = self._on_weights(batch) if early else {}
        asked = None if counted is None else {task: batch.annotated[task] for task in counted}
        outputs = self.model(batch, asked)
        losses = self.model.losses(batch, outputs, predicted=predicted)
        if self.training and self.model.sharing.observes:
            self.model.sharing.observe(self._margins(batch, outputs))
        if counted is not None:
            losses = {task: losses[task] * counts for task, counts in counted.items()}
        shares = {task: loss / items[task] for task, loss in losses.items() if task in items}
        terms = self.balancer(shares, step=step, own=items if once else ())
        if once and not early:
            on_weights = self._on_weights(batch)
        return terms, on_weights, {task: share.detach() for task, share in shares.items()}

    def _margins(
        self, batch: Batch, outputs: Mapping[str, HeadOutput]
    ) -> dict[str, tuple[np.ndarray, Tensor]]:
        """How hard the scheme is to find the examples of a pass."""
        model = self.model
        if model.sharing.needs_gold:
            return model.margins(batch, outputs)
        # Out of training: dropout is no doubt.
        model.eval()
        try:
            with torch.no_grad():
                return model.doubts(batch)
        finally:
            model.train()

    def _on_weights(self, batch: Batch) -> dict[str, Tensor]:
        """The scheme's terms; differences of nearly equal numbers, so never in half precision."""
        model = self.model
        with torch.autocast(batch.layout.device.type, enabled=False):
            return model.sharing.penalties(model.stack, model.heads)


@dataclass(slots=True)
class Stepper:
    """What a step of training is made with.

    `pieces` are those a process cuts its share into; with `accumulation` `auto` they are doubled
    when memory runs out. `total` is how many steps the training has.
    """

    replicas: "Replicas | Shards"
    optimizer: torch.optim.Optimizer
    accelerator: Accelerator
    guard: Guard
    examples: Examples
    settings: Settings
    leash: Leash | None = None
    pieces: int = 1
    total: int = 0
    beside: Tensor | None = None
    """The sum of the terms on weights of the last step, over all processes, where there are any."""

    def __post_init__(self) -> None:
        """Begins with the pieces that were asked for."""
        if self.settings.accumulation != AUTO:
            self.pieces = self.settings.accumulation

    def take(
        self, collate: Collator, chosen: np.ndarray, *, step: int, task: str | None = None
    ) -> dict[str, Tensor]:
        """One optimizer step; returns each task's loss per labelled item, over all processes.

        With `task` the step serves that task alone, whatever else its examples are annotated with.
        Processes may make different numbers of passes, or none. Where the gradient or a loss is no
        number, no weight moves.
        """
        trained, leash = self.replicas.trained, self.leash
        trained.train()
        self.optimizer.zero_grad(set_to_none=True)
        losses = self._descend(collate, chosen, step=step, task=task)
        apart = self.settings.sampling.decoupled
        if leash is not None and not apart:
            leash.add_gradient()
        clip: float = self.settings.clip
        if self.settings.sampling.clip_by_level and task is not None:
            clip = min(MOST_CLIP, trained.model.hierarchy.level(task))
        bad = self.guard.check(
            trained, losses, step=step, clip=clip, terms=trained.penalties, beside=self.beside
        )
        if leash is not None and apart and not bad:
            leash.pull(self.optimizer)
        fused = self.optimizer.defaults.get("fused")
        if fused:
            # It leaves weights and its own state alone without asking the device.
            self.optimizer.found_inf = bad  # pyright: ignore[reportAttributeAccessIssue]
        try:
            if fused or not bad:
                self.optimizer.step()
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise RunError(
                f"memory has run out for what the optimizer keeps of each weight, at step "
                f"{step + 1}; set training.shard=true with several processes, or take a smaller "
                "encoder"
            ) from None
        return losses

    def predicted(self, step: int) -> list[str]:
        """The tasks that read predictions in this step, not gold; the same for all processes."""
        done = step / max(1, self.total)
        drawn = np.random.default_rng(derived_seed(self.settings.seed, "predicted", step)).random()
        model = self.replicas.trained.model
        shares = {task: model.head(task).predicted for task in model.hierarchy.names}
        return [task for task, (a, b) in shares.items() if drawn < a + (b - a) * done]

    def _descend(
        self, collate: Collator, chosen: np.ndarray, *, step: int, task: str | None
    ) -> dict[str, Tensor]:
        """The gradients of a step, and its losses, over all processes."""
        accelerator = self.accelerator
        world = accelerator.num_processes
        items, every = self.shared_out(chosen, task)
        own = every[accelerator.process_index]
        trained = self.replicas.trained
        trained.penalties = {}
        sharing, apart = trained.model.sharing, trained.balancer.apart
        gradients = Gradients(trained.parameters())
        # What is kept apart is sent when all of it is there.
        with (
            contextlib.nullcontext(nothing) if apart else self.replicas.adding_up(items)
        ) as begin_last:
            while True:
                try:
                    sharing.pending = None
                    passes = list(self.passes(every, items))
                    losses = self._run(
                        collate, passes, items, gradients, begin_last, step=step, task=task
                    )
                    break
                except (RuntimeError, MemoryError) as error:
                    if not out_of_memory(error):
                        raise
                    gradients.forget()
                    self._cut_smaller(len(own), step=step)
        if apart:
            self._join(gradients, list(losses), step=step)
        else:
            self.guard.unscale(trained)
        self.beside = self._summed(trained)
        told = [*losses.values(), *(() if self.beside is None else (self.beside,))]
        if world > 1 and told:
            summed: Any = accelerator.reduce(torch.stack(told), "sum")
            losses = dict(zip(losses, summed.unbind(), strict=False))
            self.beside = None if self.beside is None else summed[-1]
        if world > 1 and sharing.observes:
            seen = sharing.unseen() if sharing.pending is None else sharing.pending
            added: Any = accelerator.reduce(seen, "sum")
            sharing.pending = added
        return losses

    def _summed(self, trained: TrainingStep) -> Tensor | None:
        """This process's sum of the terms on weights, where the scheme may have any."""
        if type(trained.model.sharing).penalties is Sharing.penalties:
            return None
        none = torch.zeros((), device=self.accelerator.device, dtype=self._precise)
        return sum((term.to(none) for term in trained.penalties.values()), start=none)

    @property
    def _precise(self) -> torch.dtype:
        """The type in which losses are added up."""
        return torch.promote_types(self.replicas.trained.model.dtype, torch.float32)

    def shared_out(
        self, chosen: np.ndarray, task: str | None
    ) -> tuple[dict[str, int], list[np.ndarray]]:
        """The labelled items of a step by task, and each process's examples."""
        examples = self.examples
        served = examples.items if task is None else {task: examples.items[task]}
        items = {name: int(counts[chosen].sum()) for name, counts in served.items()}
        items = {name: count for name, count in items.items() if count}
        return items, shares(chosen, examples.lengths, parts=self.accelerator.num_processes)

    def passes(self, every: Sequence[np.ndarray], items: Collection[str]) -> Iterator["Pass"]:
        """What this process computes of a step of which it knows everyone's share.

        Where all must run alike, each pass has the tasks that any process has in it: one without
        borrows the step's shortest example of the task.
        """
        examples, rank = self.examples, self.accelerator.process_index
        if not self.replicas.aligned:
            for piece in shares(every[rank], examples.lengths, parts=self.pieces):
                if len(piece):
                    yield Pass(piece)
            return
        cut = [shares(share, examples.lengths, parts=self.pieces) for share in every]
        whole = np.concatenate(every)
        whole = whole[np.argsort(examples.lengths[whole], kind="stable")]
        for pieces in zip(*cut, strict=True):
            there = [
                {task: bool(examples.items[task][piece].any()) for task in items}
                for piece in pieces
            ]
            ran = [task for task in items if any(own[task] for own in there)]
            counted = {task: there[rank][task] for task in ran}
            lent = {
                task: int(whole[examples.items[task][whole] > 0][0])
                for task, own in counted.items()
                if not own
            }
            if ran:
                yield Pass(pieces[rank], counted, lent)

    def _run(
        self,
        collate: Collator,
        passes: Sequence["Pass"],
        items: Mapping[str, int],
        gradients: Gradients,
        begin_last: Callable[[], None],
        *,
        step: int,
        task: str | None,
    ) -> dict[str, Tensor]:
        """Forward and backward over this process's share of a step, pass by pass."""
        settings, device = self.settings, self.accelerator.device
        rank, trained = self.accelerator.process_index, self.replicas.trained
        none = torch.zeros((), device=device, dtype=self._precise)
        # In one order in all processes.
        losses = {name: none for name in trained.model.hierarchy.names if name in items}
        for place, own in enumerate(passes):
            # What was sent could not be taken back if memory ran out later.
            if place == len(passes) - 1 and settings.accumulation != AUTO:
                begin_last()
            # The first process has the longest example, and so at least one pass.
            once = place == 0 and rank == 0
            with self.computing(step, place):
                parts, each = trained(
                    collate(self.fetched(own, task)),
                    items,
                    step=step,
                    once=once,
                    counted=own.counted,
                    predicted=self.predicted(step),
                )
            self._backward(parts, gradients)
            for name, loss in each.items():
                losses[name] = losses[name] + loss
        return losses

    @contextlib.contextmanager
    def computing(self, step: int, place: int) -> Iterator[None]:
        """Around a pass of a step: its own seed, and the number type."""
        settings, half = self.settings, HALVES.get(self.settings.precision)
        rank = self.accelerator.process_index
        torch.manual_seed(derived_seed(settings.seed, "step", step, rank, place))
        with torch.autocast(self.accelerator.device.type, half, enabled=half is not None):
            yield

    def fetched(self, own: "Pass", task: str | None) -> list[Example | Group]:
        """The examples of a pass, with what of them counts."""
        fetched = list(self.examples.fetch(own.examples.tolist()))
        fetched = fetched if task is None else [example.only(task) for example in fetched]
        lent = self.examples.fetch(list(own.lent.values()))
        return fetched + [e.only(name) for e, name in zip(lent, own.lent, strict=True)]

    def _backward(self, parts: dict[str, Tensor], gradients: Gradients) -> None:
        """Takes the parts of a loss backwards, one by one, and lets them go."""
        for part in list(parts):
            term = parts.pop(part)
            if term.requires_grad:
                gradients.turn_to(part)
                scaled = self.guard.scaled(term * self.replicas.factor)
                self.accelerator.backward(scaled, retain_graph=bool(parts))

    def _join(self, gradients: Gradients, tasks: Sequence[str], *, step: int) -> None:
        """Makes one gradient of those of tasks, the same in all processes."""
        trained, replicas = self.replicas.trained, self.replicas
        combine = trained.balancer.combine
        try:
            for part in (*tasks, BESIDE):
                gradients.turn_to(part)
                beside = part == BESIDE
                with replicas.adding_up(() if beside else (part,), beside=beside):
                    pass
                self.guard.unscale(trained)
            gradients.join(tasks, lambda rows, own: agreed(combine(rows, own, step=step)))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise RunError(
                f"memory has run out at step {step + 1} for the gradients of {len(tasks)} tasks, "
                f"which balancing {self.settings.balancing!r} keeps apart; take another one "
                "(balancing: static keeps one gradient), or a smaller encoder"
            ) from None

    def _cut_smaller(self, examples: int, *, step: int) -> None:
        """Begins a step anew in more pieces after memory ran out.

        Raises RunError where that was not asked for, or a piece is one example already.
        """
        self.optimizer.zero_grad(set_to_none=True)
        if self.accelerator.device.type == "cuda":
            torch.cuda.empty_cache()
        auto = self.settings.accumulation == AUTO
        if auto and self.pieces < examples:
            self.pieces *= 2
            return
        more = "" if auto else f"training.accumulation={AUTO} or {2 * self.pieces}, "
        raise RunError(
            f"memory has run out at step {step + 1}, whose {self.settings.tokens_per_batch} tokens "
            f"(training.tokens_per_batch) are computed in {self.pieces} "
            f"{'piece' if self.pieces == 1 else 'pieces'} per process; set {more}"
            "training.recompute_blocks=true, or more processes, which change no batch, or smaller "
            "batches, and train again into another folder"
        )


@dataclass(frozen=True, slots=True)
class Pass:
    """Examples of one pass.

    Where all processes run alike: which tasks run, whether their losses count, and an example that
    is borrowed for those that do not.
    """

    examples: np.ndarray
    counted: Mapping[str, bool] | None = None
    lent: Mapping[str, int] = field(default_factory=dict)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out, of a device or of the processor."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "can't allocate memory" in str(error)
