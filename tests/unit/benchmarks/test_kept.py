"""The results that are kept beside the grids are those of the grids as they are now."""

import json
from functools import cache
from pathlib import Path

import pytest

import benchmarks
from hiermtl.commands.grid import Job
from hiermtl.recipe import Recipe
from hiermtl.recipe.grid import Grid, load_grid

ROOT = Path(benchmarks.__file__).parent
GRIDS = sorted(
    path for path in ROOT.glob("*/*.yaml") if (path.with_suffix("") / "results").is_dir()
)


@cache
def grid_of(path: Path) -> Grid:
    return load_grid(path)


def recipe_of(path: Path, result: Path) -> tuple[Job, dict[str, object]]:
    grid = grid_of(path)
    arm, size, candidate, seed = result.stem.rsplit("-", 3)
    count = None if size == "all" else int(size)
    changes = {
        **(grid.tune or ({},))[int(candidate)],
        **({} if count is None else {"training.max_examples": count}),
        "training.seed": int(seed),
    }
    recipe = grid.recipe(arm, changes)
    assert isinstance(recipe, Recipe)
    job = Job(arm, count, int(seed), int(candidate), recipe)
    return job, json.loads(result.read_text(encoding="utf-8"))


def test_there_are_grids_with_results() -> None:
    assert {path.stem for path in GRIDS} >= {"bilstm", "minilm"}


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_grid_knows_its_results_again(path: Path) -> None:
    results = sorted((path.with_suffix("") / "results").glob("*.json"))
    assert results
    for result in results:
        job, kept = recipe_of(path, result)
        assert job.fingerprint == kept["fingerprint"], result.name
