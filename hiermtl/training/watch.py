"""A step that does not end: which process the others wait for, and where it stands.

Each process tells a store, once a second, where it is. When a step has taken longer than it may,
all are read, the one behind is named, and the process ends: it waits inside a collective operation,
from which nothing else can call it back.
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

from hiermtl.errors import RunError
from hiermtl.last_word import leave_word
from hiermtl.training.world import waits

BEAT = 1.0
"""Seconds between two words of a process."""

SILENT = 5 * BEAT
"""Seconds without a word after which a process is taken to be halted or gone."""


class Watch:
    """Watches the steps of this process while it is entered; alone it does nothing."""

    def __init__(self, patience: float) -> None:
        """Takes how many seconds a step may take."""
        self._patience = patience
        self._where: dict[str, Any] = {"step": 0, "doing": "beginning"}
        self._since: float | None = None
        self._over = threading.Event()
        self._beats = 0
        self._store: TCPStore | None = None

    def __enter__(self) -> "Watch":
        """Begins to tell and to look."""
        if dist.is_initialized() and dist.get_world_size() > 1 and "MASTER_PORT" in os.environ:
            host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
            wait = timedelta(seconds=60)
            self._store = TCPStore(host, port, is_master=False, timeout=wait)
            self._tell()
            threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stops."""
        self._over.set()

    @contextmanager
    def at(self, step: int, doing: str = "training") -> Iterator[None]:
        """Around what is timed: a step, or waiting for the others' evaluation."""
        self._where = {"step": step, "doing": doing}
        self._since = time.monotonic()
        yield
        self._since = None

    def doing(self, what: str) -> None:
        """What follows is not timed."""
        self._since = None
        self._where = {**self._where, "doing": what}

    def _run(self) -> None:
        while not self._over.wait(BEAT):
            self._tell()
            since = self._since
            if since is not None and time.monotonic() - since > self._patience:
                said = self._behind()
                if not leave_word(said, kind=RunError.__name__):
                    sys.stderr.write(f"error: {said}\n")
                    sys.stderr.flush()
                os._exit(1)

    def _tell(self) -> None:
        assert self._store is not None
        self._beats += 1
        said = json.dumps({**self._where, "waits": waits(), "beat": self._beats})
        # A store that does not answer must not end the watch.
        with contextlib.suppress(RuntimeError):
            self._store.set(f"hiermtl/where/{dist.get_rank()}", said)

    def _behind(self) -> str:
        """Which process the others wait for."""
        ranks = range(dist.get_world_size())
        before = {rank: self._read(rank) for rank in ranks}
        self._over.wait(SILENT)
        known = {rank: self._read(rank) for rank in ranks}
        silent = {r for r in ranks if known[r] is None or known[r] == before[r]}
        silent.discard(dist.get_rank())
        rank = min(ranks, key=lambda rank: _place(known[rank], silent=rank in silent))
        found = known[rank]
        where = "of which nothing is known"
        if found is not None:
            where = f"at step {found['step'] + 1} ({found['doing']})"
            if rank in silent:
                where += " when it was last heard of"
        return (
            f"step {self._where['step'] + 1} has taken more than {self._patience:g} s on process "
            f"{dist.get_rank()}; the last of all is process {rank}, {where}. See what it does; "
            "go on with --resume. Where steps may take so long, train anew with a larger "
            "training.timeout"
        )

    def _read(self, rank: int) -> Mapping[str, Any] | None:
        assert self._store is not None
        try:
            return json.loads(self._store.get(f"hiermtl/where/{rank}"))
        except RuntimeError:
            return None


def _place(found: Mapping[str, Any] | None, *, silent: bool) -> tuple[bool, int, bool]:
    """Whoever comes first in this order is behind: silent, at an early step, waiting for nobody."""
    if found is None:
        return False, 0, False
    return not silent, found["step"], found["waits"]
