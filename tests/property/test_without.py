"""A model without some of its tasks: the others as they were, and nothing that is not theirs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hiermtl.errors import ModelError, RecipeError
from hiermtl.model import HierarchicalModel
from hiermtl.sharing import SHARING
from tests.worlds import (
    FAMILIES,
    TASKS,
    World,
    assert_same,
    depths_for,
    make_config,
    make_encoder,
    make_tokenizer,
    make_world,
    randomise,
    same,
    save_and_load,
)

DEPTHS = {"upos": 1, "ner": 2, "dep": 3}
CASES = [*((family, "ner") for family in FAMILIES), ("bilstm", "upos"), ("bilstm", "dep")]
"""Encoder and auxiliary task, which is the lowest, the deepest or between."""

SCHEMES: dict[str, dict[str, Any]] = {name: {"name": name} for name in SHARING} | {
    "adaptive, split": {
        "name": "adaptive",
        "tree": {
            "3": [["dep"]],
            "2": [["edits", "dep"], ["hint", "ner"]],
            "1": [["upos"], ["dep", "edits"], ["hint", "ner"]],
        },
    },
    "cross_stitch, live": {"name": "cross_stitch", "streams": "live", "per": "channel"},
    "hmtl, side by side": {
        "name": "hmtl",
        "tree": {"ner": "upos", "hint": "upos", "edits": "upos", "dep": "hint"},
    },
    "joint_many, labels alone": {"name": "joint_many", "shortcuts": False},
    "learned, fixed": {"name": "learned", "taps": {n: min(d, 2) for n, (_, d) in TASKS.items()}},
    "sluice, live": {"name": "sluice", "streams": "live", "betas": "softmax"},
    "soft_l2, at the top": {"name": "soft_l2", "shared_below": 3},
}
every_scheme = pytest.mark.parametrize("scheme", SCHEMES)
TOGETHER = ("adaptive", "cross_stitch", "hmtl", "joint_many", "relationship", "sluice")
"""Schemes that are others when they are made for some of the tasks alone."""


def world_of(
    family: str,
    sharing: Mapping[str, Any],
    *,
    auxiliary: str | None = None,
    depths: Mapping[str, int] | None = None,
) -> World:
    encoder = make_encoder(family)
    given = depths_for(sharing["name"]) if depths is None else depths
    if sharing["name"] == "adaptive" and depths is None:
        given = {task: depth for task, (_, depth) in TASKS.items()}
    config = make_config(encoder, sharing, depths=given)
    if auxiliary is not None:
        config.tasks[auxiliary]["auxiliary"] = True
    model = HierarchicalModel(config, encoder).eval()
    randomise(model.named_parameters())
    return World(model, make_tokenizer(family))


def without(world: World, *tasks: str) -> World:
    return World(world.model.without(tasks), world.tokenizer)


@torch.no_grad()
def scores_of(world: World, tasks: list[str], *, flat: bool = True) -> dict[str, Tensor]:
    outputs = world.model(world.batch(world.examples(), tasks, flat=flat), tasks)
    return {f"{t} {n}": s for t in tasks for n, s in outputs[t].scores.items()}


def depended_on(model: HierarchicalModel, tasks: list[str]) -> set[str]:
    return set().union(*(model.depends_on(task) for task in tasks))


@every_scheme
@pytest.mark.parametrize(("family", "task"), CASES)
def test_the_others_are_the_same_bit_for_bit_without_an_auxiliary_task(
    family: str, scheme: str, task: str
) -> None:
    world = world_of(family, SCHEMES[scheme], auxiliary=task)
    rest = [name for name in world.model.hierarchy.names if name != task]
    less = without(world, task)
    assert set(less.model.hierarchy.names) == set(less.model.heads) == set(rest)
    for flat in (True, False):
        assert_same(scores_of(less, rest, flat=flat), scores_of(world, rest, flat=flat))
    own, every = dict(less.model.named_parameters()), dict(world.model.named_parameters())
    assert set(own) == depended_on(world.model, rest) == depended_on(less.model, rest)
    assert all(torch.equal(value, every[name]) for name, value in own.items())
    only = world.model.depends_on(task) - depended_on(world.model, rest)
    assert any(name.startswith(f"heads.{task}.") for name in only)
    assert not only & set(own)


@every_scheme
def test_several_tasks_go_at_once_or_one_by_one(scheme: str) -> None:
    world = world_of("bilstm", SCHEMES[scheme], auxiliary="upos")
    left = ["ner", "edits"]
    at_once = without(world, "upos", "hint", "dep")
    one_by_one = without(without(without(world, "upos"), "dep"), "hint")
    assert_same(scores_of(at_once, left), scores_of(world, left))
    assert_same(at_once.model.state_dict(), one_by_one.model.state_dict())
    assert at_once.model.config.absent == one_by_one.model.config.absent


@every_scheme
def test_what_is_left_is_saved_and_loaded(scheme: str, tmp_path: Path) -> None:
    world = world_of("bilstm", SCHEMES[scheme], auxiliary="hint")
    less = without(world, "hint")
    rest = list(less.model.hierarchy.names)
    again = save_and_load(less, tmp_path)
    assert_same(scores_of(again, rest), scores_of(less, rest))
    assert "hint" not in again.model.config.tasks
    told = {} if SHARING[SCHEMES[scheme]["name"]].separable else {"hint"}
    assert set(again.model.config.absent) == set(told)
    again.model.sharing.learnt()
    # What is told of the scheme is how it was trained, with all tasks.
    assert again.model.described() == world.model.described()


@pytest.mark.parametrize("scheme", TOGETHER)
def test_a_scheme_made_for_the_others_alone_would_be_another(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: it cannot take the weights, or says something else with them."""
    monkeypatch.setattr(SHARING[scheme], "separable", True)
    world = world_of("bilstm", {"name": scheme}, auxiliary="ner", depths=DEPTHS)
    before = scores_of(world, ["upos", "dep"])
    try:
        unchanged = same(scores_of(without(world, "ner"), ["upos", "dep"]), before)
    except (KeyError, RuntimeError, RecipeError):
        unchanged = False
    assert not unchanged


def test_streams_that_flow_into_others_stay() -> None:
    """And with one of their tensors zeroed, the others say something else: they are needed."""
    world = world_of("bilstm", {"name": "cross_stitch"}, auxiliary="ner", depths=DEPTHS)
    less = without(world, "ner")
    names = [n for n, _ in less.model.named_parameters() if n.startswith("stack.blocks.1.ner.")]
    assert names
    before = scores_of(less, ["upos", "dep"])
    with torch.no_grad():
        less.model.get_parameter(names[0]).zero_()
    assert not same(scores_of(less, ["upos", "dep"]), before)


@pytest.mark.parametrize("task", list(DEPTHS))
def test_copies_of_adapted_blocks_keep_the_weights_they_have_in_common(
    task: str, tmp_path: Path
) -> None:
    """They have the name of the first copy, which may be the one that goes."""
    adapter = {"name": "lora", "rank": 2}
    made = make_world("bert", {"name": "soft_l2"}, depths=DEPTHS, adapter=adapter)
    rest = [name for name in DEPTHS if name != task]
    less = without(made, task)
    assert less.model.stack.repeated()
    assert_same(scores_of(less, rest), scores_of(made, rest))
    assert_same(scores_of(save_and_load(less, tmp_path), rest), scores_of(made, rest))


def test_blocks_above_the_deepest_task_that_is_left_go() -> None:
    world = world_of("bilstm", {"name": "cross_stitch"}, auxiliary="dep", depths=DEPTHS)
    less = without(world, "dep")
    assert less.model.stack.depth == 2
    assert set(less.model.stack.copies(2)) == {"upos", "ner", "dep"}
    assert [n for n, _ in less.model.sharing.named_parameters()] == ["alpha.1", "alpha.2"]


def test_labels_of_an_auxiliary_task_are_fed_to_none() -> None:
    helping = world_of("bilstm", {"name": "joint_many"}, auxiliary="upos", depths=DEPTHS)
    assert helping.model.routes["dep"].tasks == {"dep", "ner"}
    assert not any("tables.upos" in name for name in helping.parameters())
    control = world_of("bilstm", {"name": "joint_many"}, depths=DEPTHS)
    assert control.model.routes["dep"].tasks == {"dep", "ner", "upos"}


def test_a_task_whose_predictions_are_read_cannot_go_alone() -> None:
    world = world_of("bilstm", {"name": "joint_many"}, depths=DEPTHS)
    with pytest.raises(ModelError, match="task 'ner' reads what upos predicts, so that the model"):
        world.model.without(["upos"])
    assert world.model.without(["ner", "dep"]).hierarchy.names == ("upos",)


def test_without_nothing_a_model_is_itself() -> None:
    world = world_of("bilstm", {"name": "hard"}, depths=dict.fromkeys(DEPTHS, 3))
    assert world.model.without([]) is world.model
    with pytest.raises(ModelError, match=r"the model has no task 'nre'; .* did you mean 'ner'"):
        world.model.without(["nre"])
