"""Bad input: code 2, what was given, what is allowed, what to do next, and nothing half written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.program import RECIPE, done, refused, tree

RECIPES: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "unknown key": (["training.colour=red"], ("training.colour", "is not a key", "epochs")),
    "misspelt key": (["training.epoch=2"], ("training.epoch", "did you mean 'epochs'")),
    "key in the wrong section": (["epochs=2"], ("did you mean 'training.epochs'",)),
    "wrong type": (["training.epochs=many"], ("training.epochs", "'many'", "whole number")),
    "number out of range": (["training.lr=-1"], ("training.lr", "-1")),
    "depth beyond the encoder": (["tasks.dep.depth=3"], ("tasks.dep.depth", "is 3", "2")),
    "depth of the embedding": (["tasks.dep.depth=0"], ("tasks.dep.depth", "is 0", "1 or above")),
    "unknown head": (["tasks.ner.head=crff"], ("'crff'", "biaffine", "did you mean 'crf'")),
    "head missing": (["tasks.colour={depth: 1}"], ("tasks.colour", "needs a head")),
    "unknown sharing": (["sharing=hrad"], ("'hrad'", "low_supervision", "did you mean 'hard'")),
    "unknown corpus": (["tasks.ner.corpus=smaple"], ("'smaple'", "did you mean 'sample'")),
    "unknown main task": (["evaluation.main=nre"], ("'nre'", "did you mean 'ner'")),
    "unknown class": (
        ["tasks.upos.class_weights={NUON: 2}"],
        ("tasks.upos.class_weights", "'NUON'", "NOUN"),
    ),
    "head for another layer": (["tasks.upos.head=biaffine"], ("tasks.upos.head", "choose another")),
    "unequal depths under hard": (["sharing=hard"], ("depth", "leave")),
    "unknown encoder": (["encoder={name: ./nowhere}"], ("nowhere", "minilm")),
}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("command", ["train", "check"])
def test_a_recipe_that_cannot_be_is_refused(
    recipe: Path, tmp_path: Path, name: str, command: str
) -> None:
    overrides, says = RECIPES[name]
    output = ["-o", tmp_path / "run"] if command == "train" else []
    refused(command, recipe, *overrides, *output, says=says)
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_that_is_not_there_is_refused(tmp_path: Path) -> None:
    refused("train", "quikstart", says=("'quikstart'", "did you mean 'quickstart'"))
    refused("train", tmp_path / "none.yaml", says=("none.yaml", "hiermtl recipes list"))


def test_a_misspelt_key_in_a_file_is_placed(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(RECIPE.replace("epochs: 2", "epohcs: 2"), encoding="utf-8")
    line = RECIPE.splitlines().index(next(t for t in RECIPE.splitlines() if "epochs" in t)) + 1
    refused("check", path, says=(f"{path}:{line}", "training.epohcs", "did you mean 'epochs'"))


def test_a_recipe_that_is_not_yaml_is_placed(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("tasks: {upos: [\n")
    refused("check", path, says=(f"{path}:",))
    path.write_bytes(b"description: \xff\n")
    refused("check", path, says=("byte 13 is not UTF-8",))


def word(number: int, form: str, upos: str = "NOUN", misc: str = "_", head: int = 0) -> str:
    return f"{number}\t{form}\t_\t{upos}\t_\t_\t{head}\troot\t_\t{misc}\n"


GOOD = word(1, "Ada", "PROPN", "NER=B-PER") + "\n" + word(1, "London", "NOUN", "NER=B-LOC") + "\n"
FILES: dict[str, tuple[bytes | None, tuple[str, ...]]] = {
    "missing": (None, ("train.conllu",)),
    "empty": (b"", ("train.conllu", "no sentence")),
    "too few columns": ((GOOD + "1\tAda\tPROPN\n\n").encode(), ("train.conllu:5:", "10")),
    "head that is no number": (
        (GOOD + word(1, "Ada").replace("\t0\t", "\tx\t") + "\n").encode(),
        ("train.conllu:5:", "'x'"),
    ),
    "numbers that skip": (
        (GOOD + word(1, "Ada") + word(3, "slept") + "\n").encode(),
        ("train.conllu:6:", "3"),
    ),
    "wrong encoding": (GOOD.encode() + "# Zoë\n".encode("latin-1"), ("train.conllu:5:", "UTF-8")),
    "layer that is not there": (GOOD.replace("NER=", "X=").encode(), ("'ner'", "upos")),
}


@pytest.mark.parametrize("name", FILES)
def test_a_malformed_corpus_is_refused_at_its_place(tmp_path: Path, name: str) -> None:
    data, says = FILES[name]
    path = tmp_path / "files.yaml"
    path.write_text(
        "encoder: {name: bilstm, layers: 2, hidden: 8}\n"
        "tasks: {upos: {depth: 1}, ner: {depth: 2}}\n"
        "corpora: {own: {format: conllu, train: train.conllu}}\n"
    )
    if data is not None:
        (tmp_path / "train.conllu").write_bytes(data)
    before = tree(tmp_path)
    message = refused("train", path, "-o", tmp_path / "run", says=says)
    if name == "wrong encoding":
        offset = len(GOOD.encode()) + len("# Zo")
        assert f"byte {offset}" in message
    assert tree(tmp_path) == before


def test_illegal_iob2_is_refused_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "files.yaml"
    path.write_text(
        "encoder: {name: bilstm, layers: 1, hidden: 8}\ntasks: {ner: {depth: 1}}\n"
        "corpora: {own: {format: columns, columns: {ner: 1}, train: train.tsv}}\n"
    )
    (tmp_path / "train.tsv").write_text("Ada\tB-PER\n\nin\tO\nLondon\tI-LOC\n\n")
    before = tree(tmp_path)
    refused("train", path, "-o", tmp_path / "run", says=("train.tsv:4:", "'I-LOC'"))
    assert tree(tmp_path) == before


def test_labels_only_dev_has_are_counted_and_scored_as_errors(tmp_path: Path) -> None:
    path = tmp_path / "files.yaml"
    path.write_text(
        "encoder: {name: bilstm, layers: 1, hidden: 8}\ntasks: {upos: {depth: 1}}\n"
        "corpora: {own: {format: conllu, train: train.conllu, dev: dev.conllu}}\n"
        "training: {max_steps: 2, precision: fp32}\n"
    )
    (tmp_path / "train.conllu").write_text(GOOD)
    (tmp_path / "dev.conllu").write_text(word(1, "Oh", "INTJ") + "\n" + word(1, "My", "X") + "\n")
    lines = done("check", path).stdout
    assert "own upos: 2 labels on 2 words do not occur in train (INTJ, X)" in lines
    done("train", path, "-o", tmp_path / "run", "-q")
    found = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert [(row["metric"], row["score"], row["items"]) for row in found] == [("accuracy", 0.0, 2)]
    card = (tmp_path / "run" / "README.md").read_text()
    assert "2 items carry labels never seen in training" in card
    shown = done("evaluate", tmp_path / "run", "--data-dir", tmp_path).stdout
    assert "scored as errors" in shown


def test_an_occupied_folder_is_refused(recipe: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for folder in (tmp_path, model):
        before = tree(folder)
        refused("train", recipe, "-o", folder, says=(str(folder), "is occupied", "--resume"))
        assert tree(folder) == before


def test_resuming_another_recipe_names_the_keys(recipe: Path, model: Path) -> None:
    changed = ("training.lr=1e-3", "tasks.ner.weight=2")
    says = ("tasks.ner.weight and training.lr", str(model), "into another folder")
    refused("train", recipe, "-o", model, "--resume", *changed, says=says)


def test_a_finished_run_is_resumed_at_once(recipe: Path, model: Path) -> None:
    before = tree(model)
    found = done("train", recipe, "-o", model, "--resume", "training.output=elsewhere")
    assert f"The model is in {model}" in found.stdout
    assert tree(model) == before


def change(name: str, edit: Callable[[bytes], bytes | None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / name
        data = edit(path.read_bytes())
        path.unlink() if data is None else path.write_bytes(data)

    return apply


def setting(key: str, value: object) -> Callable[[bytes], bytes]:
    return lambda data: json.dumps({**json.loads(data), key: value}).encode()


def flip(data: bytes) -> bytes:
    middle = len(data) - 100
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGE: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "weights cut": (
        change("model.safetensors", lambda data: data[:-100]),
        ("model.safetensors", "copy"),
    ),
    "weights changed": (change("model.safetensors", flip), ("model.safetensors", "copy")),
    "weights missing": (change("model.safetensors", lambda data: None), ("model.safetensors",)),
    "config cut": (change("config.json", lambda data: data[:50]), ("config.json",)),
    "config missing": (change("config.json", lambda data: None), ("config.json",)),
    "config of another model": (
        change("config.json", setting("model_type", "bert")),
        ("config.json", "'bert'", "hiermtl"),
    ),
    "newer format": (
        change("config.json", setting("format_version", 99)),
        ("format_version is 99", "install a newer hiermtl"),
    ),
    "words cut": (change("words.json", lambda data: data[:20]), ("words.json",)),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_model_folder_is_refused(model: Path, tmp_path: Path, name: str) -> None:
    damage, says = DAMAGE[name]
    copy = tmp_path / "copy"
    shutil.copytree(model, copy, ignore=shutil.ignore_patterns("checkpoints"))
    done("annotate", copy, "-", "-o", "-", "-q", text="Ada slept.\n")
    damage(copy)
    refused("evaluate", copy, says=says)
    refused("annotate", copy, "-", "-o", tmp_path / "out.conllu", says=says, text="Ada slept.\n")
    assert not (tmp_path / "out.conllu").exists()


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    says = ("there is no model", "nowhere", "name the folder")
    refused("evaluate", tmp_path / "nowhere", says=says)
    (tmp_path / "file").write_text("")
    refused("evaluate", tmp_path / "file", says=("is a file",))


USES: dict[str, tuple[list[Any], tuple[str, ...]]] = {
    "file without gold": (["evaluate", "--data", "bare.conllu"], ("bare.conllu", "no gold")),
    "file that is missing": (["evaluate", "--data", "none.conllu"], ("none.conllu",)),
    "gold that is malformed": (["evaluate", "--data", "bad.conllu"], ("bad.conllu:1:",)),
    "gold of another format": (["evaluate", "--data", "in.txt"], ("in.txt", ".conllu")),
    "unknown task to score": (["evaluate", "--tasks", "nre"], ("'nre'", "did you mean 'ner'")),
    "unknown task": (
        ["annotate", "in.txt", "-o", "out.conllu", "--tasks", "uops"],
        ("'uops'", "did you mean 'upos'"),
    ),
    "missing input": (["annotate", "none.txt", "-o", "out.conllu"], ("none.txt",)),
    "malformed input": (["annotate", "bad.conllu", "-o", "out.conllu"], ("bad.conllu:1:",)),
    "malformed JSON": (["annotate", "bad.jsonl", "-o", "out.jsonl"], ("bad.jsonl:2:",)),
    "wrong encoding": (["annotate", "latin.txt", "-o", "out.conllu"], ("latin.txt:2:", "byte 13")),
    "unknown ending": (["annotate", "in.doc", "-o", "out.conllu"], ("in.doc", ".txt")),
    "unknown output": (["annotate", "in.txt", "-o", "out.xml"], ("out.xml", "conllu")),
    "unknown format": (["annotate", "in.txt", "-o", "o", "--format", "xml"], ("'xml'", "conllu")),
    "unknown precision": (["evaluate", "--precision", "fp8"], ("'fp8'", "fp32")),
    "unknown split": (["evaluate", "--split", "train"], ("'train'", "dev")),
}


@pytest.mark.parametrize("name", USES)
def test_a_use_that_cannot_be_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    files: dict[str, bytes] = {
        "bare.conllu": b"1\tAda\t_\t_\t_\t_\t_\t_\t_\t_\n\n",
        "bad.conllu": b"1\tAda\n\n",
        "bad.jsonl": b'{"text": "Ada slept."}\n{"text": \n',
        "in.txt": b"Ada slept.\n",
        "in.doc": b"Ada slept.\n",
        "latin.txt": b"Ada slept\nZo\xeb\n",
    }
    for file, data in files.items():
        (tmp_path / file).write_bytes(data)
    (command, *rest), says = USES[name]
    if name == "wrong encoding":
        says = ("latin.txt:2:", f"byte {files['latin.txt'].index(0xEB)}")
    refused(command, model, *rest, says=says)
    assert tree(tmp_path) == files


def test_what_was_annotated_before_stays_when_input_is_bad(model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"text": "Ada slept."}\n{"text": \n')
    (tmp_path / "out.jsonl").write_text("before\n")
    before = tree(tmp_path)
    refused(
        "annotate", model, tmp_path / "bad.jsonl", "-o", tmp_path / "out.jsonl", says=("jsonl:2:",)
    )
    assert tree(tmp_path) == before
