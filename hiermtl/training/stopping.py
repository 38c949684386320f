"""Requests to end a run: it ends between two steps, with a checkpoint, and can be gone on with.

All processes end at the same step, whichever of them was asked. Evaluation, which may take minutes,
is broken off; it is made up for when the run goes on.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import torch
import torch.distributed as dist

from hiermtl.training.world import LONGEST, waiting

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class BrokenOffError(Exception):
    """Evaluation was broken off."""


class Stopping:
    """Whether a run was asked to end, by SIGTERM or SIGINT; entered while it trains.

    A second request is obeyed at once. Outside the main thread, where Python does not let signals
    be handled, it never is.
    """

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self._number = 0
        self._may_break_off = False
        self._before: dict[signal.Signals, Any] = {}
        self._group: Any = None

    def __enter__(self) -> "Stopping":
        """Takes over the signals."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._asked) for number in SIGNALS}
        if dist.is_initialized() and dist.get_world_size() > 1:
            # What processes agree on between steps waits for no device.
            self._group = dist.new_group(backend="gloo", timeout=LONGEST)
        return self

    def __exit__(self, *error: object) -> None:
        """Gives them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._group is not None:
            dist.destroy_process_group(self._group)

    def asked(self) -> int:
        """The number of the signal that some process got, 0 for none; every process asks alike."""
        if self._group is None:
            return self._number
        number = torch.tensor(self._number)
        with waiting():
            dist.all_reduce(number, dist.ReduceOp.MAX, self._group)
        return int(number)

    @contextmanager
    def breaking_off(self) -> Iterator[None]:
        """Inside, a request raises BrokenOffError."""
        self._may_break_off = True
        try:
            if self._number:
                raise BrokenOffError
            yield
        finally:
            self._may_break_off = False

    def leave(self, number: int) -> NoReturn:
        """Ends the program as the signal would have."""
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    def _asked(self, number: int, _: FrameType | None) -> None:
        if self._number:
            self.leave(number)
        self._number = number
        if self._may_break_off:
            raise BrokenOffError
