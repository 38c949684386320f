"""Runs that are killed."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.end_to_end.kills import FILES, told
from tests.end_to_end.kills import OPTIONS as KEYS
from tests.end_to_end.program import done, environment, tree

OPTIONS = [f"{key}={value}" for key, value in KEYS.items()]
KILLS = Path(__file__).with_name("kills.py")


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
    assert any("losses" in entry for entry in told(whole))
    assert told(whole) == told(cut)
    for name in FILES:
        assert (whole / name).read_bytes() == (cut / name).read_bytes(), name
    assert not [name for name in tree(cut) if ".partial" in name or ".old" in name]


def kills(recipe: Path, place: Path, seeds: Sequence[int]) -> str:
    """What is told of runs that were killed at moments drawn by these seeds, and resumed."""
    found = subprocess.run(
        [
            sys.executable,
            str(KILLS),
            str(recipe),
            str(place),
            *map(str, seeds),
        ],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    sys.stdout.write(found.stdout)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.mark.slow
def test_whenever_a_run_is_killed_it_ends_as_if_it_had_not_been(
    recipe: Path, tmp_path: Path
) -> None:
    """In a step, in an evaluation, in writing a checkpoint; with the recipe's own dropout."""
    assert kills(recipe, tmp_path, [0, 1, 2]).count(": killed, and the same") == 3


@pytest.mark.slow
def test_so_it_does_at_many_moments(recipe: Path, tmp_path: Path) -> None:
    assert kills(recipe, tmp_path, range(20)).count(": killed, and the same") == 20
