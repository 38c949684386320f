"""The result of `benchmarks.sharing` as text and as Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.facts import circumstances
from benchmarks.sharing.arms import COLUMNS, REFERENCES
from benchmarks.sharing.measure import ALONE, COPIES, shares
from benchmarks.tables import aligned, piped
from benchmarks.timing import ratios

ONE_STREAM_GOAL = 1.1
COLUMNS_GOAL = 1.15
TERMS_GOAL = 0.05

SPLIT = ("hmtl",)
"""Neither of one stream nor with a column for each task: no goal is set for its steps."""

TEXTS = {"encoder", "scheme", "read at", "precision", "beside its goal"}
"""Columns that are no numbers."""

TIMES = (
    "encoder",
    "scheme",
    "read at",
    "ms per step",
    "over low supervision",
    "over single columns",
    "one task, over low supervision",
    "terms on weights",
    "beside its goal",
)
BYTES = (
    "encoder",
    "scheme",
    "weights",
    "gradients",
    "optimizer",
    "by formula",
    "kept for the way back",
    "formula over it",
)
WAYS = (
    "encoder",
    "pieces",
    "precision",
    "one by one, ms",
    "stacked, ms",
    "stacked over one by one",
)


def times(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row per encoder and scheme; ratios are medians of those of each round."""
    for encoder in (own for own in result["encoders"] if own["arms"]):
        arms = encoder["arms"]
        seconds = {name: arm["seconds"] for name, arm in arms.items()}
        alone = {name: arm["alone"] for name, arm in arms.items()}
        one_by_one = [sum(own) for own in zip(*encoder["columns"].values(), strict=True)]
        for name, arm in arms.items():
            over = ratios(seconds, name, REFERENCES[arm["depths"]])
            beside = [a / b for a, b in zip(arm["seconds"], one_by_one, strict=True)]
            single = ratios(alone, name, "low_supervision")
            share, column = shares(arms, name), name in COLUMNS
            missed = []
            if not column and name not in SPLIT and median(over) > ONE_STREAM_GOAL:
                missed.append("one stream")
            if column and median(beside) > COLUMNS_GOAL:
                missed.append("columns")
            if median(single) > ONE_STREAM_GOAL:
                missed.append("one task")
            if share and encoder["encoder"] == "MiniLM" and median(share) >= TERMS_GOAL:
                missed.append("terms")
            yield (
                encoder["encoder"],
                name,
                arm["depths"],
                f"{1000 * median(arm['seconds']):.0f}",
                spread(over),
                spread(beside) if column else "",
                spread(single),
                f"{median(share):.1%}" if share else "",
                ", ".join(missed),
            )


def spread(values: Sequence[float]) -> str:
    """The median, and between what it lies."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def memory(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row per encoder and scheme."""
    for encoder in result["encoders"]:
        for name, arm in encoder["arms"].items():
            found, formula = arm["bytes"]["measured"], arm["bytes"]["formula"]
            kept = arm.get("kept")
            yield (
                encoder["encoder"],
                name,
                *(f"{found[kind] / 1e6:.1f} MB" for kind in ("weights", "gradients", "optimizer")),
                "equal" if found == formula else "other",
                f"{kept['measured'] / 1e6:.1f} MB" if kept else "",
                f"{kept['formula'] / kept['measured']:.3f}" if kept else "",
            )


def both_ways(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row per encoder, size of a step and precision."""
    for encoder in result["encoders"]:
        cases: dict[tuple[int, str], dict[str, list[float]]] = {}
        for row in encoder["both_ways"]:
            cases.setdefault((row["pieces"], row["precision"]), {})[row["way"]] = row["seconds"]
        for (pieces, precision), ways in cases.items():
            yield (
                encoder["encoder"],
                f"{pieces:,}",
                precision,
                *(f"{1000 * median(ways[way]):.0f}" for way in ("one by one", "stacked")),
                spread(ratios(ways, "stacked", "one by one")),
            )


def facts(result: Mapping[str, Any]) -> str:
    """What the figures depend on, in one paragraph."""
    first = result["encoders"][0]
    rounds = len(first["both_ways"][0]["seconds"])
    depths = "; ".join(
        f"{encoder['encoder']}: "
        + ", ".join(f"{task} {depth}" for task, depth in encoder["tasks"].items())
        for encoder in result["encoders"]
    )
    return (
        f"{circumstances(result)}; {result['precision']}, {result['steps']} steps a round, "
        f"{rounds} rounds; depths of their own: {depths}; one task: {ALONE}"
    )


def _tables(result: Mapping[str, Any]) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    found = [
        (TIMES, list(times(result))),
        (BYTES, list(memory(result))),
        (WAYS, list(both_ways(result))),
    ]
    return [(head, rows) for head, rows in found if rows]


def markdown(result: Mapping[str, Any]) -> str:
    """A paragraph of facts and three tables: times, bytes, and columns computed both ways."""
    parts = [f"{facts(result)}."]
    parts += [piped(head, rows, texts=TEXTS) for head, rows in _tables(result)]
    return "\n\n".join(parts)


def text(result: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    parts = [facts(result), *(aligned(h, rows, texts=TEXTS) for h, rows in _tables(result))]
    return "\n\n".join(parts) + f"\n\nStacked: {COPIES} columns of one embedding.\n"
