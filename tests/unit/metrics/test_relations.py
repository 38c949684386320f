"""Relation scores: by hand, by brute force, and the macro F1 of SemEval-2010 task 8."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiermtl.metrics.base import Tally
from hiermtl.metrics.relations import RelationF1

TYPES = ["Cause", "Part", "Use"]
EXTENT = st.sampled_from([(0, 1), (1, 2), (1, 3)])
RELATION = st.builds(
    lambda head, tail, label: (*head, *tail, label), EXTENT, EXTENT, st.sampled_from([*TYPES, "Z"])
)
ENTITY = st.builds(lambda words, label: (*words, label), EXTENT, st.sampled_from("PQ"))
SIDE = st.tuples(st.lists(RELATION, max_size=5), st.lists(ENTITY, max_size=5))
PAIRS = st.lists(st.tuples(SIDE, SIDE), max_size=4)

A, B, C = (0, 1), (3, 5), (7, 8)


def related(head, tail, label):
    return (*head, *tail, label)


def kinds_of(entities, start, end):
    return {label for first, last, label in entities if (first, last) == (start, end)}


def by_sets(gold, predicted):
    """The counts, from Python's own sets."""
    (relations, entities), (guesses, guessed) = gold, predicted
    right, guess = set(relations), set(guesses)
    strict = {
        relation
        for relation in right & guess
        if all(
            kinds_of(entities, *words) == kinds_of(guessed, *words)
            for words in (relation[:2], relation[2:4])
        )
    }
    row = [len(right), len(guess), len(right & guess), len(strict)]
    for name in TYPES:
        row += [len({r for r in part if r[4] == name}) for part in (right, guess, right & guess)]
    return row


@given(PAIRS)
def test_counts_are_those_of_sets(pairs):
    gold, predicted = [right for right, _ in pairs], [guess for _, guess in pairs]
    rows = RelationF1(TYPES).count(gold, predicted)
    assert rows.shape == (len(pairs), 13)
    assert rows.tolist() == [by_sets(*pair) for pair in pairs]


@given(PAIRS)
def test_gold_and_prediction_swapped_swap_precision_and_recall(pairs):
    gold, predicted = [right for right, _ in pairs], [guess for _, guess in pairs]
    rows = RelationF1(TYPES).count(gold, predicted)
    order = [1, 0, 2, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12]
    assert np.array_equal(RelationF1(TYPES).count(predicted, gold), rows[:, order])


def test_extents_direction_and_label_are_all_needed():
    gold = ([related(A, B, "Cause")], [])
    for wrong in (
        related(B, A, "Cause"),
        related(A, B, "Part"),
        related(A, C, "Cause"),
        related(C, B, "Cause"),
        related((0, 2), B, "Cause"),
        related(A, (3, 4), "Cause"),
    ):
        assert RelationF1(TYPES).count([gold], [([wrong], [])])[0, :3].tolist() == [1, 1, 0]


def test_a_pair_may_have_several_labels_and_repetitions_count_once():
    gold = ([related(A, B, "Cause"), related(A, B, "Part")], [])
    guess = ([related(A, B, "Part"), related(A, B, "Use"), related(A, B, "Part")], [])
    assert RelationF1(TYPES).count([gold], [guess])[0, :3].tolist() == [2, 2, 1]


def test_relations_predicted_where_there_are_none_are_wrong():
    gold = [([], [(*A, "P")]), ([related(A, B, "Cause")], [])]
    guess = [([related(A, B, "Cause")], []), ([related(A, B, "Cause")], [])]
    metric = RelationF1(TYPES)
    scores = metric.score(metric.count(gold, guess).sum(axis=0))
    assert scores["precision"] == 50.0
    assert scores["recall"] == 100.0
    only = metric.score(metric.count(gold[1:], guess[1:]).sum(axis=0))
    assert only["precision"] == 100.0


def test_strictly_the_types_of_both_arguments_are_needed():
    gold = ([related(A, B, "Cause")], [(*A, "P"), (*B, "Q")])

    def strict(*entities):
        row = RelationF1(TYPES).count([gold], [([related(A, B, "Cause")], entities)])[0]
        assert row[2] == 1
        return row[3]

    assert strict((*A, "P"), (*B, "Q"), (*C, "Z")) == 1
    assert strict((*A, "Q"), (*B, "Q")) == 0
    assert strict((*A, "P"), (*B, "P")) == 0
    assert strict((*A, "P")) == 0
    assert strict((*A, "P"), (*B, "Q"), (*B, "P")) == 0


def test_entities_of_another_sentence_have_no_say():
    relation = [related(A, B, "Cause")]
    gold = [(relation, [(*A, "P"), (*B, "P")]), ([], [])]
    guess = [(relation, [(*A, "P")]), ([], [(*B, "P")])]
    assert RelationF1(TYPES).count(gold, guess)[0, 3] == 0


def test_a_wrong_direction_is_a_miss_and_an_excess_of_its_type():
    # Ten pairs, as SemEval-2010 task 8 writes them: gold and answer, `<` for (e2,e1). Worked out by
    # the rules of its official score: the direction is kept, Other is no type.
    #   Cause  gold 4, answered 6 (one of them the wrong way round), right 3: F1 6/10
    #   Part   gold 3, answered 2 (one of them the wrong way round), right 1: F1 2/5
    #   Use    gold 1, never answered: F1 0
    gold = "Cause> Cause> Cause< Cause> Part> Part< Part> Use> Other Other"
    answers = "Cause> Cause> Cause< Cause< Part> Part> Cause> Other Cause> Other"

    def side(labels):
        ways = {">": (A, B), "<": (B, A)}
        return [
            ([] if label == "Other" else [related(*ways[label[-1]], label[:-1])], [])
            for label in labels.split()
        ]

    tally = Tally(RelationF1(TYPES))
    tally.add(side(gold), side(answers))
    columns = dict(zip(tally.metric.columns, tally.totals.tolist(), strict=True))
    assert [columns[f"Cause.{what}"] for what in ("gold", "predicted", "correct")] == [4, 6, 3]
    assert [columns[f"Part.{what}"] for what in ("gold", "predicted", "correct")] == [3, 2, 1]
    assert [columns[f"Use.{what}"] for what in ("gold", "predicted", "correct")] == [1, 0, 0]
    scores = tally.scores()
    assert scores["macro_f1"] == pytest.approx(100 * (6 / 10 + 2 / 5 + 0) / 3)
    assert scores["f1"] == pytest.approx(100 * 2 * 4 / (8 + 8))
    assert list(scores) == ["f1", "precision", "recall", "f1_strict", "macro_f1"]
    without = Tally(RelationF1([*TYPES, "Never"]))
    without.add(side(gold), side(answers))
    assert without.scores()["macro_f1"] == pytest.approx(scores["macro_f1"] * 3 / 4)


def test_types_that_are_not_named_count_for_all_but_the_mean():
    metric = RelationF1(["Cause"])
    gold = [([related(A, B, "Cause"), related(A, C, "Part")], [])]
    rows = metric.count(gold, [([related(A, B, "Cause"), related(A, C, "Use")], [])])
    scores = metric.score(rows[0])
    assert scores["f1"] == 50.0
    assert scores["macro_f1"] == 100.0
    assert RelationF1([]).score(rows[0, :4])["macro_f1"] == 0.0


def test_sentences_without_annotation_are_not_counted():
    some = ([related(A, B, "Cause")], [(*A, "P")])
    rows = RelationF1(TYPES).count([None, some], [None, ([], [])])
    assert rows[0].tolist() == [0] * 13
    assert rows[1, :4].tolist() == [1, 0, 0, 0]


def test_every_score_names_its_definition():
    metric = RelationF1(TYPES)
    assert [metric.scorer_of(name) for name in ("f1", "recall", "f1_strict", "macro_f1")] == [
        "boundaries",
        "boundaries",
        "strict",
        "semeval10",
    ]


@pytest.mark.parametrize("types", [[], ["Cause"], ["part.of", "a.b.gold", "x"]])
def test_a_metric_is_known_by_its_columns(types):
    metric = RelationF1(types)
    assert vars(RelationF1.from_columns(metric.columns)) == vars(metric)


def test_types_and_sentences_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="relation type 'Use' is named twice"):
        RelationF1(["Use", "Cause", "Use"])
    with pytest.raises(ValueError, match="2 gold sentences, but 1 predicted"):
        RelationF1(TYPES).count([([], [])] * 2, [([], [])])


@given(st.lists(st.tuples(SIDE, SIDE, SIDE), max_size=4))
def test_with_given_entities_a_second_prediction_is_counted_beside_the_first(triples):
    gold = [right for right, _, _ in triples]
    first, second = [a for _, a, _ in triples], [b for _, _, b in triples]
    metric = RelationF1(TYPES, given=True)
    assert RelationF1.from_columns(metric.columns).columns == metric.columns
    rows = metric.count(gold, list(zip(first, second, strict=True)))
    free, told = (RelationF1(TYPES).count(gold, side) for side in (first, second))
    assert rows[:, :4].tolist() == free[:, :4].tolist()
    assert rows[:, 4:6].tolist() == told[:, 1:3].tolist()
    assert rows[:, 6:].tolist() == told[:, 4:].tolist()
    own, other = metric.score(rows.sum(0)), RelationF1(TYPES).score(told.sum(0))
    assert (own["f1_given"], own["macro_f1"]) == (other["f1"], other["macro_f1"])
    assert own["f1"] == RelationF1(TYPES).score(free.sum(0))["f1"]
