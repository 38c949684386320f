"""The result of `benchmarks.significance` as text and as Markdown."""

from collections.abc import Mapping
from typing import Any

from benchmarks.tables import aligned, piped

TEXTS = {"task", "arms"}
"""Columns that are no numbers."""

SAID = {
    "same recipe": "of one recipe",
    "other documents": "differ by documents, not on average",
    "one point": "differ by one point",
}


def head(result: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns."""
    return (
        "task",
        "spread",
        "seeds",
        "arms",
        *_tests(result),
        "percentiles at 1 %",
        "bootstrap at 1 %",
    )


def _tests(result: Mapping[str, Any]) -> list[str]:
    return list(result["rows"][0]["rates"])


def rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Rejections in per cent, at the 5 % level and, of two, far out."""
    found = []
    for row in result["rows"]:
        rates = row["rates"]
        far = [rates["percentiles"][1], rates["bootstrap"][1]]
        shown = [f"{100 * rates[test][0]:.1f}" for test in _tests(result)]
        found.append(
            (
                row["task"],
                f"{result['spread'][row['task']]:.2f}",
                str(row["seeds"]),
                SAID[row["case"]],
                *shown,
                *(f"{100 * rate:.1f}" for rate in far),
            )
        )
    return found


def facts(result: Mapping[str, Any]) -> str:
    """What the figures depend on, in one paragraph."""
    made = result["commit"]
    commit = "outside git" if made is None else f"commit {made['name'][:10]}"
    return (
        f"Rejections in per cent at the 5 % level; {result['splits']:,} splits a row over "
        f"{result['recipes']} recipes, {result['resamples']} resamples, {commit}"
    )


def markdown(result: Mapping[str, Any]) -> str:
    """A paragraph of facts and the table."""
    return f"{facts(result)}.\n\n{piped(head(result), rows(result), texts=TEXTS)}"


def text(result: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    return f"{facts(result)}\n\n{aligned(head(result), rows(result), texts=TEXTS)}\n"
