"""The result of `benchmarks.growth` as text and as Markdown, with fitted exponents."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from benchmarks.facts import circumstances
from benchmarks.tables import aligned, piped

TEXTS = {"what grows", "of what", "work", "met"}
"""Columns that are no numbers."""

HEAD = ("what grows", "of what", "work", "from", "to", "seconds", "exponent", "order", "met")

DECADE = 10
"""The exponent is fitted where sizes are at least the largest over this."""

SLACK = 0.05
"""By how much a fitted exponent may exceed the work's order, for it is measured."""


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The slope of log seconds over log size, by least squares, in the last order of magnitude.

    What is paid once whatever the size makes it smaller; at small sizes there may be little else.
    """
    pairs = [
        (np.log(size), np.log(second))
        for size, second in zip(sizes, seconds, strict=True)
        if size * DECADE >= sizes[-1]
    ]
    slope, _ = np.polyfit(*zip(*pairs, strict=True), deg=1)
    return float(slope)


def rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One line for each series and work; seconds are medians over rounds."""
    out = []
    for own in result["series"]:
        seconds = [median(each) for each in own["seconds"]]
        found = exponent(own["sizes"], seconds)
        out.append(
            (
                own["series"],
                own["about"],
                own["work"],
                f"{own['sizes'][0]:,}",
                f"{own['sizes'][-1]:,}",
                f"{seconds[0]:.3g} to {seconds[-1]:.3g}",
                f"{found:.2f}",
                str(own["order"]),
                "yes" if found <= own["order"] + SLACK else "no",
            )
        )
    return out


def facts(result: Mapping[str, Any]) -> str:
    """What the figures depend on, in one paragraph."""
    return (
        f"{circumstances(result)}; encoders of width {result['width']} drawn at random, fp32; "
        f"{result['rounds']} rounds; exponents are fitted over the last order of magnitude"
    )


def markdown(result: Mapping[str, Any]) -> str:
    """A paragraph of facts and the table."""
    return f"{facts(result)}.\n\n{piped(HEAD, rows(result), texts=TEXTS)}"


def text(result: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    return f"{facts(result)}\n\n{aligned(HEAD, rows(result), texts=TEXTS)}\n"
