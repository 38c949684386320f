"""What must be the same of runs that are compared, and what differs where it is not."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hiermtl.errors import RecipeError
from hiermtl.evaluation.results import RunResult, Units
from hiermtl.evaluation.significance import parts_of

_GOLD = ("items", "words", "gold", "gold2", "gold_strict", "content_gold")
"""Columns that count gold alone, in any metric."""


def check_comparable(runs: Sequence[RunResult], tasks: Sequence[str]) -> None:
    """Checks that runs had the same budget and were scored on the same gold in the same way.

    Of what a result does not say, since it was made before it was kept, nothing is checked: there
    the counts of gold alone must agree.

    Raises:
        RecipeError: They had, or were, not; the message says in what they differ.
    """
    first = runs[0]
    for other in runs[1:]:
        _check_budget(first, other)
        for task in tasks:
            _check_task(first, other, task)


def _check_budget(first: RunResult, other: RunResult) -> None:
    for key, own in first.budget.items():
        if key in other.budget and other.budget[key] != own:
            alike = "on the same data" if key.endswith((".train", ".examples")) else "for as long"
            raise RecipeError(
                f"{_told(first, other)} had other budgets: {key} is {own} and "
                f"{other.budget[key]}; train both {alike}"
            )


def _check_task(first: RunResult, other: RunResult, task: str) -> None:
    def differ(what: str, of: Callable[[RunResult], Any], *, shown: bool = True) -> None:
        sides = of(first), of(other)
        if sides[0] != sides[1]:
            told = f": {sides[0]} and {sides[1]}" if shown else ""
            raise RecipeError(
                f"{_told(first, other)} differ in the {what} that {task!r} was scored "
                f"{'by' if what == 'scorer' else 'on'}{told}; score them alike to compare them"
            )

    differ("split", lambda run: of_main(run, task, "split"))
    differ("scorer", lambda run: of_main(run, task, "scorer"))
    names = [
        {key: gold for key, gold in run.gold.items() if key == task or key.startswith(f"{task} (")}
        for run in (first, other)
    ]
    if all(names):
        golds = [sorted(own.values()) for own in names]
        if golds[0] == golds[1]:
            # The same words and gold, but perhaps not cut into the same documents.
            differ("documents", lambda run: _counted(run, task, like=first))
            return
    differ("data", lambda run: of_main(run, task, "data"))
    differ("number of items", lambda run: of_main(run, task, "items"))
    if all(names):
        data, split = of_main(first, task, "data"), of_main(first, task, "split")
        raise RecipeError(
            f"{_told(first, other)} were scored on other versions of {data}: "
            f"the gold of {task!r} is {', '.join(names[0].values())} and "
            f"{', '.join(names[1].values())}; score them on one version of the corpus: a run "
            f"folder is scored anew once its result-{split}.json is deleted"
        )
    differ(
        "documents",
        lambda run: [_gold(part) for part in parts_of(run, task, like=first)],
        shown=False,
    )


def _counted(run: RunResult, task: str, *, like: RunResult) -> str:
    """How many documents each data set of the task has."""
    return ", ".join(f"{len(part.rows):,}" for part in parts_of(run, task, like=like))


def _gold(units: Units) -> tuple[Any, ...]:
    """What of counts by document is known from gold alone."""
    chosen = [
        place for place, name in enumerate(units.columns) if name in _GOLD or name.endswith(".gold")
    ]
    return units.metric, units.rows.shape, np.round(units.rows[:, chosen], 2).tolist()


def of_main(run: RunResult, task: str, key: str) -> Any:
    """What the rows of the task's main metric say under a key; one value, or several as text."""
    metric = next(row.metric for row in run.rows if row.task == task)
    rows = [row for row in run.rows if (row.task, row.metric) == (task, metric)]
    values = sorted({str(getattr(row, key)) for row in rows})
    return ", ".join(values)


def _told(first: RunResult, other: RunResult) -> str:
    if first.arm == other.arm:
        return f"seeds {first.seed} and {other.seed} of arm {first.arm!r}"
    return f"arms {first.arm!r} and {other.arm!r}"
