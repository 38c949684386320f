"""Score rows as tables: text for a terminal, and Markdown."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hiermtl.evaluation.scores import ScoreRow

_HEADER = ("level", "depth", "task", "metric", "score", "items")
_RIGHT = (True, True, False, False, True, True)
_DECIMALS = {"pearson": 4, "spearman": 4, "mse": 4}


def shown_score(row: "ScoreRow") -> str:
    """The score with as many decimals as its metric is printed with."""
    return f"{row.score:.{decimals(row.metric)}f}"


def decimals(metric: str) -> int:
    """How many decimals a metric is printed with."""
    return _DECIMALS.get(metric, 2)


def text_table(rows: Sequence["ScoreRow"], notes: Sequence[str]) -> str:
    """Aligned columns, an empty line between levels, then what was scored how, then the notes.

    Level, depth and task stand at a task's first row only. Rows of several data sets, splits,
    dtypes or seeds make one table each.
    """
    blocks = []
    for about, group in _by_origin(rows):
        cells = [list(_cells(row)) for row in group]
        widths = [max(map(len, column)) for column in zip(_HEADER, *cells, strict=True)]
        lines = [_aligned(_HEADER, widths)]
        for place, row in enumerate(group):
            before = group[place - 1] if place else None
            if before is not None and before.level != row.level:
                lines.append("")
            if before is not None and before.task == row.task:
                cells[place][:3] = "", "", ""
            lines.append(_aligned(cells[place], widths))
        blocks.append("\n".join([*lines, "", about]))
    if not rows:
        blocks.append("no scores")
    text = "\n\n".join(blocks)
    return "\n".join([text, *(f"note: {note}" for note in notes)])


def markdown_table(rows: Sequence["ScoreRow"], notes: Sequence[str]) -> str:
    """The same as Markdown, with every cell filled."""
    blocks = []
    for about, group in _by_origin(rows):
        lines = [
            piped(_HEADER),
            piped("--:" if right else ":--" for right in _RIGHT),
            *(piped(_cells(row)) for row in group),
        ]
        blocks.append("\n".join([*lines, "", about]))
    if not rows:
        blocks.append("no scores")
    if notes:
        blocks.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(blocks)


def _by_origin(rows: Iterable["ScoreRow"]) -> list[tuple[str, list["ScoreRow"]]]:
    """The rows that share split, dtype, seed and data, lowest level first, and the line on them."""
    groups: dict[tuple[object, ...], list[ScoreRow]] = {}
    for row in rows:
        groups.setdefault((row.split, row.dtype, row.seed, row.data), []).append(row)
    found = []
    for (split, dtype, seed, data), group in groups.items():
        group.sort(key=lambda row: row.level)
        # Rows of one task stand together even if they were appended later.
        order = {task: place for place, task in enumerate(dict.fromkeys(r.task for r in group))}
        group.sort(key=lambda row: order[row.task])
        known = "unknown" if seed is None else seed
        about = f"split {split}; scorer {_scorers(group)}; dtype {dtype}; seed {known}; data {data}"
        found.append((about, group))
    return found


def _scorers(rows: Iterable["ScoreRow"]) -> str:
    """The definitions followed, each with its metrics: `accuracy, conll18 (las, uas, clas)`."""
    metrics: dict[str, list[str]] = {}
    for row in rows:
        of_scorer = metrics.setdefault(row.scorer, [])
        if row.metric not in of_scorer:
            of_scorer.append(row.metric)
    return ", ".join(
        scorer if names == [scorer] else f"{scorer} ({', '.join(names)})"
        for scorer, names in metrics.items()
    )


def _cells(row: "ScoreRow") -> tuple[str, ...]:
    return (
        str(row.level),
        str(row.depth),
        row.task,
        row.metric,
        shown_score(row),
        str(row.items),
    )


def _aligned(cells: Iterable[str], widths: Sequence[int]) -> str:
    parts = (
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, _RIGHT, strict=True)
    )
    return "  ".join(parts).rstrip()


def piped(cells: Iterable[str]) -> str:
    """A row of a Markdown table."""
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
