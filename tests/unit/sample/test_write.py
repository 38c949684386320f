import hashlib
import os
from pathlib import Path

import pytest

from hiermtl.errors import RecipeError
from hiermtl.sample import sample_corpus, write_sample
from hiermtl.sample.write import conllu
from hiermtl.text.tables import read_pairs

SIZES = {"train": 120, "dev": 20, "test": 20}


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def test_same_seed_gives_same_bytes(tmp_path: Path) -> None:
    write_sample(tmp_path / "a", seed=3, **SIZES)
    write_sample(tmp_path / "b", seed=3, **SIZES)
    write_sample(tmp_path / "c", seed=4, **SIZES)
    first = _digests(tmp_path / "a")
    assert first == _digests(tmp_path / "b")
    assert first["train.conllu"] != _digests(tmp_path / "c")["train.conllu"]


def test_test_split_does_not_depend_on_the_size_of_train() -> None:
    small = sample_corpus(0, 10, dev=5, test=30)
    large = sample_corpus(0, 60, dev=5, test=30)
    assert small.test == large.test


def test_report_counts_what_was_written(tmp_path: Path) -> None:
    report = write_sample(tmp_path, seed=1, **SIZES)
    assert sorted(report.files) == sorted(os.listdir(tmp_path))
    for split, size in SIZES.items():
        assert report.splits[split].sentences == size
        text = (tmp_path / f"{split}.conllu").read_text(encoding="utf-8")
        assert text.count("# sent_id = ") == size
        assert text.count("# newdoc id = ") == report.splits[split].documents
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "Seed: 1" in readme
    assert "nothing" in readme


def test_pairs_of_each_split_are_a_table(tmp_path: Path) -> None:
    write_sample(tmp_path, **SIZES)
    texts = (tmp_path / "train.conllu").read_text(encoding="utf-8")
    found = list(
        read_pairs(
            tmp_path / "train.pairs.tsv",
            first="first",
            second="second",
            labels={"entailment": "entailment"},
            numbers={"relatedness": "relatedness"},
        )
    )
    assert len(found) > SIZES["train"] / 2
    assert {pair.labels["entailment"] for pair in found} == {
        "ENTAILMENT",
        "NEUTRAL",
        "CONTRADICTION",
    }
    assert all(1 <= float(pair.labels["relatedness"]) <= 5 for pair in found)
    same = [f"# text = {pair.sentences[0].text}\n" in texts for pair in found]
    assert sum(same) > len(found) / 4


def test_sentence_ids_join_the_files(tmp_path: Path) -> None:
    write_sample(tmp_path, **SIZES)

    def ids(name: str) -> list[str]:
        lines = (tmp_path / name).read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line.startswith("# sent_id = ")]

    names = ids("train.conllu")
    assert len(set(names)) == SIZES["train"]
    assert names == ids("train.ner.iob2") == ids("train.chunk.tsv")


def test_columns(tmp_path: Path) -> None:
    write_sample(tmp_path, **SIZES)
    for name, columns in (("dev.conllu", 10), ("dev.ner.iob2", 5), ("dev.chunk.tsv", 4)):
        for line in (tmp_path / name).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("# "):
                assert len(line.split("\t")) == columns
                assert all(line.split("\t"))


def test_raw_text_holds_the_sentences_in_order(tmp_path: Path) -> None:
    write_sample(tmp_path, **SIZES)
    texts = [
        line.removeprefix("# text = ")
        for line in (tmp_path / "train.conllu").read_text(encoding="utf-8").splitlines()
        if line.startswith("# text = ")
    ]
    raw = (tmp_path / "train.txt").read_text(encoding="utf-8")
    assert raw.split() == " ".join(texts).split()


def test_empty_words_have_enhanced_edges() -> None:
    corpus = sample_corpus(0)
    sentence = next(s for d in corpus.train for s in d.sentences if s.empty_nodes)
    document = next(d for d in corpus.train if sentence in d.sentences)
    block = next(
        block
        for block in conllu([document]).split("\n\n")
        if f"# text = {sentence.text}\n" in block
    )
    rows = [line.split("\t") for line in block.splitlines() if not line.startswith("#")]
    empty = [row for row in rows if "." in row[0]]
    assert len(empty) == 1
    assert empty[0][6:8] == ["_", "_"]
    assert all(row[8] != "_" for row in rows if "-" not in row[0])


def test_split_of_no_sentences(tmp_path: Path) -> None:
    report = write_sample(tmp_path, train=5, dev=0, test=0)
    assert report.splits["dev"].words == 0
    assert (tmp_path / "dev.conllu").read_bytes() == b""


def test_files_of_another_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("mine", encoding="utf-8")
    write_sample(tmp_path / "own", train=1, dev=1, test=1)
    for name in ("README.md", "test.txt"):
        folder = tmp_path / name[:3]
        folder.mkdir()
        (folder / name).write_text("mine", encoding="utf-8")
        with pytest.raises(RecipeError, match=f"has a {name} that is of no sample corpora, and"):
            write_sample(folder, train=1, dev=1, test=1)
        assert [path.read_text() for path in folder.iterdir()] == ["mine"]
    write_sample(tmp_path, train=1, dev=1, test=1)
    assert (tmp_path / "notes.md").read_text() == "mine"


def test_a_write_that_broke_off_can_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, done = os.replace, []

    def fail(source: str, target: str) -> None:
        if len(done) == 3:
            raise OSError("disk full")
        done.append(target)
        whole(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_sample(tmp_path, train=1, dev=1, test=1)
    monkeypatch.setattr(os, "replace", whole)
    report = write_sample(tmp_path, train=1, dev=1, test=1)
    assert sorted(report.files) == sorted(os.listdir(tmp_path))


def test_negative_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="train must be 0 or more"):
        write_sample(tmp_path, train=-1)


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sample(tmp_path, **SIZES)
    before = _digests(tmp_path)

    def fail(source: str, target: str) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_sample(tmp_path, seed=9, **SIZES)
    assert _digests(tmp_path) == before
