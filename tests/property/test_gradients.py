"""What a task's loss reaches: its own head and the blocks below it, and nothing else moves."""

import pytest
import torch

from hiermtl.sharing import SHARING
from tests.worlds import ALL, FAMILIES, TASKS, World, make_world, theta

everywhere = pytest.mark.parametrize("family", FAMILIES)
every_scheme = pytest.mark.parametrize("sharing", SHARING)
every_task = pytest.mark.parametrize("task", TASKS)


def total(world: World) -> torch.Tensor:
    batch = world.batch(world.examples(annotated=[ALL]))
    return torch.stack(list(world.losses(batch).values())).sum()


def step_on_all_then_on_one(
    world: World, optimizer: torch.optim.Optimizer, task: str, *, to_none: bool
) -> dict[str, bool]:
    """Whether each parameter outside the task's moved by a bit in the step on that task alone."""
    for _ in range(3):
        optimizer.zero_grad(set_to_none=to_none)
        total(world).backward()
        optimizer.step()
    before = {name: p.detach().clone() for name, p in world.parameters().items()}
    optimizer.zero_grad(set_to_none=to_none)
    world.losses(world.batch(world.examples(annotated=[(task,)])))[task].backward()
    optimizer.step()
    inside = theta(world.model, task)
    moved = {name: not torch.equal(before[name], p) for name, p in world.parameters().items()}
    assert any(moved[name] for name in inside)
    return {name: moved[name] for name in moved if name not in inside and "sharing." not in name}


@everywhere
@every_scheme
@every_task
def test_a_loss_gives_no_gradient_outside_what_its_task_depends_on(
    family: str, sharing: str, task: str
) -> None:
    world = make_world(family, sharing)
    batch = world.batch(world.examples(annotated=[ALL]))
    gradients = world.gradients(world.losses(batch)[task])
    inside = theta(world.model, task)
    reached = {n for n, grad in gradients.items() if grad is not None and "sharing." not in n}
    assert reached == inside
    for name in inside:
        if name.startswith("stack.blocks.") and gradients[name].dim() > 1:
            assert gradients[name].abs().sum() > 0, name


@pytest.mark.parametrize(("task", "top"), [("upos", 1), ("ner", 2), ("dep", 3)])
def test_under_low_supervision_a_task_depends_on_its_blocks_and_its_head(
    task: str, top: int
) -> None:
    world = make_world("bert")
    reached = {".".join(name.split(".")[:3]) for name in theta(world.model, task)}
    blocks = {f"stack.blocks.{depth}" for depth in range(1, top + 1)}
    assert {name for name in reached if name.startswith("stack.")} == {
        "stack.embeddings.shared"
    } | blocks
    assert {name.split(".")[1] for name in reached if name.startswith("heads.")} == {task}


@everywhere
@every_scheme
@pytest.mark.parametrize("task", ["upos", "ner"])
def test_a_step_on_one_task_moves_nothing_outside_it_by_a_bit(
    family: str, sharing: str, task: str
) -> None:
    world = make_world(family, sharing)
    optimizer = torch.optim.AdamW(world.model.parameters(), lr=1e-2, weight_decay=0.1)
    outside = step_on_all_then_on_one(world, optimizer, task, to_none=True)
    assert outside
    assert not any(outside.values())


@pytest.mark.parametrize(
    "make",
    [torch.optim.AdamW, lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9)],
    ids=["adamw", "momentum"],
)
def test_gradients_of_zero_instead_of_none_would_be_caught(make: type) -> None:
    world = make_world("bilstm")
    optimizer = make(world.model.parameters(), lr=1e-2)
    outside = step_on_all_then_on_one(world, optimizer, "upos", to_none=False)
    assert any(moved for name, moved in outside.items() if name.startswith("heads."))


@everywhere
@every_scheme
def test_the_gradient_of_summed_losses_is_the_sum_of_their_gradients(
    family: str, sharing: str
) -> None:
    world = make_world(family, sharing)
    batch = world.batch(world.examples(annotated=[ALL]))
    together = world.gradients(total(world))
    apart = [world.gradients(world.losses(batch)[task]) for task in TASKS]
    for name, gradient in together.items():
        parts = [part[name] for part in apart if part[name] is not None]
        if gradient is None:
            assert not parts
        else:
            torch.testing.assert_close(gradient, torch.stack(parts).sum(0), rtol=1e-9, atol=1e-9)


@every_scheme
def test_a_task_of_weight_zero_changes_no_gradient_of_another(sharing: str) -> None:
    world = make_world("bilstm", sharing)
    losses = world.losses(world.batch(world.examples(annotated=[ALL])))
    alone = world.gradients(losses["upos"])
    losses = world.losses(world.batch(world.examples(annotated=[ALL])))
    weighted = world.gradients(losses["upos"] + 0 * losses["dep"])
    for name in theta(world.model, "upos"):
        assert torch.equal(alone[name], weighted[name])
