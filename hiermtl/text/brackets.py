"""Brackets in columns, as CoNLL files write spans and trees: `(NP*`, `*`, `*)`."""

from hiermtl.errors import DataError
from hiermtl.text.sentence import Origin


def brackets(cell: str, place: int, origin: Origin) -> tuple[list[str], int]:
    """The labels that a cell opens, outermost first, and how many brackets it closes.

    Args:
        cell: As `(LABEL(LABEL*))`.
        place: Of its word in the sentence, from 0.
        origin: Of the sentence.

    Raises:
        DataError: It is no such cell.
    """
    before, star, after = cell.partition("*")
    if not star or (before and not before.startswith("(")) or after.strip(")"):
        raise DataError(
            f"{cell!r} for word {place + 1} is no bracketing; write (LABEL*, *, or *)",
            origin.path,
            line=origin.line + place,
        )
    return before.split("(")[1:], len(after)


def unopened(cell: str, place: int, origin: Origin) -> DataError:
    """What to raise where a cell closes more than is open."""
    return DataError(
        f"{cell!r} for word {place + 1} closes what no word has opened",
        origin.path,
        line=origin.line + place,
    )
