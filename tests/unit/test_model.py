"""What the model refuses, saves and loads; what it computes is under `tests/property`."""

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModel

from hiermtl.config import FORMAT_VERSION, HierarchicalConfig
from hiermtl.errors import ModelError, RecipeError
from hiermtl.hierarchy import Task
from hiermtl.model import HierarchicalModel
from hiermtl.sharing import SHARING
from tests.worlds import (
    ALL,
    FAMILIES,
    LABELS,
    World,
    assert_same,
    make_config,
    make_encoder,
    make_world,
    save_and_load,
)

everywhere = pytest.mark.parametrize("family", FAMILIES)


def scores_of(world: World) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        outputs = world.model(world.batch(world.examples(), ALL), ALL)
    return {f"{t} {n}": s for t, output in outputs.items() for n, s in output.scores.items()}


def build(**changes: object) -> HierarchicalModel:
    config = make_config(make_encoder("bilstm"), depths={"upos": 1, "dep": 3})
    for name, value in changes.items():
        setattr(config, name, value)
    return HierarchicalModel(config)


@everywhere
@pytest.mark.parametrize("sharing", SHARING)
def test_a_saved_model_gives_the_same_scores_bit_for_bit(
    family: str, sharing: str, tmp_path: Path
) -> None:
    world = make_world(family, sharing, dropout=0.1, dtype=torch.float32)
    again = save_and_load(world, tmp_path)
    assert_same(again.model.state_dict(), world.model.state_dict())
    assert_same(scores_of(again), scores_of(world))
    assert again.model.hierarchy.tasks == world.model.hierarchy.tasks
    assert again.model.config.to_dict()["tasks"] == world.model.config.to_dict()["tasks"]


@everywhere
def test_a_folder_holds_no_pickle_and_loads_through_the_librarys_own_doors(
    family: str, tmp_path: Path
) -> None:
    world = make_world(family, dtype=torch.float32)
    world.model.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    assert isinstance(AutoConfig.from_pretrained(tmp_path), HierarchicalConfig)
    again = AutoModel.from_pretrained(tmp_path)
    assert isinstance(again, HierarchicalModel)
    assert_same(again.state_dict(), world.model.state_dict())
    assert not again.training


def test_class_weights_survive_a_round_trip(tmp_path: Path) -> None:
    config = make_config(make_encoder("bilstm"), depths={"upos": 1})
    weights = [0.5, 2.0, 1.0, 3.0, 0.25]
    config.tasks["upos"]["options"]["class_weights"] = weights
    world = World(HierarchicalModel(config).eval(), make_world("bilstm").tokenizer)
    again = save_and_load(world, tmp_path)
    assert again.model.head("upos").get_buffer("class_weights").tolist() == weights
    batch = world.batch(world.examples(annotated=[("upos",)]))
    assert torch.equal(again.losses(batch)["upos"], world.losses(batch)["upos"])


def test_the_fields_of_a_task_survive_a_round_trip(tmp_path: Path) -> None:
    config = make_config(make_encoder("bilstm"), depths={"upos": 1, "ner": 2})
    config.tasks["ner"] |= {"weight": 0.5, "frozen": True, "auxiliary": True}
    HierarchicalModel(config).save_pretrained(tmp_path)
    again = HierarchicalModel.from_pretrained(tmp_path)
    assert again.hierarchy["ner"] == Task("ner", 2, 0.5, True, True)
    assert again.hierarchy["upos"] == Task("upos", 1)
    assert again.head("ner").labels == LABELS["tags"]


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_pooling_is_kept_in_the_config(pooling: str, tmp_path: Path) -> None:
    world = make_world("bert", dtype=torch.float32)
    world.model.config.pooling = pooling
    again = save_and_load(world, tmp_path)
    assert again.model.config.pooling == pooling
    assert_same(scores_of(again), scores_of(world))
    world.model.config.pooling = "mean" if pooling == "first" else "first"
    assert not torch.allclose(scores_of(again)["upos labels"], scores_of(world)["upos labels"])


def test_an_encoder_with_weights_is_taken_as_it_is() -> None:
    encoder = make_encoder("bert")
    config = make_config(encoder, depths={"upos": 1})
    one, two = HierarchicalModel(config, encoder), HierarchicalModel(config)
    assert_same(one.state_dict(), two.state_dict())


def test_a_task_the_model_does_not_have_is_refused_by_name() -> None:
    world = make_world("bilstm")
    batch = world.batch(world.examples())
    with pytest.raises(
        ModelError, match=r"no task 'upso'; it has upos, .*ner and dep; did you mean 'upos'"
    ):
        world.model(batch, ["upso"])


def test_a_task_above_the_encoder_is_refused() -> None:
    config = make_config(make_encoder("bilstm"), depths={"upos": 4})
    with pytest.raises(
        ModelError, match=r"tasks\.upos\.depth is 4, but the encoder has depths 0 to 3"
    ):
        HierarchicalModel(config)


def test_a_newer_format_is_refused() -> None:
    newer = FORMAT_VERSION + 1
    with pytest.raises(
        ModelError, match=rf"format version {newer}; .* up to {FORMAT_VERSION}: install"
    ):
        build(format_version=newer)


def test_an_unknown_scheme_head_or_family_is_refused_by_name() -> None:
    with pytest.raises(
        ModelError, match=r"sharing 'hardd' is not known; known are .* did you mean 'hard'"
    ):
        build(sharing={"name": "hardd"})
    tasks = {"upos": {"depth": 1, "head": "tagger", "labels": ["a"]}}
    with pytest.raises(ModelError, match="head 'tagger' is not known; known are tagging"):
        build(tasks=tasks)
    with pytest.raises(ModelError, match="family 'gru' is not supported"):
        build(encoder={"family": "gru"})


@pytest.mark.parametrize("name", ["type", "items", "training", "copy", "get", "a.b", ""])
def test_a_name_that_no_part_of_a_model_can_bear_is_refused(name: str) -> None:
    tasks = {name: {"depth": 1, "head": "tagging", "labels": ["a"]}}
    with pytest.raises(ModelError, match=f"a task cannot be named '{name}'; allowed are names"):
        build(tasks=tasks)


def test_a_model_without_tasks_is_refused() -> None:
    with pytest.raises(RecipeError, match="the hierarchy has no task"):
        build(tasks={})


def test_the_empty_config_can_be_made() -> None:
    config = HierarchicalConfig()
    assert config.sharing == {"name": "low_supervision"}
    assert config.format_version == FORMAT_VERSION


@everywhere
def test_each_parameter_is_listed_once(family: str) -> None:
    world = make_world(family, "single")
    parameters = list(world.model.parameters())
    assert len({p.data_ptr() for p in parameters}) == len(parameters)
    blocks = make_encoder(family).block(1)
    per_block = sum(p.numel() for p in blocks.parameters())
    found = sum(
        p.numel() for n, p in world.parameters().items() if n.startswith("stack.blocks.1.upos.")
    )
    assert found == per_block


@pytest.mark.parametrize("family", FAMILIES)
def test_recomputed_blocks_have_the_same_gradients_and_keep_less(family: str) -> None:
    """Bit for bit, dropout included."""
    world = make_world(family, dropout=0.3)
    batch = world.batch(world.examples())
    found, kept = [], []
    for recompute in (False, True):
        world.model.train()
        world.model.recompute_blocks = recompute
        sizes: list[int] = []

        def keep(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        torch.manual_seed(0)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            outputs = world.model(batch)
        kept.append(sum(sizes))
        loss = torch.stack(list(world.model.losses(batch, outputs).values())).sum()
        found.append(world.gradients(loss))
    assert_same(*({name: value for name, value in of.items() if value is not None} for of in found))
    assert kept[1] < 0.7 * kept[0]


PAIR: dict[str, object] = {"head": "pair_classification", "labels": ["a", "b", "c"]}


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"x": {"depth": 1, "reads": {"z": 3}}}, "tasks.x.head.reads is 'z', which is no other"),
        (
            {"x": {"depth": 1, "reads": {"y": 3}}, "y": {"depth": 2}},
            "which judges pairs at depth 2, and the reader pairs at depth 1",
        ),
        (
            {"x": {"depth": 2, "reads": {"y": 2}}, "y": {"depth": 2}},
            "expects 2 labels of 'y', which has 3",
        ),
        (
            {"x": {"depth": 2, "reads": {"y": 3}}, "y": {"depth": 2, "reads": {"x": 3}}},
            "tasks x and y read each other in a ring",
        ),
    ],
)
def test_what_heads_read_must_be_there_below_and_in_no_ring(
    tasks: dict[str, dict[str, object]], message: str
) -> None:
    made = {
        name: {**PAIR, "depth": given["depth"], "options": {"reads": given.get("reads", {})}}
        for name, given in tasks.items()
    }
    with pytest.raises(ModelError, match=message):
        build(tasks=made)


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        (
            "joint_many",
            "shortcut",
            r"'shortcut' is no option of sharing 'joint_many'; .*'shortcuts'",
        ),
        ("single", "shortcuts", r"'shortcuts' is no option of sharing 'single'; it has none"),
    ],
)
def test_an_option_no_scheme_has_is_named(name: str, option: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make_world("bert", {"name": name, option: False})
    assert make_world("bert", {"name": "joint_many", "shortcuts": False})
