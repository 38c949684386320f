"""Spans by spaCy's span categorizer: `python -m benchmarks.upper.spancat --data-dir DATA`.

Words and categorizer are those of spaCy's quickstart for a processor (efficiency): hashed features
and windows of convolutions, nothing pretrained, Adam at its rate. Batches are ours, candidates too
(every span up to a length), and when it ends: after as many epochs as the recipe of the corpus has,
with the weights that were best on dev. Of the variants that of one label for a span is taken, since
neither corpus has more.
"""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan
from spacy.training import Example
from spacy.util import minibatch
from thinc.api import compounding, fix_random_seed

from benchmarks import facts
from benchmarks.arguments import amount, count
from benchmarks.pipelines.spacy_small import TOK2VEC
from benchmarks.upper.baselines import RECIPES, read, scored
from benchmarks.upper.report import spancat_text
from benchmarks.upper.rules import each
from hiermtl.evaluation import HeadInfo
from hiermtl.recipe import load_recipe
from hiermtl.text.sentence import Sentence, Span, Spans

TASKS = {"crossre": "entity", "gum": "mention"}
"""A corpus, and the task that has its spans."""

WEIGHTS = (1.0, 0.1)
"""Of candidates that are no span; the one that is better on dev is taken."""

MISSED = 0.01
"""The part of the spans of training that may be longer than what is looked at."""

SEED = 0

KEY = "sc"


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains on each corpus, prints the table and, if asked for, writes the JSON after each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upper.spancat")
    add = parser.add_argument
    add("--data-dir", default=os.environ.get("HIERMTL_DATA"), type=Path)
    add("--corpus", choices=TASKS, help="default: each")
    add("--epochs", type=count, help="default: as many as the recipe of the corpus has")
    add("--weights", type=amount, nargs="+", default=list(WEIGHTS), help="of what is no span")
    add("--json", type=Path, help="where to write the result")
    given = parser.parse_args(arguments)
    if given.data_dir is None:
        raise SystemExit("name the folder of the corpora: --data-dir DIR, or HIERMTL_DATA")
    systems: list[dict[str, Any]] = []
    machine = facts.machine(torch.device("cpu"))
    machine["versions"] |= {name: version(name) for name in ("spacy", "thinc")}
    result: dict[str, Any] = {
        "benchmark": "upper_spancat",
        "commit": facts.commit(),
        "machine": machine,
        "load": [facts.load()],
        "seed": SEED,
        "systems": systems,
    }
    for corpus in [given.corpus] if given.corpus else TASKS:
        systems.append(_measured(corpus, given.data_dir, given.epochs, given.weights))
        result["load"] = [result["load"][0], facts.load()]
        if given.json:
            given.json.parent.mkdir(parents=True, exist_ok=True)
            given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(spancat_text(result))


def train(
    sentences: Sequence[Sentence],
    *,
    longest: int,
    weight: float,
    epochs: int,
    every: int,
    judge: Callable[[Language], float],
    seed: int,
) -> tuple[Language, float]:
    """A pipeline with a span categorizer, with the weights that were judged best, and its score.

    Args:
        sentences: Each has spans in the layer `entity`.
        longest: Words of the longest candidate.
        weight: Of candidates that are no span, 0 to 1; of others it is 1.
        epochs: How often each sentence is seen.
        every: After how many epochs it is judged, and after the last.
        judge: What a pipeline scores; the higher, the better.
        seed: Of weights, dropout and order. Sets the seeds of the whole process, as spaCy does.
    """
    fix_random_seed(seed)
    nlp = spacy.blank("en")
    config = {
        "spans_key": KEY,
        "negative_weight": weight,
        "suggester": {
            "@misc": "spacy.ngram_range_suggester.v1",
            "min_size": 1,
            "max_size": longest,
        },
        "model": {
            "@architectures": "spacy.SpanCategorizer.v1",
            "reducer": {"@layers": "spacy.mean_max_reducer.v1", "hidden_size": 128},
            "scorer": {"@layers": "Softmax.v2"},
            "tok2vec": TOK2VEC,
        },
    }
    nlp.add_pipe("spancat_singlelabel", config=config)
    examples = [_example(nlp, sentence) for sentence in sentences]
    optimizer = nlp.initialize(lambda: examples)
    draw, sizes = random.Random(seed), compounding(4.0, 32.0, 1.001)
    best, kept = float("-inf"), b""
    for epoch in range(1, epochs + 1):
        draw.shuffle(examples)
        for batch in minibatch(examples, size=sizes):
            nlp.update(batch, sgd=optimizer, drop=0.1)
        if epoch % every == 0 or epoch == epochs:
            score = judge(nlp)
            if score > best:
                best, kept = score, nlp.to_bytes()
    return nlp.from_bytes(kept), best


def spans(nlp: Language, sentences: Sequence[Sentence]) -> Iterator[Spans]:
    """What it finds in each sentence."""
    for doc in nlp.pipe(Doc(nlp.vocab, words=list(sentence.words)) for sentence in sentences):
        found = (Span(one.start, one.end, one.label_) for one in doc.spans[KEY])
        yield Spans(tuple(sorted(found)))


def _example(nlp: Language, sentence: Sentence) -> Example:
    words = list(sentence.words)
    gold = Doc(nlp.vocab, words=words)
    gold.spans[KEY] = [
        SpacySpan(gold, span.start, span.end, label=span.label) for span in _spans(sentence) or ()
    ]
    return Example(Doc(nlp.vocab, words=words), gold)


def _measured(
    corpus: str, data_dir: Path, epochs: int | None, weights: Sequence[float]
) -> dict[str, Any]:
    """One corpus: the F1 of each weight on dev, and what the best of them scores on test."""
    training = load_recipe(RECIPES[corpus]).training
    epochs = epochs or training.epochs
    splits = {
        split: [one for one in read(corpus, data_dir, split) if _spans(one) is not None]
        for split in ("train", "dev", "test")
    }
    told = [span for one in splits["train"] for span in _spans(one) or ()]
    lengths = sorted(span.end - span.start for span in told)
    longest = lengths[int((1 - MISSED) * (len(lengths) - 1))]
    task, labels = TASKS[corpus], tuple(sorted({span.label for span in told}))
    heads = {task: HeadInfo("spancat", "spans", labels, column="entity")}

    def scores(nlp: Language, split: str) -> dict[str, float]:
        found = spans(nlp, splits[split])
        rule = each(lambda _: {task: next(found)})
        rows = scored(rule, splits[split], heads, data=corpus, split=split)
        return {row.metric: row.score for row in rows}

    dev: dict[str, float] = {}
    best, seconds = None, 0.0
    for weight in weights:
        began = time.perf_counter()
        nlp, score = train(
            splits["train"],
            longest=longest,
            weight=weight,
            epochs=epochs,
            every=training.evaluate_every,
            judge=lambda nlp: scores(nlp, "dev")["f1"],
            seed=SEED,
        )
        seconds += time.perf_counter() - began
        if best is None or score > max(dev.values()):
            best = weight, nlp
        dev[f"{weight:g}"] = score
    assert best is not None
    return {
        "task": task,
        "data": corpus,
        "epochs": epochs,
        "longest": longest,
        "dev": dev,
        "weight": best[0],
        "seconds": seconds,
        "scores": scores(best[1], "test"),
    }


def _spans(sentence: Sentence) -> tuple[Span, ...] | None:
    """Its gold; `None` where it is not annotated."""
    layer = sentence.layers.get("entity")
    return layer.spans if isinstance(layer, Spans) else None


if __name__ == "__main__":
    main()
