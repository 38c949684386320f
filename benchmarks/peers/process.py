"""A peer as a process of its own, which answers requests with one JSON object per line."""

import contextlib
import json
import os
import resource
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SHOWN = 300
"""Characters of what a peer said that a row tells."""


class SubjectError(Exception):
    """A subject cannot go on; its row says why."""


class Process:
    """Asked one thing at a time; what it prints beside its answers goes to `log`."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        variables: Mapping[str, str],
        memory: int | None = None,
    ) -> None:
        """Starts it.

        Args:
            command: The program and its arguments.
            log: Its standard error.
            variables: Of its environment, beside ours.
            memory: Bytes of addresses it may have, so that one peer cannot take the machine down.

        Raises:
            SubjectError: It cannot be started.
        """
        self._log, self._rest = log, b""
        self._over: str | None = None
        log.parent.mkdir(parents=True, exist_ok=True)

        def confine() -> None:
            if memory is not None:
                resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

        try:
            with log.open("wb") as errors:
                self._process = subprocess.Popen(
                    [str(part) for part in command],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env={**os.environ, **variables},
                    preexec_fn=confine,
                )
        except (OSError, subprocess.SubprocessError) as error:
            raise SubjectError(f"does not start: {error}") from error

    def ask(self, do: str, *, seconds: float, **given: Any) -> dict[str, Any]:
        """What it answers to a request.

        Args:
            do: What is asked for.
            seconds: How long it may take.
            **given: What goes with the request.

        Raises:
            SubjectError: It ended, took too long, told of an error, or said something else than one
                JSON object.
        """
        if self._over is not None:
            raise SubjectError(self._over)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **given}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._end(self._last_words(do)) from None
        line = self._line(do, time.monotonic() + seconds)
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            shown = line.decode(errors="replace").strip()[:SHOWN]
            raise self._end(f"answered {do!r} with no JSON object: {shown!r}")
        if "error" in answer:
            raise SubjectError(f"{do}: {str(answer['error'])[:SHOWN]}")
        return answer

    def close(self) -> None:
        """Ends it; it may have ended already."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _line(self, do: str, until: float) -> bytes:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise self._end(f"did not answer {do!r} in time")
            read = os.read(pipe, 1 << 20)
            if not read:
                raise self._end(self._last_words(do))
            self._rest += read
        line, self._rest = self._rest.split(b"\n", 1)
        return line

    def _end(self, why: str) -> SubjectError:
        """Ends it, for a reason that is told from then on."""
        self.close()
        self._over = why
        return SubjectError(why)

    def _last_words(self, do: str) -> str:
        code = self._process.wait()
        said = [line.strip() for line in self._log.read_text(errors="replace").splitlines()]
        last = next((line for line in reversed(said) if line), "it said nothing")
        return f"ended with code {code} at {do!r}: {last[:SHOWN]}"
