"""The result of `benchmarks.start_up` as text and as Markdown."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.facts import circumstances
from benchmarks.tables import aligned, piped

TEXTS = {"process", "met"}
"""Columns that are no numbers."""

GOALS = {"import hiermtl": 0.3, "hiermtl --help": 0.5}
"""Seconds."""

OVER, GOAL = ("load and first document", "bare imports"), 1.4
HEAD = ("process", "seconds", "least", "greatest", "goal", "met")


def rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Seconds of each process, and the ratio of the last to the imports it needs."""
    out = [_row(name, found, GOALS.get(name)) for name, found in result["seconds"].items()]
    pairs = zip(*(result["seconds"][name] for name in OVER), strict=True)
    return [*out, _row(" over ".join(OVER), [a / b for a, b in pairs], GOAL)]


def _row(name: str, found: list[float], goal: float | None) -> tuple[str, ...]:
    middle = median(found)
    figures = tuple(f"{value:.2f}" for value in (middle, min(found), max(found)))
    if goal is None:
        return (name, *figures, "", "")
    return (name, *figures, f"{goal}", "yes" if middle <= goal else "no")


def facts(result: Mapping[str, Any]) -> str:
    """What the figures depend on, in one paragraph."""
    rounds = len(next(iter(result["seconds"].values())))
    return (
        f"{circumstances(result)}; model {result['model']}, "
        f"given words, spaCy {'is' if result['spacy'] else 'is not'} imported; {rounds} rounds"
    )


def markdown(result: Mapping[str, Any]) -> str:
    """A paragraph of facts and the table."""
    return f"{facts(result)}.\n\n{piped(HEAD, rows(result), texts=TEXTS)}"


def text(result: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    return f"{facts(result)}\n\n{aligned(HEAD, rows(result), texts=TEXTS)}\n"
