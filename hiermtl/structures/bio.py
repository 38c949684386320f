"""Sequences of begin, inside and outside, chosen without scores of transitions."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def best_bio(outside: Tensor, begin: Tensor, inside: Tensor, *, lengths: Tensor) -> Tensor:
    """The best legal IOB2 labelling of each sequence, where labels are scored one by one.

    The score is the sum over words; a word inside a type follows one that begins it or is inside
    it. So the best labelling up to a word, by how that is labelled, takes the types one by one:
    the work is linear in them, where Viterbi's over transitions grows with their square. Of equal
    scores: inside, before outside, before begin.

    Args:
        outside: Scores ``(sequences, words)``, padded on the right.
        begin: Scores ``(sequences, words, types)``.
        inside: Scores ``(sequences, words, types)``.
        lengths: Words of each sequence, ``(sequences,)``.

    Returns:
        ``(sequences, words)`` int64: 0 outside, ``1 + type`` where one begins, ``1 + types + type``
        inside it; 0 in the padding.
    """
    sequences, words, types = begin.shape
    if not words or not sequences:
        return torch.zeros(sequences, words, dtype=torch.long, device=begin.device)
    if not types:
        return torch.zeros_like(outside, dtype=torch.long)
    best = outside.new_zeros(sequences)
    within = outside.new_full((sequences, types), float("-inf"))
    # Of the best labelling up to each word: what its last label is, and for each type whether the
    # best one that ends inside it began at that word.
    last, begun = [], []
    for at in range(words):
        starting = best[:, None] + begin[:, at]
        going_on = within + inside[:, at]
        new = starting > going_on
        within = torch.where(new, starting, going_on)
        begun.append(new)
        value, kind = within.max(1)
        free = best + outside[:, at]
        best = torch.maximum(free, value)
        last.append(torch.where(free >= value, -1, kind))
    ends, starts = torch.stack(last, 1), torch.stack(begun, 1)
    path = torch.zeros(sequences, words, dtype=torch.long, device=begin.device)
    kind = torch.full((sequences,), -1, dtype=torch.long, device=begin.device)
    for at in range(words - 1, -1, -1):
        there = at < lengths
        kind = torch.where((kind < 0) & there, ends[:, at], kind)
        own = kind.clamp(min=0)
        first = starts[:, at].gather(1, own[:, None]).squeeze(1)
        label = torch.where(kind < 0, 0, torch.where(first, 1 + own, 1 + types + own))
        path[:, at] = torch.where(there, label, 0)
        kind = torch.where(first & there, -1, kind)
    return path


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
