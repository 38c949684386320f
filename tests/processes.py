"""Processes that find each other through gloo, started once and given functions to call."""

import multiprocessing
import os
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from typing import Any

from torch.distributed import TCPStore

PATIENCE = 120
"""Seconds after which an answer is taken to be lost."""


class Processes:
    """`count` processes of one world; each call runs in all of them.

    After an error in one of them all are started anew, since the others may wait for it for ever.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._start()

    def __call__(self, function: Callable[..., Any], *given: Any, **options: Any) -> list[Any]:
        """What the function returns in each process; it must be importable by name."""
        for pipe in self._pipes:
            pipe.send((function, given, options))
        found, failed = [], []
        waiting = list(self._pipes)
        while waiting and not failed:
            ready = wait(waiting, timeout=PATIENCE)
            failed += [] if ready else ["no process answers"]
            for pipe in ready:
                waiting.remove(pipe)
                try:
                    done, value = pipe.recv()
                except EOFError:
                    done, value = False, "it has ended"
                (found if done else failed).append((self._pipes.index(pipe), value))
        if failed:
            self.close()
            self._start()
            raise AssertionError("\n".join(map(str, failed)))
        return [value for _, value in sorted(found, key=lambda pair: pair[0])]

    def close(self) -> None:
        """Ends the processes."""
        for worker in self._workers:
            worker.kill()
            worker.join()

    def _start(self) -> None:
        self._store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._workers = []
        for rank in range(self.count):
            own, other = context.Pipe()
            given = (other, rank, self.count, self._store.port)
            worker = context.Process(target=_serve, args=given, daemon=True)
            worker.start()
            self._pipes.append(own)
            self._workers.append(worker)


def _serve(pipe: Connection, rank: int, count: int, port: int) -> None:
    os.environ.update(
        ACCELERATE_USE_CPU="true",
        LOCAL_RANK=str(rank),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        RANK=str(rank),
        TORCHELASTIC_USE_AGENT_STORE="True",
        WORLD_SIZE=str(count),
    )
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=PATIENCE))
    while (call := pipe.recv()) is not None:
        function, given, options = call
        try:
            pipe.send((True, function(*given, **options)))
        except BaseException:
            pipe.send((False, traceback.format_exc()))
