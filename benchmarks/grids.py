"""The results of grids as tables of pages: means, differences to some arms, gaps, costs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from benchmarks.tables import piped
from hiermtl.commands import compare
from hiermtl.commands.compare import RESULTS
from hiermtl.evaluation.compare import Comparison, Difference, Mean, compare_results
from hiermtl.evaluation.compare_table import shown_p
from hiermtl.evaluation.results import RunResult, read_result
from hiermtl.evaluation.scores import ScoreRow
from hiermtl.recipe.grid import load_grid

SURE = 0.05
"""Differences whose p is smaller when corrected for all of its comparison are in bold."""

EMPTY = "–"
"""What stands where there is no result yet."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """A grid, whose results lie in the folder of its name beside it, and how a page tells it.

    `against` are the arms that others are set against, `counted` what its sizes count.
    """

    grid: Path
    against: tuple[str, ...]
    counted: str = "sentences"

    @property
    def folder(self) -> Path:
        """Where its results lie."""
        return self.grid.with_suffix("")

    def markdown(self) -> str:
        """Tables of each size; nothing where there is no result."""
        results = kept_results(self.folder)
        if not results:
            return ""
        there = {result.arm for result in results}
        against = [arm for arm in self.against if arm in there]
        found, arms = compare([self.folder], controls=against), list(load_grid(self.grid).arms)
        parts = []
        for size in dict.fromkeys(mean.size for mean in found.means):
            means = [mean for mean in found.means if mean.size == size]
            tasks = list(dict.fromkeys(mean.task for mean in means))
            many = f"{'All' if size is None else f'{size:,}'} {self.counted}"
            parts += [
                f"{many}, {found.split}: mean and standard deviation over seeds.",
                _means(means, arms, tasks),
            ]
            for control in against:
                own = [d for d in found.differences if (d.size, d.control) == (size, control)]
                if own:
                    others = [arm for arm in arms if arm != control]
                    parts += [f"Less `{control}`, with p:", _differences(own, others, tasks)]
            of_size = [result for result in results if result.size == size]
            if any(result.train for result in of_size):
                parts += [
                    "What was trained on, scored as dev is, less dev:",
                    _gaps(of_size, arms, tasks),
                ]
            parts += ["Cost of training a model, on average:", _costs(found, size, arms)]
        return "\n\n".join(parts)


@dataclass(frozen=True, slots=True)
class Trials:
    """A grid whose arms are others under some trial, named `ARM_TRIAL`, and how a page tells it.

    `beside` has the arms without it; `trials` is what each does, by its name.
    """

    grid: Path
    beside: Experiment
    trials: Mapping[str, str]
    control: str = "hard"

    def markdown(self) -> str:
        """For each trial means, what it took from each arm, and differences to the control."""
        results, without = (
            kept_results(folder) for folder in (self.grid.with_suffix(""), self.beside.folder)
        )
        parts = []
        for trial, said in self.trials.items():
            arms = [arm for arm in load_grid(self.grid).arms if arm.endswith(f"_{trial}")]
            for size in dict.fromkeys(r.size for r in results if r.arm in arms):
                own = [r for r in results if r.arm in arms and r.size == size]
                others = [r for r in without if r.size == size]
                parts += self._told(trial, said, arms, own, others)
        return "\n\n".join(parts)

    def _told(
        self,
        trial: str,
        said: str,
        arms: Sequence[str],
        own: Sequence[RunResult],
        others: Sequence[RunResult],
    ) -> list[str]:
        control = f"{self.control}_{trial}"
        there = control in {result.arm for result in own}
        found = compare_results(own, controls=[control] if there else [])
        tasks = list(dict.fromkeys(mean.task for mean in found.means))
        parts = [f"{said}:", _means(found.means, arms, tasks)]
        taken = [
            difference
            for arm in arms
            for difference in self._taken(arm, arm.removesuffix(f"_{trial}"), own, others)
        ]
        if taken:
            parts += ["Less the same arm without, with p:", _differences(taken, arms, tasks)]
        if found.differences:
            rest = [arm for arm in arms if arm != control]
            parts += [f"Less `{control}`, with p:", _differences(found.differences, rest, tasks)]
        return parts

    @staticmethod
    def _taken(
        arm: str, without: str, own: Sequence[RunResult], others: Sequence[RunResult]
    ) -> Sequence[Difference]:
        pair = [r for r in others if r.arm == without], [r for r in own if r.arm == arm]
        if not all(pair):
            return ()
        return compare_results([*pair[0], *pair[1]], controls=[without]).differences


def kept_results(folder: Path) -> list[RunResult]:
    """The results that a grid has left."""
    return [read_result(file) for file in sorted((folder / RESULTS).glob("*.json"))]


def _means(means: Sequence[Mean], arms: Iterable[str], tasks: Sequence[str]) -> str:
    found = {(mean.arm, mean.task): mean for mean in means}
    metrics = {mean.task: mean.metric for mean in means}
    rows = []
    for arm in arms:
        own = [found.get((arm, task)) for task in tasks]
        seeds = next((str(mean.seeds) for mean in own if mean), EMPTY)
        rows.append([f"`{arm}`", seeds, *map(_mean, own)])
    head = ("arm", "seeds", *(f"{task} {metrics[task]}" for task in tasks))
    return piped(head, rows, texts={"arm"})


def _mean(mean: Mean | None) -> str:
    if mean is None:
        return EMPTY
    places = _places(mean.metric)
    spread = "" if mean.spread is None else f" ± {mean.spread:.{places}f}"
    return f"{mean.mean:.{places}f}{spread}"


def _places(metric: str) -> int:
    """How many decimals a score has."""
    return 3 if metric == "pearson" else 1


def _differences(
    differences: Sequence[Difference], arms: Iterable[str], tasks: Sequence[str]
) -> str:
    found: Mapping[tuple[str, str], Difference] = {(d.arm, d.task): d for d in differences}
    rows = [
        [f"`{arm}`", *(cell(found[arm, t]) if (arm, t) in found else EMPTY for t in tasks)]
        for arm in arms
    ]
    return piped(("arm", *tasks), rows, texts={"arm"})


def cell(difference: Difference) -> str:
    """The difference as a cell: bold where corrected p is small, p of it alone in brackets."""
    shown = f"{difference.mean:+.{_places(difference.metric)}f}"
    if difference.p is None or difference.p_holm is None:
        return shown
    sure = difference.p_holm < SURE
    return f"{f'**{shown}**' if sure else shown} ({shown_p(difference.p)})"


def _gaps(results: Sequence[RunResult], arms: Iterable[str], tasks: Sequence[str]) -> str:
    rows = []
    for arm in arms:
        own = [result for result in results if result.arm == arm and result.train]
        rows.append([f"`{arm}`", *(_gap(own, task) for task in tasks)])
    return piped(("arm", *tasks), rows, texts={"arm"})


def _gap(results: Sequence[RunResult], task: str) -> str:
    pairs = [(_main(r.train, task), _main(r.dev, task)) for r in results]
    known = [(train, dev) for train, dev in pairs if train and dev]
    if not known:
        return EMPTY
    gap = fmean(train.score - dev.score for train, dev in known)
    return f"{gap:+.{_places(known[0][0].metric)}f}"


def _main(rows: Iterable[ScoreRow], task: str) -> ScoreRow | None:
    """The row of the task's main metric."""
    return next((row for row in rows if row.task == task), None)


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
        if arm in costs
        else [f"`{arm}`", *[EMPTY] * 5]
        for arm in arms
    ]
    head = ("arm", "steps", "encoder words", "minutes", "parameters", "rate")
    return piped(head, rows, texts={"arm"})


def _rate(found: Comparison, size: int | None, arm: str) -> str:
    """The rate that was chosen on dev, of encoder and heads alike where both are tuned."""
    label = arm if size is None else f"{arm}, {size:,} sentences"
    return ", ".join(str(rate) for rate in dict.fromkeys(found.changes[label].values()))
