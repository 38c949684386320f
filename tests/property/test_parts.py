"""A part of a saved model: the same function of its tasks, and no other tensor is read."""

from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

import hiermtl
from hiermtl.errors import ModelError
from hiermtl.pretrained import load_model, parts, read_card, save_model
from hiermtl.pretrained.weights import seal_weights
from hiermtl.sharing import SHARING
from tests.worlds import World, assert_same, make_world

TASKS = ("upos", "ner", "dep")
WORDS = [["the", "dog", "barks"], ["a"], ["cat"] * 5]


def saved(folder: Path, scheme: str = "low_supervision", family: str = "bilstm") -> World:
    world = make_world(family, scheme, dtype=torch.float32)
    save_model(world.model, world.tokenizer, folder)
    return world


@torch.no_grad()
def scores_of(world: World, tasks: tuple[str, ...]) -> dict[str, Tensor]:
    outputs = world.model(world.batch(world.examples(), tasks), tasks)
    return {f"{t} {n}": s for t in tasks for n, s in outputs[t].scores.items()}


class Slice:
    """A tensor in a file, which notes that it is read."""

    def __init__(self, name: str, stored: Any, read: set[str]) -> None:
        self.name, self.stored, self.read = name, stored, read

    def __getitem__(self, index: Any) -> Tensor:
        self.read.add(self.name)
        return self.stored[index]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stored, name)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the tensors that are read from files."""
    names: set[str] = set()

    class Noting:
        def __init__(self, *given: Any, **options: Any) -> None:
            self.file = safetensors.safe_open(*given, **options)

        def __enter__(self) -> "Noting":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def get_slice(self, name: str) -> Slice:
            return Slice(name, self.file.get_slice(name), names)

        def get_tensor(self, name: str) -> Tensor:
            names.add(name)
            return self.file.get_tensor(name)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    monkeypatch.setattr(parts, "safe_open", Noting)
    monkeypatch.setattr(transformers.modeling_utils, "safe_open", Noting)
    return names


@pytest.mark.parametrize("scheme", SHARING)
def test_a_part_says_the_same_and_reads_no_more_than_it_needs(
    scheme: str, tmp_path: Path, read: set[str]
):
    world = saved(tmp_path, scheme)
    model, tokenizer = load_model(tmp_path, tasks=["upos"])
    assert "upos" in model.hierarchy
    assert len(model.hierarchy) < len(world.model.hierarchy)
    assert_same(scores_of(World(model, tokenizer), ("upos",)), scores_of(world, ("upos",)))
    tasks = model.hierarchy.names
    needed = set().union(*(world.model.depends_on(task) for task in tasks))
    scheme_s = {f"sharing.{name}" for name in world.model.sharing.state_dict()}
    assert needed <= read <= needed | scheme_s | set(dict(world.model.named_buffers()))
    assert set(model.state_dict()) <= read


def test_the_whole_model_is_read_whole(tmp_path: Path, read: set[str]):
    """The control: the note of what is read is complete."""
    world = saved(tmp_path)
    load_model(tmp_path)
    assert read == set(world.model.state_dict())
    assert not read <= world.model.depends_on("upos")


@pytest.mark.parametrize(("depth", "tasks"), [(1, {"upos"}), (2, {"upos", "ner"})])
def test_a_depth_keeps_the_tasks_that_need_no_more_blocks(
    depth: int, tasks: set[str], tmp_path: Path
):
    world = saved(tmp_path, family="bert")
    model, tokenizer = load_model(tmp_path, depth=depth)
    kept = {task.name for task in world.model.hierarchy if task.depth <= depth}
    assert tasks <= set(model.hierarchy.names) == kept
    assert model.stack.depth == depth
    names = model.hierarchy.names
    assert_same(scores_of(World(model, tokenizer), names), scores_of(world, names))
    assert load_model(tmp_path, depth=99)[0].hierarchy.names == world.model.hierarchy.names


def test_other_tensors_may_be_anything(tmp_path: Path):
    """What is not read is not needed: it may be garbage, and the labels stay."""
    world = saved(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    needed = world.model.depends_on("upos")
    others = [name for name in tensors if name not in needed]
    assert others
    for name in others:
        tensors[name].fill_(float("nan"))
    save_file(tensors, path, metadata={"format": "pt"})
    seal_weights(path)
    labels = hiermtl.Annotator(world.model, world.tokenizer).predict_layers(WORDS, ["upos"])
    part = hiermtl.load(tmp_path, tasks=["upos"])
    assert list(part.predict_layers(WORDS)) == list(labels)
    whole = hiermtl.load(tmp_path)
    assert not all(torch.isfinite(tensor).all() for tensor in whole.model.state_dict().values())


def test_a_part_is_saved_as_a_smaller_model(tmp_path: Path):
    saved(tmp_path / "whole")
    part = hiermtl.load(tmp_path / "whole", tasks="upos")
    part.save_pretrained(tmp_path / "part")
    sizes = [(tmp_path / f / "model.safetensors").stat().st_size for f in ("part", "whole")]
    assert sizes[0] < sizes[1]
    again = hiermtl.load(tmp_path / "part")
    assert again.tasks == ("upos",)
    assert_same(again.model.state_dict(), part.model.state_dict())
    card = read_card(tmp_path / "part")
    assert card is not None
    assert "upos: 1" in card
    assert "| ner |" not in card


def test_damage_is_found_as_far_as_a_part_is_read(tmp_path: Path):
    saved(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ModelError, match="damaged or cut short: it has"):
        load_model(tmp_path, tasks=["upos"])
    saved(tmp_path)
    tensors = load_file(path)
    del tensors["heads.upos.output.bias"]
    save_file(tensors | {"more": torch.zeros(1)}, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"misses the tensors heads\.upos\.output\.bias"):
        load_model(tmp_path, tasks=["upos"])
    with pytest.raises(ModelError, match=r"the model does not have: more"):
        load_model(tmp_path, tasks=["ner"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ["upso"]}, r"no task 'upso'; it has .*did you mean 'upos'"),
        ({"tasks": []}, r"tasks is empty, so that no task is left; .*upos 1"),
        ({"depth": 0}, r"depth is 0, so that no task is left; .*upos 1.*dep 3"),
        ({"depth": "1"}, r"depth is '1', but a whole number of blocks is needed"),
        ({"depth": True}, r"depth is True, but a whole number"),
        ({"depth": 1.5}, r"depth is 1\.5, but a whole number"),
        ({"depth": 2, "tasks": ["dep"]}, r"depth is 2, so that no task is left; .*need are dep 3:"),
    ],
)
def test_a_part_without_tasks_is_refused(tmp_path: Path, options: dict[str, Any], message: str):
    saved(tmp_path)
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path, **options)
