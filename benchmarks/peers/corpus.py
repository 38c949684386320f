"""The sentences that everyone gets, as files that everyone can read, and the scorer of all."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.subjects import Corpus
from hiermtl.metrics.accuracy import Accuracy
from hiermtl.metrics.attachment import Attachment
from hiermtl.metrics.base import Metric
from hiermtl.metrics.spans import SpanF1
from hiermtl.text.sentence import Sentence, Tree

TASKS = ("upos", "xpos", "ner", "dep")
"""What may be asked of a subject."""

SCORERS: dict[str, tuple[Metric, tuple[str, ...]]] = {
    "upos": (Accuracy(), ("accuracy",)),
    "xpos": (Accuracy(), ("accuracy",)),
    "ner": (SpanF1(), ("f1",)),
    "dep": (Attachment(), ("las", "uas")),
}
"""How a task is scored, and which of the scores are kept."""

Layers = dict[str, list[Any]]
"""By task and sentence: tags of words; of `dep` heads (from 1, 0 for the root) and relations."""


def read(data: Path, *, train: int | None, dev: int | None) -> Corpus:
    """EWT with entities of UNER: the first sentences of both splits that have all four layers."""
    whole = Corpus.read(data, train=train, dev=dev)
    complete = tuple(s for s in whole.train if all(task in s.layers for task in TASKS))
    return Corpus(complete, tuple(s for s in whole.dev if all(t in s.layers for t in TASKS)))


def plain(sentence: Sentence) -> dict[str, Any]:
    """A sentence as drivers read it."""
    layers = sentence.layers
    tree = layers["dep"]
    assert isinstance(tree, Tree)
    return {
        "words": list(sentence.words),
        **{task: layers[task] for task in ("upos", "xpos", "ner")},
        "dep": (tree.heads, tree.relations),
    }


def write(sentences: Sequence[Sentence], file: Path) -> None:
    """One JSON object per line."""
    lines = (json.dumps(plain(sentence), ensure_ascii=False) for sentence in sentences)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def score(
    gold: Sequence[Mapping[str, Any]], predicted: Mapping[str, Sequence[Any]]
) -> dict[str, dict[str, float]]:
    """Scores of predicted layers, by task, each 0 to 100.

    Raises:
        ValueError: What is predicted has another number of sentences or words than gold, or is of
            another shape.
    """
    found = {}
    for task, layer in predicted.items():
        metric, kept = SCORERS[task]
        right = [sentence[task] for sentence in gold]
        try:
            scores = metric.score_rows(metric.count(right, layer))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"predictions of {task} cannot be scored: {error}") from error
        found[task] = {name: float(scores[name]) for name in kept}
    return found
