"""The result of `benchmarks.gpu` as text and as Markdown."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.facts import circumstances
from benchmarks.tables import aligned, piped

TEXTS = {"work", "variant"}
"""Columns that are no numbers."""

HEAD = ("work", "variant", "words/s", "of the peak", "least", "greatest")


def rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Medians over rounds; a share of the peak is taken of the peak of its round."""
    out = []
    for variant in result["variants"]:
        seconds = variant["seconds"]
        shares = [
            variant["operations"] / own / 1e9 / peak
            for own, peak in zip(seconds, result["peaks"], strict=True)
        ]
        rate = variant["words"] / median(seconds)
        spread = (median(shares), min(shares), max(shares))
        told = (f"{share:.0%}" for share in spread)
        out.append((variant["group"], variant["name"], f"{rate:,.0f}", *told))
    return out


def facts(result: Mapping[str, Any]) -> str:
    """What the figures depend on, in one paragraph."""
    encoder = result["encoder"]
    tasks = ", ".join(f"{task} at {depth}" for task, depth in result["depths"].items())
    return (
        f"{circumstances(result)}; an encoder of {encoder['blocks']} blocks of width "
        f"{encoder['width']}, {encoder['weights'] / 1e6:,.0f} million weights drawn at random, "
        f"{tasks}; {result['sentences']:,} sentences of {result['words']:,} words, "
        f"{result['tokens_per_batch']:,} pieces to a batch; products of "
        f"{median(result['peaks']) / 1e3:,.0f} TFLOP/s at best; {len(result['peaks'])} rounds"
    )


def markdown(result: Mapping[str, Any]) -> str:
    """A paragraph of facts and the table."""
    return f"{facts(result)}.\n\n{piped(HEAD, rows(result), texts=TEXTS)}"


def text(result: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    return f"{facts(result)}\n\n{aligned(HEAD, rows(result), texts=TEXTS)}\n"
