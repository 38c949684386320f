"""Maximum spanning trees against enumeration of all trees."""

import functools
import itertools

import numpy as np
import pytest
import torch

from hiermtl.structures import tree
from hiermtl.structures.tree import find_cycle, is_tree, maximum_spanning_trees

ROOTS = pytest.mark.parametrize("single_root", [True, False])
KINDS = pytest.mark.parametrize("kind", ["normal", "ties", "holes", "ties and holes", "huge"])


@functools.cache
def all_trees(words: int, single_root: bool) -> np.ndarray:
    found = [
        heads
        for heads in itertools.product(range(words + 1), repeat=words)
        if follows_heads_to_root(heads) and (not single_root or heads.count(0) == 1)
    ]
    return np.array(found, dtype=np.int64).reshape(len(found), words)


def follows_heads_to_root(heads: tuple[int, ...]) -> bool:
    for word in range(1, len(heads) + 1):
        for _ in heads:
            word = heads[word - 1] if word else 0
        if word:
            return False
    return True


def draw(kind: str, batch: int, words: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([seed, words])
    shape = (batch, words + 1, words + 1)
    scores = rng.integers(-2, 2, shape).astype(float) if "ties" in kind else rng.normal(size=shape)
    if "holes" in kind:
        scores[rng.random(shape) < 0.3] = -np.inf
    if kind == "huge":
        scores[rng.random(shape) < 0.3] = -1e30
    return scores


def value(scores: np.ndarray, heads: np.ndarray) -> float:
    words = len(heads)
    return float(np.sort(scores[np.arange(1, words + 1), heads]).sum())


def best_value(scores: np.ndarray, words: int, single_root: bool) -> float:
    trees = all_trees(words, single_root)
    arcs = scores[np.arange(1, words + 1), trees]
    return float(np.sort(arcs, axis=1).sum(axis=1).max())


@ROOTS
@KINDS
@pytest.mark.parametrize("words", [1, 2, 3, 4, 5])
def test_trees_are_the_best_of_all(kind, words, single_root):
    scores = draw(kind, 80, words)
    for sentence in scores:
        expected = best_value(sentence, words, single_root)
        if expected == -np.inf:
            with pytest.raises(ValueError, match="sentence 0"):
                maximum_spanning_trees(sentence[None], [words], single_root=single_root)
            continue
        heads = maximum_spanning_trees(sentence[None], [words], single_root=single_root)[0]
        assert is_tree(heads, single_root=single_root)
        assert value(sentence, heads) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@ROOTS
@KINDS
def test_a_whole_batch_gives_the_trees_of_its_sentences(kind, single_root, monkeypatch):
    monkeypatch.setattr(tree, "_WORTH_SPLITTING", 3)
    lengths = np.arange(40) % 6
    scores = draw(kind, 40, 6)
    possible = []
    alone = []
    for index, (sentence, words) in enumerate(zip(scores, lengths, strict=True)):
        nodes = words + 1
        try:
            found = maximum_spanning_trees(
                sentence[None, :nodes, :nodes], [words], single_root=single_root
            )[0]
        except ValueError:
            continue
        possible.append(index)
        alone.append(found)
    for order in (possible, possible[::-1]):
        together = maximum_spanning_trees(scores[order], lengths[order], single_root=single_root)
        for row, index in zip(together, order, strict=True):
            words = lengths[index]
            assert row[:words].tolist() == alone[possible.index(index)].tolist()
            assert (row[words:] == -1).all()


@KINDS
def test_exactly_one_word_depends_on_the_root(kind):
    kind = kind.replace("holes", "").strip()
    scores = draw(kind, 50, 12)
    scores[:, :, 0] += 5
    heads = maximum_spanning_trees(scores, np.full(50, 12))
    assert ((heads == 0).sum(axis=1) == 1).all()
    assert all(is_tree(row) for row in heads)


def test_contraction_and_greedy_choice_agree_on_trees(monkeypatch):
    scores = draw("normal", 60, 7)
    expected = maximum_spanning_trees(scores, np.full(60, 7))
    monkeypatch.setattr(tree, "_reaches_root", lambda heads: np.zeros(len(heads), dtype=bool))
    assert np.array_equal(maximum_spanning_trees(scores, np.full(60, 7)), expected)


def test_greedy_trees_are_returned_unchanged(monkeypatch):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(30, 9, 9))
    trees = np.stack([np.arange(8) for _ in range(30)])
    for row in trees:
        order = rng.permutation(8)
        row[order] = np.concatenate(([0], order[:-1] + 1))
    scores[np.arange(30)[:, None], np.arange(1, 9), trees] += 100

    def fail(*_args, **_options):
        raise AssertionError

    monkeypatch.setattr(tree, "_grow", fail)
    assert np.array_equal(maximum_spanning_trees(scores, np.full(30, 8)), trees)


def test_greedy_decoding_without_the_root_constraint_would_be_noticed():
    scores = draw("normal", 200, 4)
    greedy = scores.copy()
    greedy[:, np.arange(5), np.arange(5)] = -np.inf
    heads = greedy[:, 1:].argmax(2)
    wrong = [not is_tree(row) for row in heads]
    assert sum(wrong) > 100


def test_patching_the_root_afterwards_would_be_noticed():
    scores = draw("normal", 200, 5)
    scores[:, :, 0] += 1
    free = maximum_spanning_trees(scores, np.full(200, 5), single_root=False)
    bound = maximum_spanning_trees(scores, np.full(200, 5))
    worse = 0
    for sentence, loose, tight in zip(scores, free, bound, strict=True):
        roots = np.nonzero(loose == 0)[0]
        keep = roots[sentence[roots + 1, 0].argmax()]
        patched = loose.copy()
        patched[roots] = keep + 1
        patched[keep] = 0
        assert value(sentence, patched) <= value(sentence, tight) + 1e-12
        worse += value(sentence, patched) < value(sentence, tight) - 1e-12
    assert worse > 50


@ROOTS
def test_long_sentences_are_solved(single_root):
    scores = draw("normal", 1, 400).astype(np.float32)
    heads = maximum_spanning_trees(scores, [400], single_root=single_root)[0]
    assert is_tree(heads, single_root=single_root)
    greedy = scores[0, 1:].max(axis=1).sum()
    assert 0.97 * greedy < value(scores[0], heads) <= greedy


def test_nested_cycles_are_contracted_in_depth():
    words = 40
    scores = np.full((1, words + 1, words + 1), -100.0)
    for word in range(2, words + 1):
        scores[0, word, word - 1] = scores[0, word - 1, word] = float(word)
    scores[0, 1:, 0] = -1000.0
    scores[0, 17, 0] = -999.0
    heads = maximum_spanning_trees(scores, [words])[0]
    assert heads[16] == 0
    assert is_tree(heads)
    assert heads.tolist() == [*range(2, 18), 0, *range(17, words)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
def test_tensors_and_arrays_give_the_same_trees(dtype):
    scores = torch.randint(-50, 50, (10, 7, 7)).to(dtype)
    lengths = torch.arange(10) % 7
    from_tensor = maximum_spanning_trees(scores, lengths)
    from_array = maximum_spanning_trees(scores.double().numpy(), lengths.numpy())
    assert np.array_equal(from_tensor, from_array)
    assert from_tensor.dtype == np.int64


def test_arguments_are_left_alone():
    scores = draw("normal", 5, 6)
    before = scores.copy()
    maximum_spanning_trees(scores, np.full(5, 6))
    assert np.array_equal(scores, before)


def test_what_is_ignored_may_hold_anything():
    scores = draw("normal", 4, 6)
    lengths = np.array([3, 0, 6, 1])
    expected = maximum_spanning_trees(scores, lengths)
    scores[:, 0] = np.nan
    scores[:, np.arange(7), np.arange(7)] = np.inf
    for sentence, words in enumerate(lengths):
        scores[sentence, words + 1 :] = np.nan
        scores[sentence, :, words + 1 :] = np.inf
    assert np.array_equal(maximum_spanning_trees(scores, lengths), expected)


def test_empty_batches_and_sentences_are_allowed():
    assert maximum_spanning_trees(np.zeros((0, 4, 4)), []).shape == (0, 3)
    assert maximum_spanning_trees(np.zeros((2, 1, 1)), [0, 0]).shape == (2, 0)
    assert maximum_spanning_trees(np.zeros((1, 2, 2)), [1]).tolist() == [[0]]
    assert maximum_spanning_trees(np.zeros((1, 3, 3)), [0]).tolist() == [[-1, -1]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(bad):
    scores = draw("normal", 3, 4)
    scores[1, 2, 3] = bad
    with pytest.raises(ValueError, match=r"sentence 1: .*NaN"):
        maximum_spanning_trees(scores, [4, 4, 4])


def test_sentences_without_a_permitted_tree_are_named():
    scores = np.zeros((2, 3, 3))
    scores[1, :, 0] = -np.inf
    with pytest.raises(ValueError, match="sentence 1: the permitted arcs hold no single-root"):
        maximum_spanning_trees(scores, [2, 2])
    scores[1] = -np.inf
    scores[1, 1:, 0] = 0
    with pytest.raises(ValueError, match="sentence 1: the permitted arcs hold no single-root"):
        maximum_spanning_trees(scores, [2, 2])
    assert maximum_spanning_trees(scores, [2, 2], single_root=False)[1].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("shape", "lengths", "message"),
    [
        ((2, 3, 4), [1, 1], "scores must be"),
        ((2, 3), [1, 1], "scores must be"),
        ((2, 3, 3), [1], "lengths must have shape"),
        ((2, 3, 3), [1, 3], "hold 2 words"),
        ((2, 3, 3), [-1, 2], "lengths lie in -1"),
    ],
)
def test_shapes_that_disagree_are_refused(shape, lengths, message):
    with pytest.raises(ValueError, match=message):
        maximum_spanning_trees(np.zeros(shape), lengths)


@pytest.mark.parametrize(
    ("heads", "single", "multiple", "cycle"),
    [
        ([], True, True, ()),
        ([0], True, True, ()),
        ([1], False, False, (1,)),
        ([2, 1], False, False, (1, 2)),
        ([0, 0], False, True, ()),
        ([2, 0, 2], True, True, ()),
        ([0, 3, 4, 2], False, False, (2, 3, 4)),
        ([0, 4, 2, 3, 5], False, False, (2, 4, 3)),
        ([0, 5], False, False, ()),
        ([0, -1], False, False, ()),
        ([4, 4, 4, 5, 4, 0], False, False, (4, 5)),
    ],
)
def test_trees_and_cycles_are_told_apart(heads, single, multiple, cycle):
    assert is_tree(heads) == single
    assert is_tree(np.array(heads, dtype=np.int32), single_root=False) == multiple
    assert find_cycle(heads) == cycle


@pytest.mark.parametrize("words", [1, 2, 3, 4])
def test_heads_form_a_tree_exactly_if_they_reach_the_root(words):
    for heads in itertools.product(range(words + 1), repeat=words):
        expected = follows_heads_to_root(heads)
        assert is_tree(heads, single_root=False) == expected
        assert (not find_cycle(heads)) == expected


def test_sentence_by_sentence_and_in_lockstep_give_the_same_trees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(5)
    for trial in range(120):
        batch, longest = int(random.integers(1, 6)), int(random.integers(1, 14))
        scores = random.normal(size=(batch, longest + 1, longest + 1))
        if trial % 3 == 1:
            scores = np.round(scores * 2)
        elif trial % 3 == 2:
            scores[random.random(scores.shape) < 0.35] = -np.inf
        lengths = random.integers(0, longest + 1, size=batch)
        for single_root in (True, False):
            found = []
            for worth in (0, 10**9):
                monkeypatch.setattr("hiermtl.structures.tree._WORTH_LOCKSTEP", worth)
                try:
                    trees = maximum_spanning_trees(scores, lengths, single_root=single_root)
                    found.append(trees.tolist())
                except ValueError as error:
                    found.append(str(error))
            assert found[0] == found[1]
