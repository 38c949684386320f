"""Spans by spaCy's span categorizer: `python -m benchmarks.upper.spancat --data-dir DATA`.

As spaCy's quickstart makes a pipeline for a processor: words by hashed features and windows of
convolutions, nothing pretrained, Adam at its rate. Of the variants that of one label for a span is
taken, since neither corpus has more, and every span up to a length is a candidate.
"""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan
from spacy.training import Example
from spacy.util import compounding, minibatch
from thinc.api import fix_random_seed

from benchmarks import facts
from benchmarks.arguments import amount, count
from benchmarks.upper.baselines import read, scored
from benchmarks.upper.report import spancat_text
from benchmarks.upper.rules import each
from hiermtl.evaluation import HeadInfo
from hiermtl.text.sentence import Sentence, Span, Spans

TASKS = {"crossre": "entity", "gum": "mention"}
"""A corpus, and the task that has its spans."""

EPOCHS = {"crossre": 40, "gum": 10}
"""As many as the recipes of these corpora have."""

WEIGHTS = (1.0, 0.1)
"""Of candidates that are no span; the one that is better on dev is taken."""

MISSED = 0.01
"""The part of the spans of training that may be longer than what is looked at."""

SEED = 0

KEY = "sc"

WORDS = {
    "@architectures": "spacy.Tok2Vec.v2",
    "embed": {
        "@architectures": "spacy.MultiHashEmbed.v2",
        "width": 96,
        "attrs": ["NORM", "PREFIX", "SUFFIX", "SHAPE"],
        "rows": [5000, 1000, 2500, 2500],
        "include_static_vectors": False,
    },
    "encode": {
        "@architectures": "spacy.MaxoutWindowEncoder.v2",
        "width": 96,
        "depth": 4,
        "window_size": 1,
        "maxout_pieces": 3,
    },
}


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
    result = {
        "benchmark": "upper_spancat",
        "commit": facts.commit(),
        "versions": {name: version(name) for name in ("spacy", "thinc")},
        "seed": SEED,
        "systems": systems,
    }
    for corpus in [given.corpus] if given.corpus else TASKS:
        epochs = given.epochs or EPOCHS[corpus]
        systems.append(_measured(corpus, given.data_dir, epochs, given.weights))
        if given.json:
            given.json.parent.mkdir(parents=True, exist_ok=True)
            given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(spancat_text(result))


def train(
    sentences: Sequence[Sentence], *, longest: int, weight: float, epochs: int, seed: int
) -> Language:
    """A pipeline with a span categorizer.

    Args:
        sentences: Each has spans in the layer `entity`.
        longest: Words of the longest candidate.
        weight: Of candidates that are no span, 0 to 1; of others it is 1.
        epochs: How often each sentence is seen.
        seed: Of weights, dropout and order.
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
            "tok2vec": WORDS,
        },
    }
    nlp.add_pipe("spancat_singlelabel", config=config)
    examples = [_example(nlp, sentence) for sentence in sentences]
    optimizer = nlp.initialize(lambda: examples)
    draw, sizes = random.Random(seed), compounding(4.0, 32.0, 1.001)
    for _ in range(epochs):
        draw.shuffle(examples)
        for batch in minibatch(examples, size=sizes):
            nlp.update(batch, sgd=optimizer, drop=0.1)
    return nlp


def spans(nlp: Language, sentences: Sequence[Sentence]) -> Iterator[Spans]:
    """What it finds in each sentence."""
    for doc in nlp.pipe(Doc(nlp.vocab, words=list(sentence.words)) for sentence in sentences):
        found = (Span(one.start, one.end, one.label_) for one in doc.spans[KEY])
        yield Spans(tuple(sorted(found)))


def _example(nlp: Language, sentence: Sentence) -> Example:
    words, layer = list(sentence.words), sentence.layers["entity"]
    assert isinstance(layer, Spans)
    gold = Doc(nlp.vocab, words=words)
    gold.spans[KEY] = [
        SpacySpan(gold, span.start, span.end, label=span.label or "") for span in layer.spans
    ]
    return Example(Doc(nlp.vocab, words=words), gold)


def _measured(corpus: str, data_dir: Path, epochs: int, weights: Sequence[float]) -> dict[str, Any]:
    """One corpus: the F1 of each weight on dev, and what the best of them scores on test."""
    splits = {split: read(corpus, data_dir, split) for split in ("train", "dev", "test")}
    layers = [(one, one.layers.get("entity")) for one in splits["train"]]
    known = [one for one, layer in layers if isinstance(layer, Spans)]
    told = [span for _, layer in layers if isinstance(layer, Spans) for span in layer.spans]
    lengths = sorted(span.end - span.start for span in told)
    longest = lengths[int((1 - MISSED) * (len(lengths) - 1))]
    task, labels = TASKS[corpus], tuple(sorted({span.label for span in told}))
    heads = {task: HeadInfo("spancat", "spans", labels, column="entity")}
    dev: dict[str, float] = {}
    best: dict[str, Any] = {}
    for weight in weights:
        began = time.perf_counter()
        nlp = train(known, longest=longest, weight=weight, epochs=epochs, seed=SEED)
        seconds = time.perf_counter() - began
        scores = {}
        for split in ("dev", "test"):
            found = spans(nlp, splits[split])
            rows = scored(
                each(lambda _, found=found: {task: next(found)}),
                splits[split],
                heads,
                data=corpus,
                split=split,
            )
            scores[split] = {row.metric: row.score for row in rows}
        dev[f"{weight:g}"] = scores["dev"]["f1"]
        if dev[f"{weight:g}"] == max(dev.values()):
            best = {"weight": weight, "seconds": seconds, "scores": scores["test"]}
    return {
        "task": task,
        "data": corpus,
        "epochs": epochs,
        "longest": longest,
        "dev": dev,
        **best,
    }


if __name__ == "__main__":
    main()
