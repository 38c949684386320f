"""Tallies, resampling and the shared arithmetic."""

import numpy as np
import pytest

from hiermtl.metrics.accuracy import Accuracy
from hiermtl.metrics.attachment import Attachment
from hiermtl.metrics.base import METRIC_NAMES, Tally, percentage
from hiermtl.metrics.conll18 import RawText
from hiermtl.metrics.coreference import Coreference, CoreferenceBoth
from hiermtl.metrics.correlation import Correlation
from hiermtl.metrics.labelled_spans import LabelledSpanF1
from hiermtl.metrics.relations import RelationF1
from hiermtl.metrics.roles import RoleF1
from hiermtl.metrics.spans import SpanF1

METRICS = [
    Accuracy(),
    SpanF1(),
    SpanF1("strict"),
    Attachment(),
    RawText(),
    Correlation(),
    LabelledSpanF1(),
    RoleF1(),
    RoleF1(given=True, senses=True),
    RelationF1(["Cause-Effect", "part.of"]),
    RelationF1([]),
    Coreference(),
    Coreference(singletons=False),
    CoreferenceBoth(),
]
EVERY = pytest.mark.parametrize(
    "metric", METRICS, ids=lambda metric: f"{metric.name}-{metric.scorer}"
)


def test_tallies_add_up_in_order():
    tally = Tally(Accuracy())
    tally.add([["a", "b"], ["c"]], [["a", "x"], ["c"]])
    tally.add([["d"]], [["x"]])
    assert tally.rows.tolist() == [[1, 2], [1, 1], [0, 1]]
    assert tally.totals.tolist() == [2, 4]
    assert tally.scores() == {"accuracy": 50.0}
    assert tally.items() == 4


def test_merging_appends_and_resetting_forgets():
    first, second = Tally(Accuracy()), Tally(Accuracy())
    first.add([["a"]], [["a"]])
    second.add([["b"]], [["x"]])
    first.merge(second)
    assert first.rows.tolist() == [[1, 1], [0, 1]]
    assert second.rows.tolist() == [[0, 1]]
    first.merge(first)
    assert first.items() == 4
    first.reset()
    assert first.items() == 0
    assert first.rows.shape == (0, 2)


def test_counts_of_different_metrics_are_not_merged():
    with pytest.raises(ValueError, match="counts of spans"):
        Tally(Accuracy()).merge(Tally(SpanF1()))
    with pytest.raises(ValueError, match="seqeval-strict"):
        Tally(SpanF1()).merge(Tally(SpanF1("strict")))
    with pytest.raises(ValueError, match="singletons"):
        Tally(Coreference()).merge(Tally(Coreference(singletons=False)))
    with pytest.raises(ValueError, match="types"):
        Tally(RelationF1(["Use"])).merge(Tally(RelationF1(["Part"])))
    with pytest.raises(ValueError, match="origin"):
        Tally(Correlation()).merge(Tally(Correlation(origin=3.0)))


@EVERY
def test_no_sentences_have_scores_without_warnings(metric):
    tally = Tally(metric)
    assert tally.items() == 0
    scores = tally.scores()
    assert set(scores) <= set(METRIC_NAMES)
    assert all(value == 0 or np.isnan(value) for value in scores.values())
    assert all(type(value) is float for value in scores.values())
    assert all(metric.scorer_of(name) for name in scores)


@EVERY
def test_no_sentences_have_no_rows(metric):
    assert metric.count([], []).shape == (0, len(metric.columns))


@EVERY
def test_many_totals_are_scored_at_once(metric):
    totals = np.random.default_rng(0).integers(1, 50, (3, 4, len(metric.columns)))
    together = metric.score(totals)
    for index in np.ndindex(3, 4):
        alone = metric.score(totals[index])
        assert list(alone) == list(together)
        for name, value in alone.items():
            assert together[name].shape == (3, 4)
            np.testing.assert_allclose(together[name][index], value, rtol=1e-12)


def test_resamples_of_sentences_are_sums_of_rows():
    rng = np.random.default_rng(0)
    names = np.array(["O", "B-X", "I-X", "B-Y"])
    gold = [names[rng.integers(0, 4, 8)].tolist() for _ in range(30)]
    guess = [names[rng.integers(0, 4, 8)].tolist() for _ in range(30)]
    metric = SpanF1()
    rows = metric.count(gold, guess)
    draws = rng.integers(0, 30, (20, 30))
    together = metric.score(rows[draws].sum(axis=1))
    for place, draw in enumerate(draws):
        again = metric.count([gold[i] for i in draw], [guess[i] for i in draw]).sum(axis=0)
        assert together["f1"][place] == metric.score(again)["f1"]


def test_percentages_of_nothing_are_zero():
    assert percentage(np.array(3), np.array(4)) == 75.0
    assert percentage(np.array([0, 1]), np.array([0, 2])).tolist() == [0.0, 50.0]
