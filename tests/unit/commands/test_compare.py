"""Run folders compared: which of them are one arm."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch

import hiermtl
from hiermtl.commands import Run, compare, train
from hiermtl.commands.compare import result_of_run
from hiermtl.errors import RecipeError
from hiermtl.evaluation.results import RunResult, Units, read_result
from hiermtl.evaluation.scores import ScoreRow
from hiermtl.metrics.accuracy import Accuracy
from hiermtl.recipe import load_recipe
from hiermtl.recipe.resolved import resolved
from tests.unit.commands.runs import recipe

NOTHING: Mapping[str, Any] = MappingProxyType({})


def run(
    folder: Path, seed: int, keys: Mapping[str, Any] = NOTHING, *, name: str = "quickstart"
) -> Path:
    """A run folder of a recipe that was scored before, as far as `compare` looks at it."""
    folder.mkdir(parents=True)
    loaded = load_recipe(name, {"training.seed": seed, **keys})
    (folder / "recipe.json").write_text(json.dumps(resolved(loaded)))
    row = ScoreRow(1, 1, "upos", "accuracy", 70.0, 100, "d", "dev", "accuracy", "fp32", seed)
    units = Units("accuracy", Accuracy().columns, np.array([[70.0, 100.0]]))
    result = RunResult(name, None, seed, {}, {}, (row,), {"upos": units})
    result.write(folder / "result-dev.json")
    return folder


def test_runs_of_one_recipe_with_other_keys_are_arms_by_the_names_of_their_folders(
    tmp_path: Path,
) -> None:
    given = [run(tmp_path / "first", 0), run(tmp_path / "lower", 0, {"tasks.dep.depth": 2})]
    assert [mean.arm for mean in compare(given).means] == ["first", "lower"]


def test_seeds_of_the_same_keys_stay_one_arm(tmp_path: Path) -> None:
    lower = {"tasks.dep.depth": 2}
    given = [run(tmp_path / f"low-{seed}", seed, lower) for seed in (10, 11)]
    assert {mean.arm for mean in compare(given).means} == {"quickstart"}
    given += [run(tmp_path / f"flat-{seed}", seed) for seed in (10, 11)]
    found = compare(given, controls=["flat"])
    assert [(mean.arm, mean.seeds) for mean in found.means] == [("flat", 2), ("low", 2)]


def test_controls_are_those_of_recipes_that_are_whatever_their_folders_are_called(
    tmp_path: Path,
) -> None:
    given = [
        run(tmp_path / "low", 0, name="low_supervision/sample"),
        run(tmp_path / "flat", 0, name="hard/sample"),
        run(tmp_path / "flat-slow", 0, {"training.lr": 1e-4}, name="hard/sample"),
    ]
    found = compare(given)
    assert {item.control for item in found.differences} == {"flat", "flat-slow"}
    assert next(mean.arm for mean in found.means) == "flat"


def test_folders_of_one_name_are_arms_by_their_paths(tmp_path: Path) -> None:
    given = [
        run(tmp_path / "a" / "run", 0),
        run(tmp_path / "b" / "run", 0, {"tasks.dep.depth": 2}),
    ]
    assert [mean.arm for mean in compare(given).means] == list(map(str, given))


def test_how_often_corpora_are_gone_through_is_of_the_budget(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    trained: Run = request.getfixturevalue("run")
    folder = tmp_path / "copy"
    shutil.copytree(trained.folder, folder)
    budget = result_of_run(folder, split="dev").budget
    names = list(load_recipe(json.loads((folder / "recipe.json").read_text())).corpora)
    assert {name: budget[f"corpora.{name}.repeat"] for name in names} == dict.fromkeys(names, 1)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Trains a step, unless the same was asked before."""

    made: dict[str, Path] = {}

    def trained(name: str, **changes: Any) -> Path:
        own = {key.replace("__", "."): value for key, value in changes.items()}
        key = repr((name, own))
        if key not in made:
            folder = tmp_path_factory.mktemp(name) / name
            changed = {"training.max_steps": 1, **own}
            given = recipe(name=name)
            made[key] = train(given, output=folder, quiet=True, overrides=changed).folder
        return made[key]

    return trained


OTHER: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {},
        {"corpora__sample__train": 60},
        r"corpora\.sample\.train is 40 examples \(\w{12}\) and 60 examples \(\w{12}\); "
        "train both on the same data",
    ),
    (
        {"training__max_examples": 20},
        {"training__max_examples": 20, "corpora__sample__train": 60},
        r"corpora\.sample\.train is 20 of 40 examples .* and 20 of 60 examples",
    ),
    (
        {"training__max_examples": 20},
        {"training__max_examples": 20, "training__examples": "spread"},
        r"training\.examples is first and spread; train both on the same data",
    ),
    ({}, {"training__patience": 2}, r"training\.patience is None and 2; train both for as long"),
]


@pytest.mark.parametrize(("one", "other", "says"), OTHER)
def test_arms_that_were_trained_on_other_data_or_for_as_long_as_another_rule_says_are_refused(
    short: Callable[..., Path], one: dict[str, Any], other: dict[str, Any], says: str
) -> None:
    given = [short("one", **one), short("other", **other)]
    with pytest.raises(RecipeError, match="arms 'one' and 'other' had other budgets: " + says):
        compare(given, controls=["one"])


def test_arms_with_other_tasks_labels_and_rates_have_one_budget(
    short: Callable[..., Path],
) -> None:
    same = short("same", tasks__ner=None, training__lr=1e-3, corpora__sample__noise={"upos": 0.2})
    found = compare([short("one"), same], controls=["one"])
    assert {item.task for item in found.differences} == {"upos", "dep"}
    assert not [note for note in found.notes if "is not known" in note]


def test_training_data_is_that_of_the_time_of_training(
    short: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(short("one"), folder)
    key = "corpora.sample.train"
    then = result_of_run(folder, split="dev").budget[key]
    assert json.loads((folder / "trained.json").read_text()) == {"sample": then}
    (folder / "trained.json").write_text(json.dumps({"sample": "7 examples"}))
    (folder / "result-dev.json").unlink()
    assert result_of_run(folder, split="dev").budget[key] == "7 examples"
    # A run from before it was kept: what lies there now.
    (folder / "trained.json").unlink()
    (folder / "result-dev.json").unlink()
    assert result_of_run(folder, split="dev").budget[key] == then


def test_a_model_that_changed_is_scored_anew_and_the_same_is_not(
    short: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(short("one"), folder)
    file = folder / "result-dev.json"
    file.unlink(missing_ok=True)
    first = result_of_run(folder, split="dev")
    written = file.stat().st_mtime_ns
    assert first.model
    assert result_of_run(folder, split="dev").rows == first.rows
    assert file.stat().st_mtime_ns == written
    # The same model saved once more has the same scores, whether or not it is scored anew.
    hiermtl.load(folder).save_pretrained(folder)
    assert result_of_run(folder, split="dev").rows == first.rows
    # Another one over it.
    other = hiermtl.load(folder)
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.normal_()
    other.save_pretrained(folder)
    again = compare([folder])
    said = f"{folder} was scored anew: result-dev.json was of another model than lies there now"
    assert said in again.notes
    now = read_result(file)
    assert now.model != first.model
    assert now.rows != first.rows
    assert now.rows == result_of_run(folder, split="dev").rows
    assert said not in compare([folder]).notes


def test_a_result_outlives_weights_and_one_that_names_no_model_is_taken(
    short: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(short("one"), folder)
    first = result_of_run(folder, split="dev")
    (folder / "model.safetensors").unlink()
    assert result_of_run(folder, split="dev").rows == first.rows
    (folder / "config.json").unlink()
    with pytest.raises(RecipeError, match="is not finished"):
        result_of_run(folder, split="dev")
    # From before models were named.
    file = folder / "result-dev.json"
    data = json.loads(file.read_text())
    del data["model"]
    file.write_text(json.dumps(data))
    assert result_of_run(folder, split="dev").rows == first.rows


def test_the_same_run_twice_is_refused(tmp_path: Path) -> None:
    given = [run(tmp_path / "one", 0), run(tmp_path / "two", 0)]
    with pytest.raises(RecipeError, match=r"two results are of arm 'quickstart'.*leave one out"):
        compare(given)
