"""Which examples make which step.

A function of lengths, seed and step number, and of nothing else.
"""

import inspect
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hiermtl.training import BatchPlan
from hiermtl.training.plan import shares

LENGTHS = np.random.default_rng(0).integers(1, 60, 500)
LISTS = st.lists(st.integers(1, 200), min_size=1, max_size=80)


def steps(plan: BatchPlan, epoch: int = 0) -> list[list[int]]:
    first = epoch * plan.steps_per_epoch
    return [plan.step(first + place).tolist() for place in range(plan.steps_per_epoch)]


@settings(max_examples=60)
@given(LISTS, st.integers(1, 400), st.integers(0, 5))
def test_each_example_comes_exactly_once_an_epoch(
    lengths: list[int], budget: int, epoch: int
) -> None:
    plan = BatchPlan(np.array(lengths), budget, seed=3)
    seen = [example for step in steps(plan, epoch) for example in step]
    assert sorted(seen) == list(range(len(lengths)))


def test_a_step_depends_on_nothing_but_lengths_seed_and_number() -> None:
    forwards = BatchPlan(LENGTHS, 400, seed=1)
    backwards = BatchPlan(LENGTHS.astype(np.int32), 400, seed=1)
    wanted = range(3 * forwards.steps_per_epoch)
    one = {step: forwards.step(step).tolist() for step in wanted}
    other = {step: backwards.step(step).tolist() for step in reversed(wanted)}
    assert one == other


def test_seeds_and_epochs_give_other_batches() -> None:
    plan = BatchPlan(LENGTHS, 400, seed=1)
    batches = {frozenset(step) for step in steps(plan)}
    assert batches != {frozenset(step) for step in steps(plan, 1)}
    assert batches != {frozenset(step) for step in steps(BatchPlan(LENGTHS, 400, seed=2))}


def test_all_epochs_have_the_same_number_of_steps() -> None:
    plan = BatchPlan(LENGTHS, 400, seed=1)
    assert plan.steps_per_epoch == round(LENGTHS.sum() / 400)
    for epoch in range(5):
        assert len(steps(plan, epoch)) == plan.steps_per_epoch
        assert all(steps(plan, epoch))


@settings(max_examples=60)
@given(LISTS, st.integers(1, 400))
def test_a_step_is_as_near_to_the_budget_as_whole_examples_allow(
    lengths: list[int], budget: int
) -> None:
    plan = BatchPlan(np.array(lengths), budget, seed=0)
    even = sum(lengths) / plan.steps_per_epoch
    for step in steps(plan):
        assert abs(sum(lengths[i] for i in step) - even) <= max(lengths)


def test_sizes_are_near_the_budget() -> None:
    sizes = [LENGTHS[step].sum() for step in steps(BatchPlan(LENGTHS, 400, seed=0))]
    assert min(sizes) >= 340
    assert max(sizes) <= 460


def test_the_examples_of_a_step_are_of_similar_length() -> None:
    plan = BatchPlan(LENGTHS, 400, seed=0)
    spreads = [np.ptp(LENGTHS[step]) for step in steps(plan)]
    at_random = np.random.default_rng(0).permutation(len(LENGTHS))
    control = [np.ptp(LENGTHS[part]) for part in np.array_split(at_random, len(spreads))]
    assert np.mean(spreads) < 0.35 * np.mean(control)


def test_long_steps_do_not_all_come_last() -> None:
    means = [LENGTHS[step].mean() for step in steps(BatchPlan(LENGTHS, 400, seed=0))]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.6


def test_the_plan_cannot_know_how_many_processes_there_are() -> None:
    parameters = inspect.signature(BatchPlan).parameters
    sizes = {"segment", "chunk"}
    assert set(parameters) == {"lengths", "tokens_per_batch", "seed", "special"} | sizes


def chunked(count: int = 500, **changes: Any) -> BatchPlan:
    """A plan of many chunks of few examples."""
    given = {"seed": 1, "segment": 8, "chunk": 4, **changes}
    return BatchPlan(LENGTHS[:count], 100, **given)


@pytest.mark.parametrize("count", [1, 8, 9, 32, 33, 499, 500])
@pytest.mark.parametrize("epoch", [0, 3])
def test_in_chunks_too_each_example_comes_exactly_once_an_epoch(count: int, epoch: int) -> None:
    plan = chunked(count)
    found = steps(plan, epoch)
    assert sorted(example for step in found for example in step) == list(range(count))
    assert plan.steps_per_epoch == max(1, round(LENGTHS[:count].sum() / 100))
    assert len(found) == plan.steps_per_epoch


def test_in_chunks_too_a_step_depends_on_its_number_alone() -> None:
    wanted = range(2 * chunked().steps_per_epoch)
    forwards, backwards = chunked(), chunked()
    one = {step: forwards.step(step).tolist() for step in wanted}
    other = {step: backwards.step(step).tolist() for step in reversed(wanted)}
    assert one == other
    assert steps(chunked()) != steps(chunked(), 1)
    assert steps(chunked()) != steps(chunked(seed=2))


def test_a_chunk_is_of_segments_from_everywhere_and_sorted_by_length() -> None:
    plan = chunked()
    found = steps(plan)
    first = [example for step in found[: len(found) // 16] for example in step]
    assert np.ptp(first) > 2 * 8 * 4, "neighbours alone"
    spreads = [np.ptp(LENGTHS[step]) for step in found]
    control = [np.ptp(LENGTHS[i : i + len(step)]) for i, step in enumerate(found)]
    assert np.mean(spreads) < 0.6 * np.mean(control)
    sizes = [LENGTHS[step].sum() for step in found]
    # A chunk of some ten steps has a whole number of them.
    assert max(sizes) <= 110 + LENGTHS.max()


def test_special_units_are_added_to_each_length() -> None:
    plain, added = BatchPlan(LENGTHS + 2, 400, seed=0), BatchPlan(LENGTHS, 400, seed=0, special=2)
    assert steps(plain) == steps(added)
    assert steps(added) != steps(BatchPlan(LENGTHS, 400, seed=0))


def test_a_plan_needs_the_memory_of_a_chunk(tmp_path: Path) -> None:
    """Twenty million lengths that lie in a file; a step of the middle of the second epoch."""
    count = 20_000_000
    file = np.memmap(tmp_path / "lengths", np.int32, mode="w+", shape=count)
    file[:] = np.resize(LENGTHS, count)
    tracemalloc.start()
    plan = BatchPlan(file, 4096, seed=0)
    chosen = plan.step(plan.steps_per_epoch + plan.steps_per_epoch // 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(chosen) > 50
    # Sorting a chunk takes some arrays of eight million bytes each; all lengths are 80 million.
    assert peak < 100e6


def test_one_example_longer_than_the_budget_is_a_step() -> None:
    plan = BatchPlan(np.array([5, 1000, 5]), 10, seed=0)
    assert sorted(example for step in steps(plan) for example in step) == [0, 1, 2]
    assert any(1 in step for step in steps(plan))


@settings(max_examples=60)
@given(LISTS, st.integers(1, 9))
def test_shares_are_a_partition_balanced_and_the_same_each_time(
    lengths: list[int], parts: int
) -> None:
    every = np.array(lengths)
    chosen = np.random.default_rng(0).permutation(len(every))[: max(1, len(every) // 2)]
    cut = shares(chosen, every, parts=parts)
    assert len(cut) == parts
    assert sorted(np.concatenate(cut).tolist()) == sorted(chosen.tolist())
    loads = [int(every[part].sum()) for part in cut]
    assert max(loads) - min(loads) <= every[chosen].max()
    again = shares(chosen.copy(), every.copy(), parts=parts)
    assert all(np.array_equal(one, other) for one, other in zip(cut, again, strict=True))


@pytest.mark.parametrize("parts", [2, 4])
def test_shares_of_a_step_differ_by_a_few_units(parts: int) -> None:
    step = BatchPlan(LENGTHS, 400, seed=0).step(0)
    loads = [LENGTHS[part].sum() for part in shares(step, LENGTHS, parts=parts)]
    assert max(loads) - min(loads) <= LENGTHS[step].max()


def test_shares_keep_the_order_of_the_step() -> None:
    step = BatchPlan(LENGTHS, 400, seed=0).step(0)
    place = {example: number for number, example in enumerate(step.tolist())}
    for part in shares(step, LENGTHS, parts=3):
        places = [place[example] for example in part.tolist()]
        assert places == sorted(places)
