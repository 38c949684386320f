"""Annotation on a cluster, by Ray Data: parts of files in, a file for each part out.

The driver cuts the input into parts and writes down what is to be done; workers, each with a model
of its own, read, annotate and write one part after the other. A part's file gets its name when it
is whole, so that a part that is done twice, because a worker died, is there once, and what is there
when a job is started again is not done again.
"""

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from hiermtl._version import __version__
from hiermtl.annotation.annotator import Annotator, load
from hiermtl.annotation.files import AnnotateReport, annotate_jobs, writable
from hiermtl.annotation.jobs import Job, plan_into
from hiermtl.annotation.parquet import open_parquet
from hiermtl.annotation.reading import PARQUET, STANDARD, Part
from hiermtl.atomic import write_whole
from hiermtl.errors import HiermtlError, RecipeError, RunError, listing, nearest

RECORDS = 10_000
"""Records in a part of a `.jsonl` or `.parquet` file; of others each file is a part."""

JOB, DONE = "_job.json", "_SUCCESS"
"""Files of the output folder: what is to be done, and that it is."""

LOCK = ".lock.tmp"
"""A file there while a command writes to the folder."""

DEVICES = ("cpu", "cuda")
"""Where workers can compute."""

_READ = 1 << 24


def annotate_on_cluster(
    model: str | Path,
    source: str | Path,
    output: str | Path,
    *,
    tasks: Iterable[str] | None = None,
    format: str | None = None,
    source_format: str | None = None,
    precision: str | None = None,
    device: str = "cpu",
    workers: int = 0,
    records: int = RECORDS,
    told: Callable[[int, int], None] | None = None,
) -> AnnotateReport:
    """Annotates a file or a folder of files into a folder, on Ray's cluster or one started here.

    Model, input and output must lie where all machines see them. A job that was broken off goes on
    when it is started again; the report counts what was done this time.

    Args:
        model: A model folder, a shipped model's name, or a hub id.
        source: A file or folder, as for `annotate_files`.
        output: A folder that is absent, empty, or that of the same job.
        tasks: Default: all that the output format has a place for.
        format: As for `annotate_files`. Default: like the input.
        source_format: Of a file. Default: by its ending.
        precision: As for `load`.
        device: `cpu`, or `cuda` for a graphics processor for each worker.
        workers: How many; 0 for one on each core, or graphics processor, of the cluster.
        records: How many lines or rows make a part.
        told: Is told how many parts are done, and of how many.

    Raises:
        ModelError: The model, a task or the precision is not there.
        DataError: The input is missing or malformed; what was done until then stays.
        RecipeError: Formats, tasks or places do not go together, the folder is another job's, or
            another command is writing to it, or Ray is not installed.
        RunError: Something cannot be written, or Ray gave up.
    """
    ray = _ray()
    if device not in DEVICES:
        raise RecipeError(
            f"device {device!r}; of a cluster's workers allowed are {listing(DEVICES)}"
            f"{nearest(device, DEVICES)}"
        )
    nlp = load(model, precision=precision)
    if str(source) == STANDARD or str(output) == STANDARD:
        raise RecipeError(
            "a cluster reads and writes files, not standard input or output; name a file or "
            "folder, and a folder for the output"
        )
    folder = Path(output).absolute()
    whole, skipped = plan_into(
        os.path.abspath(source), str(folder), format=format, source_format=source_format
    )
    jobs = [part for job in whole for part in _parts(job, records)]
    names, left_out = writable(nlp, tasks, {job.format for job in jobs})
    said = {
        **_said(nlp, names),
        "input": os.path.abspath(source),
        "formats": sorted({job.format for job in jobs}),
        "records": records,
    }
    with _alone(folder):
        _begin(folder, said, jobs)
        todo = [job for job in jobs if not os.path.exists(job.target)]
        if todo:
            (folder / DONE).unlink(missing_ok=True)
        asked = _Asked(
            str(Path(model).absolute()) if Path(model).exists() else str(model),
            nlp.precision if device == "cpu" else precision,
            device,
            names,
        )
        there = len(jobs) - len(todo)
        total = AnnotateReport(0, 0, 0.0, 0, 0, names, left_out, tuple(skipped), there)
        for found in _done(ray, asked, todo, workers=workers):
            total = replace(
                total,
                sentences=total.sentences + found["sentences"],
                words=total.words + found["words"],
                documents=total.documents + found["documents"],
                cut=total.cut + found["cut"],
                files=total.files + 1,
                seconds=found["seconds"],
            )
            if told is not None:
                told(there + total.files, len(jobs))
        missing = [job.target for job in jobs if not os.path.exists(job.target)]
        if missing:
            raise RunError(
                f"{len(missing)} of {len(jobs)} parts were not written, {missing[0]} among them; "
                f"check that all machines see {folder}, and start again"
            )
        for left in folder.rglob(".*.tmp"):
            left.unlink(missing_ok=True)
        write_whole(folder / DONE, "")
        return total


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a worker is to do with parts."""

    model: str
    precision: str | None
    device: str
    names: tuple[str, ...]


class _Worker:
    """An actor of Ray Data: a model, and the parts it is given one after the other.

    What it is to do is part of the class that is sent: an argument would lie in Ray's store, from
    which it can be lost to an actor that is started again.
    """

    asked: _Asked

    def __init__(self) -> None:
        # Ray says how many cores a worker has.
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        asked = self.asked
        self._nlp: Annotator | HiermtlError
        try:
            self._nlp = load(asked.model, device=asked.device, precision=asked.precision)
        except HiermtlError as error:
            self._nlp = error

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        return {"said": [json.dumps(self._annotated(str(part))) for part in batch["part"]]}

    def _annotated(self, part: str) -> dict[str, Any]:
        given = json.loads(part)
        where = given.pop("part")
        job = Job(**given, part=None if where is None else Part(**where))
        try:
            if isinstance(self._nlp, HiermtlError):
                raise self._nlp
            report = annotate_jobs(self._nlp, [job], self.asked.names)
        except HiermtlError as error:
            return {"error": str(error), "kind": type(error).__name__}
        return {key: getattr(report, key) for key in ("sentences", "words", "documents", "cut")}


def _ray() -> Any:
    # Nothing is reported to Ray's makers, and what it says to its own developers is not shown.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise RecipeError(
            f"the engine 'ray' needs Ray Data ({error}); install it with "
            "`pip install 'hiermtl[ray]'`, or leave the engine out"
        ) from None
    return ray


def _done(ray: Any, asked: _Asked, jobs: Sequence[Job], *, workers: int) -> Iterator[Any]:
    """What was counted in each part, as parts are done, with the seconds since the first began.

    Raises:
        HiermtlError: That of a part.
        RunError: Ray gave up.
    """
    if not jobs:
        return
    started = time.perf_counter()
    own = not ray.is_initialized()
    if own:
        ray.init(logging_level="ERROR", log_to_driver=False, include_dashboard=False)
    try:
        kind = "GPU" if asked.device == "cuda" else "CPU"
        there = int(ray.cluster_resources().get(kind, 0))
        if not there:
            raise RunError(f"Ray's cluster has no {kind}; give it one, or name another --device")
        count = min(workers or there, len(jobs))
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        items = [{"part": json.dumps(asdict(job))} for job in jobs]
        results = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            type("Worker", (_Worker,), {"asked": asked}),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=count),
            **({"num_gpus": 1} if kind == "GPU" else {"num_cpus": 1}),
        )
        for row in results.iter_rows():
            found = json.loads(row["said"])
            if "error" in found:
                kinds = {error.__name__: error for error in HiermtlError.__subclasses__()}
                raise kinds.get(found["kind"], RunError)(found["error"])
            yield {**found, "seconds": time.perf_counter() - started}
    except ray.exceptions.RayError as error:
        reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), "")
        raise RunError(
            f"Ray gave up ({type(error).__name__}: {reason.strip()}); start again, and parts that "
            "are done are not done again"
        ) from error
    finally:
        if own:
            ray.shutdown()


def _parts(job: Job, records: int) -> list[Job]:
    """A file in parts of so many lines or rows, in files that are numbered."""
    if job.source_format == PARQUET:
        rows = open_parquet(job.source).metadata.num_rows
        edges = [Part(at, min(at + records, rows)) for at in range(0, rows, records)]
    elif job.source_format == "jsonl" and not job.source.endswith(".gz"):
        edges = _line_parts(job.source, records)
    else:
        edges = []
    if len(edges) < 2:
        return [job]
    place = Path(job.target)
    return [
        replace(
            job,
            target=str(place.with_name(f"{place.stem}-{at:05}-of-{len(edges):05}{place.suffix}")),
            part=part,
        )
        for at, part in enumerate(edges)
    ]


def _line_parts(path: str, records: int) -> list[Part]:
    """Parts of so many lines each, without reading lines as text."""
    parts: list[Part] = []
    begin = offset = lines = 0
    with open(path, "rb") as file:
        while block := file.read(_READ):
            at = 0
            while (found := block.find(b"\n", at)) >= 0:
                at = found + 1
                lines += 1
                if lines % records == 0:
                    parts.append(Part(begin, offset + at, lines - records + 1))
                    begin = offset + at
            offset += len(block)
    if offset > begin:
        parts.append(Part(begin, offset, lines - lines % records + 1))
    return parts


def _said(nlp: Annotator, names: Sequence[str]) -> dict[str, Any]:
    """What all parts of a job have in common: version, weights, number type and tasks."""
    digest = hashlib.sha256(nlp.model.config.to_json_string().encode())
    for name, value in sorted(nlp.model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return {
        "version": __version__,
        "model": digest.hexdigest()[:16],
        "precision": nlp.precision,
        "tasks": list(names),
    }


def _of_part(job: Job) -> list[Any]:
    """What makes a part the same: its file as it is now, and where in it the part lies."""
    state = os.stat(job.source)
    part = job.part
    range_ = [] if part is None else [part.begin, part.end]
    return [os.path.abspath(job.source), state.st_size, state.st_mtime_ns, *range_]


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Makes the output folder, and inside keeps other commands from writing to it.

    A lock ends with the process that holds it. Where a file system has none, nothing is kept.

    Raises:
        RecipeError: Another command is writing to it.
        RunError: It cannot be made.
    """
    place = folder / LOCK
    try:
        folder.mkdir(exist_ok=True)
        file = place.open("ab")
    except OSError as error:
        raise RunError(f"{folder}: cannot be used ({error.strerror}); name another") from error
    with file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecipeError(
                f"another command is writing to the folder {folder}; wait until it has ended, or "
                "name another folder"
            ) from None
        except (ImportError, OSError):
            pass
        try:
            yield
        finally:
            place.unlink(missing_ok=True)


def _begin(folder: Path, said: dict[str, Any], jobs: Sequence[Job]) -> None:
    """Makes the output folder this job's, or finds it to be.

    Parts whose input has changed since, or is no longer there, are removed.

    Raises:
        RecipeError: It holds something else.
        RunError: It cannot be read.
    """
    parts = {os.path.relpath(job.target, folder): _of_part(job) for job in jobs}
    file = folder / JOB
    try:
        there = [path for path in folder.iterdir() if not path.name.endswith(".tmp")]
        if there and not file.exists():
            raise RecipeError(
                f"the folder {folder} is not empty, and not that of a job on a cluster; name "
                "another, or empty it"
            )
        before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {**said}
        if not isinstance(before, dict) or not isinstance(before.get("parts", {}), dict):
            raise ValueError(before)
        differ = [key for key in said if before.get(key) != said[key]]
        if differ:
            raise RecipeError(
                f"the folder {folder} is that of a job with another {listing(differ)}; name "
                "another folder, or remove this one"
            )
        for name, made_of in before.get("parts", {}).items():
            if parts.get(name) != made_of:
                (folder / name).unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its _job.json is damaged"
        raise RunError(f"{folder}: cannot be used ({reason}); name another") from error
    write_whole(file, json.dumps({**said, "parts": parts}, indent=1) + "\n")
