"""Comparisons as tables: text for a terminal, Markdown, and CSV."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hiermtl.evaluation.table import decimals, in_markdown, laid_out

if TYPE_CHECKING:
    from hiermtl.evaluation.compare import Comparison, Difference, Mean

Table = list[list[str]]
"""A header and rows; the first column is text, the others are numbers."""

_HOLM = "p (Holm)"

COLUMNS = (
    *("size", "arm", "level", "task", "metric", "split", "data", "scorer", "dtype"),
    *("seeds", "seed_numbers", "mean", "spread"),
    *("control", "control_seeds", "difference", "low", "high", "test", "p", "p_holm"),
)


def comparison_text(comparison: "Comparison") -> str:
    """Titled tables with aligned columns, then the notes."""
    return _joined(comparison, laid_out, mark="note: ")


def comparison_markdown(comparison: "Comparison") -> str:
    """The same in Markdown."""
    return _joined(comparison, in_markdown, mark="- ")


def _joined(comparison: "Comparison", made: Callable[[Table, set[int]], str], *, mark: str) -> str:
    blocks = [
        part
        for title, table in titled_tables(comparison)
        for part in (title, made(table, text_columns(table)))
    ]
    notes = [f"{mark}{note}" for note in table_notes(comparison)]
    return "\n\n".join([*blocks, *(["\n".join(notes)] if notes else [])])


def titled_tables(comparison: "Comparison") -> Iterable[tuple[str, Table]]:
    """Means, differences to each control and cost, at each size."""
    for size in dict.fromkeys(mean.size for mean in comparison.means):
        part = "all sentences" if size is None else f"{size:,} sentences of each corpus"
        means = [mean for mean in comparison.means if mean.size == size]
        title = f"{part}, {comparison.split}: mean and standard deviation over seeds"
        yield title, _means(means)
        found = [item for item in comparison.differences if item.size == size]
        for control in dict.fromkeys(mean.arm for mean in means):
            own = [item for item in found if item.control == control]
            if not own:
                continue
            title = f"{part}, {comparison.split}: difference to {control}"
            yield title, _differences(own)
        costs = [cost for cost in comparison.costs if cost.size == size]
        yield f"{part}: cost of training a model, on average", _costs(costs)


def _means(means: "Sequence[Mean]") -> Table:
    tasks = dict.fromkeys((mean.task, mean.metric) for mean in means)
    found = {(mean.arm, mean.task): mean for mean in means}
    rows = [["arm", "seeds", *(f"{task} {metric}" for task, metric in tasks)]]
    for arm in dict.fromkeys(mean.arm for mean in means):
        own = [found.get((arm, task)) for task, _ in tasks]
        seeds = next(mean.seeds for mean in own if mean is not None)
        rows.append([arm, str(seeds), *(_shown(mean) for mean in own)])
    return rows


def _shown(mean: "Mean | None") -> str:
    if mean is None:
        return "-"
    places = decimals(mean.metric)
    if mean.spread is None:
        return f"{mean.mean:.{places}f}"
    return f"{mean.mean:.{places}f} ± {mean.spread:.{places}f}"


def _differences(differences: "Sequence[Difference]") -> Table:
    head = ["arm", "level", "task", "metric", "seeds", "difference", "95 % interval", "p", _HOLM]
    rows = [head]
    last = None
    for item in differences:
        places = decimals(item.metric)
        between = "-"
        if item.low is not None and item.high is not None:
            between = f"{item.low:+.{places}f} to {item.high:+.{places}f}"
        arm = item.arm if item.arm != last else ""
        last = item.arm
        mean = f"{item.mean:+.{places}f}"
        values = [shown_p(item.p), shown_p(item.p_holm)]
        about = [arm, str(item.level), item.task, item.metric, _seeds(item)]
        rows.append([*about, mean, between, *values])
    return rows


def _seeds(item: "Difference") -> str:
    """Of the arm, and of the control where it has another number of them."""
    same = item.seeds == item.control_seeds
    return str(item.seeds) if same else f"{item.seeds} and {item.control_seeds}"


def shown_p(p: float | None) -> str:
    """A p value with three decimals, or what it is below."""
    if p is None:
        return "-"
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def comparison_csv(comparison: "Comparison") -> str:
    """The rows as CSV, with a line of names."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(comparison_rows(comparison))
    return file.getvalue()


def comparison_rows(comparison: "Comparison") -> Iterator[list[Any]]:
    """One row per size, arm, task and control; an arm that is set against none has one, too."""
    for mean in comparison.means:
        about = [mean.size, mean.arm, mean.level, mean.task, mean.metric, comparison.split]
        about += [mean.data, mean.scorer, mean.dtype]
        about += [mean.seeds, " ".join(map(str, mean.seed_numbers)), mean.mean, mean.spread]
        own = [
            item
            for item in comparison.differences
            if (item.size, item.arm, item.task) == (mean.size, mean.arm, mean.task)
        ]
        for item in own:
            found = [
                item.control,
                item.control_seeds,
                item.mean,
                item.low,
                item.high,
                comparison.test,
            ]
            yield [*about, *found, item.p, item.p_holm]
        if not own:
            yield [*about, *[None] * (len(COLUMNS) - len(about))]


def _costs(costs: Iterable[Any]) -> Table:
    rows = [["arm", "steps", "encoder words", "minutes", "parameters"]]
    for cost in costs:
        minutes = f"{cost.seconds / 60:.1f}"
        rows.append(
            [
                cost.arm,
                f"{cost.steps:,.0f}",
                f"{cost.words:,.0f}",
                minutes,
                f"{cost.parameters:,.0f}",
            ]
        )
    return rows


def table_notes(comparison: "Comparison") -> list[str]:
    """What a reader of the tables must know: first how and on what was scored."""
    found = _origins(comparison)
    tested = [item for item in comparison.differences if item.p is not None]
    if tested:
        pairs = {(d.size, frozenset((d.arm, d.control)), d.task) for d in tested}
        found.append(
            f"{len(pairs)} differences are tested by {comparison.test}; p is of each alone, "
            f"{_HOLM} is corrected for all of them"
        )
    if len(tested) < len(comparison.differences):
        found.append("where one of both arms has fewer than 3 seeds nothing is tested")
    bare = not comparison.controls and not comparison.differences
    if bare and len({mean.arm for mean in comparison.means}) > 1:
        found.append(
            "no arm is a control, so that no differences are shown; name controls in the grid's "
            "file, or by `hiermtl compare ... --controls`"
        )
    for arm, changes in comparison.changes.items():
        if changes:
            shown = ", ".join(f"{key}={value}" for key, value in changes.items())
            found.append(f"{arm}: {shown}")
    return [*found, *comparison.notes]


def _origins(comparison: "Comparison") -> list[str]:
    """A line as under a table of scores, and one where runs were scored in other formats."""
    means = comparison.means
    if not means:
        return []
    named = {mean: f"{mean.task} {mean.metric}" for mean in means}
    several = len({mean.size for mean in means}) > 1
    arms = {mean: f"{mean.arm} at {mean.size or 'all'}" if several else mean.arm for mean in means}
    found = [
        f"split {comparison.split}; "
        f"scorer {_each((mean.scorer, named[mean]) for mean in means)}; "
        f"dtype {_each((mean.dtype, arms[mean]) for mean in means)}; "
        f"seeds {_each((_numbers(mean.seed_numbers), arms[mean]) for mean in means)}; "
        f"data {_each((mean.data, named[mean]) for mean in means)}"
    ]
    if len({mean.dtype for mean in means}) > 1 or any(" and " in mean.dtype for mean in means):
        found.append(
            "not all runs were scored in one number format, see dtype: a part of a difference may "
            "be that of formats"
        )
    return found


def _each(pairs: Iterable[tuple[str, str]]) -> str:
    """The one value, or each with what has it: `bf16 (hard, low), fp32 (single)`."""
    found: dict[str, dict[str, None]] = {}
    for value, name in pairs:
        found.setdefault(value, {})[name] = None
    if len(found) == 1:
        return next(iter(found))
    return ", ".join(f"{value} ({', '.join(names)})" for value, names in found.items())


def _numbers(seeds: Sequence[int]) -> str:
    """Numbers that follow each other by the first and the last, others one by one."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return " ".join(map(str, seeds))


def text_columns(table: Table) -> set[int]:
    """Columns that hold no numbers."""
    return {place for place, name in enumerate(table[0]) if name in ("arm", "task", "metric")}
