"""Sequences of begin, inside and outside, chosen without scores of transitions."""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32] | NDArray[np.float64]


def best_bio(
    outside: Scores, begin: Scores, inside: Scores, *, lengths: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The best legal IOB2 labelling of each sequence, where labels are scored one by one.

    The score is the sum over words; a word inside a type follows one that begins it or is inside
    it. So the best labelling up to a word, by how that is labelled, takes the types one by one:
    the work is linear in them, where Viterbi's over transitions grows with their square. Of equal
    scores: inside, before outside, before begin. In NumPy, of which a step from word to word costs
    a fraction of what one of torch does.

    Args:
        outside: Scores ``(sequences, words)``, padded on the right.
        begin: Scores ``(sequences, words, types)``.
        inside: Scores ``(sequences, words, types)``.
        lengths: Words of each sequence, ``(sequences,)``.

    Returns:
        ``(sequences, words)``: 0 outside, ``1 + type`` where one begins, ``1 + types + type``
        inside it; 0 in the padding.
    """
    sequences, words, types = begin.shape
    path = np.zeros((sequences, words), dtype=np.int64)
    if not path.size or not types:
        return path
    # Words first and sequences last: so the best of all types is found fastest.
    to_begin = np.ascontiguousarray(begin.transpose(1, 2, 0))
    to_go_on = np.ascontiguousarray(inside.transpose(1, 2, 0))
    # Of the best labelling up to each word: whether that is outside, and for each type the score
    # of the best one that ends inside it, and whether it began at that word.
    out = np.empty((words, sequences), dtype=bool)
    within = np.empty((words, types, sequences), dtype=begin.dtype)
    begun = np.empty(within.shape, dtype=bool)
    best = np.zeros(sequences, dtype=begin.dtype)
    going_on = np.full_like(within[0], -np.inf)
    for at in range(words):
        starting = best + to_begin[at]
        going_on = np.add(going_on, to_go_on[at], out=within[at])
        np.greater(starting, going_on, out=begun[at])
        np.maximum(starting, going_on, out=going_on)
        value = going_on.max(0)
        free = best + outside[:, at]
        np.greater_equal(free, value, out=out[at])
        best = np.maximum(free, value)
    places = np.arange(words, dtype=np.int32)
    kinds = within.argmax(1)
    since = np.maximum.accumulate(np.multiply(begun, places[:, None, None]), axis=0)
    own = np.take_along_axis(since, kinds[:, None], 1)[:, 0]
    first = np.where(out, places[:, None], own).astype(np.int64)
    last, rows = _ends(first, lengths)
    spans = ~out[last, rows]
    last, rows = last[spans], rows[spans]
    _label(path, rows, first[last, rows], last, kinds[last, rows], types)
    return path


def _ends(
    first: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the parts of the best labellings end, each a span or a word outside: word, sequence.

    Shapes: first (words, sequences), where the part begins that ends there if one does.
    """
    # Cells of a table with a row of its own before the first word, where all sequences arrive. From
    # which part to which it goes is followed by one step, by two, by four.
    count = len(lengths)
    sequences = np.arange(count)
    earlier = np.concatenate([sequences, (first * count + sequences).ravel()])
    reached = np.zeros(len(earlier), dtype=bool)
    reached[lengths * count + sequences] = True
    for _ in range(len(first).bit_length()):
        reached[earlier[np.flatnonzero(reached)]] = True
        earlier = earlier[earlier]
    last, rows = np.nonzero(reached[count:].reshape(first.shape))
    return last, rows


def _label(
    path: NDArray[np.int64],
    rows: NDArray[np.int64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    kinds: NDArray[np.int64],
    types: int,
) -> None:
    """Writes spans into labellings."""
    sizes = last - first + 1
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    labels = np.repeat(1 + types + kinds, sizes)
    path[np.repeat(rows, sizes), np.repeat(first, sizes) + within] = labels
    path[rows, first] = 1 + kinds


def spans_of_bio(
    path: NDArray[np.int64], types: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The spans of labellings as `best_bio` gives them.

    Args:
        path: ``(sequences, words)``.
        types: How many there are.

    Returns:
        Sequence, first word, word behind the last and type of each, ``(spans,)``, in order.
    """
    sequences, words = path.shape
    begins = (path > 0) & (path <= types)
    goes_on = np.zeros((sequences, words + 1), dtype=bool)
    goes_on[:, :words] = path > types
    owners, first = np.nonzero(begins)
    # The first word behind each that does not go on.
    stops = np.where(goes_on, words, np.arange(words + 1))
    behind = np.minimum.accumulate(stops[:, ::-1], axis=1)[:, ::-1]
    return owners, first, behind[owners, first + 1], path[owners, first] - 1
