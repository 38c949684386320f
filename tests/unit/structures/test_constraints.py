"""Permitted IOB2 transitions."""

import pytest

from hiermtl.structures.constraints import bio_transitions


def test_inside_tags_follow_only_their_own_type():
    names = ["O", "B-X", "I-X", "B-Y", "I-Y"]
    allowed, start = bio_transitions(names)
    into_x = [names[i] for i in range(5) if allowed[i, 2]]
    into_y = [names[i] for i in range(5) if allowed[i, 4]]
    assert into_x == ["B-X", "I-X"]
    assert into_y == ["B-Y", "I-Y"]
    assert allowed[:, [0, 1, 3]].all()
    assert start.tolist() == [True, True, False, True, False]


def test_types_may_contain_hyphens_and_be_absent():
    allowed, _ = bio_transitions(["B-a-b", "I-a-b", "I-a", "B", "I", "Begin"])
    assert allowed[:, 1].tolist() == [True, True, False, False, False, False]
    assert not allowed[:2, 2].any()
    assert allowed[:, 4].tolist() == [False, False, False, True, True, False]
    assert allowed[:, 5].all()


def test_inventories_may_be_empty():
    allowed, start = bio_transitions([])
    assert allowed.shape == (0, 0)
    assert start.shape == (0,)


def test_double_labels_are_refused():
    with pytest.raises(ValueError, match="twice"):
        bio_transitions(["O", "O"])
