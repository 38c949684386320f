"""Argument scores: by hand, by brute force, and as the program of CoNLL-2005 prints them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiermtl.metrics.roles import RoleF1
from hiermtl.text.propbank import read_propbank
from hiermtl.text.sentence import Frames

ROLES = ["A0", "A1", "C-A0", "C-A1", "R-A1", "C-R-A1", "V", "C-V"]
ARGUMENT = st.tuples(st.integers(0, 3), st.integers(4, 5), st.sampled_from(ROLES))
FRAMES = st.dictionaries(
    st.integers(0, 3),
    st.tuples(st.sampled_from([None, "01", "02"]), st.lists(ARGUMENT, max_size=6)),
    max_size=3,
).map(lambda frames: [(word, *frame) for word, frame in frames.items()])
PAIRS = st.lists(st.tuples(FRAMES, FRAMES), max_size=4)


def items_of(frames):
    """The arguments of a sentence, joined piece by piece in reading order."""
    items = set()
    for predicate, _, arguments in frames:
        latest, joined, known = {}, [], set()
        order = sorted(arguments, key=lambda a: (a[0], -a[1], a[2].startswith("C-")))
        for start, end, role in order:
            plain = role.removeprefix("C-")
            if (start, end, plain) in known or plain == "V":
                continue
            known.add((start, end, plain))
            if role.startswith("C-") and plain in latest:
                latest[plain].append((start, end))
            else:
                latest[plain] = [(start, end)]
                joined.append((plain, latest[plain]))
        items |= {(predicate, plain, tuple(pieces)) for plain, pieces in joined}
    return items


def by_sets(gold, predicted):
    right, guess = items_of(gold), items_of(predicted)
    return [len(right), len(guess), len(right & guess)]


def one(gold, predicted):
    """Arguments of gold, predicted and correct, of one predicate at word 0."""
    return RoleF1().count([[(0, None, gold)]], [[(0, None, predicted)]])[0, :3].tolist()


@given(PAIRS)
def test_counts_are_those_of_joined_arguments(pairs):
    gold, predicted = [right for right, _ in pairs], [guess for _, guess in pairs]
    metric = RoleF1(given=True, senses=True)
    doubled = list(zip(predicted, reversed(predicted), strict=True))
    rows = metric.count(gold, doubled)
    assert rows.shape == (len(pairs), len(metric.columns))
    expected = []
    for right, (guess, told) in zip(gold, doubled, strict=True):
        words, found = ({frame[0] for frame in frames} for frames in (right, guess))
        senses = {frame[:2] for frame in right if frame[1] is not None}
        expected.append(
            [
                *by_sets(right, guess),
                *(len(words), len(found), len(words & found)),
                *(len(senses), len(senses & {frame[:2] for frame in guess})),
                *by_sets(right, told)[1:],
            ]
        )
    assert rows.tolist() == expected


@given(PAIRS)
def test_gold_and_prediction_swapped_swap_precision_and_recall(pairs):
    gold, predicted = [right for right, _ in pairs], [guess for _, guess in pairs]
    rows = RoleF1().count(gold, predicted)
    assert np.array_equal(RoleF1().count(predicted, gold), rows[:, [1, 0, 2, 4, 3, 5]])


def test_predicate_extent_and_role_are_all_needed():
    gold = [[(2, None, [(0, 2, "A0"), (3, 5, "A1")]), (6, None, [(7, 9, "A1")])]]
    assert RoleF1().count(gold, gold)[0, :3].tolist() == [3, 3, 3]
    for wrong in (
        [(2, None, [(0, 2, "A1"), (3, 5, "A1")]), (6, None, [(7, 9, "A1")])],
        [(2, None, [(0, 1, "A0"), (3, 5, "A1")]), (6, None, [(7, 9, "A1")])],
        [(2, None, [(0, 2, "A0"), (3, 5, "A1"), (7, 9, "A1")]), (6, None, [])],
    ):
        assert RoleF1().count(gold, [wrong])[0, :3].tolist() == [3, 3, 2]


def test_an_argument_is_right_only_with_all_its_continuations():
    whole = [(0, 2, "A1"), (4, 6, "C-A1"), (8, 9, "C-A1")]
    assert one(whole, whole) == [1, 1, 1]
    assert one(whole, whole[:2]) == [1, 1, 0]
    assert one(whole, [(0, 2, "A1"), (4, 6, "A1"), (8, 9, "C-A1")]) == [1, 2, 0]
    assert one(whole, [(0, 2, "A0"), (4, 6, "C-A0"), (8, 9, "C-A0")]) == [1, 1, 0]


def test_a_continuation_goes_on_from_the_nearest_argument_before_it():
    gold = [(0, 1, "A1"), (2, 3, "A1"), (4, 5, "C-A1")]
    assert one(gold, [(2, 3, "A1"), (4, 5, "C-A1")]) == [2, 1, 1]
    assert one(gold, [(0, 1, "A1"), (4, 5, "C-A1")]) == [2, 1, 0]


def test_a_stray_continuation_is_an_argument_of_its_own():
    assert one([(0, 2, "A1")], [(0, 2, "C-A1")]) == [1, 1, 1]
    assert one([(0, 2, "C-A1"), (3, 4, "C-A1")], [(0, 2, "A1"), (3, 4, "C-A1")]) == [1, 1, 1]
    assert one([(0, 2, "C-A1"), (3, 4, "A1")], [(0, 2, "A1"), (3, 4, "A1")]) == [2, 2, 2]


def test_what_is_said_twice_counts_once():
    gold = [(0, 1, "A1"), (2, 3, "A1")]
    assert one(gold, [*gold, *gold]) == [2, 2, 2]
    assert one(gold, [*gold, (2, 3, "C-A1")]) == [2, 2, 2]


def test_another_predicate_has_no_part_in_an_argument():
    gold = [[(0, None, [(1, 2, "A1")]), (3, None, [(4, 5, "C-A1")])]]
    predicted = [[(0, None, [(1, 2, "A1")]), (3, None, [(4, 5, "A1")])]]
    assert RoleF1().count(gold, predicted)[0, :3].tolist() == [2, 2, 2]


def test_the_predicate_itself_and_what_continues_it_do_not_count():
    assert one([(0, 1, "V"), (2, 3, "C-V"), (4, 5, "A1")], [(4, 5, "A1")]) == [1, 1, 1]
    assert one([(4, 5, "A1")], [(2, 3, "C-V"), (4, 5, "A1")]) == [1, 1, 1]


# Frames of a sentence of 16 words, and what srl-eval.pl (2005/04/21) prints for them as columns:
# arguments that are correct, excess and missed. The last predicate has no prediction.
OFFICIAL_GOLD = [
    (3, None, [(0, 3, "A0"), (3, 4, "V"), (4, 6, "A1"), (8, 10, "C-A1"), (10, 12, "AM-TMP")]),
    (7, None, [(0, 3, "A1"), (7, 8, "V"), (9, 11, "C-V"), (12, 14, "C-A0"), (14, 16, "C-A0")]),
    (13, None, [(11, 13, "A1"), (13, 14, "V")]),
]
OFFICIAL_GUESS = [
    (3, None, [(0, 3, "A0"), (3, 4, "V"), (4, 6, "A1"), (8, 10, "A1"), (10, 12, "C-AM-TMP")]),
    (7, None, [(0, 3, "R-A1"), (7, 8, "V"), (12, 14, "A0"), (14, 16, "C-A0")]),
]
OFFICIAL_COUNTS = (3, 3, 3)


def test_counts_are_those_of_the_official_program():
    gold, predicted, correct = RoleF1().count([OFFICIAL_GOLD], [OFFICIAL_GUESS])[0, :3]
    assert (correct, predicted - correct, gold - correct) == OFFICIAL_COUNTS


def test_arguments_of_a_predicate_that_gold_has_not_are_wrong():
    rows = RoleF1().count([[(0, None, [(1, 2, "A0")])]], [[(3, None, [(1, 2, "A0")])]])
    assert rows.tolist() == [[1, 1, 0, 1, 1, 0]]


def test_predictions_for_given_predicates_are_scored_beside():
    gold = [[(1, "01", [(0, 1, "A0"), (2, 3, "A1")]), (4, "02", [(5, 6, "A1")])]]
    found = [(1, "02", [(0, 1, "A0")])]
    told = [(1, "01", [(0, 1, "A0"), (2, 3, "A1")]), (4, "02", [(5, 7, "A1")])]
    metric = RoleF1(given=True, senses=True)
    rows = metric.count(gold, [(found, told)])
    assert rows.tolist() == [[3, 1, 1, 2, 1, 1, 2, 0, 3, 2]]
    scores = metric.score(rows.sum(axis=0))
    assert scores == pytest.approx(
        {
            "f1": 50.0,
            "precision": 100.0,
            "recall": 100 / 3,
            "f1_given": 200 / 3,
            "f1_predicate": 200 / 3,
            "accuracy": 0.0,
        }
    )
    assert next(iter(scores)) == "f1"
    alone = RoleF1().count(gold, [told])
    assert metric.score(rows.sum(axis=0))["f1_given"] == RoleF1().score(alone[0])["f1"]
    assert metric.items(rows[0]) == 3


def test_senses_count_where_gold_has_one():
    gold = [[(0, "a", []), (1, None, []), (2, "b", []), (3, "c", [])]]
    predicted = [[(0, "a", []), (1, "x", []), (2, None, []), (4, "c", [])]]
    rows = RoleF1(senses=True).count(gold, predicted)
    assert rows[0, 6:].tolist() == [3, 1]
    assert "accuracy" not in RoleF1().score(rows[0, :6])


def test_sentences_without_annotation_are_not_counted():
    frames = [(0, "a", [(1, 2, "A0")])]
    rows = RoleF1(given=True, senses=True).count([None, []], [None, (frames, frames)])
    assert rows.tolist() == [[0] * 10, [0, 1, 0, 0, 1, 0, 0, 0, 1, 0]]


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("senses", [False, True])
def test_a_metric_is_known_by_its_columns(given, senses):
    metric = RoleF1(given=given, senses=senses)
    assert vars(RoleF1.from_columns(metric.columns)) == vars(metric)


def test_every_score_names_its_definition():
    metric = RoleF1(given=True, senses=True)
    scorers = {name: metric.scorer_of(name) for name in metric.score(np.ones(10))}
    assert scorers == {
        "f1": "conll05+predicates",
        "precision": "conll05+predicates",
        "recall": "conll05+predicates",
        "f1_given": "conll05",
        "f1_predicate": "predicates",
        "accuracy": "senses",
    }


def test_frames_and_sentences_that_do_not_fit_are_refused():
    frame = (3, None, [])
    with pytest.raises(ValueError, match="2 gold sentences, but 1 predicted"):
        RoleF1().count([[], []], [[]])
    with pytest.raises(ValueError, match="gold sentence 1: two frames have the predicate 3"):
        RoleF1().count([[], [frame, frame]], [[], []])
    with pytest.raises(ValueError, match="predicted sentence 0: two frames have the predicate 3"):
        RoleF1().count([[]], [[frame, frame]])


def test_a_treebank_of_roles_is_its_own_perfect_prediction(data_folder):
    path = data_folder / "propbank_english_ewt" / "en_ewt-pb-dev.tsv"
    gold = []
    for sentence in read_propbank(path):
        layer = sentence.layers["srl"]
        assert isinstance(layer, Frames)
        gold.append(
            [
                (frame.predicate, frame.sense, [(s.start, s.end, s.label) for s in frame.arguments])
                for frame in layer.frames
            ]
        )
    metric = RoleF1(senses=True)
    totals = metric.count(gold, gold).sum(axis=0)
    assert set(metric.score(totals).values()) == {100.0}
    # 9583 spans, of which 20 continue their predicate and 84 another argument.
    assert metric.items(totals) == 9479
