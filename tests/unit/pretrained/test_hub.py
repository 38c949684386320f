"""Models of the hub: fetched and pushed, against a stand-in on this machine."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from transformers import AutoModel

import hiermtl
from hiermtl.errors import ModelError, RunError
from hiermtl.model import HierarchicalModel
from hiermtl.pretrained import encoder_source, load_model, save_model
from hiermtl.tokens import Tokenizer
from tests.hub import WRITER, Hub, running

Parts = tuple[HierarchicalModel, Tokenizer]
NAME = "ada/tiny"

# huggingface_hub uploads files in a way that its own HTTP library no longer likes.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub
        huggingface_hub.close_session()


@pytest.fixture
def folder(bert: Parts, tmp_path: Path) -> Path:
    save_model(*bert, tmp_path / "model")
    return tmp_path / "model"


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_equal(first: HierarchicalModel, second: HierarchicalModel) -> None:
    ours, theirs = first.state_dict(), second.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_hub_model_is_loaded_by_its_id(hub: Hub, folder: Path, bert: Parts):
    hub.add(NAME, {**files_of(folder), "notes.bin": b"1", "pickled.pkl": b"2"})
    nlp = hiermtl.load(NAME)
    assert_equal(nlp.model, bert[0])
    assert nlp.tokenizer.fingerprint == bert[1].fingerprint
    assert not {"notes.bin", "pickled.pkl"} & set(hub.downloads(NAME))
    assert "model.safetensors" in hub.downloads(NAME)


def test_transformers_load_a_hub_model_too(hub: Hub, folder: Path, bert: Parts):
    hub.add(NAME, files_of(folder))
    assert_equal(HierarchicalModel.from_pretrained(NAME), bert[0])
    assert_equal(AutoModel.from_pretrained(NAME), bert[0])


def test_a_revision_is_loaded_as_it_was(hub: Hub, folder: Path, bert: Parts):
    first = hub.add(NAME, files_of(folder))
    repository = hub.repositories[NAME]
    repository.branches["old"] = repository.tags["v1"] = first
    changed, tokenizer = load_model(folder)
    with torch.no_grad():
        changed.get_parameter("heads.upos.output.bias").add_(1)
    save_model(changed, tokenizer, folder)
    hub.add(NAME, files_of(folder))
    for revision in ("old", "v1", first):
        assert_equal(hiermtl.load(NAME, revision=revision).model, bert[0])
    assert_equal(HierarchicalModel.from_pretrained(NAME, revision="v1"), bert[0])
    assert_equal(hiermtl.load(NAME).model, changed)


def test_what_is_pushed_is_loaded_again_bit_for_bit(hub: Hub, parts: Parts):
    nlp = hiermtl.Annotator(*parts)
    commit = nlp.push_to_hub(NAME, token=WRITER)
    again = hiermtl.load(NAME, revision=commit)
    assert_equal(again.model, parts[0])
    assert again.tokenizer.fingerprint == parts[1].fingerprint
    assert not hub.repositories[NAME].private
    files = hub.repositories[NAME].commits[commit]
    assert {"config.json", "model.safetensors", "README.md"} < set(files)
    assert not [path for path in files if path.endswith(".py")]


def test_a_push_to_a_branch_leaves_the_main_one(hub: Hub, bert: Parts):
    nlp = hiermtl.Annotator(*bert, card='---\nlibrary_name: hiermtl\n---\nload("FOLDER")\n')
    nlp.push_to_hub(NAME, revision="next", private=True, token=WRITER)
    repository = hub.repositories[NAME]
    assert repository.private
    assert list(repository.commits[repository.branches["main"]]) == [".gitattributes"]
    card = repository.commits[repository.branches["next"]]["README.md"].decode()
    assert 'load("ada/tiny")' in card


def test_a_push_takes_away_weights_of_other_names_and_nothing_else(hub: Hub, bert: Parts):
    old = {
        "model-00001-of-00002.safetensors": b"x",
        "model.safetensors.index.json": b"{}",
        "pytorch_model.bin": b"x",
        "pytorch_model-00001-of-00002.bin": b"x",
        "pytorch_model.bin.index.json": b"{}",
    }
    hub.add(NAME, {**old, "notes.md": b"kept", "other.bin": b"kept"})
    commit = hiermtl.Annotator(*bert).push_to_hub(NAME, token=WRITER, weights="fp16")
    files = hub.repositories[NAME].commits[commit]
    assert files["notes.md"] == files["other.bin"] == b"kept"
    assert not set(old) & set(files)
    size = sum(2 * tensor.numel() for tensor in bert[0].state_dict().values())
    assert size < len(files["model.safetensors"]) < 1.5 * size


def test_a_card_that_the_hub_does_not_take_is_told_in_full(hub: Hub, bert: Parts):
    card = "---\nlicense: proprietary\nlicense_name: Ask us\n---\n"
    nlp = hiermtl.Annotator(*bert, card=card)
    with pytest.raises(
        ModelError,
        match=r'ada/tiny: nothing was pushed.*"license" must be one of .*; "license_name" must be '
        r"a slug\); save the model, correct README\.md",
    ):
        nlp.push_to_hub(NAME, token=WRITER)
    assert list(hub.repositories[NAME].commits) == [hub.repositories[NAME].branches["main"]]


def test_a_model_pushed_again_is_loaded_by_its_new_name(hub: Hub, bert: Parts):
    card = '---\nlibrary_name: hiermtl\n---\nnlp = hiermtl.load("FOLDER")\n'
    base = 'base = hiermtl.load("ada/base")\n'
    hiermtl.Annotator(*bert, card=card + base).push_to_hub(NAME, token=WRITER)
    commit = hiermtl.load(NAME).push_to_hub("ada/second", token=WRITER)
    found = hub.repositories["ada/second"].commits[commit]["README.md"].decode()
    assert 'nlp = hiermtl.load("ada/second")' in found
    assert NAME not in found
    assert base in found  # what a person has written stays


@pytest.mark.parametrize(
    ("name", "token", "message"),
    [
        (NAME, None, r"ada/tiny: nobody is logged in.*hf auth login.*token="),
        (NAME, "hf_reader", r"ada/tiny: your account may not write there \(403\); name a repos"),
        ("a b/c", WRITER, r"'a b/c' is no name on the hub.*allowed is owner/name"),
        ("a/b/c", WRITER, r"'a/b/c' is no name on the hub"),
    ],
)
def test_who_may_not_push_is_told_why(
    hub: Hub, bert: Parts, name: str, token: str | None, message: str
):
    nlp = hiermtl.Annotator(*bert)
    with pytest.raises(ModelError, match=message):
        nlp.push_to_hub(name, token=token)
    assert not hub.repositories


def test_a_hub_out_of_order_is_told(hub: Hub, bert: Parts):
    hub.broken = 400
    nlp = hiermtl.Annotator(*bert)
    with pytest.raises(RunError, match=r"ada/tiny: nothing was pushed \(.*400.*push again"):
        nlp.push_to_hub(NAME, token=WRITER)
    with pytest.raises(ModelError, match=r"no model 'ada/tiny'.*hub \(not reachable: .*existing f"):
        hiermtl.load(NAME)


@pytest.fixture
def unreachable(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers where the hub should be, which its library learns without waiting."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nowhere = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(constants, "ENDPOINT", nowhere)
    template = nowhere + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


@pytest.mark.usefixtures("unreachable")
@pytest.mark.parametrize("load", [hiermtl.load, encoder_source])
def test_a_mistyped_run_folder_is_told_where_no_hub_can_be_reached(
    load: Callable[[str], object],
):
    with pytest.raises(ModelError, match=r"no model 'runs/none'.*runs/none\).*not reachable: "):
        load("runs/none")


def test_the_hub_is_not_asked_for_a_mistyped_run_folder(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "first").mkdir(parents=True)
    with pytest.raises(ModelError, match="looked for"):
        hiermtl.load("runs/frist")
    asked = hub.asked.total()
    (tmp_path / "runs" / "first" / "recipe.json").touch()
    with pytest.raises(ModelError, match=r"folder of runs.*did you mean 'runs/first'\?"):
        hiermtl.load("runs/frist")
    assert 0 < asked == hub.asked.total()


@pytest.mark.usefixtures("unreachable")
def test_without_network_nothing_is_pushed_and_that_is_told(bert: Parts):
    nlp = hiermtl.Annotator(*bert)
    with pytest.raises(RunError, match=r"ada/tiny: nothing was pushed .*can be reached"):
        nlp.push_to_hub(NAME, token=WRITER)


@pytest.mark.usefixtures("unreachable")
def test_the_cache_is_enough_where_no_hub_can_be_reached(
    hub: Hub, folder: Path, bert: Parts, monkeypatch: pytest.MonkeyPatch
):
    hub.add(NAME, files_of(folder))
    with monkeypatch.context() as reached:
        reached.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        reached.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        hiermtl.load(NAME)
    assert_equal(hiermtl.load(NAME).model, bert[0])


def test_a_missing_model_is_told_apart_from_a_missing_revision(hub: Hub, folder: Path):
    with pytest.raises(
        ModelError, match=r"'ada/none'.*the hub \(not there, or not public.*hf auth login"
    ):
        hiermtl.load("ada/none")
    hub.add(NAME, files_of(folder))
    hub.repositories[NAME].tags["v1"] = hub.repositories[NAME].branches["main"]
    with pytest.raises(
        ModelError,
        match=r"ada/tiny has no revision 'v2'.*the branches main and the tags v1: name one of them",
    ):
        hiermtl.load(NAME, revision="v2")


def test_a_gated_model_says_where_to_ask(hub: Hub, folder: Path):
    hub.add(NAME, files_of(folder), gated=True)
    with pytest.raises(ModelError, match=rf"gated: ask its owners.*{hub.url}/ada/tiny.*hf auth lo"):
        hiermtl.load(NAME)


def test_offline_the_cache_is_enough(
    hub: Hub, folder: Path, bert: Parts, monkeypatch: pytest.MonkeyPatch
):
    hub.add(NAME, files_of(folder))
    hiermtl.load(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    huggingface_hub.close_session()
    asked = hub.asked.total()
    assert_equal(hiermtl.load(NAME).model, bert[0])
    assert hub.asked.total() == asked
    with pytest.raises(ModelError, match=r"'ada/other'.*offline mode is on and the cache has no c"):
        hiermtl.load("ada/other")


@pytest.mark.parametrize("place", ["folder", "en_small"])
def test_a_revision_of_what_is_no_hub_model_is_refused(folder: Path, place: str):
    name = str(folder) if place == "folder" else place
    with pytest.raises(ModelError, match=r"revision is 'v1', and .*(a folder|comes with the pack)"):
        hiermtl.load(name, revision="v1")


def asking(folder: Path, file: str) -> None:
    path = folder / file
    asked = {"auto_map": {"AutoModel": "evil.Model", "AutoTokenizer": ["evil.Tokens", None]}}
    path.write_text(json.dumps({**json.loads(path.read_text()), **asked}))


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_hub_model_that_asks_for_code_is_refused(hub: Hub, folder: Path, file: str):
    asking(folder, file)
    hub.add(NAME, files_of(folder))
    with pytest.raises(ModelError, match=rf"{file}: asks for code of its own.*evil\.Model"):
        hiermtl.load(NAME)


def test_a_hub_model_with_files_of_code_is_refused_before_anything_is_fetched(
    hub: Hub, folder: Path
):
    hub.add(NAME, {**files_of(folder), "sub/evil.py": b"raise SystemExit"})
    with pytest.raises(ModelError, match=r"ada/tiny holds code \(sub/evil\.py\).*nothing of it w"):
        hiermtl.load(NAME)
    assert not hub.downloads(NAME)


@pytest.mark.parametrize("load", [HierarchicalModel.from_pretrained, AutoModel.from_pretrained])
def test_transformers_refuse_a_model_of_ours_that_asks_for_code(
    hub: Hub, folder: Path, load: Callable[[str], object]
):
    asking(folder, "config.json")
    hub.add(NAME, {**files_of(folder), "evil.py": b"raise SystemExit"})
    with pytest.raises(ModelError, match=r"asks for code of its own \(auto_map: .*evil\.Model"):
        load(NAME)
    assert "evil.py" not in hub.downloads(NAME)


def test_an_encoder_of_the_hub_may_have_scripts_beside_it_but_not_ask_for_them(
    hub: Hub, encoder_folder: Path
):
    hub.add("ada/encoder", {**files_of(encoder_folder), "train_script.py": b"raise SystemExit"})
    encoder, _ = encoder_source("ada/encoder")
    assert encoder.blocks == 2
    assert "train_script.py" not in hub.downloads("ada/encoder")
    asking(encoder_folder, "config.json")
    hub.add("ada/other", files_of(encoder_folder))
    with pytest.raises(ModelError, match=r"config\.json: asks for code of its own.*evil\.Model"):
        encoder_source("ada/other")
