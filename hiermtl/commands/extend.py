"""`hiermtl extend`: heads added to a trained model, replaced or dropped, the rest kept as it is."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hiermtl.annotation import Annotator
from hiermtl.commands.build import (
    Built,
    auxiliary_lines,
    check_dev,
    check_frozen,
    make_examples,
    task_configs,
)
from hiermtl.commands.card import model_card
from hiermtl.commands.corpora import placed, training_corpora
from hiermtl.commands.evaluate import trained_on
from hiermtl.commands.finish import finish
from hiermtl.commands.processes import (
    check_processes,
    first_on_each_machine,
    launched,
    share,
)
from hiermtl.commands.run_folder import (
    Cost,
    Run,
    begin,
    check_folder,
    failing_told,
    finished,
    shown,
)
from hiermtl.commands.tasks import auxiliary_tasks
from hiermtl.commands.train import check_installed, check_precision, train_built
from hiermtl.config import HierarchicalConfig
from hiermtl.corpus.build import Corpus
from hiermtl.encoders import PRETRAINED
from hiermtl.errors import ModelError, RecipeError, listing, nearest
from hiermtl.evaluation import Scores
from hiermtl.folders import CONFIG, EXTENDS
from hiermtl.model import HierarchicalModel
from hiermtl.pretrained import load_model, save_model
from hiermtl.recipe import Recipe, corpora_of, default_output, load_recipe, resolve_depths
from hiermtl.shapes import TRAINING, keep_shapes
from hiermtl.tokens import Tokenizer


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

    Encoder, adapter, sharing and language are the model's. The other tasks' heads are kept as they
    are; and so is the encoder, unless the recipe sets `encoder.freeze_below` or
    `encoder.freeze_from`: then the other depths are trained, and what the other tasks say may
    change.

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
    keep_shapes(TRAINING)
    base, tokenizer = load_model(model)
    if not base.sharing.grows:
        raise RecipeError(
            f"sharing {base.sharing.name!r} has weights, or a structure, of all its tasks "
            "together, so that none can be added or dropped; train anew with the tasks you want"
        )
    dropped = _dropped(base, drop)
    if recipe is None:
        if overrides or settings or resume:
            raise RecipeError(
                "without a recipe nothing is trained, so there is nothing to set or to resume; "
                "name a recipe, or only tasks to drop"
            )
        return _only_drop(base, tokenizer, dropped=dropped, output=output)
    before = _with_helpers(base)
    loaded = _loaded(recipe, {**(overrides or {}), **settings}, before, base.stack.depth)
    folder = Path(output or loaded.training.output or default_output(loaded))
    check_folder(folder, loaded, resume=resume)
    about = {"model": str(model), "drop": sorted(dropped)}
    if resume:
        _check_base(folder, about)
        if (folder / CONFIG).exists():
            return finished(folder, loaded)
    check_installed(loaded)
    check_precision(loaded)
    asked = loaded.training.processes
    if asked > 1 and not launched():
        given = {"output": folder, "drop": dropped, "resume": resume, "data_dir": data_dir}
        share("extend", loaded, model=str(model), quiet=quiet, **given)
        return shown(finished(folder, loaded), data_dir=data_dir)
    check_processes(asked)
    with first_on_each_machine():
        corpora = training_corpora(loaded, data_dir=data_dir)
        built, kept = _extended(base, tokenizer, loaded, corpora, dropped=dropped)
    stay = (*kept, *_helping(before, loaded, kept))
    plain = _merged(before, loaded, stay, data_dir=data_dir)
    about_all = load_recipe(plain)
    begin(folder, loaded, beside={EXTENDS: json.dumps(about, indent=2)})
    with failing_told(folder):
        cost = train_built(built, loaded, corpora, folder, resume=resume, quiet=quiet)
    for task, frozen in kept.items():
        built.model.config.tasks[task]["frozen"] = frozen
    # What bf16 costs the kept tasks was measured on the encoder as it was.
    still = not _moving(built.model, loaded, kept)
    still = still and not _reading(built.model, kept, loaded.tasks)
    half = base.config.precision == "bf16" and still
    return finish(
        built,
        loaded,
        corpora,
        folder,
        cost=cost,
        plain=plain,
        half=half,
        about=about_all,
    )


def _with_helpers(base: HierarchicalModel) -> Recipe:
    """The recipe a model was trained by, with its tasks and the auxiliary ones that helped.

    Raises:
        ModelError: As `trained_on`.
    """
    own = trained_on(base)
    whole = load_recipe(base.config.recipe)
    return whole.only({*own.tasks, *auxiliary_tasks(whole)})


def _helping(before: Recipe, after: Recipe | None, kept: Iterable[str]) -> list[str]:
    """The auxiliary tasks of a model's recipe that can be told beside what is kept and new.

    Not those that a new task takes the name of, or that read a task which is no longer there.
    """
    new = set() if after is None else set(after.tasks)
    found = [task for task in auxiliary_tasks(before) if task not in new]
    there = {*kept, *new, *found}
    while lost := [
        task
        for task in found
        if not there.issuperset(getattr(before.tasks[task].head, "reads", None) or ())
    ]:
        found = [task for task in found if task not in lost]
        there -= set(lost)
    return found


def _dropped(base: HierarchicalModel, drop: Iterable[str]) -> list[str]:
    names = [drop] if isinstance(drop, str) else list(drop)
    for task in names:
        if task not in base.hierarchy:
            raise ModelError(
                f"the model has no task {task!r} to drop; it has {listing(base.hierarchy.names)}"
                f"{nearest(task, base.hierarchy.names)}"
            )
    return names


def _loaded(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    changes: Mapping[str, Any],
    before: Recipe,
    blocks: int,
) -> Recipe:
    """The recipe over what it takes from the model; frozen unless it says otherwise.

    Raises:
        RecipeError: It is malformed, or has another encoder, adapter, sharing or language.
    """
    free = {"freeze_from": 0, "freeze_below": blocks + 1}
    own = before.model_dump(mode="json")
    under = {
        "encoder": {**own["encoder"], **free},
        "adapter": own["adapter"],
        "sharing": own["sharing"],
        "language": own["language"],
    }
    if isinstance(recipe, Recipe):
        given = recipe.model_dump(mode="json", exclude_unset=True)
    else:
        given = recipe
    # First without the depths that are frozen by default, which another encoder may not have.
    bare = {**under, "encoder": {**own["encoder"], "freeze_from": 0, "freeze_below": 0}}
    _check_same(load_recipe(given, changes, under=bare), own, free)
    loaded = load_recipe(given, changes, under=under)
    if isinstance(recipe, Recipe):
        return loaded.located(recipe.source, recipe.folders)
    return loaded


def _check_same(loaded: Recipe, own: Mapping[str, Any], free: Mapping[str, int]) -> None:
    """Raises RecipeError when encoder, adapter, sharing or language are not the model's own.

    `free` are the keys of the encoder that may differ.
    """
    now = loaded.model_dump(mode="json")
    encoder, kept = ({**of["encoder"], **free} for of in (now, own))
    for key, value in encoder.items():
        if kept.get(key) != value:
            raise RecipeError(
                f"encoder.{key} is {value!r}, but the model's encoder has "
                f"{kept.get(key, 'no such key')!r}; only freeze_from and freeze_below can be set "
                "here"
            )
    for key in ("adapter", "sharing", "language"):
        if now[key] != own[key]:
            shown = [of[key] if key == "language" else of[key]["name"] for of in (now, own)]
            raise RecipeError(
                f"{key} is {shown[0]!r}, but the model's is {shown[1]!r}; leave it out"
            )


def _extended(
    base: HierarchicalModel,
    tokenizer: Tokenizer,
    recipe: Recipe,
    corpora: Mapping[str, Corpus],
    *,
    dropped: Iterable[str],
) -> tuple[Built, dict[str, bool]]:
    """The model with its new heads, and the kept tasks with whether their heads were frozen."""
    depths = resolve_depths(recipe, base.stack.depth)
    check_frozen(recipe, base.stack.depth)
    tasks = task_configs(recipe, corpora, depths)
    config = base.config_without(set(dropped) - set(tasks))
    for task in tasks:
        if task in config.absent:
            raise RecipeError(
                f"tasks.{task} has the name of a task that the model was trained with and is "
                f"without, and whose place its sharing {config.sharing['name']!r} keeps; give it "
                f"another name, with `column: {recipe.tasks[task].column}`"
            )
    judging = check_dev(recipe, corpora)
    kept = {task: given for task, given in config.tasks.items() if task not in tasks}
    labels = {task: given["labels"] for task, given in tasks.items()}
    examples, lines = make_examples(recipe, corpora, tokenizer, labels=labels)
    frozen = {task: {**given, "frozen": True} for task, given in kept.items()}
    training = recipe.training
    encoder = _with_dropout(config.encoder, training.dropout)
    model = _with_weights(
        base, config, {**frozen, **tasks}, new=set(tasks), seed=training.seed, encoder=encoder
    )
    if base.config.exits:
        lines.append("exits are left out; `hiermtl exits` makes new ones")
    for task in _moving(model, recipe, kept):
        lines.append(f"{task}: blocks below it are trained, so what it says may change")
    for task, read in _reading(model, kept, tasks).items():
        lines.append(
            f"{task}: reads what {listing(read)} predict{'' if read[1:] else 's'}, which is "
            "trained anew, so what it says may change"
        )
    told = (*lines, *judging, *auxiliary_lines(recipe))
    built = Built(model, tokenizer, examples, int(examples.words.sum()), told)
    return built, {task: bool(given.get("frozen")) for task, given in kept.items()}


def _moving(model: HierarchicalModel, recipe: Recipe, tasks: Iterable[str]) -> list[str]:
    """The tasks that stand on depths that are trained."""
    below, first = recipe.encoder.freeze_below, recipe.encoder.freeze_from
    free = {depth for depth in range(model.stack.depth + 1) if depth < first or depth >= below}
    return [task for task in tasks if free & {depth for depth, _ in model.routes[task].raw}]


def _reading(
    model: HierarchicalModel, tasks: Iterable[str], new: Iterable[str]
) -> dict[str, list[str]]:
    """The tasks that read what new ones predict, and which."""
    read = {task: sorted(model.routes[task].tasks & set(new)) for task in tasks}
    return {task: names for task, names in read.items() if names}


def _with_weights(
    base: HierarchicalModel,
    kept: HierarchicalConfig,
    tasks: Mapping[str, Any],
    *,
    new: set[str],
    seed: int,
    encoder: Mapping[str, Any],
) -> HierarchicalModel:
    """A model of these tasks with the weights of another, where it has them.

    `kept` is the config of what is left of the other.

    Raises:
        RecipeError: The sharing needs blocks for a new task that the model does not have.
    """
    config = HierarchicalConfig(
        encoder,
        tasks,
        kept.sharing,
        pooling=kept.pooling,
        language=kept.language,
        precision=kept.precision,
        recipe=kept.recipe,
        learnt=_still_learnt(kept, new),
        absent=kept.absent,
    )
    model = HierarchicalModel(config, seed=seed)
    own, there = model.state_dict(), base.every_name()
    of_new = tuple(f"{part}.{task}." for task in new for part in ("heads", "taps"))
    missing = [
        name
        for name, weight in own.items()
        if not name.startswith(of_new) and (name not in there or there[name].shape != weight.shape)
    ]
    if missing:
        raise RecipeError(
            f"sharing {config.sharing['name']!r} needs weights of its own for a new task "
            f"({missing[0]} among them), which the model does not have, or not of this shape; "
            "train anew with all tasks"
        )
    taken = {name: there[name] for name in own if not name.startswith(of_new)}
    # A tap of a new task starts as the library's last norm, which the model may no longer have.
    model.load_state_dict({**own, **taken})
    return model.eval()


def _still_learnt(kept: HierarchicalConfig, new: set[str]) -> dict[str, Any]:
    """What a scheme had learnt that the model has no longer; nothing where a new head is in it."""
    learnt = kept.learnt
    read = learnt.get("structure", {}).get("reads", {})
    hardened = learnt.get("scheme") not in (None, kept.sharing["name"])
    return dict(learnt) if hardened and not new & set(read) else {}


def _with_dropout(encoder: Mapping[str, Any], rate: float | None) -> dict[str, Any]:
    """An encoder's config with its rates of dropout replaced."""
    if rate is None:
        return dict(encoder)
    family = PRETRAINED.get(encoder["family"])
    rates = ("dropout", "word_dropout") if family is None else (*family.dropouts, "word_dropout")
    own = [name for name in rates if name != "word_dropout" or encoder.get(name)]
    changed: dict[str, Any] = dict.fromkeys(own, rate)
    adapter = encoder.get("adapter")
    if adapter and adapter["dropout"]:
        changed["adapter"] = {**adapter, "dropout": rate}
    return {**encoder, **changed}


def _merged(
    before: Recipe, after: Recipe, kept: Iterable[str], *, data_dir: str | Path | None
) -> dict[str, Any]:
    """What the model remembers: how each of its tasks, and what helped, was trained, and on what.

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
    path = folder / EXTENDS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
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
    model = base.without(gone)
    before = _with_helpers(base)
    left = before.only((*kept, *_helping(before, None, kept))).model_dump(mode="json")
    for task, given in left["tasks"].items():
        given["corpus"] = list(corpora_of(before, task))
    loaded = load_recipe(left)
    model.config.recipe = left
    card = model_card(Annotator(model, tokenizer), loaded, Scores(()), words=None)
    save_model(model, tokenizer, folder, card=card)
    return Run(folder, Scores(()), Cost(), loaded)
