"""Rates by depth and part, the schedule, and state that is kept by name."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from hiermtl.recipe import load_recipe
from hiermtl.sharing import Edit
from hiermtl.sharing.base import Rate
from hiermtl.training import Settings
from hiermtl.training.balancing import UncertaintyBalancer
from hiermtl.training.optimizer import (
    carry,
    freeze,
    make_optimizer,
    optimizer_state,
    restore_optimizer,
    set_rates,
)
from tests.unit.training.runs import examples_of, fresh, train, weights
from tests.worlds import World, make_config, make_encoder

SETTINGS = Settings(lr=1e-3, lr_heads=5e-3, layer_decay=0.5, weight_decay=0.1)


def rates(world: World, settings: Settings) -> dict[str, tuple[float, float]]:
    groups = make_optimizer(world.model, settings).param_groups
    found = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    return {name: found[id(p)] for name, p in world.parameters().items() if id(p) in found}


def steps(world: World, optimizer: torch.optim.Optimizer, *, count: int = 3) -> None:
    batch = world.batch(examples_of(world, count=6).fetch(range(6)))
    for _ in range(count):
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(world.losses(batch).values())).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("family", ["bert", "bilstm"])
def test_rates_fall_with_depth_and_heads_have_their_own(family: str) -> None:
    world = fresh(family)
    expected = {0: 1e-3 / 8, 1: 1e-3 / 4, 2: 1e-3 / 2, 3: 1e-3}
    found = rates(world, SETTINGS)
    assert found.keys() == world.parameters().keys()
    for name, (lr, _) in found.items():
        part, kind, *rest = name.split(".")
        if part == "heads":
            assert lr == 5e-3, name
        else:
            depth = 0 if kind == "embeddings" else int(rest[0])
            assert lr == pytest.approx(expected[depth]), name
    assert {lr for lr, _ in found.values()} == {1.25e-4, 2.5e-4, 5e-4, 1e-3, 5e-3}


@pytest.mark.parametrize("family", ["bert", "bilstm"])
def test_matrices_decay_and_vectors_do_not(family: str) -> None:
    world = fresh(family)
    for name, (_, decay) in rates(world, SETTINGS).items():
        assert decay == (0.1 if world.parameters()[name].dim() > 1 else 0.0), name


def test_a_scheme_can_ask_for_a_rate_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    world = fresh()
    monkeypatch.setattr(world.model.sharing, "rates", lambda: [Rate("stack.blocks.2.", 0.7, 0.3)])
    found = rates(world, SETTINGS)
    of_block = {name for name in found if name.startswith("stack.blocks.2.")}
    assert of_block
    for name, rate in found.items():
        assert (rate == (0.7, 0.3)) == (name in of_block), name


@pytest.mark.parametrize("below", [0, 1, 2, 4])
def test_frozen_depths_are_out_of_training(below: int) -> None:
    world = fresh()
    freeze(world.model, 0, below)
    kept = rates(world, SETTINGS)
    for name in world.parameters():
        _, kind, *rest = name.split(".")
        depth = {"embeddings": 0, "blocks": int(rest[0]) if rest[0].isdigit() else 0}.get(kind, 9)
        assert (name in kept) == (depth >= below), name


def test_frozen_depths_and_tasks_do_not_move_in_training(tmp_path) -> None:
    world = fresh()
    config = make_config(make_encoder("bilstm"), depths={"upos": 1, "ner": 2, "dep": 3})
    config.tasks["ner"]["frozen"] = True
    world = World(type(world.model)(config, make_encoder("bilstm")).float(), world.tokenizer)
    before = weights(world)
    train(tmp_path, world=world, freeze_below=2)
    moved = {name for name, value in weights(world).items() if not torch.equal(value, before[name])}
    frozen = ("stack.embeddings.", "stack.blocks.1.", "heads.ner.")
    assert not [name for name in moved if name.startswith(frozen)]
    for prefix in ("stack.blocks.2.", "stack.blocks.3.", "heads.upos.", "heads.dep."):
        assert any(name.startswith(prefix) for name in moved), prefix


def test_the_schedule_is_a_hill_with_straight_sides() -> None:
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "peak_lr": 8.0}])
    found = [set_rates(optimizer, step, total=10, warmup=4) for step in range(10)]
    # 4 steps up, then from 1 at step 4 down by a sixth each.
    assert found == pytest.approx([0.25, 0.5, 0.75, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(8 / 6)
    shares = [set_rates(optimizer, step, total=10, warmup=0.4) for step in range(10)]
    assert shares == pytest.approx(found)


def test_a_share_of_one_is_all_steps_and_not_one_step() -> None:
    """A share is a number with a point, steps are a whole one; both may be 1."""
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "peak_lr": 1.0}])
    whole = load_recipe("low_supervision/sample", {"training.warmup": 1.0}).training.warmup
    found = [set_rates(optimizer, step, total=4, warmup=whole) for step in range(4)]
    assert found == pytest.approx([0.25, 0.5, 0.75, 1])
    single = load_recipe("low_supervision/sample", {"training.warmup": 1}).training.warmup
    found = [set_rates(optimizer, step, total=4, warmup=single) for step in range(4)]
    assert found == pytest.approx([1, 1, 2 / 3, 1 / 3])


def test_the_rate_of_an_epoch_is_the_peak_over_what_the_decay_says() -> None:
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "peak_lr": 8.0}])
    for epoch, rate in ((0, 8.0), (1, 8 / 1.3), (5, 8 / 2.5)):
        set_rates(optimizer, 7, total=10, warmup=4, decay=0.3, epoch=epoch)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate)


def test_learnt_weights_of_losses_are_not_decayed_and_move_like_heads() -> None:
    balancer = UncertaintyBalancer({"upos": 1.0, "dep": 1.0})
    groups = make_optimizer(fresh("bilstm").model, SETTINGS, balancer).param_groups
    for parameter in balancer.parameters():
        (group,) = (g for g in groups if any(p is parameter for p in g["params"]))
        assert (group["lr"], group["weight_decay"]) == (SETTINGS.lr_heads, 0)


def test_without_warm_up_the_schedule_begins_at_the_peak() -> None:
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "peak_lr": 1.0}])
    found = [set_rates(optimizer, step, total=4, warmup=0) for step in range(4)]
    assert found == pytest.approx([1, 0.75, 0.5, 0.25])


def test_a_run_shorter_than_its_warm_up_never_reaches_the_peak() -> None:
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "peak_lr": 1.0}])
    found = [set_rates(optimizer, step, total=3, warmup=100) for step in range(3)]
    assert found == pytest.approx([0.01, 0.02, 0.03])


def reordered(world: World) -> World:
    """The same model with its heads in another order."""
    other = copy.deepcopy(world)
    other.model.heads = nn.ModuleDict(dict(reversed(list(other.model.heads.items()))))
    return other


def test_state_comes_back_by_name_when_the_order_of_parameters_is_another() -> None:
    world = fresh()
    optimizer = make_optimizer(world.model, SETTINGS)
    steps(world, optimizer)
    saved = {n: v.clone() for n, v in optimizer_state(world.model, optimizer).items()}
    assert {key.rpartition("::")[2] for key in saved} == {"step", "exp_avg", "exp_avg_sq"}
    other = reordered(world)
    assert list(other.parameters()) != list(world.parameters())
    restored = make_optimizer(other.model, SETTINGS)
    restore_optimizer(other.model, restored, saved)
    steps(world, optimizer)
    steps(other, restored)
    found = weights(other)
    assert all(torch.equal(value, found[name]) for name, value in weights(world).items())


def test_without_its_state_the_next_steps_are_others() -> None:
    world = fresh()
    optimizer = make_optimizer(world.model, SETTINGS)
    steps(world, optimizer)
    other = reordered(world)
    steps(world, optimizer)
    steps(other, make_optimizer(other.model, SETTINGS))
    found = weights(other)
    assert not all(torch.equal(value, found[name]) for name, value in weights(world).items())


class Family(nn.Module):
    """A parameter, and room for a copy of it."""

    def __init__(self) -> None:
        super().__init__()
        self.parent = nn.Parameter(torch.ones(3, 3))

    def give_birth(self) -> Edit:
        self.child = nn.Parameter(self.parent.detach().clone())
        return Edit({"child": "parent"})


def gradients() -> Iterator[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    while True:
        # Opposite signs: the running mean is small beside the running square.
        yield torch.randn(3, 3, generator=draw)


def grown(*, with_state: bool) -> tuple[Family, torch.optim.Optimizer, torch.Tensor]:
    family, given = Family(), gradients()
    optimizer = torch.optim.AdamW(family.parameters(), lr=0.1, weight_decay=0.01)
    for _ in range(20):
        family.parent.grad = next(given)
        optimizer.step()
    edit = family.give_birth()
    if with_state:
        carry(optimizer, family, edit)
    else:
        optimizer.param_groups[0]["params"].append(family.child)
    start = family.parent.detach().clone()
    gradient = next(given)
    family.parent.grad, family.child.grad = gradient.clone(), gradient.clone()
    optimizer.step()
    return family, optimizer, start


def test_a_child_goes_on_as_its_parent() -> None:
    family, optimizer, start = grown(with_state=True)
    assert torch.equal(family.child, family.parent)
    assert not torch.equal(family.parent, start)
    (group,) = optimizer.param_groups
    assert len(group["params"]) == 2
    for quantity, value in optimizer.state[family.parent].items():
        own = optimizer.state[family.child][quantity]
        assert torch.equal(own, value)
        assert own.data_ptr() != value.data_ptr()


def test_what_a_model_no_longer_has_is_forgotten() -> None:
    """Blocks that a scheme removes would keep three tensors of their size in memory."""
    family, optimizer, _ = grown(with_state=True)
    beside = nn.Parameter(torch.ones(2))
    optimizer.add_param_group({"params": [beside]})
    beside.grad = torch.ones(2)
    optimizer.step()
    del family.child
    carry(optimizer, family, Edit(), beside=[beside])
    assert [group["params"] for group in optimizer.param_groups] == [[family.parent], [beside]]
    assert set(optimizer.state) == {family.parent, beside}
    carry(optimizer, family, Edit())
    assert set(optimizer.state) == {family.parent}
    # A group that is left empty is no harm.
    family.parent.grad = torch.ones(3, 3)
    optimizer.step()


def test_without_a_copy_of_the_state_a_childs_first_step_is_too_long() -> None:
    family, _, start = grown(with_state=False)
    own, parents = (family.child - start).norm(), (family.parent - start).norm()
    assert own > 2 * parents
