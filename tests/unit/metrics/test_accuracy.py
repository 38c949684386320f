"""Accuracy of labels."""

import pytest

from hiermtl.metrics.accuracy import Accuracy


def test_each_sentence_counts_its_own_words():
    rows = Accuracy().count([["a", "b"], [], ["c"]], [["a", "c"], [], ["c"]])
    assert rows.tolist() == [[1, 2], [0, 0], [1, 1]]


def test_missing_gold_is_not_counted():
    rows = Accuracy().count([["a", None], None, [None]], [["a", "b"], ["x", "y"], ["c"]])
    assert rows.tolist() == [[1, 1], [0, 0], [0, 0]]


def test_none_is_never_a_right_prediction():
    assert Accuracy().count([["a", None]], [[None, None]]).tolist() == [[0, 1]]


def test_gold_labels_unknown_to_the_model_are_errors():
    assert Accuracy().count([["never seen"]], [["seen"]]).tolist() == [[0, 1]]


def test_one_label_for_a_whole_sentence_is_compared_whole():
    rows = Accuracy().count(["ab", "ab", None], ["ab", "aa", "ab"])
    assert rows.tolist() == [[1, 1], [0, 1], [0, 0]]


def test_lengths_that_disagree_are_refused():
    with pytest.raises(ValueError, match="2 gold sentences, but 1"):
        Accuracy().count([["a"], ["b"]], [["a"]])
    with pytest.raises(ValueError, match="sentence 1: 2 gold labels, but 1 predicted"):
        Accuracy().count([["a"], ["b", "c"]], [["a"], ["b"]])
