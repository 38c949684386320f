"""`hiermtl grid`: an experiment of many runs, which can be broken off and gone on with."""

import json
import multiprocessing
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from hiermtl.atomic import write_whole
from hiermtl.commands.compare import RESULTS, scored
from hiermtl.commands.corpora import main_tasks
from hiermtl.commands.train import RECIPE, train
from hiermtl.corpus.cache import digest
from hiermtl.errors import DataError, RecipeError
from hiermtl.evaluation.best import main_score
from hiermtl.evaluation.compare import Comparison, compare_results
from hiermtl.evaluation.results import read_result
from hiermtl.recipe import Recipe, resolved
from hiermtl.recipe.grid import Grid, load_grid
from hiermtl.recipe.resolved import RESUMABLE, flattened

RUNS, TUNING = "runs", "tuning"


@dataclass(frozen=True, slots=True)
class Job:
    """One run: an arm at a size, with a candidate's changes and a seed."""

    arm: str
    size: int | None
    seed: int
    candidate: int
    recipe: Recipe
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.arm}-{self.size or 'all'}-{self.candidate}-{self.seed}"

    @property
    def fingerprint(self) -> str:
        """Changes with every key of the recipe that may change a number."""
        silent = RESUMABLE | {"name", "description"}
        keys = flattened(resolved(self.recipe))
        return digest({key: value for key, value in keys.items() if key not in silent})


def grid(
    file: str | Path,
    output: str | Path | None = None,
    *,
    jobs: int = 1,
    keep: bool = False,
    data_dir: str | Path | None = None,
    quiet: bool = False,
) -> Comparison:
    """Trains and scores what is not done yet, and compares all.

    Every recipe is checked before anything is trained. Results lie in `output/results`, one small
    file per run, and are kept; runs lie in `output/runs` until they are scored.

    Args:
        file: The grid, a YAML file.
        output: Where runs and results lie. Default: `runs/<name of the file>`.
        jobs: Runs at a time, which share the processor's cores.
        keep: Whether trained models are kept.
        data_dir: Where corpora lie, instead of HIERMTL_DATA.
        quiet: Shows nothing.

    Raises:
        HiermtlError: Its message gives the value, what is allowed and the next step.
    """
    if jobs < 1:
        raise RecipeError(f"jobs is {jobs}; allowed is 1 or more")
    plan = load_grid(file)
    folder = Path(output) if output is not None else Path("runs") / plan.source.stem
    candidates = list(plan.tune) or [{}]
    sizes: Sequence[int | None] = plan.sizes or (None,)
    groups = [(size, arm) for size in sizes for arm in plan.arms]
    every = {
        (size, arm, place): _job(plan, arm, size, plan.seeds[0], place, changes)
        for size, arm in groups
        for place, changes in enumerate(candidates)
    }
    run = _Runner(folder, plan.split, jobs=jobs, keep=keep, data_dir=data_dir, quiet=quiet)
    chosen = dict.fromkeys(groups, 0)
    if len(candidates) > 1:
        found = run.tune(every.values())
        for size, arm in groups:
            mains = [found[every[size, arm, place].name] for place in range(len(candidates))]
            chosen[size, arm] = mains.index(max(mains))
    final = [
        _job(plan, arm, size, seed, chosen[size, arm], candidates[chosen[size, arm]])
        for size, arm in groups
        for seed in plan.seeds
    ]
    run.score(final)
    run.clear(every.values())
    results = [read_result(run.result(job)) for job in final]
    return compare_results(results, controls=plan.against())


def _job(
    plan: Grid, arm: str, size: int | None, seed: int, candidate: int, changes: Mapping[str, Any]
) -> Job:
    more = {} if size is None else {"training.max_examples": size}
    recipe = plan.recipe(arm, {**changes, **more, "training.seed": seed})
    return Job(arm, size, seed, candidate, recipe, dict(changes))


@dataclass(frozen=True, slots=True)
class _Runner:
    """Does jobs that are not done, several at a time, each in a process of its own."""

    folder: Path
    split: str
    jobs: int
    keep: bool
    data_dir: str | Path | None
    quiet: bool

    def result(self, job: Job) -> Path:
        """Where the job's result lies."""
        return self.folder / RESULTS / f"{job.name}.json"

    def tune(self, jobs: Iterable[Job]) -> dict[str, float]:
        """The main score on dev of each job, by its name."""
        jobs = list(jobs)
        places = {job.name: self.folder / TUNING / f"{job.name}.json" for job in jobs}
        self._all(jobs, _tune, lambda job: places[job.name], "tuning")
        found = {}
        for job in jobs:
            path = places[job.name]
            try:
                data = json.loads(path.read_text(encoding="utf-8"))
                found[job.name], fingerprint = float(data["main"]), data["fingerprint"]
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"no result of tuning ({type(error).__name__}: {error}); delete it to run it "
                    "again",
                    path,
                ) from None
            self._check(job, path, fingerprint)
        return found

    def score(self, jobs: Iterable[Job]) -> None:
        """Trains and scores all that has no result."""
        jobs = list(jobs)
        self._all(jobs, _score, self.result, "run")
        for job in jobs:
            path = self.result(job)
            self._check(job, path, read_result(path).fingerprint)

    def clear(self, jobs: Iterable[Job]) -> None:
        """Deletes runs that were tried and not chosen."""
        for job in jobs if not self.keep else ():
            shutil.rmtree(self.folder / RUNS / job.name, ignore_errors=True)

    def _check(self, job: Job, path: Path, fingerprint: str) -> None:
        if fingerprint != job.fingerprint:
            raise RecipeError(
                f"{path} was made by another recipe of arm {job.arm!r} than the grid has now; "
                "delete it to run it again, or give another folder with -o"
            )

    def _all(
        self,
        jobs: Sequence[Job],
        function: Callable[..., str],
        target: Callable[[Job], Path],
        what: str,
    ) -> None:
        waiting = [job for job in jobs if not target(job).exists()]
        for number, (job, line) in enumerate(self._done(waiting, function, target), 1):
            if not self.quiet:
                left = f"{what} {number} of {len(waiting)}"
                print(f"{left}  {job.name}  {line}", file=sys.stderr, flush=True)  # noqa: T201

    def _done(
        self, jobs: Sequence[Job], function: Callable[..., str], target: Callable[[Job], Path]
    ) -> Iterator[tuple[Job, str]]:
        """The jobs as they end, each with a line on it."""
        options = {"split": self.split, "keep": self.keep, "data_dir": self.data_dir}
        places = {job.name: self.folder / RUNS / job.name for job in jobs}
        if self.jobs == 1:
            for job in jobs:
                yield job, function(job, places[job.name], target(job), **options)
            return
        threads = max(1, torch.get_num_threads() // self.jobs)
        pool = ProcessPoolExecutor(
            self.jobs,
            multiprocessing.get_context("spawn"),
            initializer=torch.set_num_threads,
            initargs=(threads,),
        )
        try:
            futures = {
                pool.submit(function, job, places[job.name], target(job), **options): job
                for job in jobs
            }
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _tune(job: Job, place: Path, target: Path, **options: Any) -> str:
    """Trains a candidate and writes its main score on dev."""
    run = _trained(job, place, options["data_dir"])
    main = main_score(run.scores, main_tasks(job.recipe))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, json.dumps({"main": main, "fingerprint": job.fingerprint}) + "\n")
    return f"dev {main:.2f}"


def _score(job: Job, place: Path, target: Path, **options: Any) -> str:
    """Trains a run unless it is trained, scores it, and deletes its model unless it is kept."""
    _trained(job, place, options["data_dir"])
    result = scored(
        place,
        arm=job.arm,
        size=job.size,
        seed=job.seed,
        changes=job.changes,
        fingerprint=job.fingerprint,
        split=options["split"],
        data_dir=options["data_dir"],
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    result.write(target)
    if not options["keep"]:
        shutil.rmtree(place, ignore_errors=True)
    mains = {row.task: row for row in reversed(result.rows)}
    return "  ".join(f"{task} {row.score:.2f}" for task, row in reversed(mains.items()))


def _trained(job: Job, place: Path, data_dir: str | Path | None) -> Any:
    begun = (place / RECIPE).exists()
    if not begun:
        shutil.rmtree(place, ignore_errors=True)
    run = train(job.recipe, output=place, resume=begun, data_dir=data_dir, quiet=True)
    if not run.scores.rows:
        raise DataError(f"arm {job.arm!r} has no dev data, by which its best weights are chosen")
    return run
