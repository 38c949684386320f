"""The variants, the run over them, and the result as plain data."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.sharing.activations import Facts, kept
from benchmarks.sharing.arms import ARMS, TOP, Subject, Training
from benchmarks.sharing.formulas import size
from benchmarks.sharing.stacked import WAYS, Steps
from benchmarks.timing import Variant, interleave
from hiermtl.model import HierarchicalModel
from hiermtl.precision import has_bf16
from hiermtl.records import Batch
from hiermtl.sharing import Sharing
from hiermtl.tokens import Collator
from hiermtl.training.loop import make_plan
from hiermtl.training.step import TrainingStep

ALONE = "dep"
"""The task of models with one task: the dearest head, so that what a scheme adds weighs least."""

COPIES = 4

PIECES = (1024, 128)
"""Sizes of a step, in pieces, at which columns are computed both ways if none are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run measures: `steps` of `sentences` of the corpus in each of so many rounds.

    Columns are computed both ways at each number of `pieces`; with `columns_only` that is all.
    """

    data: Path
    sentences: int
    steps: int
    rounds: int
    precision: str
    device: torch.device
    pieces: Sequence[int] = PIECES
    columns_only: bool = False


def measure(name: str, options: Options, say: Callable[[str], object]) -> dict[str, Any]:
    """One encoder: bytes and seconds of all arms, and of columns computed both ways."""
    subject = Subject(name, options.data, sentences=options.sentences, precision=options.precision)
    found_both_ways = [
        row
        for pieces in options.pieces
        for row in both_ways(subject, options, pieces=pieces, say=say)
    ]
    known = {
        "encoder": name,
        "tasks": {task: given["depth"] for task, given in subject.tasks.items()},
        "both_ways": found_both_ways,
    }
    if options.columns_only:
        return known | {"arms": {}, "columns": {}}
    arms: dict[str, dict[str, Any]] = {arm: {} for arm in ARMS}
    for arm, found in arms.items():
        model = subject.model(arm)
        training = Training(subject, model, device=options.device)
        found |= {"depths": ARMS[arm].depths, "parameters": model.num_parameters()}
        found["bytes"] = held(training)
        if options.device.type == "cpu":
            found["kept"] = activations(training, subject)
        say(f"{name}, {arm}: {found['parameters']:,} weights")
    together = _times(subject, options, say, tasks=None)
    alone = _times(subject, options, say, tasks=[ALONE])
    for arm, found in arms.items():
        found |= {"seconds": together[arm], "alone": alone[arm], "terms": together.get(_terms(arm))}
    return known | {
        "arms": arms,
        "columns": {task: together[task] for task in subject.tasks},
    }


def held(training: Training) -> dict[str, dict[str, int]]:
    """Bytes of weights, gradients and optimizer after a step, and the same by formula."""
    training.step(0)
    found = in_training(training.model, training.optimizer)
    training.optimizer.zero_grad(set_to_none=True)
    return {"measured": found, "formula": size(training.model.config).bytes()}


def in_training(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, int]:
    """Bytes of weights, of their gradients, and of what the optimizer remembers of them."""
    weights = list(model.parameters())
    return {
        "weights": _bytes(weights),
        "gradients": _bytes(w.grad for w in weights if w.grad is not None),
        "optimizer": _bytes(x for own in optimizer.state.values() for x in own.values()),
    }


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.itemsize for tensor in tensors)


def activations(training: Training, subject: Subject) -> dict[str, int]:
    """Bytes that autograd saves of a pass over sentences with all tasks, and by formula."""
    model, examples = training.model, subject.examples
    chosen = training.plan.step(0)
    every = [examples.items[task][chosen] > 0 for task in model.hierarchy.names]
    batch = training.collate(list(examples.fetch(chosen[np.all(every, axis=0)].tolist())))
    half = subject.settings.precision == "bf16"
    found = saved(training.stepper.replicas.trained, batch, half=half)
    return {"measured": found, "formula": kept(model.config, Facts.of(batch), half=half)}


def saved(trained: TrainingStep, batch: Batch, *, half: bool) -> int:
    """Bytes of all storages that autograd saves of a pass in training, but for weights."""
    own = {x.untyped_storage().data_ptr() for x in (*trained.parameters(), *trained.buffers())}
    seen: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in own:
            # Held, lest its place in memory be given to another.
            seen[place] = tensor
        return tensor

    trained.train()
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast(batch.layout.device.type, torch.bfloat16, enabled=half),
    ):
        trained(batch, dict.fromkeys(batch.annotated, 1), step=0, once=True)
        return sum(tensor.untyped_storage().nbytes() for tensor in seen.values())


def _terms(arm: str) -> str:
    return f"{arm}: terms on weights"


def _times(
    subject: Subject,
    options: Options,
    say: Callable[[str], object],
    *,
    tasks: Sequence[str] | None,
) -> dict[str, list[float]]:
    """Seconds of each arm in each round; of all tasks also those of each task's column alone.

    And of what schemes do with weights alone: terms, their gradients, and updates behind the step.
    """
    precision = options.precision
    variants = []

    def add(name: str, model: HierarchicalModel) -> Training:
        training = Training(subject, model, device=options.device)
        run = partial(training.run, options.steps)
        variants.append(Variant(name, "step", precision, run, 0, 0))
        return training

    for arm in ARMS:
        depths = None if tasks is None else TOP
        training = add(arm, subject.model(arm, tasks=tasks, depths=depths))
        if tasks is None and _on_weights(training.model.sharing):
            terms = partial(training.on_weights, options.steps)
            ready = training.ready
            variants.append(Variant(_terms(arm), "terms", precision, terms, 0, 0, prepare=ready))
    for task in subject.tasks if tasks is None else ():
        add(task, subject.model("low_supervision", tasks=[task], depths=TOP))
    found = interleave(variants, options.rounds, device=options.device, say=say)
    return {name: [own / options.steps for own in seconds] for name, seconds in found.items()}


def _on_weights(scheme: Sharing) -> bool:
    kind = type(scheme)
    return kind.penalties is not Sharing.penalties


def both_ways(
    subject: Subject, options: Options, *, pieces: int, say: Callable[[str], object]
) -> list[dict[str, Any]]:
    """Seconds of a step of columns over one embedding, one by one and as stacked products."""
    device = options.device
    model = subject.model("single", tasks=[ALONE], depths=TOP)
    settings = replace(subject.settings, tokens_per_batch=pieces)
    plan = make_plan(model, subject.tokenizer, subject.examples, settings)
    collate = Collator(subject.tokenizer, model.routes.depths(), device=device)
    batches = [
        collate(list(subject.examples.fetch(plan.step(step).tolist())))
        for step in range(options.steps)
    ]
    embedding = subject.encoder.embedding().to(device).train()
    precisions = ["fp32", *(["bf16"] if has_bf16(device) else [])]
    variants, rows = [], []
    for precision in precisions:
        for way, make in WAYS.items():
            depths = [
                make([subject.encoder.block(depth) for _ in range(COPIES)]).to(device)
                for depth in range(1, subject.encoder.blocks + 1)
            ]
            steps = Steps(embedding, depths, batches, columns=COPIES, half=precision == "bf16")
            name = f"{pieces} pieces, {precision}, {way}"
            variants.append(Variant(name, way, precision, steps.run, 0, 0))
            rows.append({"pieces": pieces, "precision": precision, "way": way, "name": name})
    found = interleave(variants, options.rounds, device=device, say=say)
    return [
        {**row, "seconds": [own / options.steps for own in found[row.pop("name")]]} for row in rows
    ]


def shares(arms: Mapping[str, Mapping[str, Any]], arm: str) -> list[float] | None:
    """The part of each round's step that goes to weights alone; `None` for schemes without."""
    terms = arms[arm]["terms"]
    if terms is None:
        return None
    return [own / whole for own, whole in zip(terms, arms[arm]["seconds"], strict=True)]
