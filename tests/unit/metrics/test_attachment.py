"""Attachment scores over gold words; equality with the official program is in test_conll18."""

import numpy as np
import pytest

from hiermtl.metrics.attachment import (
    CONTENT_RELATIONS,
    FUNCTIONAL_RELATIONS,
    Attachment,
    universal,
)


def test_heads_relations_and_content_words_are_counted():
    gold = [([2, 0, 2, 2], ["det", "root", "obj", "punct"]), ([0], ["root"])]
    guess = [([2, 0, 2, 3], ["case", "root", "nsubj", "nmod:of"]), ([0], ["dep"])]
    rows = Attachment().count(gold, guess)
    assert rows.tolist() == [[4, 3, 1, 2, 3, 1], [1, 1, 0, 1, 1, 0]]
    scores = Attachment().score(rows.sum(axis=0))
    assert list(scores) == ["las", "uas", "clas"]
    assert scores == {"las": 20.0, "uas": 80.0, "clas": pytest.approx(200 / 7)}
    assert Attachment().items(rows.sum(axis=0)) == 5


def test_subtypes_do_not_matter():
    rows = Attachment().count([([0], ["acl:relcl"])], [([0], ["acl"])])
    assert rows.tolist() == [[1, 1, 1, 1, 1, 1]]
    assert universal("nsubj:pass:x") == "nsubj"


def test_relations_are_of_one_kind():
    assert not CONTENT_RELATIONS & FUNCTIONAL_RELATIONS
    assert "punct" not in CONTENT_RELATIONS | FUNCTIONAL_RELATIONS


def test_arrays_and_missing_sentences_are_allowed():
    gold = [None, (np.array([0, 1]), ["root", "obj"])]
    guess = [([0], ["root"]), (np.array([0, 1]), ["root", "obj"])]
    assert Attachment().count(gold, guess).tolist() == [[0] * 6, [2, 2, 2, 2, 2, 2]]
    assert Attachment().count([], []).shape == (0, 6)


def test_lengths_that_disagree_are_refused():
    with pytest.raises(ValueError, match="sentence 0: 1 gold words, but 2"):
        Attachment().count([([0], ["root"])], [([0, 1], ["root", "obj"])])
    with pytest.raises(ValueError, match="predicted sentence 0: 1 heads, but 0 relations"):
        Attachment().count([([0], ["root"])], [([0], [])])
