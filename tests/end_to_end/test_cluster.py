"""Annotation on Ray, on a cluster of this machine."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.end_to_end.program import alone, done, environment


def texts(path: Path, count: int) -> None:
    draw = random.Random(0)
    words = ("the", "a", "dog", "tree", "house", "sees", "runs", "barks", "on", "Mary", "old")
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            text = " ".join(draw.choices(words, k=draw.randint(2, 9))) + "."
            file.write(json.dumps({"id": number, "text": text}) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_a_cluster_writes_what_one_process_writes(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    texts(tmp_path / "in" / "a.jsonl", 30)
    rows = read(tmp_path / "in" / "a.jsonl")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in" / "b.parquet")
    done("annotate", model, tmp_path / "in", "-o", tmp_path / "one")
    command = ("annotate", model, tmp_path / "in", "-o", tmp_path / "many", "--engine", "ray")
    found = alone(*command, "--workers", 2)
    assert found.returncode == 0, found.stderr
    assert "60 sentences" in found.stderr
    assert found.stdout == ""
    names = {path.name for path in (tmp_path / "many").iterdir()}
    assert names == {"a.jsonl", "b.parquet", "_job.json", "_SUCCESS"}
    one, many = tmp_path / "one", tmp_path / "many"
    assert (one / "a.jsonl").read_bytes() == (many / "a.jsonl").read_bytes()
    assert pq.read_table(one / "b.parquet") == pq.read_table(many / "b.parquet")


@pytest.mark.slow
def test_a_job_that_is_done_is_not_done_again(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        texts(tmp_path / "in" / f"{name}.jsonl", 30)
    command = ("annotate", model, tmp_path / "in", "-o", tmp_path / "many", "--engine", "ray")
    assert "60 sentences" in alone(*command).stderr
    assert "2 parts were there already" in alone(*command).stderr


@pytest.mark.slow
def test_what_is_wrong_in_a_part_is_told_and_mended(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    texts(tmp_path / "in" / "a.jsonl", 3)
    bad = tmp_path / "in" / "b.jsonl"
    bad.write_text('{"text": "one"}\n{"text": 3}\n')
    command = ("annotate", model, tmp_path / "in", "-o", tmp_path / "out", "--engine", "ray")
    found = alone(*command)
    assert found.returncode == 2, found.stderr
    assert "b.jsonl:2: `text` is 3; allowed is a string" in found.stderr
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert not (tmp_path / "out" / "b.jsonl").exists()
    bad.write_text('{"text": "one"}\n{"text": "3"}\n')
    found = alone(*command)
    assert found.returncode == 0, found.stderr
    assert "2 sentences" in found.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} > {"a.jsonl", "b.jsonl"}


@pytest.mark.slow
def test_a_killed_worker_loses_and_doubles_nothing(model: Path, tmp_path: Path) -> None:
    """A hundred thousand texts; the moments at which an actor is killed are drawn by seed."""
    texts(tmp_path / "a.jsonl", 100_000)
    command = ("annotate", model, tmp_path / "a.jsonl", "-o", tmp_path / "out", "--engine", "ray")
    process = subprocess.Popen(
        [sys.executable, "-m", "hiermtl", *map(str, command), "--workers", "2"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    draw, killed = random.Random(1), 0
    while process.poll() is None and killed < 2:
        parts = len(list((tmp_path / "out").glob("a-*.jsonl")))
        actors = [p for p in psutil.Process(process.pid).children(recursive=True) if is_actor(p)]
        if parts >= 2 * (killed + 1) and actors:
            time.sleep(draw.uniform(0, 0.5))
            draw.choice(actors).send_signal(signal.SIGKILL)
            killed += 1
        time.sleep(0.05)
    _, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    assert killed == 2
    parts = sorted((tmp_path / "out").glob("a-*.jsonl"))
    found = [row["id"] for path in parts for row in read(path)]
    assert found == list(range(100_000))
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def is_actor(process: psutil.Process) -> bool:
    try:
        return any("ray::MapWorker" in part for part in process.cmdline())
    except psutil.Error:
        return False
