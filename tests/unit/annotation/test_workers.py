"""Prediction in several processes."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

from hiermtl.annotation import Annotator
from hiermtl.errors import DataError, ModelError, RunError
from tests.worlds import make_world

TEXTS = ["A dog barks. It runs!", "", ["one", "two"], [], "שלום 😀", *(f"x {n}." for n in range(9))]


def test_workers_give_what_one_process_gives(nlp: Annotator) -> None:
    alone = list(nlp.pipe(TEXTS, with_scores=True))
    together = list(nlp.pipe(iter(TEXTS), workers=2, window=3, with_scores=True))
    assert together == alone
    assert [document.scores.keys() for document in together] == [
        document.scores.keys() for document in alone
    ]
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_the_stream_is_read_as_far_as_windows_are_under_way_and_a_dead_worker_is_an_error(
    nlp: Annotator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    read = 0

    def stream() -> Iterator[list[str]]:
        nonlocal read
        for read in count(1):  # noqa: B007 - counted outside
            yield ["a"]

    documents = nlp.pipe(stream(), workers=1, window=5)
    next(documents)
    assert read == 10
    for child in multiprocessing.active_children():
        child.kill()
    with pytest.raises(RunError, match="one of 1 workers died"):
        list(islice(documents, 100))
    assert not multiprocessing.active_children()
    assert not list(Path(tempfile.gettempdir()).glob("hiermtl-*"))


@pytest.mark.slow
def test_documents_that_nobody_wants_end_the_workers(nlp: Annotator) -> None:
    documents = nlp.pipe((["a"] for _ in count()), workers=1, window=5)
    next(documents)
    documents.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_an_error_of_the_input_comes_through_and_ends_the_workers(
    nlp: Annotator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    documents = nlp.pipe([*[["a"]] * 4, ["b", ""]], workers=1, window=1)
    assert next(documents).words == ("a",)
    with pytest.raises(DataError, match="word 1 of 2 is ''"):
        list(documents)
    assert not multiprocessing.active_children()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("signal", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_process_that_waits_for_them(
    nlp: Annotator, signal: signal.Signals, tmp_path: Path
) -> None:
    nlp.save_pretrained(tmp_path / "model")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "hiermtl", "annotate", str(tmp_path / "model"), "-"]
    command += ["-o", str(tmp_path / "out.conllu"), "--workers", "1"]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(b"a b c.\n" * 2000)
        process.stdin.flush()
        children = wait_for(lambda: family(process.pid))
        process.send_signal(signal)
        process.stdin.close()
    process.wait(60)
    wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    assert not (tmp_path / "out.conllu").exists()
    if signal == signal.SIGTERM:
        assert process.returncode == 143
        assert not list(temporary.glob("hiermtl-*"))


def family(pid: int) -> list[str]:
    """The processes below a process."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def wait_for(condition: Callable[[], Any]) -> Any:
    for _ in range(600):
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("a minute went by")


def test_workers_without_a_use_are_refused(nlp: Annotator) -> None:
    with pytest.raises(ModelError, match="workers is -1; allowed are 0, which is this process"):
        nlp.pipe(["a"], workers=-1)
    for size in ("window", "tokens_per_batch"):
        for workers in (0, 1):
            with pytest.raises(ModelError, match=f"{size} is 0; allowed is 1 or more"):
                nlp.pipe(["a"], workers=workers, **{size: 0})
    world = make_world("bert")
    elsewhere = Annotator(world.model.to("meta"), world.tokenizer)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="the model is on meta"):
        elsewhere.pipe(["a"], workers=1)
