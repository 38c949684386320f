"""Sequences of begin, inside and outside, chosen without scores of transitions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hiermtl.structures.padding import alike

Scores = NDArray[np.float32] | NDArray[np.float64]


def best_bio(
    outside: Scores,
    begin: Scores,
    inside: Scores,
    *,
    lengths: NDArray[np.int64],
    once: Sequence[int] = (),
) -> NDArray[np.int64]:
    """The best legal IOB2 labelling of each sequence, where labels are scored one by one.

    The score is the sum over words; a word inside a type follows one that begins it or is inside
    it. So the best labelling up to a word, by how that is labelled, takes the types one by one:
    the work is linear in them, where Viterbi's over transitions grows with their square. Of equal
    scores: inside, before outside, before begin. In NumPy, of which a step from word to word costs
    a fraction of what one of torch does.

    Of types that may begin once at most those are counted that the best labelling repeats. Such a
    sequence alone is searched again, by which of the counted types have begun, as in Täckström et
    al. 2015 (Efficient Inference and Structured Learning for Semantic Role Labeling), until none
    repeats. What is found is the best of all: to leave a type uncounted only allows more. The work
    doubles with each type that is counted.

    Args:
        outside: Scores ``(sequences, words)``, padded on the right.
        begin: Scores ``(sequences, words, types)``.
        inside: Scores ``(sequences, words, types)``.
        lengths: Words of each sequence, ``(sequences,)``.
        once: Types that a labelling may begin once at most.

    Returns:
        ``(sequences, words)``: 0 outside, ``1 + type`` where one begins, ``1 + types + type``
        inside it; 0 in the padding.
    """
    kinds = np.array(once, dtype=np.int64)
    path = _best(outside, begin, inside, lengths=lengths, once=kinds[:0])
    counted = np.zeros((len(path), len(kinds)), dtype=bool)
    while True:
        again = [(path == 1 + kind).sum(1) > 1 for kind in once]
        repeated = np.array(again, dtype=bool).reshape(len(kinds), len(path)).T
        # Scores that are no numbers could repeat what is counted.
        rows = np.flatnonzero((repeated & ~counted).any(1))
        if not len(rows):
            return path
        counted |= repeated
        for own in np.unique(counted[rows], axis=0):
            chosen = rows[(counted[rows] == own).all(1)]
            for part in alike(lengths[chosen], width=begin.shape[2] << int(own.sum())):
                some, words = chosen[part], lengths[chosen[part]].max()
                parts = (scores[some, :words] for scores in (outside, begin, inside))
                path[some, :words] = _best(*parts, lengths=lengths[some], once=kinds[own])


def _best(
    outside: Scores,
    begin: Scores,
    inside: Scores,
    *,
    lengths: NDArray[np.int64],
    once: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The best legal labellings in which no type of `once` begins twice, by all sets of these.

    A set's number has a bit for each type that has begun. Shapes as of `best_bio`.
    """
    sequences, words, types = begin.shape
    path = np.zeros((sequences, words), dtype=np.int64)
    if not path.size or not types:
        return path
    # Which sets have the type and which are these without it; and for each type and set, which
    # there was before it began.
    numbers = np.arange(1 << len(once))
    moves = [(kind, numbers & 1 << bit > 0, 1 << bit) for bit, kind in enumerate(once.tolist())]
    before = np.tile(numbers, (types, 1))
    for kind, having, bit in moves:
        before[kind, having] -= bit
    # Words first and sequences last: so the best of all types is found fastest.
    to_begin = np.ascontiguousarray(begin.transpose(1, 2, 0))[:, :, None]
    to_go_on = np.ascontiguousarray(inside.transpose(1, 2, 0))[:, :, None]
    # Of the best labelling up to each word with each set: what it scores, whether that word is
    # outside, and for each type the score of the best one that ends inside it, and whether it began
    # at that word.
    total = np.empty((words, len(numbers), sequences), dtype=begin.dtype)
    out = np.empty(total.shape, dtype=bool)
    within = np.empty((words, types, len(numbers), sequences), dtype=begin.dtype)
    begun = np.empty(within.shape, dtype=bool)
    best = np.full_like(total[0], -np.inf)
    best[0] = 0
    going_on = np.full_like(within[0], -np.inf)
    for at in range(words):
        starting = best + to_begin[at]
        for kind, having, _ in moves:
            starting[kind, having] = starting[kind, ~having]
            starting[kind, ~having] = -np.inf
        going_on = np.add(going_on, to_go_on[at], out=within[at])
        np.greater(starting, going_on, out=begun[at])
        np.maximum(starting, going_on, out=going_on)
        value = going_on.max(0)
        free = best + outside[:, at]
        np.greater_equal(free, value, out=out[at])
        best = np.maximum(free, value, out=total[at])
    places = np.arange(words, dtype=np.int32)
    kinds = within.argmax(1)
    since = np.maximum.accumulate(np.multiply(begun, places[:, None, None, None]), axis=0)
    own = np.take_along_axis(since, kinds[:, None], 1)[:, 0]
    first = np.where(out, places[:, None, None], own).astype(np.int64)
    sets = numbers[:, None]
    earlier = np.where(out, sets, before[kinds, sets])
    final = total[np.maximum(lengths - 1, 0), :, np.arange(sequences)].argmax(1)
    ends = _ends(first, earlier, lengths, final)
    ends = tuple(of[~out[ends]] for of in ends)
    _label(path, ends[2], first[ends], ends[0], kinds[ends], types)
    return path


def _ends(
    first: NDArray[np.int64],
    earlier: NDArray[np.int64],
    lengths: NDArray[np.int64],
    final: NDArray[np.int64],
) -> tuple[NDArray[np.int64], ...]:
    """Where the parts of the best labellings end, each a span or a word outside.

    Shapes: first and earlier (words, sets, sequences), where the part begins that ends there and
    what the set was before it; final (sequences,), the set at last. Gives word, set and sequence.
    """
    # Cells of a table with a row of its own before the first word, where all sequences arrive. From
    # which part to which it goes is followed by one step, by two, by four.
    words, sets, count = first.shape
    sequences = np.arange(count)
    there = np.concatenate(
        [np.arange(sets * count), ((first * sets + earlier) * count + sequences).ravel()]
    )
    reached = np.zeros(len(there), dtype=bool)
    reached[(lengths * sets + final) * count + sequences] = True
    for _ in range(words.bit_length()):
        reached[there[np.flatnonzero(reached)]] = True
        there = there[there]
    return np.nonzero(reached[sets * count :].reshape(first.shape))


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
