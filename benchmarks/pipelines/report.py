"""The result of `benchmarks.pipelines` as text and as Markdown."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.facts import circumstances
from benchmarks.tables import aligned, piped

TEXTS = {"pipeline", "format"}
"""Columns that are no numbers."""


def rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Name, number format, seconds and words per second, and the ratio with its goal."""
    out = [("pipeline", "format", "seconds", "words/s", "time over spaCy's", "goal")]
    for variant in result["variants"]:
        seconds = median(variant["seconds"])
        found = next(iter(variant["over"].values()), None)
        ratio = goal = ""
        if found is not None:
            least, greatest = min(found["rounds"]), max(found["rounds"])
            ratio = f"{median(found['rounds']):.2f} ({least:.2f} to {greatest:.2f})"
            goal = f"{found['goal']:.2f}"
        rate = f"{result['words'] / seconds:,.0f}"
        out.append((variant["name"], variant["dtype"], f"{seconds:.2f}", rate, ratio, goal))
    return out


def facts(result: Mapping[str, Any]) -> str:
    """What the figures depend on, in one paragraph."""
    return (
        f"{circumstances(result)}; model "
        f"{result['model']} ({', '.join(result['tasks'])}) against "
        f"{', '.join(result['components'])}; {result['sentences']:,} sentences, "
        f"{result['words']:,} words; {len(result['variants'][0]['seconds'])} rounds"
    )


def markdown(result: Mapping[str, Any]) -> str:
    """A paragraph of facts and the table."""
    head, *body = rows(result)
    return f"{facts(result)}.\n\n{piped(head, body, texts=TEXTS)}"


def text(result: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    head, *body = rows(result)
    return f"{facts(result)}\n\n{aligned(head, body, texts=TEXTS)}\n"
