"""`hiermtl probe` from recipe or model to a recipe that can be trained; and `depth: auto`."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertModel

import hiermtl
from hiermtl.commands import Run, check, extend, probe, train
from hiermtl.commands.corpora import placed
from hiermtl.commands.probe import Probed
from hiermtl.errors import DataError, ModelError, RecipeError
from hiermtl.probing import Curve
from hiermtl.recipe import Recipe, differences, load_recipe
from tests.unit.commands.runs import TRAIN, conllu, of_files, recipe
from tests.worlds import bert_config, piece_backend

TASKS: dict[str, Any] = {"upos": {"depth": 2}, "ner": {"depth": 1}}
AUTO: dict[str, Any] = {"upos": {"depth": "auto"}, "ner": {"depth": 1}}
SHORT = {"training.epochs": 1, "training.max_steps": 2}
SMALL: dict[str, Any] = {"seeds": 2, "examples": 40, "device": "cpu"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a small pretrained encoder."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("encoder")
    BertModel(bert_config(blocks=2), add_pooling_layer=False).save_pretrained(folder)
    piece_backend().save_pretrained(folder)
    return str(folder)


def pretrained(encoder: str, **changes: Any) -> dict[str, Any]:
    return recipe(encoder={"name": encoder}, **{"tasks": TASKS, **changes})


@pytest.fixture(scope="module")
def probed(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Probed, Path]:
    """A probe of a recipe, and where it was written."""
    folder = tmp_path_factory.mktemp("probes") / "new"
    return probe(pretrained(encoder), output=folder, **SMALL), folder


def test_each_task_has_a_row_for_each_depth(probed: tuple[Probed, Path], encoder: str) -> None:
    found, _ = probed
    assert [(row["task"], row["depth"]) for row in found.rows] == [
        (task, depth) for task in ("upos", "ner") for depth in (0, 1, 2)
    ]
    assert {row["seeds"] for row in found.rows} == {2}
    assert {row["metric"] for row in found.rows if row["task"] == "ner"} == {"f1"}
    assert f"linear probes of {encoder}, depths 0 to 2" in found.to_text()
    assert "40 sentences of train" in found.to_text()
    assert found.to_markdown().startswith("| task | what | 0 | 1 | 2 |")
    assert str(found) == found.to_text()


def test_what_is_written_can_be_checked_and_trained(probed: tuple[Probed, Path]) -> None:
    found, folder = probed
    assert {path.name for path in folder.iterdir()} == {"probe.json", "recipe.yaml", "probe.svg"}
    assert json.loads((folder / "probe.json").read_text()) == json.loads(found.to_json())
    assert "<svg" in (folder / "probe.svg").read_text()
    written = load_recipe(folder / "recipe.yaml")
    assert not differences(written, found.recipe)
    assert found.depths
    assert {task: written.tasks[task].depth for task in found.depths} == dict(found.depths)
    assert any("training items" in line for line in check(folder / "recipe.yaml"))


def test_the_same_call_gives_the_same_and_more_seeds_keep_the_first(
    probed: tuple[Probed, Path], encoder: str
) -> None:
    found, _ = probed
    again = probe(pretrained(encoder), **SMALL)
    assert again.to_json() == found.to_json()
    one = probe(pretrained(encoder), **{**SMALL, "seeds": 1})
    for few, many in zip(one.report.curves, found.report.curves, strict=True):
        # But for sums that are rounded in another order, and may tip a word.
        first = [own[0] for own in many.scores]
        assert first == pytest.approx([own[0] for own in few.scores], abs=2.0)


def test_a_model_is_probed_as_it_was_trained(run: Run) -> None:
    before = {name: value.clone() for name, value in run.load().model.state_dict().items()}
    lines: list[str] = []
    found = probe(run.folder, tasks=["upos", "dep"], told=lines.append, **SMALL)
    assert {row["task"] for row in found.rows} == {"upos", "dep"}
    assert {row["depth"] for row in found.rows} == {0, 1, 2}
    assert [line.partition(":")[0] for line in lines] == list(
        dict.fromkeys(row["task"] for row in found.rows)
    )
    # What was not probed stays where it was.
    assert found.recipe.tasks["ner"].depth == 2
    annotator = run.load()
    assert probe(annotator, tasks="upos", **SMALL).rows
    after = annotator.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_every_kind_of_annotation_is_probed_and_coreference_is_left_with_a_note(
    encoder: str,
) -> None:
    names = ("upos", "lemma", "ner", "dep", "entity", "srl", "relation", "relatedness")
    tasks: dict[str, Any] = {name: {"depth": 2} for name in (*names, "entailment")}
    tasks["coref"] = {"depth": 2, "head": {"name": "coreference", "reads": "entity"}}
    sample = {"format": "sample", "train": 60, "dev": 30, "test": 5}
    given = pretrained(encoder, tasks=tasks, corpora={"sample": sample})
    found = probe(given, **{**SMALL, "seeds": 1})
    metrics = {row["task"]: row["metric"] for row in found.rows}
    assert metrics == {
        "upos": "accuracy",
        "lemma": "accuracy",
        "ner": "f1",
        "dep": "las",
        "entity": "f1",
        "srl": "f1",
        "relation": "f1",
        "relatedness": "pearson",
        "entailment": "accuracy",
    }
    notes = " ".join(found.report.notes)
    assert "coref: joins what lies in different sentences, which no probe reads" in notes
    with pytest.raises(DataError, match="nothing to probe: coref: joins what lies in different"):
        probe(given, tasks="coref", **SMALL)


def test_what_has_no_dev_data_is_scored_on_a_fifth_of_train(encoder: str, tmp_path: Path) -> None:
    files = {"format": "conllu", "train": conllu(tmp_path / "train.conllu", TRAIN * 5)}
    given = pretrained(encoder, corpora={"own": files})
    found = probe(given, tasks="upos", **SMALL)
    assert "upos: has nothing to score in dev; every fifth of train is held out" in " ".join(
        found.report.notes
    )
    (curve,) = found.report.curves
    assert curve.items + curve.train_items == 5 * sum(map(len, TRAIN))
    assert curve.items == sum(map(len, TRAIN))
    files["train"] = conllu(tmp_path / "few.conllu", TRAIN)
    with pytest.raises(DataError, match="upos: none of the examples carries a label for it; use"):
        probe(given, tasks="upos", **SMALL)


def test_files_beside_a_recipe_are_found_from_where_the_new_one_lies(
    encoder: str, tmp_path: Path
) -> None:
    of_files(tmp_path)
    (tmp_path / "mine.yaml").write_text(
        f"encoder: {{name: {encoder}}}\ntasks: {{upos: {{depth: 2}}}}\n"
        "corpora: {own: {format: conllu, train: train.conllu, dev: dev.conllu}}\n"
    )
    found = probe(tmp_path / "mine.yaml", output=tmp_path / "far" / "away", **SMALL)
    assert found.written["corpora"]["own"]["train"] == [str(tmp_path / "train.conllu")]
    assert check(tmp_path / "far" / "away" / "recipe.yaml")


@pytest.mark.parametrize("sharing", ["hard", "learned"])
def test_a_scheme_that_has_depths_of_its_own_gives_way(encoder: str, sharing: str) -> None:
    tasks: dict[str, Any] = {"upos": {}, "ner": {}}
    found = probe(pretrained(encoder, tasks=tasks, sharing=sharing), tasks="upos", **SMALL)
    assert found.recipe.sharing.name == "low_supervision"
    assert found.recipe.tasks["ner"].depth == "100%"
    assert load_recipe(found.written) == found.recipe


def test_defaults_are_left_out_of_the_written_recipe(probed: tuple[Probed, Path]) -> None:
    written = probed[0].written
    assert "sampling" not in written
    assert written["tasks"]["upos"] == {
        "depth": probed[0].depths["upos"],
        "head": {"name": "tagging"},
        "column": "upos",
    }
    assert load_recipe(written) == load_recipe(placed(probed[0].recipe))


def test_a_reader_is_lifted_to_the_depth_of_what_it_reads(
    encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = {"entity": {"depth": 2}, "relation": {"depth": 1}}
    flat = Curve("", "f1", ((0.0,), (90.0,), (50.0,)), 0.0, 1.0, 9, 9)

    def found_low(wanted: Any, *_: Any, **__: Any) -> Curve:
        return Curve(wanted.task, *(getattr(flat, name) for name in Curve.__slots__[1:]))

    room = sys.modules["hiermtl.commands.probe"]
    monkeypatch.setattr(room, "probe_task", found_low)
    given = pretrained(encoder, tasks=tasks)
    both = probe(given, **SMALL)
    assert dict(both.depths) == {"entity": 1, "relation": 1}
    alone = probe(given, tasks="relation", **SMALL)
    assert dict(alone.depths) == {"relation": 2}
    assert "relation: depth 1 by itself; lifted to 2, since it reads entity" in alone.report.notes


def test_what_a_fixed_reader_reads_is_lowered_to_it(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found_high(wanted: Any, *_: Any, **__: Any) -> Curve:
        return Curve(wanted.task, "f1", ((0.0,), (10.0,), (90.0,)), 0.0, 1.0, 9, 9)

    monkeypatch.setattr(sys.modules["hiermtl.commands.probe"], "probe_task", found_high)
    given = pretrained(encoder, tasks={"entity": {"depth": "auto"}, "relation": {"depth": 1}})
    found = probe(given, tasks="entity", output=tmp_path / "out", **SMALL)
    assert dict(found.depths) == {"entity": 1}
    said = "entity: depth 2 by itself; lowered to 1, since relation, which reads it, is there"
    assert said in found.report.notes
    assert any("entity: level 1, depth 1" in line for line in check(tmp_path / "out/recipe.yaml"))
    lines = "\n".join(check(given))
    assert "entity: level 1, depth 1" in lines
    assert "the top stands for it here, or where it is read below the top, that depth" in lines
    run = train(given, output=tmp_path / "run", quiet=True, **SHORT)
    assert run.recipe.tasks["entity"].depth == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds is 0; allowed is 1 or more"),
        ({"examples": 9}, "examples is 9; allowed is 10 or more"),
        ({"tasks": ["upso"]}, "there is no task 'upso'; the tasks are upos and ner; did you"),
    ],
)
def test_options_that_cannot_be_are_refused(
    encoder: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        probe(pretrained(encoder), **options)


def test_what_is_not_there_to_probe_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"encoder 'bilstm' is trained from scratch.*run's folde"):
        probe(recipe())
    with pytest.raises(RecipeError, match=r"training\.seed cannot be set"):
        probe(run.folder, overrides={"training.seed": 1})
    with pytest.raises(ModelError, match="there is no model 'nowhere'"):
        probe("nowhere")
    with pytest.raises(RecipeError, match="there is no file"):
        probe(tmp_path / "none.yaml")
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match=r"file/x cannot be made .*; name another with -o"):
        Probed(*[None] * 3).save(tmp_path / "file" / "x")  # pyright: ignore[reportArgumentType]


def test_a_folder_that_cannot_be_is_found_before_the_work(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = sys.modules["hiermtl.commands.probe"]
    monkeypatch.setattr(room, "probe_task", lambda *_, **__: pytest.fail("it probed"))
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match=r"file/x cannot be made"):
        probe(pretrained(encoder), output=tmp_path / "file" / "x", **SMALL)


def test_a_note_has_as_many_digits_as_the_metric(
    encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(wanted: Any, *_: Any, **__: Any) -> Curve:
        if wanted.task == "upos":
            return Curve("upos", "accuracy", ((1.0,), (12.34,)), 12.5, 1.0, 9, 9)
        return Curve(wanted.task, "pearson", ((0.0,), (0.0312,)), 0.04, 0.1, 9, 9)

    monkeypatch.setattr(sys.modules["hiermtl.commands.probe"], "probe_task", nothing)
    given = pretrained(encoder, tasks={"upos": {"depth": 1}, "relatedness": {"depth": 2}})
    notes = probe(given, **SMALL).report.notes
    assert any("accuracy is 12.3 at the best depth and 12.5 without" in note for note in notes)
    assert any("pearson is 0.031 at the best depth and 0.040 without" in note for note in notes)


def test_without_matplotlib_there_is_no_picture(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = probe(pretrained(encoder), output=tmp_path / "out", tasks="upos", **SMALL)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"probe.json", "recipe.yaml"}
    with pytest.raises(RecipeError, match=r"pip install 'hiermtl\[pictures\]'"):
        found.picture()


def test_the_function_is_public() -> None:
    assert hiermtl.probe is probe


@pytest.fixture(scope="module")
def fixed(encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a depth that a probe fixed."""
    folder = tmp_path_factory.mktemp("auto")
    return train(pretrained(encoder, tasks=AUTO), output=folder, quiet=True, **SHORT)


def test_a_probe_fixes_the_depth_before_training(fixed: Run, encoder: str) -> None:
    saved = json.loads((fixed.folder / "recipe.json").read_text())
    told = json.loads((fixed.folder / "probe.json").read_text())
    depth = told["depths"]["upos"]
    assert isinstance(depth, int)
    assert saved["tasks"]["upos"]["depth"] == depth
    assert fixed.recipe.tasks["upos"].depth == depth
    assert fixed.load().hierarchy["upos"].depth == depth
    assert [task["task"] for task in told["tasks"]] == ["upos"]
    config = json.loads((fixed.folder / "config.json").read_text())
    assert config["recipe"]["tasks"]["upos"]["depth"] == depth
    # It is what a run at that depth gives.
    given = pretrained(encoder, tasks={**AUTO, "upos": {"depth": depth}})
    by_hand = train(given, output=fixed.folder / "by-hand", quiet=True, **SHORT)
    assert by_hand.scores.rows == fixed.scores.rows


def test_a_run_that_is_resumed_keeps_the_depth_and_does_not_probe(
    fixed: Run, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = sys.modules["hiermtl.commands.train"]
    monkeypatch.setattr(room, "fixed_depths", lambda *_, **__: pytest.fail("it probed"))
    given = pretrained(encoder, tasks=AUTO)
    again = train(given, output=fixed.folder, resume=True, quiet=True, **SHORT)
    assert again.scores.rows == fixed.scores.rows
    with pytest.raises(RecipeError, match=r"other values of training\.seed"):
        train(given, output=fixed.folder, resume=True, **{**SHORT, "training.seed": 3})


def test_a_run_that_ended_right_after_the_probe_can_be_resumed(
    fixed: Run, encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = sys.modules["hiermtl.commands.train"]
    given = pretrained(encoder, tasks=AUTO)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(room, "_train_whole", killed)
        with pytest.raises(KeyboardInterrupt):
            train(given, output=tmp_path / "run", quiet=True, **SHORT)
    monkeypatch.setattr(room, "fixed_depths", lambda *_, **__: pytest.fail("it probed"))
    resumed = train(given, output=tmp_path / "run", resume=True, quiet=True, **SHORT)
    assert resumed.scores.rows == fixed.scores.rows


@pytest.mark.slow
def test_two_processes_train_at_the_depth_that_one_found(
    fixed: Run, encoder: str, tmp_path: Path
) -> None:
    given = pretrained(encoder, tasks=AUTO)
    shared = train(given, output=tmp_path / "two", processes=2, quiet=True, **SHORT)
    assert shared.recipe.tasks["upos"].depth == fixed.recipe.tasks["upos"].depth
    for one, two in zip(fixed.scores.rows, shared.scores.rows, strict=True):
        assert two.score == pytest.approx(one.score, abs=1.0)


def test_a_line_says_which_depth_was_fixed(
    encoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(pretrained(encoder, tasks=AUTO), output=tmp_path / "run", **SHORT)
    assert "upos: depth 1 proposed" in capsys.readouterr().err


def test_check_says_that_a_probe_fixes_the_depth(encoder: str) -> None:
    lines = check(pretrained(encoder, tasks=AUTO))
    assert "upos: depth auto, which a probe fixes before training; until then the top stands " in (
        "\n".join(lines)
    )
    assert not [line for line in check(pretrained(encoder)) if "auto" in line]


def test_where_nothing_is_read_training_does_not_begin(encoder: str, tmp_path: Path) -> None:
    given = pretrained(encoder, tasks={"dep": {"depth": "auto"}, "upos": {"depth": 1}})
    with pytest.raises(
        RecipeError, match=r"tasks\.dep\.depth is 'auto', but las is .* at the best"
    ):
        train(given, output=tmp_path / "run", quiet=True, **SHORT)
    assert not (tmp_path / "run").exists()


def test_a_model_that_is_extended_needs_a_depth(run: Run, tmp_path: Path) -> None:
    added = {
        "tasks": {"chunk": {"depth": "auto"}},
        "corpora": {"sample": {"format": "sample", "train": 20, "dev": 5, "test": 5}},
    }
    with pytest.raises(RecipeError, match=r"tasks\.chunk\.depth is 'auto'.*whole number from 1"):
        extend(run.folder, added, output=tmp_path / "more", quiet=True)


def test_controls_permute_what_the_probe_found(encoder: str, tmp_path: Path) -> None:
    given = pretrained(encoder, tasks={"upos": {"depth": "auto"}, "ner": {"depth": 2}})
    found = train({**given, "controls": "inverted"}, output=tmp_path / "run", quiet=True, **SHORT)
    depth = found.recipe.tasks["upos"].depth
    assert depth == 1
    assert found.load().hierarchy["upos"].depth == 2
    assert isinstance(found.recipe, Recipe)
