"""What a run folder says of its run, read without a model; whatever is missing is told, not raised.

A folder may hold a finished run, one that is at work or was broken off, a model that was saved
without its run, or damaged files.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeGuard

from hiermtl.earlier import recipe_then
from hiermtl.errors import ModelError
from hiermtl.evaluation.scores import KEYS, ScoreRow
from hiermtl.folders import (
    CHECKPOINTS,
    CONFIG,
    COST,
    ENVIRONMENT,
    EXTENDS,
    FAILURE,
    LOG,
    PROBE,
    RECIPE,
    REMARKS,
    SCORES,
)
from hiermtl.pretrained.weights import INDEX, weight_files
from hiermtl.reporting.curves import Log, joined, read_log

LARGEST = 1e100
"""Of numbers that are drawn; what is computed with them is a float too."""


DEEPEST = 1000
"""Of depths that are drawn, each with its number below."""


@dataclass(frozen=True, slots=True)
class Rung:
    """A task of the hierarchy: where it is read, how it scored, and what it costs to ask.

    `score` is its first row, the main metric; `None` where it was not scored. `depth` is text
    where the recipe leaves it open, such as `50%`. Of what a model tells: `blocks` copies of blocks
    run for it alone, `others` the tasks that run with it, `parameters` what it depends on, and
    `speed` words per second, if it was timed.
    """

    task: str
    depth: int | str
    level: int | None = None
    head: str = ""
    labels: int | None = None
    auxiliary: bool = False
    score: ScoreRow | None = None
    blocks: int | None = None
    others: tuple[str, ...] = ()
    parameters: int | None = None
    speed: float | None = None


@dataclass(slots=True)
class Facts:
    """All that is known of a run.

    `folder` is the last part of its path, `asked` how the report was asked for it, which finds it
    again. `recipe` and `config` are as the files have them, empty where there are none. `rows` are
    scores by split, `probe` those of probes by depth, `probed` what these say of each task, and
    `probe_said` what is said of them all. `remarks` are what was said of the training data.
    `apart` has for tasks that are trained one after the other whether that is done, `extends` the
    model that was extended, `touched` when the run last wrote something. `notes` say what is
    missing or damaged. `finished` is whether there is a model.
    """

    folder: str
    asked: str
    finished: bool
    recipe: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    rows: dict[str, tuple[ScoreRow, ...]] = field(default_factory=dict)
    cost: Mapping[str, Any] = field(default_factory=dict)
    log: Log | None = None
    failure: Mapping[str, Any] = field(default_factory=dict)
    environment: Sequence[Mapping[str, Any]] = ()
    probe: Sequence[Mapping[str, Any]] = ()
    probed: Sequence[Mapping[str, Any]] = ()
    probe_said: Sequence[str] = ()
    remarks: Sequence[str] = ()
    checkpoints: Sequence[str] = ()
    apart: Mapping[str, bool] = field(default_factory=dict)
    extends: Mapping[str, Any] = field(default_factory=dict)
    touched: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def scheme(self) -> str:
        """The name of the sharing scheme."""
        found = _part(self.config, "sharing") or _part(self.recipe, "sharing")
        return str(found.get("name", ""))

    @property
    def title(self) -> str:
        """What the run is called."""
        return str(self.recipe.get("name") or self.recipe.get("description") or self.folder)

    @property
    def seed(self) -> Any:
        """The seed of training."""
        return _part(self.recipe, "training").get("seed")

    @property
    def blocks(self) -> int | None:
        """The blocks of the encoder, where they are known."""
        encoder = _part(self.config, "encoder") or _part(self.recipe, "encoder")
        for key in ("num_hidden_layers", "n_layers", "layers"):
            if isinstance(encoder.get(key), int):
                return encoder[key]
        return None

    def _helped(self) -> dict[str, Any]:
        """The auxiliary tasks of the recipe that the model remembers.

        Of a model that was extended it is of more than its last training.
        """
        known = _part(_part(self.config, "recipe"), "tasks")
        return {name: task for name, task in known.items() if _part(known, name).get("auxiliary")}

    def rungs(self) -> list[Rung]:
        """The tasks, lowest first; those whose depth is open last."""
        tasks = _part(self.config, "tasks")
        planned = {**self._helped(), **_part(self.recipe, "tasks")}
        names = [*tasks, *(name for name in planned if name not in tasks)]
        mains = {row.task: row for row in reversed(self.rows.get("dev", ()))}
        found = []
        for name in names:
            told, asked = _part(tasks, name), _part(planned, name)
            head = told.get("head") or asked.get("head")
            found.append(
                Rung(
                    task=str(name),
                    depth=_depth(told if "depth" in told else asked),
                    head=str(head.get("name", "") if isinstance(head, Mapping) else head or ""),
                    labels=len(told["labels"]) if isinstance(told.get("labels"), list) else None,
                    auxiliary=bool(asked.get("auxiliary", told.get("auxiliary", False))),
                    score=mains.get(name),
                )
            )
        return ranked(found)


def _depth(task: Mapping[str, Any]) -> int | str:
    """Where a task is read; a recipe that says nothing of it means the top."""
    found = task.get("depth", "?")
    return "100%" if found is None else found if isinstance(found, int) else str(found)


def ranked(rungs: Iterable[Rung]) -> list[Rung]:
    """With their levels, the ranks of their depths; lowest first."""
    rungs = list(rungs)
    depths = sorted({rung.depth for rung in rungs if isinstance(rung.depth, int)})
    placed = [
        replace(rung, level=depths.index(rung.depth) + 1) if rung.depth in depths else rung
        for rung in rungs
    ]
    return sorted(placed, key=lambda r: (r.level is None, r.level or 0, r.task))


def gather(folder: Path, *, asked: str | Path | None = None, probe: Path | None = None) -> Facts:
    """What lies in a run folder, or in a model's folder.

    Args:
        folder: Where it lies.
        asked: How it was asked for, such as a shipped name. Default: by the folder.
        probe: A file of probes. Default: `probe.json` of the folder, if it is there.
    """
    notes: list[str] = []
    finished = (folder / CONFIG).is_file() and _has_weights(folder, notes)
    config = _mapping(folder / CONFIG, notes) if finished else {}
    recipe = recipe_then(_mapping(folder / RECIPE, notes) or _part(config, "recipe"))
    checkpoints = _checkpoints(folder)
    if not config and checkpoints:
        config = _mapping(folder / CHECKPOINTS / checkpoints[-1] / CONFIG, notes)
    facts = Facts(
        folder=folder.resolve().name,
        asked=str(asked or folder),
        finished=finished,
        recipe=recipe,
        config=config,
        cost=_mapping(folder / COST, notes),
        failure=_mapping(folder / FAILURE, notes),
        environment=_list(folder / ENVIRONMENT, notes),
        remarks=[str(line) for line in _list(folder / REMARKS, notes)],
        checkpoints=checkpoints,
        extends=_mapping(folder / EXTENDS, notes),
        touched=_touched(folder),
        notes=notes,
    )
    facts.log = read_log(folder / LOG)
    apart = sorted(path for path in folder.glob("tasks/*") if path.is_dir())
    if apart:
        facts.apart = {path.name: (path / "trained").is_dir() for path in apart}
        facts.log = joined({path.name: read_log(path / LOG) for path in apart})
    if facts.log is not None and facts.log.bad:
        notes.append(f"{facts.log.bad} lines of {LOG} cannot be read and are left out")
    facts.rows = _scores(folder, notes)
    if not facts.rows and facts.log is not None:
        _add_rows(facts.rows, LOG, facts.log.rows, notes)
    _add_probes(facts, probe or folder / PROBE, asked=probe is not None)
    return facts


def _has_weights(folder: Path, notes: list[str]) -> bool:
    """Whether the weights of a model are there, in one file or in all of their shards."""
    try:
        return bool(weight_files(folder))
    except ModelError as error:
        if (folder / INDEX).is_file():
            notes.append(str(error))
        return False


def _checkpoints(folder: Path) -> list[str]:
    found = [path.name for path in folder.glob("checkpoints/step-*") if path.is_dir()]
    return sorted(
        (name for name in found if name.removeprefix("step-").isdecimal()),
        key=lambda name: int(name.removeprefix("step-")),
    )


def _touched(folder: Path) -> str | None:
    """When something was last written in the run."""
    times = [path.stat().st_mtime for path in (folder / LOG, folder / RECIPE) if path.is_file()]
    times += [path.stat().st_mtime for path in folder.glob(f"tasks/*/{LOG}")]
    if not times:
        return None
    return f"{datetime.fromtimestamp(max(times), UTC):%Y-%m-%d %H:%M} UTC"


def _scores(folder: Path, notes: list[str]) -> dict[str, tuple[ScoreRow, ...]]:
    """Rows by split: those of the end of training, and of results that `compare` keeps."""
    found: dict[str, tuple[ScoreRow, ...]] = {}
    given: list[tuple[Path, Any]] = [(folder / SCORES, _list(folder / SCORES, notes))]
    given += [
        (path, _mapping(path, notes).get("rows", ()))
        for path in sorted(folder.glob("result-*.json"))
    ]
    for path, rows in given:
        _add_rows(found, path.name, rows, notes)
    # Scores of the same split may stand in both files.
    return {split: tuple(dict.fromkeys(rows)) for split, rows in found.items()}


def _add_rows(
    found: dict[str, tuple[ScoreRow, ...]], name: str, rows: Any, notes: list[str]
) -> None:
    """Adds the rows of a file by split, up to the first that is none."""
    try:
        for row in rows:
            one = ScoreRow(**{key: row[key] for key in KEYS})
            found[one.split] = (*found.get(one.split, ()), one)
    except (KeyError, TypeError, ValueError) as error:
        notes.append(f"{name} holds rows that are no scores ({error!r})")


def _add_probes(facts: Facts, path: Path, *, asked: bool) -> None:
    """What the file of probes says; rows and tasks that are none are left out."""
    if not path.is_file():
        if asked:
            facts.notes.append(f"{path.name}: there is no such file of probes")
        return
    whole = _mapping(path, facts.notes)
    facts.probe = _probe_rows(path, whole, facts.notes)
    tasks, about, notes = (whole.get(key) for key in ("tasks", "about", "notes"))
    facts.probed = [
        {**task, "task": str(task["task"])}
        for task in (tasks if isinstance(tasks, list) else ())
        if isinstance(task, Mapping) and "task" in task
    ]
    said = [about, *(notes if isinstance(notes, list) else ())]
    facts.probe_said = [one for one in said if isinstance(one, str)]


def _probe_rows(path: Path, whole: Mapping[str, Any], notes: list[str]) -> list[Mapping[str, Any]]:
    """Rows with `task`, `depth`, `score` and perhaps `spread`; others are left out with a note."""
    rows = whole.get("rows")
    kept = []
    for row in rows if isinstance(rows, list) else ():
        numbers = (
            isinstance(row, Mapping) and _is_depth(row.get("depth")) and is_number(row.get("score"))
        )
        if numbers and "task" in row:
            kept.append({**row, "task": str(row["task"])})
    if not kept or len(kept) < len(rows or ()):
        notes.append(f"{path.name}: {len(kept)} rows of probes can be read")
    return kept


def is_number(given: object) -> TypeGuard[int | float]:
    """Whether it is a number that can be drawn, as neither infinity nor NaN can."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return False
    return abs(given) <= LARGEST


def _is_depth(given: object) -> bool:
    """Whether it is a depth that an encoder may have."""
    return isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= DEEPEST


def _part(given: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = given.get(key)
    return found if isinstance(found, Mapping) else {}


def _json(path: Path, notes: list[str]) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        notes.append(f"{path.name} cannot be read ({error})")
        return None


def _mapping(path: Path, notes: list[str]) -> Mapping[str, Any]:
    found = _json(path, notes)
    if found is not None and not isinstance(found, dict):
        notes.append(f"{path.name} holds a {type(found).__name__} where an object is needed")
    return found if isinstance(found, dict) else {}


def _list(path: Path, notes: list[str]) -> list[Any]:
    found = _json(path, notes)
    if found is not None and not isinstance(found, list):
        notes.append(f"{path.name} holds a {type(found).__name__} where a list is needed")
    return found if isinstance(found, list) else []
