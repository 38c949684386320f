"""Rows against the official program, on a real treebank and a corrupted copy of it."""

import io
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from udtools import udeval

from hiermtl.evaluation import HeadInfo, Scores, evaluate, evaluate_raw
from hiermtl.text.conllu import read_conllu
from hiermtl.text.documents import by_document, conllu_rows, raw_text
from hiermtl.text.plain import split_text
from hiermtl.text.sentence import Layer, Sentence, Tree

LAYERS = ("upos", "xpos", "feats", "lemma", "dep")


@pytest.fixture(scope="module")
def gold(data_folder: Path) -> list[Sentence]:
    return list(read_conllu(data_folder / "ud_english_ewt" / "en_ewt-ud-dev.conllu"))[:300]


@pytest.fixture(scope="module")
def heads(gold: list[Sentence]) -> dict[str, HeadInfo]:
    labels: dict[str, set[str]] = {name: set() for name in LAYERS}
    for sentence in gold:
        for name, layer in sentence.layers.items():
            labels[name].update(filter(None, _labels(layer)))
    return {
        name: HeadInfo(
            "biaffine" if name == "dep" else "tagging",
            "tree" if name == "dep" else "tags",
            tuple(sorted(of_layer)),
        )
        for name, of_layer in labels.items()
    }


def _labels(layer: Layer) -> Sequence[str | None]:
    return layer.relations if isinstance(layer, Tree) else layer


def corrupted(words: int, heads: dict[str, HeadInfo], rng: random.Random) -> dict[str, Layer]:
    """Layers at random; every tree is a chain with some arcs moved to the first word."""
    layers: dict[str, Layer] = {}
    for name, head in heads.items():
        tags = tuple(rng.choice(head.labels) for _ in range(words))
        if name != "dep":
            layers[name] = tags
            continue
        parents = [0, *(rng.choice((at, 1)) for at in range(1, words))]
        layers[name] = Tree(tuple(parents), ("root", *tags[1:]))
    return layers


def damaged(sentence: Sentence, heads: dict[str, HeadInfo], rng: random.Random) -> dict[str, Layer]:
    """The gold with a sixth of the labels, and a sixth of the trees, replaced."""
    found: dict[str, Layer] = {}
    for name, noise in corrupted(len(sentence.words), heads, rng).items():
        layer = sentence.layers[name]
        if isinstance(layer, Tree) or isinstance(noise, Tree):
            found[name] = noise if rng.random() < 1 / 6 else layer
        else:
            found[name] = tuple(
                other if rng.random() < 1 / 6 else tag
                for tag, other in zip(layer, noise, strict=True)
            )
    return found


def official(gold: Sequence[Sentence], system: Sequence[Sentence]) -> dict[str, Any]:
    sides = []
    for name, sentences in (("gold", gold), ("system", system)):
        rows = (conllu_rows(s, {name: s.layers[name] for name in LAYERS}) for s in sentences)
        text = "".join("\n".join(map("\t".join, block)) + "\n\n" for block in rows)
        sides.append(udeval.load_conllu(io.StringIO(text, newline="\n"), name, {}))
    return udeval.evaluate(*sides)


def test_rows_on_gold_words_equal_the_official_program(
    gold: list[Sentence], heads: dict[str, HeadInfo], answers: Callable[..., Any]
) -> None:
    rng = random.Random(0)
    layers = [damaged(sentence, heads, rng) for sentence in gold]
    nlp = answers(layers, heads=heads, depths=dict.fromkeys(heads, 1), window=16)
    scores = evaluate(nlp, gold, data="en_ewt")
    system = [
        sentence.with_layers(predicted) for sentence, predicted in zip(gold, layers, strict=True)
    ]
    table = official(gold, system)
    for (task, metric), name in {
        ("upos", "accuracy"): "UPOS",
        ("xpos", "accuracy"): "XPOS",
        ("feats", "accuracy"): "UFeats",
        ("feats", "alltags"): "AllTags",
        ("lemma", "accuracy"): "Lemmas",
        ("dep", "las"): "LAS",
        ("dep", "uas"): "UAS",
        ("dep", "clas"): "CLAS",
        ("dep", "mlas"): "MLAS",
        ("dep", "blex"): "BLEX",
    }.items():
        (row,) = scores.filter(task=task, metric=metric)
        assert 10 < row.score < 95
        assert row.score == pytest.approx(100 * table[name].f1, abs=1e-9), name
    assert scores.main("upos").items == table["UPOS"].gold_total


def test_without_feats_and_lemma_rows_are_the_plain_ones(
    gold: list[Sentence], heads: dict[str, HeadInfo], answers: Callable[..., Any]
) -> None:
    """And so they are where a sentence lacks gold for one of the tasks."""
    rng = random.Random(0)
    layers = [damaged(sentence, heads, rng) for sentence in gold]
    nlp = answers(layers, heads=heads, depths=dict.fromkeys(heads, 1), window=16)
    whole = evaluate(nlp, gold, data="en_ewt")
    few = evaluate(nlp, gold, tasks=["upos", "dep"], data="en_ewt")
    assert [row.metric for row in few.filter(task="dep")] == ["las", "uas", "clas"]
    for metric in ("las", "uas", "clas"):
        scores = [of.filter(task="dep", metric=metric).rows[0].score for of in (whole, few)]
        assert scores[0] == pytest.approx(scores[1])
    layers_of_first = {name: layer for name, layer in gold[0].layers.items() if name != "xpos"}
    bare = Sentence(gold[0].words, layers_of_first)
    partly = evaluate(nlp, [bare, *gold[1:]], data="en_ewt")
    assert {row.metric for row in partly} == {"accuracy", "las", "uas", "clas"}


def from_text(
    gold: list[Sentence], heads: dict[str, HeadInfo], rng: random.Random
) -> Iterator[list[Sentence]]:
    for document in by_document(gold):
        yield [
            sentence.with_layers(corrupted(len(sentence.words), heads, rng))
            for sentence in split_text(raw_text(document), "en")
        ]


def test_rows_from_plain_text_equal_the_official_program(
    gold: list[Sentence], heads: dict[str, HeadInfo], answers: Callable[..., Any]
) -> None:
    system = list(from_text(gold, heads, random.Random(0)))
    nlp = answers(system=system, heads=heads, depths=dict.fromkeys(heads, 1))
    scores: Scores = evaluate_raw(nlp, gold, data="en_ewt")
    table = official(gold, [sentence for document in system for sentence in document])
    for row in scores:
        name = {
            "tokens": "Tokens",
            "words": "Words",
            "sentences": "Sentences",
            "alltags": "AllTags",
        }.get(row.metric, row.metric.upper())
        if row.metric == "f1":
            name = {"feats": "UFeats", "lemma": "Lemmas"}.get(row.task, row.task.upper())
        assert row.score == pytest.approx(100 * table[name].f1, abs=1e-9), name
    assert [row.metric for row in scores.filter(task="dep")] == [
        *("las", "uas", "clas", "mlas", "blex")
    ]
    assert 80 < scores.main("segment").score < 100


def test_the_text_of_a_document_is_that_of_its_sentences(gold: list[Sentence]) -> None:
    for document in by_document(gold):
        text = raw_text(document)
        at = 0
        for sentence in document:
            assert sentence.text is not None
            at = text.index(sentence.text, at) + len(sentence.text)
        assert at == len(text)
