"""Prediction in several processes, each with a model of its own: for many words on a processor."""

import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch

from hiermtl.annotation.entries import Entry, Prediction, windows_of
from hiermtl.errors import ModelError, RunError

if TYPE_CHECKING:
    from hiermtl.annotation.annotator import Annotator

WINDOW = 512
"""Sentences a worker is given at a time; enough to sort by length, and few beside a file."""

_AHEAD = 2
"""Windows per worker that are under way."""


def predict_in_workers(
    nlp: "Annotator",
    sentences: Iterable[Entry],
    *,
    tasks: Sequence[str],
    workers: int,
    with_scores: bool,
    tokens_per_batch: int,
    window: int,
) -> Iterator[Prediction]:
    """Like `predict_scored`, by `workers` processes that share the processor's cores.

    Sentences are drawn in this process, two windows of at most `WINDOW` for each worker ahead. The
    processes start with the first and end with the last, or with this process.

    Raises:
        ModelError: At once, when `workers` is below 1 or the model is not on the processor.
        RunError: A process died, or the model cannot be written for them.
    """
    if workers < 1:
        raise ModelError(f"workers is {workers}; allowed are 0, which is this process, and more")
    if nlp.model.device.type != "cpu":
        raise ModelError(
            f"the model is on {nlp.model.device}, and workers are processes that compute on the "
            "processor; leave workers out, or load the model with device='cpu'"
        )
    return _predictions(
        nlp,
        windows_of(sentences, min(window, WINDOW)),
        tuple(tasks),
        workers=workers,
        with_scores=with_scores,
        tokens_per_batch=tokens_per_batch,
    )


def _predictions(
    nlp: "Annotator",
    windows: Iterator[list[Entry]],
    tasks: tuple[str, ...],
    *,
    workers: int,
    with_scores: bool,
    tokens_per_batch: int,
) -> Iterator[Prediction]:
    threads = max(1, torch.get_num_threads() // workers)
    waiting: deque[Future[list[Prediction]]] = deque()
    with TemporaryDirectory(prefix="hiermtl-") as folder:
        try:
            nlp.save_pretrained(Path(folder) / "model")
        except RunError as error:
            raise RunError(
                f"workers read the model from a temporary folder, which failed ({error}); set "
                "TMPDIR to a folder with room, or leave workers out"
            ) from error
        pool = ProcessPoolExecutor(
            workers, get_context("spawn"), initializer=_start, initargs=(threads,)
        )
        try:
            for window in windows:
                waiting.append(
                    pool.submit(
                        _predict,
                        Path(folder) / "model",
                        nlp.precision,
                        nlp.flat,
                        nlp.exits,
                        window,
                        tasks,
                        with_scores,
                        tokens_per_batch,
                    )
                )
                if len(waiting) >= _AHEAD * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool as error:
            raise RunError(
                f"one of {workers} workers died: for want of memory, or because the program that "
                'called has no `if __name__ == "__main__":` around it; use fewer, or leave workers '
                "out"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _start(threads: int) -> None:
    """In a worker: an interruption is for the process that waits for it, whose end is the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@lru_cache(maxsize=1)
def _annotator(folder: Path, precision: str, flat: bool, exits: bool) -> "Annotator":
    from hiermtl.annotation.annotator import Annotator
    from hiermtl.pretrained import load_model

    return Annotator(*load_model(folder), precision=precision, flat=flat, exits=exits)


def _predict(
    folder: Path,
    precision: str,
    flat: bool,
    exits: bool,
    window: list[Entry],
    tasks: tuple[str, ...],
    with_scores: bool,
    tokens_per_batch: int,
) -> list[Prediction]:
    found = _annotator(folder, precision, flat, exits).predictions(
        window, tasks, with_scores=with_scores, tokens_per_batch=tokens_per_batch
    )
    return list(found)
