"""Scores of parts of the data, and how far they may lie from those of other documents.

Source: Koehn 2004, Statistical Significance Tests for Machine Translation Evaluation: documents
(sentences where the data has none) are drawn with replacement, the interval lies between the
percentiles 2.5 and 97.5.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiermtl.evaluation.results import unit_starts
from hiermtl.evaluation.scores import DetailedRow, ScoreRow
from hiermtl.metrics.base import Metric

RESAMPLES = 1000
FEWEST_UNITS = 5
"""With items in fewer documents, or sentences, there is no interval."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Counts of all sentences of a task (sentences, columns), 0 where they are of no interest.

    `like` are the rows of the scores: they say what is told of each metric; `name` is the slice.
    """

    metric: Metric
    rows: NDArray[np.float64]
    documents: NDArray[np.str_]
    like: Sequence[ScoreRow]
    name: str | None = None


class Sampler:
    """Draws documents; all tasks of one data set with as many get the same ones."""

    def __init__(self, resamples: int = RESAMPLES) -> None:
        self.resamples = resamples
        self._weights: dict[int, NDArray[np.float64]] = {}

    def rows_of(self, part: Part, *, intervals: bool) -> list[DetailedRow]:
        """A row for each metric of the part; none where nothing is scored."""
        totals = part.rows.sum(axis=0)
        items = part.metric.items(totals)
        if not items:
            return []
        found = part.metric.score_rows(part.rows)
        edges = self._edges(part) if intervals else {}
        rows = []
        for row in part.like:
            score = found[row.metric]
            low, high = edges.get(row.metric, (None, None))
            about: dict[str, Any] = asdict(row)
            whole = part.name is None
            about["score"] = row.score if whole else score if math.isfinite(score) else 0.0
            about["items"] = row.items if whole else items
            rows.append(DetailedRow(**about, slice=part.name, low=low, high=high))
        return rows

    def _edges(self, part: Part) -> dict[str, tuple[float, float]]:
        """The interval of each metric."""
        starts = unit_starts(part.documents)
        units = np.add.reduceat(part.rows, starts, axis=0)
        if np.count_nonzero(np.any(units != 0, axis=1)) < FEWEST_UNITS:
            return {}
        weights = self._drawn(len(units))
        drawn = dict(part.metric.score(weights @ units))
        if not part.metric.additive:
            drawn.update(self._again(part, starts, weights))
        return {
            name: (float(low), float(high))
            for name, values in drawn.items()
            for low, high in [np.percentile(np.nan_to_num(values), (2.5, 97.5))]
        }

    @staticmethod
    def _again(
        part: Part, starts: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> dict[str, NDArray[np.float64]]:
        """Scores that sums do not give, of the sentences that each draw has."""
        sizes = np.diff(np.append(starts, len(part.rows)))
        found: dict[str, list[float]] = {}
        for drawn in weights:
            often = np.repeat(drawn.astype(np.int64), sizes)
            for name, score in part.metric.score_rows(np.repeat(part.rows, often, axis=0)).items():
                found.setdefault(name, []).append(score)
        return {name: np.array(values) for name, values in found.items()}

    def _drawn(self, units: int) -> NDArray[np.float64]:
        """How often each unit is drawn (resamples, units)."""
        if units not in self._weights:
            random = np.random.default_rng(0)
            even = np.full(units, 1 / units)
            drawn = random.multinomial(units, even, self.resamples)
            self._weights[units] = drawn.astype(np.float64)
        return self._weights[units]
