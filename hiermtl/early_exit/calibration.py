"""How sure exits must be, so that leaving costs a task no more than was stated.

Source: Laufer-Goldenthal et al. 2023 (Efficiently Controlling Multiple Risks with Pareto Testing),
sections 4 and 5, in the frame of Learn then Test (Angelopoulos et al. 2021), by which Schuster et
al. 2022 (Confident Adaptive Language Modeling), section 4, calibrate exits too: one half of the
data orders settings, from careful to bold; the other half tests them in that order and stops at the
first that fails. Departs: what is controlled is the fall of the task's own metric against the whole
model's, whose bound is a percentile of a paired bootstrap over documents (Koehn 2004), which holds
for many documents and not exactly for few; the order is greedy, blocks saved per point lost.
Shapes: counts (sentences, columns); sure, words (sentences,). Units: points of the metric.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hiermtl.evaluation.results import unit_starts
from hiermtl.metrics.base import Metric

CERTAINTY = 95
"""In so many of a hundred draws of documents the loss must stay within what was stated."""

RESAMPLES = 1000
STEPS = 20
"""Thresholds of an exit that are tried: each lets a further twentieth of the sentences leave."""

FEWEST = 5
"""With fewer documents, or sentences where there are none, nothing can be tested."""


@dataclass(frozen=True, slots=True, eq=False)
class ExitCounts:
    """What an exit would do if all left there: counts of each sentence, and how sure it is."""

    rows: NDArray[np.float64]
    sure: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Depth to how sure a sentence must be to leave there; exits without use are left out.

    `loss` is what leaving cost on the half that tested it, in points, and `bound` what it stays
    below in `CERTAINTY` of a hundred draws; both 0 without exits.
    """

    thresholds: Mapping[int, float]
    loss: float = 0.0
    bound: float = 0.0


def choose_thresholds(
    metric: Metric,
    whole: NDArray[np.float64],
    exits: Mapping[int, ExitCounts],
    *,
    depth: int,
    loss: float,
    documents: Sequence[str] | NDArray[np.str_],
    words: NDArray[np.int64],
) -> Calibrated:
    """The boldest thresholds that a test allows.

    Args:
        metric: Of the task; its first score counts.
        whole: Counts of what the whole model says.
        exits: Those of each exit, by its depth.
        depth: The task's own.
        loss: How many points leaving may cost, 0 or more.
        documents: Of each sentence; neighbours of one name are drawn together.
        words: Of each sentence.
    """
    starts = unit_starts(documents)
    units = np.repeat(np.arange(len(starts)), np.diff([*starts, len(whole)]))
    testing = units % 2 == 1
    if len(starts) < 2 * FEWEST:
        return Calibrated({})
    path = _path(metric, _of(whole, exits, ~testing), depth=depth, words=words[~testing])
    own, left = _of(whole, exits, testing)
    begins = unit_starts_of(units[testing])
    random = np.random.default_rng(0)
    even = np.full(len(begins), 1 / len(begins))
    weights = random.multinomial(len(begins), even, RESAMPLES).astype(np.float64)
    before = _main(metric, weights @ np.add.reduceat(own, begins, axis=0))
    best = Calibrated({})
    for thresholds in path:
        rows = rows_at(own, left, read_at(left, thresholds, depth=depth))
        after = _main(metric, weights @ np.add.reduceat(rows, begins, axis=0))
        bound = float(np.percentile(before - after, CERTAINTY))
        if bound > loss:
            break
        cost = float(_main(metric, own.sum(0)) - _main(metric, rows.sum(0)))
        best = Calibrated(thresholds, cost, bound)
    return best


def read_at(
    exits: Mapping[int, ExitCounts], thresholds: Mapping[int, float], *, depth: int
) -> NDArray[np.int64]:
    """(sentences,): the depth at which each is read, the first exit that is sure or the task's."""
    count = len(next(iter(exits.values())).sure)
    found = np.full(count, depth)
    for at in sorted(thresholds, reverse=True):
        found[exits[at].sure >= thresholds[at]] = at
    return found


def rows_at(
    whole: NDArray[np.float64], exits: Mapping[int, ExitCounts], depths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Counts of sentences that are read at these depths."""
    rows = whole.copy()
    for at, own in exits.items():
        rows[depths == at] = own.rows[depths == at]
    return rows


def unit_starts_of(units: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each run of one number begins."""
    return np.flatnonzero(np.diff(units, prepend=-1))


def _path(
    metric: Metric,
    given: tuple[NDArray[np.float64], Mapping[int, ExitCounts]],
    *,
    depth: int,
    words: NDArray[np.int64],
) -> list[dict[int, float]]:
    """Settings from careful to bold: each lets some more leave at the exit where that pays most."""
    whole, exits = given
    shares = 1 - np.arange(1, STEPS + 1) / STEPS
    cuts = {at: [*np.quantile(own.sure, shares[:-1]), 0.0] for at, own in exits.items()}
    full = float(_main(metric, whole.sum(0)))
    levels = dict.fromkeys(exits, 0)
    path: list[dict[int, float]] = []
    loss, saved = 0.0, 0.0

    def tried(levels: Mapping[int, int]) -> tuple[dict[int, float], float, float]:
        thresholds = {at: float(cuts[at][n - 1]) for at, n in levels.items() if n}
        depths = read_at(exits, thresholds, depth=depth)
        rows = rows_at(whole, exits, depths)
        lost = full - float(_main(metric, rows.sum(0)))
        return thresholds, lost, float((words * (depth - depths)).sum())

    while True:
        found = []
        for at, level in levels.items():
            if level < STEPS:
                thresholds, lost, gained = tried({**levels, at: level + 1})
                pays = (gained - saved) / max(lost - loss, 1e-9)
                found.append((pays, at, thresholds, lost, gained))
        if not found:
            return path
        _, at, thresholds, loss, saved = max(found, key=lambda one: one[0])
        levels[at] += 1
        path.append(thresholds)


def _of(
    whole: NDArray[np.float64], exits: Mapping[int, ExitCounts], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], dict[int, ExitCounts]]:
    """Some of the sentences."""
    own = {at: ExitCounts(one.rows[mask], one.sure[mask]) for at, one in exits.items()}
    return whole[mask], own


def _main(metric: Metric, totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """The main score of summed counts (..., columns)."""
    return np.nan_to_num(next(iter(metric.score(totals).values())))
