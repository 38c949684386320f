"""Whether two arms differ: tests for scores of several seeds on documents that all runs share.

Seeds and documents are both drawn: another seed gives another model, another document other errors.
With three to five seeds neither percentiles of a bootstrap nor swaps of documents alone can be
read as they are: the first are too narrow or, where the noise of a run in a document is counted
with both, too wide, and the second know nothing of seeds. Both tests here therefore divide the
difference by a standard error in which seeds and documents each have their part, and judge the
quotient: `bootstrap` by Student's t, `randomisation` by the same quotient where documents have been
dealt anew among all runs.

Source: Koehn 2004, Statistical Significance Tests for Machine Translation Evaluation (documents
drawn with replacement); Noreen 1989, Computer-Intensive Methods for Testing Hypotheses (swaps);
Janssen 1997, Studentized permutation tests (why a quotient may be swapped where runs themselves may
not); Owen 2007, The pigeonhole bootstrap (what resampling both counts twice); Satterthwaite 1946,
An approximate distribution of estimates of variance components.
Departs: the part of documents is what they add beyond the noise of single runs, which the spread
over seeds has already.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hiermtl.evaluation.measures import counted_by
from hiermtl.evaluation.results import RunResult, Units

RESAMPLES = 2000

TestName: TypeAlias = Literal["bootstrap", "randomisation"]
TESTS: tuple[TestName, ...] = ("bootstrap", "randomisation")

Scored: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The 95 % interval of a difference, and its two-sided p value."""

    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """The scores of an arm's seeds, two or more.

    Attributes:
        scores: On the documents as they are (seeds,).
        drawn: On documents drawn anew (seeds, resamples).
        pulls: How much each document pulls the score towards its own (seeds, documents).
    """

    scores: Scored
    drawn: Scored
    pulls: Scored


class Drawn:
    """Scores of runs on documents drawn anew, the same documents for all runs of one data set."""

    def __init__(self, resamples: int = RESAMPLES, seed: int = 0) -> None:
        self.resamples, self._seed = resamples, seed
        self._weights: dict[tuple[int, ...], list[Scored]] = {}
        self._scores: dict[tuple[RunResult, tuple[str, ...]], tuple[Scored, Scored]] = {}

    def arm(
        self,
        runs: Sequence[RunResult],
        task: str,
        scores: Sequence[float],
        *,
        like: RunResult | None = None,
    ) -> Arm:
        """Runs of an arm, whose scores are these.

        Of arms that are compared all are `like` one run, so that their documents have one order,
        whatever that of the data sets in each.
        """
        like = like or runs[0]
        drawn, pulls = zip(*(self.of(run, task, like=like) for run in runs), strict=True)
        return Arm(np.array(scores), np.stack(drawn), np.stack(pulls))

    def of(
        self, run: RunResult, task: str, *, like: RunResult | None = None
    ) -> tuple[Scored, Scored]:
        """The task's main metric (resamples,), and how much each document pulls it (documents,).

        Where it has several data sets it is their mean; they are in the order of `like`.
        """
        names = tuple(_places(run, task, like=like or run))
        key = run, names
        if key not in self._scores:
            parts = [run.units[name] for name in names]
            weights = self._drawn(tuple(len(part.rows) for part in parts))
            drawn = [
                main_of(part, of_part @ part.rows)
                for part, of_part in zip(parts, weights, strict=True)
            ]
            totals = [part.rows.sum(axis=0) for part in parts]
            pulls = [
                (main_of(part, total) - main_of(part, total - part.rows)) / len(parts)
                for part, total in zip(parts, totals, strict=True)
            ]
            self._scores[key] = np.mean(drawn, axis=0), np.concatenate(pulls)
        return self._scores[key]

    def _drawn(self, sizes: tuple[int, ...]) -> list[Scored]:
        """For each data set how often each of its documents is drawn (resamples, documents)."""
        if sizes not in self._weights:
            random = np.random.default_rng(self._seed)
            self._weights[sizes] = [
                random.multinomial(size, np.full(size, 1 / size), self.resamples).astype(np.float64)
                for size in sizes
            ]
        return self._weights[sizes]


def parts_of(run: RunResult, task: str, *, like: RunResult | None = None) -> list[Units]:
    """The task's counts on each of its data sets, in the order of their names in another run.

    They are the same data where the gold is the same, or of the same name where that of one of both
    is not known.
    """
    return [run.units[name] for name in _places(run, task, like=like or run)]


def _places(run: RunResult, task: str, *, like: RunResult) -> list[str]:
    """The keys of the task's counts in a run, by the names of the same data in another."""
    names, order = _of_task(run, task), _of_task(like, task)
    if len(names) != len(order):
        return names  # such runs are not comparable
    known = run.gold.keys() >= set(names) and like.gold.keys() >= set(order)

    def by_gold(one: RunResult, own: Sequence[str]) -> list[str]:
        return sorted(own, key=lambda name: (one.gold[name] if known else "", name))

    partners = dict(zip(by_gold(like, order), by_gold(run, names), strict=True))
    return [partners[name] for name in sorted(order)]


def _of_task(run: RunResult, task: str) -> list[str]:
    return [
        name
        for name in run.units
        if name == task or (name.startswith(f"{task} (") and name.endswith(")"))
    ]


def main_of(units: Units, totals: Scored) -> Scored:
    """The main metric of summed counts (..., columns); 0 where it cannot be told, as `evaluate`."""
    found = counted_by(units).score(totals)
    return np.nan_to_num(np.asarray(next(iter(found.values()))), nan=0.0)


def standard_error(own: Arm, other: Arm) -> tuple[float, float]:
    """Of the difference of two arms' means, with its degrees of freedom.

    Seeds are drawn for each arm on its own, with one spread for both: its square over the number of
    seeds is their part, which has the noise of single runs in single documents. Documents are the
    same for all runs: their part is the variance of the difference over drawn documents, less what
    of it is that noise, and at least 0. Where a few long documents pull most, that part is known
    no better than from so few.

    Returns:
        The standard error, and degrees of freedom after Satterthwaite.
    """
    by_seed, free = _by_seed(own.scores, other.scores)
    noise = _noise(own.drawn) + _noise(other.drawn)
    whole = float(np.var(own.drawn.mean(axis=0) - other.drawn.mean(axis=0)))
    by_document = max(0.0, whole - noise)
    both = float(by_seed) + by_document
    if not both:
        return 0.0, np.inf
    pulls = (own.pulls.mean(axis=0) - other.pulls.mean(axis=0)) ** 2
    # The fourth moment of normal effects is three times the square of their second.
    many = max(1.0, 3 * float(pulls.sum()) ** 2 / float((pulls**2).sum())) if pulls.any() else 1.0
    return both**0.5, both**2 / (float(by_seed) ** 2 / free + by_document**2 / many)


def _by_seed(own: Scored, other: Scored) -> tuple[Any, int]:
    """The variance of the difference of means (..., seeds) that is due to seeds; its freedom."""
    free = own.shape[-1] + other.shape[-1] - 2
    squares = sum(side.var(axis=-1) * side.shape[-1] for side in (own, other))
    return squares / free * (1 / own.shape[-1] + 1 / other.shape[-1]), free


def _noise(drawn: Scored) -> float:
    """How much documents move the mean of an arm's seeds because they move each seed otherwise."""
    seeds = len(drawn)
    apart = drawn - drawn.mean(axis=0)
    return float(apart.var(axis=1).sum()) / (seeds - 1) / seeds


def bootstrap_test(own: Arm, other: Arm) -> Verdict:
    """Judges the difference by Student's t."""
    from scipy.stats import t as student

    error, free = standard_error(own, other)
    mean = float(own.scores.mean() - other.scores.mean())
    reach = error * float(student.ppf(0.975, free))
    p = float(2 * student.sf(_quotient(mean, error), free))
    return Verdict(mean - reach, mean + reach, p)


def randomisation_test(
    own: Arm,
    other: Arm,
    runs: tuple[Sequence[Sequence[Units]], Sequence[Sequence[Units]]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Verdict:
    """Judges the difference by how large it gets where documents are dealt anew among the runs.

    Args:
        own: The arm.
        other: The arm it is set against.
        runs: For each arm the counts of its runs, on the same documents. Of two runs a document is
            swapped or not; of more, each gets one run's at random.
        resamples: How often.
        seed: Of the dealing.
    """
    error, _ = standard_error(own, other)
    mean = float(own.scores.mean() - other.scores.mean())
    dealt = dealt_anew([*runs[0], *runs[1]], resamples, np.random.default_rng(seed))
    first, second = dealt[:, : len(runs[0])], dealt[:, len(runs[0]) :]
    errors = np.sqrt(_by_seed(first, second)[0])
    found = _quotient(first.mean(axis=-1) - second.mean(axis=-1), errors)
    reach = error * float(np.quantile(found, 0.95)) if error else 0.0
    larger = int((found >= _quotient(mean, error)).sum())
    return Verdict(mean - reach, mean + reach, (1 + larger) / (resamples + 1))


def dealt_anew(
    runs: Sequence[Sequence[Units]], resamples: int, random: np.random.Generator
) -> Scored:
    """Scores (resamples, runs) where each document's counts have gone round among the runs.

    How far they go round is drawn for each document; all distances are as likely.
    """
    count = len(runs)
    scores = np.zeros((resamples, count))
    for parts in zip(*runs, strict=True):
        rows = np.concatenate([part.rows for part in parts], axis=1)
        places = random.integers(0, count, (resamples, len(rows)))
        totals = np.zeros((resamples, count, len(parts[0].columns)))
        for distance in range(count):
            here = ((places == distance).astype(np.float64) @ rows).reshape(totals.shape)
            totals += np.roll(here, distance, axis=1)
        scores += main_of(parts[0], totals) / len(runs[0])
    return scores


def _quotient(differences: Any, errors: Any) -> Any:
    """Absolute differences by their errors; 0 over 0 is 0."""
    differences, errors = np.abs(differences), np.asarray(errors)
    none = np.where(np.asarray(differences) > 0, np.inf, 0.0)
    return np.divide(differences, errors, out=none, where=errors > 0)


def holm(values: Sequence[float]) -> list[float]:
    """P values corrected for their number: that one is below a level by chance is as unlikely.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    found, last = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        last = max(last, min(1.0, (len(values) - rank) * values[place]))
        found[place] = last
    return found
