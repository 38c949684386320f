"""A run as one small JSON file: what it was, what it cost, how it scored, and what it counted.

Counts are kept by unit: by document where the data has documents, else by block of neighbouring
sentences, pairs or texts. Scores of any resampling of units follow from their sums.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiermtl.atomic import write_whole
from hiermtl.errors import DataError
from hiermtl.evaluation.counts import Counts
from hiermtl.evaluation.scores import ScoreRow, Scores

FORMAT = 1

MOST_UNITS = 500
"""Units of a task; where documents are more, neighbours are joined."""


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """Counts of one task by unit, (units, columns), and the family of the metric that counted."""

    metric: str
    columns: tuple[str, ...]
    rows: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """One trained model and its scores.

    Attributes:
        arm: What is compared, such as a recipe's name.
        size: Training sentences used of each corpus (`training.max_examples`); `None`: all.
        seed: Of weights, order and dropout.
        changes: Dotted keys that differ from the arm's recipe, such as a rate chosen on dev.
        cost: `steps`, `words` read by encoders in training, `seconds`, `parameters`.
        dev: Rows on dev.
        rows: Rows on the split that is compared.
        units: For each task what was counted on that split, by unit.
        fingerprint: Of the recipe; another one belongs to another experiment.
        train: Rows on the examples that were trained on; empty where that was not asked.
        learnt: What tasks shared and what was learnt of it, as `HierarchicalModel.described` tells
            it; empty in results that were made before it was kept.
        budget: Keys of the recipe that say how much was trained, and their values; empty in results
            that were made before it was kept.
        gold: For each task what names the gold it was scored against, as `Counts.gold`; empty
            likewise.
        model: A name of the config and weights that were scored; empty likewise.
    """

    arm: str
    size: int | None
    seed: int
    changes: Mapping[str, Any]
    cost: Mapping[str, float]
    rows: tuple[ScoreRow, ...]
    units: Mapping[str, Units]
    dev: tuple[ScoreRow, ...] = ()
    notes: tuple[str, ...] = ()
    fingerprint: str = ""
    train: tuple[ScoreRow, ...] = ()
    learnt: Mapping[str, Any] = field(default_factory=dict)
    budget: Mapping[str, Any] = field(default_factory=dict)
    gold: Mapping[str, str] = field(default_factory=dict)
    model: str = ""

    def write(self, path: str | Path) -> None:
        """Writes the result, whole or not at all."""
        data = {
            "format": FORMAT,
            "arm": self.arm,
            "size": self.size,
            "seed": self.seed,
            "changes": dict(self.changes),
            "cost": dict(self.cost),
            "notes": list(self.notes),
            "fingerprint": self.fingerprint,
            "learnt": dict(self.learnt),
            "budget": dict(self.budget),
            "gold": dict(self.gold),
            "model": self.model,
            "train": [asdict(row) for row in self.train],
            "dev": [asdict(row) for row in self.dev],
            "rows": [asdict(row) for row in self.rows],
            "units": {
                task: {
                    "metric": units.metric,
                    "columns": list(units.columns),
                    "rows": [[_short(value) for value in row] for row in units.rows.tolist()],
                }
                for task, units in self.units.items()
            },
        }
        write_whole(path, json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n")


def read_result(path: str | Path) -> RunResult:
    """The result in a file that `RunResult.write` made.

    Raises:
        DataError: The file is missing, or is no result.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise DataError(
                f"a result of format {data['format']}; this version reads format {FORMAT}: make "
                "it again",
                path,
            )
        return RunResult(
            arm=data["arm"],
            size=data["size"],
            seed=data["seed"],
            changes=data["changes"],
            cost=data["cost"],
            rows=tuple(ScoreRow(**row) for row in data["rows"]),
            units={
                task: Units(
                    units["metric"],
                    tuple(units["columns"]),
                    np.array(units["rows"], dtype=np.float64).reshape(-1, len(units["columns"])),
                )
                for task, units in data["units"].items()
            },
            dev=tuple(ScoreRow(**row) for row in data["dev"]),
            notes=tuple(data["notes"]),
            fingerprint=data["fingerprint"],
            train=tuple(ScoreRow(**row) for row in data.get("train", ())),
            learnt=dict(data.get("learnt", {})),
            budget=dict(data.get("budget", {})),
            gold=dict(data.get("gold", {})),
            model=str(data.get("model", "")),
        )
    except OSError as error:
        raise DataError(f"the result cannot be read ({error.strerror})", path) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"no result of a run ({type(error).__name__}: {error}); name a run folder, or a file "
            "that `hiermtl grid` wrote",
            path,
        ) from None


def units_of(scores: Scores) -> dict[str, Units]:
    """What was counted for each task, by unit."""
    return {key: _units(counts) for key, counts in scores.counts.items()}


def _units(counts: Counts) -> Units:
    starts = unit_starts(counts.documents)
    if len(starts) > MOST_UNITS:
        starts = starts[np.linspace(0, len(starts), MOST_UNITS, endpoint=False).astype(np.int64)]
    rows = np.add.reduceat(counts.rows, starts, axis=0) if len(starts) else counts.rows
    return Units(counts.metric, counts.columns, rows)


def unit_starts(documents: Sequence[str] | NDArray[np.str_]) -> NDArray[np.int64]:
    """Where units begin; what has no document is a unit of its own."""
    names = np.asarray(documents)
    if not len(names):
        return np.zeros(0, dtype=np.int64)
    begins = np.ones(len(names), dtype=bool)
    begins[1:] = (names[1:] != names[:-1]) | (names[1:] == "")
    return np.flatnonzero(begins)


def _short(value: float) -> int | float:
    """A count as short as JSON can say it."""
    return int(value) if value == int(value) else round(value, 4)
