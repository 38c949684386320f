"""What probes say of each task, and their numbers at each depth, as tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hiermtl.evaluation.table import decimals
from hiermtl.reporting.facts import is_number
from hiermtl.reporting.markup import Markup, table, tag

_HEAD = (
    *("task", "proposed depth", "best depth", "centre of gravity", "expected layer", "baseline"),
    "items",
)


def proposed(tasks: Sequence[Mapping[str, Any]]) -> Markup:
    """A row for each task: the depths that follow from its scores, and its baseline."""
    return table(_HEAD, [_summary(task) for task in tasks])


def by_depth(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Scores, those of control labels, and variability, as far as there are any, by depth."""
    depths = sorted({row["depth"] for row in rows})
    lines = [
        line
        for task in dict.fromkeys(row["task"] for row in rows)
        for line in _lines([row for row in rows if row["task"] == task], depths)
    ]
    whole = table(("task", "what", *map(str, depths)), lines, words=(0, 1))
    return tag("details", tag("summary", "The numbers by depth"), whole)


def _summary(task: Mapping[str, Any]) -> list[str]:
    told = f".{decimals(str(task.get('metric')))}f"
    return [
        str(task["task"]),
        _shown(task.get("proposed"), ".0f"),
        _shown(task.get("best"), ".0f"),
        _shown(task.get("centre"), ".2f", spread=task.get("centre_spread")),
        _shown(task.get("expected"), ".2f"),
        _shown(task.get("baseline"), told),
        _shown(task.get("items"), ",.0f"),
    ]


def _lines(rows: Sequence[Mapping[str, Any]], depths: Sequence[int]) -> Iterator[list[str]]:
    at = {row["depth"]: row for row in rows}
    metric = str(rows[0].get("metric", "score"))
    first, told = rows[0]["task"], f".{decimals(metric)}f"
    for key, what, form in (
        ("score", metric, told),
        ("control", "control", told),
        ("variability", "variability", ".3g"),
    ):
        if not any(is_number(row.get(key)) for row in rows):
            continue
        cells = []
        for depth in depths:
            row = at.get(depth, {})
            spread = row.get("spread") if key == "score" else None
            cells.append(_shown(row.get(key), form, spread=spread))
        yield [first, what, *cells]
        first = ""


def _shown(given: object, form: str, *, spread: object = None) -> str:
    """A number in this form, or a dash for what is none."""
    if not is_number(given):
        return "-"
    told = format(given, form)
    return f"{told}\u00a0±\u00a0{spread:{form}}" if is_number(spread) else told
