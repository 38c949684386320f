"""What is decided before a cluster begins: parts, whose folder it is, and what is refused."""

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hiermtl.annotation import Annotator, cluster
from hiermtl.annotation.cluster import annotate_on_cluster
from hiermtl.annotation.jobs import Job
from hiermtl.annotation.reading import Part, read_records
from hiermtl.commands import annotate
from hiermtl.errors import DataError, ModelError, RecipeError, RunError


@pytest.fixture
def model(nlp: Annotator, tmp_path: Path) -> Path:
    nlp.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("records", [1, 2, 3, 5, 6, 100])
@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("read", [1, 7, 1 << 20])
def test_parts_of_lines_are_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: int, end: str, read: int
) -> None:
    monkeypatch.setattr(cluster, "_READ", read)
    lines = [json.dumps({"text": f"é {n}"}, ensure_ascii=False) for n in range(6)]
    lines[3] = ""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + ("\n".join(lines) + end).encode())
    jobs = cluster._parts(Job(str(path), str(tmp_path / "o.jsonl"), "jsonl", "jsonl"), records)
    found = [r for job in jobs for r in read_records(job.source, "jsonl", part=job.part)]
    assert [r.given for r in found] == ["é 0", "é 1", "é 2", "é 4", "é 5"]
    assert [r.doc_id for r in found] == [f"line-{n}" for n in (1, 2, 3, 5, 6)]
    assert len({job.target for job in jobs}) == len(jobs) == -(-6 // records)
    if records < 6:
        assert jobs[0].target.endswith(f"o-00000-of-{len(jobs):05}.jsonl")


def test_an_error_in_a_part_names_the_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n' * 3 + b'{"text": "\xff"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:4: byte 52 of the file, 0xff"):
        list(read_records(path, "jsonl", part=Part(28, 59, 3)))


def test_rows_and_whole_files_as_parts(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"] * 5}), tmp_path / "a.parquet")
    job = Job(str(tmp_path / "a.parquet"), "o.parquet", "parquet", "parquet")
    assert [p.part for p in cluster._parts(job, 2)] == [Part(0, 2), Part(2, 4), Part(4, 5)]
    whole = Job(str(tmp_path / "a.txt"), "o.conllu", "txt", "conllu")
    assert cluster._parts(whole, 1) == [whole]


def begun(model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[Job]:
    """The jobs that would be given to Ray, which does all but the last."""
    given: list[Job] = []

    def done(ray: Any, asked: Any, jobs: list[Job], **_: Any) -> Any:
        given.extend(jobs)
        for job in jobs[:-1]:
            Path(job.target).parent.mkdir(parents=True, exist_ok=True)
            Path(job.target).write_text("")
            yield {"sentences": 1, "words": 2, "documents": 1, "cut": 1, "seconds": 1.0}
        raise RecipeError("broken off")

    monkeypatch.setattr(cluster, "_ray", lambda: None)
    monkeypatch.setattr(cluster, "_done", done)
    with pytest.raises(RecipeError, match="broken off"):
        annotate_on_cluster(model, folder / "in", folder / "out", records=2, **options)
    return given


def lines(folder: Path, *counts: int) -> None:
    (folder / "in").mkdir(exist_ok=True)
    for number, count in enumerate(counts):
        (folder / "in" / f"{number}.jsonl").write_text('{"text": "a"}\n' * count)


def test_a_job_goes_on_where_it_was_broken_off(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines(tmp_path, 5, 1)
    first = begun(model, tmp_path, monkeypatch)
    assert [Path(job.target).name for job in first] == [
        "0-00000-of-00003.jsonl",
        "0-00001-of-00003.jsonl",
        "0-00002-of-00003.jsonl",
        "1.jsonl",
    ]
    assert [Path(job.target).name for job in begun(model, tmp_path, monkeypatch)] == ["1.jsonl"]
    assert not (tmp_path / "out" / cluster.DONE).exists()


def test_parts_of_a_file_that_has_changed_are_done_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines(tmp_path, 4, 2, 1)
    begun(model, tmp_path, monkeypatch)
    (tmp_path / "out" / "2.jsonl").touch()
    (tmp_path / "in" / "1.jsonl").write_text('{"text": "b"}\n')
    (tmp_path / "in" / "2.jsonl").unlink()
    again = begun(model, tmp_path, monkeypatch)
    assert [Path(job.target).name for job in again] == ["1.jsonl"]
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"0-00000-of-00002.jsonl", "0-00001-of-00002.jsonl", "_job.json"}


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"tasks": ["upos"]}, "tasks"),
        ({"precision": "bf16"}, "precision"),
        ("model", "model"),
        ({"records": 3}, "records"),
        ({"format": "conllu"}, "formats"),
        ("input", "input"),
    ],
)
def test_the_folder_of_another_job_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, differs: str
) -> None:
    lines(tmp_path, 5, 1)
    begun(model, tmp_path, monkeypatch)
    options: dict[str, Any] = {"records": 2}
    if change == "input":
        pass
    elif change == "model":
        other = hiermtl_model(model)
        other.save_pretrained(model)
    else:
        options |= change
    source = tmp_path / "in"
    if change == "input":
        source = source.rename(tmp_path / "elsewhere")
    before = {path.name for path in (tmp_path / "out").iterdir()}
    with pytest.raises(RecipeError, match=f"that of a job with another .*{differs}"):
        annotate_on_cluster(model, source, tmp_path / "out", **options)
    assert {path.name for path in (tmp_path / "out").iterdir()} == before, "nothing is removed"


def test_a_job_that_grows_is_not_done_any_more(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines(tmp_path, 2)
    begun(model, tmp_path, monkeypatch)
    (tmp_path / "out" / cluster.DONE).touch()
    lines(tmp_path, 2, 1)
    begun(model, tmp_path, monkeypatch)
    assert not (tmp_path / "out" / cluster.DONE).exists()


def test_what_a_killed_command_left_is_no_obstacle_and_damage_is_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines(tmp_path, 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".0123.tmp").touch()
    begun(model, tmp_path, monkeypatch)
    told = json.loads((tmp_path / "out" / cluster.JOB).read_text())
    for damaged in ([], {**told, "parts": ["0.jsonl"]}):
        (tmp_path / "out" / cluster.JOB).write_text(json.dumps(damaged))
        with pytest.raises(RunError, match=r"its _job\.json is damaged"):
            annotate_on_cluster(model, tmp_path / "in", tmp_path / "out")
    with pytest.raises(RecipeError, match=r"device 'tpu'; .* allowed are cpu and cuda"):
        annotate_on_cluster(model, tmp_path / "in", tmp_path / "out", device="tpu")


def test_two_commands_do_not_write_to_one_folder(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second leaves all of the first alone; the lock of one that was killed is none."""
    lines(tmp_path, 5, 1)
    out = tmp_path / "out"
    (tmp_path / "in" / "1.jsonl").rename(tmp_path / "one.jsonl")
    refused: list[str] = []

    def second(*given: Any, **options: Any) -> Any:
        monkeypatch.setattr(cluster, "_done", lambda *given, **options: iter(()))
        (out / ".0123.tmp").touch()
        before = sorted(out.iterdir())
        for source in (tmp_path / "in", tmp_path / "one.jsonl"):
            with pytest.raises(RecipeError, match=r"another command is writing to .*out; wait unt"):
                annotate_on_cluster(model, source, out, records=2)
            refused.append(source.name)
        assert sorted(out.iterdir()) == before
        raise RunError("broken off")

    monkeypatch.setattr(cluster, "_ray", lambda: None)
    monkeypatch.setattr(cluster, "_done", second)
    with pytest.raises(RunError, match="broken off"):
        annotate_on_cluster(model, tmp_path / "in", out, records=2)
    assert refused == ["in", "one.jsonl"]
    assert not (out / cluster.LOCK).exists()
    (out / cluster.LOCK).touch()
    monkeypatch.setattr(cluster, "_done", second)
    with pytest.raises(RunError, match="broken off"):
        annotate_on_cluster(model, tmp_path / "in", out, records=2)


def hiermtl_model(folder: Path) -> Annotator:
    import torch

    from hiermtl import load

    nlp = load(folder)
    with torch.no_grad():
        next(nlp.model.parameters()).add_(1)
    return nlp


def test_places_that_do_not_go_together_are_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_ray", lambda: None)
    lines(tmp_path, 1)
    one = tmp_path / "in" / "0.jsonl"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    for source, output, message in (
        ("-", "out", "reads and writes files, not standard input"),
        (one, one, "is a file; on a cluster the output is a folder"),
        (one, tmp_path / "no" / "out", "the folder .*no does not exist"),
        (one, tmp_path / "full", "is not empty, and not that of a job"),
    ):
        with pytest.raises(RecipeError, match=message):
            annotate_on_cluster(model, source, output)
    with pytest.raises(DataError, match="no such file or folder"):
        annotate_on_cluster(model, tmp_path / "none", tmp_path / "out")


def test_without_ray_it_says_what_to_install(
    nlp: Annotator, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RecipeError, match=r"pip install 'hiermtl\[ray\]'"):
        annotate(model, "a.txt", tmp_path / "out", engine="ray")
    with pytest.raises(RecipeError, match="engine 'rai'; allowed are local and ray; did you mean"):
        annotate(model, "a.txt", tmp_path / "out", engine="rai")
    with pytest.raises(ModelError, match="load the model themselves; give its folder or name"):
        annotate(nlp, "a.txt", tmp_path / "out", engine="ray")
