"""Slices, calibration, confusions and cost as tables."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from hiermtl.evaluation.table import in_markdown, interval, laid_out, shown_score

if TYPE_CHECKING:
    from hiermtl.evaluation.details import BlockRows, Calibration, Confusion, ExitUse, LevelCost
    from hiermtl.evaluation.scores import DetailedRow, Scores

SHOWN = 20
"""Labels, or confusions, of a task that a table shows; the JSON has all."""

_LEFT = {
    "task",
    "metric",
    "slice",
    "tasks",
    "gold",
    "predicted",
    "confidence between",
    "read at depth",
}

Table = list[list[str]]
"""A header, and rows."""


def detail_blocks(scores: "Scores", *, markdown: bool = False) -> list[str]:
    """For each kind of detail a title and a table; nothing where none was asked for."""
    blocks: list[str] = []
    for title, table in _tables(scores):
        blocks += [f"{title}:", _made(table, markdown=markdown)]
    return blocks


def _tables(scores: "Scores") -> Iterator[tuple[str, Table]]:
    for kind in dict.fromkeys(_kind(row) for row in scores.slices):
        rows = [row for row in scores.slices if _kind(row) == kind]
        yield f"by {kind}", _slices(rows)
    if scores.calibration:
        yield (
            "calibration, expected error over ten classes of confidence",
            _errors(scores.calibration),
        )
        yield "how often right, by confidence", _bins(scores.calibration)
    for item in scores.confusion:
        yield f"{item.task} of {item.data}: what was taken for what", _confusion(item)
    if scores.cost:
        one = scores.cost[0]
        about = f"{one.words:,} words, {one.precision}, {one.device}, {one.threads} threads"
        yield f"cost of reaching each level ({about})", _cost(scores.cost)
    if scores.exits:
        yield "exits, which are not what the whole model says", _exits(scores.exits)
        yield "pieces that each block read", _block_rows(scores.block_rows)


def _kind(row: "DetailedRow") -> str:
    return (row.slice or "").partition(" ")[0]


def _slices(rows: Sequence["DetailedRow"]) -> Table:
    """The main metric of each task and slice; of labels the most frequent ones."""
    with_interval = any(map(interval, rows))
    table = [["level", "task", "slice", "metric", "score", "items"]]
    table[0] += ["95 % interval"] if with_interval else []
    for task, data in dict.fromkeys((row.task, row.data) for row in rows):
        own = [row for row in rows if (row.task, row.data) == (task, data)]
        mains = [row for row in own if row.metric == own[0].metric]
        for row in mains[:SHOWN]:
            _, _, name = (row.slice or "").partition(" ")
            cells = [str(row.level), task, name, row.metric, shown_score(row), f"{row.items:,}"]
            table.append([*cells, *([interval(row)] if with_interval else [])])
        if len(mains) > SHOWN:
            more = f"and {len(mains) - SHOWN} more"
            table.append(["", task, more, *[""] * (len(table[0]) - 3)])
    return table


def _errors(items: Iterable["Calibration"]) -> Table:
    table = [["level", "task", "items", "confidence", "right", "error"]]
    for item in items:
        figures = [f"{x:.2f}" for x in (item.confidence, item.accuracy, item.ece)]
        table.append([str(item.level), item.task, f"{item.items:,}", *figures])
    return table


def _bins(items: Iterable["Calibration"]) -> Table:
    table = [["task", "confidence between", "items", "confidence", "right"]]
    for item in items:
        for one in item.bins:
            between = f"{one.low:.0f} and {one.high:.0f}"
            figures = [f"{x:.2f}" for x in (one.confidence, one.accuracy)]
            table.append([item.task, between, f"{one.items:,}", *figures])
    return table


def _confusion(item: "Confusion") -> Table:
    """The most frequent errors, each with its share of the gold label's items."""
    gold: dict[str | None, int] = {}
    for label, _, times in item.cells:
        gold[label] = gold.get(label, 0) + times
    wrong = [cell for cell in item.cells if cell[0] != cell[1]]
    table = [["gold", "predicted", "times", "% of gold"]]
    for label, guess, times in wrong[:SHOWN]:
        share = f"{100 * times / gold[label]:.1f}" if label is not None else "-"
        table.append([_named(label), _named(guess), f"{times:,}", share])
    if len(wrong) > SHOWN:
        rest = sum(times for *_, times in wrong[SHOWN:])
        table.append([f"and {len(wrong) - SHOWN} more", "", f"{rest:,}", ""])
    return table


def _named(label: str | None) -> str:
    return "(nothing)" if label is None else label


def _cost(levels: Iterable["LevelCost"]) -> Table:
    levels = list(levels)
    both = any(one.with_exits is not None for one in levels)
    table = [["level", "tasks", "blocks", "words/s", *(["with exits"] if both else [])]]
    for one in levels:
        speeds = [one.words_per_second] + ([one.with_exits or 0.0] if both else [])
        cells = [str(one.level), " ".join(one.tasks), str(one.blocks)]
        table.append([*cells, *(f"{speed:,.0f}" for speed in speeds)])
    return table


def _exits(items: Iterable["ExitUse"]) -> Table:
    table = [["level", "task", "metric", "whole", "with exits", "read at depth"]]
    for one in items:
        every = sum(one.read.values())
        read = ", ".join(f"{at}: {100 * n / every:.1f} %" for at, n in sorted(one.read.items()))
        figures = [f"{x:.2f}" for x in (one.whole, one.score)]
        table.append([str(one.level), one.task, one.metric, *figures, read])
    return table


def _block_rows(blocks: Iterable["BlockRows"]) -> Table:
    blocks = list(blocks)
    table = [["block", "whole", "with exits", "saved"]]
    whole, left = sum(one.whole for one in blocks), sum(one.left for one in blocks)
    rows = [(str(one.depth), one.whole, one.left) for one in blocks]
    for name, before, after in [*rows, ("all", whole, left)]:
        saved = f"{100 * (1 - after / before):.1f} %"
        table.append([name, f"{before:,}", f"{after:,}", saved])
    return table


def _made(table: Table, *, markdown: bool) -> str:
    left = {place for place, name in enumerate(table[0]) if name in _LEFT}
    return (in_markdown if markdown else laid_out)(table, left)
