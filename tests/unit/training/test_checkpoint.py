"""Checkpoints: whole or not at all, and damage is noticed."""

import errno
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from hiermtl.errors import ModelError, RunError
from hiermtl.training import checkpoint as room
from hiermtl.training.checkpoint import (
    checkpoint_folders,
    load_checkpoint,
    newest_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from hiermtl.training.optimizer import make_optimizer, optimizer_state
from tests.unit.training.runs import (
    Broken,
    EveryStep,
    fresh,
    scripted,
    settings,
    train,
    weights,
)
from tests.unit.training.test_optimizer import steps
from tests.worlds import ALL, World

FILES = ("model.safetensors", "optimizer.safetensors", "state.json", "config.json")


@pytest.fixture
def trained() -> tuple[World, torch.optim.Optimizer]:
    world = fresh()
    optimizer = make_optimizer(world.model, settings())
    steps(world, optimizer)
    return world, optimizer


def saved(folder: Path, trained: tuple[World, torch.optim.Optimizer], step: int = 1) -> Path:
    world, optimizer = trained
    place = folder / f"step-{step}"
    return save_checkpoint(
        place,
        world.model.config,
        world.model.state_dict(),
        optimizer=optimizer_state(world.model, optimizer),
        state={"step": step},
    )


def test_what_is_saved_is_read_back(tmp_path: Path, trained: Any) -> None:
    world, optimizer = trained
    found = load_checkpoint(saved(tmp_path, trained, 7))
    expected = weights(world)
    assert found.weights.keys() == expected.keys()
    assert all(torch.equal(found.weights[name], value) for name, value in expected.items())
    state = optimizer_state(world.model, optimizer)
    assert found.optimizer.keys() == state.keys()
    assert all(torch.equal(found.optimizer[name], value) for name, value in state.items())
    assert found.state == {"step": 7}
    assert found.config["tasks"].keys() == world.model.config.tasks.keys()
    assert [path.name for path in tmp_path.iterdir()] == ["step-7"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "lengthened"])
def test_a_damaged_file_is_noticed_and_named(
    tmp_path: Path, trained: Any, name: str, damage: str
) -> None:
    path = saved(tmp_path, trained) / name
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    changed = {"truncated": data[:-1], "flipped": data, "empty": b"", "lengthened": data + b" "}
    path.write_bytes(changed[damage])
    with pytest.raises(ModelError, match="damaged") as error:
        load_checkpoint(path.parent)
    assert str(path) in str(error.value)
    assert "delete" in str(error.value)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, trained: Any, name: str) -> None:
    folder = saved(tmp_path, trained)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"lacks {name}"):
        load_checkpoint(folder)


@pytest.mark.parametrize("text", ["", "{", None])
def test_a_checkpoint_without_checksums_is_none(tmp_path: Path, trained: Any, text: Any) -> None:
    sums = saved(tmp_path, trained) / "checksums.json"
    sums.unlink()
    if text is not None:
        sums.write_text(text)
    with pytest.raises(ModelError, match=r"has no readable checksums\.json"):
        load_checkpoint(sums.parent)


def test_a_broken_checkpoint_is_passed_over_and_said_so(tmp_path: Path, trained: Any) -> None:
    for step in (2, 9, 10):
        saved(tmp_path, trained, step)
    (tmp_path / "step-10" / "model.safetensors").write_bytes(b"x")
    (tmp_path / ".step-11.partial").mkdir()
    (tmp_path / "step-12.bak").mkdir()
    found, passed = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.state["step"] == 9
    (sentence,) = passed
    assert str(tmp_path / "step-10" / "model.safetensors") in sentence


def test_the_loop_says_what_it_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, _ = train(tmp_path / "whole", max_steps=6)
    train(tmp_path / "cut", max_steps=6, checkpoint_every=2, keep_checkpoints=9)
    broken = tmp_path / "cut" / "checkpoints" / "step-4" / "optimizer.safetensors"
    broken.write_bytes(broken.read_bytes()[:-9])
    capsys.readouterr()
    world, _ = train(tmp_path / "cut", max_steps=6, resume=True)
    said = capsys.readouterr()
    assert (said.out, f"passed over: {broken} is damaged" in said.err) == ("", True)
    found = weights(world)
    assert all(torch.equal(found[name], value) for name, value in weights(whole).items())


def test_there_is_none_where_there_is_no_folder(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "nowhere") == (None, [])


def test_what_lies_above_the_checkpoint_that_is_used_is_deleted(tmp_path: Path) -> None:
    """Else new checkpoints of lower numbers would be taken for older ones, and deleted."""
    options: dict[str, Any] = {"annotated": [ALL]}
    with pytest.raises(Broken):
        train(tmp_path, progress=partial(EveryStep, until=10), checkpoint_every=3, **options)
    checkpoints = tmp_path / "checkpoints"
    assert {path.name for path in checkpoints.glob("step-*")} == {"step-7", "step-9"}
    (checkpoints / "step-9" / "state.json").write_text("{}")
    options |= {"resume": True, "checkpoint_every": 1}
    with pytest.raises(Broken):
        train(tmp_path, progress=partial(EveryStep, until=8), **options)
    assert {path.name for path in checkpoints.glob("step-*")} == {"step-7", "step-8"}


def test_a_run_of_which_no_checkpoint_is_whole_does_not_begin_anew(tmp_path: Path) -> None:
    options: dict[str, Any] = {"annotated": [ALL], "checkpoint_every": 2}
    with pytest.raises(Broken):
        train(tmp_path, progress=partial(EveryStep, until=5), **options)
    for path in (tmp_path / "checkpoints").glob("step-*"):
        (path / "state.json").write_text("{}")
    log = (tmp_path / "log.jsonl").read_text()
    with pytest.raises(ModelError, match=r"no checkpoint in .* is whole"):
        train(tmp_path, resume=True, **options)
    assert (tmp_path / "log.jsonl").read_text() == log


def test_the_newest_are_kept(tmp_path: Path, trained: Any) -> None:
    for step in (2, 4, 9, 10, 100):
        saved(tmp_path, trained, step)
    saved(tmp_path / "best", trained)
    prune_checkpoints(tmp_path, 2)
    assert [path.name for path in checkpoint_folders(tmp_path)] == ["step-10", "step-100"]
    assert (tmp_path / "best").exists()


def test_the_loop_keeps_as_many_as_it_was_told(tmp_path: Path) -> None:
    train(tmp_path, max_steps=7, checkpoint_every=1, keep_checkpoints=3)
    kept = [path.name for path in checkpoint_folders(tmp_path / "checkpoints")]
    assert kept == ["step-4", "step-5", "step-6"]


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["save_file", "fsync"])
def test_on_a_full_disk_the_checkpoint_before_stays_whole(
    tmp_path: Path, trained: Any, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    first = saved(tmp_path, trained, 1)
    with monkeypatch.context() as patch:
        patch.setattr(*((room, "save_file") if where == "save_file" else (os, "fsync")), full)
        for step in (1, 2):
            with pytest.raises(RunError, match="the disk is full") as error:
                saved(tmp_path, trained, step)
            assert str(tmp_path / f"step-{step}") in str(error.value)
            assert "--resume" in str(error.value)
            assert error.value.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    assert load_checkpoint(first).state == {"step": 1}


def test_a_run_on_a_disk_that_fills_up_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = train(tmp_path / "whole", max_steps=6, dropout=0.3)
    with monkeypatch.context() as patch:
        keep, calls = room.save_file, []

        def fills_up(*args: Any, **options: Any) -> None:
            calls.append(args)
            if len(calls) > 3:
                full()
            keep(*args, **options)

        patch.setattr(room, "save_file", fills_up)
        with pytest.raises(RunError, match="the disk is full"):
            train(tmp_path / "cut", max_steps=6, dropout=0.3, checkpoint_every=2)
    world, _ = train(tmp_path / "cut", max_steps=6, dropout=0.3, resume=True)
    found = weights(world)
    assert all(torch.equal(found[name], value) for name, value in weights(whole).items())


def test_a_folder_that_may_not_be_written_is_an_error_of_the_run(
    tmp_path: Path, trained: Any
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="could not be written"):
        saved(tmp_path / "file", trained)


def test_a_half_written_checkpoint_does_not_have_the_name_of_one(
    tmp_path: Path, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    keep = room.save_file

    def watched(*args: Any, **options: Any) -> None:
        keep(*args, **options)
        seen.append([path.name for path in checkpoint_folders(tmp_path)])

    monkeypatch.setattr(room, "save_file", watched)
    saved(tmp_path, trained, 3)
    assert seen == [[], []]
    assert [path.name for path in checkpoint_folders(tmp_path)] == ["step-3"]


def test_a_run_folder_holds_no_pickle(tmp_path: Path) -> None:
    train(tmp_path, evaluate=scripted([1, 2]), checkpoint_every=1, keep_checkpoints=9)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".jsonl", ".safetensors"}
    for path in files:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as tensors:
                assert list(tensors.keys())
            # The header follows eight bytes of length: neither a pickle nor torch's zip.
            assert path.read_bytes()[8:9] == b"{"
        else:
            for line in path.read_text(encoding="utf-8").splitlines():
                json.loads(line) if path.suffix == ".jsonl" else None
            assert path.read_bytes()[:1] in (b"{", b"[")


def test_the_state_is_plain_json(tmp_path: Path) -> None:
    train(tmp_path, evaluate=scripted([1, 2]), checkpoint_every=1, keep_checkpoints=99)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    folders = checkpoint_folders(tmp_path / "checkpoints")
    assert len(folders) > 3
    for folder in folders:
        json.loads((folder / "state.json").read_text(encoding="utf-8"), parse_constant=refuse)


def test_a_checkpoint_of_other_labels_is_refused(tmp_path: Path) -> None:
    train(tmp_path, max_steps=4, checkpoint_every=2)
    world = fresh()
    world.model.config.tasks["ner"]["labels"][-1] = "I-C"
    with pytest.raises(ModelError, match="has another tasks than the recipe gives now") as error:
        train(tmp_path, world=world, max_steps=4, resume=True)
    assert str(tmp_path / "checkpoints" / "step-2") in str(error.value)
