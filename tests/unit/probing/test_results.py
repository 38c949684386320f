"""What follows from scores: numbers worked out by hand."""

import json

import pytest

from hiermtl.probing import Curve, ProbeReport
from hiermtl.probing.results import expected_layer, proposed_depth, standard_error

CURVE = Curve(
    "upos",
    "accuracy",
    scores=((60.0, 62.0), (89.0, 91.0), (90.5, 91.5), (80.0, 80.0)),
    baseline=20.0,
    chance=0.3,
    train_items=800,
    items=1234,
    mixes=((60.0, 62.0), (90.0, 92.0), (91.0, 93.0), (91.0, 93.0)),
    centres=(1.25, 1.75),
    control=((70.0, 70.0), (60.0, 60.0), (50.0, 50.0), (40.0, 40.0)),
    variability=(3.0, 1.5, 1.25, 2.0),
)


@pytest.mark.parametrize(
    ("scores", "layer"),
    [
        ([50, 80, 80, 80], 1.0),
        ([50, 50, 50, 80], 3.0),
        ([50, 60, 70, 80], 2.0),  # (1 + 2 + 3) * 10 / 30
        ([50, 70, 90, 80], 1.0),  # (20 + 40 - 30) / 30
        ([50, 50, 40], None),
        ([50, 50, 50], None),
        ([50], None),
    ],
)
def test_the_expected_layer_weighs_depths_by_what_they_gain(
    scores: list[float], layer: float | None
) -> None:
    assert expected_layer(scores) == pytest.approx(layer)
    raised = [score + 7 for score in scores]
    assert expected_layer(raised) == pytest.approx(layer)


@pytest.mark.parametrize(
    ("scores", "depth"),
    [
        ([[50], [70], [90], [89]], 2),
        ([[50], [89.7], [90], [89]], 1),  # 0.3 less, of 40 gained
        ([[50], [89.5], [90], [89]], 2),  # 0.5 less is more than a hundredth
        ([[50, 50], [88, 88], [88, 92], [0, 0]], 1),  # the error of the best mean is 2
        ([[50, 50], [87, 87], [88, 92], [0, 0]], 2),
        ([[90], [80], [80], [80]], 1),  # nothing gained: of equals the lowest
        ([[95], [20], [60], [50]], 2),  # depth 0 is never proposed
        ([[50], [20.5], [20.9], [20.2]], None),  # no more than guessing
    ],
)
def test_the_lowest_depth_about_as_good_as_the_best_is_proposed(
    scores: list[list[float]], depth: int | None
) -> None:
    assert proposed_depth(scores, baseline=20.0, chance=0.5) == depth


def test_what_chance_may_do_grows_with_fewer_items() -> None:
    scores = [[10.0], [30.0]]
    assert proposed_depth(scores, baseline=20.0, chance=3.3) == 1
    assert proposed_depth(scores, baseline=20.0, chance=3.4) is None


def test_the_standard_error_is_that_of_the_mean() -> None:
    assert standard_error([1.0, 3.0]) == pytest.approx(1.0)
    assert standard_error([2.0]) == 0.0


def test_a_curve_tells_means_spreads_and_what_follows() -> None:
    assert CURVE.means == [61.0, 90.0, 91.0, 80.0]
    assert CURVE.spreads == pytest.approx([2**0.5, 2**0.5, 0.5**0.5, 0.0])
    assert (CURVE.depth, CURVE.centre) == (2, 1.5)
    assert CURVE.expected == pytest.approx((30 * 1 + 1 * 2 + 0) / 31)
    assert CURVE.summary()["best"] == 2
    assert [row["mix"] for row in CURVE.rows()] == [61.0, 91.0, 92.0, 92.0]


def report() -> ProbeReport:
    short = Curve("relatedness", "pearson", ((0.1,), (0.52,), (0.5,), (0.4,)), 0.0, 0.05, 90, 45)
    return ProbeReport((CURVE, short), {"upos": 2, "relatedness": 1}, "of a test", ("a note",))


def test_tables_show_every_depth_and_what_is_proposed() -> None:
    said = report().to_text()
    assert (
        said
        == """\
task         what                  0           1           2           3
upos         accuracy     61.0 ± 1.4  90.0 ± 1.4  91.0 ± 0.7  80.0 ± 0.0
             control            70.0        60.0        50.0        40.0
             variability           3         1.5        1.25           2
relatedness  pearson           0.100       0.520       0.500       0.400

task         proposed  best       centre  expected  baseline  items
upos                2     2  1.50 ± 0.35      1.03      20.0  1,234
relatedness         1     1            -         -     0.000     45

of a test
note: a note"""
    )


def test_markdown_has_the_same_cells() -> None:
    lines = report().to_markdown().splitlines()
    assert lines[0] == "| task | what | 0 | 1 | 2 | 3 |"
    assert lines[1] == "| :-- | :-- | --: | --: | --: | --: |"
    assert "| relatedness | pearson | 0.100 | 0.520 | 0.500 | 0.400 |" in lines
    assert "| upos | 2 | 2 | 1.50 ± 0.35 | 1.03 | 20.0 | 1,234 |" in lines
    assert lines[-1] == "- a note"


def test_one_seed_has_no_spread() -> None:
    """Nothing is known of it; a spread of 0 would say that seeds agree."""
    (_, short) = report().curves
    assert short.spreads == [None] * 4
    assert {row["spread"] for row in short.rows()} == {None}
    assert CURVE.spreads[3] == 0.0


def test_json_has_the_scores_of_each_seed() -> None:
    found = json.loads(report().to_json())
    assert found["depths"] == {"upos": 2, "relatedness": 1}
    assert found["tasks"][0]["scores"][2] == [90.5, 91.5]
    assert found["tasks"][0]["proposed"] == 2
    assert found["notes"] == ["a note"]
