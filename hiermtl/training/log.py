"""The log of a run: one JSON object a line; also what trackers are told."""

import contextlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from hiermtl.errors import RunError


class Means:
    """The means of numbers over steps, added up where they are: nothing waits until they are taken.

    Steps that were left out count nothing.
    """

    def __init__(self) -> None:
        """Nothing is added yet."""
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}

    def __bool__(self) -> bool:
        """Whether any step has been added since the last time."""
        return bool(self._sums)

    def add(self, values: Mapping[str, Tensor], *, good: Tensor) -> None:
        """Those of a step, with 1 in `good`, or 0 where it was left out."""
        for name, value in values.items():
            kept = torch.where(good > 0, value, 0)
            self._sums[name] = self._sums[name] + kept if name in self._sums else kept
            self._counts[name] = self._counts[name] + good if name in self._counts else good

    def taken(self) -> dict[str, float]:
        """The means since the last time; makes a device wait."""
        counts = {name: float(count) for name, count in self._counts.items()}
        means = {n: float(value) / counts[n] for n, value in self._sums.items() if counts[n]}
        self._sums, self._counts = {}, {}
        return means


class Log:
    """Written by the main process alone; also passed to accelerate's trackers."""

    def __init__(self, path: Path, accelerator: Accelerator, *, start: int) -> None:
        """Appends to `path`, after cutting what a broken-off run wrote behind the step `start`."""
        self._path, self._accelerator = path, accelerator
        if accelerator.is_main_process:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                _cut(path, start)

    def write(self, *, step: int, **values: Any) -> None:
        """One entry at a step."""
        if not self._accelerator.is_main_process:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        except OSError as error:
            raise RunError(
                f"{self._path} cannot be written ({error.strerror}); make room and run again "
                f"with --resume"
            ) from error
        self._accelerator.log(scalars(values), step=step)


def _cut(path: Path, start: int) -> None:
    """Keeps the whole lines up to the step `start`.

    A process that was killed may have left half a line.
    """
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            if json.loads(line)["step"] <= start:
                kept.append(line + "\n")
    beside = path.with_name(f".{path.name}.partial")
    beside.write_text("".join(kept), encoding="utf-8")
    beside.replace(path)


def scalars(values: Mapping[str, Any]) -> dict[str, float]:
    """Names as trackers show them: `train/<task>/loss`, `eval/<task>/<metric>`.

    Of a sharing scheme's terms on weights `train/penalties/<term>`; of a task that is scored on
    several corpora, `eval/<task>/<metric>/<corpus>`.
    """
    out: dict[str, float] = {}
    for name, value in values.items():
        if name == "losses":
            out |= {f"train/{task}/loss": loss for task, loss in value.items()}
        elif name == "penalties":
            out |= {f"train/penalties/{term}": penalty for term, penalty in value.items()}
        elif name == "factors":
            out |= {f"train/{task}/factor": factor for task, factor in value.items()}
        elif name == "rows":
            data = {(row["task"], row["data"]) for row in value}
            often = Counter(task for task, _ in data)
            for row in value:
                place = f"eval/{row['task']}/{row['metric']}"
                out[f"{place}/{row['data']}" if often[row["task"]] > 1 else place] = row["score"]
        elif name == "main":
            out["eval/main"] = value
        elif isinstance(value, int | float):
            out[f"train/{name}"] = value
    return out
