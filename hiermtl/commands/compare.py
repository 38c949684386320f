"""`hiermtl compare`: runs against each other, over seeds, with tests of their differences."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType

from hiermtl.annotation import load
from hiermtl.commands.corpora import open_corpora, training_data
from hiermtl.commands.evaluate import evaluate
from hiermtl.commands.run_folder import finished, keys_of
from hiermtl.errors import DataError, RecipeError, listing
from hiermtl.evaluation.compare import Comparison, compare_results
from hiermtl.evaluation.results import RunResult, read_result, units_of
from hiermtl.evaluation.significance import RESAMPLES
from hiermtl.folders import CONFIG, RECIPE, TRAINED
from hiermtl.precision import resolve_device
from hiermtl.pretrained import model_name
from hiermtl.pretrained.weights import INDEX, WEIGHTS
from hiermtl.recipe import Recipe, load_recipe
from hiermtl.recipe.resolved import chosen

CONTROLS = ("single", "hard")
_OF_A_RUN = ("training.max_examples", "training.output", "training.processes", "training.seed")
"""Keys that may differ between the runs of an arm: seed and size are told beside it."""

RESULTS = "results"
"""The folder of a grid in which its results lie."""


def compare(
    runs: Iterable[str | Path],
    *,
    split: str = "dev",
    controls: Sequence[str] | None = None,
    test: str = "bootstrap",
    resamples: int = RESAMPLES,
    data_dir: str | Path | None = None,
) -> Comparison:
    """Means and spreads over seeds, differences to controls, and tests of these.

    Args:
        runs: Each a run folder, a file with a result, or a folder with such files, as
            `hiermtl grid` leaves it. A run folder is scored once, and keeps its result beside it.
            Its arm is its recipe; where runs of one recipe had other keys changed, it is what the
            names of the folders with the same keys begin with.
        split: What run folders are scored on; results have theirs.
        controls: Arms that the others are set against. Default: those whose recipe is of `single`
            or `hard`, else the first.
        test: `bootstrap`, by a standard error of drawn seeds and documents, or `randomisation`, by
            documents dealt anew among runs; see `hiermtl.evaluation.significance`.
        resamples: How often documents are drawn, or dealt, for a test.
        data_dir: Where corpora lie, instead of HIERMTL_DATA.

    Raises:
        DataError: There is no such run or result.
        RecipeError: Runs cannot be compared.
    """
    if resamples < 1:
        raise RecipeError(f"resamples is {resamples}; allowed is 1 or more")
    paths = list(map(Path, runs))
    names = _arms([path for path in paths if (path / RECIPE).is_file()])
    results, arms = [], dict[str, str]()
    for path in paths:
        for result in _results(path, split=split, data_dir=data_dir):
            results.append(replace(result, arm=names.get(path, result.arm)))
            arms.setdefault(results[-1].arm, result.arm)
    if controls is None:
        # Arms that are named by folders are of recipes all the same.
        own = [arm for arm, recipe in arms.items() if recipe.split("/")[0] in CONTROLS]
        controls = own or list(arms)[:1]
    first = {arm: place for place, arm in enumerate(controls)}
    results.sort(key=lambda result: first.get(result.arm, len(first)))
    return compare_results(results, controls=controls, test=test, resamples=resamples)


def _arms(folders: Sequence[Path]) -> dict[Path, str]:
    """The arms of run folders whose recipe's name would not tell them apart."""
    recipes = {folder: load_recipe(keys_of(folder)) for folder in folders}
    named: dict[str | None, dict[str, list[Path]]] = {}
    for folder, recipe in recipes.items():
        keys = {key: value for key, value in chosen(recipe).items() if key not in _OF_A_RUN}
        same = named.setdefault(recipe.name, {}).setdefault(json.dumps(keys, sort_keys=True), [])
        same.append(folder)
    groups = [same for own in named.values() if len(own) > 1 for same in own.values()]
    arms = [_beginning([folder.resolve().name for folder in same]) for same in groups]
    if len(set(arms)) < len(arms):  # folders of one name lie in different places
        arms = [str(same[0]) for same in groups]
    return {folder: arm for same, arm in zip(groups, arms, strict=True) for folder in same}


def _beginning(names: Sequence[str]) -> str:
    """What names begin with that differ in their ends, as by a seed; the first if nothing."""
    if len(names) == 1:
        return names[0]
    shared = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return re.sub(r"[-_.]?\d*$", "", "".join(letters[0] for letters in shared)) or names[0]


def _results(path: Path, *, split: str, data_dir: str | Path | None) -> Iterator[RunResult]:
    if path.is_file():
        yield read_result(path)
    elif (path / RECIPE).is_file():
        yield result_of_run(path, split=split, data_dir=data_dir)
    elif path.is_dir():
        folder = path / RESULTS if (path / RESULTS).is_dir() else path
        files = sorted(folder.glob("*.json"))
        if not files:
            raise DataError("no run and no result of one; name a run folder, or results", path)
        for file in files:
            yield read_result(file)
    else:
        raise DataError("no such run or result; name a run folder, or results of a grid", path)


def result_of_run(folder: Path, *, split: str, data_dir: str | Path | None = None) -> RunResult:
    """What a run folder's model scores on a split; scored once, then read from beside it.

    It is scored anew, and a note says so, where the model is no longer the one that was scored. A
    result that does not name its model, or whose model's weights are gone, is taken as it is.

    Raises:
        RecipeError: The run is not finished.
    """
    path = folder / f"result-{split}.json"
    kept = read_result(path) if path.exists() else None
    if kept is not None and not kept.model:
        return kept
    if not (folder / CONFIG).exists():
        raise RecipeError(
            f"the run in {folder} is not finished; go on with it (hiermtl train --resume)"
        )
    if kept is not None and kept.model == _model_there(folder, default=kept.model):
        return kept
    recipe = load_recipe(keys_of(folder))
    result = scored(
        folder,
        arm=recipe.name or folder.name,
        size=recipe.training.max_examples,
        seed=recipe.training.seed,
        split=split,
        data_dir=data_dir,
    )
    result.write(path)
    if kept is None:
        return result
    note = f"{folder} was scored anew: {path.name} was of another model than lies there now"
    return replace(result, notes=(note, *result.notes))


def _model_there(folder: Path, *, default: str) -> str:
    """The name of the model in a run folder; the default where its weights were taken away."""
    weights = (WEIGHTS, INDEX)
    return model_name(folder) if any((folder / name).exists() for name in weights) else default


def scored(
    folder: Path,
    *,
    arm: str,
    size: int | None,
    seed: int,
    split: str,
    data_dir: str | Path | None,
    changes: Mapping[str, object] = MappingProxyType({}),
    fingerprint: str = "",
    gap: bool = False,
) -> RunResult:
    """The result of a finished run; with `gap` it is scored on what it was trained on too."""
    run = finished(folder, load_recipe(keys_of(folder)))
    nlp = load(folder, device=resolve_device(None))
    scores = evaluate(nlp, split=split, data_dir=data_dir)
    if not scores.counts:
        raise DataError(f"there is nothing to compare; scored are {listing(scores.tasks)}", folder)
    return RunResult(
        arm=arm,
        size=size,
        seed=seed,
        changes=changes,
        fingerprint=fingerprint,
        cost=asdict(run.cost),
        rows=scores.rows,
        units=units_of(scores),
        dev=run.scores.rows,
        notes=scores.notes,
        train=evaluate(nlp, split="train", data_dir=data_dir).rows if gap else (),
        learnt=nlp.model.described(),
        budget=_budget(run.recipe, _trained_on(folder, run.recipe, data_dir=data_dir)),
        gold={key: counts.gold for key, counts in scores.counts.items()},
        model=model_name(folder),
    )


def _trained_on(
    folder: Path, recipe: Recipe, *, data_dir: str | Path | None
) -> Mapping[str, object]:
    """What a run wrote of its training data; of an older run what lies there now, if it does."""
    try:
        found = json.loads((folder / TRAINED).read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except FileNotFoundError:
        pass
    except (OSError, ValueError):
        return {}
    try:
        return training_data(recipe, open_corpora(recipe, data_dir=data_dir, splits=("train",)))
    except DataError:
        return {}


def _budget(recipe: Recipe, data: Mapping[str, object]) -> dict[str, object]:
    """What says how much is trained, and on what; arms that are compared have it in common."""
    training = recipe.training
    limited = training.max_examples is not None
    return {
        "training.epochs": training.epochs,
        "training.max_steps": training.max_steps,
        "training.max_examples": training.max_examples,
        "training.patience": training.patience,
        **({"training.examples": training.examples} if limited else {}),
        **{f"corpora.{name}.train": told for name, told in data.items()},
        **{f"corpora.{name}.repeat": corpus.repeat for name, corpus in recipe.corpora.items()},
    }
