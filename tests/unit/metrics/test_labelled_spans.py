"""Span scores as sets, against sets."""

import random
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiermtl.metrics.labelled_spans import LabelledSpanF1
from hiermtl.metrics.spans import SpanF1

SPAN = st.tuples(st.integers(0, 3), st.integers(4, 6), st.sampled_from("XY"))
PAIRS = st.lists(st.tuples(st.lists(SPAN, max_size=8), st.lists(SPAN, max_size=8)), max_size=4)


def by_sets(gold: Sequence, predicted: Sequence) -> list[list[int]]:
    """The counts, from Python's own sets."""
    pairs = [(set(right), set(guess)) for right, guess in zip(gold, predicted, strict=True)]
    return [[len(right), len(guess), len(right & guess)] for right, guess in pairs]


@given(PAIRS)
def test_counts_are_those_of_sets(pairs):
    gold, predicted = [right for right, _ in pairs], [guess for _, guess in pairs]
    rows = LabelledSpanF1().count(gold, predicted)
    assert rows.shape == (len(pairs), 3)
    assert rows.tolist() == by_sets(gold, predicted)


@given(PAIRS)
def test_gold_and_prediction_swapped_swap_precision_and_recall(pairs):
    gold, predicted = [right for right, _ in pairs], [guess for _, guess in pairs]
    rows = LabelledSpanF1().count(gold, predicted)
    assert np.array_equal(LabelledSpanF1().count(predicted, gold), rows[:, [1, 0, 2]])


def test_nested_and_crossing_spans_and_several_labels_count_each():
    gold = [[(0, 5, "ORG"), (0, 2, "PER"), (0, 2, "TITLE"), (1, 3, "LOC")]]
    predicted = [[(0, 5, "ORG"), (0, 2, "TITLE"), (0, 2, "LOC"), (1, 3, "LOC"), (3, 4, "PER")]]
    rows = LabelledSpanF1().count(gold, predicted)
    assert rows.tolist() == [[4, 5, 3]]
    scores = LabelledSpanF1().score(rows.sum(axis=0))
    assert scores == pytest.approx({"f1": 200 / 3, "precision": 60.0, "recall": 75.0})
    assert next(iter(scores)) == "f1"
    assert LabelledSpanF1().items(rows[0]) == 4


@pytest.mark.parametrize("wrong", [(0, 2, "Y"), (0, 3, "X"), (1, 2, "X")])
def test_a_span_with_another_label_or_end_is_wrong(wrong):
    assert LabelledSpanF1().count([[(0, 2, "X")]], [[wrong]]).tolist() == [[1, 1, 0]]


def test_a_span_of_the_next_sentence_is_not_one_of_this():
    rows = LabelledSpanF1().count([[(0, 1, "X")], []], [[], [(0, 1, "X")]])
    assert rows.tolist() == [[1, 0, 0], [0, 1, 0]]


def test_what_is_said_twice_counts_once():
    rows = LabelledSpanF1().count([[(0, 1, "X")] * 3], [[(0, 1, "X")] * 2 + [(0, 1, "Y")]])
    assert rows.tolist() == [[1, 2, 1]]


def test_sentences_without_annotation_are_not_counted():
    rows = LabelledSpanF1().count([None, []], [[(0, 1, "X")], [(0, 1, "X")]])
    assert rows.tolist() == [[0, 0, 0], [0, 1, 0]]


def test_flat_spans_score_as_their_tags():
    source = random.Random(0)
    gold, predicted = (
        [[source.choice(["O", "B-X", "B-Y"]) for _ in range(9)] for _ in range(20)]
        for _ in range(2)
    )
    spans = [
        [[(at, at + 1, tag[2:]) for at, tag in enumerate(tags) if tag != "O"] for tags in side]
        for side in (gold, predicted)
    ]
    assert np.array_equal(LabelledSpanF1().count(*spans), SpanF1().count(gold, predicted)[:, :3])


def test_lengths_that_disagree_are_refused():
    with pytest.raises(ValueError, match="2 gold sentences, but 1 predicted"):
        LabelledSpanF1().count([[], []], [[]])


def test_many_sentences_are_counted_quickly():
    source = random.Random(0)
    sides = [
        [
            [(at, at + source.randrange(1, 4), source.choice("ABCDEF")) for at in range(0, 20, 2)]
            for _ in range(5000)
        ]
        for _ in range(2)
    ]
    begin = time.perf_counter()
    LabelledSpanF1().count(*sides)
    assert time.perf_counter() - begin < 2.0
