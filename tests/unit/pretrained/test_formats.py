"""Models that were saved under every format version still load, and say what they said."""

import json
from pathlib import Path

import pytest
import torch

import hiermtl
from hiermtl.config import FORMAT_VERSION
from tests.formats.write import FORMATS, SAID, said

FOLDERS = sorted(path.parent for path in FORMATS.glob("v*/*/config.json"))
every_folder = pytest.mark.parametrize(
    "folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}"
)


def test_there_are_models_of_every_version():
    """A new version comes with a folder that `python -m tests.formats.write` makes."""
    found = {f: json.loads((f / "config.json").read_text())["format_version"] for f in FOLDERS}
    assert set(found.values()) == set(range(1, FORMAT_VERSION + 1))
    assert all(folder.parent.name == f"v{version}" for folder, version in found.items())


@every_folder
def test_a_model_of_each_version_says_what_it_said(folder: Path):
    nlp = hiermtl.load(folder)
    expected = json.loads((folder / SAID).read_text(encoding="utf-8"))
    assert said(nlp) == expected
    with torch.no_grad():
        for weight in nlp.model.parameters():
            weight.neg_()
    assert said(nlp) != expected


@every_folder
def test_transformers_finds_all_weights_of_each_version(folder: Path):
    """It draws what it misses at random, and only warns."""
    model, report = hiermtl.HierarchicalModel.from_pretrained(folder, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.config.format_version == FORMAT_VERSION


@every_folder
def test_a_part_of_each_version_says_the_same(folder: Path):
    expected = json.loads((folder / SAID).read_text(encoding="utf-8"))
    nlp = hiermtl.load(folder, tasks=["upos"])
    assert [doc["tags"]["upos"] for doc in said(nlp)] == [doc["tags"]["upos"] for doc in expected]


@every_folder
def test_a_model_of_each_version_is_saved_in_the_newest(folder: Path, tmp_path: Path):
    hiermtl.load(folder).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["format_version"] == FORMAT_VERSION
    assert said(hiermtl.load(tmp_path)) == json.loads((folder / SAID).read_text())
