import errno
from pathlib import Path

import datasets
import pytest

from hiermtl.errors import DataError, RecipeError, RunError
from hiermtl.text.hub import dataset_fingerprint, dataset_splits, read_dataset
from hiermtl.text.sentence import Tree

ROWS = {
    "tokens": [["a", "b"], ["c"], []],
    "ner_tags": [[0, -1], None, []],
    "head": [["2", "0"], ["0"], []],
    "deprel": [["det", "root"], ["root"], []],
    "idx": ["s1", "s2", "s3"],
}
FEATURES = datasets.Features(
    {
        "tokens": datasets.List(datasets.Value("string")),
        "ner_tags": datasets.List(datasets.ClassLabel(names=["O", "B-X"])),
        "head": datasets.List(datasets.Value("string")),
        "deprel": datasets.List(datasets.Value("string")),
        "idx": datasets.Value("string"),
    }
)
COLUMNS = {"ner": "ner_tags", "dep": {"heads": "head", "relations": "deprel"}}


def test_class_ids_become_names_and_trees_are_put_together() -> None:
    data = datasets.Dataset.from_dict(ROWS, features=FEATURES)
    first, second, third = read_dataset(data, COLUMNS, sent_id="idx")
    assert (first.words, first.sent_id) == (("a", "b"), "s1")
    assert first.layers == {"ner": ("O", None), "dep": Tree((2, 0), ("det", "root"))}
    assert second.layers == {"dep": Tree((0,), ("root",))}
    assert third.words == ()


@pytest.mark.parametrize(("heads", "relations"), [([2, 0], ["x"]), ([0], ["x", "y"])])
def test_heads_and_relations_are_as_many_as_words(heads: list[int], relations: list[str]) -> None:
    data = datasets.Dataset.from_dict(
        {"tokens": [["a", "b"]], "head": [heads], "deprel": [relations]}
    )
    with pytest.raises(DataError, match="dataset:1: layer 'dep' has 1 values for 2 words"):
        next(read_dataset(data, {"dep": {"heads": "head", "relations": "deprel"}}))


def test_a_missing_column_is_named_with_those_present() -> None:
    data = datasets.Dataset.from_dict(ROWS, features=FEATURES)
    with pytest.raises(
        DataError, match=r"no column 'ner_tag'; this dataset has tokens, ner_tags, .*"
    ):
        next(read_dataset(data, {"ner": "ner_tag"}))
    with pytest.raises(DataError, match="no column 'words'"):
        next(read_dataset(data, {}, words="words"))
    with pytest.raises(RecipeError, match=r"columns\.dep: \{'heads': 'head'\}"):
        next(read_dataset(data, {"dep": {"heads": "head"}}))


@pytest.mark.parametrize(
    ("heads", "message"),
    [([9, 0], "holds 9 in a sentence of 2"), (["x", "0"], "heads are integers")],
)
def test_heads_that_are_no_words_are_refused(heads: list[object], message: str) -> None:
    data = datasets.Dataset.from_dict(
        {"tokens": [["a", "b"]], "head": [heads], "deprel": [["x", "y"]]}
    )
    with pytest.raises(DataError, match=message):
        next(read_dataset(data, {"dep": {"heads": "head", "relations": "deprel"}}))


def test_local_files_folders_and_saved_datasets_are_read(tmp_path: Path) -> None:
    data = datasets.Dataset.from_dict(ROWS, features=FEATURES)
    (tmp_path / "folder").mkdir()
    data.to_parquet(tmp_path / "folder" / "train.parquet")
    data.to_json(tmp_path / "rows.jsonl")
    data.save_to_disk(str(tmp_path / "saved"))
    datasets.DatasetDict({"dev": data}).save_to_disk(str(tmp_path / "dict"))
    expected = [s.layers for s in read_dataset(data, COLUMNS)]
    for name in ("folder", "folder/train.parquet", "saved", "dict"):
        assert [s.layers for s in read_dataset(tmp_path / name, COLUMNS)] == expected
    (first, *_) = read_dataset(tmp_path / "rows.jsonl", {"ner": "ner_tags"})
    assert first.layers == {"ner": ("0", None)}
    with pytest.raises(DataError, match="no split 'train'; this dataset has dev"):
        next(read_dataset(tmp_path / "dict", COLUMNS, split="train"))
    (tmp_path / "f.xls").touch()
    with pytest.raises(DataError, match=r"ending '\.xls'; allowed are \.parquet"):
        next(read_dataset(tmp_path / "f.xls", COLUMNS))


@pytest.mark.parametrize("name", ["folder", "folder/train.parquet", "rows.jsonl"])
def test_a_stream_gives_the_same_sentences_and_a_fingerprint_of_its_files(
    tmp_path: Path, name: str
) -> None:
    data = datasets.Dataset.from_dict(ROWS, features=FEATURES)
    (tmp_path / "folder").mkdir()
    data.to_parquet(tmp_path / "folder" / "train.parquet")
    data.to_json(tmp_path / "rows.jsonl")
    path = tmp_path / name
    whole = list(read_dataset(path, COLUMNS, split="train"))
    assert list(read_dataset(path, COLUMNS, split="train", streaming=True)) == whole
    few = list(read_dataset(path, COLUMNS, split="train", streaming=True, max_rows=2))
    assert few == list(read_dataset(path, COLUMNS, split="train", max_rows=2)) == whole[:2]
    assert dataset_splits(path, streaming=True) == ("train",)
    first = dataset_fingerprint(path, split="train", streaming=True)
    assert first == dataset_fingerprint(path, split="train", streaming=True)
    assert first != dataset_fingerprint(path, split="train")
    shorter = data.select([0])
    (shorter.to_json if name == "rows.jsonl" else shorter.to_parquet)(
        path if path.is_file() else path / "train.parquet"
    )
    assert dataset_fingerprint(path, split="train", streaming=True) != first


def test_a_damaged_stream_is_named_when_it_is_read(tmp_path: Path) -> None:
    rows = '{"tokens": ["a"], "tags": ["X"]}\n' * 3
    (tmp_path / "bad.jsonl").write_text(rows + '{"tokens": [', encoding="utf-8")
    with pytest.raises(DataError, match=r"bad\.jsonl: cannot be loaded"):
        list(read_dataset(tmp_path / "bad.jsonl", {"upos": "tags"}, split="train", streaming=True))


def test_without_network_the_local_ways_are_named() -> None:
    with pytest.raises(DataError, match=r"nobody/nothing: cannot be loaded .*HF_HUB_OFFLINE=1"):
        next(read_dataset("nobody/nothing", COLUMNS))


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ([2, 1], "leads from word 1 back"),
        ([0, 0], "has 2 roots"),
        ([0, 2], "leads from word 2 back"),
    ],
)
def test_heads_that_are_no_tree_are_refused(heads: list[int], message: str) -> None:
    data = datasets.Dataset.from_dict({"tokens": [["a", "b"]], "h": [heads], "r": [["x", "y"]]})
    with pytest.raises(DataError, match=f"dataset:1: column 'h' {message}"):
        next(read_dataset(data, {"dep": {"heads": "h", "relations": "r"}}))


def test_damaged_files_and_values_that_are_no_lists_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"tokens": ["a"]\n{{', encoding="utf-8")
    with pytest.raises(DataError, match="cannot be loaded"):
        list(read_dataset(tmp_path / "bad.jsonl", {"upos": "tags"}, split="train"))
    (tmp_path / "flat.jsonl").write_text('{"tokens": ["a"], "tags": 3}\n', encoding="utf-8")
    with pytest.raises(DataError, match="column 'tags' holds 3; allowed are lists"):
        list(read_dataset(tmp_path / "flat.jsonl", {"upos": "tags"}, split="train"))


def test_a_full_disk_is_not_called_an_absent_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(datasets, "load_dataset", full)
    with pytest.raises(RunError, match=r"nobody/nothing: no space left .*set HF_HOME"):
        next(read_dataset("nobody/nothing", COLUMNS))
