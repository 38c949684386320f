"""`hiermtl train`: from a recipe to a run folder that is a model folder."""

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator, PartialState
from accelerate.tracking import get_available_trackers
from accelerate.utils import broadcast_object_list
from torch import Tensor

from hiermtl.annotation import Annotator, load
from hiermtl.atomic import write_whole
from hiermtl.commands.build import Built, build, make_settings
from hiermtl.commands.card import model_card
from hiermtl.commands.corpora import (
    as_trained,
    auxiliary_tasks,
    dev_tasks,
    judging_tasks,
    main_tasks,
    placed,
    training_corpora,
)
from hiermtl.commands.evaluate import score_corpora
from hiermtl.commands.probe import fixed_depths
from hiermtl.commands.processes import (
    check_processes,
    first_on_each_machine,
    launched,
    share,
)
from hiermtl.corpus.build import Corpus
from hiermtl.corpus.plain import TextCorpus
from hiermtl.document import Document
from hiermtl.environment import environment
from hiermtl.errors import HiermtlError, ModelError, RecipeError, RunError, listing
from hiermtl.evaluation import ScoreRow, Scores, main_score
from hiermtl.evaluation.best import points
from hiermtl.folders import CONFIG, COST, ENVIRONMENT, FAILURE, PROBE, RECIPE, SCORES
from hiermtl.model import HierarchicalModel
from hiermtl.precision import has_bf16, resolve_device, resolve_precision
from hiermtl.pretrained import save_model
from hiermtl.recipe import (
    Recipe,
    auto_tasks,
    default_output,
    differences,
    flattened,
    load_recipe,
    resolved,
    with_depths,
)
from hiermtl.recipe.encoder import BilstmEncoder
from hiermtl.shapes import TRAINING, keep_shapes
from hiermtl.training import (
    Evaluation,
    make_accelerator,
    train_model,
)
from hiermtl.training.balancing import make_balancer
from hiermtl.training.checkpoint import load_checkpoint, save_checkpoint
from hiermtl.training.progress import Progress

EXAMPLE_WORDS = range(8, 14)
"""How many words the sentence shown after training may have."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What training took: steps, words that encoders read, seconds; and the model's parameters."""

    steps: int = 0
    words: int = 0
    seconds: float = 0.0
    parameters: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        """Of both together."""
        return Cost(
            self.steps + other.steps,
            self.words + other.words,
            self.seconds + other.seconds,
            self.parameters + other.parameters,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its folder, which is a model folder, its scores on dev, and what it took.

    `example` is a sentence of dev as the model annotates it.
    """

    folder: Path
    scores: Scores
    cost: Cost
    recipe: Recipe
    example: Document | None = None

    @property
    def seconds(self) -> float:
        """How long training took."""
        return self.cost.seconds

    def load(self) -> Annotator:
        """The trained model."""
        return load(self.folder)


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
    check_packages(loaded)
    check_precision(loaded)
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


@contextlib.contextmanager
def failing_told(folder: Path) -> Iterator[None]:
    """Whatever ends a run early is said in its folder, once it has begun; a later start forgets it.

    A process that is killed can say nothing.
    """
    try:
        yield
    except BaseException as error:
        if (folder / RECIPE).exists() and PartialState().is_main_process:
            interrupted = not isinstance(error, Exception)
            told = {
                "kind": type(error).__name__,
                "message": "It was asked to end." if interrupted else str(error),
                "interrupted": interrupted,
                "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            }
            # What is raised says more than that this could not be written.
            with contextlib.suppress(HiermtlError, OSError):
                write_whole(folder / FAILURE, json.dumps(told, indent=2) + "\n")
        raise


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


def check_folder(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    """Raises RecipeError when the folder is occupied, or holds another run to resume."""
    if not resume:
        # The first process may have begun to write before another one looks.
        if os.environ.get("RANK", "0") != "0":
            return
        if os.path.exists(folder) and (not folder.is_dir() or any(folder.iterdir())):
            raise RecipeError(
                f"{folder} is occupied; name another folder with -o, or go on with its run with "
                "--resume"
            )
        return
    if not os.path.exists(folder / RECIPE):
        raise RecipeError(
            f"{folder} holds no run to resume ({RECIPE} is missing); train without --resume"
        )
    keys = differences(_with_defaults(keys_of(folder)), recipe)
    if keys:
        raise RecipeError(
            f"the run in {folder} has other values of {listing(keys)}; resume with the same, or "
            "train anew into another folder"
        )


def keys_of(folder: Path) -> dict[str, Any]:
    """The keys of a run's recipe, as they were written when it began.

    Raises:
        RecipeError: The file is damaged.
    """
    saved = folder / RECIPE
    try:
        found = json.loads(saved.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"a JSON {type(found).__name__} where an object is needed")
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"{saved} is damaged ({error}); copy the file again, or train anew into another folder"
        ) from error
    return found


def _with_defaults(keys: dict[str, Any]) -> Recipe | dict[str, Any]:
    """With the defaults of keys that the version which wrote them did not have."""
    try:
        return load_recipe(keys)
    except RecipeError:
        return keys


def _train_whole(
    recipe: Recipe, corpora: Mapping[str, Corpus], folder: Path, *, resume: bool, quiet: bool
) -> tuple[Built, Cost]:
    """One model for all tasks."""
    with first_on_each_machine():
        built = build(recipe, corpora)
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
    begin(folder, recipe)
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
    begin(folder, recipe)
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


def begin(folder: Path, recipe: Recipe, *, beside: Mapping[str, str] | None = None) -> None:
    """Makes the run folder and says in it what is trained there; `beside` are further files."""
    if not PartialState().is_main_process:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (beside or {}).items():
            write_whole(folder / name, text)
        write_whole(folder / RECIPE, json.dumps(resolved(recipe), indent=2))
        (folder / FAILURE).unlink(missing_ok=True)
        _tell_environment(folder / ENVIRONMENT)
    except OSError as error:
        raise RunError(
            f"the run folder {folder} cannot be written ({error.strerror}); name another with -o"
        ) from error


def _tell_environment(path: Path) -> None:
    """Writes down where the run is trained: one entry for each place it was gone on with in."""
    here = environment()
    told: list[Any] = []
    with contextlib.suppress(OSError, ValueError):
        told = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(told, list) or told[-1:] != [here]:
        told = [*(told if isinstance(told, list) else ()), here]
        write_whole(path, json.dumps(told, indent=2) + "\n")


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
        save_model(model, built.tokenizer, folder, card=card)
    example = _example(Annotator(model, built.tokenizer), corpora)
    return Run(folder, scores, cost, recipe, example)


def shown(run: Run, *, data_dir: str | Path | None) -> Run:
    """The run with its example, of which other processes told nothing."""
    return replace(
        run, example=_example(run.load(), training_corpora(run.recipe, data_dir=data_dir))
    )


def _example(nlp: Annotator, corpora: Mapping[str, Corpus]) -> Document | None:
    """The first sentence of dev that is neither very short nor long, annotated.

    None where the model judges nothing but pairs, or has only text to judge.
    """
    if all(head.unit == "pair" for head in nlp.heads.values()):
        return None
    for corpus in corpora.values():
        if isinstance(corpus, TextCorpus):
            continue
        for sentence in corpus.sentences("dev") if "dev" in corpus.splits else ():
            if len(sentence.words) in EXAMPLE_WORDS:
                return nlp([replace(sentence, layers={})])
    return None


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


def finished(folder: Path, recipe: Recipe) -> Run:
    """The run that lies in a folder, as it ended.

    Raises:
        ModelError: Its scores cannot be read.
    """
    try:
        rows = json.loads((folder / SCORES).read_text(encoding="utf-8"))
        scores = Scores(tuple(ScoreRow(**row) for row in rows))
        cost = Cost(**json.loads((folder / COST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"the run in {folder} is finished, but its {SCORES} or {COST} cannot be read "
            f"({error}); score it anew with `hiermtl evaluate {folder}`"
        ) from error
    return Run(folder, scores, cost, recipe)


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


def check_packages(recipe: Recipe) -> None:
    """Raises RecipeError for a tracker, or a balancing, whose package is not installed."""
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
