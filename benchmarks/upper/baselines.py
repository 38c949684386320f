"""Scores of rules on the test splits: `python -m benchmarks.upper.baselines --data-dir DATA`."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks import facts
from benchmarks.upper.report import baselines_text
from benchmarks.upper.rules import (
    LookUp,
    Pairs,
    Place,
    Roles,
    Ruled,
    Splitting,
    all_new,
    by_rules,
    by_space,
    each,
    mentions_of,
    nearest,
    same_head,
    with_clusters,
)
from hiermtl.commands.sources import corpus_sources
from hiermtl.corpus.plain import sentences_in
from hiermtl.evaluation import HeadInfo, Scores, evaluate, evaluate_raw
from hiermtl.evaluation.predictor import INFORMED
from hiermtl.recipe import load_recipe
from hiermtl.text.sentence import Layer, Relations, Sentence, Spans, labels_of

RECIPES = {
    "gum": "low_supervision/gum",
    "crossre": "low_supervision/crossre",
    "propbank": "low_supervision/propbank",
    "semeval": "low_supervision/semeval",
    "ewt": "low_supervision/ewt_segment",
}
"""A corpus, and a recipe that says where it lies."""

Rows = Iterator[tuple[str, str, str, Scores]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Scores every rule, prints the table and, if asked for, writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upper.baselines")
    parser.add_argument("--data-dir", default=os.environ.get("HIERMTL_DATA"), type=Path)
    parser.add_argument("--split", default="test", choices=("dev", "test"))
    parser.add_argument("--corpus", choices=RECIPES, help="default: each")
    parser.add_argument("--json", type=Path, help="where to write the result")
    given = parser.parse_args(arguments)
    if given.data_dir is None:
        raise SystemExit("name the folder of the corpora: --data-dir DIR, or HIERMTL_DATA")
    names = [given.corpus] if given.corpus else list(RECIPES)
    result = {
        "benchmark": "upper_baselines",
        "commit": facts.commit(),
        "split": given.split,
        "rules": [
            {
                "task": task,
                "data": name,
                "told": told,
                "rule": rule,
                "scores": {row.metric: row.score for row in scores.filter(task=task)},
                "items": next(row.items for row in scores.filter(task=task)),
            }
            for name in names
            for task, told, rule, scores in MEASURED[name](given.data_dir, given.split)
        ],
    }
    sys.stdout.write(baselines_text(result))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def read(name: str, data_dir: Path, split: str) -> list[Sentence]:
    """The sentences of a split of a corpus, with all their layers."""
    recipe = load_recipe(RECIPES[name])
    return list(sentences_in(corpus_sources(recipe, name, data_dir=data_dir)[split]))


def scored(
    rule: Callable[[Sequence[Sentence]], Sequence[Mapping[str, Layer]]],
    sentences: list[Sentence],
    heads: Mapping[str, HeadInfo],
    *,
    data: str,
    split: str,
) -> Scores:
    """The scores of a rule that is given documents."""
    return evaluate(Ruled(heads, rule), sentences, data=data, split=split)


def _gum(data_dir: Path, split: str) -> Rows:
    train, test = (read("gum", data_dir, one) for one in ("train", split))
    about = {"data": "gum", "split": split}
    yield from _look_up("mention", train, test, **about)
    found = LookUp.of(train, "entity")
    heads = {"coref": HeadInfo("rule", "mentions", ("mention",), unit="document")}
    sources: dict[str, Callable[[Sequence[Sentence]], list[Place]]] = {
        "gold mentions": mentions_of,
        "": lambda document: [
            (at, span.start, span.end)
            for at, sentence in enumerate(document)
            for span in sorted(
                found.spans(sentence.words).spans, key=lambda span: (span.start, -span.end)
            )
        ],
    }
    rules = {
        "mentions with the same head word": same_head,
        "each mention with the one before": nearest,
        "each mention by itself": all_new,
    }
    for told, mentions in sources.items():
        for name, rule in rules.items():

            def clusters(
                document: Sequence[Sentence],
                mentions: Callable[[Sequence[Sentence]], list[Place]] = mentions,
                rule: Callable[[Sequence[Sentence], Sequence[Place]], list[int]] = rule,
            ) -> list[Mapping[str, Layer]]:
                places = mentions(document)
                return with_clusters(document, places, rule(document, places))

            yield "coref", told, name, scored(clusters, test, heads, **about)


def _look_up(
    task: str, train: Sequence[Sentence], test: list[Sentence], *, data: str, split: str
) -> Rows:
    found = LookUp.of(train, "entity")
    labels = tuple(sorted(set(found.labels.values())))
    heads = {task: HeadInfo("rule", "spans", labels, column="entity")}
    for rule, same in (
        ("spans of training, with their most frequent label", False),
        (f"spans of training, all {found.most}", True),
    ):
        layers = each(partial(_spans, found, task, same=same))
        yield task, "", rule, scored(layers, test, heads, data=data, split=split)


def _spans(found: LookUp, task: str, sentence: Sentence, *, same: bool) -> dict[str, Layer]:
    return {task: found.spans(sentence.words, same=same)}


def _propbank(data_dir: Path, split: str) -> Rows:
    train, test = (read("propbank", data_dir, one) for one in ("train", split))
    found = Roles.of(train)
    heads = {"srl": HeadInfo("rule", "frames", ("ARG0", "ARG1"), informed=True)}
    scores = scored(each(found.layers), test, heads, data="propbank", split=split)
    yield "srl", "", "nearest noun phrases; predicates and senses of training", scores


def _crossre(data_dir: Path, split: str) -> Rows:
    train, test = (read("crossre", data_dir, one) for one in ("train", split))
    about = {"data": "crossre", "split": split}
    yield from _look_up("entity", train, test, **about)
    pairs = Pairs.of(train)
    entities = LookUp.of(train, "entity")
    rules = {
        f"each entity with the next one, {pairs.label}": partial(
            pairs.neighbours, forward=pairs.forward
        ),
        "by the types of both": pairs.by_types,
    }
    yield from _relations(rules, train, test, lambda s: entities.spans(s.words), **about)


def _semeval(data_dir: Path, split: str) -> Rows:
    train, test = (read("semeval", data_dir, one) for one in ("train", split))
    pairs = Pairs.of(train)
    first, second = pairs.label, f"{pairs.label}, from the {'first' if pairs.forward else 'second'}"
    rules = {
        f"always {first}, from the first": partial(pairs.neighbours, forward=True),
        f"always {second}": partial(pairs.neighbours, forward=pairs.forward),
    }
    about = {"data": "semeval", "split": split}
    yield from _relations(rules, train, test, lambda _: Spans(()), **about)


def _relations(
    rules: Mapping[str, Callable[[Spans], Relations]],
    train: Sequence[Sentence],
    test: list[Sentence],
    entities: Callable[[Sentence], Spans],
    **about: str,
) -> Rows:
    labels = sorted({label or "" for one in train for label in labels_of(one.layers["relation"])})
    heads = {
        "entity": HeadInfo("rule", "spans", ()),
        "relation": HeadInfo("rule", "relations", tuple(labels), informed=True, reads=("entity",)),
    }
    for name, rule in rules.items():

        def layers(
            sentence: Sentence, rule: Callable[[Spans], Relations] = rule
        ) -> dict[str, Layer]:
            gold, found = sentence.layers["entity"], entities(sentence)
            assert isinstance(gold, Spans)
            told = rule(Spans(tuple(sorted(gold.spans))))
            return {"entity": found, "relation": rule(found), "relation" + INFORMED: told}

        yield "relation", "", name, scored(each(layers), test, heads, **about)


def _ewt(data_dir: Path, split: str) -> Rows:
    test = read("ewt", data_dir, split)
    heads = {"segment": HeadInfo("rule", "tags", ())}
    for name, rule in (
        ("white space and final punctuation", by_space),
        ("spaCy's rules", by_rules),
    ):
        nlp = Splitting(rule, heads)
        yield "segment", "", name, evaluate_raw(nlp, test, tasks=(), data="ewt", split=split)


MEASURED: dict[str, Callable[[Path, str], Rows]] = {
    "gum": _gum,
    "crossre": _crossre,
    "propbank": _propbank,
    "semeval": _semeval,
    "ewt": _ewt,
}

if __name__ == "__main__":
    main()
