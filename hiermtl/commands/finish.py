"""The end of training: the precision of inference is chosen, dev scored, the model written."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from accelerate import PartialState

from hiermtl.annotation import Annotator
from hiermtl.atomic import write_whole
from hiermtl.commands.build import Built
from hiermtl.commands.card import model_card
from hiermtl.commands.corpora import training_data
from hiermtl.commands.evaluate import score_corpora
from hiermtl.commands.run_folder import Cost, Run, example_of
from hiermtl.commands.tasks import auxiliary_tasks, dev_tasks
from hiermtl.corpus.build import Corpus
from hiermtl.evaluation import Scores
from hiermtl.evaluation.best import points
from hiermtl.folders import COST, SCORES, TRAINED
from hiermtl.precision import has_bf16
from hiermtl.pretrained import save_model
from hiermtl.recipe import (
    Recipe,
)


def finish(
    built: Built,
    recipe: Recipe,
    corpora: Mapping[str, Corpus],
    folder: Path,
    *,
    cost: Cost,
    plain: Mapping[str, Any],
    half: bool = True,
    about: Recipe | None = None,
) -> Run:
    """Chooses the precision of inference, scores dev and writes the model folder.

    `plain` is the resolved recipe that the model remembers; `half` allows bf16 to be chosen;
    `about` is what the card tells of, the recipe by default.
    """
    whole = built.model.simplified().without(auxiliary_tasks(recipe))
    model = whole.merged().float()
    built = replace(built, model=model)
    model.config.recipe = dict(plain)
    scores = Scores(())
    if dev_tasks(recipe, corpora) & set(model.hierarchy.names):
        model.config.precision, scores = _choose_precision(built, recipe, corpora, half=half)
    if PartialState().is_main_process:
        nlp = Annotator(model, built.tokenizer)
        card = model_card(nlp, about or recipe, scores, words=built.words)
        scores.write_json(folder / SCORES)
        write_whole(folder / COST, json.dumps(asdict(cost)) + "\n")
        write_whole(folder / TRAINED, json.dumps(training_data(recipe, corpora), indent=2) + "\n")
        save_model(model, built.tokenizer, folder, card=card)
    example = example_of(Annotator(model, built.tokenizer), corpora)
    return Run(folder, scores, cost, recipe, example)


def _choose_precision(
    built: Built, recipe: Recipe, corpora: Mapping[str, Corpus], *, half: bool
) -> tuple[str, Scores]:
    """bf16 when it costs no task's main metric more than it may, measured on dev; else fp32.

    It may cost 0.1 point, of 100, or the worth of three scored items, whichever is more.
    """
    full = score_corpora(
        Annotator(built.model, built.tokenizer, precision="fp32"), recipe, corpora, split="dev"
    )
    if not half or not has_bf16(built.model.device):
        return "fp32", full
    rounded = score_corpora(
        Annotator(built.model, built.tokenizer, precision="bf16"), recipe, corpora, split="dev"
    )
    for task in full.tasks:
        for row, other in zip(full.mains(task), rounded.mains(task), strict=True):
            if points(row) - points(other) > max(0.1, 300 / row.items):
                return "fp32", full
    return "bf16", rounded
