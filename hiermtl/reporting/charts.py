"""Differences to controls with their intervals, probes by depth, and numbers against numbers."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from hiermtl.evaluation.best import CORRELATIONS, UNBOUNDED
from hiermtl.evaluation.compare import Difference
from hiermtl.reporting.facts import is_number
from hiermtl.reporting.frame import RIGHT, Frame, padded, ticks
from hiermtl.reporting.shapes import Dot, Line, Picture, Words

WIDTH, SIZE = 560, 300
"""Of pictures of differences, and of the others."""


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
    rows = sorted(rows, key=lambda row: row["depth"])
    picture = Picture(SIZE, 170, f"{task}: scores of probes by depth")
    picture.add(
        Words(2, 16, task, bold=True), Words(SIZE - RIGHT, 30, "probe", 10.5, "muted", "end")
    )
    found = [(row["depth"], float(row["score"]), _number(row.get("spread"))) for row in rows]
    ends = padded(edge for _, score, spread in found for edge in (score - spread, score + spread))
    first = found[0][0]
    frame = Frame(picture, (first, max(found[-1][0], first + 1)), ends)
    frame.rows()
    frame.upright(depth if isinstance(depth, int) else None)
    picture.add(Line([frame.at(at, score) for at, score, _ in found], "accent", 2))
    for at, score, spread in found:
        if spread:
            picture.add(
                Line([frame.at(at, score - spread), frame.at(at, score + spread)], "accent")
            )
        picture.add(Dot(*frame.at(at, score), 3, said=f"depth {at:g}: {score:.2f}"))
        frame.below(at, f"{at:g}")
    return picture


def _number(given: object) -> float:
    return float(given) if is_number(given) else 0.0


def scatter(task: str, numbers: Sequence[tuple[float, float]], *, most: int) -> Picture:
    """Predicted numbers over gold ones; on the dashed line they are the same."""
    every = -(-len(numbers) // most)
    shown = numbers[::every]
    picture = Picture(SIZE, SIZE, f"{task}: predicted over gold")
    picture.add(
        Words(2, 16, task, bold=True),
        Words(SIZE - RIGHT, 30, "predicted over gold", 10.5, "muted", "end"),
    )
    ends = padded((value for pair in shown for value in pair), 0.04)
    frame = Frame(picture, ends, ends)
    frame.rows()
    for value in ticks(*ends):
        picture.add(Line([frame.at(value, ends[0]), frame.at(value, ends[1])], "faint"))
        frame.below(value, f"{value:g}")
    picture.add(Line([frame.at(end, end) for end in ends], "muted", 1, dashed=True))
    picture.add(*(Dot(*frame.at(*pair), 2.2) for pair in shown))
    return picture
