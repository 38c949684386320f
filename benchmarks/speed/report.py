"""A result as text: aligned for a terminal, or as Markdown."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.facts import circumstances
from benchmarks.speed.measure import TREE_GOAL
from benchmarks.tables import aligned, piped

_TREES = "decode spanning trees"


def text(result: Mapping[str, Any]) -> str:
    """Everything, for a terminal."""
    parts = [
        caption(result),
        aligned(_TIMES, _times(result), texts=_TEXTS),
        aligned(_RATIOS, _ratios(result), texts=_TEXTS),
        aligned(_SHARES, _shares(result), texts=_TEXTS),
    ]
    return "\n\n".join(parts) + "\n"


def markdown(result: Mapping[str, Any]) -> str:
    """The ratios and where the time goes, for a page."""
    parts = [
        caption(result),
        piped(_RATIOS, _ratios(result), texts=_TEXTS),
        piped(_TIMES, _times(result), texts=_TEXTS),
        piped(_SHARES, _shares(result), texts=_TEXTS),
    ]
    return "\n\n".join(parts)


def caption(result: Mapping[str, Any]) -> str:
    """What was measured, on what."""
    sizes, given = result["corpus"], result["parameters"]
    lines = [
        f"{circumstances(result)};",
        f"{given['rounds']} rounds; annotated: {sizes['sentences']:,} sentences, "
        f"{sizes['words']:,} words; trained on: {sizes['train_sentences']:,} sentences, "
        f"{sizes['train_words']:,} words;",
        f"encoder {given['encoder']}, model {given['model']}"
        + (
            ""
            if result["greedy_trees"] is None
            else f"; {result['greedy_trees']:.0%} of the trees are found word by word"
        )
        + ".",
        "Largest rate of one matrix product, GFLOP/s: "
        + ", ".join(f"{dtype} {max(v):,.0f}" for dtype, v in result["peaks"].items())
        + ".",
    ]
    return "\n".join(lines)


_TIMES = ("variant", "seconds", "least", "greatest", "words/s", "of peak", "ratio")
_TEXTS = ("variant", "time of", "over that of", "part", "met")
_RATIOS = ("time of", "over that of", "ratio", "least", "greatest", "goal", "met")
_SHARES = ("part", "share", "least", "greatest", "goal", "met")


def _times(result: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    first: dict[str, Sequence[float]] = {}
    for variant in result["variants"]:
        seconds = variant["seconds"]
        reference = first.setdefault(variant["group"], seconds)
        median = statistics.median(seconds)
        peak = max(result["peaks"][variant["dtype"]])
        ratio = statistics.median(a / b for a, b in zip(seconds, reference, strict=True))
        yield (
            variant["name"],
            *(f"{value:.3f}" for value in (median, min(seconds), max(seconds))),
            f"{variant['words'] / median:,.0f}",
            f"{variant['operations'] / median / 1e9 / peak:.0%}",
            f"{ratio:.2f}",
        )


def _ratios(result: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    for row in result["ratios"]:
        rounds, goal = row["rounds"], row["goal"]
        median = statistics.median(rounds)
        yield (
            row["variant"],
            row["reference"],
            *(f"{value:.2f}" for value in (median, min(rounds), max(rounds))),
            "" if goal is None else f"{goal:.3g}",
            "" if goal is None else _met(median <= goal),
        )


def _shares(result: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    for whole, parts in result["shares"].items():
        rows = sorted(parts.items(), key=lambda item: -statistics.median(item[1]))
        for label, shares in rows:
            median = statistics.median(shares)
            has_goal = label == _TREES
            yield (
                f"{whole}: {label}",
                *(f"{value:.1%}" for value in (median, min(shares), max(shares))),
                f"{TREE_GOAL:.0%}" if has_goal else "",
                _met(median < TREE_GOAL) if has_goal else "",
            )


def _met(met: bool) -> str:
    return "yes" if met else "no"
