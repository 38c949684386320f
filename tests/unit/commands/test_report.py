"""The report of real runs: finished, apart, unfinished, failed, and without their corpora."""

import importlib
import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import hiermtl
from hiermtl.commands import Run, extend, train
from hiermtl.commands.report import report
from hiermtl.errors import ModelError, RecipeError, RunError
from hiermtl.training import loop
from tests.unit.commands.runs import TASKS, of_files, recipe
from tests.unit.reporting.pages import SECTIONS, Page

room = importlib.import_module("hiermtl.commands.report")
SECOND = {"upos": {"depth": 1}, "dep": {"depth": 2, "head": {"arc_width": 8, "label_width": 8}}}


def page_of(run: Path, folder: Path, **given: Any) -> Page:
    """The page of a run, which must hold together."""
    file = folder / "page.html"
    report(run, file, **given)
    text = file.read_text(encoding="utf-8")
    found = Page(text)
    assert (found.problems, found.resources()) == ([], [])
    assert found.anchors == list(SECTIONS)
    assert len(text) < 5_000_000
    return found


def copied(run: Run, folder: Path, *, without: tuple[str, ...] = ()) -> Path:
    """A copy of a run that lacks some of its files."""
    place = folder / "copy"
    shutil.copytree(run.folder, place)
    for name in without:
        path = place / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return place


def section(page: Page, name: str, until: str) -> str:
    """The text from one title to the next."""
    return page.text[page.text.rindex(name) : page.text.rindex(until)]


def test_the_function_is_public() -> None:
    assert hiermtl.report is report


def test_a_finished_run_has_something_in_every_section(run: Run, tmp_path: Path) -> None:
    page = page_of(run.folder, tmp_path)
    assert "Finished: a model of 3 tasks." in page.text
    for said in ("Scores on dev", "Loss in training", "Split dev", "items are wrong", "Trained in"):
        assert said in page.text
    for row in run.scores:
        assert f"{row.score:.2f}" in page.text
    for missing in ("There is no", "could not be read", "holds no", "What could not be read"):
        assert missing not in page.text
    assert "bilstm" in section(page, "Recipe", "Environment")
    assert f"hiermtl evaluate {run.folder} --split test" in page.text


def test_what_is_wrong_is_what_the_scores_say(run: Run) -> None:
    nlp = run.load()
    found = {one.task: one for one in room._mistakes(nlp, most=2, data_dir=None, notes=[])}
    assert list(found) == ["upos", "dep", "ner"]
    for task, metric in (("upos", "accuracy"), ("dep", "las")):
        score = next(r.score for r in run.scores if (r.task, r.metric) == (task, metric))
        assert score == pytest.approx(100 * (1 - found[task].wrong / found[task].items))
    right = sum(n for (a, b), n in found["ner"].confusion.items() if a == b)
    sides = sum((a is not None) + (b is not None) for a, b in found["ner"].confusion.elements())
    f1 = next(row.score for row in run.scores if row.task == "ner")
    assert f1 == pytest.approx(200 * right / sides)


def test_costs_are_those_of_a_task_asked_alone(run: Run) -> None:
    model = run.load().model
    rungs = {rung.task: rung for rung in room._costs(room.gather(run.folder).rungs(), model)}
    assert {task: rung.blocks for task, rung in rungs.items()} == {"upos": 1, "ner": 2, "dep": 2}
    alone = model.without(["ner", "dep"])
    assert rungs["upos"].parameters == sum(p.numel() for p in alone.parameters())
    assert rungs["upos"].parameters < rungs["ner"].parameters < run.cost.parameters


def test_columns_and_what_they_learnt_are_shown(tmp_path: Path) -> None:
    given = recipe(sharing={"name": "cross_stitch"}, training={"max_steps": 2, "warmup": 1})
    train(given, output=tmp_path / "run", quiet=True)
    page = page_of(tmp_path / "run", tmp_path)
    assert "3 copies, mixed" in page.text
    assert "cross_stitch has learnt of how its tasks share" in page.text
    assert "alpha" in section(page, "Learned sharing", "Recipe")
    assert sum(name == "svg" for name, _ in page.elements) == 1 + 3 + 3 + 1


def test_tasks_that_were_trained_apart_are_one_report(tmp_path: Path) -> None:
    given = recipe(sharing="single", tasks=SECOND, training={"max_steps": 2, "warmup": 1})
    train(given, output=tmp_path / "run", quiet=True)
    page = page_of(tmp_path / "run", tmp_path)
    assert "Finished: a model of 2 tasks." in page.text
    curves = section(page, "Learning curves", "Scores per level")
    assert curves.count("las on dev") == curves.count("accuracy on dev") == 2  # title and words


@pytest.mark.parametrize(
    "without", [("log.jsonl",), ("scores.json", "cost.json"), ("recipe.json",)]
)
def test_what_is_missing_is_said_in_its_place(
    run: Run, tmp_path: Path, without: tuple[str, ...]
) -> None:
    page = page_of(copied(run, tmp_path, without=without), tmp_path)
    assert "Finished" in page.text
    assert ("There is no log of training" in page.text) == ("log.jsonl" in without)
    assert ("The folder holds no scores." in page.text) == (
        "scores.json" in without and "log.jsonl" in without
    )


def test_an_unfinished_run_shows_how_far_it_came(run: Run, tmp_path: Path) -> None:
    folder = copied(run, tmp_path, without=("model.safetensors", "config.json", "scores.json"))
    page = page_of(folder, tmp_path, pictures=tmp_path / "pictures")
    assert "Unfinished: there is no model in the folder." in page.text
    assert "--resume" in page.text
    assert "These are the last scores of a run that is not finished." in page.text
    assert "There is no model that could be asked." in page.text
    # The newest checkpoint tells what is shared.
    assert "runs 2 of 2 blocks" in page.text
    bare = copied(
        run, tmp_path / "bare", without=("model.safetensors", "config.json", "checkpoints")
    )
    page = page_of(bare, tmp_path)
    assert "read at 2 of 2" in page.text
    assert "neither a model nor a checkpoint" in page.text


def test_a_damaged_model_or_checkpoint_is_a_note(run: Run, tmp_path: Path) -> None:
    folder = copied(run, tmp_path)
    (folder / "model.safetensors").write_bytes(b"x")
    newest = max((folder / "checkpoints").glob("step-*"), key=lambda path: path.name)
    (newest / "model.safetensors").write_bytes(b"x")
    page = page_of(folder, tmp_path)
    assert "the model cannot be loaded" in page.text
    assert "Finished" not in page.text
    assert f"{newest.name} cannot be read" in page.text
    (folder / "config.json").unlink()
    about = json.loads((newest / "config.json").read_text(encoding="utf-8"))
    for damaged in ({**about, "encoder": "x"}, {**about, "tasks": {"upos": "x"}}):
        (newest / "config.json").write_text(json.dumps(damaged), encoding="utf-8")
        assert f"{newest.name} cannot be read" in page_of(folder, tmp_path).text


def test_a_failed_run_says_what_failed_until_it_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:

        def fail(self: Any) -> None:
            raise RunError("the disk <is> full; make room")

        patch.setattr(loop._Training, "_judge", fail)
        with pytest.raises(RunError, match="the disk <is> full"):
            train(recipe(), output=folder, quiet=True)
    told = json.loads((folder / "failure.json").read_text(encoding="utf-8"))
    assert (told["kind"], told["interrupted"]) == ("RunError", False)
    page = page_of(folder, tmp_path)
    assert "there is no model yet. the disk <is> full; make room" in page.text
    assert "Failed on " in page.text
    train(recipe(), output=folder, quiet=True, resume=True)
    assert not (folder / "failure.json").exists()
    assert "Finished" in page_of(folder, tmp_path).text


def test_an_interruption_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: Any) -> None:
        raise SystemExit(143)

    monkeypatch.setattr(loop._Training, "_judge", stop)
    with pytest.raises(SystemExit):
        train(recipe(), output=tmp_path / "run", quiet=True)
    page = page_of(tmp_path / "run", tmp_path)
    assert "It was asked to end." in page.text
    assert "Failed" not in page.text


def test_what_fails_before_a_run_begins_leaves_its_folder_alone(tmp_path: Path) -> None:
    bad = recipe(tasks={"upos": {"depth": 9}})
    with pytest.raises(RecipeError, match="depth is 9"):
        train(bad, output=tmp_path, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_the_places_a_run_was_trained_in_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = importlib.import_module("hiermtl.commands.run_folder")
    given = hiermtl.load_recipe(recipe())
    for place in ("one", "one", "two"):
        monkeypatch.setattr(folder, "environment", lambda place=place: {"processor": place})
        folder.begin(tmp_path, given)
    told = json.loads((tmp_path / "environment.json").read_text(encoding="utf-8"))
    assert told == [{"processor": "one"}, {"processor": "two"}]
    page = page_of(tmp_path, tmp_path)
    assert "Trained in processor one Then gone on with in processor two" in page.text


def test_without_the_corpora_the_page_says_so(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    given = of_files(tmp_path / "data")
    train(given, output=tmp_path / "run", quiet=True)
    assert "of 2 have an error" in page_of(tmp_path / "run", tmp_path).text
    (tmp_path / "data" / "dev.conllu").unlink()
    page = page_of(tmp_path / "run", tmp_path)
    assert "The corpora could not be read: " in section(page, "Confusion", "Worst errors")
    assert "dev.conllu" in section(page, "Worst errors", "Probes")


def test_words_of_corpora_are_no_markup(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    given = of_files(tmp_path / "data")
    for file in (tmp_path / "data").glob("*.conllu"):
        text = file.read_text(encoding="utf-8").replace("slept", "<script>").replace("VERB", "<b>")
        file.write_text(text, encoding="utf-8")
    train(given, output=tmp_path / "run", quiet=True)
    page = page_of(tmp_path / "run", tmp_path)
    assert "script" not in page.names()
    assert "<script>" in page.text


def test_an_extended_model_names_what_it_extends(run: Run, tmp_path: Path) -> None:
    chunks = recipe(tasks={"chunk": {"depth": 1}}, training={"max_steps": 2, "warmup": 1})
    del chunks["encoder"]
    extend(run.folder, chunks, output=tmp_path / "run", quiet=True)
    page = page_of(tmp_path / "run", tmp_path)
    assert f"extends {run.folder}" in page.text
    assert "Finished: a model of 4 tasks." in page.text


def test_controls_are_compared_with(tmp_path: Path) -> None:
    short = {"max_steps": 2, "warmup": 1, "precision": "fp32"}
    runs = {}
    for name, sharing in (("low", "low_supervision"), ("hard", "hard")):
        tasks = (
            {task: {**of, "depth": 2} for task, of in TASKS.items()} if name == "hard" else TASKS
        )
        given = recipe(name=name, sharing=sharing, tasks=tasks, training=short)
        runs[name] = train(given, output=tmp_path / name, quiet=True).folder
    page = page_of(runs["low"], tmp_path, compare_with=[runs["hard"]], pictures=tmp_path / "out")
    found = section(page, "Comparison with controls", "Confusion")
    assert "Difference to hard, in points" in found
    assert "where one of both arms has fewer than 3 seeds nothing is tested" in found
    assert (tmp_path / "out" / "difference-hard.svg").exists()
    with pytest.raises(RecipeError, match=r"'x' is no arm; there are "):
        report(runs["low"], tmp_path / "y.html", compare_with=[runs["hard"]], controls=["x"])
    assert not (tmp_path / "y.html").exists()


def test_probes_are_drawn_where_there_are_any(run: Run, tmp_path: Path) -> None:
    rows = [
        {"task": task, "depth": depth, "score": 50 + depth, "spread": 1.0}
        for task in ("upos", "dep")
        for depth in range(3)
    ]
    file = tmp_path / "probe.json"
    file.write_text(json.dumps({"rows": rows, "notes": ["x"]}), encoding="utf-8")
    page = page_of(run.folder, tmp_path, probe=file)
    assert "upos: scores of probes by depth" in section(page, "Probes", "Learned sharing")
    with pytest.raises(RecipeError, match=r"nothing.json: there is no such file"):
        report(run.folder, tmp_path / "x.html", probe=tmp_path / "nothing.json")


def test_pictures_are_files_beside_the_page(run: Run, tmp_path: Path) -> None:
    done = report(run.folder, tmp_path / "page.html", pictures=tmp_path / "new" / "pictures")
    names = {path.name for path in done.pictures}
    assert {
        "hierarchy.svg",
        "hierarchy.png",
        "dev-upos.svg",
        "loss-dep.png",
        "sharing.png",
    } <= names
    assert names == {path.name for path in (tmp_path / "new" / "pictures").iterdir()}
    for path in done.pictures:
        if path.suffix == ".svg":
            ElementTree.parse(path)
        else:
            assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(RecipeError, match=r"page.html is a file; name a folder for the pictures"):
        report(run.folder, tmp_path / "b.html", pictures=tmp_path / "page.html")
    assert not (tmp_path / "b.html").exists(), "it is said before the page is made"
    with pytest.raises(RecipeError, match=r"c.html is a file; name a folder for the pictures"):
        report(run.folder, tmp_path / "c.html", pictures=tmp_path / "c.html")


def test_without_matplotlib_numbers_stand_in_for_the_picture(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(importlib.import_module("sys").modules, "matplotlib", None)
    done = report(run.folder, tmp_path / "page.html", pictures=tmp_path / "pictures")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.problems == []
    assert "pip install 'hiermtl[pictures]'" in section(page, "Learned sharing", "Recipe")
    assert "branches" in section(page, "Learned sharing", "Recipe")
    assert {path.suffix for path in done.pictures} == {".svg"}
    assert any("no PNG" in note for note in done.notes)


def test_a_name_that_is_no_formula_is_drawn() -> None:
    name = r"$\frac{$"
    empty: dict[str, Any] = {part: {} for part in ("mixes", "ties", "feeds", "sees")}
    structure = {"branches": [{"a": None}, {"a": "a"}], "reads": {name: [[1, "a"]]}, **empty}
    described = {"scheme": "hard", "learnt": {}, "structure": structure}
    why: dict[str, str] = {}
    drawn = room._drawn(described, why=why)
    assert drawn is not None
    assert name in drawn.svg
    assert why == {}


def test_speed_is_measured_when_asked(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "WORDS", 30)
    monkeypatch.setattr(room, "ROUNDS", 1)
    page = page_of(run.folder, tmp_path, speed=True)
    assert page.text.count("words/s") >= 3
    assert "Speed was not measured" not in page.text


def test_the_page_is_written_whole_or_not_at_all(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "page.html"
    file.write_text("before", encoding="utf-8")

    def fail(*given: Any) -> str:
        raise RunError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(room, "page", fail)
        with pytest.raises(RunError, match="stopped"):
            report(run.folder, file)
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert file.read_text(encoding="utf-8") == "before"
    report(run.folder, file)
    assert file.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_bad_input_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="empty holds no run and no model"):
        report(tmp_path / "empty", tmp_path / "a.html")
    with pytest.raises(ModelError, match=r"there is no model '.*nothing'"):
        report(tmp_path / "nothing", tmp_path / "a.html")
    with pytest.raises(RecipeError, match=r"the folder .*nowhere does not exist"):
        report(run.folder, tmp_path / "nowhere" / "a.html")
    with pytest.raises(RecipeError, match=r"controls names 'x', but no run .*compare_with"):
        report(run.folder, tmp_path / "a.html", controls=["x"])
    with pytest.raises(RecipeError, match="errors is -1; allowed is 0 or more"):
        report(run.folder, tmp_path / "a.html", errors=-1)
    assert not (tmp_path / "a.html").exists()
