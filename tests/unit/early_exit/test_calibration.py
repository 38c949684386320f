"""Thresholds that keep to a stated loss, and ones that do not."""

import numpy as np
import pytest

from hiermtl.early_exit import ExitCounts, choose_thresholds
from hiermtl.early_exit.calibration import read_at, rows_at
from hiermtl.metrics.accuracy import Accuracy

WORDS = 10
DEPTH = 6


def drawn(seed: int, sentences: int = 4000) -> tuple[np.ndarray, dict[int, ExitCounts]]:
    """Counts of a model that is right in 95 % of words, and of two exits.

    At depth 2 an exit is as good for easy sentences alone, and thinks much of itself; at depth 4
    one is for most, and thinks less of itself: so each needs a threshold of its own.
    """
    random = np.random.default_rng(seed)
    hard = random.random(sentences)
    whole = random.binomial(WORDS, 0.97 - 0.04 * hard)
    exits = {}
    for depth, slope, ease, sure in (
        (2, 1.2, 0.25, 1 - 0.2 * hard),
        (4, 0.4, 0.6, 0.9 - 0.6 * hard),
    ):
        # Mostly the same words, as of a model whose exits learn what it has learnt.
        right = random.binomial(whole, 0.998 - slope * np.clip(hard - ease, 0, None))
        exits[depth] = ExitCounts(counts(right), sure)
    return counts(whole), exits


def counts(right: np.ndarray) -> np.ndarray:
    return np.stack([right, np.full(len(right), WORDS)], axis=1).astype(np.float64)


def lost(whole: np.ndarray, exits: dict[int, ExitCounts], thresholds: dict[int, float]) -> float:
    """Points of accuracy that leaving costs."""
    rows = rows_at(whole, exits, read_at(exits, thresholds, depth=DEPTH))
    before, after = (Accuracy().score(r.sum(0))["accuracy"] for r in (whole, rows))
    return before - after


def chosen(seed: int, loss: float, sentences: int = 4000) -> dict[int, float]:
    whole, exits = drawn(seed, sentences)
    found = choose_thresholds(
        Accuracy(),
        whole,
        exits,
        depth=DEPTH,
        loss=loss,
        documents=[""] * sentences,
        words=np.full(sentences, WORDS),
    )
    assert found.bound <= loss
    assert found.loss <= found.bound
    return dict(found.thresholds)


@pytest.mark.parametrize("loss", [0.3, 1.0])
def test_other_data_lose_no_more_than_stated(loss: float) -> None:
    thresholds = chosen(0, loss)
    assert set(thresholds) == {2, 4}
    for seed in range(1, 6):
        assert lost(*drawn(seed), thresholds) <= loss + 0.1
    # Negative control: with the thresholds of the other exit the loss is more than was stated.
    swapped = {2: thresholds[4], 4: thresholds[2]}
    for seed in range(1, 6):
        assert lost(*drawn(seed), swapped) > loss + 0.1


def test_more_may_leave_where_more_may_be_lost() -> None:
    _, exits = drawn(7)
    found = [read_at(exits, chosen(0, loss), depth=DEPTH) for loss in (0.1, 0.3, 1.0, 3.0)]
    saved = [float((DEPTH - read).mean()) for read in found]
    assert saved == sorted(saved)
    assert saved[-1] > saved[0]


def test_bounds_hold_in_most_draws() -> None:
    """With small dev data too, and where the loss is just allowed: in about 95 of 100."""
    whole, exits = drawn(1000, 40_000)
    broken = [lost(whole, exits, t) > 0.5 for seed in range(60) if (t := chosen(seed, 0.5, 600))]
    assert len(broken) > 20
    assert np.mean(broken) < 0.15


def test_an_exit_that_is_never_right_is_not_used() -> None:
    whole, exits = drawn(0)
    exits[2] = ExitCounts(whole * [0.0, 1.0], np.ones(len(whole)))
    found = choose_thresholds(
        Accuracy(),
        whole,
        exits,
        depth=DEPTH,
        loss=0.5,
        documents=[""] * len(whole),
        words=np.full(len(whole), WORDS),
    )
    assert set(found.thresholds) == {4}


def test_nothing_leaves_where_nothing_may_be_lost() -> None:
    assert chosen(0, 0.0) == {}


def test_too_few_documents_test_nothing() -> None:
    whole, exits = drawn(0, 1000)
    found = choose_thresholds(
        Accuracy(),
        whole,
        exits,
        depth=DEPTH,
        loss=5.0,
        documents=["one"] * 500 + ["two"] * 500,
        words=np.full(1000, WORDS),
    )
    assert found.thresholds == {}


def test_a_sentence_leaves_at_the_first_exit_that_is_sure() -> None:
    rows = np.zeros((4, 2))
    exits = {
        2: ExitCounts(rows, np.array([0.9, 0.5, 0.5, 0.8])),
        4: ExitCounts(rows, np.array([0.9, 0.9, 0.1, 0.0])),
    }
    assert read_at(exits, {2: 0.8, 4: 0.7}, depth=6).tolist() == [2, 4, 6, 2]
    assert read_at(exits, {4: 0.7}, depth=6).tolist() == [4, 4, 6, 6]
    assert read_at(exits, {2: 0.0}, depth=6).tolist() == [2, 2, 2, 2]
    assert read_at(exits, {2: float("inf")}, depth=6).tolist() == [6, 6, 6, 6]
