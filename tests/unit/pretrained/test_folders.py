"""Model folders: what is saved is loaded, bit for bit, and damage is named."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from transformers import AutoModel
from transformers.utils import logging

from hiermtl.config import HierarchicalConfig
from hiermtl.encoders.bilstm import BiLstmEncoder
from hiermtl.errors import ModelError, RunError
from hiermtl.model import HierarchicalModel
from hiermtl.pretrained import find_model, load_model, read_card, save_model
from hiermtl.pretrained import saving as saving_module
from hiermtl.pretrained.weights import check_weights
from hiermtl.records import Example
from hiermtl.tokens import Collator, Tokenizer

Parts = tuple[HierarchicalModel, Tokenizer]
WORDS = [["a", "bca", "."], ["cab"], ["b"] * 40]


def scores(model: HierarchicalModel, tokenizer: Tokenizer) -> dict[str, torch.Tensor]:
    arrays = tokenizer.encode(WORDS)
    others = [name for name in arrays if not name.startswith("piece")]
    examples = [
        Example(arrays["pieces"][i], arrays["piece_counts"][i], {n: arrays[n][i] for n in others})
        for i in range(len(WORDS))
    ]
    batch = Collator(tokenizer, model.routes.depths())(examples, model.hierarchy.names)
    with torch.inference_mode():
        outputs = model(batch, model.hierarchy.names)
    return {f"{t}.{n}": v for t, output in outputs.items() for n, v in output.scores.items()}


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def folder(bert: Parts, tmp_path: Path) -> Path:
    save_model(*bert, tmp_path / "model")
    return tmp_path / "model"


def test_a_loaded_model_computes_the_same_bits(parts: Parts, tmp_path: Path):
    save_model(*parts, tmp_path / "model")
    torch.manual_seed(1)
    model, tokenizer = load_model(tmp_path / "model")
    assert_same(scores(model, tokenizer), scores(*parts))
    assert not model.training
    assert tokenizer.fingerprint == parts[1].fingerprint


def test_weights_are_stored_in_half_the_size(parts: Parts, tmp_path: Path):
    before = {name: tensor.clone() for name, tensor in parts[0].state_dict().items()}
    save_model(*parts, tmp_path / "whole")
    save_model(*parts, tmp_path / "half", weights="fp16")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.6 * sizes[1]
    model, tokenizer = load_model(tmp_path / "half")
    after = model.state_dict()
    assert all(torch.equal(parts[0].state_dict()[name], before[name]) for name in before)
    for name, tensor in before.items():
        rounded = tensor.half().to(tensor.dtype) if tensor.is_floating_point() else tensor
        assert after[name].dtype == tensor.dtype
        assert torch.equal(after[name], rounded)
    assert any(not torch.equal(after[name], before[name]) for name in before)
    save_model(model, tokenizer, tmp_path / "again")
    assert_same(scores(*load_model(tmp_path / "again")), scores(model, tokenizer))


def test_a_weight_too_large_for_fp16_is_named(parts: Parts, tmp_path: Path):
    model = copy.deepcopy(parts[0])
    name, weight = next(iter(model.named_parameters()))
    with torch.no_grad():
        weight.view(-1)[0] = 1e5
    with pytest.raises(ModelError, match=f"{name} holds 100000, more than fp16 can: at most 65504"):
        save_model(model, parts[1], tmp_path / "model", weights="fp16")
    assert not (tmp_path / "model").exists()


def test_an_unknown_number_format_is_named(parts: Parts, tmp_path: Path):
    with pytest.raises(ModelError, match="weights are 'int8'; allowed are fp32 and fp16"):
        save_model(*parts, tmp_path / "model", weights="int8")
    assert not (tmp_path / "model").exists()


def test_transformers_loads_it_as_well(parts: Parts, tmp_path: Path):
    save_model(*parts, tmp_path)
    for kind in (HierarchicalModel, AutoModel):
        model = kind.from_pretrained(tmp_path)
        assert isinstance(model, HierarchicalModel)
        assert_same(scores(model, parts[1]), scores(*parts))


def test_a_model_saved_by_transformers_loads(bert: Parts, tmp_path: Path):
    bert[0].save_pretrained(tmp_path)
    bert[1].save(tmp_path)
    assert_same(scores(*load_model(tmp_path)), scores(*bert))


def test_shards_load(bert: Parts, tmp_path: Path):
    bert[0].save_pretrained(tmp_path, max_shard_size="20KB")
    bert[1].save(tmp_path)
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert_same(scores(*load_model(tmp_path)), scores(*bert))
    shards[1].unlink()
    with pytest.raises(ModelError, match=f"names {shards[1].name}, which is missing"):
        load_model(tmp_path)


def test_saving_over_shards_removes_them(bert: Parts, tmp_path: Path):
    bert[0].save_pretrained(tmp_path, max_shard_size="20KB")
    save_model(*bert, tmp_path)
    assert [path.name for path in tmp_path.glob("model*")] == ["model.safetensors"]
    load_model(tmp_path)


def test_nothing_is_printed_and_settings_stay(
    bert: Parts, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    save_model(*bert, tmp_path)
    load_model(tmp_path)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_a_run_folder_keeps_what_else_lies_in_it(bert: Parts, folder: Path):
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "step").write_text("1")
    (folder / "scores.json").write_text("[]")
    before = (folder / "config.json").read_bytes()
    save_model(*bert, folder, card="new card")
    assert (folder / "checkpoints" / "step").read_text() == "1"
    assert (folder / "scores.json").exists()
    assert (folder / "config.json").read_bytes() == before
    assert read_card(folder) == "new card"
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_the_default_card_lists_the_tasks(folder: Path):
    card = read_card(folder)
    assert card is not None
    data = ModelCard(card).data
    assert (data.library_name, data.language, data.pipeline_tag) == (
        "hiermtl",
        "en",
        "token-classification",
    )
    assert data.depths == {"upos": 1, "ner": 1, "dep": 2}
    assert "| 2 | 2 | dep | biaffine | 2 |" in card
    assert read_card(folder.parent) is None


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        Exception("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_leaves_the_old_model_whole(
    bert: Parts, folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    def fail(*_: object) -> None:
        raise error

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(bert[1], "save", fail)
    with pytest.raises(RunError, match=r"model: no space left.*\d+ bytes are free"):
        save_model(*bert, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_place_that_cannot_be_written_is_named(bert: Parts, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="file is a file; name a folder"):
        save_model(*bert, tmp_path / "file")
    with pytest.raises(RunError, match="cannot be saved"):
        save_model(*bert, tmp_path / "file" / "below")


def test_an_error_of_the_program_stays_itself(
    bert: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(saving_module, "default_card", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_model(*bert, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def edit(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        data = json.loads((folder / "config.json").read_text())
        change(data)
        (folder / "config.json").write_text(json.dumps(data))

    return damage


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def flip(place: int) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        data = bytearray((folder / "model.safetensors").read_bytes())
        data[place] ^= 4
        (folder / "model.safetensors").write_bytes(data)

    return damage


def retensor(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return damage


def rehead(change: Callable[[dict], object]) -> Callable[[Path], None]:
    """The header of the weights changed, and no byte of a tensor."""

    def damage(folder: Path) -> None:
        data = (folder / "model.safetensors").read_bytes()
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end])
        change(header)
        text = json.dumps(header).encode()
        whole = len(text).to_bytes(8, "little") + text + data[end:]
        (folder / "model.safetensors").write_bytes(whole)

    return damage


def index(content: object) -> Callable[[Path], None]:
    """An index in the place of the weights."""

    def damage(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors.index.json").write_text(json.dumps(content))

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "config.json").unlink(), r"model: there is no config\.json"),
        (lambda f: (f / "model.safetensors").unlink(), r"there is no model\.safetensors"),
        (lambda f: (f / "tokenizer.json").unlink(), r"there is no tokenizer\.json"),
        (cut("config.json", 40), r"config\.json:\d+:\d+: damaged JSON"),
        (cut("tokenizer.json", 40), r"tokenizer\.json:\d+:\d+: damaged JSON"),
        (
            lambda f: (f / "tokenizer.json").write_text('{"model": 3}'),
            r"model: the tokenizer cannot be read",
        ),
        (lambda f: (f / "config.json").write_text("[1]"), "holds a JSON list, allowed is an"),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xfe{"), "cannot be read"),
        (edit(lambda d: d.update(model_type="bert")), "model_type is 'bert'.*'hiermtl'"),
        (edit(lambda d: d.pop("model_type")), "model_type is None"),
        (edit(lambda d: d.update(format_version=99)), "format_version is 99.*reads up to 3"),
        (edit(lambda d: d.update(format_version="x")), "format_version is 'x'"),
        (edit(lambda d: d.pop("tasks")), "`tasks` is missing or empty"),
        (edit(lambda d: d["tasks"]["dep"].pop("head")), "no model can be built.*'head'"),
        (edit(lambda d: d["tasks"]["dep"].update(depth=9)), "tasks.dep.depth is 9"),
        (edit(lambda d: d["tasks"]["dep"].update(head="x")), "head 'x' is not known"),
        (edit(lambda d: d["encoder"].update(family="x")), "family 'x' is not supported"),
        (edit(lambda d: d["tasks"]["upos"]["labels"].append("Y")), r"another shape.*heads\.upos"),
        (cut("model.safetensors", 4), "damaged or cut short"),
        (cut("model.safetensors", 5000), "damaged or cut short: it has 5000 bytes|header should"),
        (cut("model.safetensors", -1), "damaged or cut short: it has"),
        (flip(1), "damaged or cut short"),
        (flip(9), "damaged or cut short"),
        (flip(-1), r"bytes are not those that were written \(checksum\)"),
        (flip(-5000), "checksum"),
        (retensor(lambda t: t.pop("heads.upos.output.bias")), "misses the tensors heads.upos.out"),
        (
            retensor(lambda t: t.update({f"x{i}": torch.zeros(1) for i in range(6)})),
            "does not have: x0, x1, x2, x3 and 2 more",
        ),
        (
            retensor(lambda t: t.update({"heads.ner.start": torch.zeros(7)})),
            r"another shape.*heads\.ner\.start \(7,\) instead of \(3,\)",
        ),
        (
            rehead(lambda h: h["heads.ner.start"].update(dtype="F99")),
            r"model\.safetensors: damaged or cut short: .*F99.*; copy the file again",
        ),
        (rehead(lambda h: h["heads.ner.start"].update(shape=[4])), "damaged or cut short"),
        (rehead(lambda h: h["heads.ner.start"].update(data_offsets=[0, 1e999])), "damaged or"),
        (rehead(lambda h: h.update(__metadata__=["sha256"])), "damaged or cut short"),
        (edit(lambda d: d.update(dtype=[])), r"no model can be built from it \(IndexError"),
        (edit(lambda d: d["encoder"].update(hidden_act=[3])), "no model can be built.*hidden_act"),
        (index({}), r"index\.json: weight_map is None; allowed is an object .*; copy the file"),
        (index({"weight_map": None}), r"index\.json: weight_map is None; allowed is an object"),
        (index({"weight_map": ["a"]}), r"weight_map is \['a'\]; allowed is an object that names"),
        (index({"weight_map": {}}), r"weight_map is \{\}; allowed is an object that names"),
        (index({"weight_map": {"a": 3}}), r"weight_map\['a'\] is 3; allowed is the name of a file"),
        (index({"weight_map": {"a": ["b"]}}), r"weight_map\['a'\] is \['b'\]; allowed is the name"),
    ],
)
def test_damage_is_named(folder: Path, damage: Callable[[Path], None], message: str):
    damage(folder)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(folder)
    assert caught.value.exit_code == 2


def test_a_damaged_word_list_is_named(parts: Parts, tmp_path: Path):
    if parts[0].config.encoder["family"] != "bilstm":
        pytest.skip("a tokenizer of word pieces has no word list")
    save_model(*parts, tmp_path)
    (tmp_path / "words.json").write_text('{"vocabulary": []}')
    with pytest.raises(ModelError, match=r"words\.json: damaged \(KeyError\('buckets'\)\)"):
        load_model(tmp_path)
    (tmp_path / "words.json").write_text('{"vocabulary": ["a"], "buckets": 9, "sizes": [2]}')
    with pytest.raises(ModelError, match=r"damaged \(ValueError\('the vocabulary holds other"):
        load_model(tmp_path)
    (tmp_path / "words.json").unlink()
    with pytest.raises(ModelError, match=r"there is no words\.json"):
        load_model(tmp_path)


def test_no_code_of_a_folder_is_run(folder: Path):
    (folder / "evil.py").write_text("raise SystemExit('ran')\n")
    load_model(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_folder_that_asks_for_code_is_refused(folder: Path, file: str):
    (folder / "evil.py").write_text("raise SystemExit('ran')\n")
    own = {"AutoConfig": "evil.C", "AutoModel": "evil.M", "AutoTokenizer": ["evil.T", None]}
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": own}))
    with pytest.raises(
        ModelError,
        match=rf"{file}: asks for code .*\(auto_map: evil\.C, evil\.M and evil\.T",
    ):
        load_model(folder)


def test_a_folder_whose_words_are_no_pieces_is_refused_if_it_asks_for_code(
    parts: Parts, tmp_path: Path
):
    save_model(*parts, tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({"auto_map": {"AutoTokenizer": ["evil.T", None]}}))
    with pytest.raises(ModelError, match=r"tokenizer_config\.json: asks for code .*evil\.T"):
        load_model(tmp_path)


def test_an_unknown_name_lists_what_was_looked_for(tmp_path: Path):
    with pytest.raises(ModelError, match=r"no model 'nothing'.*a folder \(.*nothing\).*shipped"):
        load_model("nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="file is a file; name the folder"):
        load_model(tmp_path / "file")


def test_without_network_a_hub_id_points_to_folders():
    with pytest.raises(ModelError, match=r"no model 'owner/name'.*the hub \(.*existing folder"):
        load_model("owner/name")


def test_a_shipped_name_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hiermtl.pretrained.finding.SHIPPED", folder.parent)
    assert find_model("model") == folder
    with pytest.raises(ModelError, match=r"shipped model \(model; did you mean 'model'\?\)"):
        find_model("modell")


@pytest.mark.parametrize("device", ["nonsense", "", "cpu:many", "meta"])
def test_an_unusable_device_is_named(folder: Path, device: str):
    with pytest.raises(ModelError, match=f"device {device!r} cannot be used"):
        load_model(folder, device=device)


def test_the_checksum_is_of_the_tensors_alone(folder: Path):
    tensors = load_file(folder / "model.safetensors")
    check_weights(folder / "model.safetensors")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    check_weights(folder / "model.safetensors")


def test_class_weights_survive(tmp_path: Path):
    encoder = BiLstmEncoder(layers=1, hidden=8, vocabulary=2, buckets=31)
    task = {"depth": 1, "head": "tagging", "labels": ["A", "B"]}
    task["options"] = {"class_weights": [0.5, 2.0]}
    model = HierarchicalModel(HierarchicalConfig(encoder.config(), {"upos": task}), encoder)
    model.save_pretrained(tmp_path)
    again = HierarchicalModel.from_pretrained(tmp_path)
    assert again.head("upos").get_buffer("class_weights").tolist() == [0.5, 2.0]
