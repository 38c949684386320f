"""Files are there whole or not at all."""

import errno
import os
import stat
from pathlib import Path

import pytest

from hiermtl.atomic import disk_is_full, write_whole, written_whole
from hiermtl.errors import RecipeError, RunError


def test_files_are_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, link = tmp_path / "a.json", tmp_path / "link.json"
    path.write_text("old")
    link.symlink_to(path)
    write_whole(link, "new")
    assert (path.read_text(), link.is_symlink()) == ("new", True)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"a\.json: cannot be written \(no space left\); make room"):
        write_whole(path, "newer")
    assert path.read_text() == "new"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.json", "link.json"]


def test_a_device_is_written_to(tmp_path: Path) -> None:
    write_whole(Path(os.devnull), "x")
    assert Path(os.devnull).is_char_device()


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fill() -> None:
        with written_whole(path) as file:
            file.write(b"half")
            (tmp_path / "what the block reads").read_bytes()

    with pytest.raises(FileNotFoundError):
        fill()
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"the folder .*none does not exist; make it"):
        write_whole(tmp_path / "none" / "a.txt", "x")
    with pytest.raises(RecipeError, match=r"it is a folder\); name a file in it"):
        write_whole(tmp_path, "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match=r"the folder .*file does not exist"):
        write_whole(tmp_path / "file" / "a.txt", "x")


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "x")
    (tmp_path / "usual").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_names_at_the_limit_are_written_and_beyond_it_refused(tmp_path: Path) -> None:
    write_whole(tmp_path / ("\u4f60" * 83), "x")
    assert (tmp_path / ("\u4f60" * 83)).read_text() == "x"
    with pytest.raises(RunError, match=r"cannot be written \(File name too long\)"):
        write_whole(tmp_path / ("a" * 300), "x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is full")
def test_a_device_that_is_full_is_named() -> None:
    with pytest.raises(RunError, match=r"/dev/full: cannot be written \(no space left\)"):
        write_whole("/dev/full", "x")


def test_a_full_disk_is_known_however_it_is_said() -> None:
    said = [
        OSError(errno.ENOSPC, "x"),
        OSError(errno.EDQUOT, "x"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ]
    assert all(map(disk_is_full, said))
    assert not disk_is_full(PermissionError(errno.EACCES, "Permission denied"))
    assert not disk_is_full(ValueError("os error 13"))


def test_a_file_that_is_replaced_keeps_who_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "first")
    for mode in (0o600, 0o640):
        path.chmod(mode)
        write_whole(path, "again")
        assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_text() == "again"
