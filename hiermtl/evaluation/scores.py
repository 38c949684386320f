"""Score rows, and what holds them: to be read in a terminal, in a document or by a program."""

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hiermtl.atomic import write_whole
from hiermtl.errors import RecipeError, listing, nearest
from hiermtl.evaluation.counts import Counts, save_counts
from hiermtl.evaluation.details import BlockRows, Calibration, Confusion, ExitUse, LevelCost
from hiermtl.evaluation.details_table import detail_blocks
from hiermtl.evaluation.table import markdown_table, shown_score, text_table
from hiermtl.metrics.base import METRIC_NAMES

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One score, with all that has to be known to read it.

    Attributes:
        level: Rank of the task's depth, counted from 1; 0 for what belongs to no task of a model.
        depth: Depth of the encoder the task is read at; 0 for what belongs to no task of a model.
        task: Name of the task.
        metric: Name of the metric, one of `hiermtl.metrics.base.METRIC_NAMES`.
        score: Rates from 0 to 100, correlations from -1 to 1, errors as they are.
        items: Number of gold items that were scored.
        data: Name of the data.
        split: Split of the data, such as `dev`.
        scorer: The definition that the metric follows.
        dtype: Number format of the model, such as `fp32`.
        seed: Seed of the model's training, if known.
    """

    level: int
    depth: int
    task: str
    metric: str
    score: float
    items: int
    data: str
    split: str
    scorer: str
    dtype: str
    seed: int | None

    def __post_init__(self) -> None:
        """Raises ValueError for a score that is no number or has a name that no metric has."""
        if not math.isfinite(self.score):
            raise ValueError(f"{self.task} {self.metric} is {self.score}; a score is a number")
        if self.metric not in METRIC_NAMES:
            raise ValueError(
                f"{self.metric!r} is no name of a metric; known are {listing(METRIC_NAMES)}"
                f"{nearest(self.metric, METRIC_NAMES)}"
            )


KEYS = tuple(field.name for field in fields(ScoreRow))
"""The keys of a row, in the order in which they are written."""


@dataclass(frozen=True, slots=True)
class DetailedRow(ScoreRow):
    """A score of a part of the data, or one with an interval.

    Attributes:
        slice: Which part, such as `length 1-10`; `None` for all of it.
        low: Where the 95 % interval begins, if there is one.
        high: Where it ends.
    """

    slice: str | None = None
    low: float | None = None
    high: float | None = None


FURTHER = ("slice", "low", "high")
"""Keys that a row has only where they were asked for."""


def plain(row: ScoreRow) -> dict[str, Any]:
    """A row as plain data: its keys, and of the further ones those that say something."""
    return {k: v for k, v in asdict(row).items() if k not in FURTHER or v is not None}


@dataclass(frozen=True, repr=False)
class Scores:
    """Score rows, ordered by level; of each task the main metric comes first.

    Attributes:
        rows: The rows.
        notes: What a reader of the table must know; each begins with the names of its tasks and a
            colon.
        counts: The counts of each sentence that the rows were made from, by task; of a task that is
            scored on several data sets by `task (data)`.
        slices: Rows of parts of the data, where they were asked for.
        calibration: How sure each task's head is and how often right, where that was asked for.
        confusion: What each label was taken for, where that was asked for.
        cost: What it takes to reach each level, where that was asked for.
        exits: What exits do to each task that has some, where they are used; the rows are those
            with exits.
        block_rows: What exits spare each block, where they are used.
    """

    rows: tuple[ScoreRow, ...]
    notes: tuple[str, ...] = ()
    counts: Mapping[str, Counts] = field(
        default_factory=lambda: MappingProxyType({}), compare=False
    )
    slices: tuple[DetailedRow, ...] = ()
    calibration: tuple[Calibration, ...] = ()
    confusion: tuple[Confusion, ...] = ()
    cost: tuple[LevelCost, ...] = field(default=(), compare=False)
    exits: tuple[ExitUse, ...] = ()
    block_rows: tuple[BlockRows, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that have rows, in the order of the rows."""
        return tuple(dict.fromkeys(row.task for row in self.rows))

    def main(self, task: str) -> ScoreRow:
        """The row of the task's main metric; of several data sets that of the first.

        Raises:
            RecipeError: The task has no rows.
        """
        for row in self.rows:
            if row.task == task:
                return row
        raise RecipeError(
            f"there is no score of {task!r}; there are scores of {listing(self.tasks)}"
            f"{nearest(task, self.tasks)}"
        )

    def mains(self, task: str) -> tuple[ScoreRow, ...]:
        """The rows of the task's main metric, one for each data set it is scored on.

        Raises:
            RecipeError: The task has no rows.
        """
        metric = self.main(task).metric
        return tuple(row for row in self.rows if (row.task, row.metric) == (task, metric))

    def filter(self, **wanted: object) -> "Scores":
        """The rows whose keys have the wanted values, with their tasks' notes and counts.

        Args:
            **wanted: Keys of a row, each with a value or a collection of values:
                `filter(task=("upos", "dep"), metric="las")`. With `slice` rows of parts are found,
                in `slices`.

        Raises:
            RecipeError: A key is none of a row's.
        """
        for key in wanted:
            if key not in (*KEYS, "slice"):
                raise RecipeError(
                    f"score rows have no key {key!r}; they have {listing(KEYS)}{nearest(key, KEYS)}"
                )
        allowed = {
            key: value if isinstance(value, Collection) and not isinstance(value, str) else (value,)
            for key, value in wanted.items()
        }

        def chosen(of: Iterable[Any]) -> tuple[Any, ...]:
            return tuple(
                row
                for row in of
                if all(getattr(row, key, None) in values for key, values in allowed.items())
            )

        rows, slices = chosen(self.rows), chosen(self.slices)
        # A task that was asked for may have no row, and then a note that says why.
        tasks = {row.task for row in (*rows, *slices)}
        tasks |= {str(task) for task in allowed.get("task", ())}
        origins = {(row.task, row.data) for row in rows}
        return replace(
            self,
            rows=rows,
            notes=tuple(
                n for n in self.notes if tasks.intersection(n.partition(":")[0].split(", "))
            ),
            counts={key: of for key, of in self.counts.items() if (of.task, of.data) in origins},
            slices=slices,
            calibration=tuple(one for one in self.calibration if one.task in tasks),
            confusion=tuple(one for one in self.confusion if one.task in tasks),
        )

    def to_text(self) -> str:
        """A table for a terminal, lowest level first, with a line that says what was scored how."""
        return "\n\n".join([text_table(self.rows, self.notes), *detail_blocks(self)])

    def to_markdown(self) -> str:
        """The same as a Markdown table."""
        table = markdown_table(self.rows, self.notes)
        return "\n\n".join([table, *detail_blocks(self, markdown=True)])

    def to_json(self) -> str:
        """A JSON list of the rows, those of slices last, and nothing around it."""
        rows = [plain(row) for row in (*self.rows, *self.slices)]
        return json.dumps(rows, ensure_ascii=False, allow_nan=False, indent=2)

    def to_pandas(self) -> "pd.DataFrame":
        """A data frame with one line per row and the keys as columns."""
        import pandas as pd

        rows = [plain(row) for row in (*self.rows, *self.slices)]
        further = [key for key in FURTHER if any(key in row for row in rows)]
        return pd.DataFrame(rows, columns=[*KEYS, *further])

    def details(self) -> dict[str, list[dict[str, Any]]]:
        """Calibration, confusions, cost and exits as plain data, each where it was asked for."""
        every = {
            "calibration": self.calibration,
            "confusion": self.confusion,
            "cost": self.cost,
            "exits": self.exits,
            "block_rows": self.block_rows,
        }
        return {name: [asdict(one) for one in found] for name, found in every.items() if found}

    def write_json(self, path: str | Path) -> None:
        """Writes `to_json` to a file, whole or not at all; a file of that name is replaced."""
        write_whole(path, f"{self.to_json()}\n")

    def save_counts(self, path: str | Path) -> None:
        """Writes the counts to an `.npz` file; `hiermtl.evaluation.load_counts` reads it."""
        save_counts(self.counts, path)

    def __iter__(self) -> Iterator[ScoreRow]:
        """Over the rows."""
        return iter(self.rows)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.rows)

    def __str__(self) -> str:
        """As `to_text`."""
        return self.to_text()

    def __repr__(self) -> str:
        """The main score of each task."""
        mains = (self.main(task) for task in self.tasks)
        shown = ", ".join(f"{row.task} {row.metric} {shown_score(row)}" for row in mains)
        return f"<Scores: {shown or 'none'}>"
