"""What a scheme is and what it has learnt, as plain data: small enough to keep with every run."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hiermtl.sharing.base import Sharing
from hiermtl.sharing.routes import Routes

DIGITS = 4
"""Decimals that are kept of a number."""

MOST_NUMBERS = 2000
"""Beyond so many, a number per channel is told by mean and spread."""


def describe(sharing: Sharing) -> dict[str, Any]:
    """The scheme's name, its structure, and what it has learnt, in short; JSON can say all of it.

    `structure` has `depths` (task to depth, lowest first) and, of what some task depends on,
    `branches` (for each depth from 0, branch to parent), `reads` (task to its (depth, branch)
    pairs), `mixes` (depth to pairs of receivers and what is mixed into them), `ties` (depth to
    groups of branches whose copies are held together), `feeds` (depth to tasks whose predictions
    enter its blocks), `sees` (depth to the (depth, branch) pairs that its blocks read too) and
    `prior` (axes of the layers that heads read, where tasks have some under one prior).
    `learnt` is the scheme's own, see `brief`.
    """
    tasks, routes = sharing.hierarchy.names, Routes(sharing)
    used = set().union(*(routes[task].raw for task in tasks))
    mixed = set().union(*(routes[task].mixed for task in tasks))
    branches, mixes, ties, feeds, sees = [], {}, {}, {}, {}
    for depth in range(max(at for at, _ in used) + 1):
        parents = sharing.branches(depth)
        branches.append({branch: parents[branch] for branch in parents if (depth, branch) in used})
        alike: dict[tuple[str, ...], list[str]] = {}
        for branch in branches[-1]:
            senders = tuple(sharing.senders(depth, branch))
            if (depth, branch) in mixed and senders != (branch,):
                alike.setdefault(senders, []).append(branch)
        if alike:
            mixes[str(depth)] = [[names, list(senders)] for senders, names in alike.items()]
        if held := [list(group) for group in sharing.ties(depth)]:
            ties[str(depth)] = held
        if depth and sharing.feeds(depth):
            feeds[str(depth)] = list(sharing.feeds(depth))
        if depth and sharing.sees(depth):
            sees[str(depth)] = [[at, branch] for at, branch in sharing.sees(depth)]
    return {
        "scheme": sharing.name,
        "structure": {
            "depths": {task.name: task.depth for task in sharing.hierarchy},
            "branches": branches,
            "reads": {
                task: [[depth, branch] for depth, branch in sharing.reads(task)] for task in tasks
            },
            "mixes": mixes,
            "ties": ties,
            "feeds": feeds,
            "sees": sees,
            "prior": list(sharing.prior()),
        },
        "learnt": brief(sharing.learnt()),
    }


def brief(learnt: Mapping[str, Any], *, most: int = MOST_NUMBERS) -> dict[str, Any]:
    """The same with rounded numbers; where they are more than `most`, without those of channels.

    Lists of numbers in lists of lists then become the `mean` and the `spread` (standard deviation)
    of the innermost ones.
    """
    whole = _count(learnt) <= most
    return {str(key): _short(value, whole=whole) for key, value in learnt.items()}


def _short(value: Any, *, whole: bool) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _short(own, whole=whole) for key, own in value.items()}
    if isinstance(value, list | tuple):
        if not whole and _levels(value) > 2:
            channels = np.array(value)
            found = {"mean": channels.mean(-1).tolist(), "spread": channels.std(-1).tolist()}
            return _short(found, whole=True)
        return [_short(own, whole=whole) for own in value]
    # Adding 0 makes a plain 0 of -0.
    return round(value, DIGITS) + 0.0 if isinstance(value, float) else value


def _levels(value: Any) -> int:
    """How deep lists of numbers lie in each other; 0 for what is no number."""
    if isinstance(value, list | tuple) and value:
        inner = _levels(value[0])
        return inner + 1 if inner or isinstance(value[0], float) else 0
    return 0


def _count(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(map(_count, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_count, value))
    return 1 if isinstance(value, float) else 0
