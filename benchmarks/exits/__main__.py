"""The command line: `python -m benchmarks.exits MODEL`."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

import hiermtl
from benchmarks import facts
from benchmarks.arguments import count
from benchmarks.exits.report import WHOLE, text
from benchmarks.timing import Variant, interleave
from hiermtl.annotation import Annotator
from hiermtl.commands.evaluate import trained_on
from hiermtl.commands.exits import NobodyLeavesError
from hiermtl.commands.sources import corpus_sources
from hiermtl.corpus.plain import sentences_in
from hiermtl.errors import HiermtlError, RecipeError, listing

LOSSES = (0.1, 0.5, 1.0)
"""Points of its metric that a task may lose."""

ALL = "all"
"""All tasks together."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the exits, measures, prints the tables and, if asked for, writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exits")
    add = parser.add_argument
    add("model", help="the folder of a model that was trained on one corpus")
    add("--data", default=os.environ.get("HIERMTL_DATA"), type=Path, help="folder of the corpora")
    add("--losses", type=float, nargs="+", default=list(LOSSES))
    add("--sentences", type=count, default=600, help="of dev, to annotate")
    add("--rounds", type=count, default=5)
    add("--json", type=Path, help="where to write the result")
    given = parser.parse_args(arguments)
    if given.data is None:
        raise SystemExit("name the folder of the corpora: --data DIR, or HIERMTL_DATA")
    try:
        result = measure(
            given.model,
            given.data,
            losses=given.losses,
            sentences=given.sentences,
            rounds=given.rounds,
        )
    except HiermtlError as error:
        raise SystemExit(str(error)) from None
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(text(result))


def measure(
    model: str, data: Path, *, losses: Sequence[float], sentences: int, rounds: int
) -> dict[str, Any]:
    """Exits for each loss, what they save on dev, and seconds of annotating with and without.

    Raises:
        RecipeError: The model was trained on several corpora, or segments.
    """
    whole = hiermtl.load(model, device="cpu")
    recipe = trained_on(whole.model)
    if len(recipe.corpora) > 1 or whole.segments:
        raise RecipeError(
            f"{model} was trained on {listing(recipe.corpora)}, for {listing(whole.tasks)}; what "
            "exits save is measured with one corpus and without `segment`: give another model"
        )
    settings: dict[str, dict[str, Any]] = {}
    variants: dict[str, Annotator] = {WHOLE: whole}
    with tempfile.TemporaryDirectory() as folder:
        for loss in losses:
            name = f"{loss:g}"
            try:
                made = hiermtl.exits(
                    model, output=Path(folder, name), loss=loss, device="cpu", data_dir=data
                )
            except NobodyLeavesError:
                settings[name] = {"tasks": [], "blocks": []}
                continue
            variants[name] = hiermtl.load(Path(folder, name), exits=True, device="cpu")
            scores = hiermtl.evaluate(variants[name], exits=True, data_dir=data)
            settings[name] = {
                "tasks": [asdict(one) for one in made.tasks],
                "blocks": [asdict(one) for one in scores.block_rows],
            }
            sys.stderr.write(f"{made}\n\n")
    (corpus,) = recipe.corpora
    dev = sentences_in(corpus_sources(recipe, corpus, data_dir=data)["dev"])
    words = [list(sentence.words) for sentence in islice(dev, sentences)]
    able = {
        name: [one["task"] for one in own["tasks"] if one["saved"]]
        for name, own in settings.items()
    }
    alone = [task for task in whole.tasks if any(task in tasks for tasks in able.values())]
    questions = {task: [task] for task in alone} | {ALL: list(whole.tasks)}
    loads = [facts.load()]
    seconds: dict[str, dict[str, list[float]]] = {}
    for name, asked in questions.items():
        own = [
            Variant(
                name=setting,
                group="",
                dtype=nlp.precision,
                run=partial(_annotate, nlp, words, asked),
                words=sum(map(len, words)),
                operations=0.0,
            )
            for setting, nlp in variants.items()
            if setting == WHOLE or name == ALL or name in able[setting]
        ]
        seconds[name] = interleave(own, rounds, device=torch.device("cpu"))
    return {
        "benchmark": "exits",
        "commit": facts.commit(),
        "machine": facts.machine(torch.device("cpu")),
        "load": [*loads, facts.load()],
        "precision": whole.precision,
        "model": {
            "name": Path(model).name,
            "depths": {task: whole.hierarchy[task].depth for task in whole.tasks},
            "training": recipe.training.model_dump(mode="json", exclude_defaults=True),
        },
        "sentences": len(words),
        "words": sum(map(len, words)),
        "settings": settings,
        "seconds": seconds,
    }


def _annotate(nlp: Annotator, words: Sequence[Sequence[str]], tasks: Sequence[str]) -> None:
    for _ in nlp.predict_layers(words, tasks):
        pass


if __name__ == "__main__":
    main()
