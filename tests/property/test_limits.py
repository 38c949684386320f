"""Where schemes meet: one task, one depth, tasks declared in another order."""

import pytest
import torch
from torch import Tensor

from hiermtl.config import HierarchicalConfig
from hiermtl.model import HierarchicalModel
from hiermtl.sharing import SHARING
from tests.worlds import (
    ALL,
    BLOCKS,
    FAMILIES,
    LABELS,
    TASKS,
    World,
    assert_same,
    depths_for,
    make_config,
    make_encoder,
    make_tokenizer,
    make_world,
)

everywhere = pytest.mark.parametrize("family", FAMILIES)
TOP = dict.fromkeys(ALL, BLOCKS)


def unbranched(named: dict[str, Tensor | None]) -> dict[str, Tensor | None]:
    """Parameter names without the name of the branch."""
    renamed = {}
    for name, value in named.items():
        parts = name.split(".")
        if parts[0] == "stack":
            del parts[2 if parts[1] == "embeddings" else 3]
        renamed[".".join(parts)] = value
    assert len(renamed) == len(named)
    return renamed


NEUTRAL = {"joint_many": {"zero_softmax": False}, "sluice": {"betas": "off"}}
"""Options under which a scheme is and starts as others do."""


def fresh(family: str, sharing: str, *, depths: dict[str, int]) -> World:
    fixed = {"taps": depths} if sharing == "learned" else {}
    given = {"name": sharing, **NEUTRAL.get(sharing, {}), **fixed}
    return make_world(family, given, depths=depths, spread=0.0, dtype=torch.float32)


def one_step_of_each(world: World) -> tuple[dict[str, Tensor], dict[str, Tensor], list[float]]:
    """Scores and gradients at the start, and the losses of five steps."""
    batch = world.batch(world.examples())
    outputs = world.model(batch)
    scores = {f"{t} {n}": s for t, output in outputs.items() for n, s in output.scores.items()}
    losses = world.model.losses(batch, outputs)
    gradients = world.gradients(torch.stack(list(losses.values())).sum())
    optimizer = torch.optim.AdamW(world.model.parameters(), lr=1e-2)
    curve = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = torch.stack(list(world.losses(batch).values())).sum()
        loss.backward()
        optimizer.step()
        curve.append(float(loss.detach()))
    return scores, gradients, curve


PLAIN = tuple(name for name in SHARING if name != "relationship")
"""Schemes without a layer of their own between states and heads."""


@everywhere
@pytest.mark.parametrize("sharing", PLAIN)
@pytest.mark.parametrize("task", TASKS)
def test_one_task_is_a_single_task_model_under_every_scheme(
    family: str, sharing: str, task: str
) -> None:
    scores, gradients, curve = one_step_of_each(fresh(family, sharing, depths={task: 2}))
    plain = one_step_of_each(fresh(family, "single", depths={task: 2}))
    assert_same(scores, plain[0])
    expected = unbranched(plain[1])
    found = {name: value for name, value in unbranched(gradients).items() if name in expected}
    assert_same(found, expected)
    own = [value for name, value in gradients.items() if name.startswith("sharing.")]
    assert own == [None] * len(own), "what the scheme has of its own has no say"
    assert curve == plain[2]
    assert curve[-1] < curve[0]


@everywhere
def test_all_depths_at_the_top_equal_hard_sharing(family: str) -> None:
    low, hard = (
        one_step_of_each(fresh(family, s, depths=TOP)) for s in ("low_supervision", "hard")
    )
    assert_same(low[0], hard[0])
    assert_same(low[1], hard[1])
    assert low[2] == hard[2]


@everywhere
def test_depths_of_their_own_differ_from_hard_sharing(family: str) -> None:
    low = one_step_of_each(fresh(family, "low_supervision", depths=depths_for("low_supervision")))
    hard = one_step_of_each(fresh(family, "hard", depths=TOP))
    assert low[2] != hard[2]


@everywhere
@torch.no_grad()
def test_branches_of_single_tasks_start_equal(family: str) -> None:
    single, shared = (fresh(family, s, depths=TOP) for s in ("single", "low_supervision"))
    state = shared.model.state_dict()
    for name, value in single.model.state_dict().items():
        for task in ALL:
            name = name.replace(f".{task}.", ".shared.") if name.startswith("stack.") else name
        assert torch.equal(value, state[name])


@everywhere
@pytest.mark.parametrize("sharing", SHARING)
def test_the_order_of_declaration_means_nothing(family: str, sharing: str) -> None:
    worlds = []
    depths = depths_for(sharing)
    for names in (list(depths), list(reversed(depths))):
        encoder = make_encoder(family)
        config = make_config(encoder, sharing, depths={name: depths[name] for name in names})
        model = HierarchicalModel(config, encoder, seed=4).eval()
        worlds.append(World(model, make_tokenizer(family)))
    first, second = worlds
    assert list(first.parameters()) == list(second.parameters())
    assert_same(first.parameters(), second.parameters())
    one, two = one_step_of_each(first), one_step_of_each(second)
    assert_same(one[0], two[0])
    assert_same(one[1], two[1])
    assert one[2] == two[2]


@everywhere
def test_a_further_task_changes_the_start_of_no_other(family: str) -> None:
    few = fresh(family, "low_supervision", depths={"upos": 1, "dep": 3}).parameters()
    many = fresh(family, "low_supervision", depths={"ner": 2, "upos": 1, "dep": 3}).parameters()
    assert set(few) < set(many)
    assert_same(few, {name: many[name] for name in few})


@everywhere
def test_another_seed_gives_another_start(family: str) -> None:
    one, two = (make_world(family, seed=s, spread=0.0).parameters() for s in (0, 1))
    heads = [name for name in one if name.endswith("output.weight") and name.startswith("heads")]
    blocks = [name for name in one if name.startswith("stack.blocks") and one[name].dim() > 1]
    assert heads
    assert blocks
    assert not any(torch.equal(one[name], two[name]) for name in heads + blocks)


@torch.no_grad()
def test_permuting_labels_permutes_the_scores_of_a_tagging_head() -> None:
    world = make_world("bilstm")
    batch = world.batch(world.examples(), ["upos"])
    before = world.model(batch, ["upos"])["upos"].scores["labels"]
    order = torch.tensor([3, 0, 4, 2, 1])
    assert len(order) == len(LABELS["tags"])
    output = world.model.head("upos").get_submodule("output")
    output.weight.copy_(output.weight[order])
    output.bias.copy_(output.bias[order])
    after = world.model(batch, ["upos"])["upos"].scores["labels"]
    torch.testing.assert_close(after, before[:, order], rtol=0, atol=1e-12)


def test_building_draws_nothing_from_the_global_randomness() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    encoder = make_encoder("bert")
    HierarchicalModel(HierarchicalConfig(**plain(encoder)), encoder)
    assert torch.equal(torch.rand(3), expected)


def plain(encoder: object) -> dict[str, object]:
    config = make_config(encoder, depths=depths_for("low_supervision"))
    return {"encoder": config.encoder, "tasks": config.tasks, "sharing": config.sharing}
