"""Word alignment between two analyses of one text, as in the CoNLL 2018 shared task.

Zeman et al. (2018, section 4) define it so: gold and system must write the same characters, white
space aside. A word that is a token of its own is aligned to a word with the same span. Where a
multiword token occurs on either side, the words of the smallest stretch that cuts no multiword
token are aligned by a longest common subsequence of their forms, case aside.

The official program walks through both word lists at once, and its walk admits into such a
stretch words of one side that lie before it, if a longer word of the other side was passed over
just before. We walk the same way, so that the counts agree with it to the last word.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hiermtl.errors import DataError
from hiermtl.metrics.raw import Analysis

_SHOWN = 20


class _Place(NamedTuple):
    start: int
    end: int
    multi: bool
    form: str


def align_words(gold: Analysis, system: Analysis) -> NDArray[np.int64]:
    """Pairs of gold and system words that stand for each other.

    Args:
        gold: Gold analysis.
        system: System analysis of the same text.

    Returns:
        ``(pairs, 2)``: word indices counted through the whole text, increasing in both columns.

    Raises:
        DataError: If gold and system write different characters.
    """
    check_characters(gold, system)
    left, right = list(_places(gold)), list(_places(system))
    pairs: list[tuple[int, int]] = []
    at, to = 0, 0
    while at < len(left) and to < len(right):
        mine, other = left[at], right[to]
        if mine.multi or other.multi:
            begin, begin_other, at, to = _stretch(left, right, at=at, to=to)
            matches = _common_subsequence(
                [word.form for word in left[begin:at]],
                [word.form for word in right[begin_other:to]],
            )
            pairs.extend((begin + i, begin_other + j) for i, j in matches)
        elif (mine.start, mine.end) == (other.start, other.end):
            pairs.append((at, to))
            at, to = at + 1, to + 1
        elif mine.start <= other.start:
            at += 1
        else:
            to += 1
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def check_characters(gold: Analysis, system: Analysis) -> None:
    """Check that two analyses write the same characters, white space aside.

    Args:
        gold: Gold analysis.
        system: System analysis.

    Raises:
        DataError: If not; shows where the two part.
    """
    if gold.characters == system.characters:
        return
    shorter = min(len(gold.characters), len(system.characters))
    at = next((i for i in range(shorter) if gold.characters[i] != system.characters[i]), shorter)
    raise DataError(
        f"gold and system write different text: from character {at} on (white space not counted) "
        f"gold has {gold.characters[at : at + _SHOWN]!r} and the system has "
        f"{system.characters[at : at + _SHOWN]!r}; score the system on the text of the gold file"
    )


def _places(analysis: Analysis) -> Iterator[_Place]:
    for tokens in analysis.sentences:
        for token in tokens:
            for word in token.words:
                yield _Place(token.start, token.end, token.multi, word.form.lower())


def _stretch(
    left: list[_Place], right: list[_Place], *, at: int, to: int
) -> tuple[int, int, int, int]:
    """The words to align by subsequence: where they begin and end on the left and the right."""
    mine, other = left[at], right[to]
    limit = mine.end if mine.multi else other.end
    if not other.multi and mine.multi and other.start < mine.start:
        to += 1
    elif not mine.multi and mine.start < other.start:
        at += 1
    begin, begin_other = at, to

    def within(words: list[_Place], index: int) -> bool:
        if index == len(words):
            return False
        word = words[index]
        return word.start < limit if word.multi else word.end <= limit

    while within(left, at) or within(right, to):
        if at < len(left) and (to == len(right) or left[at].start <= right[to].start):
            word, at = left[at], at + 1
        else:
            word, to = right[to], to + 1
        if word.multi:
            limit = max(limit, word.end)
    return begin, begin_other, at, to


def _common_subsequence(left: Sequence[str], right: Sequence[str]) -> list[tuple[int, int]]:
    """A longest common subsequence: the earliest one on the right, then on the left."""
    longest = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in range(len(left) - 1, -1, -1):
        row, below = longest[i], longest[i + 1]
        for j in range(len(right) - 1, -1, -1):
            row[j] = 1 + below[j + 1] if left[i] == right[j] else max(below[j], row[j + 1])
    pairs = []
    i, j = 0, 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif longest[i][j] == longest[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs
