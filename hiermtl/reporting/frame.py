"""What pictures of numbers over numbers have in common: scales, lines at round numbers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hiermtl.reporting.shapes import Line, Picture, Words

LEFT, RIGHT, TOP, BOTTOM = 44, 8, 42, 30
"""What is around the space that is drawn in."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The space of a picture in which numbers are drawn: `x` and `y` are their ends."""

    picture: Picture
    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a pair of numbers stands."""
        wide = self.picture.width - LEFT - RIGHT
        high = self.picture.height - TOP - BOTTOM
        return (
            LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * wide,
            TOP + (self.y[1] - y) / (self.y[1] - self.y[0]) * high,
        )

    def rows(self) -> None:
        """Draws lines at round numbers of `y`, and these."""
        for value in ticks(*self.y):
            y = self.at(self.x[0], value)[1]
            self.picture.add(
                Line([(LEFT, y), (self.picture.width - RIGHT, y)], "faint"),
                Words(LEFT - 5, y + 4, f"{value:g}", 10, "muted", "end"),
            )

    def upright(self, x: float | None) -> None:
        """Draws a dashed line from bottom to top, if `x` is inside."""
        if x is not None and self.x[0] <= x <= self.x[1]:
            ends = [self.at(x, self.y[1]), self.at(x, self.y[0])]
            self.picture.add(Line(ends, "second", 1, dashed=True))

    def below(
        self, x: float, said: str, anchor: Literal["start", "middle", "end"] = "middle"
    ) -> None:
        """Writes under the space, at a number of `x`."""
        place = self.at(x, self.y[0])[0]
        self.picture.add(Words(place, self.picture.height - 11, said, 10, "muted", anchor))


def padded(values: Iterable[float], share: float = 0.06) -> tuple[float, float]:
    """The ends of some numbers with a margin, wide enough to be told apart."""
    values = list(values)
    low, high = min(values), max(values)
    margin = share * (high - low) or max(abs(high) * 0.05, 0.05)
    return low - margin, high + margin


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About so many round numbers between two."""
    raw = (high - low) / count
    size = 10.0 ** math.floor(math.log10(raw))
    step = size * next(factor for factor in (1, 2, 5, 10) if factor * size >= raw)
    start = math.ceil(low / step)
    return [round(i * step, 10) + 0.0 for i in range(start, math.floor(high / step) + 1)]
