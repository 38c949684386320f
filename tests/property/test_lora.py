"""An adapted encoder under every scheme: one set of frozen weights, a delta for each copy."""

import copy
import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from hiermtl.errors import ModelError, RecipeError
from hiermtl.model import HierarchicalModel
from hiermtl.sharing import SHARING
from hiermtl.training import TrainingStep, shards
from hiermtl.training.optimizer import carry, freeze
from tests.unit.training.runs import Broken, EveryStep, fresh, losses, train, weights
from tests.worlds import (
    ALL,
    Calls,
    World,
    assert_same,
    make_world,
    randomise,
    same,
    save_and_load,
)

LORA: dict[str, Any] = {"name": "lora", "rank": 2, "alpha": 4.0}
RANK, WIDTH, INNER = 2, 32, 40
BLOCK = RANK * (8 * WIDTH + 2 * (WIDTH + INNER))
"""Trained weights of an adapted block of the worlds' BERT."""

SCHEMES = [name for name in SHARING if name != "soft_trace"]
SHORT: dict[str, Any] = {"max_steps": 3, "checkpoint_every": 2}
COPIES = ["single", "soft_l2", "cross_stitch", "sluice", "hmtl"]
DEPTHS = {"upos": 1, "ner": 2, "dep": 3}
every_scheme = pytest.mark.parametrize("sharing", SCHEMES)
families = pytest.mark.parametrize("family", ["bert", "modernbert"])


def is_delta(name: str) -> bool:
    return ".lora_" in name


def adapted(
    sharing: str | Mapping[str, object],
    family: str = "bert",
    *,
    spread: float = 0.2,
    **options: Any,
) -> World:
    """Deltas, heads and what schemes have of their own are moved; what is held stays."""
    world = make_world(family, sharing, adapter=LORA, spread=0.0, **options)
    if spread:
        moved = [(n, p) for n, p in world.parameters().items() if p.requires_grad]
        randomise(moved, spread=spread)
    return world


def scores(world: World, *tasks: str) -> dict[str, Tensor]:
    tasks = tasks or tuple(world.model.hierarchy.names)
    batch = world.batch(world.examples(), world.model.hierarchy.names)
    with torch.no_grad():
        outputs = world.model(batch, tasks)
    return {f"{t} {n}": s for t in tasks for n, s in outputs[t].scores.items()}


@pytest.mark.parametrize(
    ("family", "sharing"), [*(("bert", name) for name in SCHEMES), ("modernbert", "cross_stitch")]
)
def test_before_training_outputs_are_those_without_adapter_bit_for_bit(
    family: str, sharing: str
) -> None:
    """Whatever else a model has, of which some starts at zero and is moved here."""
    plain = make_world(family, sharing, spread=0.0, dtype=torch.float32)
    world = adapted(sharing, family, spread=0.0, dtype=torch.float32)
    for one in (plain, world):
        randomise((n, p) for n, p in one.parameters().items() if ".parts." not in n)
    before = scores(plain)
    assert_same(scores(world), before)
    randomise((n, p) for n, p in world.parameters().items() if ".lora_B." in n)
    moved = scores(world)
    read = [name for name in before if " root_" not in name]  # that is a weight of the head
    assert not any(torch.equal(moved[name], before[name]) for name in read)


@every_scheme
def test_what_is_held_is_there_once_and_each_copy_has_its_delta(sharing: str) -> None:
    plain, world = make_world("bert", "low_supervision"), adapted(sharing)
    stack = world.model.stack
    deltas = sum(p.numel() for n, p in stack.named_parameters() if is_delta(n))
    copies = sum(len(stack.copies(depth)) for depth in range(1, 4))
    assert deltas == copies * BLOCK
    held = sum(p.numel() for p in stack.parameters() if not p.requires_grad)
    casing = sum(p.numel() for n, p in plain.parameters().items() if "casing" in n)
    assert held == sum(p.numel() for p in plain.model.stack.parameters()) - casing
    assert bool(stack.repeated()) == (copies > 3) == (sharing in COPIES)


@every_scheme
@pytest.mark.parametrize("task", ["upos", "dep"])
def test_a_loss_reaches_deltas_of_its_task_and_no_weight_that_is_held(
    sharing: str, task: str
) -> None:
    world = adapted(sharing)
    batch = world.batch(world.examples(annotated=[ALL]))
    gradients = world.gradients(world.losses(batch)[task])
    places = {f"stack.blocks.{d}.{b}." for d, b in world.model.routes[task].raw if d}
    for name, gradient in gradients.items():
        if is_delta(name):
            inside = name.startswith(tuple(places))
            assert (gradient is not None) == inside, name
            assert not inside or gradient.any(), name
        elif ".parts." in name:
            assert gradient is None, name
    reached = {name for name, gradient in gradients.items() if gradient is not None}
    assert {name for name in reached if is_delta(name)}
    assert reached <= world.model.depends_on(task)


@pytest.mark.parametrize("sharing", ["single", "soft_l2", "hard"])
def test_a_task_moves_deltas_of_others_only_where_they_are_shared(sharing: str) -> None:
    """With one stream it does: the control of what tells deltas apart."""
    world = adapted(sharing)
    batch = world.batch(world.examples(annotated=[ALL]))
    one = world.gradients(world.losses(batch)["upos"])
    other = world.gradients(world.losses(batch)["dep"])
    both = {n for n in one if is_delta(n) and one[n] is not None and other[n] is not None}
    assert bool(both) == (sharing == "hard")


@pytest.mark.parametrize("sharing", ["low_supervision", "single", "soft_l2"])
@pytest.mark.parametrize("task", DEPTHS)
def test_a_task_asked_alone_computes_its_stream_and_no_more(sharing: str, task: str) -> None:
    world = adapted(sharing, depths=DEPTHS)
    everything = scores(world)
    with Calls(world.model) as calls:
        alone = scores(world, task)
    branch = task if sharing in COPIES else "shared"
    assert set(calls.units) == {(depth, branch) for depth in range(1, DEPTHS[task] + 1)}
    assert_same(alone, {name: everything[name] for name in alone})


@pytest.mark.parametrize("sharing", ["joint_many", "cross_stitch", "adaptive"])
def test_training_moves_deltas_and_heads_and_nothing_that_is_held(
    tmp_path: Path, sharing: str
) -> None:
    world = fresh("bert", adapter=LORA, sharing=sharing)
    before = weights(world)
    train(tmp_path, world=world)
    now = weights(world)
    moved = {name for name, value in now.items() if not torch.equal(value, before[name])}
    assert {n for n in moved if ".parts." in n} == {n for n in now if is_delta(n)}
    assert {n for n in now if n.startswith("heads.") and n not in moved} <= {
        "heads.ner.start",
        "heads.ner.end",
    }
    assert any("casing" in name for name in moved)
    assert not any(p.grad is not None for p in world.model.parameters() if not p.requires_grad)


def test_what_is_held_would_move_if_it_were_not(tmp_path: Path) -> None:
    """The control: loading forgets what is held, and `freeze` says it again."""
    world = save_and_load(fresh("bert", adapter=LORA, sharing="cross_stitch"), tmp_path)
    held = [p for n, p in world.parameters().items() if n.endswith("base_layer.weight")]
    assert held
    assert all(p.requires_grad for p in held)
    freeze(world.model, 0, 0)
    assert not any(p.requires_grad for p in held)


@pytest.mark.parametrize(
    ("family", "sharing"),
    [*(("bert", name) for name in ("low_supervision", *COPIES)), ("modernbert", "single")],
)
def test_a_model_is_saved_with_each_weight_once_and_loaded(
    tmp_path: Path, family: str, sharing: str
) -> None:
    world = adapted(sharing, family, dtype=torch.float32)
    again = save_and_load(world, tmp_path)
    assert_same(scores(again), scores(world))
    assert_same(again.model.state_dict(), world.model.state_dict())
    assert again.model.stack.repeated() == world.model.stack.repeated()
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        sizes = [file.get_tensor(name).numel() for name in file.keys()]  # noqa: SIM118
    assert sum(sizes) == sum(value.numel() for value in world.model.state_dict().values())
    assert {file.suffix for file in tmp_path.iterdir()} == {".json", ".safetensors"}


@pytest.mark.parametrize("sharing", ["low_supervision", "single"])
def test_a_copy_of_a_model_shares_within_itself_alone(sharing: str) -> None:
    world = adapted(sharing)
    other = World(copy.deepcopy(world.model), world.tokenizer)
    assert other.model.stack.repeated() == world.model.stack.repeated()
    randomise(other.parameters().items(), seed=5)
    before = scores(world)
    assert not same(scores(other), before, atol=1e-3)
    state = {name: value.clone() for name, value in world.model.state_dict().items()}
    other.model.load_state_dict(state)
    assert_same(scores(other), before)


@families
@pytest.mark.parametrize("sharing", ["hard", "joint_many", "learned", "relationship"])
def test_merged_into_its_weights_a_model_has_the_same_function(family: str, sharing: str) -> None:
    world = adapted(sharing, family)
    plain = World(world.model.merged(), world.tokenizer)
    assert_same(scores(plain), scores(world), atol=1e-9)
    names = make_world(family, sharing).model.state_dict().keys()
    assert plain.model.state_dict().keys() == names
    assert "adapter" not in plain.model.config.encoder
    assert "adapter" in world.model.config.encoder
    assert all(p.requires_grad for p in plain.parameters().values())
    without = copy.deepcopy(world.model)
    for name, weight in without.named_parameters():
        if ".lora_B." in name:
            nn.init.zeros_(weight)
    assert not same(scores(World(without, world.tokenizer)), scores(world), atol=1e-6)


def test_in_single_precision_merging_rounds_and_no_more() -> None:
    world = adapted("low_supervision", dtype=torch.float32)
    plain = World(world.model.merged(), world.tokenizer)
    assert_same(scores(plain), scores(world), atol=2e-5)


def test_depths_that_were_learned_are_merged_too() -> None:
    world = adapted("learned")
    world.model.sharing.propose(world.model.stack, 9, done=1.0)
    world.model.restructured()
    simple = world.model.simplified()
    assert simple.config.sharing == {"name": "low_supervision"}
    plain = World(simple.merged(), world.tokenizer)
    assert "adapter" not in plain.model.config.encoder
    assert_same(scores(plain), scores(world), atol=1e-9)


@pytest.mark.parametrize("sharing", COPIES)
def test_deltas_over_one_set_of_weights_are_not_merged(sharing: str) -> None:
    world = adapted(sharing)
    assert world.model.merged() is world.model
    plain = make_world("bert", sharing)
    assert plain.model.merged() is plain.model


def test_a_merged_model_needs_no_peft_and_another_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapted("hard").model.merged().save_pretrained(tmp_path / "hard")
    adapted("single").model.save_pretrained(tmp_path / "single")
    monkeypatch.setitem(sys.modules, "peft", None)
    HierarchicalModel.from_pretrained(tmp_path / "hard")
    with pytest.raises(ModelError, match=r'pip install "hiermtl\[lora\]"'):
        HierarchicalModel.from_pretrained(tmp_path / "single")


@pytest.mark.parametrize(
    "sharing", ["low_supervision", "cross_stitch", {"name": "adaptive", "every": 3, "least": 1}]
)
def test_a_run_that_is_resumed_equals_the_unbroken_one(tmp_path: Path, sharing: Any) -> None:
    def world() -> World:
        adapter = {**LORA, "dropout": 0.3}
        return fresh("bert", dropout=0.3, adapter=adapter, sharing=sharing)

    given: dict[str, Any] = {"checkpoint_every": 2, "epochs": 1}
    whole, _ = train(tmp_path / "whole", world=world(), progress=EveryStep, **given)
    assert bool(whole.model.stack.repeated()) == (sharing != "low_supervision")
    progress = partial(EveryStep, until=5)
    with pytest.raises(Broken):
        train(tmp_path / "cut", world=world(), progress=progress, **given)
    cut, _ = train(tmp_path / "cut", world=world(), progress=EveryStep, resume=True, **given)
    assert_same(weights(cut), weights(whole))
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


def test_a_checkpoint_has_moments_of_what_is_trained_alone(tmp_path: Path) -> None:
    world, _ = train(tmp_path, world=fresh("bert", adapter=LORA, sharing="soft_l2"), **SHORT)
    folder = tmp_path / "checkpoints" / "step-2"
    with safe_open(folder / "optimizer.safetensors", "pt") as file:
        kept = {name.rpartition("::")[0].removeprefix("model.") for name in file.keys()}  # noqa: SIM118
    trained = {name for name, p in world.parameters().items() if p.requires_grad}
    assert kept <= trained
    assert {n for n in trained if is_delta(n)} <= kept
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["encoder"]["adapter"]["rank"] == RANK


def test_a_split_copies_the_delta_and_leaves_what_is_held_in_common() -> None:
    unlike = {one: {other: 0.0 for other in ALL if other != one} for one in ALL}
    world = adapted({"name": "adaptive", "affinity": unlike, "every": 1})
    optimizer = torch.optim.AdamW(p for p in world.model.parameters() if p.requires_grad)
    before = scores(world)
    edit = world.model.sharing.propose(world.model.stack, 1)
    assert edit is not None
    world.model.restructured()
    carry(optimizer, world.model, edit)
    assert edit.born
    assert all(is_delta(name) for name in edit.born)
    assert_same(scores(world), before)
    assert len(world.model.stack.repeated()) > 0
    covered = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert covered == {id(p) for p in world.model.parameters() if p.requires_grad}
    randomise([(name, world.parameters()[name]) for name in edit.born], seed=3)
    assert not same(scores(world), before)


def test_springs_hold_the_factors_of_deltas() -> None:
    world = adapted("soft_l2", spread=0.0)
    model = world.model
    assert float(model.sharing.penalties(model.stack, model.heads)["l2"].detach()) == 0
    randomise((n, p) for n, p in world.parameters().items() if is_delta(n))
    term = model.sharing.penalties(model.stack, model.heads)["l2"]
    term.backward()
    pulled = {name for name, p in world.parameters().items() if p.grad is not None}
    assert pulled
    assert all(is_delta(name) for name in pulled)
    copies = {depth: model.stack.copies(depth).values() for depth in (1, 2, 3)}
    expected = 0.0
    for blocks in copies.values():
        flat = [
            torch.cat([p.detach().flatten() for n, p in block.named_parameters() if is_delta(n)])
            for block in blocks
        ]
        expected += sum(
            float((a - b).square().sum()) for i, a in enumerate(flat) for b in flat[i + 1 :]
        )
    assert float(term.detach()) == pytest.approx(1e-3 * expected)


def test_parts_of_deltas_are_held_apart_by_sluice() -> None:
    """The penalty is of the matrices as they act, and moves deltas alone."""
    world = adapted({"name": "sluice", "subspaces": 2})
    model = world.model
    model.sharing.penalties(model.stack, model.heads)["orthogonality"].backward()
    pulled = {name for name, p in world.parameters().items() if p.grad is not None}
    assert {name.split(".")[5] for name in pulled} == {"out", "outer"}
    assert all(is_delta(name) for name in pulled)


@pytest.mark.parametrize("sharing", ["low_supervision", "cross_stitch"])
def test_activations_that_are_made_again_give_the_same_gradients(sharing: str) -> None:
    """Where the first block reads states that need no gradient."""
    world = adapted(sharing)
    world.model.train()
    found = []
    for again in (False, True):
        world.model.recompute_blocks = again
        batch = world.batch(world.examples(annotated=[ALL]))
        found.append(world.gradients(torch.stack(list(world.losses(batch).values())).sum()))
    kept = [{n: g for n, g in own.items() if g is not None} for own in found]
    assert any(is_delta(name) for name in kept[0])
    assert_same(kept[1], kept[0], atol=1e-12)


def test_copies_that_have_weights_in_common_are_no_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "alone", lambda: False)
    step = TrainingStep(adapted("cross_stitch").model)
    with pytest.raises(
        RecipeError, match=r"training\.shard is true, .* 'cross_stitch' have the we"
    ):
        shards.Shards(step)


@pytest.mark.slow
@families
def test_compiled_blocks_train_the_same_deltas(tmp_path: Path, family: str) -> None:
    options: dict[str, Any] = {"max_steps": 4, "precision": "fp64"}
    found = [
        train(
            tmp_path / str(wanted),
            world=fresh(family, adapter=LORA, sharing="cross_stitch"),
            compile=wanted,
            **options,
        )[0]
        for wanted in (False, True)
    ]
    assert_same(weights(found[1]), weights(found[0]), atol=1e-9)
