"""Which task a step serves, and with which of its examples."""

import shutil
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hiermtl.training import Sampling, TaskPlan
from tests.unit.training.runs import Broken, EveryStep, losses, train, weights

RANDOM = np.random.default_rng(0)
LENGTHS = RANDOM.integers(3, 30, 700)
SIZES = {"low": 400, "middle": 200, "high": 100}
PLACES = np.split(RANDOM.permutation(700), np.cumsum(list(SIZES.values()))[:-1])
ITEMS = {
    task: np.isin(np.arange(700), own).astype(np.int32)
    for task, own in zip(SIZES, PLACES, strict=True)
}
ALL = [
    Sampling("drawn", 1.0, 1.0),
    Sampling("drawn", 1.0, 0.2),
    Sampling("drawn", 0.2, 1.0),
    Sampling("drawn", 0.5, 0.5),
    Sampling("turns"),
    Sampling("phases"),
]
every_rule = pytest.mark.parametrize("sampling", ALL, ids=lambda s: f"{s.rule} {s.first} {s.last}")


def plan_of(sampling: Sampling, *, epochs: int = 5, seed: int = 0) -> TaskPlan:
    return TaskPlan(
        LENGTHS, ITEMS, 120, order=list(SIZES), sampling=sampling, epochs=epochs, seed=seed
    )


def tasks_of(plan: TaskPlan, epoch: int) -> list[str]:
    first = epoch * plan.steps_per_epoch
    return [plan.task(first + place) for place in range(plan.steps_per_epoch)]


@every_rule
def test_a_step_has_examples_of_its_task_alone(sampling: Sampling) -> None:
    plan = plan_of(sampling)
    for step in range(2 * plan.steps_per_epoch):
        chosen = plan.step(step)
        assert len(chosen)
        assert ITEMS[plan.task(step)][chosen].all()


@every_rule
def test_a_task_sees_every_example_once_before_any_again(sampling: Sampling) -> None:
    plan = plan_of(sampling)
    seen: dict[str, list[int]] = {task: [] for task in SIZES}
    for step in range(6 * plan.steps_per_epoch):
        seen[plan.task(step)] += plan.step(step).tolist()
    for task, size in SIZES.items():
        times = Counter(seen[task])
        assert len(times) == size
        assert max(times.values()) - min(times.values()) <= 1


@every_rule
def test_a_step_depends_on_seed_and_number_alone(sampling: Sampling) -> None:
    count = 3 * plan_of(sampling).steps_per_epoch
    forwards, backwards = plan_of(sampling), plan_of(sampling)
    one = [(forwards.task(n), forwards.step(n).tolist()) for n in range(count)]
    other = [(backwards.task(n), backwards.step(n).tolist()) for n in reversed(range(count))]
    assert one == other[::-1]
    changed = plan_of(sampling, seed=1)
    assert one != [(changed.task(n), changed.step(n).tolist()) for n in range(count)]


def test_phases_go_through_each_task_once_from_low_to_high() -> None:
    plan = plan_of(Sampling("phases"))
    for epoch in (0, 3):
        found = tasks_of(plan, epoch)
        assert list(dict.fromkeys(found)) == list(SIZES)
        assert found == sorted(found, key=list(SIZES).index)
        first = epoch * plan.steps_per_epoch
        seen = [i for n in range(plan.steps_per_epoch) for i in plan.step(first + n).tolist()]
        assert sorted(seen) == list(range(700))
    opens = [plan.opens_phase(step) for step in range(plan.steps_per_epoch)]
    assert sum(opens) == 3
    assert opens[0]
    assert plan.opens_phase(plan.steps_per_epoch)


def test_other_rules_have_no_phases() -> None:
    for sampling in ALL[:-1]:
        plan = plan_of(sampling)
        assert not any(plan.opens_phase(step) for step in range(plan.steps_per_epoch))


def test_turns_serve_all_tasks_alike() -> None:
    plan = plan_of(Sampling("turns"))
    found = [task for epoch in range(3) for task in tasks_of(plan, epoch)]
    assert found[:6] == ["low", "middle", "high"] * 2
    assert max(Counter(found).values()) - min(Counter(found).values()) <= 1


def test_shares_follow_the_exponent_of_the_epoch() -> None:
    annealed, cooled = plan_of(Sampling("drawn", 1.0, 0.2)), plan_of(Sampling("drawn", 0.2, 1.0))
    by_size = {task: size / 700 for task, size in SIZES.items()}
    assert annealed.shares(0) == pytest.approx(by_size)
    assert cooled.shares(4) == pytest.approx(by_size)
    flat = {task: size**0.2 for task, size in SIZES.items()}
    flat = {task: weight / sum(flat.values()) for task, weight in flat.items()}
    assert annealed.shares(4) == pytest.approx(flat)
    assert cooled.shares(0) == pytest.approx(flat)
    assert annealed.shares(2) == pytest.approx(cooled.shares(2))


def test_one_epoch_is_no_division_by_zero() -> None:
    assert plan_of(Sampling("drawn", 1.0, 0.2), epochs=1).shares(0)["low"] == pytest.approx(4 / 7)


def test_frequencies_are_the_shares() -> None:
    """A chi-square test of 2 degrees of freedom at 1 in 1,000; its control must fail."""
    plan = plan_of(Sampling("drawn", 1.0, 1.0))
    found = Counter(task for epoch in range(40) for task in tasks_of(plan, epoch))
    total = sum(found.values())

    def distance(shares: dict[str, float]) -> float:
        return sum((found[t] - total * p) ** 2 / (total * p) for t, p in shares.items())

    assert distance(plan.shares(0)) < 13.8
    assert distance(dict.fromkeys(SIZES, 1 / 3)) > 13.8


@pytest.mark.parametrize("epoch", [0, 4])
def test_frequencies_are_the_shares_of_their_epoch(epoch: int) -> None:
    """Over many seeds, by the same test; the other end's shares are its control."""
    found: Counter[str] = Counter()
    for seed in range(40):
        plan = plan_of(Sampling("drawn", 1.0, 0.2), seed=seed)
        found.update(tasks_of(plan, epoch))
    total = sum(found.values())

    def distance(shares: Mapping[str, float]) -> float:
        return sum((found[t] - total * p) ** 2 / (total * p) for t, p in shares.items())

    assert distance(plan.shares(epoch)) < 13.8
    assert distance(plan.shares(4 - epoch)) > 13.8


def test_a_task_without_examples_has_no_step() -> None:
    items = {**ITEMS, "none": np.zeros(700, dtype=np.int32)}
    plan = TaskPlan(
        LENGTHS,
        items,
        120,
        order=["none", *SIZES, "absent"],
        sampling=Sampling("phases"),
        epochs=2,
        seed=0,
    )
    assert plan.tasks == tuple(SIZES)


def test_all_rules_have_the_same_budget() -> None:
    assert len({plan_of(sampling).steps_per_epoch for sampling in ALL}) == 1


@every_rule
def test_a_run_broken_off_goes_on_with_the_same_tasks_bit_for_bit(
    tmp_path: Path, sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan that is a step behind after the break must show."""
    options: dict[str, Any] = {"annotated": [("upos", "dep"), ("ner",)], "sampling": sampling}
    whole, history = train(tmp_path / "whole", progress=EveryStep, dropout=0.2, **options)
    options["checkpoint_every"] = 3
    cut = partial(EveryStep, until=history.step - 2)
    with pytest.raises(Broken):
        train(tmp_path / "cut", progress=cut, dropout=0.2, **options)
    shutil.copytree(tmp_path / "cut", tmp_path / "wrong")
    again, _ = train(tmp_path / "cut", progress=EveryStep, resume=True, dropout=0.2, **options)
    expected = weights(whole)
    assert all(torch.equal(value, expected[name]) for name, value in weights(again).items())
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    for name in ("step", "task"):
        right = getattr(TaskPlan, name)
        monkeypatch.setattr(TaskPlan, name, lambda plan, at, right=right: right(plan, at - 1))
    wrong, _ = train(tmp_path / "wrong", progress=EveryStep, resume=True, dropout=0.2, **options)
    assert any(not torch.equal(value, expected[name]) for name, value in weights(wrong).items())
