"""Which examples make which step: a pure function of lengths, seed and step number.

The plan does not know how many processes carry it out. Each step's examples are cut into shares of
equal size by `shares`; since losses are normalised over the whole step, how it is cut changes no
gradient.
"""

import heapq

import numpy as np

from hiermtl.seeding import derived_seed

JITTER = 0.15
"""How far, as a share of its length, an example may stray in the order of length."""


SEGMENT, CHUNK = 1024, 1024
"""Neighbouring examples that stay together in a corpus of many chunks, and segments of a chunk."""


class BatchPlan:
    """Every example once an epoch, in steps of about `tokens_per_batch` units each.

    All epochs have the same number of steps. Examples are sorted and cut chunk by chunk, each of up
    to a million that are drawn in segments, so that a plan of any corpus needs the memory of a
    chunk; a smaller corpus is one chunk.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        tokens_per_batch: int,
        *,
        seed: int,
        special: int = 0,
        segment: int = SEGMENT,
        chunk: int = CHUNK,
    ) -> None:
        """Takes lengths (examples,), and the size of a step in units, padding not counted.

        `special` units are added to each length. Lengths are not copied: they may lie in a file.
        """
        self.seed = seed
        self._lengths, self._special, self._segment = lengths, special, segment
        starts = np.arange(0, len(lengths), segment)
        self._sums = special * np.diff(starts, append=len(lengths))
        # A part at a time: adding up in 64 bits makes a copy in 64 bits.
        for first in range(0, len(starts), chunk):
            own = lengths[first * segment : (first + chunk) * segment].astype(np.int64)
            places = np.arange(0, len(own), segment)
            self._sums[first : first + chunk] += np.add.reduceat(own, places)
        self._chunks = max(1, -(-len(starts) // chunk))
        self.steps_per_epoch = max(1, round(int(self._sums.sum()) / tokens_per_batch))
        self._epoch, self._segments, self._ends = -1, [starts], np.zeros(0, dtype=np.int64)
        self._chunk, self._batches = -1, [starts]

    def step(self, step: int) -> np.ndarray:
        """The examples of a step counted from 0 over all epochs."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._chunk = epoch, -1
            self._segments, self._ends = self._drawn(epoch)
        chunk = int(np.searchsorted(self._ends, place, side="right"))
        first = int(self._ends[chunk - 1]) if chunk else 0
        if chunk != self._chunk:
            count = int(self._ends[chunk]) - first
            self._batches, self._chunk = self._cut(epoch, chunk, count), chunk
        return self._batches[place - first]

    def task(self, step: int) -> None:
        """None: every step serves all tasks."""

    def opens_phase(self, step: int) -> bool:
        """False: there are no phases."""
        return False

    def _drawn(self, epoch: int) -> tuple[list[np.ndarray], np.ndarray]:
        """The segments of each chunk of an epoch, and how many steps end with it."""
        order = np.arange(len(self._sums))
        if self._chunks > 1:
            order = self._random(epoch, "segments").permutation(order)
        segments = np.array_split(order, self._chunks)
        done = np.cumsum([self._sums[own].sum() for own in segments])
        return segments, np.round(self.steps_per_epoch * done / max(1, done[-1])).astype(np.int64)

    def _cut(self, epoch: int, chunk: int, steps: int) -> list[np.ndarray]:
        """The batches of a chunk, in so many steps."""
        examples = _spread(self._segments[chunk], self._segment, len(self._lengths))
        lengths = self._lengths[examples].astype(np.int64) + self._special
        random = self._random(epoch, *((chunk,) if self._chunks > 1 else ()))
        stray = random.uniform(-JITTER, JITTER, len(lengths))
        order = np.argsort(lengths * (1 + stray) + random.random(len(stray)), kind="stable")
        ends = np.cumsum(lengths[order])
        goals = ends[-1] * np.arange(1, steps) / steps
        batches = np.split(examples[order], np.searchsorted(ends, goals, side="right"))
        return [batches[i] for i in random.permutation(len(batches))]

    def _random(self, epoch: int, *names: object) -> np.random.Generator:
        seed = derived_seed(self.seed, "plan", epoch, *names)
        return np.random.Generator(np.random.PCG64(seed))


def _spread(segments: np.ndarray, size: int, count: int) -> np.ndarray:
    """The examples of these segments of a corpus."""
    if len(segments) * size >= count:
        return np.arange(count)
    examples = (np.sort(segments)[:, None] * size + np.arange(size)).ravel()
    return examples[examples < count]


def shares(examples: np.ndarray, lengths: np.ndarray, *, parts: int) -> list[np.ndarray]:
    """The examples of a step in `parts` shares of nearly equal length.

    Longest first, each to the lightest share.
    """
    if parts == 1:
        return [examples]
    loads = [(0, part) for part in range(parts)]
    chosen: list[list[int]] = [[] for _ in range(parts)]
    own = lengths[examples].astype(np.int64)
    for place in np.argsort(-own, kind="stable").tolist():
        load, lightest = loads[0]
        heapq.heapreplace(loads, (load + int(own[place]), lightest))
        chosen[lightest].append(place)
    return [examples[sorted(places)] for places in chosen]
