"""The result of `benchmarks.processes` as text and as Markdown."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.facts import circumstances
from benchmarks.tables import aligned, piped

TEXTS = {"variant", "met"}
"""Columns that are no numbers."""

HEAD = ("variant", "words/s", "over the first", "goal", "share of checkpoints", "goal", "met")
LEAST, MOST = 0.85, 0.02
"""What several processes' words per second over one's is to be at least, checkpoints at most."""


def rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Medians over rounds; a ratio is taken within each. Checkpoints come once an epoch."""
    rounds = result["rounds"]
    first = next(iter(rounds))
    out = []
    for name, found in rounds.items():
        rate = median(own["rate"] for own in found)
        ratios = [a["rate"] / b["rate"] for a, b in zip(found, rounds[first], strict=True)]
        shares = [
            own["checkpoint"] / (result["epoch_words"] / own["rate"] + own["checkpoint"])
            for own in found
        ]
        share, ratio = median(shares), median(ratios)
        goal = "" if name == first else f"{LEAST}"
        met = share <= MOST and (name == first or ratio >= LEAST)
        spread = f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if goal else ""
        line = (name, f"{rate:,.0f}", spread, goal, f"{share:.1%}", f"{MOST:.0%}")
        out.append((*line, "yes" if met else "no"))
    return out


def facts(result: Mapping[str, Any]) -> str:
    """What the figures depend on, in one paragraph."""
    count = len(next(iter(result["rounds"].values())))
    return (
        f"{circumstances(result)}; {result['recipe']}, {result['encoder']}, {result['examples']:,} "
        f"sentences of {result['epoch_words']:,} words; {count} rounds"
    )


def markdown(result: Mapping[str, Any]) -> str:
    """A paragraph of facts and the table."""
    return f"{facts(result)}.\n\n{piped(HEAD, rows(result), texts=TEXTS)}"


def text(result: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    return f"{facts(result)}\n\n{aligned(HEAD, rows(result), texts=TEXTS)}\n"
