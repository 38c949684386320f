"""Successive regularisation: what it holds, how strongly, and that a run resumes inside a phase."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hiermtl.training import Sampling
from hiermtl.training.leash import Leash
from tests.unit.training.runs import Broken, EveryStep, fresh, losses, train, weights
from tests.worlds import ALL, World, make_world

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


@every_scheme
def test_a_phase_holds_what_lower_tasks_stand_on_and_nothing_of_its_own(sharing: str) -> None:
    world = world_of(sharing)
    leash = leash_of(world)
    leash.opens("upos")
    assert leash.anchors
    assert all(name.startswith("stack.embeddings.") for name in leash.anchors)
    leash.opens("dep")
    held = set(leash.anchors)
    assert held == world.model.depends_on("upos") | world.model.depends_on("ner")
    assert {name.split(".")[1] for name in held if name.startswith("heads.")} == {"upos", "ner"}
    own = {n for n in world.parameters() if n.startswith(("heads.dep.", "stack.blocks.3."))}
    assert own
    assert not held & own
    assert ("sharing.tables.upos" in held) == (sharing == "joint_many")
    assert "sharing.tables.ner" not in held


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
        if not apart:
            leash.add_gradient()
        optimizer.step()
        if apart:
            leash.pull(optimizer)
        found.append(weights(world))
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=1e-5, atol=1e-7)


def test_weights_a_step_did_not_reach_stay_where_they_are() -> None:
    world = world_of()
    leash = leash_of(world, strength=0.3, heads=0.7)
    leash.opens("dep")
    move(world, set(world.parameters()), 0.1)
    before = weights(world)
    leash.add_gradient()
    leash.pull(torch.optim.SGD(world.model.parameters(), lr=0.05))
    assert all(torch.equal(value, before[name]) for name, value in weights(world).items())


def test_anchors_are_no_parameters_and_have_no_gradient() -> None:
    world = world_of()
    known = set(world.parameters())
    leash = leash_of(world)
    leash.opens("dep")
    assert set(world.parameters()) == known
    assert all(not anchor.requires_grad for anchor in leash.anchors.values())
    assert all(anchor.dtype == torch.float32 for anchor in leash.anchors.values())


PHASES = Sampling("phases", successive=0.05, successive_heads=0.05)


def runs(folder: Path, sampling: Sampling) -> dict[str, torch.Tensor]:
    world, _ = train(folder, world=fresh(), annotated=[ALL], sampling=sampling, epochs=2)
    return weights(world)


def test_strength_zero_is_the_run_without_bit_for_bit(tmp_path: Path) -> None:
    plain = runs(tmp_path / "a", Sampling("phases"))
    zero = runs(tmp_path / "b", Sampling("phases", decoupled=False))
    held = runs(tmp_path / "c", PHASES)
    assert all(torch.equal(value, zero[name]) for name, value in plain.items())
    assert any(not torch.equal(value, held[name]) for name, value in plain.items())


@pytest.mark.parametrize("decoupled", [True, False])
def test_a_run_broken_off_in_a_phase_goes_on_as_if_it_had_not_been(
    tmp_path: Path, decoupled: bool
) -> None:
    sampling = Sampling(
        "phases", successive=0.05, successive_heads=0.05, decoupled=decoupled, rate_decay=0.3
    )

    class Cut(EveryStep):
        def advance(self, words: int) -> None:
            super().advance(words)
            if self.done == stop:
                raise Broken

    whole, history = train(
        tmp_path / "whole", world=fresh(), annotated=[ALL], sampling=sampling, epochs=2
    )
    stop = history.step - 2
    options: dict[str, Any] = {
        "annotated": [ALL],
        "sampling": sampling,
        "epochs": 2,
        "checkpoint_every": 3,
    }
    with pytest.raises(Broken):
        train(tmp_path / "cut", world=fresh(), progress=Cut, **options)
    again, _ = train(tmp_path / "cut", world=fresh(), resume=True, **options)
    expected = weights(whole)
    assert all(torch.equal(value, expected[name]) for name, value in weights(again).items())


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
