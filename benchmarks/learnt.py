"""What schemes have learnt of sharing in the runs of a grid, over seeds, as tables of pages."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev
from typing import Any

import numpy as np

from benchmarks.grids import EMPTY, Experiment, kept_results
from benchmarks.tables import piped

Learnt = Mapping[str, Any]
"""What a run has learnt, as `Sharing.learnt` tells it."""

Read = Callable[[Learnt, str], float]
PairRead = Callable[[Learnt, str, str], float]


@dataclass(frozen=True, slots=True)
class Sharings:
    """What the first size's runs of an experiment have learnt, arm by arm."""

    experiment: Experiment

    def markdown(self) -> str:
        """A table of what is told of tasks, and one of pairs; nothing where there is no result."""
        every = kept_results(self.experiment.folder)
        size = min((r.size for r in every if r.size is not None), default=None)
        runs: dict[str, list[Learnt]] = {}
        for result in every:
            if result.size == size and result.learnt.get("learnt"):
                runs.setdefault(result.arm, []).append(result.learnt["learnt"])
        if not runs:
            return ""
        tasks = list(dict.fromkeys(row.task for result in every for row in result.rows))
        pairs = list(combinations(tasks, 2))
        of_tasks = [
            [f"`{arm}`: {said}", *(_spread(read(one, task) for one in runs[arm]) for task in tasks)]
            for arm, said, read in OF_TASKS
            if arm in runs
        ]
        of_pairs = [
            [
                f"`{arm}`: {said}",
                *(_spread(read(one, *pair) for one in runs[arm]) for pair in pairs),
            ]
            for arm, said, read in OF_PAIRS
            if arm in runs
        ]
        return "\n\n".join(
            piped(("learnt", *head), rows, texts={"learnt"})
            for head, rows in (
                (tasks, of_tasks),
                ([f"{one}, {other}" for one, other in pairs], of_pairs),
            )
            if rows
        )


def _spread(values: Iterable[float]) -> str:
    """Mean and, of several, standard deviation."""
    known = list(values)
    if np.isnan(known).any():
        return EMPTY
    told = f"{fmean(known):.2f}"
    return f"{told} ± {stdev(known):.2f}" if len(known) > 1 else told


def _centre(shares: Sequence[float]) -> float:
    """The mean depth, of shares that may be negative: by their sizes."""
    sizes = np.abs(shares)
    return float((sizes * np.arange(1, len(sizes) + 1)).sum() / sizes.sum())


def _together(learnt: Learnt, one: str, other: str) -> float:
    """1 where both are read from one copy of the top block, else 0."""
    top = learnt["tree"][max(learnt["tree"], key=int)]
    return float(any(one in group and other in group for group in top))


def _between(name: str) -> PairRead:
    """The cell of a pair in a matrix of tasks."""

    def read(learnt: Learnt, one: str, other: str) -> float:
        names = learnt["tasks"]
        return float(learnt[name][names.index(one)][names.index(other)])

    return read


def _alphas(learnt: Learnt) -> Iterable[tuple[list[str], np.ndarray]]:
    """For each depth the streams, and the sizes of shares, receivers in rows; parts are summed."""
    parts = learnt.get("subspaces", 1)
    for given in learnt["alpha"].values():
        told = given["values"]
        values = np.abs(np.array(told["mean"] if isinstance(told, Mapping) else told))
        values = values.reshape(*values.shape[:2], -1).mean(-1)
        count = len(values) // parts
        yield given["streams"], values.reshape(count, parts, count, parts).sum(3).mean(1)


def _own(learnt: Learnt, task: str) -> float:
    """What part of all that a task's stream takes is its own, on average over depths."""
    found = []
    for names, values in _alphas(learnt):
        row = values[names.index(task)]
        found.append(row[names.index(task)] / row.sum())
    return fmean(found)


def _taken(learnt: Learnt, one: str, other: str) -> float:
    """What part two streams take of each other, on average over depths and both directions."""
    found = []
    for names, values in _alphas(learnt):
        shares = values / values.sum(1, keepdims=True)
        a, b = names.index(one), names.index(other)
        found.append((shares[a, b] + shares[b, a]) / 2)
    return fmean(found)


OF_TASKS: Sequence[tuple[str, str, Read]] = (
    ("learned", "centre of gravity, blocks", lambda learnt, task: learnt["centres"][task]),
    ("learned", "depth that was kept", lambda learnt, task: learnt["depths"][task]),
    ("cross_stitch", "part of its own stream", _own),
    ("sluice", "part of its own stream", _own),
    ("sluice", "centre of what its head reads", lambda learnt, task: _centre(learnt["beta"][task])),
)
"""Of an arm, what is told of each task, and how it is read."""

OF_PAIRS: Sequence[tuple[str, str, PairRead]] = (
    ("adaptive", "affinity", _between("affinities")),
    ("adaptive", "share of runs with both on one copy at the top", _together),
    ("adaptive_unsure", "affinity", _between("affinities")),
    ("adaptive_unsure", "share of runs with both on one copy at the top", _together),
    ("relationship", "correlation", _between("correlations")),
    ("cross_stitch", "part of each other", _taken),
    ("sluice", "part of each other", _taken),
)
"""Of an arm, what is told of each pair of tasks."""
