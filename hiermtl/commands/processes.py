"""Several processes that train one run: started here, or by `torchrun` or `accelerate launch`.

What one process cannot go on from ends all of them, with its message.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

from hiermtl import errors
from hiermtl.errors import HiermtlError, RecipeError, RunError
from hiermtl.last_word import VARIABLE
from hiermtl.recipe import Recipe, resolved
from hiermtl.sharing import SHARING
from hiermtl.training import make_accelerator
from hiermtl.training.loop import BACKEND
from hiermtl.training.shards import check_scheme

LAUNCHERS = ("WORLD_SIZE", "ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID")
"""What launchers set in the environment of the processes they start."""

PATIENCE = 60.0
"""Seconds that processes have to write a checkpoint when they are asked to end."""

ORDER, ERROR, OUTPUT = "order.json", "error-{rank}.json", "output-{rank}.txt"
LINES = 12
ENDED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Exit codes of processes that were asked to end."""


def launched() -> bool:
    """Whether a launcher has started this process, perhaps as one of several."""
    return any(name in os.environ for name in LAUNCHERS)


def check_processes(asked: int) -> None:
    """Raises RecipeError when fewer processes run than are asked for, or DeepSpeed is."""
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false") == "true":
        raise RecipeError(
            "accelerate's configuration asks for DeepSpeed, which is not supported; set "
            "distributed_type to MULTI_GPU, and training.shard=true where weights do not fit into "
            "one device"
        )
    if asked > 1 and (found := make_accelerator().num_processes) < asked:
        raise RecipeError(
            f"training.processes is {asked}, but the launcher started {found}; use `torchrun "
            f"--nproc-per-node {asked} -m hiermtl train ...`, or no launcher and `hiermtl train "
            f"... --processes {asked}`"
        )


def check_shard(recipe: Recipe) -> None:
    """Raises RecipeError where weights are to be held in parts, but cannot be.

    As far as a recipe says it. A launcher may start more processes than the recipe knows of.
    """
    if not recipe.training.shard:
        return
    check_scheme(SHARING[recipe.sharing.name])
    if recipe.training.processes == 1 and not launched():
        raise RecipeError(
            "training.shard is true, but training.processes is 1, so that one process would hold "
            "all parts; set training.processes to 2 or more (--processes N), or leave "
            "training.shard out"
        )


@contextmanager
def first_on_each_machine() -> Iterator[None]:
    """What is cached is made by one process of a machine; the others wait and read it."""
    if not launched():
        yield
        return
    make_accelerator()
    with PartialState().local_main_process_first():
        yield


def share(command: str, recipe: Recipe, **options: Any) -> None:
    """Runs a command on a recipe in as many processes as it asks for, with these options.

    Raises:
        HiermtlError: That of the first process that failed.
    """
    count = recipe.training.processes
    with tempfile.TemporaryDirectory(prefix="hiermtl-") as name:
        place = Path(name)
        found = {"source": recipe.source, "folders": recipe.folders}
        order = {"command": command, "options": options, "recipe": resolved(recipe), **found}
        (place / ORDER).write_text(json.dumps(order, default=str), encoding="utf-8")
        # Processes meet at a store that is there before they are, so that no port can be taken.
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        group = [_start(place, rank, count, store.port) for rank in range(count)]
        try:
            _wait(group, place)
        except (KeyboardInterrupt, SystemExit):
            _end(group, within=PATIENCE)
            raise
        finally:
            _end(group, within=0)


def _start(place: Path, rank: int, count: int, port: int) -> subprocess.Popen[bytes]:
    """One process; all but the first write to a file what they have to say."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = str(max(1, (cores or 1) // count))
    told = {
        "LOCAL_RANK": rank,
        "LOCAL_WORLD_SIZE": count,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "RANK": rank,
        VARIABLE: place / ERROR.format(rank=rank),
        "TORCHELASTIC_USE_AGENT_STORE": True,
        "WORLD_SIZE": count,
        **_shared_device(rank, count),
    }
    with (place / OUTPUT.format(rank=rank)).open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "hiermtl.commands.member", str(place), str(rank)],
            env={"OMP_NUM_THREADS": threads, **os.environ, **{k: str(v) for k, v in told.items()}},
            stdin=subprocess.PIPE,
            stderr=None if rank == 0 else file,
            # A key that interrupts the terminal's processes is passed on once, by the parent.
            start_new_session=True,
        )


def _shared_device(rank: int, count: int) -> dict[str, Any]:
    """Where graphics processors are fewer than processes: which of them this one takes.

    NCCL lets no two processes have the same one, gloo does.
    """
    there = torch.cuda.device_count()
    if not 0 < there < count:
        return {}
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = named.split(",") if named else [str(number) for number in range(there)]
    return {"CUDA_VISIBLE_DEVICES": names[rank % there], "LOCAL_RANK": 0, BACKEND: "gloo"}


def _wait(group: list[subprocess.Popen[bytes]], place: Path) -> None:
    """Until all are done or one has failed."""
    while None in [process.poll() for process in group]:
        if any(process.returncode for process in group):
            break
        time.sleep(0.05)
    codes = [process.returncode for process in group]
    if not any(codes):
        return
    # When one ends, others may fail for want of it; the first to say so is the cause, unless the
    # cause had no time to speak.
    killed = [rank for rank, code in enumerate(codes) if code is not None and code < 0]
    said = sorted(filter(None, (_said(place, rank) for rank in range(len(group)))))
    if said and not killed:
        raise _error(said[0])
    failed = killed or [rank for rank, code in enumerate(codes) if code]
    if codes[failed[0]] in ENDED:
        # One was asked to end; the others do as it did.
        _end(group, within=PATIENCE)
        sys.exit(codes[failed[0]])
    raise _death(group, failed[0], place)


def _said(place: Path, rank: int) -> tuple[float, int, str, str] | None:
    """When a process failed, its rank, the class of its error and the message."""
    file = place / ERROR.format(rank=rank)
    if not file.exists():
        return None
    word = json.loads(file.read_text(encoding="utf-8"))["message"]
    about = word["extraInfo"]
    return about["when"], rank, about["kind"], word["message"]


def _error(said: tuple[float, int, str, str]) -> HiermtlError:
    _, rank, kind, message = said
    known = getattr(errors, kind, None)
    return known(message) if known else RunError(f"process {rank} failed:\n{message}")


def _death(group: list[subprocess.Popen[bytes]], rank: int, place: Path) -> HiermtlError:
    """Of a process that ended without a word."""
    code = group[rank].returncode
    how = f"exit code {code}"
    if code < 0:
        how = f"it was sent {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            how += "; by the system, perhaps, because memory ran out"
    text = (place / OUTPUT.format(rank=rank)).read_text(encoding="utf-8", errors="replace")
    lines = "".join(f"\n{line}" for line in text.splitlines()[-LINES:])
    return RunError(f"process {rank} of {len(group)} has ended ({how}); go on with --resume{lines}")


def _end(group: list[subprocess.Popen[bytes]], *, within: float) -> None:
    """Asks processes to end, and ends those that have not after so many seconds."""
    for process in group:
        if process.poll() is None and within:
            process.terminate()
    end = time.monotonic() + within
    for process in group:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()
