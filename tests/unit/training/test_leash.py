"""Successive regularisation: what it holds, how strongly, and that a run resumes inside a phase."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hiermtl.tokens import Collator
from hiermtl.training import Sampling, TaskPlan
from hiermtl.training.leash import Leash
from hiermtl.training.step import Stepper
from tests.unit.training.runs import (
    Broken,
    EveryStep,
    examples_of,
    fresh,
    losses,
    stepper,
    train,
    weights,
)
from tests.worlds import ALL, FAMILIES, World, assert_same, make_world

DEPTHS = {"upos": 1, "ner": 2, "dep": 3}
ORDER = tuple(DEPTHS)
SCHEMES = ("low_supervision", "joint_many")
every_scheme = pytest.mark.parametrize("sharing", SCHEMES)


def world_of(sharing: str = "joint_many") -> World:
    return make_world("bilstm", sharing, depths=DEPTHS)


def leash_of(world: World, *, strength: float = 1e-3, heads: float = 1e-2) -> Leash:
    return Leash(world.model, ORDER, strength=strength, heads=heads)


def move(world: World, names: set[str], by: float) -> None:
    with torch.no_grad():
        for name in names:
            world.parameters()[name].add_(by)


@every_scheme
@pytest.mark.parametrize("task", ORDER)
def test_it_is_exactly_zero_where_a_phase_begins(sharing: str, task: str) -> None:
    world = world_of(sharing)
    leash = leash_of(world)
    move(world, set(world.parameters()), 0.25)
    leash.opens(task)
    assert float(leash.distance()) == 0
    for parameter in world.parameters().values():
        parameter.grad = torch.zeros_like(parameter)
    leash.add_gradient()
    assert not any(parameter.grad.any() for parameter in world.parameters().values())
    before = weights(world)
    leash.pull(torch.optim.SGD(world.model.parameters(), lr=0.05))
    assert all(torch.equal(value, before[name]) for name, value in weights(world).items())


@pytest.mark.parametrize("family", FAMILIES)
@every_scheme
def test_a_phase_holds_what_lower_tasks_stand_on_and_nothing_of_its_own(
    family: str, sharing: str
) -> None:
    world = make_world(family, sharing, depths=DEPTHS)
    leash = leash_of(world)
    leash.opens("upos")
    assert leash.anchors
    assert all(name.startswith("stack.embeddings.") for name in leash.anchors)
    leash.opens("dep")
    parts = ("heads.upos.", "heads.ner.", "taps.upos.", "taps.ner.", "sharing.tables.upos")
    blocks = ("stack.embeddings.", "stack.blocks.1.", "stack.blocks.2.")
    assert set(leash.anchors) == {n for n in world.parameters() if n.startswith((*parts, *blocks))}
    extra = [name for name in world.parameters() if ".extra." in name]
    assert bool(extra) == (sharing == "joint_many" and family != "bilstm")
    assert {name.split(".")[2] for name in extra if name in leash.anchors} <= {"2"}
    assert not extra or any(name in leash.anchors for name in extra)


def test_nine_weights_moved_by_a_half_cost_what_the_formula_says() -> None:
    world = world_of()
    leash = leash_of(world)
    leash.opens("ner")
    weight = world.parameters()["stack.blocks.1.shared.left_to_right.weight_hh_l0"]
    with torch.no_grad():
        weight.view(-1)[:9] += 0.5
    assert float(leash.distance()) == pytest.approx(2.25e-3)
    weight.grad = torch.zeros_like(weight)
    leash.add_gradient()
    assert weight.grad.view(-1)[:9].tolist() == pytest.approx([1e-3] * 9)
    assert not weight.grad.view(-1)[9:].any()


def test_heads_have_a_strength_of_their_own() -> None:
    world = world_of()
    leash = leash_of(world)
    leash.opens("ner")
    move(world, {"heads.upos.output.bias"}, 0.5)
    count = world.parameters()["heads.upos.output.bias"].numel()
    assert float(leash.distance()) == pytest.approx(1e-2 * 0.25 * count)


def test_the_added_gradient_is_that_of_the_term() -> None:
    world = world_of()
    leash = leash_of(world, strength=0.3, heads=0.7)
    leash.opens("dep")
    move(world, set(world.parameters()), 0.1)
    named = world.parameters()
    term = torch.stack(
        [
            (0.7 if name.startswith("heads.") else 0.3) * (named[name] - anchor).square().sum()
            for name, anchor in leash.anchors.items()
        ]
    ).sum()
    assert float(term.detach()) == pytest.approx(float(leash.distance()), rel=1e-5)
    expected = torch.autograd.grad(term, [named[name] for name in leash.anchors])
    for name in leash.anchors:
        named[name].grad = torch.zeros_like(named[name])
    leash.add_gradient()
    for name, gradient in zip(leash.anchors, expected, strict=True):
        torch.testing.assert_close(named[name].grad, gradient, rtol=1e-5, atol=1e-7)


def test_the_pull_is_a_step_of_plain_descent_on_the_term() -> None:
    found = []
    for apart in (True, False):
        world = world_of()
        leash = leash_of(world, strength=0.3, heads=0.7)
        leash.opens("dep")
        move(world, set(world.parameters()), 0.1)
        optimizer = torch.optim.SGD(world.model.parameters(), lr=0.05)
        for parameter in world.parameters().values():
            parameter.grad = torch.zeros_like(parameter)
        if apart:
            leash.pull(optimizer)
        else:
            leash.add_gradient()
        optimizer.step()
        found.append(weights(world))
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_strongest_pull_goes_all_the_way_and_not_past_it(dtype: torch.dtype) -> None:
    world = make_world("bilstm", "joint_many", depths=DEPTHS, dtype=dtype)
    leash = leash_of(world, strength=1000.0, heads=1000.0)
    leash.opens("dep")
    move(world, set(world.parameters()), 0.1)
    for parameter in world.parameters().values():
        parameter.grad = torch.zeros_like(parameter)
    leash.pull(torch.optim.SGD(world.model.parameters(), lr=0.05))
    assert float(leash.distance()) == pytest.approx(0, abs=1e-9)


def test_weights_a_step_did_not_reach_stay_where_they_are() -> None:
    world = world_of()
    leash = leash_of(world, strength=0.3, heads=0.7)
    leash.opens("dep")
    move(world, set(world.parameters()), 0.1)
    before = weights(world)
    leash.add_gradient()
    leash.pull(torch.optim.SGD(world.model.parameters(), lr=0.05))
    assert all(torch.equal(value, before[name]) for name, value in weights(world).items())


@pytest.mark.parametrize(
    ("weights", "anchors"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_anchors_are_no_parameters_and_have_no_gradient(
    weights: torch.dtype, anchors: torch.dtype
) -> None:
    world = world_of()
    world.model.to(weights)
    known = set(world.parameters())
    leash = leash_of(world)
    leash.opens("dep")
    assert set(world.parameters()) == known
    assert all(not anchor.requires_grad for anchor in leash.anchors.values())
    assert all(anchor.dtype == anchors for anchor in leash.anchors.values())


PHASES = Sampling("phases", successive=0.05, successive_heads=0.05)
both_forms = pytest.mark.parametrize("decoupled", [True, False])


def phases(
    folder: Path, monkeypatch: pytest.MonkeyPatch, family: str, *, decoupled: bool
) -> list[tuple[str, float, bool]]:
    """Each step of a run: its task, the term before it, whether anchors are the weights then."""
    seen: list[tuple[str, float, bool]] = []
    right = Stepper.take

    def spied(stepper: Stepper, *args: Any, task: str, **options: Any) -> Any:
        leash = stepper.leash
        assert leash is not None
        named = dict(leash._model.named_parameters())
        same = all(torch.equal(named[name], held) for name, held in leash.anchors.items())
        seen.append((task, float(leash.distance()), same))
        return right(stepper, *args, task=task, **options)

    monkeypatch.setattr(Stepper, "take", spied)
    world = fresh(family, sharing="joint_many", depths=DEPTHS)
    sampling = replace(PHASES, decoupled=decoupled)
    train(folder, world=world, annotated=[ORDER], sampling=sampling, epochs=2)
    return seen


@both_forms
@pytest.mark.parametrize("family", ["bert", "bilstm"])
def test_anchors_are_the_weights_at_the_start_of_each_phase_and_of_no_other_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, decoupled: bool
) -> None:
    seen = phases(tmp_path / "right", monkeypatch, family, decoupled=decoupled)
    opens = [n for n, (task, *_) in enumerate(seen) if n == 0 or seen[n - 1][0] != task]
    assert [seen[n][0] for n in opens] == [*ORDER, *ORDER]
    assert [n for n, (_, term, same) in enumerate(seen) if term == 0 and same] == opens
    monkeypatch.undo()
    monkeypatch.setattr(TaskPlan, "opens_phase", lambda plan, step: step == 0)
    wrong = phases(tmp_path / "wrong", monkeypatch, family, decoupled=decoupled)
    assert [n for n, (_, term, _) in enumerate(wrong) if term == 0] != opens


@both_forms
def test_the_first_step_of_a_phase_is_the_one_without(tmp_path: Path, decoupled: bool) -> None:
    """And the steps behind it are not, nor are the two forms alike."""
    found: dict[tuple[int, int], dict[str, torch.Tensor]] = {}
    held = replace(PHASES, decoupled=decoupled)
    other = replace(PHASES, decoupled=not decoupled)
    for steps in (1, 4):
        for place, sampling in enumerate((Sampling("phases"), held, other)):
            world, _ = train(
                tmp_path / f"{steps}-{place}",
                world=fresh(),
                annotated=[ALL],
                sampling=sampling,
                max_steps=steps,
            )
            found[place, steps] = weights(world)
    assert all(torch.equal(value, found[0, 1][name]) for name, value in found[1, 1].items())
    for place in (0, 2):
        assert any(
            not torch.equal(value, found[place, 4][name]) for name, value in found[1, 4].items()
        )


@pytest.mark.parametrize("times", [1, 2])
def test_the_term_is_added_once_a_step_however_it_is_cut(
    monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Added once for each of two pieces, it must show."""
    added = Leash.add_gradient

    def gradient(accumulation: int) -> dict[str, torch.Tensor]:
        world = make_world("bilstm", "joint_many", depths=DEPTHS)
        leash = leash_of(world, strength=0.3, heads=0.7)
        leash.opens("dep")
        move(world, set(world.parameters()), 0.1)
        step_of(world, leash, accumulation=accumulation)
        return {n: p.grad.clone() for n, p in world.parameters().items() if p.grad is not None}

    whole = gradient(1)

    def again(leash: Leash) -> None:
        for _ in range(times):
            added(leash)

    monkeypatch.setattr(Leash, "add_gradient", again)
    cut = gradient(2)
    assert whole.keys() == cut.keys()
    close = [torch.allclose(cut[name], value, rtol=0, atol=1e-9) for name, value in whole.items()]
    assert all(close) == (times == 1)


def test_under_plain_descent_the_step_is_longer_by_the_rate_and_the_terms_slope() -> None:
    moved = []
    for strength in (0.0, 0.3):
        world = make_world("bilstm", "joint_many", depths=DEPTHS)
        leash = leash_of(world, strength=strength, heads=strength)
        leash.opens("dep")
        move(world, set(world.parameters()), 0.1)
        step_of(world, leash, lr=0.05)
        moved.append(weights(world))
    held = {n for n in leash.anchors if world.parameters()[n].grad is not None}
    assert len(held) > 5
    for name, value in moved[0].items():
        by = 0.05 * 2 * 0.3 * 0.1 if name in held else 0.0
        torch.testing.assert_close(value - by, moved[1][name], rtol=0, atol=1e-7)


def step_of(world: World, leash: Leash, *, accumulation: int = 1, lr: float = 0.0) -> None:
    """One step of the loop, of trees, with plain descent and the term in the gradient."""
    examples = examples_of(world, annotated=[ORDER], count=8)
    taken = stepper(
        world.model,
        examples,
        torch.optim.SGD(world.model.parameters(), lr=lr),
        leash=leash,
        accumulation=accumulation,
        sampling=Sampling("phases", decoupled=False),
    )
    collate = Collator(world.tokenizer, world.model.routes.depths())
    taken.take(collate, np.arange(8), step=0, task="dep")


def runs(folder: Path, sampling: Sampling) -> dict[str, torch.Tensor]:
    world, _ = train(folder, world=fresh(), annotated=[ALL], sampling=sampling, epochs=2)
    return weights(world)


def test_strength_zero_is_the_run_without_bit_for_bit(tmp_path: Path) -> None:
    plain = runs(tmp_path / "a", Sampling("phases"))
    zero = runs(tmp_path / "b", Sampling("phases", decoupled=False))
    held = runs(tmp_path / "c", PHASES)
    assert all(torch.equal(value, zero[name]) for name, value in plain.items())
    assert any(not torch.equal(value, held[name]) for name, value in plain.items())


@both_forms
@pytest.mark.parametrize("family", ["bert", "bilstm"])
@pytest.mark.parametrize("forgotten", [False, True])
def test_a_run_broken_off_in_a_phase_goes_on_as_if_it_had_not_been(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    decoupled: bool,
    forgotten: bool,
) -> None:
    """With anchors that are forgotten and taken anew at the break, it must show."""
    options: dict[str, Any] = {
        "annotated": [ORDER],
        "sampling": replace(PHASES, decoupled=decoupled, rate_decay=0.3, clip_by_level=True),
        "epochs": 2,
        "checkpoint_every": 3,
    }

    def small() -> World:
        return fresh(family, sharing="joint_many", depths=DEPTHS, dropout=0.3)

    whole, history = train(tmp_path / "whole", world=small(), **options)
    cut = partial(EveryStep, until=history.step - 2)
    with pytest.raises(Broken):
        train(tmp_path / "cut", world=small(), progress=cut, **options)
    if forgotten:
        monkeypatch.setattr(Leash, "restore", lambda leash, anchors: leash.opens("dep"))
    again, _ = train(tmp_path / "cut", world=small(), resume=True, **options)
    expected = weights(whole)
    alike = [torch.equal(value, expected[name]) for name, value in weights(again).items()]
    assert all(alike) != forgotten


def rates(folder: Path) -> Iterator[tuple[int, float]]:
    for line in (folder / "log.jsonl").read_text().splitlines():
        found = json.loads(line)
        if "rate" in found:
            yield found["step"], found["rate"]


def test_the_rate_decays_by_epoch(tmp_path: Path) -> None:
    sampling = Sampling("phases", rate_decay=0.3)
    _, history = train(
        tmp_path,
        world=fresh(),
        annotated=[ALL],
        sampling=sampling,
        epochs=2,
        progress=EveryStep,
    )
    half = history.step // 2
    for step, rate in rates(tmp_path):
        assert rate == pytest.approx(1.0 if step <= half else 1 / 1.3)
    assert losses(tmp_path)


@both_forms
def test_blocks_that_go_within_a_phase_are_held_no_more(tmp_path: Path, decoupled: bool) -> None:
    """Depths are fixed in a phase; unbroken or resumed behind it, training goes on."""
    options: dict[str, Any] = {
        "annotated": [ORDER],
        "sampling": replace(PHASES, decoupled=decoupled),
        "epochs": 2,
        "checkpoint_every": 1,
    }

    def low() -> World:
        given = {"name": "learned", "harden_at": 0.4, "budget": 100.0, "lr": 1.0}
        return fresh(sharing=given, depths=dict.fromkeys(ORDER, 3))

    whole, history = train(tmp_path / "whole", world=low(), **options)
    assert whole.model.stack.depth < 3, "no block goes"
    cut = partial(EveryStep, until=int(0.4 * history.step) + 1)
    with pytest.raises(Broken):
        train(tmp_path / "cut", world=low(), progress=cut, **options)
    again, _ = train(tmp_path / "cut", world=low(), resume=True, **options)
    assert_same(weights(again), weights(whole))


def test_a_copy_that_is_made_within_a_phase_is_held_where_its_parent_is() -> None:
    """And only that of which a lower task makes use."""
    apart = {"upos": {"ner": 0.0, "dep": 0.0}, "ner": {"dep": 0.0}}
    given = {"name": "adaptive", "every": 1, "affinity": apart}
    world = make_world("bilstm", given, depths=dict.fromkeys(ORDER, 3))
    leash = leash_of(world)
    leash.opens("dep")
    parents = {n: a for n, a in leash.anchors.items() if n.startswith("stack.blocks.3.shared.")}
    assert parents
    move(world, set(world.parameters()), 0.1)
    edit = world.model.sharing.propose(world.model.stack, 0)
    assert edit is not None
    world.model.restructured()
    leash.follow(edit, "dep")
    lower = world.model.depends_on("upos") | world.model.depends_on("ner")
    assert set(leash.anchors) == lower
    born = {child: parent for child, parent in edit.born.items() if child in lower}
    assert 0 < len(born) < len(edit.born) + len(parents)
    for child, parent in born.items():
        assert torch.equal(leash.anchors[child], parents[parent])
