"""Which examples make which step: a pure function of lengths, seed and step number.

The plan does not know how many processes carry it out. Each step's examples are cut into shares of
equal size by `shares`; since losses are normalised over the whole step, how it is cut changes no
gradient.
"""

from collections.abc import Sequence

import numpy as np

from hiermtl.seeding import derived_seed

JITTER = 0.15
"""How far, as a share of its length, an example may stray in the order of length."""


class BatchPlan:
    """Every example once an epoch, in steps of about `tokens_per_batch` units each.

    All epochs have the same number of steps. `lengths` are units per example, special pieces
    included.
    """

    def __init__(self, lengths: np.ndarray, tokens_per_batch: int, *, seed: int) -> None:
        """Takes lengths (examples,) and the size of a step in units, padding not counted."""
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.seed = seed
        self.steps_per_epoch = max(1, round(int(self.lengths.sum()) / tokens_per_batch))
        self._epoch = -1
        self._batches: list[np.ndarray] = []

    def step(self, step: int) -> np.ndarray:
        """The examples of a step counted from 0 over all epochs."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._batches, self._epoch = self._cut(epoch), epoch
        return self._batches[place]

    def task(self, step: int) -> None:
        """None: every step serves all tasks."""

    def opens_phase(self, step: int) -> bool:
        """False: there are no phases."""
        return False

    def _cut(self, epoch: int) -> list[np.ndarray]:
        random = np.random.Generator(np.random.PCG64(derived_seed(self.seed, "plan", epoch)))
        stray = random.uniform(-JITTER, JITTER, len(self.lengths))
        order = np.argsort(self.lengths * (1 + stray) + random.random(len(stray)), kind="stable")
        ends = np.cumsum(self.lengths[order])
        goals = ends[-1] * np.arange(1, self.steps_per_epoch) / self.steps_per_epoch
        batches = np.split(order, np.searchsorted(ends, goals, side="right"))
        return [batches[i] for i in random.permutation(len(batches))]


def shares(examples: np.ndarray, lengths: np.ndarray, *, parts: int) -> list[np.ndarray]:
    """The examples of a step in `parts` shares of nearly equal length.

    Longest first, each to the lightest share.
    """
    if parts == 1:
        return [examples]
    loads: Sequence[int] = [0] * parts
    chosen: list[list[int]] = [[] for _ in range(parts)]
    for place in np.argsort(-lengths[examples], kind="stable"):
        lightest = min(range(parts), key=loads.__getitem__)
        loads[lightest] += int(lengths[examples[place]])
        chosen[lightest].append(int(place))
    return [examples[sorted(places)] for places in chosen]
