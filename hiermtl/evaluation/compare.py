"""Groups of runs against each other: means and spreads over seeds, differences, tests.

The tests are in `hiermtl.evaluation.significance`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, cast

from hiermtl.errors import RecipeError, listing, nearest
from hiermtl.evaluation.comparable import check_comparable, of_main
from hiermtl.evaluation.compare_table import (
    COLUMNS,
    comparison_csv,
    comparison_markdown,
    comparison_rows,
    comparison_text,
)
from hiermtl.evaluation.results import RunResult
from hiermtl.evaluation.significance import (
    RESAMPLES,
    TESTS,
    Drawn,
    TestName,
    bootstrap_test,
    holm,
    parts_of,
    randomisation_test,
)

if TYPE_CHECKING:
    import pandas as pd

FEWEST_SEEDS = 3
"""With fewer, no p value is printed: two seeds say next to nothing of a third."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A task's main metric over the seeds of an arm; `spread` is the standard deviation.

    `seeds` is how many there are, `seed_numbers` which. Of several data sets, or number formats of
    the runs, all are named.
    """

    size: int | None
    arm: str
    level: int
    task: str
    metric: str
    mean: float
    spread: float | None
    seeds: int
    data: str
    scorer: str
    dtype: str
    seed_numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """An arm minus a control, with the 95 % interval and the two-sided p value of the test.

    `p_holm` is p corrected for all differences of the comparison. All are `None` where one of both
    has fewer than `FEWEST_SEEDS` seeds. `level` is the task's in the arm, `seeds` are the arm's,
    `control_seeds` the control's.
    """

    size: int | None
    arm: str
    control: str
    level: int
    task: str
    metric: str
    mean: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    seeds: int
    control_seeds: int


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
    """All of it, in the order of sizes, arms and levels; `controls` are the arms set against."""

    split: str
    test: TestName
    means: tuple[Mean, ...]
    differences: tuple[Difference, ...]
    costs: tuple[MeanCost, ...]
    changes: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]
    controls: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Tables for a terminal."""
        return comparison_text(self)

    def to_markdown(self) -> str:
        """The same as Markdown tables."""
        return comparison_markdown(self)

    def to_csv(self) -> str:
        """One line per arm, task and control: mean, spread, difference, interval, p values."""
        return comparison_csv(self)

    def to_pandas(self) -> "pd.DataFrame":
        """The rows of `to_csv` as a data frame."""
        import pandas as pd

        return pd.DataFrame(list(comparison_rows(self)), columns=list(COLUMNS))

    def to_json(self) -> str:
        """Plain data, with the names of the records' fields."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False, indent=1)

    def __str__(self) -> str:
        """As `to_text`."""
        return self.to_text()


def compare_results(
    results: Iterable[RunResult],
    *,
    controls: Sequence[str] = (),
    test: str = "bootstrap",
    resamples: int = RESAMPLES,
) -> Comparison:
    """Means of each arm at each size, and each arm's differences to the controls.

    Args:
        results: Of the runs.
        controls: Arms that all others are set against.
        test: `bootstrap` or `randomisation`; see `hiermtl.evaluation.significance`.
        resamples: How often documents are drawn, or swapped, for a test.

    Raises:
        RecipeError: There is nothing to compare, a control is no arm, two runs are of the same arm,
            size and seed, or runs cannot be compared: split, data, scorer or budget differ.
    """
    results = list(results)
    if not results:
        raise RecipeError("there is no result to compare; name run folders or results of a grid")
    if test not in TESTS:
        raise RecipeError(
            f"test is {test!r}; allowed are {listing(TESTS)}{nearest(str(test), TESTS)}"
        )
    chosen = cast("TestName", test)
    groups = _grouped(results)
    splits = sorted({row.split for result in results for row in result.rows})
    if len(splits) != 1:
        raise RecipeError(f"results are of splits {listing(splits)}; compare those of one")
    arms = list(dict.fromkeys(arm for _, arm in groups))
    for control in controls:
        if control not in arms:
            raise RecipeError(f"{control!r} is no arm; there are {listing(arms)}")
    _check_sizes(groups, controls)
    means, costs = [], []
    order = _order(results)
    for (size, arm), runs in groups.items():
        tasks = sorted(_tasks(runs), key=order.__getitem__)
        check_comparable(runs, tasks)
        means += [_mean(size, arm, task, runs) for task in tasks]
        costs.append(_cost(size, arm, runs))
    differences = _differences(groups, controls, order, test=chosen, drawn=Drawn(resamples))
    return Comparison(
        split=splits[0],
        test=chosen,
        means=tuple(means),
        differences=tuple(_corrected(differences)),
        costs=tuple(costs),
        changes={_label(size, arm): dict(runs[0].changes) for (size, arm), runs in groups.items()},
        notes=(
            *_left_out(groups, controls),
            *_unknown(results),
            *dict.fromkeys(n for result in results for n in result.notes),
        ),
        controls=tuple(controls),
    )


def _left_out(
    groups: Mapping[tuple[int | None, str], Sequence[RunResult]], controls: Sequence[str]
) -> list[str]:
    """Notes on tasks that not all runs of an arm have, and on arms that share none with another."""
    notes = []
    for (size, arm), runs in groups.items():
        kept, whole = _tasks(runs), _all_tasks(runs)
        for task in whole:
            if task not in kept:
                lacking = [run.seed for run in runs if all(row.task != task for row in run.rows)]
                notes.append(
                    f"{_label(size, arm)}: {task!r} is left out, since there is no score of it for "
                    f"{'seed' if len(lacking) == 1 else 'seeds'} {listing(map(str, lacking))}"
                )
        for control in controls:
            others = groups.get((size, control))
            if others and control != arm and not set(kept) & set(_tasks(others)):
                notes.append(
                    f"{_label(size, arm)}: no difference to {control}, as they have no task in "
                    f"common ({_listed(kept)} and {_listed(_tasks(others))})"
                )
    return notes


def _listed(tasks: Sequence[str]) -> str:
    return listing(tasks) if tasks else "none"


def _unknown(results: Sequence[RunResult]) -> list[str]:
    """Notes on results that do not say for how long was trained, or on what."""
    bare = sum(not result.budget for result in results)
    on = sum(not any(key.endswith(".train") for key in result.budget) for result in results) - bare
    return [
        f"of {count} of {len(results)} results it is not known {what} was trained: {why}"
        for count, what, why in (
            (bare, "for how long", "they were made before that was kept"),
            (on, "on what data", "it was not kept when they were made"),
        )
        if count
    ]


def _check_sizes(
    groups: Mapping[tuple[int | None, str], Sequence[RunResult]], controls: Sequence[str]
) -> None:
    """Raises RecipeError for an arm and a control that were never trained on as many examples."""
    sizes: dict[str, list[int | None]] = {}
    for size, arm in groups:
        sizes.setdefault(arm, []).append(size)
    for control in controls:
        for arm, own in sizes.items():
            if not set(own) & set(sizes[control]):
                raise RecipeError(
                    f"arms {arm!r} and {control!r} had other budgets: {listing(map(_size, own))} "
                    f"of each corpus and {listing(map(_size, sizes[control]))}; compare runs of "
                    "the same training.max_examples"
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
    found = [{row.task for row in run.rows} for run in runs]
    return [task for task in _all_tasks(runs) if all(task in other for other in found)]


def _all_tasks(runs: Sequence[RunResult]) -> list[str]:
    """The tasks that any of these runs has a score of."""
    return list(dict.fromkeys(row.task for run in runs for row in run.rows))


def _main(run: RunResult, task: str) -> tuple[str, float]:
    """The task's main metric and its score; of several data sets their mean."""
    metric = next(row.metric for row in run.rows if row.task == task)
    scores = [row.score for row in run.rows if (row.task, row.metric) == (task, metric)]
    return metric, fmean(scores)


def _level(run: RunResult, task: str) -> int:
    return next(row.level for row in run.rows if row.task == task)


def _mean(size: int | None, arm: str, task: str, runs: Sequence[RunResult]) -> Mean:
    metric = _main(runs[0], task)[0]
    scores = [_main(run, task)[1] for run in runs]
    spread = stdev(scores) if len(scores) > 1 else None
    about = {
        key: " and ".join(sorted({of_main(run, task, key) for run in runs}))
        for key in ("data", "scorer", "dtype")
    }
    return Mean(
        size,
        arm,
        _level(runs[0], task),
        task,
        metric,
        fmean(scores),
        spread,
        len(scores),
        seed_numbers=tuple(run.seed for run in runs),
        **about,
    )


def _cost(size: int | None, arm: str, runs: Sequence[RunResult]) -> MeanCost:
    return MeanCost(
        size,
        arm,
        **{
            name: fmean(run.cost.get(name, 0.0) for run in runs)
            for name in ("steps", "words", "seconds", "parameters")
        },
    )


def _differences(
    groups: Mapping[tuple[int | None, str], list[RunResult]],
    controls: Sequence[str],
    order: Mapping[str, float],
    *,
    test: TestName,
    drawn: Drawn,
) -> list[Difference]:
    """All differences to the controls, in the order of sizes, arms and controls; not corrected."""
    found = []
    for (size, arm), runs in groups.items():
        for control in controls:
            others = groups.get((size, control))
            if control == arm or not others:
                continue
            shared = [task for task in _tasks(runs) if task in _tasks(others)]
            shared.sort(key=order.__getitem__)
            check_comparable([*others, *runs], shared)
            found += [_difference(size, (runs, others), task, test, drawn) for task in shared]
    return found


def _difference(
    size: int | None,
    sides: tuple[Sequence[RunResult], Sequence[RunResult]],
    task: str,
    test: TestName,
    drawn: Drawn,
) -> Difference:
    """All runs of an arm less all of a control: seeds of one number are no pairs."""
    (first, *_), (control, *_) = sides
    scores = [[_main(run, task)[1] for run in side] for side in sides]
    low = high = p = None
    if min(map(len, sides)) >= FEWEST_SEEDS:
        own, other = (
            drawn.arm(side, task, of_side, like=control)
            for side, of_side in zip(sides, scores, strict=True)
        )
        if test == "bootstrap":
            found = bootstrap_test(own, other)
        else:
            counts = [[parts_of(run, task, like=control) for run in side] for side in sides]
            found = randomisation_test(
                own, other, (counts[0], counts[1]), resamples=drawn.resamples
            )
        low, high, p = found.low, found.high, found.p
    return Difference(
        size,
        first.arm,
        control.arm,
        _level(first, task),
        task,
        _main(first, task)[0],
        fmean(scores[0]) - fmean(scores[1]),
        low,
        high,
        p,
        None,
        *map(len, sides),
    )


def _corrected(differences: Sequence[Difference]) -> list[Difference]:
    """With p values corrected for how many differences are tested, each pair of arms once."""
    tested = [item for item in differences if item.p is not None]
    # Of two controls each is set against the other: one test, told from both sides.
    values = {_pair(item): item.p for item in tested if item.p is not None}
    corrected = dict(zip(values, holm(list(values.values())), strict=True))
    return [
        replace(item, p_holm=corrected[_pair(item)]) if item.p is not None else item
        for item in differences
    ]


def _pair(item: Difference) -> tuple[object, ...]:
    return item.size, frozenset((item.arm, item.control)), item.task


def _label(size: int | None, arm: str) -> str:
    return arm if size is None else f"{arm}, {_size(size)}"


def _size(size: int | None) -> str:
    return "all sentences" if size is None else f"{size:,} sentences"
