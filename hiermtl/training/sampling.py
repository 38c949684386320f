"""Whose batch is next: plans of steps that serve one task each.

All of them make as many steps an epoch as the tasks need to see each of their examples once:
samplers differ in how the same budget is shared out. Like `BatchPlan` they are pure functions of
seed and step number. A task's own examples come in its own order, every one once before any comes
again, whichever steps are the task's.

Source of the rules: proportional and tempered shares as in Stickland and Murray 2019 (BERT and
PALs), whose annealing starts at the shares of size and ends nearly flat; the cooldown
of Li et al. 2025 goes the other way; `bottom_up` is the order of Hashimoto et al. 2017 (A Joint
Many-Task Model), section 3.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hiermtl.seeding import derived_seed
from hiermtl.training.plan import BatchPlan


@dataclass(frozen=True, slots=True)
class Sampling:
    """How steps are shared out among tasks.

    `mixed`: batches of all tasks together, every example once an epoch. `drawn`: a task for each
    step, with a chance in proportion to its size to the power of an exponent, which goes from
    `first` to `last` over the epochs (1: by size, 0: all alike). `turns`: the tasks in turn.
    `phases`: in each epoch all of the lowest task, then all of the next.

    Of phases alone: `successive` and `successive_heads` are the strengths that tie lower weights to
    where a phase found them, 0 for none (see `hiermtl.training.leash`), `decoupled` whether apart
    from the gradient; `rate_decay` d makes the rate of epoch e 1 / (1 + d e), counted from 0, in
    place of warm-up and linear decay; `clip_by_level` limits a gradient's norm to the task's level,
    at most 3, in place of `clip`.
    """

    rule: str = "mixed"
    first: float = 1.0
    last: float = 1.0
    successive: float = 0.0
    successive_heads: float = 0.0
    decoupled: bool = True
    rate_decay: float | None = None
    clip_by_level: bool = False


MIXED = Sampling()
"""Every step serves all tasks."""


class TaskPlan:
    """Steps of one task each."""

    def __init__(
        self,
        lengths: np.ndarray,
        items: Mapping[str, np.ndarray],
        tokens_per_batch: int,
        *,
        order: Sequence[str],
        sampling: Sampling,
        epochs: int,
        seed: int,
    ) -> None:
        """Takes lengths (examples,), items by task (examples,), and the tasks, lowest first.

        Tasks without examples have no steps.
        """
        self.sampling, self.epochs, self.seed = sampling, epochs, seed
        self._examples: dict[str, np.ndarray] = {}
        self._plans: dict[str, BatchPlan] = {}
        for task in order:
            own = np.flatnonzero(items[task]) if task in items else np.zeros(0, dtype=np.int64)
            if len(own):
                self._examples[task] = own
                self._plans[task] = BatchPlan(
                    lengths[own], tokens_per_batch, seed=derived_seed(seed, "task", task)
                )
        self.tasks = tuple(self._plans)
        self._steps = {task: plan.steps_per_epoch for task, plan in self._plans.items()}
        self.steps_per_epoch = sum(self._steps.values())
        self._done: Counter[str] = Counter()
        self._made: list[list[tuple[str, int]]] = []

    def step(self, step: int) -> np.ndarray:
        """The examples of a step counted from 0 over all epochs."""
        task, number = self._place(step)
        return self._examples[task][self._plans[task].step(number)]

    def task(self, step: int) -> str:
        """The task that a step serves."""
        return self._place(step)[0]

    def opens_phase(self, step: int) -> bool:
        """Whether a phase begins with this step; only `phases` has any."""
        begins = step % self.steps_per_epoch == 0 or self.task(step - 1) != self.task(step)
        return self.sampling.rule == "phases" and begins

    def _place(self, step: int) -> tuple[str, int]:
        """The task of a step, and which of the task's own steps it is."""
        epoch, place = divmod(step, self.steps_per_epoch)
        while len(self._made) <= epoch:
            made = []
            for task in self._order(len(self._made)):
                made.append((task, self._done[task]))
                self._done[task] += 1
            self._made.append(made)
        return self._made[epoch][place]

    def _order(self, epoch: int) -> list[str]:
        """The task of each step of an epoch."""
        if self.sampling.rule == "phases":
            return [task for task in self.tasks for _ in range(self._steps[task])]
        if self.sampling.rule == "turns":
            count = len(self.tasks)
            first = epoch * self.steps_per_epoch
            return [self.tasks[(first + n) % count] for n in range(self.steps_per_epoch)]
        shares = self.shares(epoch)
        random = np.random.Generator(np.random.PCG64(derived_seed(self.seed, "sampling", epoch)))
        drawn = random.choice(
            len(self.tasks), size=self.steps_per_epoch, p=[shares[task] for task in self.tasks]
        )
        return [self.tasks[place] for place in drawn]

    def shares(self, epoch: int) -> dict[str, float]:
        """The chance of each task at a step of an epoch counted from 0."""
        done = epoch / (self.epochs - 1) if self.epochs > 1 else 0.0
        first, last = self.sampling.first, self.sampling.last
        exponent = first + (last - first) * min(done, 1.0)
        weights = {task: float(len(own)) ** exponent for task, own in self._examples.items()}
        total = sum(weights.values())
        return {task: weight / total for task, weight in weights.items()}
