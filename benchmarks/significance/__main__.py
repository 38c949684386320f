"""The command line: `python -m benchmarks.significance [--json FILE]`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import facts
from benchmarks.significance.report import text
from benchmarks.significance.simulate import Recipe, verdicts
from hiermtl.evaluation.results import read_result

KEPT = Path(__file__).parents[1] / "joint_many" / "bilstm" / "results"
TASKS = ("upos", "chunk", "dep", "entailment")
SEEDS = (3, 5)
LEVELS = (0.05, 0.01)
CASES: dict[str, dict[str, float]] = {
    "same recipe": {},
    "other documents": {"by_document": 5.0},
    "one point": {"planted": 1.0},
}
"""How arms differ: not at all; in each document by a draw of 5 points; by a point throughout."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulates, prints the table and, if asked for, writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.significance")
    parser.add_argument("--splits", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--json", type=Path, help="where to write the result")
    given = parser.parse_args(arguments)
    result = measure(splits=given.splits, resamples=given.resamples)
    sys.stdout.write(text(result))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(*, splits: int, resamples: int) -> dict[str, Any]:
    """How often each test rejects, over arms of each recipe in turn."""
    rows = []
    recipes = {task: kept_recipes(task) for task in TASKS}
    for number, (task, own) in enumerate(recipes.items()):
        for seeds in SEEDS:
            for case in CASES:
                random = np.random.default_rng([number, seeds, len(case)])
                found = [
                    split(own[place % len(own)], seeds, case, random, resamples=resamples)
                    for place in range(splits)
                ]
                rates = {
                    test: [sum(p[test] <= level for p in found) / splits for level in LEVELS]
                    for test in found[0]
                }
                rows.append({"task": task, "seeds": seeds, "case": case, "rates": rates})
                print(task, seeds, case, rates, file=sys.stderr, flush=True)  # noqa: T201
    return {
        "benchmark": "significance",
        "commit": facts.commit(),
        "splits": splits,
        "resamples": resamples,
        "recipes": len(next(iter(recipes.values()))),
        "spread": {task: median(one.spread for one in own) for task, own in recipes.items()},
        "levels": list(LEVELS),
        "rows": rows,
    }


def kept_recipes(task: str) -> list[Recipe]:
    """The recipes of the kept grid, each of an arm and a size."""
    runs: dict[tuple[int | None, str], list[Any]] = {}
    for file in sorted(KEPT.glob("*.json")):
        result = read_result(file)
        runs.setdefault((result.size, result.arm), []).append(result)
    return [Recipe.of(own, task) for own in runs.values()]


def split(
    recipe: Recipe, seeds: int, case: str, random: np.random.Generator, *, resamples: int
) -> dict[str, float]:
    """Two arms of so many seeds, and the p value of each test."""
    count = recipe.counts.shape[1]
    by_document = CASES[case].get("by_document", 0.0)
    documents = random.integers(0, count, count) if by_document else np.arange(count)
    planted = CASES[case].get("planted", 0.0)
    own = recipe.arm(
        "a", seeds, random, documents=documents, by_document=by_document, planted=planted
    )
    other = recipe.arm("b", seeds, random, documents=documents, by_document=by_document)
    return verdicts(own, other, resamples=resamples, seed=int(random.integers(2**31)))


if __name__ == "__main__":
    main()
