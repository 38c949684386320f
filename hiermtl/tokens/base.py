"""What a tokenizer owes the rest: pieces of words, and the encoder's inputs for given rows."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False, slots=True)
class Rows:
    """Rows cut from the pieces of several sentences laid end to end.

    Shapes: lengths, starts, first, last (rows,): units in the row, its first unit, and the range
    `first:last` of pieces it holds; units: all of them, with those behind the last row that belong
    to none; pieces (pieces,): piece ids; unit_of_copy, piece_of_copy (copies,): where each piece of
    each row stands.
    """

    lengths: np.ndarray
    starts: np.ndarray
    first: np.ndarray
    last: np.ndarray
    units: int
    pieces: np.ndarray
    unit_of_copy: np.ndarray
    piece_of_copy: np.ndarray


class Tokenizer(ABC):
    """Words to pieces.

    `features` names the arrays `encode` makes; `limit` is the largest number of pieces in a row
    (`None`: no limit); `prefix` and `suffix` are the special pieces around each row. `dropped`
    counts the words for which the tokenizer had no piece at all, read as its unknown piece.
    """

    features: tuple[str, ...] = ("pieces", "piece_counts")
    limit: int | None = None
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    dropped: int = 0

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A text that differs whenever `encode` could give other pieces."""

    @abstractmethod
    def encode(self, sentences: Sequence[Sequence[str]]) -> dict[str, list[np.ndarray]]:
        """One int32 array per sentence for each name in `features`."""

    @abstractmethod
    def inputs(
        self, rows: Rows, features: Sequence[Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """What the embedding reads, from rows and each sentence's further features."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes the tokenizer's files to a model folder."""
