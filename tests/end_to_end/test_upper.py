"""The upper levels from the recipe to annotated files and back."""

import json
from pathlib import Path

import pytest

import hiermtl
from hiermtl.heads import RolesHead
from hiermtl.sample import sample_corpus
from hiermtl.text.conllu import read_conllu
from hiermtl.text.sentence import Mentions
from tests.end_to_end.program import done
from tests.unit.reporting.pages import Page

RECIPE = """
description: spans, roles, relations and coreference in one small hierarchy
encoder: {name: bilstm, layers: 2, hidden: 48, word_width: 24, ngram_width: 24, ngram_buckets: 900}
tasks:
  upos: {depth: 1}
  entity: {depth: 2, weight: 3.0}
  srl: {depth: 2}
  relation: {depth: 2}
  coref: {depth: 2, head: {name: coreference, reads: entity}}
  entailment: {depth: 2}
corpora:
  sample: {format: sample, train: 400, dev: 60, test: 40}
training: {epochs: 16, tokens_per_batch: 120, warmup: 2, precision: fp32, lr: 1e-2, lr_heads: 1e-2}
"""
UPPER = ("entity", "srl", "relation", "coref")
TEXT = "The Hunter Prize went to a writer from Spain.\nShe thanked the jury.\n\nIt rained.\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, _cache: None) -> Path:
    folder = tmp_path_factory.mktemp("upper")
    (folder / "upper.yaml").write_text(RECIPE, encoding="utf-8")
    done("train", folder / "upper.yaml", "-o", folder / "run")
    return folder / "run"


def test_every_level_is_scored_and_learnt(run: Path) -> None:
    found = {
        (row["task"], row["metric"]): row["score"]
        for row in json.loads((run / "scores.json").read_text(encoding="utf-8"))
    }
    assert found["entity", "f1"] > 40
    assert found["srl", "f1_predicate"] > 60
    assert found["srl", "f1_given"] > 20
    assert found["coref", "conll"] > 30
    assert {metric for task, metric in found if task == "relation"} == {
        "f1",
        "precision",
        "recall",
        "f1_strict",
        "f1_given",
        "macro_f1",
    }


def test_a_document_has_what_the_model_says(run: Path) -> None:
    nlp = hiermtl.load(run)
    doc = nlp(TEXT, UPPER)
    words = len(doc.words)
    mentions = [(span.start, span.end) for chain in doc.clusters for span in chain]
    # Every span of the level that is read is a mention, and of one thing.
    assert sorted(mentions) == sorted({(s.start, s.end) for s in doc.entities})
    assert all(0 <= p.word < words for p in doc.roles)
    spans = {(s.start, s.end) for s in doc.entities}
    for relation in doc.relations:
        assert {(s.start, s.end) for s in (relation.head, relation.tail)} <= spans
    assert set(doc.to_dict()) >= {"spans", "roles", "relations", "clusters"}
    assert nlp("", UPPER).clusters == ()
    assert nlp("One", UPPER).to_dict()["words"] == ["One"]


def test_predicates_have_senses_of_training_where_these_are_probable(run: Path) -> None:
    nlp = hiermtl.load(run)
    head = nlp.computing.head("srl")
    assert isinstance(head, RolesHead)
    listed = head.senses
    assert "thank.01" in listed
    documents = sample_corpus(0, 0, dev=0, test=40).test
    texts = [list(s.words) for document in documents for s in document.sentences]
    told = [p.sense for doc in nlp.pipe(texts, ["srl"]) for p in doc.roles]
    head.senses = frozenset()
    first = [p.sense for doc in nlp.pipe(texts, ["srl"]) for p in doc.roles]
    assert len(told) == len(first)
    assert sum(sense not in listed for sense in told) < sum(s not in listed for s in first)


@pytest.mark.parametrize("ending", ["jsonl", "conllu"])
def test_what_is_annotated_scores_in_full(run: Path, tmp_path: Path, ending: str) -> None:
    source, target = tmp_path / "in.txt", tmp_path / f"out.{ending}"
    source.write_text(TEXT, encoding="utf-8")
    tasks = [task for task in UPPER if ending == "jsonl" or task != "relation"]
    done("annotate", run, source, "-o", target, "--tasks", ",".join(tasks))
    scores = hiermtl.evaluate(run, target, tasks=tasks)
    told = {(row.task, row.metric): row.score for row in scores.rows}
    assert {task for task, _ in told} >= {"entity", "srl", "coref"}
    for (task, metric), score in told.items():
        # Links and macro averages may have nothing to count.
        if metric in ("f1", "b3", "ceafe", "f1_predicate", "accuracy"):
            assert score == 100, (task, metric)
    if ending == "conllu":
        sentences = list(read_conllu(target))
        assert [s.doc_id for s in sentences] == ["doc-1", "doc-1", "doc-2"]
        assert all(isinstance(s.layers["coref"], Mentions) for s in sentences)


def test_raw_text_scores_by_characters(run: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in.txt", tmp_path / "out.conllu"
    source.write_text(TEXT, encoding="utf-8")
    tasks = ("entity", "srl", "coref")
    done("annotate", run, source, "-o", target, "--tasks", ",".join(tasks))
    scores = hiermtl.evaluate(run, target, tasks=tasks, raw=True)
    told = {(row.task, row.metric): row.score for row in scores.rows}
    assert told["entity", "f1"] == told["srl", "f1"] == told["coref", "b3"] == 100


def test_a_report_shows_errors_of_every_level(run: Path, tmp_path: Path) -> None:
    done("report", run, "-o", tmp_path / "page.html", "--quiet")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert (page.problems, page.resources()) == ([], [])
    shown = page.text[page.text.rindex("Worst errors") : page.text.rindex("Probes")]
    for task in ("upos", *UPPER, "entailment"):
        assert f"{task}, sample" in shown
    assert "\u2192" in shown, "roles and relations have two places"
