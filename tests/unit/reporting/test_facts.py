"""What a folder says, and what is said of what it lacks."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from hiermtl.reporting import gather, page, pictures_of
from tests.unit.reporting.pages import material, row

NO_NUMBERS = (float("nan"), float("inf"), 1.7e308, 10**400, True)


def write(folder: Path, **files: Any) -> Path:
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name.replace('__', '-')}.json").write_text(text, encoding="utf-8")
    return folder


def test_an_empty_folder_is_no_error(tmp_path: Path) -> None:
    found = gather(tmp_path)
    assert (found.finished, found.rungs(), found.log, found.notes) == (False, [], None, [])
    assert found.title == tmp_path.name


def test_levels_are_ranks_of_depths_and_open_depths_stand_last(tmp_path: Path) -> None:
    tasks = {"dep": {"depth": 4}, "upos": {"depth": 2}, "ner": {"depth": "50%"}, "x": {"depth": 2}}
    found = gather(write(tmp_path, recipe={"tasks": tasks})).rungs()
    assert [(rung.task, rung.depth, rung.level) for rung in found] == [
        ("upos", 2, 1),
        ("x", 2, 1),
        ("dep", 4, 2),
        ("ner", "50%", None),
    ]


def test_a_model_says_more_than_its_recipe(tmp_path: Path) -> None:
    config = {
        "encoder": {"layers": 3},
        "tasks": {"ner": {"depth": 2, "head": "crf", "labels": ["O", "B-X"]}},
        "sharing": {"name": "hard"},
    }
    recipe = {"tasks": {"ner": {"depth": "auto"}, "hint": {"depth": 1, "auxiliary": True}}}
    write(tmp_path, config=config, recipe=recipe, scores=[asdict(row("ner", 60.0))])
    (tmp_path / "model.safetensors").touch()
    found = gather(tmp_path)
    assert (found.finished, found.blocks, found.scheme) == (True, 3, "hard")
    hint, ner = found.rungs()
    assert (hint.task, hint.auxiliary, hint.score) == ("hint", True, None)
    assert (ner.depth, ner.head, ner.labels) == (2, "crf", 2)
    assert ner.score == row("ner", 60.0)


def test_what_was_said_of_the_data_is_shown(tmp_path: Path) -> None:
    said = ["ner: 3 spans have <more> words"]
    found = gather(write(tmp_path, recipe={"name": "x"}, remarks=said))
    assert found.remarks == said
    assert "ner: 3 spans have &lt;more&gt; words" in page(material(found))
    assert "said of the data" not in page(material(gather(write(tmp_path, remarks=[]))))


def test_without_weights_a_folder_is_not_finished(tmp_path: Path) -> None:
    assert not gather(write(tmp_path, config={"tasks": {"ner": {"depth": 2}}})).finished


def test_scores_of_the_end_of_training_come_before_those_of_later_results(tmp_path: Path) -> None:
    later, test = row(score=80.0, dtype="bf16"), row(score=70.0, split="test")
    write(tmp_path, scores=[asdict(row())], result__dev={"rows": [asdict(later), asdict(row())]})
    write(tmp_path, result__test={"rows": [asdict(test)]})
    assert gather(tmp_path).rows == {"dev": (row(), later), "test": (test,)}


def test_the_log_has_the_last_scores_of_a_run_that_is_not_finished(tmp_path: Path) -> None:
    entry = {"step": 4, "main": 90.0, "rows": [asdict(row())]}
    (tmp_path / "log.jsonl").write_text(json.dumps(entry), encoding="utf-8")
    assert gather(tmp_path).rows == {"dev": (row(),)}


@pytest.mark.parametrize("name", ["recipe", "cost", "scores", "environment", "failure", "probe"])
@pytest.mark.parametrize("content", ["{half", "3", "null", '"x"', "[[]]", '{"rows": 3}'])
def test_damaged_files_are_told_and_raise_nothing(tmp_path: Path, name: str, content: str) -> None:
    found = gather(write(tmp_path, **{name: content}))
    assert found.rungs() == []
    if content == "{half":
        assert any(f"{name}.json cannot be read" in note for note in found.notes)


def test_rows_of_probes_that_are_none_are_left_out(tmp_path: Path) -> None:
    good = {"task": "upos", "depth": 1, "score": 50.0, "spread": 1.0}
    bad = [{"task": "upos"}, {"depth": 1, "score": 2.0}, {**good, "score": "x"}, "row"]
    bad += [{**good, key: value} for key in ("depth", "score") for value in NO_NUMBERS]
    bad += [{**good, "depth": value} for value in (1e99, 10**6, 1.5, -1, "1")]
    found = gather(write(tmp_path, probe={"rows": [good, *bad]}))
    assert list(found.probe) == [good]
    assert found.notes == ["probe.json: 1 rows of probes can be read"]


def test_probes_at_depths_of_no_encoder_end_no_report(tmp_path: Path) -> None:
    rows = [{"task": "upos", "depth": depth, "score": 50.0} for depth in (1e99, 0, 1)]
    rows.append({"task": "ner", "depth": 1e99, "score": 50.0})
    found = gather(write(tmp_path, probe={"rows": rows}))
    assert "upos: scores of probes by depth" in page(material(found))
    assert [row["depth"] for row in found.probe] == [0, 1]


@pytest.mark.parametrize("tasks", [3, None, [3, {}, {"task": "upos", "centre": NO_NUMBERS[0]}]])
def test_what_probes_say_of_tasks_may_be_damaged(tmp_path: Path, tasks: Any) -> None:
    rows = [{"task": "upos", "depth": 1, "score": 50.0}]
    told = {"rows": rows, "tasks": tasks, "about": 3, "notes": "x"}
    found = gather(write(tmp_path, probe=told))
    assert len(found.probed) == (1 if isinstance(tasks, list) else 0)
    assert found.probe_said == []
    assert "upos: scores of probes by depth" in page(material(found))


def test_a_task_of_probes_may_be_named_by_a_number(tmp_path: Path) -> None:
    rows = [
        {"task": 3, "depth": depth, "score": 50.0, "spread": spread}
        for depth, spread in enumerate((1.0, *NO_NUMBERS))
    ]
    found = gather(write(tmp_path, probe={"rows": rows}))
    assert [(row["task"], row["depth"]) for row in found.probe] == [("3", at) for at in range(6)]
    assert found.notes == []
    assert "3: scores of probes by depth" in page(material(found))
    assert [name for name, _ in pictures_of(material(found))] == ["probe-3"]


def test_weights_in_shards_are_a_model_too(tmp_path: Path) -> None:
    write(tmp_path, config={"tasks": {"ner": {"depth": 2}}})
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    (tmp_path / "one.safetensors").touch()
    found = gather(tmp_path)
    assert not found.finished
    assert "names two.safetensors, which is missing" in found.notes[0]
    (tmp_path / "two.safetensors").touch()
    found = gather(tmp_path)
    assert (found.finished, found.notes) == (True, [])


def test_a_recipe_without_a_depth_means_the_top(tmp_path: Path) -> None:
    tasks = {"ner": {"depth": None}, "dep": {}}
    found = gather(write(tmp_path, recipe={"tasks": tasks, "sharing": {"name": "hard"}}))
    assert {rung.task: rung.depth for rung in found.rungs()} == {"ner": "100%", "dep": "?"}
    assert "depth 100%, not settled yet" in page(material(found))


def test_tasks_that_are_trained_apart_say_which_are_done(tmp_path: Path) -> None:
    (tmp_path / "tasks" / "upos" / "trained").mkdir(parents=True)
    (tmp_path / "tasks" / "dep").mkdir()
    assert gather(tmp_path).apart == {"dep": False, "upos": True}
