"""Arms made of kept runs: of one recipe, of recipes that differ by documents, or by a point.

A run is drawn from the kept runs of a recipe. Each document's counts are those of one of them, so
that what a run does in one document is as it was; and the whole run gets an effect of its own, as
large as the spread of the kept runs' scores says beyond that. Effects turn single items right or
wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hiermtl.evaluation.results import RunResult, Units
from hiermtl.evaluation.significance import (
    Drawn,
    bootstrap_test,
    dealt_anew,
    main_of,
    randomisation_test,
)

RIGHT = {
    "accuracy": ("correct", ("items",)),
    "attachment": ("arcs_correct", ("words",)),
    "spans": ("correct", ("gold", "predicted")),
}
"""For a family of metrics the column of what is right, and those of what can be."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """Kept runs of one recipe and task: counts (runs, documents, columns)."""

    units: Units
    counts: NDArray[np.float64]
    spread: float
    """Standard deviation of the scores of seeds, in points."""
    effect: float
    """What of it is of whole runs, not of single documents."""

    @classmethod
    def of(cls, runs: Sequence[RunResult], task: str) -> "Recipe":
        """Of runs that differ in seed."""
        own = [run.units[task] for run in runs]
        counts = np.stack([units.rows for units in own])
        scores = np.array([float(main_of(own[0], rows.sum(axis=0))) for rows in counts])
        drawn = Drawn(500)
        moved = drawn.arm(runs, task, scores.tolist()).drawn
        noise = (moved - moved.mean(axis=0)).var(axis=1).sum() / (len(runs) - 1)
        spread = float(scores.std(ddof=1))
        return cls(own[0], counts, spread, max(0.0, spread**2 - float(noise)) ** 0.5)

    def arm(
        self,
        name: str,
        seeds: int,
        random: np.random.Generator,
        *,
        documents: NDArray[np.int64],
        by_document: float = 0.0,
        planted: float = 0.0,
    ) -> list[RunResult]:
        """Runs of an arm on these documents, which it does better or worse by `by_document`."""
        of_documents = random.normal(planted, by_document, len(documents))
        runs = []
        for seed in range(seeds):
            chosen = random.integers(0, len(self.counts), len(documents))
            rows = self.counts[chosen, documents].copy()
            points = of_documents + random.normal(0, self.effect)
            self._turn(rows, points / 100, random)
            units = Units(self.units.metric, self.units.columns, rows)
            runs.append(RunResult(name, None, seed, {}, {}, (), {"task": units}))
        return runs

    def _turn(
        self, rows: NDArray[np.float64], shares: NDArray[np.float64], random: np.random.Generator
    ) -> None:
        """Turns this share of each document's items right, or wrong where it is below 0."""
        right, possible = RIGHT[self.units.metric]
        at = self.units.columns.index(right)
        most = np.min([rows[:, self.units.columns.index(name)] for name in possible], axis=0)
        correct = rows[:, at]
        wrong = most - correct
        total = np.maximum(most, 1)
        up = random.binomial(
            wrong.astype(int), np.clip(shares * total / np.maximum(wrong, 1), 0, 1)
        )
        down = random.binomial(
            correct.astype(int), np.clip(-shares * total / np.maximum(correct, 1), 0, 1)
        )
        rows[:, at] = correct + up - down


def verdicts(
    own: Sequence[RunResult], other: Sequence[RunResult], *, resamples: int, seed: int
) -> dict[str, float]:
    """The p value of each test for two arms, and those of two simpler ways."""
    drawn = Drawn(resamples, seed)
    first, second = (
        drawn.arm(arm, "task", [float(main_of(u, u.rows.sum(axis=0))) for u in _units(arm)])
        for arm in (own, other)
    )
    runs = [[units] for units in _units(own)], [[units] for units in _units(other)]
    return {
        "bootstrap": bootstrap_test(first, second).p,
        "randomisation": randomisation_test(first, second, runs, resamples=resamples, seed=seed).p,
        "percentiles": _percentiles(first.drawn - second.drawn, seed),
        "documents alone": _documents_alone(runs, resamples, seed),
    }


def _units(runs: Sequence[RunResult]) -> list[Units]:
    return [run.units["task"] for run in runs]


def _percentiles(moved: NDArray[np.float64], seed: int) -> float:
    """The plain two-level bootstrap: seeds drawn in pairs, documents within, percentiles read."""
    seeds, resamples = moved.shape
    random = np.random.default_rng(seed)
    counts = random.multinomial(seeds, np.full(seeds, 1 / seeds), resamples)
    found = (counts.T * moved).sum(axis=0) / seeds
    below, above = int((found <= 0).sum()), int((found >= 0).sum())
    return min(1.0, 2 * (min(below, above) + 1) / (resamples + 1))


def _documents_alone(
    runs: tuple[Sequence[Sequence[Units]], Sequence[Sequence[Units]]], resamples: int, seed: int
) -> float:
    """Swapped documents, and the difference itself: whether these very models differ."""
    random = np.random.default_rng(seed)
    found = np.mean(
        [
            dealt[:, 0] - dealt[:, 1]
            for pair in zip(*runs, strict=True)
            for dealt in [dealt_anew(pair, resamples, random)]
        ],
        axis=0,
    )
    means = [
        np.mean([float(main_of(units, units.rows.sum(axis=0))) for (units,) in side])
        for side in runs
    ]
    larger = int((np.abs(found) >= abs(float(means[0] - means[1])) - 1e-9).sum())
    return (1 + larger) / (resamples + 1)
