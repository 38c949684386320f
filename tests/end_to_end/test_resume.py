"""Runs that are killed."""

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
