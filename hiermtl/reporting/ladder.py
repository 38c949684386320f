"""The picture of a run: the encoder from bottom to top, each task on its rung with score and cost.

What flows between copies of blocks is drawn elsewhere (`hiermtl.pictures`); here a block says in
words how many copies of it there are and what enters it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hiermtl.evaluation.best import UNBOUNDED, points
from hiermtl.evaluation.table import shown_score
from hiermtl.reporting.facts import Facts, Rung
from hiermtl.reporting.shapes import Box, Line, Picture, Words

WIDTH = 440
BLOCKS, RUNGS, END = 34, 172, 432
"""Where blocks begin, where rungs do, and where they end."""

BLOCK = 120
"""How wide a block is."""

ROW, RUNG, GAP = 28, 52, 6
"""Heights of a block without tasks and of a task, and what is between blocks."""

LETTERS = 13
"""The height of a line in a block."""

LONG = 22
"""Letters of a name that fit."""

UNUSED = "not used"


@dataclass(slots=True)
class _Step:
    """Blocks that stand as one: their depths, what they say, and the tasks read above the last."""

    low: int
    high: int
    said: list[str]
    rungs: list[Rung]

    @property
    def height(self) -> float:
        return max(ROW + LETTERS * len(self.said), RUNG * len(self.rungs))

    @property
    def name(self) -> str:
        many = self.high > self.low
        return f"blocks {self.low} to {self.high}" if many else f"block {self.low}"


def ladder(facts: Facts, rungs: Sequence[Rung], structure: Mapping[str, Any]) -> Picture:
    """The hierarchy along the encoder's depth.

    Args:
        facts: The run.
        rungs: Its tasks.
        structure: As `hiermtl.sharing.describe` tells it; empty where there is no model.
    """
    placed = [rung for rung in rungs if isinstance(rung.depth, int)]
    floating = [rung for rung in rungs if not isinstance(rung.depth, int)]
    top = max([facts.blocks or 0, *(rung.depth for rung in placed if isinstance(rung.depth, int))])
    steps = _steps(top, placed, structure)
    height = 40 + sum(step.height + GAP for step in steps) + RUNG * len(floating) + ROW + 18
    picture = Picture(WIDTH, height, f"{facts.title}: the tasks along the encoder's depth")
    picture.add(
        Words(BLOCKS, 18, "encoder", 11, "muted"),
        Words(RUNGS, 18, "task, score on dev, cost when asked alone", 11, "muted"),
        Words(0, 18, "depth", 10, "muted"),
    )
    y = 32.0
    for rung in floating:
        _rung(picture, rung, y, top=top)
        y += RUNG
    for step in reversed(steps):
        _step(picture, step, y, top=top)
        y += step.height + GAP
    picture.add(
        Box(BLOCKS, y, BLOCK, ROW - 4, "none", "muted", 5),
        Words(BLOCKS + BLOCK / 2, y + 17, "embeddings", 12, "muted", "middle"),
        Words(BLOCKS - 8, y + 17, "0", 11, "muted", "end"),
    )
    return picture


def _steps(top: int, rungs: Iterable[Rung], structure: Mapping[str, Any]) -> list[_Step]:
    """The blocks from bottom to top; neighbours of which the same is to be said are one."""
    found: list[_Step] = []
    rungs = list(rungs)
    for depth in range(1, top + 1):
        own = [rung for rung in rungs if rung.depth == depth]
        said = _said(depth, structure)
        last = found[-1] if found else None
        if last is not None and not last.rungs and not own and last.said == said:
            last.high = depth
        else:
            level = [f"level {own[0].level}"] if own else []
            found.append(_Step(depth, depth, [*level, *said], own))
    return found


def _said(depth: int, structure: Mapping[str, Any]) -> list[str]:
    """What is to be said of a block: its copies, and what else enters it."""
    branches = structure.get("branches", ())
    if not branches:
        return []
    if depth >= len(branches):
        return [UNUSED]
    lines = []
    copies = len(branches[depth])
    if copies > 1:
        lines.append(f"{copies} copies" + (", mixed" if str(depth) in structure["mixes"] else ""))
    if str(depth) in structure["sees"]:
        lines.append("+ states from below")
    fed = len(structure["feeds"].get(str(depth), ()))
    if fed:
        lines.append(f"+ labels of {fed} task{'s' if fed > 1 else ''}")
    return lines


def _step(picture: Picture, step: _Step, y: float, *, top: int) -> None:
    unused = UNUSED in step.said
    centre, middle = BLOCKS + BLOCK / 2, y + step.height / 2
    first = middle + 4 - LETTERS * len(step.said) / 2
    picture.add(
        Line([(centre, y + step.height), (centre, y + step.height + GAP)], "muted"),
        Box(BLOCKS, y, BLOCK, step.height, "none", "faint" if unused else "ink", 5),
        Words(BLOCKS - 8, middle + 4, str(step.high), 11, "muted", "end"),
        Words(centre, first, step.name, 12, "muted" if unused else "ink", "middle"),
    )
    for line, said in enumerate(step.said, 1):
        picture.add(Words(centre, first + LETTERS * line, said, 10, "muted", "middle"))
    for place, rung in enumerate(reversed(step.rungs)):
        at = y + place * RUNG
        picture.add(Line([(BLOCKS + BLOCK, at + 12), (RUNGS - 4, at + 12)], "ink"))
        _rung(picture, rung, at, top=top)


def _rung(picture: Picture, rung: Rung, y: float, *, top: int) -> None:
    """A task: its name and score, a bar of the score, and what it costs."""
    name = rung.task if len(rung.task) <= LONG else f"{rung.task[: LONG - 1]}…"
    score = rung.score
    picture.add(Words(RUNGS, y + 16, name, 13, bold=True))
    if score is None:
        said = "auxiliary, not in the model" if rung.auxiliary else "not scored"
        picture.add(Words(END, y + 16, said, 11, "muted", "end"))
    else:
        picture.add(Words(END, y + 16, f"{score.metric} {shown_score(score)}", 12, anchor="end"))
        if score.metric not in UNBOUNDED:
            share = min(max(points(score) / 100, 0), 1)
            picture.add(
                Box(RUNGS, y + 22, END - RUNGS, 5, "faint"),
                Box(RUNGS, y + 22, share * (END - RUNGS), 5, "accent"),
            )
    picture.add(Words(RUNGS, y + 40, cost_of(rung, top), 10.5, "muted"))
    if rung.speed is not None:
        said = f"{rung.speed:,.0f} words/s"
        picture.add(Words(END, y + 40, said, 10.5, "muted", "end"))


def cost_of(rung: Rung, top: int) -> str:
    """What a task costs, in words."""
    if not isinstance(rung.depth, int):
        return f"depth {rung.depth}, not settled yet"
    parts = []
    if rung.blocks is None:
        parts.append(f"read at {rung.depth} of {top}")
    elif rung.blocks == rung.depth:
        parts.append(f"runs {rung.blocks} of {top} blocks")
    else:
        parts.append(f"runs {rung.blocks} block copies")
    if rung.others:
        parts.append(f"{len(rung.others)} more task" + ("s" if len(rung.others) > 1 else ""))
    return ", ".join(parts)
