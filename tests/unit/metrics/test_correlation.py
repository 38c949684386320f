"""Correlations against scipy."""

import numpy as np
import pytest
from scipy import stats

from hiermtl.metrics.base import Tally
from hiermtl.metrics.correlation import Correlation, mean_ranks


def scores_of(gold: np.ndarray, predicted: np.ndarray, origin: float = 0.0) -> dict[str, float]:
    tally = Tally(Correlation(origin))
    tally.add(gold.tolist()[:3], predicted.tolist()[:3])
    tally.add(gold.tolist()[3:], predicted.tolist()[3:])
    return tally.scores()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("offset", [0.0, 3.0, 1e6])
def test_statistics_are_those_of_scipy(seed, offset):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 200))
    gold = offset + np.round(rng.normal(size=count), seed % 3)
    predicted = offset + 0.5 * gold + np.round(rng.normal(size=count), seed % 2)
    if np.ptp(gold) == 0 or np.ptp(predicted) == 0:
        pytest.skip("a constant draw has no correlation to compare")
    scores = scores_of(gold, predicted)
    assert list(scores) == ["pearson", "spearman", "mse"]
    expected = stats.pearsonr(gold, predicted).statistic
    assert scores["pearson"] == pytest.approx(expected, abs=1e-7 if offset > 10 else 1e-9)
    expected = stats.spearmanr(gold, predicted).statistic
    assert scores["spearman"] == pytest.approx(expected, abs=1e-9)
    assert scores["mse"] == pytest.approx(np.mean((gold - predicted) ** 2), rel=1e-12)
    centred = Correlation(origin=offset)
    sums = centred.score(centred.count(gold.tolist(), predicted.tolist()).sum(axis=0))
    assert list(sums) == ["pearson", "mse"]
    if offset < 10:
        assert sums["pearson"] == pytest.approx(scores["pearson"], abs=1e-9)
    assert sums["mse"] == pytest.approx(scores["mse"])


def test_ties_share_their_mean_rank():
    values = np.array([3.0, 1.0, 3.0, 2.0, 3.0])
    assert mean_ranks(values).tolist() == [4.0, 1.0, 4.0, 2.0, 4.0]
    assert mean_ranks(values).tolist() == stats.rankdata(values).tolist()


def test_constants_have_no_correlation():
    scores = scores_of(np.ones(5), np.arange(5.0))
    assert np.isnan(scores["pearson"])
    assert np.isnan(scores["spearman"])
    assert scores["mse"] == pytest.approx(3.0)
    assert np.isnan(Correlation().score(np.array([1, 2, 3, 4, 9, 6, 1]))["pearson"])


def test_missing_gold_is_not_counted():
    metric = Correlation(origin=3.0)
    rows = metric.count([1.0, None, 2.0, 4.0], [1.5, 99.0, 2.5, 3.0])
    assert metric.items(rows.sum(axis=0)) == 3
    assert not rows[1].any()
    expected = stats.pearsonr([1.0, 2.0, 4.0], [1.5, 2.5, 3.0]).statistic
    assert metric.score_rows(rows)["pearson"] == pytest.approx(expected)


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match=r"sentence 1: .* not finite"):
        Correlation().count([1.0, 2.0], [1.0, float("nan")])
    with pytest.raises(ValueError, match="2 gold sentences, but 1"):
        Correlation().count([1.0, 2.0], [1.0])


def test_every_score_names_its_statistic():
    assert Correlation().scorer_of("mse") == "mse"
    assert not Correlation().additive
