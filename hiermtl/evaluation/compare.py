"""Groups of runs against each other: means and spreads over seeds, differences, paired tests.

Source: the bootstrap of Koehn 2004 (Statistical Significance Tests for Machine Translation
Evaluation), with seeds resampled first and documents within them, since both are drawn: a test of
one model against another says nothing on what another seed would have given.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiermtl.errors import RecipeError, listing
from hiermtl.evaluation.compare_table import comparison_markdown, comparison_text
from hiermtl.evaluation.measures import counted_by
from hiermtl.evaluation.results import RunResult, Units

RESAMPLES = 2000
FEWEST_SEEDS = 3
"""With fewer, no p value is printed: two seeds say next to nothing of a third."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A task's main metric over the seeds of an arm; `spread` is the standard deviation."""

    size: int | None
    arm: str
    task: str
    metric: str
    mean: float
    spread: float | None
    seeds: int


@dataclass(frozen=True, slots=True)
class Difference:
    """An arm minus a control, with the 95 % interval and the two-sided p value of resampling.

    Both are `None` where there are fewer than `FEWEST_SEEDS` common seeds.
    """

    size: int | None
    arm: str
    control: str
    task: str
    metric: str
    mean: float
    low: float | None
    high: float | None
    p: float | None
    seeds: int


@dataclass(frozen=True, slots=True)
class MeanCost:
    """What an arm cost, on average over its runs."""

    size: int | None
    arm: str
    steps: float
    words: float
    seconds: float
    parameters: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of it, in the order of sizes, arms and levels."""

    split: str
    means: tuple[Mean, ...]
    differences: tuple[Difference, ...]
    costs: tuple[MeanCost, ...]
    changes: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]

    def to_text(self) -> str:
        """Tables for a terminal."""
        return comparison_text(self)

    def to_markdown(self) -> str:
        """The same as Markdown tables."""
        return comparison_markdown(self)

    def to_json(self) -> str:
        """Plain data, with the names of the records' fields."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False, indent=1)


def compare_results(
    results: Iterable[RunResult], *, controls: Sequence[str] = (), resamples: int = RESAMPLES
) -> Comparison:
    """Means of each arm at each size, and each arm's differences to the controls.

    Raises:
        RecipeError: There is nothing to compare, a control is no arm, runs were scored on different
            data or splits, or two are of the same arm, size and seed.
    """
    results = list(results)
    if not results:
        raise RecipeError("there is no result to compare; name run folders or results of a grid")
    groups = _grouped(results)
    splits = sorted({row.split for result in results for row in result.rows})
    if len(splits) != 1:
        raise RecipeError(f"results are of splits {listing(splits)}; compare those of one")
    arms = list(dict.fromkeys(arm for _, arm in groups))
    for control in controls:
        if control not in arms:
            raise RecipeError(f"{control!r} is no arm; there are {listing(arms)}")
    means, differences, costs = [], [], []
    order = _order(results)
    for (size, arm), runs in groups.items():
        tasks = sorted(_tasks(runs), key=order.__getitem__)
        means += [_mean(size, arm, task, runs) for task in tasks]
        costs.append(_cost(size, arm, runs))
        for control in controls:
            others = groups.get((size, control))
            if control == arm or not others:
                continue
            shared = [task for task in tasks if task in _tasks(others)]
            differences += [
                _difference(size, arm, control, task, runs, others, resamples) for task in shared
            ]
    return Comparison(
        split=splits[0],
        means=tuple(means),
        differences=tuple(differences),
        costs=tuple(costs),
        changes={_label(size, arm): dict(runs[0].changes) for (size, arm), runs in groups.items()},
        notes=tuple(dict.fromkeys(note for result in results for note in result.notes)),
    )


def _grouped(results: Iterable[RunResult]) -> dict[tuple[int | None, str], list[RunResult]]:
    groups: dict[tuple[int | None, str], list[RunResult]] = {}
    for result in sorted(results, key=lambda r: (r.size is None, r.size or 0)):
        runs = groups.setdefault((result.size, result.arm), [])
        if any(run.seed == result.seed for run in runs):
            raise RecipeError(
                f"two results are of arm {result.arm!r}, {_size(result.size)} and seed "
                f"{result.seed}; leave one out"
            )
        runs.append(result)
    for runs in groups.values():
        runs.sort(key=lambda run: run.seed)
    return groups


def _order(results: Iterable[RunResult]) -> dict[str, float]:
    """The level of each task, on average over all runs: controls may have all tasks on one."""
    levels: dict[str, list[int]] = {}
    for result in results:
        for row in result.rows:
            levels.setdefault(row.task, []).append(row.level)
    return {task: fmean(own) for task, own in levels.items()}


def _tasks(runs: Sequence[RunResult]) -> list[str]:
    """The tasks that all of these runs have a score of, lowest level first."""
    found = [list(dict.fromkeys(row.task for row in run.rows)) for run in runs]
    return [task for task in found[0] if all(task in other for other in found)]


def _main(run: RunResult, task: str) -> tuple[str, float]:
    """The task's main metric and its score; of several data sets their mean."""
    metric = next(row.metric for row in run.rows if row.task == task)
    scores = [row.score for row in run.rows if (row.task, row.metric) == (task, metric)]
    return metric, fmean(scores)


def _mean(size: int | None, arm: str, task: str, runs: Sequence[RunResult]) -> Mean:
    metric = _main(runs[0], task)[0]
    scores = [_main(run, task)[1] for run in runs]
    spread = stdev(scores) if len(scores) > 1 else None
    return Mean(size, arm, task, metric, fmean(scores), spread, len(scores))


def _cost(size: int | None, arm: str, runs: Sequence[RunResult]) -> MeanCost:
    return MeanCost(
        size,
        arm,
        **{
            name: fmean(run.cost.get(name, 0.0) for run in runs)
            for name in ("steps", "words", "seconds", "parameters")
        },
    )


def _difference(
    size: int | None,
    arm: str,
    control: str,
    task: str,
    runs: Sequence[RunResult],
    others: Sequence[RunResult],
    resamples: int,
) -> Difference:
    by_seed = {run.seed: run for run in others}
    pairs = [(run, by_seed[run.seed]) for run in runs if run.seed in by_seed]
    metric = _main(runs[0], task)[0]
    if not pairs:
        raise RecipeError(
            f"arms {arm!r} and {control!r} have no seed in common; train both with the same seeds"
        )
    mean = fmean(_main(run, task)[1] - _main(other, task)[1] for run, other in pairs)
    low = high = p = None
    if len(pairs) >= FEWEST_SEEDS:
        drawn = resampled_differences(
            [(_of(run, task), _of(other, task)) for run, other in pairs], resamples=resamples
        )
        low, high = (float(edge) for edge in np.percentile(drawn, [2.5, 97.5]))
        below, above = int((drawn <= 0).sum()), int((drawn >= 0).sum())
        p = min(1.0, 2 * (min(below, above) + 1) / (resamples + 1))
    return Difference(size, arm, control, task, metric, mean, low, high, p, len(pairs))


def _of(run: RunResult, task: str) -> list[Units]:
    """The task's counts on each of its data sets."""
    return [units for key, units in run.units.items() if key.split(" (")[0] == task]


def resampled_differences(
    pairs: Sequence[tuple[Sequence[Units], Sequence[Units]]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> NDArray[np.float64]:
    """(resamples,) differences of the mean main metric over resampled seeds and documents.

    `pairs` have for each seed the counts of an arm and of its control, on the same units. All seeds
    are judged on the same documents, so that within a resample all are given the same ones: drawn
    anew for each seed, what one document adds would cancel. Where the data has several parts, the
    metric is the mean over them.

    Raises:
        RecipeError: Runs were not scored on the same units.
    """
    random = np.random.default_rng(seed)
    count, first = len(pairs), pairs[0][0]
    seeds = random.multinomial(count, np.full(count, 1 / count), size=resamples)
    weights = [
        random.multinomial(len(part.rows), np.full(len(part.rows), 1 / len(part.rows)), resamples)
        for part in first
    ]
    total = np.zeros(resamples)
    for place, sides in enumerate(pairs):
        for side in sides:
            _check_same(side, first)
        own, other = (
            sum(_scores(part, drawn) for part, drawn in zip(side, weights, strict=True))
            for side in sides
        )
        total += seeds[:, place] * (own - other) / len(first)
    return total / count


def _scores(units: Units, weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """The main metric under each row of weights; 0 where it cannot be told, as `evaluate` says."""
    found = counted_by(units).score(weights @ units.rows)
    return np.nan_to_num(np.asarray(next(iter(found.values()))), nan=0.0)


def _check_same(own: Sequence[Units], other: Sequence[Units]) -> None:
    shapes = [[(part.metric, part.rows.shape) for part in parts] for parts in (own, other)]
    if shapes[0] != shapes[1]:
        raise RecipeError(
            "runs were not scored on the same data in the same way, so that they cannot be paired; "
            "compare runs of the same corpora and split"
        )


def _label(size: int | None, arm: str) -> str:
    return arm if size is None else f"{arm}, {_size(size)}"


def _size(size: int | None) -> str:
    return "all sentences" if size is None else f"{size:,} sentences"
