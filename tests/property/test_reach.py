"""What a step surely reaches, so that processes need not ask each other, it does reach."""

import pytest
import torch

from hiermtl.sharing import SHARING
from hiermtl.training.step import TrainingStep
from tests.worlds import World, make_world

DEPTHS = {"upos": 1, "span": 2, "ner": 2, "relation": 3}
TOP = {"hard": dict.fromkeys(DEPTHS, 3), "single": {"upos": 1, "ner": 2, "dep": 3}}
PARTED = (("a", "bc"), ("lmn", "op", "q"))
"""Of gold as `World.examples` makes it each has several spans, and relations between them."""

LONELY = (("a",), ("t",))
"""Each has one span, and so no pair of spans."""


def wrongly_sure(
    world: World, served: tuple[str, ...], sentences: tuple[tuple[str, ...], ...]
) -> tuple[set[str], set[str]]:
    """Weights without a gradient that are said to have one, and those with one not known of."""
    trained = TrainingStep(world.model)
    examples = world.examples(sentences, annotated=[tuple(world.model.hierarchy.names)])
    only = [example.only(task) for example in examples for task in served]
    losses = world.losses(world.batch(only))
    assert losses.keys() == set(served)
    found = world.gradients(torch.stack(list(losses.values())).sum())
    reach = trained.reach(served, beside=False)
    sure = {name.removeprefix("model.") for name, surely in reach.items() if surely}
    known = {name.removeprefix("model.") for name in reach}
    reached = {name for name, gradient in found.items() if gradient is not None}
    return sure - reached, reached - known


@pytest.mark.parametrize("sharing", [scheme for scheme in SHARING if scheme != "single"])
def test_a_step_has_a_gradient_for_all_that_it_surely_reaches(sharing: str) -> None:
    """Spans that a task reads are no scores: its loss does not reach what finds them."""
    world = make_world("bilstm", sharing, depths=TOP.get(sharing, DEPTHS))
    for served in (("relation",), ("upos", "relation"), ("span",), ("upos",)):
        assert wrongly_sure(world, served, PARTED) == (set(), set()), served


def test_so_it_has_where_nothing_is_shared() -> None:
    world = make_world("bilstm", "single", depths=TOP["single"])
    assert wrongly_sure(world, ("upos", "dep"), PARTED) == (set(), set())


def test_a_head_without_a_pair_to_judge_is_not_surely_reached() -> None:
    world = make_world("bilstm", depths=DEPTHS)
    assert wrongly_sure(world, ("relation",), LONELY) == (set(), set())
