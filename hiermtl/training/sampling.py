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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hiermtl.arrays import count_nonzero, nonzero, taken
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
        special: int = 0,
    ) -> None:
        """Takes lengths (examples,), items by task (examples,), and the tasks, lowest first.

        `special` units are added to each length. Tasks without examples have no steps.
        """
        self.sampling, self.epochs, self.seed = sampling, epochs, seed
        self._examples: dict[str, np.ndarray | None] = {}
        self._plans: dict[str, BatchPlan] = {}
        self._sizes: dict[str, int] = {}
        for task in order:
            carry = items.get(task, np.zeros(0))
            size = count_nonzero(carry)
            if size:
                own = None if size == len(lengths) else nonzero(carry)
                self._examples[task], self._sizes[task] = own, size
                self._plans[task] = BatchPlan(
                    lengths if own is None else taken(lengths, own),
                    tokens_per_batch,
                    seed=derived_seed(seed, "task", task),
                    special=special,
                )
        self.tasks = tuple(self._plans)
        self._steps = np.array([plan.steps_per_epoch for plan in self._plans.values()])
        self.steps_per_epoch = int(self._steps.sum())
        # How many steps each task had before each epoch, and the order of one epoch's.
        self._before = [np.zeros(len(self.tasks), dtype=np.int64)]
        self._epoch, self._order, self._number = -1, self._before[0], self._before[0]

    def step(self, step: int) -> np.ndarray:
        """The examples of a step counted from 0 over all epochs."""
        task, number = self._place(step)
        own, chosen = self._examples[task], self._plans[task].step(number)
        return chosen if own is None else np.asarray(own[chosen])

    def task(self, step: int) -> str:
        """The task that a step serves."""
        return self._place(step)[0]

    def opens_phase(self, step: int) -> bool:
        """Whether a phase begins with this step; only `phases` has any."""
        if self.sampling.rule != "phases":
            return False
        return step % self.steps_per_epoch == 0 or self.task(step - 1) != self.task(step)

    def _place(self, step: int) -> tuple[str, int]:
        """The task of a step, and which of the task's own steps it is."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._order, self._epoch = self._ordered(epoch), epoch
            while len(self._before) <= epoch + 1:
                made = self._ordered(len(self._before) - 1)
                self._before.append(self._before[-1] + np.bincount(made, minlength=len(self.tasks)))
            self._number = np.empty(len(self._order), dtype=np.int64)
            for task, first in enumerate(self._before[epoch]):
                own = np.flatnonzero(self._order == task)
                self._number[own] = first + np.arange(len(own))
        return self.tasks[self._order[place]], int(self._number[place])

    def _ordered(self, epoch: int) -> np.ndarray:
        """Which task each step of an epoch serves."""
        count = len(self.tasks)
        if self.sampling.rule == "phases":
            return np.repeat(np.arange(count, dtype=np.int16), self._steps)
        if self.sampling.rule == "turns":
            first = epoch * self.steps_per_epoch
            return ((first + np.arange(self.steps_per_epoch)) % count).astype(np.int16)
        shares = self.shares(epoch)
        random = np.random.Generator(np.random.PCG64(derived_seed(self.seed, "sampling", epoch)))
        chances = [shares[task] for task in self.tasks]
        return random.choice(count, size=self.steps_per_epoch, p=chances).astype(np.int16)

    def shares(self, epoch: int) -> dict[str, float]:
        """The chance of each task at a step of an epoch counted from 0."""
        done = epoch / (self.epochs - 1) if self.epochs > 1 else 0.0
        first, last = self.sampling.first, self.sampling.last
        exponent = first + (last - first) * min(done, 1.0)
        weights = {task: float(size) ** exponent for task, size in self._sizes.items()}
        total = sum(weights.values())
        return {task: weight / total for task, weight in weights.items()}
