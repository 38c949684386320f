"""The best legal labelling against all of them."""

from itertools import product

import numpy as np
import pytest
import torch

from hiermtl.structures.bio import best_bio, spans_of_bio


def legal(path: tuple[int, ...], types: int) -> bool:
    before = 0
    for label in path:
        if label > types and before not in (label, label - types):
            return False
        before = label
    return True


def random_scores(sequences: int, words: int, types: int) -> tuple[torch.Tensor, ...]:
    return (
        torch.randn(sequences, words),
        torch.randn(sequences, words, types),
        torch.randn(sequences, words, types) + 0.5,
    )


def total(path: tuple[int, ...], scores: torch.Tensor) -> float:
    return sum(float(scores[at, label]) for at, label in enumerate(path))


@pytest.mark.parametrize("types", [1, 2])
def test_it_is_the_best_of_all_legal_labellings(types: int) -> None:
    torch.manual_seed(types)
    outside, begin, inside = random_scores(40, 4, types)
    lengths = torch.arange(40) % 5
    found = best_bio(outside, begin, inside, lengths=lengths)
    every = torch.cat([outside[..., None], begin, inside], dim=-1)
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


def test_nothing_gives_nothing() -> None:
    for sequences, words, types in ((0, 3, 2), (2, 0, 2), (2, 3, 0)):
        outside, begin, inside = random_scores(sequences, words, types)
        found = best_bio(outside, begin, inside, lengths=torch.full((sequences,), words))
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
    torch.manual_seed(0)
    outside, begin, inside = random_scores(30, 8, 3)
    lengths = torch.arange(30) % 9
    path = best_bio(outside, begin, inside, lengths=lengths).numpy()
    slow = []
    for row, labels in enumerate(path.tolist()):
        for at, label in enumerate(labels):
            if 1 <= label <= 3:
                slow.append([row, at, at + 1, label - 1])
            elif label:
                slow[-1][2] = at + 1
    assert np.column_stack(spans_of_bio(path, 3)).tolist() == slow
