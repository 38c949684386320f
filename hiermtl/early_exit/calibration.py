"""How sure exits must be, so that leaving costs a task no more than was stated.

Source: Laufer-Goldenthal et al. 2023 (Efficiently Controlling Multiple Risks with Pareto Testing),
sections 4 and 5, in the frame of Learn then Test (Angelopoulos et al. 2021), by which Schuster et
al. 2022 (Confident Adaptive Language Modeling), section 4, calibrate exits too: one half of the
data orders settings, from careful to bold; the other half tests them in that order and stops at the
first that fails. Departs: what is controlled is the fall of the task's own metric against the whole
model's, whose bound is a percentile of a paired bootstrap over documents (Koehn 2004), which holds
for many documents and not exactly for few; the order is that of a price for each block saved.
Shapes: counts (sentences, columns); sure, words (sentences,). Units: points of the metric.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from hiermtl.evaluation.results import unit_starts
from hiermtl.metrics.base import Metric

CERTAINTY = 95
"""In so many of a hundred draws of documents the loss must stay within what was stated."""

RESAMPLES = 1000
STEPS = 20
"""Classes of sentences by how sure an exit is; thresholds lie between them."""

FEWEST = 10
"""With fewer documents, or sentences where there are none, half of them can test nothing."""


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
    if len(starts) < FEWEST:
        return Calibrated({})
    path = _path(metric, _of(whole, exits, ~testing), depth=depth, words=words[~testing])
    own, left = _of(whole, exits, testing)
    begins = _run_starts(units[testing])
    random = np.random.default_rng(0)
    even = np.full(len(begins), 1 / len(begins))
    weights = random.multinomial(len(begins), even, RESAMPLES).astype(np.float64)
    before = main_of(metric, weights @ np.add.reduceat(own, begins, axis=0))
    best = Calibrated({})
    for thresholds in path:
        rows = rows_at(own, left, read_at(left, thresholds, depth=depth))
        after = main_of(metric, weights @ np.add.reduceat(rows, begins, axis=0))
        bound = float(np.percentile(before - after, CERTAINTY))
        if bound > loss:
            break
        cost = float(main_of(metric, own.sum(0)) - main_of(metric, rows.sum(0)))
        best = Calibrated(thresholds, cost, bound)
    return best


def main_of(metric: Metric, totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """The main score of summed counts (..., columns)."""
    return np.nan_to_num(next(iter(metric.score(totals).values())))


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


def _path(
    metric: Metric,
    given: tuple[NDArray[np.float64], Mapping[int, ExitCounts]],
    *,
    depth: int,
    words: NDArray[np.int64],
) -> list[dict[int, float]]:
    """Settings from careful to bold, one for each price, in points, of a word's way up a block.

    At a price those leave that are as sure as sentences which lose no more by leaving. How much
    that is, is the mean over classes of equal size by how sure they are, made to rise as they are
    less sure (isotonic regression).
    """
    whole, exits = given
    full = whole.sum(0)
    prices: dict[int, NDArray[np.float64]] = {}
    cuts: dict[int, list[float]] = {}
    for at, own in exits.items():
        # What the score loses if this sentence alone leaves.
        lost = main_of(metric, full) - main_of(metric, full + own.rows - whole)
        classes = np.array_split(np.argsort(-own.sure, kind="stable"), STEPS)
        classes = [places for places in classes if len(places)]
        sizes = np.array([words[places].sum() for places in classes])
        means = np.array([lost[places].sum() for places in classes]) / sizes
        prices[at] = isotonic_regression(means, weights=sizes).x / (depth - at)
        cuts[at] = [float(own.sure[places].min()) for places in classes[:-1]] + [0.0]
    path = []
    for price in np.unique(np.concatenate(list(prices.values()))):
        taken = {at: int(np.searchsorted(own, price, side="right")) for at, own in prices.items()}
        path.append({at: cuts[at][count - 1] for at, count in taken.items() if count})
    return path


def _run_starts(units: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each run of one number begins."""
    return np.flatnonzero(np.diff(units, prepend=-1))


def _of(
    whole: NDArray[np.float64], exits: Mapping[int, ExitCounts], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], dict[int, ExitCounts]]:
    """Some of the sentences."""
    own = {at: ExitCounts(one.rows[mask], one.sure[mask]) for at, one in exits.items()}
    return whole[mask], own
