"""Choosing among scored spans those that can stand together."""

import numpy as np
from numpy.typing import NDArray

from hiermtl.structures.padding import alike

MOST_PER_WORD = 4
"""Candidates per word of a sentence that are looked at, the best; spans that do not cross are fewer
than two per word."""

_CELLS = 1 << 22
"""Pairs of candidates, padding counted, that are compared at once."""


def nested(
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    scores: NDArray[np.floating],
    *,
    owners: NDArray[np.int64],
    words: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Places of the spans that are kept when, best first, each that crosses a kept one is dropped.

    Two spans cross when they overlap and neither holds the other. Of equal scores the one that
    begins first is better, then the longer one.

    Only spans that hang together, by words that one has in common with the next, can cross. Such
    groups are chosen for together, in rounds: what crosses no better one that is left is kept, and
    what crosses it is dropped. That gives what taking one span after the other does.

    Args:
        starts: First word of each span, ``(spans,)``, in its sentence.
        ends: The word behind its last, ``(spans,)``.
        scores: Larger is better, ``(spans,)``.
        owners: The sentence of each span, ``(spans,)``.
        words: Words of each sentence, ``(sentences,)``.

    Returns:
        ``(kept,)`` places, by sentence, start, and longest first.
    """
    order = np.lexsort((-ends, starts, -scores, owners))
    counts = np.bincount(owners, minlength=len(words))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    order = order[rank < MOST_PER_WORD * words[owners[order]]]
    groups = _groups(starts[order], ends[order], owners=owners[order], words=words)
    by_group = np.argsort(groups, kind="stable")  # best first within each, as before
    order, groups = order[by_group], groups[by_group]
    counts = np.bincount(groups)
    begins = np.cumsum(counts) - counts
    kept = np.zeros(len(order), dtype=bool)
    for chosen in alike(counts, power=2, most=_CELLS):
        within = np.arange(counts[chosen].max(initial=0))
        there = within < counts[chosen][:, None]
        places = (begins[chosen][:, None] + within)[there]
        kept[places] = _stand_together(starts[order[places]], ends[order[places]], there)
    found = order[kept]
    return found[np.lexsort((-ends[found], starts[found], owners[found]))]


def _stand_together(
    starts: NDArray[np.int64], ends: NDArray[np.int64], there: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """(spans,): which are kept of groups, (groups, spans of the largest), best first in each."""
    first, last = (np.zeros(there.shape, dtype=np.int64) for _ in range(2))
    first[there], last[there] = starts, ends
    begins_inside = (first[:, :, None] < first[:, None, :]) & (first[:, None, :] < last[:, :, None])
    crossing = begins_inside & (last[:, :, None] < last[:, None, :])
    crossing |= crossing.transpose(0, 2, 1)
    # Candidates stand best first, so that what is better is to the left.
    worse = np.tril(crossing, -1)
    left, kept = there.copy(), np.zeros_like(there)
    while left.any():
        taken = left & ~(worse & left[:, None, :]).any(2)
        kept |= taken
        left &= ~taken & ~(crossing & taken[:, None, :]).any(2)
    return kept[there]


def _groups(
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    *,
    owners: NDArray[np.int64],
    words: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The number of the group each span is in, ``(spans,)``, from 0, rising with the text."""
    begin = np.cumsum(words) - words
    first, behind = begin[owners] + starts, begin[owners] + ends
    # How many spans go on from a word to the next.
    going = np.zeros(int(words.sum()) + 1, dtype=np.int64)
    np.add.at(going, first, 1)
    np.add.at(going, behind - 1, -1)
    held = np.cumsum(going) > 0
    number = np.concatenate([[0], np.cumsum(~held)])
    return np.unique(number[first], return_inverse=True)[1]
