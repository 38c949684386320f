"""Tests of differences: what they reduce to, and how often they reject."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ttest_ind

from benchmarks.significance.__main__ import kept_recipes, split
from hiermtl.evaluation.results import RunResult, Units
from hiermtl.evaluation.significance import (
    Arm,
    Drawn,
    bootstrap_test,
    dealt_anew,
    holm,
    main_of,
    randomisation_test,
    standard_error,
)
from hiermtl.metrics.accuracy import Accuracy

COLUMNS = Accuracy().columns


def units(right: NDArray[np.float64], items: float = 1000.0) -> Units:
    """Documents with so many items right."""
    return Units("accuracy", COLUMNS, np.stack([right, np.full(len(right), items)], axis=1))


def sides(own: Sequence[Units], other: Sequence[Units], resamples: int = 2000) -> tuple[Arm, Arm]:
    """Both arms, whose runs are these."""
    drawn = Drawn(resamples)
    first, second = (
        drawn.arm(
            [RunResult("a", None, seed, {}, {}, (), {"t": one}) for seed, one in enumerate(arm)],
            "t",
            [float(main_of(one, one.rows.sum(axis=0))) for one in arm],
        )
        for arm in (own, other)
    )
    return first, second


def test_where_documents_add_nothing_it_is_students_test_of_seeds() -> None:
    base = np.linspace(300, 700, 40)
    own = [units(base + shift) for shift in (0, 7, 3, 12)]
    other = [units(base + shift) for shift in (9, 21, 16, 10)]
    arms = sides(own, other)
    found = bootstrap_test(*arms)
    expected = ttest_ind(*(arm.scores for arm in arms))
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6)
    interval = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-6)


def test_what_documents_add_is_in_the_error_and_the_noise_of_runs_only_once() -> None:
    random = np.random.default_rng(0)
    base = np.full(400, 500.0)
    apart = random.normal(0, 60, 400)  # what the arms' difference is in each document
    noisy = [[units(base + random.normal(0, 40, 400)) for _ in range(5)] for _ in range(2)]
    error, free = standard_error(*sides(*noisy))
    alone = np.sqrt(40**2 / 400 * 2 / 5) / 10  # points, of 1,000 items a document
    assert error == pytest.approx(alone, rel=0.5)
    assert free == pytest.approx(8, rel=0.4)
    differing = [units(one.rows[:, 0] + apart) for one in noisy[0]]
    error, free = standard_error(*sides(differing, noisy[1]))
    assert error == pytest.approx(np.sqrt(alone**2 + (6 / 20) ** 2), rel=0.15)
    assert free > 20


def test_a_few_long_documents_are_few_documents() -> None:
    random = np.random.default_rng(0)
    items = np.array([10000.0] * 4 + [10.0] * 396)
    apart = random.normal(0, 0.05, 400) * items

    def of(shift: NDArray[np.float64], seed: int) -> Units:
        return Units("accuracy", COLUMNS, np.stack([items / 2 + shift + seed, items], axis=1))

    own, other = [[of(by, seed) for seed in range(5)] for by in (apart, 0 * apart)]
    assert standard_error(*sides(own, other))[1] < 12
    assert (
        standard_error(
            *sides(
                *[
                    [units(np.full(400, 500.0) + by, 1000) for _ in range(5)]
                    for by in (random.normal(0, 50, 400), np.zeros(400))
                ]
            )
        )[1]
        > 200
    )


def test_arms_that_are_the_same_have_a_p_of_one_and_no_seed_has_a_spread() -> None:
    same = [units(np.linspace(300, 700, 12))] * 3
    arms = sides(same, same)
    assert bootstrap_test(*arms).p == 1
    runs = ([[one] for one in same], [[one] for one in same])
    assert randomisation_test(*arms, runs, resamples=50).p == 1


def test_documents_that_are_dealt_anew_are_those_that_were_there() -> None:
    own, other = np.array([1.0, 10.0, 100.0]), np.array([2.0, 20.0, 200.0])
    dealt = dealt_anew([[units(own)], [units(other)]], 400, np.random.default_rng(0))
    possible = {
        round(float(np.where(swap, own, other).sum()) / 30, 6)
        for swap in product((False, True), repeat=3)
    }
    assert {round(score, 6) for score in dealt[:, 0].tolist()} == possible
    assert np.allclose(dealt.sum(axis=1), (own.sum() + other.sum()) / 30)
    three = [[units(np.array([4.0, 0.0]))], [units(np.array([0.0, 8.0]))], [units(np.zeros(2))]]
    dealt = dealt_anew(three, 600, np.random.default_rng(0))
    means = dealt.mean(axis=0)
    assert np.allclose(dealt.sum(axis=1), 12 / 20)
    assert np.allclose(means, 4 / 20, atol=0.03)


def test_a_difference_far_beyond_the_spread_is_found_by_both_tests() -> None:
    random = np.random.default_rng(1)
    base = random.uniform(300, 700, 60)
    own = [units(base + 50 + random.normal(0, 20, 60)) for _ in range(3)]
    other = [units(base + random.normal(0, 20, 60)) for _ in range(3)]
    arms = sides(own, other, 500)
    mean = arms[0].scores.mean() - arms[1].scores.mean()
    runs = ([[one] for one in own], [[one] for one in other])
    for found in (bootstrap_test(*arms), randomisation_test(*arms, runs)):
        assert found.p < 0.005
        assert 0 < found.low < mean < found.high


def test_holm_corrects_for_all_values() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.4]) == pytest.approx([0.8, 0.8])
    assert holm([]) == []


def rejected(task: str, case: str, *, seeds: int, splits: int, tests: Sequence[str]) -> list[float]:
    """How often each test rejects at the 5 % level, in per cent."""
    random = np.random.default_rng(3)
    recipes = kept_recipes(task)
    found = [
        split(recipes[place % len(recipes)], seeds, case, random, resamples=100)
        for place in range(splits)
    ]
    return [100 * sum(p[test] <= 0.05 for p in found) / splits for test in tests]


def test_runs_of_one_recipe_are_seldom_told_apart_and_a_point_is_found() -> None:
    both = ("bootstrap", "randomisation")
    *rates, alone = rejected(
        "upos", "same recipe", seeds=5, splits=240, tests=(*both, "documents alone")
    )
    # Of 240 splits at 5 %, all but one of a thousand experiments have between 1.2 and 10.4 %.
    assert all(1.2 < rate < 10.4 for rate in rates), rates
    # A test that knows nothing of seeds rejects what is of one recipe.
    assert alone > 15
    assert min(rejected("upos", "one point", seeds=5, splits=60, tests=both)) >= 80


@pytest.mark.slow
@pytest.mark.parametrize("task", ["upos", "chunk", "dep", "entailment"])
@pytest.mark.parametrize("seeds", [3, 5])
def test_of_a_thousand_splits_of_one_recipe_three_to_seven_per_cent_are_rejected(
    task: str, seeds: int
) -> None:
    rates = rejected(task, "same recipe", seeds=seeds, splits=1000, tests=["bootstrap"])
    assert 3 <= rates[0] <= 7


@pytest.mark.slow
@pytest.mark.parametrize("task", ["upos", "chunk", "dep"])
def test_with_five_seeds_a_point_is_found_four_times_of_five(task: str) -> None:
    tests = ["bootstrap", "randomisation"]
    assert min(rejected(task, "one point", seeds=5, splits=300, tests=tests)) >= 80
