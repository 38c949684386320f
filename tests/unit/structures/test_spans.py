"""Spans that can stand together, against taking them one after the other."""

import tracemalloc
from itertools import combinations

import numpy as np
import pytest

from hiermtl.structures.spans import MOST_PER_WORD, nested


def one_by_one(
    starts: np.ndarray, ends: np.ndarray, scores: np.ndarray, owners: np.ndarray
) -> set[int]:
    kept: list[int] = []
    for place in sorted(
        range(len(starts)), key=lambda i: (-scores[i], owners[i], starts[i], -ends[i])
    ):
        if not any(owners[place] == owners[k] and crosses(starts, ends, place, k) for k in kept):
            kept.append(place)
    return set(kept)


def crosses(starts: np.ndarray, ends: np.ndarray, one: int, other: int) -> bool:
    a, b = (set(range(starts[i], ends[i])) for i in (one, other))
    return bool(a & b) and not (a <= b or b <= a)


def drawn(
    seed: int, *, sentences: int = 4, steps: int = 1000
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Some of all spans of sentences of 0 to 8 words; few `steps` make equal scores."""
    random = np.random.default_rng(seed)
    words = random.integers(0, 9, size=sentences)
    every = [
        (owner, start, end)
        for owner, count in enumerate(words)
        for start, end in combinations(range(count + 1), 2)
        if random.random() < 0.6
    ]
    random.shuffle(every)
    owners, starts, ends = np.array(every, dtype=np.int64).reshape(-1, 3).T
    return starts, ends, random.integers(0, steps, size=len(every)) / steps, owners, words


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("steps", [3, 1000])
def test_what_is_kept_is_what_taking_one_by_one_keeps(seed: int, steps: int) -> None:
    starts, ends, scores, owners, words = drawn(seed, steps=steps)
    found = nested(starts, ends, scores, owners=owners, words=words)
    assert set(found.tolist()) == one_by_one(starts, ends, scores, owners)
    told = [(owners[i], starts[i], -ends[i]) for i in found]
    assert told == sorted(told)


def test_the_best_of_too_many_are_looked_at() -> None:
    """A sentence of two words with ten candidates: spans may come more than once."""
    starts, ends = np.zeros(10, dtype=np.int64), np.full(10, 2)
    scores = np.arange(10.0)
    owners, words = np.zeros(10, dtype=np.int64), np.array([2])
    found = nested(starts, ends, scores, owners=owners, words=words)
    assert set(found.tolist()) == set(range(10 - 2 * MOST_PER_WORD, 10))


def test_nothing_and_sentences_without_words() -> None:
    none = np.zeros(0, dtype=np.int64)
    for words in (none, np.zeros(3, dtype=np.int64)):
        assert not len(nested(none, none, none.astype(float), owners=none, words=words))


def test_a_sentence_of_any_length_is_chosen_for() -> None:
    """A hundred thousand words with short spans: what does not overlap is never compared."""
    count = 100_000
    random = np.random.default_rng(0)
    starts = np.repeat(np.arange(0, count - 12, 10), 3) + random.integers(
        0, 4, size=3 * (count // 10 - 1)
    )
    ends = starts + random.integers(1, 6, size=len(starts))
    scores, owners = random.random(len(starts)), np.zeros(len(starts), dtype=np.int64)
    found = nested(starts, ends, scores, owners=owners, words=np.array([count]))
    few = slice(0, 300)
    wanted = one_by_one(starts[few], ends[few], scores[few], owners[few])
    assert {place for place in found.tolist() if place < 300} == wanted


def test_memory_is_not_that_of_the_largest_group_for_each() -> None:
    """A sentence in which much overlaps, in a long document in which little does."""
    count, wide = 2_000, 400
    random = np.random.default_rng(0)
    first = random.integers(0, 70, size=wide)
    starts = np.concatenate([np.zeros(count, dtype=np.int64), first])
    ends = np.concatenate([np.full(count, 2), first + random.integers(1, 30, size=wide)])
    owners = np.concatenate([np.arange(count), np.full(wide, count)])
    words = np.array([2] * count + [100])
    scores = random.random(count + wide)
    tracemalloc.start()
    try:
        found = nested(starts, ends, scores, owners=owners, words=words)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    own = slice(count, None)
    wanted = one_by_one(starts[own], ends[own], scores[own], owners[own])
    assert set(found.tolist()) == {*range(count), *(count + place for place in wanted)}
    assert peak < 50e6
