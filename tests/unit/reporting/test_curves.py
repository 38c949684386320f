"""Logs are read whatever they hold, and drawn."""

import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from hiermtl.reporting.curves import MOST_POINTS, Series, curve_picture, joined, read_log
from hiermtl.reporting.frame import ticks
from hiermtl.reporting.shapes import Dot, Line, Words, inline, png, svg_file


def row(task: str, metric: str, score: float, data: str = "own") -> dict[str, Any]:
    return {"task": task, "metric": metric, "score": score, "data": data}


def log_of(folder: Path, *entries: Any) -> Path:
    path = folder / "log.jsonl"
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_log_gives_curves_and_the_step_that_was_kept(tmp_path: Path) -> None:
    log = read_log(
        log_of(
            tmp_path,
            {"step": 5, "losses": {"upos": 2.0, "dep": 3.0}},
            {"step": 10, "losses": {"upos": 1.0}, "skipped": [7, 8]},
            {"step": 10, "epoch": 1.0, "main": 70.0, "rows": [row("upos", "accuracy", 70.0)]},
            {"step": 10, "checkpoint_seconds": 0.1},
            {"step": 20, "epoch": 2.0, "main": 80.0, "rows": [row("upos", "accuracy", 80.0)]},
            {"step": 30, "epoch": 3.0, "main": 75.0, "rows": [row("upos", "accuracy", 75.0)]},
        )
    )
    assert log is not None
    assert [(curve.name, curve.measure) for curve in log.metrics] == [("upos", "accuracy")]
    assert log.metrics[0].points == [(10, 70.0), (20, 80.0), (30, 75.0)]
    assert {curve.name: curve.points for curve in log.losses} == {
        "upos": [(5, 2.0), (10, 1.0)],
        "dep": [(5, 3.0)],
    }
    assert (log.best, log.skipped) == ({"upos": 20}, [7, 8])
    assert (log.last, log.epoch, log.bad) == (30, 3.0, 0)
    assert log.rows == [row("upos", "accuracy", 75.0)]


def test_terms_on_weights_are_curves_of_their_own_where_there_are_any(tmp_path: Path) -> None:
    """Logs of earlier versions have none."""
    old: dict[str, Any] = {"step": 5, "losses": {"upos": 2.0}}
    log = read_log(log_of(tmp_path, old, {**old, "step": 9, "penalties": {"l2": 2.5e-5}}))
    assert log is not None
    assert [(one.name, one.points) for one in log.penalties] == [("l2", [(9, 2.5e-5)])]
    shapes = curve_picture(log.penalties[0]).shapes
    words = [shape.text for shape in shapes if isinstance(shape, Words)]
    assert {"l2", "2.5e-05", "term of the training loss"} <= set(words)
    both = joined({"upos": log, "dep": log})
    assert both is not None
    assert both.penalties == 2 * log.penalties
    before = read_log(log_of(tmp_path, old))
    assert before is not None
    assert before.penalties == []
    assert before.bad == 0


def test_only_the_main_metric_of_each_data_set_is_a_curve(tmp_path: Path) -> None:
    rows = [
        row("dep", "las", 60.0, "a"),
        row("dep", "uas", 70.0, "a"),
        row("dep", "las", 50.0, "b"),
        row("upos", "accuracy", 90.0, "a"),
    ]
    log = read_log(log_of(tmp_path, {"step": 1, "main": 1.0, "rows": rows}))
    assert log is not None
    assert [(curve.name, curve.points[0][1]) for curve in log.metrics] == [
        ("dep (a)", 60.0),
        ("dep (b)", 50.0),
        ("upos", 90.0),
    ]


def test_lines_that_are_no_entries_are_counted(tmp_path: Path) -> None:
    broken = ["{half", "[]", '"x"', "3", "{}", '{"step": "x"}', '{"step": 2, "losses": {"a": "x"}}']
    broken += ['{"step": 1e999}', '{"step": 2, "main": 1' + "0" * 400 + "}", "[" * 100_000]
    log = read_log(log_of(tmp_path, *broken, {"step": 3, "losses": {"upos": 1.0}}))
    assert log is not None
    assert (log.bad, log.last) == (len(broken), 3)


def test_no_log_is_none_and_logs_of_parts_are_one(tmp_path: Path) -> None:
    assert read_log(tmp_path / "log.jsonl") is None
    assert joined({"upos": None}) is None
    one = read_log(log_of(tmp_path, {"step": 3, "main": 1.0, "rows": [row("upos", "accuracy", 1)]}))
    two = read_log(log_of(tmp_path, {"step": 9, "main": 2.0, "rows": [row("dep", "las", 2.0)]}))
    whole = joined({"upos": one, "dep": two, "ner": None})
    assert whole is not None
    assert [curve.name for curve in whole.metrics] == ["upos", "dep"]
    assert (whole.best, whole.last) == ({"upos": 3, "dep": 9}, 9)


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [0.0, 0.0], [1e-9, 1e9], [-5.0, math.nan]])
def test_every_curve_can_be_drawn(values: list[float]) -> None:
    picture = curve_picture(Series("upos", "loss", list(enumerate(values))), best=1, end=10)
    for shape in picture.shapes:
        if isinstance(shape, Line):
            assert all(math.isfinite(x) and math.isfinite(y) for x, y in shape.points)
    ElementTree.fromstring(svg_file(picture))


def test_values_that_are_no_numbers_are_told() -> None:
    points = [(1.0, 1.0), (2.0, math.inf), (3.0, math.nan)]
    picture = curve_picture(Series("upos", "loss", points))
    said = [shape.text for shape in picture.shapes if isinstance(shape, Words)]
    assert "2 of 3 values are no numbers" in said
    none = curve_picture(Series("upos", "loss", points[1:]))
    assert not [shape for shape in none.shapes if isinstance(shape, Line)]


def test_the_number_in_the_corner_is_that_of_the_step_that_was_kept() -> None:
    curve = Series("upos", "accuracy", [(1, 50.0), (2, 60.0), (3, 40.0)])

    def shown(best: float | None) -> set[str]:
        shapes = curve_picture(curve, best=best).shapes
        return {shape.text for shape in shapes if isinstance(shape, Words) and shape.bold}

    assert shown(2) == {"upos", "60.00"}
    assert shown(None) == {"upos", "40.00"}


def test_long_curves_are_drawn_by_means_of_neighbours() -> None:
    points = [(float(step), float(step % 2)) for step in range(10 * MOST_POINTS)]
    picture = curve_picture(Series("upos", "loss", points))
    drawn = max((s for s in picture.shapes if isinstance(s, Line)), key=lambda s: len(s.points))
    assert len(drawn.points) == MOST_POINTS
    assert len([shape for shape in picture.shapes if isinstance(shape, Dot)]) == 1
    assert len({round(y, 6) for _, y in drawn.points}) == 1, "each mean is of as many 0 as 1"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 120), (1e-6, 2e-6), (99.1, 99.2)])
def test_ticks_are_few_and_between(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 1 <= len(found) <= 6
    assert all(low <= value <= high for value in found)


def test_pictures_come_as_svg_and_as_png() -> None:
    picture = curve_picture(Series("<b>&", "loss", [(1, 2.0), (2, 1.0)]))
    alone = svg_file(picture)
    root = ElementTree.fromstring(alone)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "<b>&" in "".join(root.itertext())
    assert "prefers-color-scheme:dark" in alone
    assert "<style" not in inline(picture)
    assert png(picture).startswith(b"\x89PNG")
    assert png(picture) == png(picture)
