"""The result of `benchmarks.mechanisms` as text and as Markdown."""

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from benchmarks.facts import circumstances
from benchmarks.tables import aligned, piped
from benchmarks.timing import ratios

TEXTS = {"encoder", "mechanism"}
"""Columns that are no numbers."""

HEAD = (
    "encoder",
    "mechanism",
    "parameters",
    "ms per step",
    "over none",
    "annotated words/s",
    "time over none",
)


def rows(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row per encoder and arm; ratios are medians of those of each round."""
    for found in result["encoders"]:
        for name, arm in found["arms"].items():
            over = {
                kind: median(ratios({k: a[kind] for k, a in found["arms"].items()}, name, "none"))
                for kind in ("training", "annotating")
            }
            yield (
                found["encoder"],
                name,
                f"{arm['parameters']:,}",
                f"{1000 * median(arm['training']) / arm['steps']:.1f}",
                f"{over['training']:.2f}",
                f"{found['words'] / median(arm['annotating']):,.0f}",
                f"{over['annotating']:.2f}",
            )


def facts(result: Mapping[str, Any]) -> str:
    """What the figures depend on, in one paragraph."""
    rounds = len(next(iter(result["encoders"][0]["arms"].values()))["training"])
    return (
        f"{circumstances(result)}; {result['precision']}, {result['sentences']} sentences and as "
        f"many pairs, {rounds} rounds"
    )


def markdown(result: Mapping[str, Any]) -> str:
    """A paragraph of facts and the table."""
    return f"{facts(result)}.\n\n{piped(HEAD, rows(result), texts=TEXTS)}"


def text(result: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    return f"{facts(result)}\n\n{aligned(HEAD, rows(result), texts=TEXTS)}\n"
