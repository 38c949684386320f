"""Differences to controls with their intervals, probes by depth, and numbers against numbers."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from hiermtl.evaluation.best import CORRELATIONS, UNBOUNDED
from hiermtl.evaluation.compare import Difference
from hiermtl.reporting.curves import ticks
from hiermtl.reporting.picture import Dot, Line, Picture, Words

WIDTH = 560


def forest(title: str, differences: Sequence[Difference]) -> Picture:
    """Each difference as a dot, with its interval where there is one, around a line at 0.

    Differences of correlations are in hundredths; those of metrics that have no scale are not here.
    """
    left, right, row = 216, 16, 22
    scaled = [
        (item, 100.0 if item.metric in CORRELATIONS else 1.0)
        for item in differences
        if item.metric not in UNBOUNDED
    ]
    ends = [
        value * by
        for item, by in scaled
        for value in (item.mean, item.low, item.high)
        if value is not None
    ]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    margin = 0.05 * (high - low) or 1.0
    low, high = low - margin, high + margin
    groups = [(arm, list(own)) for arm, own in groupby(scaled, key=lambda one: one[0].arm)]
    height = 30 + sum(20 + row * len(own) for _, own in groups) + 30
    picture = Picture(WIDTH, height, title)
    picture.add(Words(8, 18, title, 12, bold=True))

    def at(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - left - right)

    for value in ticks(low, high, 5):
        picture.add(
            Line([(at(value), 30), (at(value), height - 24)], "muted" if not value else "faint"),
            Words(at(value), height - 10, f"{value:+g}" if value else "0", 10, "muted", "middle"),
        )
    y = 30.0
    for arm, own in groups:
        picture.add(Words(8, y + 14, arm, 11, "muted"))
        y += 20
        for item, by in own:
            middle = y + row / 2
            picture.add(Words(20, middle + 4, f"{item.task} {item.metric}", 11))
            if item.low is not None and item.high is not None:
                picture.add(
                    Line([(at(item.low * by), middle), (at(item.high * by), middle)], "accent", 2)
                )
            sure = item.low is not None and item.high is not None and item.low * item.high > 0
            said = f"{item.task}: {item.mean * by:+.2f} points"
            fill = "accent" if sure else "paper"
            picture.add(Dot(at(item.mean * by), middle, 4, fill, "accent", said))
            y += row
    return picture


def probe_picture(task: str, rows: Sequence[Mapping[str, Any]], *, depth: object) -> Picture:
    """Scores of probes by depth; a dashed line stands at the depth the task is read at."""
    width, height, left, right, top, bottom = 300, 170, 44, 14, 34, 30
    rows = sorted(rows, key=lambda row: row["depth"])
    picture = Picture(width, height, f"{task}: scores of probes by depth")
    picture.add(
        Words(8, 18, task, bold=True), Words(width - right, 18, "probe", 11, "muted", "end")
    )
    spread = [_number(row.get("spread")) for row in rows]
    values = [float(row["score"]) for row in rows]
    low = min(v - s for v, s in zip(values, spread, strict=True))
    high = max(v + s for v, s in zip(values, spread, strict=True))
    margin = 0.06 * (high - low) or 0.05
    low, high = low - margin, high + margin
    first, last = rows[0]["depth"], max(rows[-1]["depth"], rows[0]["depth"] + 1)

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            left + (x - first) / (last - first) * (width - left - right),
            height - bottom - (y - low) / (high - low) * (height - top - bottom),
        )

    for value in ticks(low, high):
        y = at(first, value)[1]
        picture.add(
            Line([(left, y), (width - right, y)], "faint"),
            Words(left - 5, y + 4, f"{value:g}", 10, "muted", "end"),
        )
    if isinstance(depth, int) and first <= depth <= last:
        x = at(depth, low)[0]
        picture.add(Line([(x, top - 4), (x, height - bottom)], "second", 1, dashed=True))
    picture.add(
        Line(
            [at(row["depth"], value) for row, value in zip(rows, values, strict=True)], "accent", 2
        )
    )
    for row, value, own in zip(rows, values, spread, strict=True):
        x, y = at(row["depth"], value)
        if own:
            ends = [at(row["depth"], value - own), at(row["depth"], value + own)]
            picture.add(Line(ends, "accent"))
        picture.add(
            Dot(x, y, 3, said=f"depth {row['depth']}: {value:.2f}"),
            Words(x, height - 12, f"{row['depth']:g}", 10, "muted", "middle"),
        )
    return picture


def _number(given: object) -> float:
    return float(given) if isinstance(given, int | float) else 0.0


def scatter(task: str, numbers: Sequence[tuple[float, float]], *, most: int) -> Picture:
    """Predicted numbers over gold ones; on the line they are the same."""
    size, left, bottom, top, right = 300, 44, 34, 34, 14
    every = -(-len(numbers) // most)
    shown = numbers[::every]
    values = [value for pair in shown for value in pair]
    low, high = min(values), max(values)
    margin = 0.04 * (high - low) or 1.0
    low, high = low - margin, high + margin
    picture = Picture(size, size, f"{task}: predicted over gold")
    picture.add(Words(8, 18, f"{task}: predicted over gold", bold=True))

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            left + (x - low) / (high - low) * (size - left - right),
            size - bottom - (y - low) / (high - low) * (size - top - bottom),
        )

    for value in ticks(low, high):
        x, y = at(value, value)
        picture.add(
            Line([(left, y), (size - right, y)], "faint"),
            Line([(x, top), (x, size - bottom)], "faint"),
            Words(left - 5, y + 4, f"{value:g}", 10, "muted", "end"),
            Words(x, size - bottom + 14, f"{value:g}", 10, "muted", "middle"),
        )
    picture.add(Line([at(low, low), at(high, high)], "muted", 1, dashed=True))
    picture.add(*(Dot(*at(*pair), 2.2) for pair in shown))
    return picture
