"""Pictures of differences, probes and numbers can be drawn of whatever there is."""

from typing import Any
from xml.etree import ElementTree

import pytest

from hiermtl.evaluation.compare import Difference
from hiermtl.reporting.charts import forest, probe_picture, scatter
from hiermtl.reporting.frame import LEFT
from hiermtl.reporting.shapes import Dot, Line, Picture, Words, svg_file


def difference(mean: float, low: float | None, high: float | None, metric: str) -> Difference:
    return Difference(None, "low", "single", 1, "task", metric, mean, low, high, 0.5, 0.5, 3, 3)


def dots(picture: Picture) -> list[Dot]:
    return [shape for shape in picture.shapes if isinstance(shape, Dot)]


def test_differences_stand_on_one_scale_of_points() -> None:
    picture = forest(
        "x",
        [
            difference(2.0, 1.0, 3.0, "accuracy"),
            difference(0.02, -0.01, 0.03, "pearson"),
            difference(0.5, 0.1, 0.9, "mse"),
        ],
    )
    rate, correlation = dots(picture)
    assert rate.x == pytest.approx(correlation.x), "0.02 of a correlation are 2 points"
    assert (rate.fill, correlation.fill) == ("accent", "paper")
    ElementTree.fromstring(svg_file(picture))


@pytest.mark.parametrize("mean", [0.0, -3.0, 1e-9])
def test_a_difference_without_interval_is_a_dot(mean: float) -> None:
    picture = forest("x", [difference(mean, None, None, "las")])
    assert len(dots(picture)) == 1
    assert not [s for s in picture.shapes if isinstance(s, Line) and s.ink == "accent"]


@pytest.mark.parametrize("rows", [[(1, 50.0, None)], [(0, 0.0, 0), (3, 0.0, 0)], [(2, -1, "x")]])
def test_every_row_of_probes_can_be_drawn(rows: list[tuple[int, float, Any]]) -> None:
    keys = ("depth", "score", "spread")
    picture = probe_picture("t", [dict(zip(keys, row, strict=True)) for row in rows], depth="50%")
    assert len(dots(picture)) == len(rows)
    assert not [s for s in picture.shapes if isinstance(s, Line) and s.dashed]


def test_the_depth_a_task_is_read_at_is_marked() -> None:
    rows = [{"depth": depth, "score": 1.0 * depth, "spread": 1.0} for depth in (2, 0, 1)]
    picture = probe_picture("t", rows, depth=0)
    dashed = [s for s in picture.shapes if isinstance(s, Line) and s.dashed]
    assert [x for line in dashed for x, _ in line.points] == [LEFT, LEFT]
    said = [s.text for s in picture.shapes if isinstance(s, Words) and s.anchor == "middle"]
    assert said == ["0", "1", "2"]


def test_of_many_numbers_some_are_drawn() -> None:
    assert len(dots(scatter("t", [(1.0, 1.0)], most=500))) == 1
    assert len(dots(scatter("t", [(n, n) for n in range(1001)], most=500))) == 334
