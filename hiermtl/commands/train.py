"""`hiermtl train`: from a recipe to a run folder that is a model folder."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator, PartialState
from accelerate.tracking import get_available_trackers
from accelerate.utils import broadcast_object_list
from torch import Tensor

from hiermtl.annotation import Annotator
from hiermtl.commands.build import Built, build, make_settings
from hiermtl.commands.corpora import placed, training_corpora
from hiermtl.commands.evaluate import score_corpora
from hiermtl.commands.finish import finish
from hiermtl.commands.length import run_length
from hiermtl.commands.probe import fixed_depths
from hiermtl.commands.processes import (
    check_processes,
    check_shard,
    first_on_each_machine,
    launched,
    share,
)
from hiermtl.commands.remarks import as_remarks
from hiermtl.commands.run_folder import (
    Cost,
    Run,
    begin,
    check_folder,
    failing_told,
    finished,
    keys_of,
    shown,
)
from hiermtl.commands.tasks import as_trained, auxiliary_tasks, judging_tasks, main_tasks
from hiermtl.corpus.build import Corpus
from hiermtl.errors import ModelError, RecipeError, listing
from hiermtl.evaluation import main_score
from hiermtl.folders import CONFIG, PROBE, RECIPE, REMARKS
from hiermtl.model import HierarchicalModel
from hiermtl.precision import resolve_device, resolve_precision
from hiermtl.recipe import (
    Recipe,
    auto_tasks,
    default_output,
    flattened,
    load_recipe,
    resolved,
    with_depths,
)
from hiermtl.recipe.encoder import BilstmEncoder
from hiermtl.shapes import TRAINING, keep_shapes
from hiermtl.text.plain import check_language
from hiermtl.training import (
    Evaluation,
    make_accelerator,
    train_model,
)
from hiermtl.training.balancing import make_balancer
from hiermtl.training.checkpoint import load_checkpoint, save_checkpoint
from hiermtl.training.progress import Progress


def train(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    *,
    output: str | Path | None = None,
    resume: bool = False,
    processes: int | None = None,
    data_dir: str | Path | None = None,
    quiet: bool = False,
    overrides: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Run:
    """Trains a recipe.

    Args:
        recipe: A shipped recipe's name, a file, or a mapping.
        output: The run folder. Default: `training.output`, else `runs/<recipe with / as ->`.
        resume: Goes on with a run that was broken off; the result is that of an unbroken one.
        processes: Replaces `training.processes`.
        data_dir: Where corpora lie, instead of HIERMTL_DATA.
        quiet: Shows nothing.
        overrides: Dotted keys and their values.
        **settings: The same, as keyword arguments: `**{"training.epochs": 2}`.

    Raises:
        HiermtlError: Its message gives the value, what is allowed and the next step.
    """
    keep_shapes(TRAINING)
    changes = {**(overrides or {}), **settings}
    if processes is not None:
        changes["training.processes"] = processes
    loaded, idle = as_trained(load_recipe(recipe, changes))
    folder = Path(output or loaded.training.output or default_output(loaded))
    if resume and (folder / RECIPE).exists():
        loaded = as_fixed(loaded, keys_of(folder))
    check_folder(folder, loaded, resume=resume)
    if resume and (folder / CONFIG).exists():
        return finished(folder, loaded)
    check_installed(loaded)
    check_precision(loaded)
    check_shard(loaded)
    for line in () if quiet or os.environ.get("RANK", "0") != "0" else idle:
        print(line, file=sys.stderr)  # noqa: T201 - what is left out must be told
    asked = loaded.training.processes
    silent = quiet or os.environ.get("RANK", "0") != "0"
    if not launched():
        loaded = _with_fixed_depths(loaded, folder, data_dir=data_dir, quiet=silent)
    if asked > 1 and not launched():
        resume = resume or (folder / RECIPE).exists()
        share("train", loaded, output=folder, resume=resume, data_dir=data_dir, quiet=quiet)
        return shown(finished(folder, loaded), data_dir=data_dir)
    check_processes(asked)
    with first_on_each_machine():
        corpora = training_corpora(loaded, data_dir=data_dir)
    if launched():
        loaded = _with_fixed_depths(loaded, folder, data_dir=data_dir, quiet=silent)
    train_parts = _train_apart if loaded.sharing.name == "single" else _train_whole
    with failing_told(folder):
        built, cost = train_parts(loaded, corpora, folder, resume=resume, quiet=quiet)
        plain = placed(loaded, data_dir=data_dir)
        return finish(built, loaded, corpora, folder, cost=cost, plain=plain)


def as_fixed(recipe: Recipe, keys: Mapping[str, Any]) -> Recipe:
    """The recipe with the depths that were fixed when a run began, of whose recipe `keys` are."""
    begun = keys.get("tasks")
    tasks = begun if isinstance(begun, Mapping) else {}
    known = {name: tasks[name] for name in auto_tasks(recipe) if name in tasks}
    return with_depths(recipe, {name: given["depth"] for name, given in known.items()})


def _with_fixed_depths(
    recipe: Recipe, folder: Path, *, data_dir: str | Path | None, quiet: bool
) -> Recipe:
    """The recipe with the depth that a probe proposes for each task whose depth is `auto`.

    It is written to the run folder, with what the probe found, so that a run that is resumed has
    the same. The first process probes, and tells the others.
    """
    if not auto_tasks(recipe):
        return recipe
    told = None if quiet else partial(print, file=sys.stderr)
    depths: list[Any] = [None]
    if PartialState().is_main_process:
        corpora = training_corpora(recipe, data_dir=data_dir)
        depths[0], report = fixed_depths(recipe, corpora, told=told)
        fixed = with_depths(recipe, depths[0])
        begin(folder, fixed, beside={PROBE: report.to_json() + "\n"})
    if PartialState().num_processes > 1:
        broadcast_object_list(depths)
    return with_depths(recipe, depths[0])


def _train_whole(
    recipe: Recipe, corpora: Mapping[str, Corpus], folder: Path, *, resume: bool, quiet: bool
) -> tuple[Built, Cost]:
    """One model for all tasks."""
    with first_on_each_machine():
        built = build(recipe, corpora)
    built = replace(built, lines=(*built.lines, *run_length(built, recipe).lines))
    return built, train_built(built, recipe, corpora, folder, resume=resume, quiet=quiet)


def train_built(
    built: Built,
    recipe: Recipe,
    corpora: Mapping[str, Corpus],
    folder: Path,
    *,
    resume: bool,
    quiet: bool,
) -> Cost:
    """Trains a model on what it was built for."""
    accelerator = _accelerator(recipe, folder)
    precision = resolve_precision(recipe.training.precision, accelerator.device)
    settings = make_settings(recipe, precision)
    begin(folder, recipe, beside={REMARKS: as_remarks(built.lines)})
    quiet = quiet or not accelerator.is_main_process
    for line in () if quiet else built.lines:
        print(line, file=sys.stderr)  # noqa: T201 - what was counted must be seen, not only kept
    progress = partial(Progress, quiet=quiet)
    main, helping = main_tasks(recipe), auxiliary_tasks(recipe)

    def judge(model: HierarchicalModel) -> Evaluation:
        own = {"fp64": None, "fp16": "fp32"}.get(settings.precision, settings.precision)
        nlp = Annotator(model, built.tokenizer, precision=own)
        scores = score_corpora(nlp, recipe, corpora, split="dev")
        mark = {"auxiliary": True}
        rows = [asdict(row) | (mark if row.task in helping else {}) for row in scores.rows]
        shown = "  ".join(
            f"{row.task}{' (auxiliary)' if task in helping else ''} {row.metric} {row.score:.2f}"
            for task in scores.tasks
            for row in scores.mains(task)
        )
        return Evaluation(main_score(scores, main), rows, shown)

    has_dev = bool(judging_tasks(recipe, corpora))
    try:
        history = train_model(
            built.model,
            built.tokenizer,
            built.examples,
            settings,
            folder=folder,
            evaluate=judge if has_dev else None,
            accelerator=accelerator,
            resume=resume,
            progress=progress,
        )
    finally:
        for tracker in accelerator.trackers:
            tracker.finish()
    return Cost(history.step, history.words, history.seconds, _parameters(built.model))


def _parameters(model: HierarchicalModel) -> int:
    """How many there are; what copies have in common counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


def _train_apart(
    recipe: Recipe, corpora: Mapping[str, Corpus], folder: Path, *, resume: bool, quiet: bool
) -> tuple[Built, Cost]:
    """A model for each task, each as if it were the only one; then one folder for all.

    Each has its own encoder, optimizer, schedule and best checkpoint, under `folder/tasks/<task>`.
    Their weights have different names, a branch per task, and are put into one model as they are.
    """
    with first_on_each_machine():
        whole = build(recipe, corpora)
    begin(folder, recipe, beside={REMARKS: as_remarks(whole.lines)})
    cost = Cost()
    for task in whole.model.hierarchy.names:
        part = recipe.only([task])
        place = folder / "tasks" / task
        trained = place / "trained"
        if not (resume and trained.exists()):
            built, took = _train_whole(part, corpora, place, resume=resume, quiet=quiet)
            if PartialState().is_main_process:
                model = built.model
                save_checkpoint(trained, model.config, model.state_dict(), state=asdict(took))
            PartialState().wait_for_everyone()
        found = load_checkpoint(trained)
        _take_part(whole.model, found.weights, task)
        cost += Cost(**found.state)
    return whole, replace(cost, parameters=_parameters(whole.model))


def _take_part(model: HierarchicalModel, weights: Mapping[str, Tensor], task: str) -> None:
    """Loads what a task depends on, and nothing else.

    Raises:
        ModelError: The weights are others than those the task depends on.
    """
    place = re.compile(rf"(stack\.embeddings|stack\.blocks\.\d+|heads|taps)\.{re.escape(task)}\.")
    own = {name for name in model.every_name() if place.match(name)}
    if own != set(weights):
        raise ModelError(
            f"the weights trained for {task!r} are not those the model has for it "
            f"({listing(sorted(own ^ set(weights))[:3])} among them); train anew into another "
            "folder"
        )
    model.load_state_dict(dict(weights), strict=False)


def _accelerator(recipe: Recipe, folder: Path) -> Accelerator:
    """Accelerate as the recipe wants it, its trackers told what is trained."""
    trackers = list(recipe.training.trackers)
    accelerator = make_accelerator(log_with=trackers or None, project_dir=str(folder / "trackers"))
    if trackers:
        # Some trackers take flat values of a few types only.
        told = {key: str(value) for key, value in flattened(resolved(recipe)).items()}
        accelerator.init_trackers((recipe.name or "hiermtl").replace("/", "-"), config=told)
    return accelerator


def check_precision(recipe: Recipe) -> None:
    """Raises RecipeError for a number type that the encoder does not compute in here."""
    recurrent = isinstance(recipe.encoder, BilstmEncoder)
    if recipe.training.precision == "fp16" and recurrent and resolve_device(None) == "cpu":
        raise RecipeError(
            "training.precision is 'fp16', in which LSTMs do not compute on processors; set it to "
            "bf16, fp32 or auto"
        )


def check_installed(recipe: Recipe) -> None:
    """Raises RecipeError for a tracker or a balancing whose package is not installed.

    And for a language that the installed spaCy does not know.
    """
    check_language(recipe.language)
    check_trackers(recipe)
    make_balancer(make_settings(recipe, "fp32"), {})


def check_trackers(recipe: Recipe) -> None:
    """Raises RecipeError for a tracker that is not installed."""
    there = {str(tracker) for tracker in get_available_trackers()}
    for tracker in recipe.training.trackers:
        if tracker not in there:
            raise RecipeError(
                f"training.trackers names {tracker!r}, which is not installed; install it "
                f"(pip install {tracker.replace('_', '-')}), or leave it out"
            )
