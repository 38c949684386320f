"""Runs that are killed, and runs on two processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.end_to_end.program import done, environment, tree

OPTIONS = (
    "training.checkpoint_every=3",
    "training.tokens_per_batch=40",
    "training.epochs=3",
    "corpora.sample.dev=10",
)


def test_a_run_that_is_killed_and_resumed_equals_an_unbroken_one(
    recipe: Path, tmp_path: Path
) -> None:
    """With the recipe's own dropout; bit for bit, and so are log and scores."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    process = subprocess.Popen(
        [sys.executable, "-m", "hiermtl", "train", str(recipe), "-o", str(cut), "-q", *OPTIONS],
        env=environment(),
        start_new_session=True,
    )
    try:
        done("train", recipe, "-o", whole, "-q", *OPTIONS)
        steps: list[int] = []
        end = time.monotonic() + 120
        while time.monotonic() < end and process.poll() is None:
            names = [path.name for path in (cut / "checkpoints").glob("step-*")]
            steps = [int(name.removeprefix("step-")) for name in names]
            if steps and max(steps) >= 6:
                break
            time.sleep(0.002)
        assert process.poll() is None, "it ended before it could be killed"
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert steps
    assert not (cut / "config.json").exists()
    done("train", recipe, "-o", cut, "-q", "--resume", *OPTIONS)
    left, right = (load_file(folder / "model.safetensors") for folder in (whole, cut))
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    for name in ("model.safetensors", "scores.json", "config.json", "README.md", "words.json"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name
    assert not [name for name in tree(cut) if ".partial" in name or ".old" in name]


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", [1, 2, 3, 4])
def test_a_run_may_be_killed_again_and_again(recipe: Path, tmp_path: Path, kill_at: int) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    done("train", recipe, "-o", whole, "-q", *OPTIONS)
    command = [sys.executable, "-m", "hiermtl", "train", str(recipe), "-o", str(cut), "-q"]
    for number in range(2):
        given = [*command, *OPTIONS, *(["--resume"] if number else [])]
        process = subprocess.Popen(given, env=environment())
        seen: set[str] = set()
        while len(seen) < kill_at and process.poll() is None:
            seen |= {path.name for path in (cut / "checkpoints").glob("*step-*")}
        process.kill()
        process.wait()
    done("train", recipe, "-o", cut, "-q", "--resume", *OPTIONS)
    assert (whole / "model.safetensors").read_bytes() == (cut / "model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sharing", "told"), [("low_supervision", {}), ("single", {"ACCELERATE_USE_CPU": "true"})]
)
def test_two_processes_train_the_weights_of_one(
    recipe: Path, tmp_path: Path, sharing: str, told: dict[str, str]
) -> None:
    """In double precision and without dropout; the last steps have fewer sentences than pieces."""
    options = (
        "training.precision=fp64",
        "training.dropout=0",
        "training.max_steps=6",
        "training.tokens_per_batch=40",
        "training.accumulation=3",
        f"sharing={sharing}",
    )
    done("train", recipe, "-o", tmp_path / "one", "-q", *options)
    found = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--master-port", str(29500 + os.getpid() % 1000), "-m", "hiermtl"),
            *("train", str(recipe), "-o", str(tmp_path / "two"), "--processes", "2", *options),
        ],
        env=environment(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="", **told),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.count(str(tmp_path / "two")) == 1
    pattern = "tasks/*/checkpoints/best" if sharing == "single" else "checkpoints/best"
    places = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").glob(pattern))
    assert len(places) == (3 if sharing == "single" else 1)
    for place in places:
        one, two = (load_file(tmp_path / n / place / "model.safetensors") for n in ("one", "two"))
        assert {value.dtype for value in one.values()} >= {torch.float64}
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=0, atol=1e-9)
    scores = [(tmp_path / name / "scores.json").read_text() for name in ("one", "two")]
    assert scores[0] == scores[1]
