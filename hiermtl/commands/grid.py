"""`hiermtl grid`: an experiment of many runs, which can be broken off and gone on with."""

import json
import multiprocessing
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from hiermtl.atomic import write_whole
from hiermtl.commands.compare import RESULTS, scored
from hiermtl.commands.tasks import main_tasks
from hiermtl.commands.train import train
from hiermtl.corpus.cache import digest
from hiermtl.errors import DataError, RecipeError, RunError, listing
from hiermtl.evaluation.best import main_score
from hiermtl.evaluation.comparable import check_comparable
from hiermtl.evaluation.compare import Comparison, compare_results
from hiermtl.evaluation.results import RunResult, read_result
from hiermtl.folders import RECIPE
from hiermtl.recipe import Recipe
from hiermtl.recipe.grid import Grid, load_grid
from hiermtl.recipe.resolved import RESUMABLE, chosen
from hiermtl.shapes import TRAINING, keep_shapes

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
        """Changes with every key of the recipe that may change a number and is not the default."""
        silent = RESUMABLE | {"name", "description"}
        return digest({k: value for k, value in chosen(self.recipe).items() if k not in silent})


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

    Every recipe is checked before anything is trained, and an arm that cannot be set against a
    control ends the grid as soon as both have results. Results lie in `output/results`, one small
    file per run, and are kept; runs lie in `output/runs` until they are scored.

    Args:
        file: The grid, a YAML file.
        output: Where runs and results lie. Default: `runs/<name of the file>`.
        jobs: Runs at a time, which share the processor's cores.
        keep: Whether trained models are kept.
        data_dir: Where corpora lie, instead of HIERMTL_DATA.
        quiet: Shows nothing.

    Raises:
        HiermtlError: Its message gives the value, what is allowed and the next step. RunError where
            a process died.
    """
    keep_shapes(TRAINING)  # processes of jobs begin with it
    if jobs < 1:
        raise RecipeError(f"jobs is {jobs}; allowed is 1 or more")
    plan = load_grid(file)
    folder = Path(output) if output is not None else Path("runs") / plan.source.stem
    if folder.exists() and not folder.is_dir():
        raise RecipeError(f"{folder} is a file; name a folder for runs and results with -o")
    run = _Runner(
        folder,
        plan.split,
        plan.against(),
        jobs=jobs,
        gap=plan.gap,
        keep=keep,
        data_dir=data_dir,
        quiet=quiet,
    )
    sizes: Sequence[int | None] = plan.sizes or (None,)
    groups = [_Group.of(plan, arm, size) for size in sizes for arm in plan.arms]
    results = [read_result(run.result(job)) for job in run.all(groups)]
    return compare_results(results, controls=plan.against())


@dataclass(frozen=True, slots=True)
class _Group:
    """An arm at a size: for each candidate a job per seed; the first seed's are tuned."""

    candidates: tuple[tuple[Job, ...], ...]

    @classmethod
    def of(cls, plan: Grid, arm: str, size: int | None) -> "_Group":
        """Of a plan; builds every recipe, so that a wrong one is refused before anything is run."""
        candidates = list(plan.tune) or [{}]
        return cls(
            tuple(
                tuple(_job(plan, arm, size, seed, place, changes) for seed in plan.seeds)
                for place, changes in enumerate(candidates)
            )
        )

    @property
    def tuned(self) -> list[Job]:
        """The jobs that choose a candidate; none where there is one only."""
        return [jobs[0] for jobs in self.candidates] if len(self.candidates) > 1 else []

    @property
    def count(self) -> int:
        """How many jobs there are, tuned and scored."""
        return len(self.tuned) + len(self.candidates[0])


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
    controls: Sequence[str]
    jobs: int
    gap: bool
    keep: bool
    data_dir: str | Path | None
    quiet: bool
    finished: list[RunResult] = field(default_factory=list)

    def result(self, job: Job) -> Path:
        """Where the job's result lies."""
        return self.folder / RESULTS / f"{job.name}.json"

    def all(self, groups: Sequence[_Group]) -> list[Job]:
        """Does what has no result, group by group, and returns the jobs that are compared.

        A job waits for its group's tuning alone, and earlier groups go first: an experiment that is
        broken off has whole arms.
        """
        total, done = sum(group.count for group in groups), 0
        scored: list[list[Job]] = [[] for _ in groups]
        lines = [_Line(self._stages(*pair)) for pair in zip(groups, scored, strict=True)]
        running: dict[Future[str], tuple[_Line, _Task]] = {}
        with self._pool() as pool:
            while True:
                for line in lines:
                    done += line.advance()
                    while line.ready and len(running) < self.jobs:
                        task = line.ready.popleft()
                        line.running += 1
                        running[self._submitted(pool, task)] = line, task
                if not running:
                    return [job for own in scored for job in own]
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    line, task = running.pop(future)
                    line.running -= 1
                    done += 1
                    said = future.result()
                    if not self.quiet:
                        told = f"{done} of {total}  {task.job.name}  {said}"
                        print(told, file=sys.stderr, flush=True)  # noqa: T201

    def _stages(self, group: _Group, scored: list[Job]) -> Iterator[list["_Task"]]:
        """The tasks of a group that can be done side by side, then those that wait for these."""
        places = [self.folder / TUNING / f"{job.name}.json" for job in group.tuned]
        yield [_Task(_tune, *pair) for pair in zip(group.tuned, places, strict=True)]
        mains = [self._main(*pair) for pair in zip(group.tuned, places, strict=True)]
        scored += group.candidates[mains.index(max(mains)) if mains else 0]
        yield [_Task(_score, job, self.result(job)) for job in scored]
        for job in scored:
            path = self.result(job)
            result = read_result(path)
            self._check_comparable(result)
            self._check(job, path, result.fingerprint)
            other = sorted({row.split for row in result.rows} - {self.split})
            if other:
                raise RecipeError(
                    f"{path} is of split {listing(other)}, and the grid is of {self.split}; delete "
                    "it to run it again, or give another folder with -o"
                )
            if self.gap and not result.train:
                raise RecipeError(
                    f"{path} was made before the grid had gap: true, and its model is gone; delete "
                    "it to run it again, or take gap away"
                )
        for job in group.tuned if not self.keep else ():
            shutil.rmtree(self.folder / RUNS / job.name, ignore_errors=True)

    def _main(self, job: Job, path: Path) -> float:
        """The main score on dev of a job that was tuned."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            main, fingerprint = float(data["main"]), data["fingerprint"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"no result of tuning ({type(error).__name__}: {error}); delete it to run it again",
                path,
            ) from None
        self._check(job, path, fingerprint)
        return main

    def _check(self, job: Job, path: Path, fingerprint: str) -> None:
        if fingerprint != job.fingerprint:
            raise RecipeError(
                f"{path} was made by another recipe of arm {job.arm!r} than the grid has now; "
                "delete it to run it again, or give another folder with -o"
            )

    def _check_comparable(self, result: RunResult) -> None:
        """With the first result of each arm before, of that size, if one of both is a control.

        Raises RecipeError, which says in what they differ.
        """
        for other in self.finished:
            if other.size == result.size and {other.arm, result.arm} & set(self.controls):
                tasks = {row.task for row in other.rows} & {row.task for row in result.rows}
                check_comparable([other, result], sorted(tasks))
        if (result.arm, result.size) not in {(own.arm, own.size) for own in self.finished}:
            self.finished.append(result)

    def _submitted(self, pool: Executor, task: "_Task") -> Future[str]:
        place = self.folder / RUNS / task.job.name
        options = {
            "split": self.split,
            "gap": self.gap,
            "keep": self.keep,
            "data_dir": self.data_dir,
        }
        return pool.submit(task.function, task.job, place, task.target, **options)

    @contextmanager
    def _pool(self) -> Iterator[Executor]:
        """Where tasks are done: in this process, or in others that share its threads."""
        if self.jobs == 1:
            yield _Here()
            return
        pool = ProcessPoolExecutor(
            self.jobs,
            multiprocessing.get_context("spawn"),
            initializer=torch.set_num_threads,
            initargs=(max(1, torch.get_num_threads() // self.jobs),),
        )
        try:
            yield pool
        except BrokenProcessPool as error:
            raise RunError(
                f"one of {self.jobs} processes died, perhaps because memory ran out; start the "
                "grid again, which goes on with what is not done, with fewer --jobs"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


class _Here(Executor):
    """Does a task at once, in the caller."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The finished task."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@dataclass(frozen=True, slots=True)
class _Task:
    """Something to do for a job; it is done when its target exists."""

    function: Callable[..., str]
    job: Job
    target: Path


@dataclass(slots=True)
class _Line:
    """The tasks of a group: stages, what can be started of the present one, what is running."""

    stages: Iterator[list[_Task]]
    ready: deque[_Task] = field(default_factory=deque)
    running: int = 0

    def advance(self) -> int:
        """Enters the next stage when the present one is done; returns what was done before."""
        before = 0
        while not self.ready and not self.running:
            tasks = next(self.stages, None)
            if tasks is None:
                break
            self.ready += [task for task in tasks if not task.target.exists()]
            before += len(tasks) - len(self.ready)
        return before


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
        gap=options["gap"],
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
