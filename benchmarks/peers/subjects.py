"""What takes part: hiermtl, loops written by hand, and peers in environments of their own."""

import hashlib
import json
import math
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.corpus import Layers
from benchmarks.peers.environments import REQUIREMENTS, environment
from benchmarks.peers.process import Process, SubjectError

DRIVERS = Path(__file__).parent / "drivers"
OWN, BARE, LOOP, PEER = "hiermtl", "bare", "loop", "peer"
"""Kinds of rows; the bare encoder is measured beside the subjects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What has to be known of a subject to read its figures.

    `kind` is one of `OWN`, `LOOP` and `PEER`. `tasks` are those it can do. `precision` is of
    annotating and of training; `encoder` says how often a sentence passes the encoder in both.
    """

    name: str
    kind: str
    tasks: tuple[str, ...]
    precision: str
    batching: str
    encoder: str
    decoder: str


class Subject(ABC):
    """Trains models and annotates the dev sentences; seconds are of the work alone.

    `versions` are of its packages, `memory` the bytes that its own process held at most.
    """

    def __init__(self, about: About) -> None:
        """Takes what is told of it."""
        self.about = about
        self.versions: dict[str, str] = {}
        self.memory: int | None = None

    @abstractmethod
    def start(self) -> None:
        """What is done once. Raises SubjectError when it cannot take part."""

    @abstractmethod
    def briefly(self, tasks: Sequence[str], count: int) -> None:
        """A model of these tasks to annotate with, trained for an epoch of so many sentences."""

    @abstractmethod
    def train(self, tasks: Sequence[str], *, count: int, epochs: int, seed: int) -> float:
        """Seconds of training a new model, which then annotates. Raises SubjectError."""

    @abstractmethod
    def annotate(self, tasks: Sequence[str], *, predictions: bool) -> tuple[float, Layers | None]:
        """Seconds from words to results, and the results if wanted. Raises SubjectError."""

    @abstractmethod
    def close(self) -> None:
        """Frees what it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What every subject gets: files of sentences, the encoder's folder, threads."""

    train: Path
    dev: Path
    encoder: Path
    threads: int
    environments: Path
    limit: float
    memory: int


class Peer(Subject):
    """One from the package index, driven by a script in its own environment."""

    def __init__(self, about: About, key: str, given: Given) -> None:
        """Takes what is told of it, and the name of its files here."""
        super().__init__(about)
        self.key, self.given = key, given
        self.process: Process | None = None

    def start(self) -> None:
        """Makes the environment if need be, and starts the process."""
        given, requirements = self.given, REQUIREMENTS / f"{self.key}.txt"
        python = environment(self.key, given.environments, requirements)
        self.process = Process(
            [python, DRIVERS / f"drive_{self.key}.py"],
            log=given.environments / f"{self.key}.log",
            variables={
                "HF_HUB_OFFLINE": "1",
                "OMP_NUM_THREADS": str(given.threads),
                "PYTHONPATH": "",
                "TOKENIZERS_PARALLELISM": "false",
            },
            memory=given.memory,
        )
        answer = self._ask(
            "start",
            encoder=str(given.encoder),
            train=str(given.train),
            dev=str(given.dev),
            threads=given.threads,
        )
        self.versions = dict(answer.get("versions", {}))

    def briefly(self, tasks: Sequence[str], count: int) -> None:
        """Kept beside the environments, so that the next run need not train it."""
        folder = self.given.environments / "models" / self._digest(tasks, count)
        done = folder / "done"
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            asked = {"tasks": list(tasks), "count": count, "epochs": 1, "seed": 0}
            self._ask("train", **asked, folder=str(folder))
            done.touch()
        self._ask("load", tasks=list(tasks), folder=str(folder))

    def train(self, tasks: Sequence[str], *, count: int, epochs: int, seed: int) -> float:
        """Seconds by the clock inside the driver."""
        folder = self.given.environments / "models" / f"{self.key}-timed-{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        asked = {"tasks": list(tasks), "count": count, "epochs": epochs, "seed": seed}
        try:
            return seconds_in(self._ask("train", **asked, folder=str(folder)))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def annotate(self, tasks: Sequence[str], *, predictions: bool) -> tuple[float, Layers | None]:
        """Seconds by the clock inside the driver."""
        answer = self._ask("annotate", tasks=list(tasks), predictions=predictions)
        found = answer.get("predictions") if predictions else None
        if predictions and (not isinstance(found, dict) or set(found) != set(tasks)):
            told = ", ".join(found) if isinstance(found, dict) else repr(found)
            raise SubjectError(f"predicts {told[:60]} where {', '.join(tasks)} were asked for")
        return seconds_in(answer), found

    def close(self) -> None:
        """Ends the process."""
        if self.process is not None:
            self.process.close()

    def _ask(self, do: str, **given: Any) -> dict[str, Any]:
        if self.process is None:
            raise SubjectError("was not started")
        answer = self.process.ask(do, seconds=self.given.limit, **given)
        memory = answer.get("memory")
        self.memory = memory if isinstance(memory, int) else self.memory
        return answer

    def _digest(self, tasks: Sequence[str], count: int) -> str:
        """A name for a kept model, which changes with all that makes it another one."""
        lines = self.given.train.read_text(encoding="utf-8").splitlines()[:count]
        made = [(REQUIREMENTS / f"{self.key}.txt").read_text(encoding="utf-8")]
        drivers = (f"drive_{self.key}.py", "serve.py")
        made += [(DRIVERS / name).read_text(encoding="utf-8") for name in drivers]
        whole = json.dumps([made, lines, list(tasks), str(self.given.encoder)])
        return f"{self.key}-{'-'.join(tasks)}-{hashlib.sha256(whole.encode()).hexdigest()[:12]}"


def seconds_in(answer: Mapping[str, Any]) -> float:
    """The seconds of an answer.

    Raises:
        SubjectError: There are none, or they are no time.
    """
    found = answer.get("seconds")
    if not isinstance(found, int | float) or not math.isfinite(found) or found <= 0:
        raise SubjectError(f"says that the work took {found!r} seconds")
    return float(found)
