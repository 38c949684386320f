"""The best legal labelling against all of them."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from hiermtl.structures import padding
from hiermtl.structures.bio import best_bio, spans_of_bio


def legal(path: tuple[int, ...], types: int) -> bool:
    before = 0
    for label in path:
        if label > types and before not in (label, label - types):
            return False
        before = label
    return True


def random_scores(
    seed: int, sequences: int, words: int, types: int, *, whole: bool = False
) -> tuple[Any, Any, Any]:
    """Of outside, begin and inside; whole numbers, so that many labellings are equal."""
    rng = np.random.default_rng(seed)
    shapes = ((sequences, words), (sequences, words, types), (sequences, words, types))
    if whole:
        return tuple(rng.integers(-1, 2, shape).astype(np.float32) for shape in shapes)
    outside, begin, inside = (rng.standard_normal(shape) for shape in shapes)
    return outside, begin, inside + 0.5


def total(path: tuple[int, ...], scores: Any) -> float:
    return sum(float(scores[at, label]) for at, label in enumerate(path))


def word_by_word(outside: Any, begin: Any, inside: Any) -> list[int]:
    """The labelling of one sequence by the recursion, in which a better one replaces another."""
    words, types = begin.shape
    best: tuple[Any, list[int]] = (outside.dtype.type(0), [])
    open_ = [(outside.dtype.type("-inf"), [])] * types
    for at in range(words):
        for kind, (score, labels) in enumerate(open_):
            going_on = (score + inside[at, kind], [*labels, 1 + types + kind])
            starting = (best[0] + begin[at, kind], [*best[1], 1 + kind])
            open_[kind] = starting if starting[0] > going_on[0] else going_on
        closed = (best[0] + outside[at], [*best[1], 0])
        kind = max(range(types), key=lambda kind: open_[kind][0])
        best = closed if closed[0] >= open_[kind][0] else open_[kind]
    return best[1]


@pytest.mark.parametrize("types", [1, 2])
def test_it_is_the_best_of_all_legal_labellings(types: int) -> None:
    outside, begin, inside = random_scores(types, 40, 4, types)
    lengths = np.arange(40) % 5
    found = best_bio(outside, begin, inside, lengths=lengths)
    every = np.concatenate([outside[..., None], begin, inside], axis=-1)
    illegal = 0
    for path, scores, length in zip(found.tolist(), every, lengths.tolist(), strict=True):
        own = tuple(path[:length])
        assert legal(own, types)
        assert not any(path[length:])
        paths = list(product(range(1 + 2 * types), repeat=length))
        best = max(total(other, scores) for other in paths if legal(other, types))
        assert total(own, scores) == pytest.approx(best, abs=1e-5)
        illegal += total(own, scores) < max(total(other, scores) for other in paths) - 1e-5
    assert illegal > 5  # so that the rules were needed


@pytest.mark.parametrize("seed", range(3))
def test_of_equal_labellings_it_is_that_of_the_recursion(seed: int) -> None:
    scores = random_scores(seed, 40, 9, 3, whole=True)
    lengths = np.arange(40) % 10
    found = best_bio(*scores, lengths=lengths).tolist()
    other = 0
    for row, length in enumerate(lengths.tolist()):
        own = [score[row, :length] for score in scores]
        assert found[row][:length] == word_by_word(*own)
        backwards = [own[0], *(score[:, ::-1] for score in own[1:])]
        turned = [label and (10 if label > 3 else 4) - label for label in word_by_word(*backwards)]
        other += turned != found[row][:length]
    assert other > 5  # so that there were equal ones to choose from


def repeats(path: tuple[int, ...], once: tuple[int, ...]) -> bool:
    return any(path.count(1 + kind) > 1 for kind in once)


@pytest.mark.parametrize("once", [(0,), (1,), (0, 1)])
def test_it_is_the_best_in_which_types_that_may_begin_once_do(once: tuple[int, ...]) -> None:
    scores = random_scores(7, 60, 5, 2)
    lengths = np.arange(60) % 6
    free = best_bio(*scores, lengths=lengths)
    found = best_bio(*scores, lengths=lengths, once=once)
    every = np.concatenate([scores[0][..., None], *scores[1:]], axis=-1)
    repeated = 0
    for row, (own, length) in enumerate(zip(found.tolist(), lengths.tolist(), strict=True)):
        path = tuple(own[:length])
        assert legal(path, 2)
        assert not repeats(path, once)
        assert not any(own[length:])
        if not repeats(tuple(free[row].tolist()), once):
            assert own == free[row].tolist()
            continue
        repeated += 1
        best = max(
            total(other, every[row])
            for other in product(range(5), repeat=length)
            if legal(other, 2) and not repeats(other, once)
        )
        assert total(path, every[row]) == pytest.approx(best)
    assert repeated > 5  # so that the rule was needed
    assert found.shape == free.shape


def test_a_type_that_repeats_only_where_another_may_not_is_held_too() -> None:
    """Each word is best of the first type, where that is counted of the second, and so on."""
    begin = np.array([[[5.0, 4.0, 0.0], [5.0, 4.0, 0.0], [5.0, 4.0, 0.0]]])
    outside, inside = np.zeros((1, 3)), np.full_like(begin, -9.0)
    lengths = np.array([3])
    assert best_bio(outside, begin, inside, lengths=lengths).tolist() == [[1, 1, 1]]
    one = best_bio(outside, begin, inside, lengths=lengths, once=(0,))
    assert sorted(one[0].tolist()) == [1, 2, 2]
    both = best_bio(outside, begin, inside, lengths=lengths, once=(0, 1))
    assert sorted(both[0].tolist()) in ([0, 1, 2], [1, 2, 3])


def test_what_repeats_nothing_stays_as_it_is_among_equals() -> None:
    scores = random_scores(5, 200, 5, 3, whole=True)
    lengths = np.arange(200) % 6
    free = best_bio(*scores, lengths=lengths)
    found = best_bio(*scores, lengths=lengths, once=(0, 1, 2))
    kept = np.array([not repeats(tuple(row), (0, 1, 2)) for row in free.tolist()])
    assert 20 < kept.sum() < 180
    np.testing.assert_array_equal(found[kept], free[kept])
    assert (found[~kept] != free[~kept]).any(1).all()


def test_types_that_begin_once_are_found_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = random_scores(3, 40, 12, 4)
    lengths = np.arange(40) % 13
    whole = best_bio(*scores, lengths=lengths, once=(0, 1, 3))
    assert (whole != best_bio(*scores, lengths=lengths)).any(1).sum() > 10
    monkeypatch.setattr(padding, "CELLS", 100)
    np.testing.assert_array_equal(best_bio(*scores, lengths=lengths, once=(0, 1, 3)), whole)


def test_scores_that_are_no_numbers_end_too() -> None:
    scores = random_scores(3, 20, 6, 3)
    for score in scores:
        score[::2, ::3] = np.nan
    assert best_bio(*scores, lengths=np.full(20, 6), once=(0, 1, 2)).shape == (20, 6)


def test_nothing_gives_nothing() -> None:
    for sequences, words, types in ((0, 3, 2), (2, 0, 2), (2, 3, 0)):
        outside, begin, inside = random_scores(0, sequences, words, types)
        found = best_bio(outside, begin, inside, lengths=np.full(sequences, words))
        assert found.shape == (sequences, words)
        assert not found.any()


def test_spans_begin_where_one_begins_and_end_where_it_does_not_go_on() -> None:
    """Of two types: 1 and 2 begin, 3 and 4 go on."""
    path = np.array([[1, 3, 0, 2, 2, 4], [0, 0, 0, 0, 0, 0], [1, 0, 2, 4, 4, 1]])
    found = np.column_stack(spans_of_bio(path, 2)).tolist()
    assert found == [
        [0, 0, 2, 0],
        [0, 3, 4, 1],
        [0, 4, 6, 1],
        [2, 0, 1, 0],
        [2, 2, 5, 1],
        [2, 5, 6, 0],
    ]


def test_spans_are_those_found_word_by_word() -> None:
    outside, begin, inside = random_scores(0, 30, 8, 3)
    lengths = np.arange(30) % 9
    path = best_bio(outside, begin, inside, lengths=lengths)
    slow = []
    for row, labels in enumerate(path.tolist()):
        for at, label in enumerate(labels):
            if 1 <= label <= 3:
                slow.append([row, at, at + 1, label - 1])
            elif label:
                slow[-1][2] = at + 1
    assert np.column_stack(spans_of_bio(path, 3)).tolist() == slow
