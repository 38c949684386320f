"""What a person sees of a run.

A bar with losses, words/s and time left, or plain lines when not at a terminal.
"""

import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

LINE_EVERY = 30.0
"""Seconds between plain lines."""


class Progress:
    """Shows training; with `quiet` it shows nothing.

    Writes to standard error, so that output can be piped.
    """

    def __init__(
        self, total: int, *, start: int = 0, quiet: bool = False, stream: TextIO | None = None
    ) -> None:
        """Takes the number of steps of the whole run and the first step to come."""
        self.total, self.first, self.quiet = total, start, quiet
        self.stream = stream or sys.stderr
        self.began = time.monotonic()
        self._last_line = self.began
        self._words = 0
        self._bar: Any = None
        self._task: Any = None
        if not quiet and self.stream.isatty():
            self._start_bar()

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(20),
            TextColumn("{task.description}"),
        )
        self._bar = Bar(
            *columns, TextColumn("left"), TimeRemainingColumn(), console=Console(file=self.stream)
        )
        self._task = self._bar.add_task("", total=self.total, completed=self.first)
        self._bar.start()

    def due(self) -> bool:
        """Whether losses should be read now.

        Reading them makes the processor wait for the device.
        """
        interval = 0.5 if self._bar is not None else LINE_EVERY
        return not self.quiet and time.monotonic() - self._last_line >= interval

    def advance(self, words: int) -> None:
        """One step of so many words is done."""
        self._words += words
        if self._bar is not None:
            self._bar.advance(self._task)

    @property
    def words_per_second(self) -> float:
        """Words trained on per second since the start, evaluations included."""
        return self._words / max(time.monotonic() - self.began, 1e-9)

    def show(self, step: int, *, epoch: float, losses: Mapping[str, float]) -> None:
        """The losses per labelled item, in nats, averaged since the last time."""
        self._last_line = time.monotonic()
        parts = "  ".join(f"{task} {loss:.3f}" for task, loss in losses.items())
        text = f"epoch {epoch:.2f}  {parts}  {self.words_per_second:,.0f} words/s"
        if self._bar is not None:
            self._bar.update(self._task, description=text)
        elif not self.quiet:
            done = step - self.first
            left = (self.total - step) * (self._last_line - self.began) / max(done, 1)
            print(
                f"step {step}/{self.total}  {text}  {_clock(left)} left",
                file=self.stream,
                flush=True,
            )

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False)
        elif not self.quiet:
            print(text, file=self.stream, flush=True)

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
