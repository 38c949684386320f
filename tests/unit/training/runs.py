"""Training of small worlds.

Sentences enough for several steps, and a loop that can be cut short.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.optim import SGD, Optimizer

from hiermtl.model import HierarchicalModel
from hiermtl.training import (
    Evaluation,
    Examples,
    History,
    MemoryExamples,
    Settings,
    TrainingStep,
    make_accelerator,
    train_model,
)
from hiermtl.training.balancing import Balancer
from hiermtl.training.guard import Guard
from hiermtl.training.leash import Leash
from hiermtl.training.progress import Progress
from hiermtl.training.replicas import Replicas
from hiermtl.training.step import Stepper
from tests.worlds import ALL, World, make_world

QUIET = partial(Progress, quiet=True)
MIXED: tuple[tuple[str, ...], ...] = (ALL, ("upos",), ("ner",), ("upos", "dep"), ())
"""A partially annotated mix; the last kind of sentence has no gold at all."""


class Broken(Exception):
    """Stands for the end of a process in the middle of a run."""


def sentences(count: int = 40, *, seed: int = 0) -> list[tuple[str, ...]]:
    random = np.random.default_rng(seed)
    letters = list("abcdefghijklmnopqrst")
    return [
        tuple(
            "".join(random.choice(letters, random.integers(1, 4)))
            for _ in range(random.integers(1, 12))
        )
        for _ in range(count)
    ]


def examples_of(
    world: World, *, annotated: Sequence[Iterable[str]] = (ALL,), count: int = 40
) -> MemoryExamples:
    return MemoryExamples(world.examples(sentences(count), annotated))


def settings(**changes: Any) -> Settings:
    given: dict[str, Any] = {
        "precision": "fp32",
        "epochs": 2,
        "tokens_per_batch": 40,
        "warmup": 2,
        "lr": 1e-2,
        "lr_heads": 1e-2,
    }
    return Settings(**given | changes)


def train(
    folder: Path,
    *,
    world: World | None = None,
    family: str = "bilstm",
    dropout: float = 0.0,
    annotated: Sequence[Iterable[str]] = MIXED,
    evaluate: Callable[[HierarchicalModel], Evaluation] | None = None,
    resume: bool = False,
    progress: Callable[..., Progress] = QUIET,
    seed: int = 0,
    **changes: Any,
) -> tuple[World, History]:
    """A small world after training, and how it went."""
    world = world or fresh(family, dropout=dropout, seed=seed)
    history = train_model(
        world.model,
        world.tokenizer,
        examples_of(world, annotated=annotated),
        settings(seed=seed, **changes),
        folder=folder,
        evaluate=evaluate,
        resume=resume,
        progress=progress,
    )
    return world, history


def fresh(family: str = "bilstm", *, dropout: float = 0.0, seed: int = 0, **options: Any) -> World:
    import torch

    given: dict[str, Any] = {"dtype": torch.float32, "spread": 0.0, "dropout": dropout}
    return make_world(family, seed=seed, **given | options)


def stepper(
    model: HierarchicalModel,
    examples: Examples,
    optimizer: Optimizer | None = None,
    *,
    balancer: Balancer | None = None,
    leash: Leash | None = None,
    **changes: Any,
) -> Stepper:
    """Steps of the loop, unclipped, whose optimizer stands still unless one is given."""
    trained = TrainingStep(model, balancer)
    return Stepper(
        Replicas(trained),
        optimizer or SGD(trained.parameters(), lr=0.0),
        make_accelerator(),
        Guard(model.device),
        examples,
        settings(**{"clip": 0.0, **changes}),
        leash,
    )


def weights(world: World) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in world.model.state_dict().items()}


def scripted(mains: Sequence[float]) -> Callable[[HierarchicalModel], Evaluation]:
    """An evaluation that gives these numbers one after the other."""
    waiting = iter(mains)
    return lambda model: Evaluation(next(waiting), [], "")


class EveryStep(Progress):
    """Quiet, but asks for the losses of each step, and breaks off after `until` steps."""

    def __init__(self, total: int, *, start: int = 0, until: int | None = None) -> None:
        super().__init__(total, start=start, quiet=True)
        self.until, self.done = until, start

    def due(self) -> bool:
        return True

    def advance(self, words: int) -> None:
        super().advance(words)
        self.done += 1
        if self.until is not None and self.done > self.until:
            raise Broken


def entries(folder: Path) -> list[dict[str, Any]]:
    """The log, read by a parser that knows no number beyond JSON's."""
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line, parse_constant=_no_number) for line in lines]


def losses(folder: Path) -> list[tuple[int, Mapping[str, float]]]:
    return [(entry["step"], entry["losses"]) for entry in entries(folder) if "losses" in entry]


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
