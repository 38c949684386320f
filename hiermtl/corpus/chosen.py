"""Which examples of a split are used, and which of its sentences are one document.

One rule for training, for the words of a vocabulary, and for scores on what was trained on. What is
counted are passages, and sentences that are in none: passages come first. Where documents are
examples, sentences are counted all the same, so that a recipe has no more data because one of its
tasks judges documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hiermtl.arrays import evenly, taken


@dataclass(frozen=True, eq=False, slots=True)
class Chosen:
    """Places of passages, and rows of sentences that are in none, both ascending.

    Shapes: passages (passages,), rows (sentences,); `parts` (sentences,) a number for each that is
    the same for those of one example, where documents are examples.
    """

    passages: np.ndarray
    rows: np.ndarray
    parts: np.ndarray | None = None


def choose(
    passages: int,
    rows: np.ndarray,
    limit: int | None,
    *,
    spread: bool = False,
    parts: np.ndarray | None = None,
) -> Chosen:
    """Of passages and rows `limit` together, `None` all.

    The first ones, or as many that are `spread` evenly. Of documents, `parts` (rows,), those that
    are spread are whole, but for the last one.
    """
    count = passages + len(rows)
    if limit is None or limit >= count:
        return Chosen(np.arange(passages), rows, parts)
    places = evenly(count, limit) if spread else np.arange(limit)
    own = places[places < passages]
    at = places[len(own) :] - passages
    if parts is None:
        return Chosen(own, taken(rows, at))
    if spread:
        at = _spread(parts, len(at))
    return Chosen(own, rows[at], parts[at])


def document_parts(
    names: Sequence[str | None], words: np.ndarray, most: int, *, apart: np.ndarray | None = None
) -> np.ndarray:
    """(sentences,): the number of the part of a document that each sentence is in, ascending.

    Neighbours with the same id are one document, and so are neighbours without one. What is longer
    than `most` words is cut between sentences.

    Args:
        names: The id of each sentence's document.
        words: (sentences,) the number of its words.
        most: Words of a part.
        apart: (sentences,) bool, which are of no document: before and behind such a one, others
            begin.
    """
    parts = np.zeros(len(names), dtype=np.int64)
    number, length = -1, 0
    before: str | None = None
    lone = True  # the first one begins a document in any case
    for place, (name, own) in enumerate(zip(names, words.tolist(), strict=True)):
        out = apart is not None and bool(apart[place])
        if lone or out or name != before or length + own > most:
            number += 1
            length = 0
        parts[place] = number
        before, lone = name, out
        length += own
    return parts


def _spread(parts: np.ndarray, wanted: int) -> np.ndarray:
    """Places (wanted,) in parts (sentences,) that lie evenly over it, the last one cut."""
    _, starts, sizes = np.unique(parts, return_index=True, return_counts=True)
    count = max(1, wanted // int(sizes.max(initial=1)))
    while sizes[evenly(len(sizes), count)].sum() < wanted:
        count += 1
    chosen = evenly(len(sizes), count)
    own = sizes[chosen]
    within = np.arange(own.sum()) - np.repeat(np.cumsum(own) - own, own)
    return (np.repeat(starts[chosen], own) + within)[:wanted]
