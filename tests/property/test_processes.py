"""Training in two processes is training in one: the same gradients at every step.

Source of the bounds: the project's own; see `hiermtl.training.replicas`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.fsdp import CPUOffloadPolicy
from torch.distributed.tensor import DTensor

from hiermtl.errors import RecipeError, RunError
from hiermtl.sharing import SHARING
from hiermtl.sharing.relationship import Relationship
from hiermtl.training import Sampling, replicas, shards
from hiermtl.training.gradients import WHOLE
from hiermtl.training.gradients import Gradients as Apart
from hiermtl.training.shards import make_shards
from hiermtl.training.step import Stepper, TrainingStep
from hiermtl.training.world import begin_alike, of_first
from tests.processes import Processes
from tests.property.contract_schemes import (
    Columns,
    Held,
    LabelEmbeddings,
    Splitting,
    Undeclared,
)
from tests.unit.training.runs import MIXED, settings, train
from tests.worlds import make_world

STEPS = 50
FEW = {"max_steps": 12}
BOUND = 1e-9
SINGLE_BOUND = 1e-5

NEWCOMERS = {scheme.name: scheme for scheme in (Columns, Held, LabelEmbeddings, Splitting)}
OPTIONS = {
    "adaptive": {"every": 10, "least": 3, "cost": 0.001},
    # Covariances are estimated anew from the weights, twice on the way.
    "relationship": {"every": 20, "units": 6, "strength": 0.1},
    "splitting": {"plan": {"10": [2, "dep"], "25": [1, "ner"]}},
}
SCHEMES = (*SHARING, *NEWCOMERS)
USUAL = (("mixed", 4), ("mixed", 1), ("drawn", 4))
LONG = ("adaptive", "columns", "sluice")
"""Schemes whose pieces take longest: by default they have one."""
RULES = {
    "mixed": Sampling(),
    "drawn": Sampling("drawn"),
    "phases": Sampling("phases", successive=1.0, successive_heads=1.0),
}

Gradients = list[dict[str, np.ndarray | None]]


def gradients(
    scheme: str,
    rule: str,
    *,
    family: str = "bilstm",
    each_for_itself: bool = False,
    each_combines: bool = False,
    short: int = 0,
    dtype: str = "fp64",
    table: int = replicas.TABLE,
    alien: bool = False,
    lora_rank: int = 0,
    stale: bool = False,
    **changes: Any,
) -> Gradients:
    """Of every weight at every step, as a process sees them before the optimizer moves."""
    found: Gradients = []

    take = Stepper.take

    def watched(stepper: Stepper, *given: Any, **options: Any) -> Any:
        losses = take(stepper, *given, **options)
        named = stepper.replicas.trained.named_parameters()
        found.append({n: _numbers(p.grad) for n, p in named})
        return losses

    options = {"sampling": RULES[rule], "precision": dtype, "clip": 0.0, **changes}
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        for added in (*NEWCOMERS.values(), Undeclared):
            patch.setitem(SHARING, added.name, added)
        patch.setattr(Stepper, "take", watched)
        patch.setattr(replicas, "TABLE", table)
        if alien:
            patch.setattr(replicas._Rows, "send", _every_row_is_mine)
        if short and dist.is_initialized() and dist.get_rank() == 1:
            patch.setattr(TrainingStep, "forward", _out_of_memory(short))
        if each_for_itself:
            patch.setattr(TrainingStep, "forward", _per_process)
        if stale and dist.is_initialized() and dist.get_rank() == 0:
            patch.setattr(Relationship, "sweep", lambda *_: None)
        if each_combines:
            patch.setattr(Stepper, "_join", _combined_before)
        sharing = {"name": scheme, **OPTIONS.get(scheme, {})}
        adapter = {"name": "lora", "rank": lora_rank} if lora_rank else None
        world = make_world(family, sharing, dtype=torch.float32, adapter=adapter)
        train(Path(folder), world=world, annotated=MIXED, **options)
    return found


def _every_row_is_mine(self: Any) -> None:
    """Asks nobody which rows have gradients, and takes the first two for all."""
    self.reached = torch.zeros(len(self.weight) + 1, dtype=torch.int32)
    self.reached[:2] = self.reached[-1] = 1
    self.work = dist.all_reduce(torch.zeros(1), async_op=True)


def _numbers(grad: Tensor | None) -> np.ndarray | None:
    if grad is None:
        return None
    return (grad.full_tensor() if isinstance(grad, DTensor) else grad).numpy().copy()


def _out_of_memory(times: int) -> Callable[..., Any]:
    """Forward on a device whose memory runs out in every second pass, so many times."""
    right, calls = TrainingStep.forward, []

    def forward(*given: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) % 2 == 0 and len(calls) <= 2 * times:
            raise torch.OutOfMemoryError
        return right(*given, **options)

    return forward


def _per_process(
    self: TrainingStep, batch: Any, items: Mapping[str, int], **_: Any
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What wrappers make of a loss that is a mean: the mean over processes of their own means."""
    losses = self.model.losses(batch, self.model(batch))
    own = {task: _items(batch, task) for task in losses}
    means = [loss / own[task] / 2 for task, loss in losses.items() if own[task]]
    parts = {WHOLE: torch.stack(means).sum()} if means else {}
    return parts, {task: loss.detach() for task, loss in losses.items()}


def _combined_before(self: Stepper, gradients: Apart, tasks: Sequence[str], *, step: int) -> None:
    """Each process combines the gradients that it has, and the answers are added up."""
    combine = self.replicas.trained.balancer.combine
    gradients.join(tasks, lambda rows, own: combine(rows, own, step=step))
    with self.replicas.adding_up(tasks):
        pass


def _items(batch: Any, task: str) -> int:
    gold = batch.gold[task]
    return int((gold[min(gold)] >= 0).sum())


def distances(one: Gradients, other: Gradients) -> list[float]:
    """At each step, the largest difference as a share of the whole gradient's norm."""
    assert len(one) == len(other)
    found = []
    for left, right in zip(one, other, strict=True):
        assert left.keys() == right.keys()
        whole = np.sqrt(sum(float((g**2).sum()) for g in left.values() if g is not None))
        apart = 0.0
        for name, grad in left.items():
            assert (grad is None) == (right[name] is None), name
            if grad is not None:
                apart = max(apart, float(np.abs(grad - right[name]).max()))
        found.append(apart / whole if whole else apart)
    return found


alone = cache(gradients)
"""In this process, which has no other."""


def usual(place: int, scheme: str) -> tuple[str, int]:
    """What a scheme is tested with by default."""
    return ("mixed", 1) if scheme in LONG else USUAL[place % len(USUAL)]


@pytest.mark.parametrize(
    ("scheme", "rule", "accumulation"),
    [
        pytest.param(
            scheme,
            rule,
            pieces,
            # By default every scheme once, pieces and drawn tasks by turns: each takes seconds.
            marks=() if (rule, pieces) == usual(place, scheme) else pytest.mark.slow,
        )
        for place, scheme in enumerate(SCHEMES)
        for rule in ("mixed", "drawn")
        for pieces in (1, 4)
    ],
)
def test_two_processes_make_the_gradients_of_one(
    two_processes: Processes, scheme: str, rule: str, accumulation: int
) -> None:
    whole = alone(scheme, rule, epochs=99, max_steps=STEPS)
    options = {"accumulation": accumulation, "epochs": 99, "max_steps": STEPS}
    first, second = two_processes(gradients, scheme, rule, **options)
    assert len(whole) == STEPS
    assert any(grad is None for step in whole for grad in step.values()), "nothing is ever idle"
    assert max(distances(whole, first)) <= BOUND
    assert distances(first, second) == [0.0] * STEPS, "processes hold different gradients"
    if scheme == "adaptive" and rule == "mixed":
        assert len({len(step) for step in whole}) > 1, "it does not split"
    if scheme == "splitting":
        assert len({len(step) for step in whole}) == 3, "it does not split"


@pytest.mark.parametrize(
    "options",
    [
        {"rule": "phases", "scheme": "joint_many", "balancing": "uncertainty"},
        {"rule": "mixed", "family": "bert", "recompute_blocks": True},
        {"rule": "mixed", "balancing": "torchjd.upgrad", "accumulation": 4, **FEW},
        {"rule": "mixed", "scheme": "held", "balancing": "torchjd.pcgrad", **FEW},
        {"rule": "mixed", "scheme": "splitting", "balancing": "torchjd.gradvac", **FEW},
        {"rule": "mixed", "scheme": "joint_many", "balancing": "torchjd.aligned_mtl", **FEW},
        # More processes than sentences, so that some make no pass.
        {"rule": "mixed", "balancing": "torchjd.upgrad", "tokens_per_batch": 3},
        {"rule": "drawn", "scheme": "held", "balancing": "torchjd.mgda", **FEW},
        {"rule": "mixed", "family": "modernbert", "flat": False},
        # More processes than sentences, so that some make no pass.
        {"rule": "mixed", "tokens_per_batch": 3, "accumulation": 2},
        {"rule": "drawn", "scheme": "held", "tokens_per_batch": 3},
        # Memory runs out in one process alone.
        {"rule": "mixed", "accumulation": "auto", "tokens_per_batch": 80, "short": 3},
        # Every table of vectors is sent by rows.
        {"rule": "mixed", "family": "bert", "table": 0},
        {"rule": "drawn", "scheme": "single", "table": 0, "accumulation": 2},
        {"rule": "mixed", "tokens_per_batch": 3, "table": 0},
        pytest.param(
            {"rule": "mixed", "family": "bert", "scheme": "cross_stitch", "lora_rank": 2},
            marks=pytest.mark.slow,
        ),
        {"rule": "drawn", "family": "bert", "lora_rank": 2, "shard": True},
        pytest.param({"rule": "mixed", "family": "bert", "compile": True}, marks=pytest.mark.slow),
        pytest.param(
            {"rule": "mixed", "family": "bert", "compile": True, "shard": True},
            marks=pytest.mark.slow,
        ),
    ],
    ids=[
        "phases",
        "recomputed",
        "gradients of tasks",
        "beside terms on weights",
        "while it splits",
        "through labels",
        "idle gradients of tasks",
        "gradients of one task",
        "padded",
        "idle",
        "idle and held",
        "short of memory",
        "rows",
        "rows drawn",
        "rows idle",
        "adapted copies",
        "adapted parts",
        "compiled",
        "compiled parts",
    ],
)
def test_so_they_do_whatever_else_is_asked(
    two_processes: Processes, options: dict[str, Any]
) -> None:
    given = {"scheme": "low_supervision", "epochs": 99, "max_steps": STEPS, **options}
    first, second = two_processes(gradients, **given)
    assert max(distances(alone(**{**given, "shard": False}), first)) <= BOUND
    assert distances(first, second) == [0.0] * given["max_steps"]


PARTS = {("joint_many", "mixed", 4), ("low_supervision", "drawn", 1)}
SHARDED = ("hard", "joint_many", "label_embeddings", "low_supervision", "single")


@pytest.mark.parametrize(
    ("scheme", "rule", "accumulation"),
    [
        pytest.param(
            scheme,
            rule,
            pieces,
            # Of these the others are taken to be like: each takes some seconds.
            marks=() if (scheme, rule, pieces) in PARTS else pytest.mark.slow,
        )
        for scheme in SHARDED
        for rule in ("mixed", "drawn", "phases")
        for pieces in (1, 4)
    ],
)
def test_parts_of_weights_make_the_gradients_of_whole_ones(
    two_processes: Processes, scheme: str, rule: str, accumulation: int
) -> None:
    """Of ragged depths and partly annotated sentences, through blocks that all must run alike."""
    options: dict[str, Any] = {"family": "bert", "epochs": 99, "max_steps": STEPS}
    whole = alone(scheme, rule, **options)
    first, _ = two_processes(
        gradients, scheme, rule, shard=True, accumulation=accumulation, **options
    )
    assert any(grad is None for step in whole for grad in step.values()), "nothing is ever idle"
    assert max(distances(whole, first)) <= BOUND


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_first_gradient_in_single_precision(two_processes: Processes, scheme: str) -> None:
    options: dict[str, Any] = {"dtype": "fp32", "max_steps": 1}
    first, _ = two_processes(gradients, scheme, "mixed", **options)
    assert max(distances(alone(scheme, "mixed", **options), first)) <= SINGLE_BOUND


def test_means_per_process_would_make_others(two_processes: Processes) -> None:
    """The control: what a loss that is normalised in each process gives."""
    options = {"epochs": 99, "max_steps": STEPS}
    whole = alone("low_supervision", "mixed", **options)
    first, _ = two_processes(gradients, "low_supervision", "mixed", each_for_itself=True, **options)
    apart = distances(whole, first)
    assert apart[0] > 100 * SINGLE_BOUND
    assert min(apart) > 100 * BOUND


def test_covariances_that_one_process_does_not_estimate_would_make_others(
    two_processes: Processes,
) -> None:
    """The control: that they are estimated within these steps, and what comes of it is seen."""
    every = OPTIONS["relationship"]["every"]
    options: dict[str, Any] = {"epochs": 99, "max_steps": every + 2}
    whole = alone("relationship", "mixed", **options)
    first, _ = two_processes(gradients, "relationship", "mixed", stale=True, **options)
    apart = distances(whole, first)
    assert max(apart[:every]) <= BOUND
    assert min(apart[every:]) > 1e4 * BOUND


def test_rows_that_others_reached_are_missed_where_nobody_asks(two_processes: Processes) -> None:
    options: dict[str, Any] = {"epochs": 99, "max_steps": STEPS, "table": 0}
    whole = alone("low_supervision", "mixed", **options)
    first, _ = two_processes(gradients, "low_supervision", "mixed", alien=True, **options)
    assert min(distances(whole, first)) > 100 * BOUND


def test_gradients_that_each_process_combines_would_be_others(two_processes: Processes) -> None:
    """The control: what is not linear must come behind the sum over processes."""
    options = {"balancing": "torchjd.upgrad", "accumulation": 4, "epochs": 99, **FEW}
    whole = alone("low_supervision", "mixed", **options)
    first, _ = two_processes(gradients, "low_supervision", "mixed", each_combines=True, **options)
    assert np.median(distances(whole, first)) > 1e6 * BOUND
    plain = alone("low_supervision", "mixed", **{**options, "balancing": "static"})
    assert np.median(distances(whole, plain)) > 1e6 * BOUND


def test_a_gradient_that_no_task_is_known_to_have_ends_the_run(two_processes: Processes) -> None:
    """It would not be added up, and processes would drift apart."""
    with pytest.raises(AssertionError, match=r"sharing\.alpha\.1 has a gradient of .*`owned`"):
        two_processes(gradients, "undeclared", "mixed", max_steps=1)


class Spoilt(Held):
    """A term that is no number from the second step on, or whose gradient is none."""

    name = "spoilt"
    slope: ClassVar[bool] = False
    bad = False

    def penalties(self, stack: Any, heads: Any) -> dict[str, Tensor]:
        term = 0 * next(stack.parameters()).square().sum()
        wrong = (term.sqrt() if self.slope else term * np.nan) if self.bad else term
        return {**super().penalties(stack, heads), "odd": wrong}

    def after_step(self, *_: Any, **__: Any) -> None:
        self.bad = True


def said(slope: bool) -> tuple[str, list[str]]:
    """What a run ends with, and what its first process wrote of the first step left out."""
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setitem(SHARING, "spoilt", Spoilt)
        patch.setattr(Spoilt, "slope", slope)
        world = make_world("bilstm", {"name": "spoilt"}, dtype=torch.float32)
        with pytest.raises(RunError) as error:
            train(Path(folder), world=world, annotated=MIXED, max_skipped=2, precision="fp64")
        file = Path(folder) / "skipped" / "step-2.json"
        found = json.loads(file.read_text(encoding="utf-8"))["penalties"] if file.exists() else []
        return str(error.value).replace(folder, ""), found


@pytest.mark.parametrize("slope", [False, True])
def test_all_are_told_what_only_the_first_can_know(two_processes: Processes, slope: bool) -> None:
    """Terms on weights are computed in one process; all leave the step out and name the term."""
    (one, wrote), (other, nothing) = two_processes(said, slope)
    what = "the gradient of the term" if slope else "the term"
    assert f"up to step 3, are no numbers: at step 3 {what} 'odd' on weights is no number" in one
    assert one == other
    assert wrote == ([] if slope else ["odd"])
    assert nothing == []


def begun_with(same: bool) -> float:
    """What a process sees of a weight after it has begun with one of its own."""
    world = make_world("bilstm")
    rank = dist.get_rank()
    weight = next(world.model.parameters())
    with torch.no_grad():
        weight.fill_(rank + 5)
    begin_alike(world.model, np.arange(3), "settings" if same else rank)
    assert of_first(rank + 7.0) == 7
    return float(weight.max())


def test_all_begin_with_the_weights_of_the_first(two_processes: Processes) -> None:
    assert two_processes(begun_with, True) == [5, 5]


def test_processes_that_were_given_other_things_do_not_begin(two_processes: Processes) -> None:
    with pytest.raises(
        AssertionError, match="process 1 has another model, other settings, other data or"
    ):
        two_processes(begun_with, False)


@pytest.mark.parametrize(
    ("configured", "offload"), [({}, False), ({"FSDP_OFFLOAD_PARAMS": "true"}, True)]
)
def test_a_configuration_of_accelerate_asks_for_parts(
    two_processes: Processes, configured: dict[str, str], offload: bool
) -> None:
    """As `accelerate launch` tells of it; on a processor too, where accelerate passes it over."""
    told = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", **configured}
    assert two_processes(held_in_parts, told) == [(True, offload)] * 2


def held_in_parts(told: Mapping[str, str], **changes: Any) -> tuple[bool, bool]:
    """Whether weights would become parts, and these lie in the processor's memory."""
    seen: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        patch.setattr(shards, "fully_shard", lambda _, **options: seen.append(options))
        made = make_shards(TrainingStep(make_world("bert").model), settings(**changes))
    offload = all(isinstance(options["offload_policy"], CPUOffloadPolicy) for options in seen)
    return made is not None and bool(seen), offload


@pytest.mark.parametrize(
    ("told", "changes", "says"),
    [
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "1"}, {}, "fsdp_version 1; allowed is 2"),
        ({}, {"shard": True, "accumulation": "auto"}, "training.accumulation is auto"),
    ],
)
def test_what_cannot_be_done_with_parts_is_refused(
    told: dict[str, str], changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(RecipeError, match=says):
        held_in_parts(told, **changes)


@pytest.mark.parametrize("scheme", ["held", "splitting"])
def test_terms_and_changes_of_whole_weights_are_refused(
    two_processes: Processes, scheme: str
) -> None:
    with pytest.raises(AssertionError, match=f"{scheme}.*has terms on whole weights"):
        two_processes(gradients, scheme, "mixed", shard=True, max_steps=1)


def test_one_process_holds_no_parts(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"training\.shard is true, but there is one process"):
        train(tmp_path, shard=True)
