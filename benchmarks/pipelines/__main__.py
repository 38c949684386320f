"""The command line: `python -m benchmarks.pipelines MODEL`."""

import argparse
import json
import os
import sys
from collections import deque
from collections.abc import Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from spacy.tokens import Doc

from benchmarks import facts
from benchmarks.pipelines.report import text
from benchmarks.pipelines.spacy_small import TASKS, spacy_small
from benchmarks.timing import Variant, interleave, ratios
from hiermtl import load
from hiermtl.text.columns import read_columns
from hiermtl.text.conllu import read_conllu
from hiermtl.text.join import join_layers

TREEBANK = "ud_english_ewt/en_ewt-ud-{}.conllu"
ENTITIES = "uner_english_ewt/en_ewt-ud-train.normalized.iob2"
GOAL = 0.5
"""Time over spaCy's that is to be stayed under."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table and, if asked for, writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipelines")
    parser.add_argument("model", help="folder or shipped name of a model")
    parser.add_argument("--data", default=os.environ.get("HIERMTL_DATA"), type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write the result")
    given = parser.parse_args(arguments)
    if given.data is None:
        raise SystemExit("name the folder of the corpora: --data DIR, or HIERMTL_DATA")
    result = measure(given.model, given.data, rounds=given.rounds)
    sys.stdout.write(text(result))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(model: str, data: Path, *, rounds: int) -> dict[str, Any]:
    """Both annotate EWT's dev sentences, from words and from text, in turn."""
    nlp = load(model)
    if set(nlp.tasks) != set(TASKS):
        raise SystemExit(
            f"{model} has the tasks {', '.join(nlp.tasks)}; spaCy's pipeline has "
            f"{', '.join(TASKS)}: name a model with the same"
        )
    train = islice(read_conllu(data / TREEBANK.format("train")), 2000)
    entities = read_columns(data / ENTITIES, {"ner": 2}, words=1)
    other = spacy_small(list(join_layers(train, entities, layers=["ner"])))
    dev = list(read_conllu(data / TREEBANK.format("dev")))
    words = [list(sentence.words) for sentence in dev]
    texts = [sentence.text or " ".join(sentence.words) for sentence in dev]
    count = sum(map(len, words))
    variants = [
        Variant(
            "spaCy, words", "words", "fp32", lambda: _run(other, _docs(other, words)), count, 0
        ),
        Variant(
            "hiermtl, words",
            "words",
            nlp.precision,
            lambda: deque(nlp.pipe(words), maxlen=0),
            count,
            0,
            against={"spaCy, words": GOAL},
        ),
        Variant("spaCy, text", "text", "fp32", lambda: _run(other, texts), count, 0),
        Variant(
            "hiermtl, text",
            "text",
            nlp.precision,
            lambda: deque(nlp.pipe(texts), maxlen=0),
            count,
            0,
            against={"spaCy, text": GOAL},
        ),
    ]
    loads = [facts.load()]
    seconds = interleave(variants, rounds, device=torch.device("cpu"))
    loads.append(facts.load())
    machine = facts.machine(torch.device("cpu"))
    machine["versions"]["spacy"] = version("spacy")
    return {
        "benchmark": "pipelines",
        "machine": machine,
        "commit": facts.commit(),
        "load": loads,
        "model": Path(model).name,
        "tasks": list(nlp.tasks),
        "components": list(other.pipe_names),
        "sentences": len(dev),
        "words": count,
        "variants": [
            {
                "name": variant.name,
                "dtype": variant.dtype,
                "seconds": seconds[variant.name],
                "over": {
                    name: {"goal": goal, "rounds": ratios(seconds, variant.name, name)}
                    for name, goal in variant.against.items()
                },
            }
            for variant in variants
        ],
    }


def _docs(pipeline: Any, words: Sequence[Sequence[str]]) -> list[Doc]:
    return [Doc(pipeline.vocab, words=list(one)) for one in words]


def _run(pipeline: Any, given: Any) -> None:
    deque(pipeline.pipe(given), maxlen=0)


if __name__ == "__main__":
    main()
