"""Score rows as tables: text for a terminal, and Markdown."""

from collections.abc import Collection, Iterable, Sequence
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
        header, right = _header(group)
        cells = [list(_cells(row, len(header))) for row in group]
        widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
        lines = [aligned(header, widths, right)]
        for place, row in enumerate(group):
            before = group[place - 1] if place else None
            if before is not None and before.level != row.level:
                lines.append("")
            if before is not None and before.task == row.task:
                cells[place][:3] = "", "", ""
            lines.append(aligned(cells[place], widths, right))
        blocks.append("\n".join([*lines, "", about]))
    if not rows:
        blocks.append("no scores")
    text = "\n\n".join(blocks)
    return "\n".join([text, *(f"note: {note}" for note in notes)])


def markdown_table(rows: Sequence["ScoreRow"], notes: Sequence[str]) -> str:
    """The same as Markdown, with every cell filled."""
    blocks = []
    for about, group in _by_origin(rows):
        header, right = _header(group)
        lines = [
            piped(header),
            piped("--:" if one else ":--" for one in right),
            *(piped(_cells(row, len(header))) for row in group),
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


def _header(rows: Iterable["ScoreRow"]) -> tuple[tuple[str, ...], tuple[bool, ...]]:
    """The columns, and which stand to the right; intervals where any row has one."""
    if any(interval(row) for row in rows):
        return (*_HEADER, "95 % interval"), (*_RIGHT, True)
    return _HEADER, _RIGHT


def interval(row: "ScoreRow") -> str:
    """The interval of a row, empty where it has none."""
    low, high = getattr(row, "low", None), getattr(row, "high", None)
    if low is None or high is None:
        return ""
    return f"{low:.{decimals(row.metric)}f} to {high:.{decimals(row.metric)}f}"


def _cells(row: "ScoreRow", columns: int) -> tuple[str, ...]:
    found = (
        str(row.level),
        str(row.depth),
        row.task,
        row.metric,
        shown_score(row),
        str(row.items),
        interval(row),
    )
    return found[:columns]


def aligned(cells: Iterable[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    """A line of a table whose columns stand to the left or to the right."""
    parts = (
        cell.rjust(width) if one else cell.ljust(width)
        for cell, width, one in zip(cells, widths, right, strict=True)
    )
    return "  ".join(parts).rstrip()


def piped(cells: Iterable[str]) -> str:
    """A row of a Markdown table."""
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def laid_out(table: Sequence[Sequence[str]], left: Collection[int]) -> str:
    """A table, its header the first row, for a terminal; columns not in `left` stand right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    right = [place not in left for place in range(len(widths))]
    return "\n".join(aligned(row, widths, right) for row in table)


def in_markdown(table: Sequence[Sequence[str]], left: Collection[int]) -> str:
    """The same as Markdown."""
    head, *rows = table
    rule = [":--" if place in left else "--:" for place in range(len(head))]
    return "\n".join(piped(row) for row in (head, rule, *rows))
