"""Steps whose tasks are weighed by their gradients, against gradients of single losses.

Those are computed one by one, without the loop, and put together by the package itself.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hiermtl.errors import RecipeError, RunError
from hiermtl.sharing import SHARING
from hiermtl.tokens import Collator
from hiermtl.training import Sampling, Settings
from hiermtl.training.balancing import Balancer, make_balancer
from hiermtl.training.guard import START_SCALE, Guard
from hiermtl.training.shards import Shards
from hiermtl.training.step import TrainingStep
from tests.property.contract_schemes import Held
from tests.unit.training.runs import (
    MIXED,
    Broken,
    EveryStep,
    entries,
    examples_of,
    fresh,
    stepper,
    train,
    weights,
)
from tests.unit.training.test_aggregators import options_of
from tests.worlds import World, assert_same, make_world, theta

aggregation = pytest.importorskip("torchjd.aggregation")

Found = dict[str, Tensor]
DETERMINATE = ("sum", "mean", "mgda", "upgrad", "dualproj", "imtlg", "aligned_mtl", "config")
MADE = {
    "sum": aggregation.Sum,
    "mean": aggregation.Mean,
    "mgda": aggregation.MGDA,
    "upgrad": aggregation.UPGrad,
    "dualproj": aggregation.DualProj,
    "imtlg": aggregation.IMTLG,
    "aligned_mtl": aggregation.AlignedMTL,
    "config": aggregation.ConFIG,
}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "soft_l2": {"strength": 0.3},
    "relationship": {"strength": 0.3},
    "adaptive": {"least": 3},
}


def asked(name: str, **options: Any) -> dict[str, Any]:
    """Settings of a balancing."""
    given = options_of(name.removeprefix("torchjd.")) if "." in name else {}
    return {"balancing": name, "balancing_options": {**given, **options}}


def world_of(scheme: str, *, family: str = "bilstm", dtype: torch.dtype = torch.float64) -> World:
    world = make_world(family, {"name": scheme, **OPTIONS.get(scheme, {})}, dtype=dtype)
    world.model.sharing.begin(world.model.stack, world.model.heads)
    return world


def made_for(world: World, name: str, **options: Any) -> Balancer:
    weights = {task.name: task.weight for task in world.model.hierarchy}
    return make_balancer(Settings(**asked(name, **options)), weights)


def gradients(
    world: World,
    name: str,
    *,
    annotated: Sequence[Sequence[str]] = MIXED,
    count: int = 20,
    task: str | None = None,
    guard: Guard | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
    **changes: Any,
) -> Found:
    """Of all parameters after a step."""
    world.model.zero_grad(set_to_none=True)
    examples = examples_of(world, annotated=annotated, count=count)
    steps = stepper(world.model, examples, balancer=made_for(world, name, **options), **changes)
    if guard is not None:
        steps.guard = guard
    collate = Collator(world.tokenizer, world.model.routes.depths())
    chosen = np.arange(count)
    if task is not None:
        chosen = np.flatnonzero(examples.items[task])
    steps.take(collate, chosen, step=5, task=task)
    return {n: p.grad.clone() for n, p in world.parameters().items() if p.grad is not None}


def single(world: World, chosen: np.ndarray | None = None) -> dict[str, Found]:
    """The gradient of each task's loss per item, and under "" that of terms on weights.

    Of the whole step, or the part that chosen examples have in it.
    """
    examples = examples_of(world, annotated=MIXED, count=20)
    collate = Collator(world.tokenizer, world.model.routes.depths())
    batch = collate(examples.fetch(list(range(20) if chosen is None else chosen)))
    items = {task: int(counts.sum()) for task, counts in examples.items.items()}
    world.model.train()
    found = {}
    there = world.losses(batch)
    for task in [task for task in world.model.hierarchy.names if task in there]:
        loss = world.losses(batch)[task] / items[task]
        found[task] = {n: g for n, g in world.gradients(loss).items() if g is not None}
    terms = world.model.sharing.penalties(world.model.stack, world.model.heads)
    found[""] = {}
    if terms:
        both = world.gradients(torch.stack(list(terms.values())).sum())
        found[""] = {n: g for n, g in both.items() if g is not None}
    return found


def together(
    world: World,
    name: str,
    *,
    rows: dict[str, Found] | None = None,
    zeros: bool = False,
    penalty_is_a_task: bool = False,
) -> Found:
    """What the step should make of `single`; the last two are what must not be."""
    rows = single(world) if rows is None else rows
    beside = rows.pop("")
    if penalty_is_a_task:
        rows["penalty"], beside = beside, {}
    parameters = world.parameters()
    reach: dict[tuple[str, ...], list[str]] = {}
    for place in parameters:
        tasks = tuple(task for task, own in rows.items() if place in own)
        reach.setdefault(tuple(rows) if zeros and len(tasks) > 1 else tasks, []).append(place)
    found: Found = {}
    for tasks, places in reach.items():
        if not tasks:
            continue
        matrix = torch.stack(
            [
                torch.cat(
                    [
                        rows[task].get(place, torch.zeros_like(parameters[place])).flatten()
                        for place in places
                    ]
                )
                for task in tasks
            ]
        )
        vector = matrix[0] if len(tasks) == 1 else MADE[name]()(matrix)
        parts = vector.split([parameters[place].numel() for place in places])
        for place, part in zip(places, parts, strict=True):
            found[place] = part.view_as(parameters[place]).clone()
    for place, gradient in beside.items():
        found[place] = found[place] + gradient if place in found else gradient
    return found


def distance(one: Found, other: Found) -> float:
    """The largest difference, as a share of the whole gradient's norm."""
    assert one.keys() == other.keys()
    whole = float(torch.cat([g.flatten() for g in one.values()]).norm())
    return max(float((one[n] - g).abs().max()) for n, g in other.items()) / whole


@pytest.fixture(autouse=True)
def _known_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHARING, Held.name, Held)


@pytest.mark.parametrize("scheme", SHARING)
def test_the_sum_of_gradients_is_fixed_weights(scheme: str) -> None:
    for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        world = world_of(scheme, dtype=dtype)
        plain = gradients(world, "static")
        assert distance(plain, gradients(world, "torchjd.sum")) <= bound
        if dtype == torch.float64 and scheme != "single":
            assert distance(plain, gradients(world, "torchjd.mean")) > 1e-3


@pytest.mark.parametrize("name", DETERMINATE)
def test_gradients_of_tasks_are_combined_for_each_set_of_tasks(name: str) -> None:
    world = world_of("low_supervision")
    assert distance(together(world, name), gradients(world, f"torchjd.{name}")) <= 1e-10


@pytest.mark.parametrize("scheme", ["joint_many", "hmtl", "cross_stitch", "soft_l2", "held"])
def test_so_they_are_whatever_is_shared(scheme: str) -> None:
    world = world_of(scheme)
    expected = together(world, "upgrad")
    assert distance(expected, gradients(world, "torchjd.upgrad")) <= 1e-10
    assert distance(expected, gradients(world, "static")) > 1e-3, "the control"


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_so_they_are_in_transformers_with_blocks_computed_again(family: str) -> None:
    world = world_of("low_supervision", family=family)
    expected = together(world, "upgrad")
    assert distance(expected, gradients(world, "torchjd.upgrad")) <= 1e-10
    world.model.recompute_blocks = True
    assert distance(expected, gradients(world, "torchjd.upgrad")) <= 1e-10


def test_rows_of_zeros_left_in_would_make_other_gradients() -> None:
    """The control: one set of shared weights for all tasks, as the package's `mtl_backward` has."""
    world = world_of("low_supervision")
    found = gradients(world, "torchjd.mgda")
    wrong = together(world, "mgda", zeros=True)
    assert distance(wrong, found) > 1e-3
    upper = [name for name in found if name.startswith("stack.blocks.2.")]
    assert all(bool(found[name].any()) for name in upper if "weight" in name)


def test_terms_on_weights_are_no_task() -> None:
    world = world_of("soft_l2")
    found = gradients(world, "torchjd.mgda")
    assert distance(together(world, "mgda"), found) <= 1e-10
    wrong = together(world, "mgda", penalty_is_a_task=True)
    assert distance(wrong, found) > 1e-3


@pytest.mark.parametrize("scheme", ["low_supervision", "joint_many", "cross_stitch"])
def test_weights_are_grouped_by_the_routes_they_are_on(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(scheme)
    seen: dict[tuple[str, ...], int] = {}

    def combine(self: Balancer, rows: Tensor, tasks: Sequence[str], *, step: int) -> Tensor:
        assert tuple(tasks) not in seen, "weights of the same tasks come together"
        seen[tuple(tasks)] = rows.shape[1]
        return rows.sum(0)

    balancer = made_for(world, "torchjd.mean")
    monkeypatch.setattr(type(balancer), "combine", combine)
    gradients(world, "torchjd.mean")
    model, names = world.model, world.model.hierarchy.names
    reached = {
        task: theta(model, task) | {n for n in model.depends_on(task) if n.startswith("sharing.")}
        for task in names
    }
    expected: dict[tuple[str, ...], int] = {}
    for place, weight in world.parameters().items():
        tasks = tuple(task for task in names if place in reached[task])
        if len(tasks) > 1:
            expected[tasks] = expected.get(tasks, 0) + weight.numel()
    assert seen == expected


@pytest.mark.parametrize("name", ["upgrad", "pcgrad", "pcd"])
@pytest.mark.parametrize("family", ["bilstm", "bert"])
def test_pieces_of_a_step_make_the_gradient_of_the_whole(name: str, family: str) -> None:
    world = world_of("low_supervision", family=family)
    options = {"primary": "dep"} if name == "pcd" else {}
    whole, pieces = (
        gradients(world, f"torchjd.{name}", options=options, accumulation=count) for count in (1, 4)
    )
    assert distance(whole, pieces) <= 1e-10


def test_combining_piece_by_piece_would_make_another_gradient() -> None:
    """The control: aggregation is not linear."""
    world = world_of("low_supervision")
    whole = gradients(world, "torchjd.upgrad")
    piecewise = dict.fromkeys(whole, torch.zeros(()))
    for piece in np.array_split(np.arange(20), 4):
        part = together(world, "upgrad", rows=single(world, piece))
        piecewise |= {name: piecewise[name] + gradient for name, gradient in part.items()}
    assert distance(whole, piecewise) > 1e-3


@pytest.mark.parametrize("task", ["upos", "dep"])
def test_with_one_task_in_a_step_it_is_the_plain_gradient(task: str) -> None:
    world = world_of("low_supervision")
    plain = gradients(world, "static", task=task)
    for name in ("torchjd.mean", "torchjd.mgda", "torchjd.aligned_mtl", "torchjd.graddrop"):
        assert_same(gradients(world, name, task=task), plain)


def test_weights_of_a_single_task_keep_its_weighted_gradient() -> None:
    world = world_of("low_supervision")
    plain, found = (gradients(world, name) for name in ("static", "torchjd.mean"))
    heads = [name for name in plain if name.startswith("heads.")]
    assert heads
    assert_same({n: found[n] for n in heads}, {n: plain[n] for n in heads}, atol=1e-15)


def test_the_scale_of_half_precision_is_undone_before_gradients_are_combined() -> None:
    world = world_of("low_supervision", dtype=torch.float32)
    name = "torchjd.fairgrad"  # it takes notice of lengths
    plain = gradients(world, name)
    guard = Guard(torch.device("cpu"), half=True)
    assert float(guard.scaled(torch.ones(()))) == START_SCALE
    assert distance(plain, gradients(world, name, guard=guard)) <= 1e-4


def test_clipping_comes_after() -> None:
    world = world_of("low_supervision")
    plain = gradients(world, "torchjd.upgrad")
    norm = float(torch.cat([g.flatten() for g in plain.values()]).norm())
    assert norm > 0.1
    clipped = gradients(world, "torchjd.upgrad", clip=0.1)
    for name, gradient in plain.items():
        torch.testing.assert_close(clipped[name], gradient * 0.1 / norm, rtol=1e-4, atol=1e-9)


def test_a_step_whose_gradient_is_no_number_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no solver is asked about it."""
    world = fresh()
    right, calls = TrainingStep.forward, []

    def forward(self: TrainingStep, *given: Any, **options: Any) -> Any:
        parts, told = right(self, *given, **options)
        calls.append(1)
        if len(calls) == 3:
            parts = {part: term * float("nan") for part, term in parts.items()}
        return parts, told

    monkeypatch.setattr(TrainingStep, "forward", forward)
    train(tmp_path, world=world, max_steps=5, **asked("torchjd.upgrad"))
    skipped = [step for entry in entries(tmp_path) for step in entry.get("skipped", ())]
    assert skipped == [3]


def cut(total: int, *, start: int = 0) -> EveryStep:
    """Breaks off in the eighth step."""
    return EveryStep(total, start=start, until=7)


@pytest.mark.parametrize("name", ["torchjd.pcgrad", "torchjd.gradvac", "torchjd.pcd"])
def test_a_broken_run_goes_on_bit_for_bit(tmp_path: Path, name: str) -> None:
    options = {"checkpoint_every": 3, "dropout": 0.1, "max_steps": 9}
    options |= asked(name, **({"primary": "dep"} if name.endswith("pcd") else {}))
    whole, _ = train(tmp_path / "whole", **options)
    with pytest.raises(Broken):
        train(tmp_path / "cut", progress=cut, **options)
    again, history = train(tmp_path / "cut", resume=True, **options)
    assert history.step > 8
    assert_same(weights(again), weights(whole))


def test_a_resume_that_forgets_what_an_aggregator_knew_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    options = {"checkpoint_every": 3, "max_steps": 9, **asked("torchjd.gradvac")}
    whole, _ = train(tmp_path / "whole", **options)
    with pytest.raises(Broken):
        train(tmp_path / "cut", progress=cut, **options)
    kind = type(made_for(fresh(), "torchjd.gradvac"))
    monkeypatch.setattr(kind, "load_state_dict", lambda *given: None)
    again, _ = train(tmp_path / "cut", resume=True, **options)
    assert any(not torch.equal(v, weights(whole)[n]) for n, v in weights(again).items())


def test_memory_that_runs_out_for_the_rows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of("low_supervision")
    kind = type(made_for(world, "torchjd.mean"))

    def full(*given: Any, **options: Any) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(kind, "combine", full)
    told = f"memory has run out at step 6 for the gradients of {len(world.model.heads)} tasks"
    with pytest.raises(RunError, match=told) as e:
        gradients(world, "torchjd.mean", balancing="torchjd.mean")
    assert "'torchjd.mean'" in str(e.value)


def test_memory_that_runs_out_in_a_pass_begins_the_step_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = world_of("low_supervision", family="bert")
    whole = gradients(world, "torchjd.upgrad")
    right, passes = TrainingStep.forward, []

    def forward(self: TrainingStep, batch: Any, *given: Any, **options: Any) -> Any:
        passes.append(batch.layout.units)
        # The whole step, and then the second of two pieces.
        if len(passes) in (1, 3):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return right(self, batch, *given, **options)

    monkeypatch.setattr(TrainingStep, "forward", forward)
    cut = gradients(world, "torchjd.upgrad", accumulation="auto")
    assert len(passes) == 7
    assert distance(whole, cut) <= 1e-10


def test_parts_of_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of("low_supervision")
    monkeypatch.setattr("hiermtl.training.shards.alone", lambda: False)
    whole = TrainingStep(world.model, made_for(world, "torchjd.mean"))
    with pytest.raises(RecipeError, match="balancing by gradients compares those of whole weights"):
        Shards(whole)


@pytest.mark.parametrize("rule", ["drawn", "phases"])
def test_the_loop_takes_steps_of_single_tasks_too(tmp_path: Path, rule: str) -> None:
    """A recipe would be refused; weights move as under fixed ones."""
    options = {"sampling": Sampling(rule), "precision": "fp64", "max_steps": 6}
    plain, _ = train(tmp_path / "plain", **options)
    world, _ = train(tmp_path / "apart", **options, **asked("torchjd.upgrad"))
    assert_same(weights(world), weights(plain), atol=1e-12)
