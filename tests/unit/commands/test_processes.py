"""What the program tells the processes that it starts, and what it makes of how they end."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hiermtl.commands import check, processes, train
from hiermtl.commands.processes import check_processes, check_shard, launched
from hiermtl.errors import DataError, RecipeError, RunError
from hiermtl.last_word import VARIABLE, leave_word
from hiermtl.recipe import load_recipe
from tests.unit.commands.runs import TASKS, recipe

TOP = {name: {**task, "depth": 2} for name, task in TASKS.items()}
CHANGING = ["adaptive", "learned", "relationship", "sluice", "soft_l2", "soft_trace"]
"""Schemes that need whole weights."""


def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int, gpus: int) -> list[Any]:
    """The environment of each of so many processes on a machine with so many devices."""
    found: list[Any] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(processes.subprocess, "Popen", lambda *_, env, **__: found.append(env))
    for rank in range(count):
        processes._start(tmp_path, rank, count, 1234)
    return found


@pytest.mark.parametrize("gpus", [0, 2, 4])
def test_each_has_a_device_where_there_are_enough_or_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gpus: int
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = told(monkeypatch, tmp_path, 2, gpus)
    assert [env["LOCAL_RANK"] for env in found] == ["0", "1"]
    assert [env["RANK"] for env in found] == ["0", "1"]
    assert not any("HIERMTL_BACKEND" in env or "CUDA_VISIBLE_DEVICES" in env for env in found)


@pytest.mark.parametrize(("visible", "names"), [(None, ["0", "1"]), ("5,7", ["5", "7"])])
def test_devices_that_are_too_few_are_shared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, visible: str | None, names: list[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = told(monkeypatch, tmp_path, 4, 2)
    assert [env["CUDA_VISIBLE_DEVICES"] for env in found] == names * 2
    assert {env["LOCAL_RANK"] for env in found} == {"0"}
    assert {env["HIERMTL_BACKEND"] for env in found} == {"gloo"}


def test_threads_are_shared_out_unless_somebody_has_said_how_many(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert {env["OMP_NUM_THREADS"] for env in told(monkeypatch, tmp_path, 4, 0)} == {"1"}
    assert {env["OMP_NUM_THREADS"] for env in told(monkeypatch, tmp_path, 2, 0)} == {"3"}
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert {env["OMP_NUM_THREADS"] for env in told(monkeypatch, tmp_path, 2, 0)} == {"5"}


def ended(*codes: int | None) -> list[Any]:
    """Processes that have ended with these codes, or not."""
    return [SimpleNamespace(returncode=code, poll=lambda code=code: code) for code in codes]


def word(place: Path, rank: int, message: str, *, kind: str = "", when: float = 0.0) -> None:
    about = {"kind": kind, "when": when, "timestamp": str(int(when))}
    said = {"message": {"message": message, "extraInfo": about}}
    (place / f"error-{rank}.json").write_text(json.dumps(said))


def test_the_first_to_say_so_is_the_cause(tmp_path: Path) -> None:
    word(tmp_path, 0, "Connection closed by peer", when=9.0)
    word(tmp_path, 1, "a.conllu:3: no", kind="DataError", when=8.0)
    with pytest.raises(DataError, match=r"^a\.conllu:3: no$"):
        processes._wait(ended(1, 2), tmp_path)


def test_what_was_killed_could_not_say_so(tmp_path: Path) -> None:
    word(tmp_path, 0, "Connection closed by peer", when=1.0)
    (tmp_path / "output-1.txt").write_text("the last line")
    with pytest.raises(RunError, match=r"process 1 of 2 has ended \(it was sent SIGKILL") as error:
        processes._wait(ended(1, -9), tmp_path)
    for part in ("memory ran out", "--resume", "the last line"):
        assert part in str(error.value)


def test_an_error_that_nobody_foresaw_comes_with_its_trace(tmp_path: Path) -> None:
    word(tmp_path, 1, "Traceback (most recent call last): ...")
    with pytest.raises(RunError, match="process 1 failed:\nTraceback"):
        processes._wait(ended(None, 1), tmp_path)


def test_all_that_are_done_are_no_error(tmp_path: Path) -> None:
    processes._wait(ended(0, 0), tmp_path)


def test_a_word_is_left_once_and_only_for_who_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not leave_word("nobody reads it")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "error.json"))
    assert leave_word("the cause", kind="DataError")
    assert leave_word("what followed")
    said = json.loads((tmp_path / "error.json").read_text())["message"]
    assert said["message"] == "the cause"
    assert said["extraInfo"]["timestamp"].isdecimal()
    assert [path.name for path in tmp_path.iterdir()] == ["error.json"]


@pytest.mark.parametrize("name", ["WORLD_SIZE", "ACCELERATE_MIXED_PRECISION"])
def test_launchers_are_known_by_what_they_set(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for variable in processes.LAUNCHERS:
        monkeypatch.delenv(variable, raising=False)
    assert not launched()
    monkeypatch.setenv(name, "1")
    assert launched()


def test_deepspeed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(RecipeError, match=r"DeepSpeed.*training\.shard=true"):
        check_processes(1)


def asked_of(command: str, given: dict[str, Any], asked: dict[str, Any], *, folder: Path) -> None:
    if command == "check":
        check(given, overrides=asked)
    else:
        train(given, output=folder, quiet=True, **asked)


@pytest.mark.parametrize("command", ["check", "train"])
@pytest.mark.parametrize("sharing", CHANGING)
def test_a_scheme_of_whole_weights_is_refused_before_processes_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, sharing: str
) -> None:
    monkeypatch.setattr(processes, "_start", lambda *_: pytest.fail("it began"))
    given = recipe(tasks=TOP, sharing=sharing)
    asked = {"training.shard": True, "training.processes": 2}
    with pytest.raises(RecipeError, match=rf"training\.shard is true, and sharing '{sharing}' has"):
        asked_of(command, given, asked, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("sharing", ["low_supervision", "single"])
def test_one_that_can_be_parted_is_not(sharing: str) -> None:
    """The control; and a scheme of whole weights passes where nothing is parted."""
    asked = {"training.shard": True, "training.processes": 2}
    assert check(recipe(sharing=sharing), overrides=asked)
    assert check(recipe(tasks=TOP, sharing="soft_l2"), overrides={"training.processes": 2})


@pytest.mark.parametrize("command", ["check", "train"])
def test_one_process_has_nothing_to_part(tmp_path: Path, command: str) -> None:
    asked = {"training.shard": True}
    with pytest.raises(RecipeError, match=r"shard is true, but training\.processes is 1.*leave"):
        asked_of(command, recipe(), asked, folder=tmp_path / "run")


def test_a_launcher_may_start_more_than_the_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_shard(load_recipe(recipe(), {"training.shard": True}))
