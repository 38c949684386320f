"""What a person does with the program, from the first recipe to annotated text."""

import json
import os
from pathlib import Path

import pytest
import torch

import hiermtl
from hiermtl._version import __version__
from hiermtl.evaluation import KEYS
from hiermtl.recipe import schema
from hiermtl.text.conllu import read_conllu
from tests.end_to_end.program import ROOT, alone, done, tree
from tests.end_to_end.program import hiermtl as program

TEXT = "Ada Lovelace wrote to Charles Babbage in 1843. He slept.\n\nLondon was quiet.\n"


def rows(path: Path) -> list[dict[str, object]]:
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_model_learnt_something(model: Path) -> None:
    found = {(row["task"], row["metric"]): row["score"] for row in rows(model / "scores.json")}
    assert found["upos", "accuracy"] > 25


def test_evaluate_repeats_the_scores_of_training(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    shown = done("evaluate", model, "--json", path)
    assert rows(path) == rows(model / "scores.json")
    assert all(tuple(row) == KEYS for row in rows(path))
    dtype = rows(path)[0]["dtype"]
    for part in ("upos", "ner", "dep", "las", "split dev", f"dtype {dtype}", "seed 0"):
        assert part in shown.stdout
    as_json = done("evaluate", model, "--format", "json")
    assert json.loads(as_json.stdout) == rows(path)
    markdown = done("evaluate", model, "--format", "markdown").stdout
    assert markdown.startswith("| level |")
    assert markdown.strip() in (model / "README.md").read_text(encoding="utf-8")
    assert done("evaluate", model, "--json", path, "--quiet").output == ""


def test_test_is_read_only_when_asked(model: Path) -> None:
    found = json.loads(done("evaluate", model, "--split", "test", "--format", "json").stdout)
    assert {row["split"] for row in found} == {"test"}


def test_evaluate_scores_from_plain_text(model: Path) -> None:
    found = json.loads(done("evaluate", model, "--raw", "--format", "json").stdout)
    assert {"words", "sentences"} <= {row["metric"] for row in found}


@pytest.mark.parametrize("ending", [".txt", ".conllu", ".jsonl"])
@pytest.mark.parametrize("output", [".conllu", ".jsonl"])
def test_annotate_reads_and_writes_each_format(
    model: Path, sample: Path, tmp_path: Path, ending: str, output: str
) -> None:
    source = tmp_path / f"in{ending}"
    if ending == ".jsonl":
        lines = [{"text": "Ada slept."}, {"words": ["Ada", "slept", "."], "id": "b"}]
        source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    else:
        source.write_text(TEXT if ending == ".txt" else (sample / "dev.conllu").read_text())
    target = tmp_path / f"out{output}"
    found = done("annotate", model, source, "-o", target)
    assert found.stdout == ""
    assert " words in " in found.stderr
    if output == ".conllu":
        sentences = list(read_conllu(target))
        assert sentences
        for sentence in sentences:
            assert {"upos", "dep", "ner"} <= set(sentence.layers)
    else:
        objects = [json.loads(line) for line in target.read_text().splitlines()]
        assert objects
        assert all("words" in str(item.keys()) for item in objects)
    if ending == ".jsonl" and output == ".jsonl":
        assert [item.get("id") for item in objects] == [None, "b"]


def test_what_annotate_writes_evaluate_reads(model: Path, sample: Path, tmp_path: Path) -> None:
    """A model that is scored on its own annotations is always right."""
    target = tmp_path / "own.conllu"
    done("annotate", model, sample / "test.txt", "-o", target)
    path = tmp_path / "scores.json"
    done("evaluate", model, "--data", target, "--json", path, "--quiet")
    found = {row["task"]: row["score"] for row in reversed(rows(path))}
    assert {"upos", "dep"} <= set(found)
    assert all(score == 100 for score in found.values()), found


def test_annotations_of_gold_files_are_scored_as_evaluate_scores_the_model(
    model: Path, sample: Path, tmp_path: Path
) -> None:
    path = tmp_path / "scores.json"
    done("evaluate", model, "--data", sample / "dev.conllu", "--json", path, "--quiet")
    assert {row["task"] for row in rows(path)} == {"upos", "dep"}
    accuracy = next(row["score"] for row in rows(path) if row["metric"] == "accuracy")
    target = tmp_path / "dev.conllu"
    done("annotate", model, sample / "dev.conllu", "-o", target)
    pairs = [
        (ours, theirs)
        for one, other in zip(read_conllu(target), read_conllu(sample / "dev.conllu"), strict=True)
        for ours, theirs in zip(one.layers["upos"], other.layers["upos"], strict=True)
    ]
    assert accuracy == pytest.approx(100 * sum(a == b for a, b in pairs) / len(pairs))


def test_columns_that_are_not_predicted_are_kept(model: Path, sample: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.conllu"
    done("annotate", model, sample / "dev.conllu", "-o", target, "--tasks", "upos")
    for one, other in zip(read_conllu(target), read_conllu(sample / "dev.conllu"), strict=True):
        assert one.words == other.words
        assert {k: v for k, v in one.layers.items() if k not in ("upos", "ner")} == {
            k: v for k, v in other.layers.items() if k not in ("upos", "ner")
        }


def test_standard_input_and_output_can_be_piped(model: Path) -> None:
    found = done("annotate", model, "-", "-o", "-", "--format", "jsonl", text=TEXT)
    objects = [json.loads(line) for line in found.stdout.splitlines()]
    assert len(objects) == 2
    assert "words/s" in found.stderr
    quiet = done("annotate", model, "-", "-o", "-", "--format", "jsonl", "-q", text=TEXT)
    assert (quiet.stdout, quiet.stderr) == (found.stdout, "")


STRANGE = {
    "empty": "",
    "blank lines": "\n\n   \n\t\n",
    "one word": "Ja\n",
    "emoji": "👩‍👩‍👧‍👦 🇬🇧 slept 😴.\n",
    "right to left": "كتبت آدا إلى تشارلز.\nשלום עולם\n",
    "combining marks": "Zoe\u0308 e\u0301crit.\n",
    "no spaces": "a" * 3000 + "\n",
    "carriage returns": "Ada slept.\r\nLondon slept.\r\n",
    "ten thousand words": " ".join(["notes"] * 10_000) + "\n",
    "no last newline": "Ada slept.",
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_text_is_annotated(model: Path, tmp_path: Path, name: str) -> None:
    source = tmp_path / "in.txt"
    source.write_text(STRANGE[name], encoding="utf-8")
    target = tmp_path / "out.conllu"
    done("annotate", model, source, "-o", target)
    sentences = list(read_conllu(target)) if STRANGE[name].strip() else []
    written = "".join(word for sentence in sentences for word in sentence.words)
    assert "".join(written.split()) == "".join(STRANGE[name].split())
    if not sentences:
        assert target.read_text() == ""


def test_a_model_is_used_from_python_and_copied(model: Path, tmp_path: Path) -> None:
    nlp = hiermtl.load(model)
    document = nlp("Ada Lovelace wrote to Charles Babbage in 1843.")
    assert len(document.tags("upos")) == len(document.words) == 9
    nlp.save_pretrained(tmp_path / "copy")
    copy = hiermtl.load(tmp_path / "copy")
    assert copy("Ada slept.").to_dict() == nlp("Ada slept.").to_dict()
    for name, value in nlp.model.state_dict().items():
        assert torch.equal(copy.model.state_dict()[name], value)
    assert done("evaluate", tmp_path / "copy", "-q").stdout == done("evaluate", model, "-q").stdout
    assert hiermtl.evaluate(copy).rows == hiermtl.evaluate(nlp).rows
    again = hiermtl.HierarchicalModel.from_pretrained(tmp_path / "copy")
    assert again.hierarchy.names == ("upos", "dep", "ner")


def test_a_run_folder_holds_tensors_json_and_text(model: Path) -> None:
    for name, data in tree(model).items():
        assert Path(name).suffix in {".json", ".jsonl", ".safetensors", ".md", ".txt"}, name
        if name.endswith(".safetensors"):
            assert data[8:9] == b"{", name
        else:
            data.decode("utf-8")
            assert not data.startswith((b"\x80", b"PK")), name


def test_check_finds_nothing_and_writes_nothing(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = done("check", recipe, "training.epochs=3")
    assert "upos: level 1, depth 1, tagging" in found.stdout
    assert list(tmp_path.iterdir()) == []


def test_recipes_are_listed_shown_and_copied(tmp_path: Path) -> None:
    names = done("recipes", "list", "-q").stdout.split()
    assert {"quickstart", "low_supervision/ewt", "single/sample", "hard/ewt"} <= set(names)
    for name in names:
        shown = done("recipes", "show", name).stdout
        assert shown == (ROOT / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    done("recipes", "copy", "quickstart", tmp_path / "mine.yaml")
    small = ("corpora.sample.train=8", "corpora.sample.dev=4", "corpora.sample.test=4")
    assert "dep: level 3, depth 3" in done("check", tmp_path / "mine.yaml", *small).stdout


def test_sample_and_schema_are_written(sample: Path, tmp_path: Path) -> None:
    assert {"train.conllu", "dev.ner.iob2", "test.chunk.tsv", "README.md"} <= set(tree(sample))
    assert sum(1 for _ in read_conllu(sample / "train.conllu")) == 20
    assert json.loads(done("schema").stdout) == schema()
    done("schema", "-o", tmp_path / "s.json")
    assert rows(tmp_path / "s.json") == schema()


def test_the_version_is_printed() -> None:
    assert program("--version").stdout == f"hiermtl {__version__}\n"


def test_a_process_of_its_own_annotates_the_same(model: Path) -> None:
    found = alone("annotate", model, "-", "-o", "-", text=TEXT)
    assert (found.returncode, "Traceback" in found.stderr) == (0, False)
    assert found.stdout == done("annotate", model, "-", "-o", "-", text=TEXT).stdout
    assert len(found.stderr.splitlines()) == 1, found.stderr


def test_a_process_of_its_own_refuses_in_one_line(recipe: Path, tmp_path: Path) -> None:
    found = alone("train", recipe, "training.epoch=2", "-o", tmp_path / "run")
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("error: ")
    assert "did you mean 'epochs'" in found.stderr
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "run").exists()


def test_the_environment_names_the_folder_of_corpora(sample: Path, tmp_path: Path) -> None:
    path = tmp_path / "files.yaml"
    path.write_text(
        "encoder: {name: bilstm, layers: 1, hidden: 8}\ntasks: {upos: {depth: 1}}\n"
        "corpora: {own: {format: conllu, train: train.conllu, dev: dev.conllu}}\n"
    )
    assert "own train: 20 sentences" in done("check", path, "--data-dir", sample).stdout
    before = os.environ.get("HIERMTL_DATA")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIERMTL_DATA", str(sample))
        assert "own train: 20 sentences" in done("check", path).stdout
    assert os.environ.get("HIERMTL_DATA") == before


BESIDE = """
description: data beside the recipe
encoder: {name: bilstm, layers: 1, hidden: 8, word_width: 8, ngram_width: 8, ngram_buckets: 200}
tasks:
  upos: {depth: 1}
  xpos: {depth: 1, auxiliary: true}
corpora:
  mine: {format: conllu, train: train.conllu, dev: dev.conllu}
training: {epochs: 1, max_steps: 2, tokens_per_batch: 60}
"""


def test_a_run_finds_the_data_beside_its_recipe_again_and_bears_dev_without_an_auxiliary_task(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    text = (sample / "dev.conllu").read_text(encoding="utf-8")
    (place / "train.conllu").write_text(text, encoding="utf-8")
    cells = [line.split("\t") for line in text.splitlines()]
    blanked = "\n".join("\t".join([*c[:4], "_", *c[5:]]) if len(c) == 10 else c[0] for c in cells)
    (place / "dev.conllu").write_text(blanked + "\n\n", encoding="utf-8")
    (place / "mine.yaml").write_text(BESIDE, encoding="utf-8")
    monkeypatch.delenv("HIERMTL_DATA", raising=False)
    trained = done("train", place / "mine.yaml", "-o", tmp_path / "run")
    assert "mine train: 15 sentences" in trained.stderr
    monkeypatch.chdir(tmp_path)
    scored = done("evaluate", tmp_path / "run")
    assert "upos" in scored.stdout
    assert "accuracy" in scored.stdout
