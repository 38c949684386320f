"""Random draws that give the same result on every platform and Python version.

Only `random.Random.random` is promised to stay the same between Python versions, so every draw
here is built on it and on plain division.
"""

import bisect
import random
from collections.abc import Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Draws:
    """A stream of random draws named by a string."""

    def __init__(self, name: str) -> None:
        """Start the stream; the same name always gives the same draws."""
        self._random = random.Random(name)

    def part(self) -> float:
        """Return a number from 0 up to, but not including, 1."""
        return self._random.random()

    def chance(self, probability: float) -> bool:
        """Return True with the given probability (0 to 1)."""
        return self._random.random() < probability

    def number(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def choice(self, items: Sequence[T]) -> T:
        """Return one of the items, all equally likely.

        Raises:
            IndexError: There are no items.
        """
        return items[int(self._random.random() * len(items))]

    def weighted(self, items: Sequence[tuple[T, float]]) -> T:
        """Return one of the items of (item, weight) pairs, in proportion to the weights."""
        point = self._random.random() * sum(weight for _, weight in items)
        for item, weight in items:
            point -= weight
            if point < 0:
                return item
        return items[-1][0]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return the items in a random order."""
        result = list(items)
        for last in range(len(result) - 1, 0, -1):
            other = self.number(0, last)
            result[last], result[other] = result[other], result[last]
        return result


class Ranked(Generic[T]):
    """Items with Zipf-like frequencies: the item at rank r has weight 1 / (r + offset)."""

    def __init__(self, items: Sequence[T], offset: float = 4.0) -> None:
        """Keep the items in order of falling frequency; a larger offset flattens the curve."""
        self.items = tuple(items)
        total = 0.0
        self._sums: list[float] = []
        for rank in range(len(self.items)):
            total += 1.0 / (rank + offset)
            self._sums.append(total)

    def draw(self, draws: Draws) -> T:
        """Return one item.

        Raises:
            IndexError: There are no items.
        """
        point = draws.part() * self._sums[-1]
        return self.items[min(bisect.bisect_right(self._sums, point), len(self.items) - 1)]
