"""Pairs and texts from the recipe to annotated files."""

import json
from pathlib import Path

import pytest

import hiermtl
from hiermtl.errors import DataError
from tests.end_to_end.program import done, refused

RECIPE = """
description: words, pairs and texts in one small hierarchy
encoder: {name: bilstm, layers: 2, hidden: 24, word_width: 12, ngram_width: 12, ngram_buckets: 500}
tasks:
  upos: {depth: 1}
  relatedness: {depth: 2}
  entailment: {depth: 2, head: {name: pair_classification, reads: relatedness}}
  topic: {depth: 2, head: text_classification}
corpora:
  sample: {format: sample, train: 240, dev: 60, test: 40}
  texts: {format: table, train: texts.csv, dev: texts.csv, text: said, labels: {topic: topic}}
training: {epochs: 6, tokens_per_batch: 120, warmup: 2, precision: fp32, lr: 1e-2, lr_heads: 1e-2}
"""
DOG, SHIP = "A dog runs.", "Ships sail over the seas to the far islands."


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, _cache: None) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "pairs.yaml").write_text(RECIPE, encoding="utf-8")
    rows = [f'"{text}",{name}\n' for text, name in ((DOG, "land"), (SHIP, "sea"))]
    (folder / "texts.csv").write_text("said,topic\n" + "".join(rows * 80), encoding="utf-8")
    done("train", folder / "pairs.yaml", "-o", folder / "run")
    return folder / "run"


def test_every_level_is_scored(run: Path) -> None:
    found = {
        (row["task"], row["metric"]): row["score"]
        for row in json.loads((run / "scores.json").read_text(encoding="utf-8"))
    }
    assert found["topic", "accuracy"] == 100
    assert found["upos", "accuracy"] > 40
    assert found["entailment", "accuracy"] > 35
    assert -1 <= found["relatedness", "pearson"] <= 1
    test = json.loads(done("evaluate", run, "--split", "test", "--format", "json").stdout)
    assert {row["task"] for row in test} == {"upos", "relatedness", "entailment"}


def test_a_pair_and_a_text_get_labels(run: Path) -> None:
    nlp = hiermtl.load(run)
    pair = nlp(hiermtl.Pair("A dog runs.", ["A", "dog", "barks", "."]))
    assert set(pair.labels) == {"relatedness", "entailment"}
    assert pair.labels["entailment"] in nlp.model.head("entailment").labels
    relatedness = pair.labels["relatedness"]
    assert isinstance(relatedness, float)
    assert 1 <= relatedness <= 5
    assert len(pair.tags("upos")) == 8
    assert nlp(hiermtl.Pair(DOG, "It barks.")).text == f"{DOG} It barks."
    assert nlp(DOG).labels == {"topic": "land"}
    assert nlp(SHIP).labels == {"topic": "sea"}


def test_json_lines_of_pairs_are_annotated(run: Path, tmp_path: Path) -> None:
    pairs = [("A dog runs.", "An animal moves."), (["Nobody", "sings"], "It rains.")]
    source, target = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    lines = [json.dumps({"first": a, "second": b, "id": str(i)}) for i, (a, b) in enumerate(pairs)]
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done("annotate", run, source, "-o", target)
    found = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in found] == ["0", "1"]
    nlp = hiermtl.load(run)
    for line, (first, second) in zip(found, pairs, strict=True):
        assert line["first"] == first
        assert line["labels"] == pytest.approx(dict(nlp(hiermtl.Pair(first, second)).labels))


def test_what_pairs_need_is_said(run: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text('{"first": "A dog.", "second": ""}\n', encoding="utf-8")
    says = ("a.jsonl:1: `second` is empty; give it words, or leave the pair out",)
    refused("annotate", run, source, "-o", tmp_path / "o.jsonl", says=says)
    assert not (tmp_path / "o.jsonl").exists()
    text = RECIPE.replace("reads: relatedness", "reads: [upos]")
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    refused("check", tmp_path / "r.yaml", says=("tasks.entailment.head.reads",))
    text = RECIPE.replace("reads: relatedness", "reads: [relatedness, relatedness]")
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    refused("check", tmp_path / "r.yaml", says=("holds 'relatedness' twice",))
    text = RECIPE.replace("head: text_classification", "head: pair_classification")
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    refused(
        "check",
        tmp_path / "r.yaml",
        says=("which judges pairs, but corpus 'texts' has the format 'table'",),
    )
    text = RECIPE.replace("topic: {depth: 2,", "topic: {depth: 2, corpus: sample, column: upos,")
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    refused(
        "check",
        tmp_path / "r.yaml",
        says=("which judges texts, but corpus 'sample' has the format 'sample'",),
    )


def test_what_no_task_judges_is_refused(run: Path, tmp_path: Path) -> None:
    nlp = hiermtl.load(run)
    with pytest.raises(DataError, match=r"relatedness judge pairs of texts; pass hiermtl\.Pair"):
        nlp(DOG, ["relatedness"])
    with pytest.raises(DataError, match="but topic judge single texts; pass each text by itself"):
        nlp(hiermtl.Pair(DOG, SHIP), ["topic"])
    assert len(nlp(hiermtl.Pair(DOG, SHIP), ["upos"]).tags("upos")) == 14
    assert not len(nlp("", ["relatedness"]))
    source = tmp_path / "a.txt"
    source.write_text(DOG + "\n", encoding="utf-8")
    says = ("judge pairs of texts; pass hiermtl.Pair(first, second), or JSON lines with",)
    target = tmp_path / "o.jsonl"
    refused("annotate", run, source, "-o", target, "--tasks", "entailment", says=says)
    assert not target.exists()


def test_raw_scores_and_timing_leave_pairs_out_with_a_line(run: Path) -> None:
    found = done("evaluate", run, "--raw")
    assert "judge whole texts or pairs, so not scored from text" in found.stdout
    timed = done("benchmark", run, "--words", "200", "--rounds", "1")
    assert "not timed, since they judge pairs" in timed.stdout
    refused("benchmark", run, "--tasks", "relatedness", says=("judge pairs of texts",))
