"""Adapted encoders from recipe to model folder: merged where there is one copy, kept where not."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertModel

from hiermtl.annotation import load
from hiermtl.commands import Run, check, extend, train
from hiermtl.errors import ModelError, RecipeError
from tests.unit.commands.runs import built, recipe
from tests.unit.commands.test_extend import CHUNKS, same, scores
from tests.worlds import bert_config, piece_backend

TASKS = {"upos": {"depth": 1}, "ner": {"depth": 2}}
LORA = {"name": "lora", "rank": 2}
SHORT = {"training.epochs": 1, "training.max_steps": 2}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a small pretrained encoder."""
    folder = tmp_path_factory.mktemp("encoder")
    BertModel(bert_config(blocks=2), add_pooling_layer=False).save_pretrained(folder)
    piece_backend().save_pretrained(folder)
    return str(folder)


def adapted(encoder: str, **changes: Any) -> dict[str, Any]:
    return recipe(encoder={"name": encoder}, tasks=TASKS, **{"adapter": LORA, **changes})


@pytest.fixture(scope="module")
def shared(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of one delta for all."""
    folder = tmp_path_factory.mktemp("shared")
    return train(adapted(encoder), output=folder, quiet=True, **SHORT)


@pytest.fixture(scope="module")
def single(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of a delta per task."""
    folder = tmp_path_factory.mktemp("single")
    return train(adapted(encoder, sharing="single"), output=folder, quiet=True, **SHORT)


def test_one_delta_for_all_ends_as_a_plain_model(
    shared: Run, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads((shared.folder / "config.json").read_text(encoding="utf-8"))
    assert "adapter" not in config["encoder"]
    assert config["recipe"]["adapter"]["rank"] == 2
    found = load_file(shared.folder / "model.safetensors")
    assert not [name for name in found if "lora" in name or "base_layer" in name]
    start = load_file(Path(encoder) / "model.safetensors")
    begun = start["encoder.layer.1.attention.self.query.weight"]
    moved = found["stack.blocks.2.shared.parts.query.weight"] - begun
    assert torch.linalg.matrix_rank(moved, rtol=1e-3) == 2
    bias = start["encoder.layer.1.attention.self.query.bias"]
    assert torch.equal(found["stack.blocks.2.shared.parts.query.bias"], bias)
    monkeypatch.setitem(sys.modules, "peft", None)
    assert set(load(shared.folder).tasks) == set(TASKS)
    assert "sharing `low_supervision`, adapter `lora`" in (shared.folder / "README.md").read_text()


def test_a_delta_per_task_ends_as_each_was_trained(single: Run, tmp_path: Path) -> None:
    whole = load_file(single.folder / "model.safetensors")
    held = [name for name in whole if name.endswith("base_layer.weight")]
    # Six layers of two blocks, the first of which has two copies.
    assert len(held) == 2 * 6
    assert len([name for name in whole if "lora_A" in name]) == 3 * 6
    for task in TASKS:
        part = load_file(single.folder / "tasks" / task / "trained" / "model.safetensors")
        own = {name: value for name, value in part.items() if name in whole}
        assert all(torch.equal(whole[name], value) for name, value in own.items())
        assert all("base_layer" in n or ".parts." in n for n in part.keys() - own.keys())
    assert single.cost.parameters == sum(value.numel() for value in whole.values())
    nlp = load(single.folder, precision="fp32")
    nlp.save_pretrained(tmp_path / "copy")
    again = load(tmp_path / "copy", precision="fp32")
    assert same(scores(nlp, list(TASKS)), scores(again, list(TASKS)))
    assert len(nlp.model.stack.repeated()) == len(again.model.stack.repeated()) > 0


def test_a_task_whose_name_weights_have_is_dropped(single: Run, tmp_path: Path) -> None:
    """What is held has the name of the first task in the file."""
    before = load(single.folder, precision="fp32")
    first = before.model.hierarchy.names[0]
    kept = [task for task in TASKS if task != first]
    extend(single.folder, None, drop=[first], output=tmp_path / "new", quiet=True)
    assert same(scores(load(tmp_path / "new", precision="fp32"), kept), scores(before, kept))


def test_a_merged_model_is_extended_as_any_other(shared: Run, tmp_path: Path) -> None:
    given = {**CHUNKS, "tasks": {"chunk": {"depth": 2}}}
    new = extend(shared.folder, given, output=tmp_path / "new", quiet=True, **SHORT)
    old, now = load(shared.folder, precision="fp32"), load(new.folder, precision="fp32")
    assert same(scores(old, list(TASKS)), scores(now, list(TASKS)))
    assert new.load().model.config.recipe["adapter"]["name"] == "lora"
    with pytest.raises(RecipeError, match="adapter is 'none', but the model's is 'lora'; leave it"):
        extend(shared.folder, {**given, "adapter": "none"}, output=tmp_path / "other", quiet=True)


def test_a_new_task_without_a_delta_is_refused(single: Run, tmp_path: Path) -> None:
    given = {**CHUNKS, "tasks": {"chunk": {"depth": 2}}}
    with pytest.raises(RecipeError, match="sharing 'single' needs weights of its own for a new"):
        extend(single.folder, given, output=tmp_path / "new", quiet=True)


def test_check_counts_what_is_trained(encoder: str) -> None:
    line = next(line for line in check(adapted(encoder)) if "weights" in line)
    model = built(adapted(encoder))[0].model
    every = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained < every / 3
    assert line.startswith(f"{every:,} weights, {trained:,} of them trained; ")
    plain = next(line for line in check(adapted(encoder, adapter="none")) if "weights" in line)
    assert "of them trained" not in plain


def test_check_finds_a_target_that_is_none_and_that_peft_is_missing(
    encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match=r"adapter\.targets names 'querry', .*mean 'query'"):
        check(adapted(encoder, adapter={**LORA, "targets": "querry"}))
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ModelError, match=r'pip install "hiermtl\[lora\]"'):
        check(adapted(encoder))


@pytest.mark.parametrize(
    ("own", "replaced", "rate"), [(0.2, 0.0, 0.0), (0.2, 0.5, 0.5), (0.0, 0.5, 0.0)]
)
def test_a_rate_for_all_dropout_replaces_that_of_deltas(
    encoder: str, own: float, replaced: float, rate: float
) -> None:
    given = adapted(encoder, adapter={**LORA, "dropout": own})
    model = built(given, **{"training.dropout": replaced})[0].model
    assert model.config.encoder["adapter"]["dropout"] == rate


def test_copies_with_weights_in_common_are_not_parted(encoder: str) -> None:
    """Those of tasks that share nothing are trained, and parted, one after the other."""
    asked = {"training.shard": True, "training.processes": 2}
    with pytest.raises(RecipeError, match=r"under sharing 'cross_stitch' have the weights in comm"):
        check(adapted(encoder, sharing="cross_stitch"), overrides=asked)
    for sharing in ("low_supervision", "single"):
        assert check(adapted(encoder, sharing=sharing), overrides=asked)
