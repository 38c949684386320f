"""Run folders compared: which of them are one arm."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from hiermtl.commands import Run, compare
from hiermtl.commands.compare import result_of_run
from hiermtl.errors import RecipeError
from hiermtl.evaluation.results import RunResult, Units
from hiermtl.evaluation.scores import ScoreRow
from hiermtl.metrics.accuracy import Accuracy
from hiermtl.recipe import load_recipe
from hiermtl.recipe.resolved import resolved

NOTHING: Mapping[str, Any] = MappingProxyType({})


def run(
    folder: Path, seed: int, keys: Mapping[str, Any] = NOTHING, *, name: str = "quickstart"
) -> Path:
    """A run folder of a recipe that was scored before, as far as `compare` looks at it."""
    folder.mkdir(parents=True)
    recipe = load_recipe(name, {"training.seed": seed, **keys})
    (folder / "recipe.json").write_text(json.dumps(resolved(recipe)))
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


def test_the_same_run_twice_is_refused(tmp_path: Path) -> None:
    given = [run(tmp_path / "one", 0), run(tmp_path / "two", 0)]
    with pytest.raises(RecipeError, match=r"two results are of arm 'quickstart'.*leave one out"):
        compare(given)
