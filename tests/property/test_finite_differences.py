"""Gradients of what the joint model adds, and of heads of pairs, against finite differences."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
from torch import Tensor

from hiermtl.heads import HEADS
from hiermtl.sharing.joint_many import JointMany
from tests.property import test_groups as groups
from tests.property.test_joint_many import DEPTHS, joint
from tests.worlds import FAMILIES, World

STEP = 1e-6
CLOSE = 1e-6
"""Of the slope, or absolute where it is below 1. Central differences in fp64 err by 1e-8 or so."""


def furthest(world: World, loss: Callable[[], Tensor], names: Iterable[str]) -> float:
    """How far slopes along one random direction per parameter lie from finite differences."""
    gradients, worst = world.gradients(loss()), 0.0
    for name in names:
        parameter, gradient = world.parameters()[name], gradients[name]
        random = np.random.default_rng([0, *name.encode()])
        along = torch.from_numpy(random.normal(size=parameter.shape))
        found = []
        with torch.no_grad():
            start = parameter.clone()
            for step in (STEP, -STEP):
                parameter.copy_(start + step * along)
                found.append(float(loss()))
            parameter.copy_(start)
        slope = (found[0] - found[1]) / (2 * STEP)
        expected = 0.0 if gradient is None else float((gradient * along).sum())
        worst = max(worst, abs(slope - expected) / max(1.0, abs(slope)))
    return worst


def of_levels(family: str, task: str) -> tuple[World, Callable[[], Tensor], list[str]]:
    """A joint model, the loss of a task, and what carries it: heads, tables, what enters, below."""
    world = joint(family)
    batch = world.batch(world.examples(annotated=[tuple(DEPTHS)]))
    parts = ("sharing.", "heads.", "stack.blocks.2.", "stack.embeddings.")
    names = [n for n in world.parameters() if n.startswith(parts) or ".extra." in n]
    return world, lambda: world.losses(batch)[task], names


def of_groups(family: str, task: str) -> tuple[World, Callable[[], Tensor], list[str]]:
    world = groups.make_world(family, sharing="joint_many")
    batch = groups.batch_of(world, groups.entries(world))
    parts = ("heads.", "stack.blocks.1.", "sharing.")
    names = [name for name in world.parameters() if name.startswith(parts)]
    return world, lambda: world.losses(batch)[task], names


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", ["ner", "dep"])
def test_label_vectors_shortcuts_chains_and_trees(family: str, task: str) -> None:
    assert furthest(*of_levels(family, task)) < CLOSE


@pytest.mark.parametrize("family", groups.FAMILIES)
@pytest.mark.parametrize("task", ["topic", "related", "entails"])
def test_texts_and_pairs(family: str, task: str) -> None:
    assert furthest(*of_groups(family, task)) < CLOSE


@pytest.mark.parametrize("family", FAMILIES)
def test_a_shortcut_without_gradient_shows(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = JointMany.extra

    def cut(scheme: JointMany, *args: object, seen: Iterable[Tensor], **rest: object) -> object:
        return right(scheme, *args, seen=[one.detach() for one in seen], **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(JointMany, "extra", cut)
    assert furthest(*of_levels(family, "dep")) > 1e-3


@pytest.mark.parametrize("family", groups.FAMILIES)
@pytest.mark.parametrize("task", ["related", "entails"])
def test_a_pair_of_which_one_side_has_no_gradient_shows(
    family: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = HEADS[groups.TASKS[task][0]]
    right = head.compared

    def cut(own: object, first: Tensor, second: Tensor) -> object:
        return right(own, first, second.detach())

    monkeypatch.setattr(head, "compared", cut)
    assert furthest(*of_groups(family, task)) > 1e-3
