"""Learning curves: from the log of a run to a small picture per task."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hiermtl.evaluation.table import decimals
from hiermtl.reporting.frame import RIGHT, Frame, padded
from hiermtl.reporting.shapes import Dot, Line, Picture, Words

WIDTH, HEIGHT = 300, 170
"""Of one picture."""

LONG = 26
"""Letters of a name that fit."""

FEW = 40
"""Points up to which each is a dot."""

IN_TRAINING = {"loss": "training loss", "penalty": "term of the training loss"}
"""Measures of what is trained, not scored on dev."""

MOST_POINTS = 300
"""Of a line; of more, neighbours are joined into their mean."""


@dataclass(slots=True)
class Series:
    """What one number was over the steps of training."""

    name: str
    measure: str
    points: list[tuple[float, float]] = field(default_factory=list)


@dataclass(slots=True)
class Log:
    """What the log of a run says.

    `metrics` are each task's main metric on dev, `losses` its mean loss on what was trained on,
    `best` the step whose weights were kept, by curve, `rows` the score rows of the last time that
    dev was scored, `skipped` the steps that were left out, `last` the last step that was written
    down, `bad` how many lines could not be read, and `penalties` the scheme's terms on weights.
    """

    metrics: list[Series] = field(default_factory=list)
    losses: list[Series] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    last: int | None = None
    epoch: float | None = None
    bad: int = 0
    penalties: list[Series] = field(default_factory=list)


def read_log(path: Path) -> Log | None:
    """The log of a run, or `None` where there is none; lines that are no entries are counted."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    log = Log()
    curves: dict[tuple[str, str], Series] = {}
    losses: dict[str, Series] = {}
    penalties: dict[str, Series] = {}
    top: tuple[float, float] | None = None
    for line in lines:
        try:
            entry = json.loads(line)
            step = int(entry["step"])
            for task, loss in entry.get("losses", {}).items():
                losses.setdefault(str(task), Series(str(task), "loss")).points.append(
                    (step, float(loss))
                )
            for term, value in entry.get("penalties", {}).items():
                penalties.setdefault(str(term), Series(str(term), "penalty")).points.append(
                    (step, float(value))
                )
            for name, measure, score in _mains(entry.get("rows", ())):
                curve = curves.setdefault((name, measure), Series(name, measure))
                curve.points.append((step, score))
            log.rows = list(entry.get("rows", log.rows))
            log.skipped += [int(bad) for bad in entry.get("skipped", ())]
            log.last = max(step, log.last or 0)
            log.epoch = float(entry["epoch"]) if "epoch" in entry else log.epoch
            if "main" in entry and (top is None or float(entry["main"]) > top[1]):
                top = step, float(entry["main"])
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            log.bad += 1
    log.metrics, log.losses = list(curves.values()), list(losses.values())
    log.penalties = list(penalties.values())
    if top is not None:
        log.best = dict.fromkeys((curve.name for curve in log.metrics), top[0])
    return log


def _mains(rows: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, str, float]]:
    """Of each task on each data set the first row, which is its main metric."""
    seen = set()
    several = {
        row["task"]
        for row in rows
        for other in rows
        if row["task"] == other["task"] and row["data"] != other["data"]
    }
    for row in rows:
        key = row["task"], row["data"]
        if key not in seen:
            seen.add(key)
            name = f"{row['task']} ({row['data']})" if row["task"] in several else row["task"]
            yield str(name), str(row["metric"]), float(row["score"])


def joined(logs: Mapping[str, Log | None]) -> Log | None:
    """The logs of tasks that were trained apart as one."""
    found = [log for log in logs.values() if log is not None]
    if not found:
        return None
    whole = Log()
    for log in found:
        whole.metrics += log.metrics
        whole.losses += log.losses
        whole.penalties += log.penalties
        whole.best |= log.best
        whole.rows += log.rows
        whole.skipped += log.skipped
        whole.bad += log.bad
        whole.last = max(log.last or 0, whole.last or 0)
    return whole


def curve_picture(curve: Series, *, best: float | None = None, end: float = 0) -> Picture:
    """One curve over the steps of training, from 0 to `end` or its own last step.

    A dashed line stands at `best`, the step that was kept. The number in the corner is the value
    there, else the last one.
    """
    kind = IN_TRAINING.get(curve.measure, f"{curve.measure} on dev")
    picture = Picture(WIDTH, HEIGHT, f"{curve.name}: {kind} over the steps of training")
    finite = [point for point in curve.points if math.isfinite(point[1])]
    shown = ".3g" if curve.measure == "penalty" else ".3f"
    if curve.measure not in IN_TRAINING:
        shown = f".{decimals(curve.measure)}f"
    told = next((value for step, value in finite if step == best), None)
    told = finite[-1][1] if told is None and finite else told
    name = curve.name if len(curve.name) <= LONG else f"{curve.name[: LONG - 1]}…"
    picture.add(
        Words(2, 16, name, bold=True),
        Words(
            WIDTH - RIGHT, 16, "" if told is None else f"{told:{shown}}", bold=True, anchor="end"
        ),
        Words(WIDTH - RIGHT, 30, kind, 10.5, "muted", "end"),
    )
    lost = len(curve.points) - len(finite)
    if lost:
        said = f"{lost} of {len(curve.points)} values are no numbers"
        picture.add(Words(2, 30, said, 10.5, "second"))
    if not finite:
        return picture
    points = _fewer(finite)
    last = max(end, points[-1][0], 1)
    frame = Frame(picture, (0, last), padded(value for _, value in points))
    frame.rows()
    frame.below(0, "step 0", "start")
    frame.below(last, f"{last:,.0f}", "end")
    frame.upright(best)
    picture.add(Line([frame.at(*point) for point in points], "accent", 2))
    for step, value in points if len(points) <= FEW else points[-1:]:
        said = f"step {step:,.0f}: {value:{shown}}"
        picture.add(Dot(*frame.at(step, value), 2.5, said=said))
    return picture


def _fewer(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    size = math.ceil(len(points) / MOST_POINTS)
    if size <= 1:
        return list(points)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]
