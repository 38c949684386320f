"""`hiermtl extend`: heads added to a trained model, replaced or dropped, the rest kept as it is."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from accelerate import PartialState

from hiermtl.atomic import write_whole
from hiermtl.commands.build import Built, check_dev, make_examples, task_configs
from hiermtl.commands.corpora import open_corpora, placed
from hiermtl.commands.train import (
    CONFIG,
    Run,
    check_folder,
    check_means,
    finish,
    finished,
    train_built,
)
from hiermtl.corpus.build import Corpus
from hiermtl.errors import ModelError, RecipeError, listing, nearest
from hiermtl.evaluation import Scores
from hiermtl.model import HierarchicalConfig, HierarchicalModel
from hiermtl.pretrained import load_model, read_card, save_model
from hiermtl.pretrained.finding import find_model
from hiermtl.recipe import Recipe, corpora_of, load_recipe, resolve_depths
from hiermtl.recipe.encoder import EncoderOptions
from hiermtl.tokens import Tokenizer

BASE = "extends.json"


def extend(
    model: str | Path,
    recipe: str | Path | Mapping[str, Any] | Recipe | None = None,
    *,
    output: str | Path | None = None,
    drop: Iterable[str] = (),
    resume: bool = False,
    data_dir: str | Path | None = None,
    quiet: bool = False,
    overrides: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Run:
    """Adds the tasks of a recipe to a trained model, or takes them in the place of its own.

    Encoder, sharing and language are the model's. The other tasks' heads are kept as they are; and
    so is the encoder, unless the recipe sets `encoder.freeze_below`: then it trains from there on,
    and what the other tasks say may change.

    Args:
        model: A model folder, a shipped name or a hub id.
        recipe: Tasks, corpora and training; its encoder may only say what is frozen. May be left
            out where tasks are only dropped.
        output: The folder of the new model. Default: `training.output`, else
            `runs/<recipe with / as ->`.
        drop: Tasks of the model to leave out.
        resume: Goes on with a run that was broken off.
        data_dir: Where corpora lie, instead of HIERMTL_DATA.
        quiet: Shows nothing.
        overrides: Dotted keys of the recipe and their values.
        **settings: The same, as keyword arguments.

    Raises:
        HiermtlError: Its message gives the value, what is allowed and the next step.
    """
    base, tokenizer = load_model(model)
    dropped = _dropped(base, drop)
    if recipe is None:
        return _only_drop(model, base, tokenizer, dropped=dropped, output=output)
    before = _recipe_of(base)
    loaded = _loaded(recipe, {**(overrides or {}), **settings}, before, base.stack.depth)
    folder = Path(output or loaded.training.output or f"runs/{(loaded.name or 'extended')}")
    check_folder(folder, loaded, resume=resume)
    about = {"model": str(model), "drop": sorted(dropped)}
    if resume:
        _check_base(folder, about)
        if (folder / CONFIG).exists():
            return finished(folder, loaded)
    check_means(loaded)
    corpora = open_corpora(loaded, data_dir=data_dir, splits=("train", "dev"))
    built, kept = _extended(base, tokenizer, loaded, corpora, dropped=dropped)
    if PartialState().is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / BASE, json.dumps(about, indent=2))
    seconds = train_built(built, loaded, corpora, folder, resume=resume, quiet=quiet)
    for task, frozen in kept.items():
        built.model.config.tasks[task]["frozen"] = frozen
    plain = _merged(before, loaded, kept, data_dir=data_dir)
    # Where bf16 cost the other tasks too much, it still does.
    half = base.config.precision == "bf16"
    return finish(built, loaded, corpora, folder, seconds=seconds, plain=plain, half=half)


def _dropped(base: HierarchicalModel, drop: Iterable[str]) -> list[str]:
    names = [drop] if isinstance(drop, str) else list(drop)
    for task in names:
        if task not in base.hierarchy:
            raise ModelError(
                f"the model has no task {task!r} to drop; it has {listing(base.hierarchy.names)}"
                f"{nearest(task, base.hierarchy.names)}"
            )
    return names


def _recipe_of(base: HierarchicalModel) -> Recipe:
    """The recipe the model was trained by.

    Raises:
        ModelError: Its config does not hold one.
    """
    if not base.config.recipe:
        raise ModelError(
            "the model's config.json does not say how it was trained, so that it cannot be "
            "extended; train it with this version"
        )
    return load_recipe(base.config.recipe)


def _loaded(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    changes: Mapping[str, Any],
    before: Recipe,
    blocks: int,
) -> Recipe:
    """The recipe with encoder, sharing and language of the model; frozen unless it says otherwise.

    Raises:
        RecipeError: It is malformed, or names another encoder or another sharing.
    """
    shared = {**changes, "sharing": before.sharing.model_dump(mode="json")}
    try:
        stated = load_recipe(recipe, changes)
    except RecipeError:
        # A depth that is missing may be one that the model's sharing does not ask for.
        return _taken_over(load_recipe(recipe, shared), before, blocks)
    if "sharing" in stated.model_fields_set and stated.sharing != before.sharing:
        raise RecipeError(
            f"sharing is {stated.sharing.name!r}, but the model's is {before.sharing.name!r}; "
            "leave it out"
        )
    return _taken_over(load_recipe(recipe, shared), before, blocks)


def _taken_over(recipe: Recipe, before: Recipe, blocks: int) -> Recipe:
    given = recipe.encoder.model_fields_set
    named = "encoder" in recipe.model_fields_set and "name" in given
    if named and recipe.encoder.name != before.encoder.name:
        raise RecipeError(
            f"encoder.name is {recipe.encoder.name!r}, but the model's encoder is "
            f"{before.encoder.name!r}; leave the name out"
        )
    kept = {"freeze_from", "freeze_below"} & given
    frozen = {name: getattr(recipe.encoder, name) for name in kept}
    if "freeze_below" not in frozen:
        frozen["freeze_below"] = blocks + 1
    encoder: EncoderOptions = before.encoder.model_copy(update=frozen)
    update = {"encoder": encoder, "language": before.language}
    copy = recipe.model_copy(update=update)
    return copy.located(recipe.source, recipe.folders)


def _extended(
    base: HierarchicalModel,
    tokenizer: Tokenizer,
    recipe: Recipe,
    corpora: Mapping[str, Corpus],
    *,
    dropped: Iterable[str],
) -> tuple[Built, dict[str, bool]]:
    """The model with its new heads, and the kept tasks with whether their heads were frozen."""
    config = base.config
    depths = resolve_depths(recipe, base.stack.depth)
    tasks = task_configs(recipe, corpora, depths)
    check_dev(recipe, corpora)
    gone = {*dropped, *tasks}
    kept = {task: given for task, given in config.tasks.items() if task not in gone}
    labels = {task: given["labels"] for task, given in tasks.items()}
    examples, lines = make_examples(recipe, corpora, tokenizer, labels=labels)
    frozen = {task: {**given, "frozen": True} for task, given in kept.items()}
    model = _with_weights(base, {**frozen, **tasks}, new=set(tasks), seed=recipe.training.seed)
    below, first = recipe.encoder.freeze_below, recipe.encoder.freeze_from
    moving = {depth for depth in range(base.stack.depth + 1) if depth < first or depth >= below}
    for task in kept:
        if moving & {depth for depth, _ in model.routes[task].raw}:
            lines.append(f"{task}: blocks below it are trained, so what it says may change")
    built = Built(model, tokenizer, examples, int(examples.words.sum()), tuple(lines))
    return built, {task: bool(given.get("frozen")) for task, given in kept.items()}


def _with_weights(
    base: HierarchicalModel, tasks: Mapping[str, Any], *, new: set[str], seed: int
) -> HierarchicalModel:
    """A model of these tasks with the weights of another, where it has them.

    Raises:
        RecipeError: The sharing needs blocks for a new task that the model does not have.
    """
    config = HierarchicalConfig(
        base.config.encoder,
        tasks,
        base.config.sharing,
        pooling=base.config.pooling,
        language=base.config.language,
        precision=base.config.precision,
        recipe=base.config.recipe,
    )
    model = HierarchicalModel(config, seed=seed)
    own, there = model.state_dict(), base.state_dict()
    of_new = tuple(f"{part}.{task}." for task in new for part in ("heads", "taps"))
    missing = [name for name in own if name not in there and not name.startswith(of_new)]
    if missing:
        raise RecipeError(
            f"sharing {config.sharing['name']!r} needs weights of its own for a new task "
            f"({missing[0]} among them), which the model does not have; train anew with all tasks"
        )
    taken = {name: there[name] for name in own if not name.startswith(of_new)}
    # A tap of a new task starts as the library's last norm, which the model may no longer have.
    model.load_state_dict({**own, **taken})
    return model.eval()


def _merged(
    before: Recipe, after: Recipe, kept: Iterable[str], *, data_dir: str | Path | None
) -> dict[str, Any]:
    """What the model remembers: how each of its tasks was trained, and on what.

    Raises:
        RecipeError: A corpus has the name of another one of the model's.
    """
    old, merged = placed(before), placed(after, data_dir=data_dir)
    for task in after.tasks:
        # Which corpora a task reads must not follow from what others bring.
        merged["tasks"][task]["corpus"] = list(corpora_of(after, task))
    for task in kept:
        names = list(corpora_of(before, task))
        merged["tasks"][task] = {**old["tasks"][task], "corpus": names}
        for name in names:
            if merged["corpora"].setdefault(name, old["corpora"][name]) != old["corpora"][name]:
                raise RecipeError(
                    f"corpora.{name} is another corpus in the recipe of the model; give it "
                    "another name"
                )
    for key in ("freeze_from", "freeze_below"):
        merged["encoder"][key] = old["encoder"][key]
    return merged


def _check_base(folder: Path, about: Mapping[str, Any]) -> None:
    """Raises RecipeError when the run to resume extends another model."""
    path = folder / BASE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"{folder} holds no run that extends a model ({path.name}: {error}); use another folder"
        ) from error
    if found != about:
        without = found.get("drop")
        raise RecipeError(
            f"the run in {folder} extends {found.get('model')!r} "
            f"{f'without {listing(without)}' if without else 'without dropping a task'}; resume "
            "with the same, or use another folder"
        )


def _only_drop(
    name: str | Path,
    base: HierarchicalModel,
    tokenizer: Tokenizer,
    *,
    dropped: Iterable[str],
    output: str | Path | None,
) -> Run:
    """Writes the model without some tasks; nothing is trained."""
    gone = set(dropped)
    kept = {task: given for task, given in base.config.tasks.items() if task not in gone}
    if not gone:
        raise RecipeError("there is nothing to do; give a recipe with tasks, or tasks to drop")
    if not kept:
        raise RecipeError(f"no task is left without {listing(sorted(gone))}; keep at least one")
    if output is None:
        raise RecipeError("where to? name the folder of the new model with -o")
    folder = Path(output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RecipeError(f"{folder} is occupied; name another folder with -o")
    model = _with_weights(base, kept, new=set(), seed=0)
    recipe = base.config.recipe
    if recipe:
        left = {task: given for task, given in recipe["tasks"].items() if task in kept}
        model.config.recipe = {**recipe, "tasks": left}
    save_model(model, tokenizer, folder, card=read_card(find_model(name, revision=None)))
    loaded = load_recipe(model.config.recipe) if recipe else Recipe.model_construct()
    return Run(folder, Scores(()), 0.0, loaded)
