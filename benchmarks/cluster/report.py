"""The result of `benchmarks.cluster` as text and as Markdown."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.facts import circumstances
from benchmarks.tables import aligned, piped

TEXTS = {"way"}
"""Columns that are no numbers."""


def head(result: Mapping[str, Any]) -> tuple[str, ...]:
    """A column of seconds for each size, and what the sizes say together."""
    sizes = [f"{size['sentences']:,} sentences" for size in result["sizes"]]
    return ("way", *sizes, "before the first word", "words/s after it", "pays from")


def rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Medians over rounds in seconds; the start and the rate of the line through two sizes."""
    sizes = sorted(result["sizes"], key=lambda size: size["words"])
    first, *_ = ways = list(sizes[0]["seconds"])
    lines = {}
    for way in ways:
        points = [(size["words"], median(size["seconds"][way])) for size in sizes]
        (few, soon), (many, late) = points[0], points[-1]
        slope = (late - soon) / (many - few)
        lines[way] = (soon - slope * few, slope)
    out = []
    for way in ways:
        seconds = [f"{median(size['seconds'][way]):.1f} s" for size in result["sizes"]]
        start, slope = lines[way]
        saved = lines[first][1] - slope
        pays = (start - lines[first][0]) / saved if saved > 0 else None
        told = "" if way == first else "never" if pays is None else f"{max(0, pays):,.0f} words"
        out.append((way, *seconds, f"{start:.1f} s", f"{1 / slope:,.0f}", told))
    return out


def facts(result: Mapping[str, Any]) -> str:
    """What the figures depend on, in one paragraph."""
    count = len(next(iter(result["sizes"][0]["seconds"].values())))
    return f"{circumstances(result)}; whole commands with {result['model']}, {count} rounds"


def markdown(result: Mapping[str, Any]) -> str:
    """A paragraph of facts and the table."""
    return f"{facts(result)}.\n\n{piped(head(result), rows(result), texts=TEXTS)}"


def text(result: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    return f"{facts(result)}\n\n{aligned(head(result), rows(result), texts=TEXTS)}\n"
