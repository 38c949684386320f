"""A task runs as deep as it is read: truncation is exact, and what stands above has no say."""

import pytest
import torch

from hiermtl.records import Batch, recurring
from hiermtl.sharing import SHARING
from tests.worlds import (
    ALL,
    FAMILIES,
    RAGGED,
    TASKS,
    Calls,
    World,
    assert_same,
    make_world,
    per_sentence,
    randomise,
    same,
    theta,
)

everywhere = pytest.mark.parametrize("family", FAMILIES)
every_scheme = pytest.mark.parametrize("sharing", SHARING)
every_task = pytest.mark.parametrize("task", TASKS)


def asked(world: World, *tasks: str) -> Batch:
    return world.batch(world.examples(), tasks)


@everywhere
@every_scheme
@every_task
@torch.no_grad()
def test_a_task_asked_alone_answers_as_among_all(family: str, sharing: str, task: str) -> None:
    world = make_world(family, sharing, dtype=torch.float32)
    batch = asked(world, *ALL)
    together = world.model(batch, ALL)
    assert set(together) == set(ALL)
    alone = world.model(batch, [task])
    assert set(alone) == set(world.model.routes[task].tasks)
    assert_same(alone[task].scores, together[task].scores)
    fresh = asked(world, task)
    assert (batch.order == fresh.order).all()
    assert_same(world.model(fresh, [task])[task].scores, together[task].scores)


@everywhere
@every_scheme
@every_task
@torch.no_grad()
def test_blocks_a_task_does_not_depend_on_are_not_called(
    family: str, sharing: str, task: str
) -> None:
    world = make_world(family, sharing)
    with Calls(world.model) as calls:
        world.model(asked(world, task), [task])
    expected = {(depth, branch) for depth, branch in world.model.routes[task].raw if depth}
    assert set(calls.units) == expected
    assert all(len(units) == 1 for units in calls.units.values())


@everywhere
@torch.no_grad()
def test_asking_upos_alone_runs_one_block(family: str) -> None:
    world = make_world(family)
    with Calls(world.model) as calls:
        outputs = world.model(asked(world, "upos"), tasks=["upos"])
    assert set(outputs) == {"upos"}
    assert set(calls.units) == {(1, "shared")}


@everywhere
@torch.no_grad()
def test_the_states_of_one_depth_are_computed_once_for_all_its_tasks(family: str) -> None:
    world = make_world(family, "hard")
    with Calls(world.model) as calls:
        world.model(asked(world, *ALL), ALL)
    assert {key: len(units) for key, units in calls.units.items()} == {
        (depth, "shared"): 1 for depth in (1, 2, 3)
    }


@everywhere
@every_scheme
@every_task
@torch.no_grad()
def test_weights_outside_a_task_have_no_say(family: str, sharing: str, task: str) -> None:
    world = make_world(family, sharing, dtype=torch.float32)
    batch = asked(world, *ALL)
    before = world.model(batch, ALL)[task].scores
    inside = theta(world.model, task)
    outside = {
        n: p for n, p in world.parameters().items() if n not in inside and "sharing." not in n
    }
    assert outside
    randomise(outside.items(), spread=3.0, seed=1)
    assert_same(world.model(batch, ALL)[task].scores, before)
    name = next(n for n in sorted(inside) if n.startswith("stack.blocks.1."))
    randomise([(name, world.parameters()[name])], spread=3.0, seed=1)
    assert not same(world.model(batch, ALL)[task].scores, before)


def units_of(batch: Batch, tasks: set[str], world: World) -> int:
    """The units of the sentences that carry gold for any of the tasks."""
    needed = torch.zeros(batch.layout.sentences, dtype=torch.bool).numpy()
    for task in tasks & set(batch.annotated):
        needed |= batch.annotated[task]
    kept = needed[batch.layout.row_sentences]
    lengths = batch.layout.row_lengths
    if batch.layout.padded:
        return int(kept.sum()) * batch.layout.padded
    return recurring(int(lengths[kept].sum()))


@everywhere
@pytest.mark.parametrize("flat", [True, False])
def test_a_sentence_leaves_at_the_deepest_depth_one_of_its_tasks_needs(
    family: str, flat: bool
) -> None:
    world = make_world(family)
    batch = world.batch(8 * world.examples(), flat=flat)
    with Calls(world.model) as calls:
        world.model(batch)
    expected = {}
    for depth in (1, 2, 3):
        reaching = {task for task, (_, at) in TASKS.items() if at >= depth}
        expected[depth, "shared"] = [units_of(batch, reaching, world)]
    assert calls.units == expected
    assert expected[1, "shared"][0] > expected[2, "shared"][0] > expected[3, "shared"][0] > 0


def test_sentences_stand_deepest_first_so_that_the_early_ones_leave_from_the_end() -> None:
    world = make_world("bilstm")
    batch = world.batch(world.examples())
    depths = [max((TASKS[task][1] for task in RAGGED[i]), default=0) for i in batch.order]
    assert depths == sorted(depths, reverse=True)


@everywhere
@every_scheme
@pytest.mark.parametrize("flat", [True, False])
def test_a_ragged_batch_equals_its_sentences_apart(family: str, sharing: str, flat: bool) -> None:
    world = make_world(family, sharing)
    examples = world.examples()
    low = [e for e in examples if set(e.gold) == {"upos"}]
    others = [e for e in examples if set(e.gold) != {"upos"}]
    assert low
    assert len(others) > 2
    mixed = world.losses(world.batch(examples, flat=flat))
    gradients = world.gradients(torch.stack(list(mixed.values())).sum())
    parts = [world.losses(world.batch(part, flat=flat)) for part in (low, others)]
    for task, loss in mixed.items():
        expected = sum(part[task] for part in parts if task in part)
        torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-10)
    apart = [world.gradients(torch.stack(list(part.values())).sum()) for part in parts]
    for name, gradient in gradients.items():
        found = [part[name] for part in apart if part[name] is not None]
        assert (gradient is None) == (not found)
        if found:
            torch.testing.assert_close(gradient, torch.stack(found).sum(0), rtol=1e-9, atol=1e-9)


@everywhere
@torch.no_grad()
def test_a_sentence_of_low_tasks_is_scored_as_if_alone(family: str) -> None:
    world = make_world(family)
    examples = world.examples()
    batch = world.batch(examples)
    scores = per_sentence(batch, world.model(batch)["upos"])
    assert set(scores) == {i for i, e in enumerate(examples) if "upos" in e.gold}
    for place, found in scores.items():
        single = world.batch([examples[place]])
        alone = per_sentence(single, world.model(single)["upos"])[0]
        assert_same(found, alone, atol=1e-12)
