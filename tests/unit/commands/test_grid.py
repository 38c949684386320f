"""Experiments: what is done is skipped, and what is chosen on dev is used for all seeds."""

import importlib
import json
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from hiermtl.commands import compare, grid, train
from hiermtl.commands.corpora import open_corpora
from hiermtl.errors import DataError, RecipeError, RunError
from hiermtl.evaluation import read_result
from hiermtl.recipe import load_recipe
from tests.unit.commands.runs import TASKS, recipe

grid_module = importlib.import_module("hiermtl.commands.grid")

GRID: dict[str, Any] = {
    "arms": {
        "single": {"recipe": "own.yaml", "set": {"sharing": "single"}},
        "low": "own.yaml",
    },
    "set": {"training.epochs": 1},
    "seeds": [0, 1],
    "sizes": [30],
    "tune": [{"training.lr": 1e-4}, {"training.lr": 1e-2}],
}


def written(folder: Path, **changes: Any) -> Path:
    (folder / "own.yaml").write_text(json.dumps(recipe()), encoding="utf-8")
    file = folder / "levels.yaml"
    file.write_text(json.dumps({**GRID, **changes}), encoding="utf-8")
    return file


def test_a_grid_is_run_once_and_compared(tmp_path: Path) -> None:
    file, folder = written(tmp_path), tmp_path / "out"
    found = grid(file, folder, quiet=True)
    assert {(mean.arm, mean.task, mean.seeds) for mean in found.means} == {
        (arm, task, 2) for arm in ("single", "low") for task in ("upos", "ner", "dep")
    }
    assert {item.control for item in found.differences} == {"single"}
    assert {cost.steps > 0 for cost in found.costs} == {True}
    results = sorted((folder / "results").iterdir())
    assert len(results) == 4
    told = [read_result(path).learnt for path in results]
    assert {own["scheme"] for own in told} == {"single", "low_supervision"}
    assert not list((folder / "runs").iterdir())
    times = [path.stat().st_mtime_ns for path in results]
    assert grid(file, folder, quiet=True) == found
    assert [path.stat().st_mtime_ns for path in results] == times
    again = compare([folder], controls=["single"])
    assert set(again.means) == set(found.means)
    assert set(again.differences) == set(found.differences)
    tuned = next((folder / "tuning").iterdir())
    whole = tuned.read_text(encoding="utf-8")
    tuned.write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"no result of tuning .*; delete it to run it again"):
        grid(file, folder, quiet=True)
    tuned.write_text(whole, encoding="utf-8")
    with pytest.raises(RecipeError, match="was made by another recipe of arm 'single'"):
        grid(written(tmp_path, set={"training.epochs": 2}), folder, quiet=True)


def test_a_result_tells_what_depths_were_chosen_by(tmp_path: Path) -> None:
    given = {"name": "learned", "harden_at": 0.2, "lr": 0.5}
    tasks = {name: {**task, "depth": 2} for name, task in TASKS.items()}
    train(recipe(sharing=given, tasks=tasks), output=tmp_path / "run", quiet=True)
    compare([tmp_path / "run"])
    result = read_result(tmp_path / "run" / "result-dev.json")
    learnt = result.learnt["learnt"]
    assert result.learnt["scheme"] == "learned"
    assert learnt["depths"] == {row.task: row.depth for row in result.rows}
    for task, depth in learnt["depths"].items():
        assert max(learnt["shares"][task]) == learnt["shares"][task][depth - 1]
        assert len(set(learnt["shares"][task])) > 1


def test_what_was_trained_on_is_scored_beside_dev(tmp_path: Path) -> None:
    spread = {"training.epochs": 1, "training.examples": "spread"}
    small: dict[str, Any] = {"arms": {"low": "own.yaml"}, "seeds": [0], "tune": [], "set": spread}
    grid(written(tmp_path, gap=True, **small), tmp_path / "out", quiet=True)
    result = read_result(tmp_path / "out" / "results" / "low-30-0-0.json")
    assert {row.split for row in result.train} == {"train"}
    assert {row.split for row in result.dev} == {"dev"}
    corpus = open_corpora(load_recipe(recipe()))["sample"]
    words = sum(len(s.words) for s in corpus.sentences_of("train", 30, spread=True))
    assert {row.items for row in result.train if row.task == "upos"} == {words}
    assert words != sum(len(s.words) for s in corpus.sentences_of("train", 30))
    grid(written(tmp_path, **small), tmp_path / "plain", quiet=True)
    assert not read_result(tmp_path / "plain" / "results" / "low-30-0-0.json").train
    with pytest.raises(RecipeError, match="was made before the grid had gap: true"):
        grid(written(tmp_path, gap=True, **small), tmp_path / "plain", quiet=True)


def test_arms_are_finished_one_after_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, folder = written(tmp_path), tmp_path / "out"
    found = grid(file, folder)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == [f"{n} of 8" for n in range(1, 9)]
    names = [line.split("  ")[1] for line in lines]
    chosen = {name[:-2] for name in names if name.endswith("-1")}
    assert len(chosen) == 2
    for arm, done in (("single", names[:4]), ("low", names[4:])):
        assert done[:2] == [f"{arm}-30-0-0", f"{arm}-30-1-0"]
        (own,) = (name for name in chosen if name.startswith(arm))
        assert done[2:] == [f"{own}-0", f"{own}-1"]
    (folder / "results" / f"{names[-1]}.json").unlink()
    assert grid(file, folder).means == found.means
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[:2] for line in lines] == [["8 of 8", names[-1]]]


def test_arms_that_cannot_be_compared_end_a_grid_at_once(tmp_path: Path) -> None:
    fewer = {"recipe": "own.yaml", "set": {"corpora.sample.test": 3}}
    arms = {"low": "own.yaml", "fewer": fewer, "later": "own.yaml"}
    plan: dict[str, Any] = {"arms": arms, "seeds": [0], "tune": []}
    file, folder = written(tmp_path, **plan, controls=["low"]), tmp_path / "out"
    with pytest.raises(RecipeError, match=r"arms 'low' and 'fewer' differ in the number of items"):
        grid(file, folder, quiet=True)
    names = {path.stem.split("-")[0] for path in (folder / "results").iterdir()}
    assert names == {"low", "fewer"}
    found = grid(written(tmp_path, **plan), folder, quiet=True)
    assert {cost.arm for cost in found.costs} == {"low", "fewer", "later"}
    assert not found.differences


def test_runs_side_by_side_give_the_same_numbers(tmp_path: Path) -> None:
    file = written(tmp_path, arms={"low": "own.yaml"})
    alone = grid(file, tmp_path / "alone", quiet=True)
    assert grid(file, tmp_path / "beside", jobs=2, quiet=True).means == alone.means


def test_results_of_another_split_are_not_taken_for_those_asked_for(tmp_path: Path) -> None:
    one: dict[str, Any] = {"arms": {"low": "own.yaml"}, "seeds": [0], "tune": []}
    folder = tmp_path / "out"
    assert grid(written(tmp_path, **one, split="dev"), folder, quiet=True).split == "dev"
    file = written(tmp_path, **one)
    with pytest.raises(
        RecipeError, match=r"low-30-0-0\.json is of split dev, and the grid is of te"
    ):
        grid(file, folder, quiet=True)
    next((folder / "results").iterdir()).unlink()
    assert grid(file, folder, quiet=True).split == "test"


class Dying(Executor):
    """Processes of which the system ends one at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(BrokenProcessPool("A child process terminated abruptly"))
        return future


def test_a_process_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid_module, "ProcessPoolExecutor", lambda *given, **options: Dying())
    with pytest.raises(RunError, match=r"one of 2 processes died.*start the grid again.*fewer --j"):
        grid(written(tmp_path), tmp_path / "out", jobs=2, quiet=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": [1]}, "seed is not a key; did you mean 'seeds'"),
        (
            {"controls": ["singel"]},
            r"yaml:\d+: controls names 'singel', which is no arm; did you mean",
        ),
        ({"seeds": []}, "seeds is .*a list of whole numbers is needed"),
        ({"set": {"training.epoch": 1}}, "training.epoch is not a key"),
    ],
)
def test_a_wrong_grid_is_refused_before_anything_is_trained(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        grid(written(tmp_path, **changes), tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


def test_the_output_of_a_grid_is_a_folder(tmp_path: Path) -> None:
    file = written(tmp_path)
    with pytest.raises(RecipeError, match=r"levels.yaml is a file; name a folder for runs"):
        grid(file, file)


def test_a_run_whose_recipe_is_damaged_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(recipe(training={"epochs": 1}), output=folder, quiet=True)
    (folder / "recipe.json").write_text("{", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"recipe\.json is damaged .*; copy the file again, or"):
        compare([folder])


def test_a_grid_that_is_missing_is_a_grid(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no\.yaml: the grid cannot be read: No such file"):
        grid(tmp_path / "no.yaml")
    (tmp_path / "list.yaml").write_text("[a]", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"list\.yaml:1:1: a grid is a mapping of keys to values"):
        grid(tmp_path / "list.yaml")
