"""The results of a grid as tables of a page: means, differences to some arms, costs."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.tables import piped
from hiermtl.commands import compare
from hiermtl.evaluation.compare import Comparison, Difference, Mean
from hiermtl.recipe.grid import load_grid

AGAINST = ("single", "hard", "joint_many")
TASKS = ("upos", "chunk", "dep", "relatedness", "entailment")
SURE = 0.05
"""Differences with a smaller p are in bold."""


def markdown(grid: Path) -> str:
    """Tables of each size of a grid, whose results lie in the folder of its name beside it."""
    found = compare([grid.with_suffix("")], controls=AGAINST)
    parts = []
    for size in dict.fromkeys(mean.size for mean in found.means):
        done = {mean.arm for mean in found.means if mean.size == size}
        arms = [arm for arm in load_grid(grid).arms if arm in done]
        parts += [
            f"{size:,} sentences and as many pairs, {found.split}: mean and standard deviation "
            "over seeds.",
            _means([mean for mean in found.means if mean.size == size], arms),
        ]
        for control in AGAINST:
            own = [d for d in found.differences if (d.size, d.control) == (size, control)]
            if own:
                parts += [f"Less `{control}`, with p:", _differences(own, arms)]
        parts += ["Cost of training a model, on average:", _costs(found, size, arms)]
    return "\n\n".join(parts)


def _means(means: Sequence[Mean], arms: Iterable[str]) -> str:
    found = {(mean.arm, mean.task): mean for mean in means}
    rows = []
    for arm in arms:
        own = [found[arm, task] for task in TASKS]
        rows.append([f"`{arm}`", str(own[0].seeds), *map(_mean, own)])
    head = ("arm", "seeds", *(f"{task} {found[arms[0], task].metric}" for task in TASKS))
    return piped(head, rows, texts={"arm"})


def _mean(mean: Mean) -> str:
    places = 3 if mean.metric == "pearson" else 1
    spread = "" if mean.spread is None else f" ± {mean.spread:.{places}f}"
    return f"{mean.mean:.{places}f}{spread}"


def _differences(differences: Sequence[Difference], arms: Iterable[str]) -> str:
    found: Mapping[tuple[str, str], Difference] = {(d.arm, d.task): d for d in differences}
    rows = [
        [f"`{arm}`", *(cell(found[arm, task]) for task in TASKS)]
        for arm in arms
        if (arm, TASKS[0]) in found
    ]
    return piped(("arm", *TASKS), rows, texts={"arm"})


def cell(difference: Difference) -> str:
    """The difference as a cell: bold where p is small, p in brackets."""
    places = 3 if difference.metric == "pearson" else 1
    shown = f"{difference.mean:+.{places}f}"
    if difference.p is None:
        return shown
    return f"{f'**{shown}**' if difference.p < SURE else shown} ({difference.p:.3f})"


def _costs(found: Comparison, size: int | None, arms: Iterable[str]) -> str:
    costs = {cost.arm: cost for cost in found.costs if cost.size == size}
    rows = [
        [
            f"`{arm}`",
            f"{costs[arm].steps:,.0f}",
            f"{costs[arm].words:,.0f}",
            f"{costs[arm].seconds / 60:.1f}",
            f"{costs[arm].parameters:,.0f}",
            _rate(found, size, arm),
        ]
        for arm in arms
    ]
    head = ("arm", "steps", "encoder words", "minutes", "parameters", "rate")
    return piped(head, rows, texts={"arm"})


def _rate(found: Comparison, size: int | None, arm: str) -> str:
    """The rate that was chosen on dev, of encoder and heads alike where both are tuned."""
    rates = dict.fromkeys(found.changes[f"{arm}, {size:,} sentences"].values())
    return ", ".join(f"{rate:g}" for rate in rates)
