"""Runs that several processes share: started by the program, or by a launcher."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.end_to_end.program import alone, done, environment

EXACT = (
    "training.precision=fp64",
    "training.dropout=0",
    "training.max_steps=6",
    "training.tokens_per_batch=40",
    "training.accumulation=3",
)
ENOUGH = ("training.epochs=200", "training.checkpoint_every=5", "corpora.sample.dev=10")


def started(*arguments: object) -> subprocess.Popen[str]:
    """The program on its way, its processes in a session of their own."""
    return subprocess.Popen(
        [sys.executable, "-m", "hiermtl", *map(str, arguments)],
        env=environment(CUDA_VISIBLE_DEVICES=""),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def until_checkpoint(run: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not list((run / "checkpoints").glob("step-*")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)


def members(process: subprocess.Popen[str]) -> list[int]:
    """The processes that a program has started, in order of rank."""
    found = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(process.pid)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    pairs = [line.split() for line in found if "hiermtl.commands.member" in line]
    return [int(words[0]) for words in sorted(pairs, key=lambda words: words[-1])]


def gone(pids: Sequence[int], *, within: float = 20) -> bool:
    end = time.monotonic() + within
    while time.monotonic() < end:
        if not any(Path(f"/proc/{pid}/cmdline").exists() for pid in pids):
            return True
        time.sleep(0.05)
    return False


def weights(run: Path, pattern: str = "checkpoints/best") -> dict[str, dict[str, torch.Tensor]]:
    places = sorted(run.glob(pattern))
    return {str(p.relative_to(run)): load_file(p / "model.safetensors") for p in places}


@pytest.mark.parametrize(
    "sharing", ["low_supervision", pytest.param("single", marks=pytest.mark.slow)]
)
def test_the_program_starts_processes_that_train_the_weights_of_one(
    recipe: Path, tmp_path: Path, sharing: str
) -> None:
    """In double precision and without dropout; the last steps have fewer sentences than pieces."""
    options = (*EXACT, f"sharing={sharing}")
    done("train", recipe, "-o", tmp_path / "one", "-q", *options)
    found = alone("train", recipe, "-o", tmp_path / "two", "--processes", 2, *options)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count(str(tmp_path / "two")) == 1
    pattern = "tasks/*/checkpoints/best" if sharing == "single" else "checkpoints/best"
    one, two = (weights(tmp_path / name, pattern) for name in ("one", "two"))
    assert len(one) == (3 if sharing == "single" else 1)
    assert one.keys() == two.keys()
    for place, found in one.items():
        assert {value.dtype for value in found.values()} >= {torch.float64}
        for name, value in found.items():
            torch.testing.assert_close(two[place][name], value, rtol=0, atol=1e-9)
    scores = [(tmp_path / name / "scores.json").read_text() for name in ("one", "two")]
    assert scores[0] == scores[1]


@pytest.mark.slow
def test_parts_of_weights_are_trained_resumed_and_put_together(
    recipe: Path, tmp_path: Path
) -> None:
    """Broken off, and gone on with."""
    options = (*EXACT[:2], *EXACT[3:], "training.max_steps=40", "training.checkpoint_every=5")
    done("train", recipe, "-o", tmp_path / "one", "-q", *options)
    parts, run = ("--processes", 2, "training.shard=true"), tmp_path / "two"
    process = started("train", recipe, "-o", run, "-q", *parts, *options)
    until_checkpoint(run, process)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    found = alone("train", recipe, "-o", run, "-q", "--resume", *parts, *options)
    assert found.returncode == 0, found.stderr
    one, two = (weights(tmp_path / name)["checkpoints/best"] for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-6)
    scores = [(tmp_path / name / "scores.json").read_text() for name in ("one", "two")]
    assert scores[0] == scores[1]


@pytest.mark.slow
def test_a_launcher_starts_them_as_well(recipe: Path, tmp_path: Path) -> None:
    done("train", recipe, "-o", tmp_path / "one", "-q", *EXACT)
    port = str(29500 + os.getpid() % 1000)
    found = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--master-port", port, "-m", "hiermtl"),
            *("train", str(recipe), "-o", str(tmp_path / "two"), "--processes", "2", *EXACT),
        ],
        env=environment(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES=""),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.count(str(tmp_path / "two")) == 1
    one, two = (weights(tmp_path / name)["checkpoints/best"] for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_corpora_beside_the_recipe_are_found(recipe: Path, tmp_path: Path) -> None:
    done("sample", tmp_path, "--train", 20, "--dev", 15, "--test", 15)
    file = next(tmp_path.rglob("*train*.conllu")).relative_to(tmp_path)
    own = f"corpora: {{own: {{format: conllu, train: {file}}}}}"
    text = re.sub(
        r"corpora:\n  sample: .*", own, recipe.read_text().replace("  ner: {depth: 2}\n", "")
    )
    (tmp_path / "own.yaml").write_text(text)
    given = (tmp_path / "own.yaml", "-o", tmp_path / "run", "--processes", 2)
    found = alone("train", *given, "training.max_steps=2")
    assert found.returncode == 0, found.stderr


def test_an_error_of_the_user_is_said_once(recipe: Path, tmp_path: Path) -> None:
    missing = tmp_path / "none.conllu"
    given = f"corpora={{own: {{format: conllu, train: {missing}}}}}"
    found = alone("train", recipe, "-o", tmp_path / "run", "--processes", 2, given)
    assert found.returncode == 2
    assert found.stderr.startswith("error: ")
    assert found.stderr.count("error: ") == 1
    assert "Traceback" not in found.stderr


@pytest.mark.slow
def test_a_process_that_is_killed_ends_all_and_the_run_can_be_resumed_with_fewer(
    recipe: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = started("train", recipe, "-o", run, "-q", "--processes", 2, *ENOUGH)
    until_checkpoint(run, process)
    pids = members(process)
    assert len(pids) == 2
    os.kill(pids[1], signal.SIGKILL)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "error: process 1 of 2 has ended (it was sent SIGKILL" in said
    assert "go on with --resume" in said
    assert gone(pids)
    done(
        "train",
        recipe,
        "-o",
        run,
        "-q",
        "--resume",
        *ENOUGH[1:],
        "training.epochs=200",
    )


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_hangs_is_named(recipe: Path, tmp_path: Path, rank: int) -> None:
    run = tmp_path / "run"
    options = (*ENOUGH, "training.timeout=8")
    process = started("train", recipe, "-o", run, "-q", "--processes", 2, *options)
    until_checkpoint(run, process)
    pids = members(process)
    os.kill(pids[rank], signal.SIGSTOP)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert re.search(rf"the last of all is process {rank}, at step \d+ ", said), said
    assert "when it was last heard of" in said
    assert "go on with --resume" in said
    assert said.count("error: ") == 1
    assert "Traceback" not in said
    assert gone(pids)


@pytest.mark.slow
def test_processes_that_are_asked_to_end_write_a_checkpoint(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = started("train", recipe, "-o", run, "--processes", 2, *ENOUGH)
    until_checkpoint(run, process)
    pids = members(process)
    began = time.monotonic()
    process.terminate()
    said = process.communicate(timeout=60)[1]
    assert time.monotonic() - began < 10
    assert process.returncode == 128 + signal.SIGTERM
    assert "go on with --resume" in said
    assert gone(pids)
    assert list((run / "checkpoints").glob("step-*"))


@pytest.mark.slow
def test_processes_end_with_the_program_that_started_them(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = started("train", recipe, "-o", run, "-q", "--processes", 2, *ENOUGH)
    until_checkpoint(run, process)
    pids = members(process)
    process.kill()
    process.communicate()
    assert gone(pids)


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on_with_one(recipe: Path, tmp_path: Path) -> None:
    """In double precision and without dropout, as if one had done it all; over 1,000 steps."""
    options = (*EXACT[:2], *EXACT[3:], "training.epochs=30", "training.checkpoint_every=5")
    done("train", recipe, "-o", tmp_path / "one", "-q", *options)
    run = tmp_path / "two"
    process = started("train", recipe, "-o", run, "-q", "--processes", 2, *options)
    until_checkpoint(run, process)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert not (run / "config.json").exists()
    done("train", recipe, "-o", run, "-q", "--resume", *options)
    one, two = (weights(tmp_path / name)["checkpoints/best"] for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_thirty_steps_of_a_shipped_recipe(tmp_path: Path) -> None:
    options = ("training.precision=fp64", "training.dropout=0", "training.max_steps=30")
    given = ("low_supervision/sample", "-q", *options)
    done("train", *given, "-o", tmp_path / "one")
    found = alone("train", *given, "-o", tmp_path / "two", "--processes", 2)
    assert found.returncode == 0, found.stderr
    one, two = (weights(tmp_path / name)["checkpoints/best"] for name in ("one", "two"))
    apart = [float((value - two[name]).abs().max()) for name, value in one.items()]
    assert max(apart) <= 1e-6


@pytest.mark.slow
def test_one_process_that_is_asked_to_end_ends_all(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = started("train", recipe, "-o", run, "-q", "--processes", 2, *ENOUGH)
    until_checkpoint(run, process)
    pids = members(process)
    os.kill(pids[1], signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert gone(pids)
