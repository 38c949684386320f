"""Measures against numbers worked out by hand, and against plain definitions."""

import numpy as np
import pytest
import torch

from hiermtl.probing.measures import (
    accuracy,
    control_labels,
    correlation,
    micro_f1,
    span_f1,
    variability,
)

GOLD = np.array([0, 1, 2, 2])
READ = np.array([[[0, 1, 2, 2], [0, 1, 0, 1]]])


def test_accuracy_is_the_share_that_is_right() -> None:
    assert accuracy(GOLD, READ).tolist() == [[100.0, 50.0]]


def test_f1_leaves_out_what_is_rightly_none() -> None:
    # Of two items, two are found, and two more are said to be there that are not.
    assert micro_f1(GOLD, READ, none=2).tolist() == [[100.0, pytest.approx(100 * 4 / 6)]]
    assert micro_f1(GOLD, np.full((1, 1, 4), 2), none=2).tolist() == [[0.0]]


def test_spans_do_not_go_on_into_the_next_sentence() -> None:
    labels = ("O", "B-A", "I-A")
    gold, read = np.array([1, 2, 0]), np.array([[[1, 2, 0], [1, 0, 0]]])
    assert span_f1(gold, read, np.array([0, 0, 0]), labels=labels).tolist() == [[100.0, 0.0]]
    # With a sentence's end after the first word, gold has two spans, of which one is found.
    found = span_f1(gold, read, np.array([0, 1, 1]), labels=labels)
    assert found.tolist() == [[100.0, pytest.approx(100 * 2 / 3)]]


def test_correlation_is_pearsons() -> None:
    random = np.random.default_rng(0)
    gold, read = random.normal(size=30), random.normal(size=(2, 1, 30))
    found = correlation(gold, read)
    assert found[:, 0] == pytest.approx([np.corrcoef(gold, own[0])[0, 1] for own in read])
    assert correlation(gold, np.ones((1, 1, 30))).tolist() == [[0.0]]


def test_variability_is_the_trace_of_the_papers_matrices() -> None:
    random = np.random.default_rng(0)
    gold = np.repeat([0, 1, 2], [10, 20, 30])
    states = random.normal(size=(2, 60, 5)) + random.normal(size=(2, 3, 5))[:, gold]
    found = variability(torch.from_numpy(states), np.arange(60)[:, None], gold)
    for depth, own in enumerate(found or ()):
        groups = [states[depth][gold == label] for label in range(3)]
        means = np.stack([group.mean(0) for group in groups])
        centred = means - means.mean(0)
        within = sum(np.cov(group.T, bias=True) for group in groups) / 3
        between = centred.T @ centred / 3
        wanted = np.trace(within @ np.linalg.pinv(between, hermitian=True, rcond=1e-9)) / 3
        assert own == pytest.approx(wanted, rel=1e-4)


def test_variability_needs_two_labels_of_ten_items() -> None:
    states, ends = torch.randn(1, 30, 4), np.arange(30)[:, None]
    assert variability(states, ends, np.repeat([0, 1], [25, 5])) is None
    assert variability(states, ends, np.repeat([0, 1], [20, 10])) is not None


def test_variability_reads_several_ends_and_words_that_are_not_there() -> None:
    states = torch.randn(1, 20, 4)
    ends = np.column_stack([np.arange(20), np.full(20, -1)])
    gold = np.repeat([0, 1], 10)
    assert variability(states, ends, gold) == pytest.approx(
        variability(states, ends[:, :1], gold) or ()
    )


def test_control_labels_are_the_same_for_the_same_word_and_as_frequent_as_gold() -> None:
    keys = np.random.default_rng(0).integers(2**62, size=20_000)
    gold = np.repeat([0, 1, 2], [50, 30, 20])
    found = control_labels(np.concatenate([keys, keys[:100]]), gold, labels=4)
    assert (found[:100] == found[-100:]).all()
    assert np.bincount(found, minlength=4) / len(found) == pytest.approx(
        [0.5, 0.3, 0.2, 0], abs=0.02
    )
