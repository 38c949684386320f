"""Runs: their folders, their precision, and what is the same between kinds of runs."""

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from hiermtl.commands import Run, check, evaluate, train
from hiermtl.errors import ModelError, RecipeError, RunError
from hiermtl.evaluation import ScoreRow
from hiermtl.recipe import load_recipe
from hiermtl.training.step import Stepper
from tests.unit.commands.runs import TASKS, TRAIN, conllu, of_files, recipe

room = importlib.import_module("hiermtl.commands.train")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """The losses of each step of every run of a test."""
    found: list[dict[str, float]] = []
    keep = Stepper.take

    def watched(*given: Any, **options: Any) -> dict[str, Tensor]:
        losses = keep(*given, **options)
        found.append({task: float(loss) for task, loss in losses.items()})
        return losses

    monkeypatch.setattr(Stepper, "take", watched)
    return found


@pytest.mark.parametrize("command", ["check", "train"])
def test_a_language_that_spacy_does_not_know_is_refused_before_training(
    tmp_path: Path, command: str
) -> None:
    """The model could not split raw text, which would be found when it is used."""
    given = recipe(language="english")
    with pytest.raises(RecipeError, match=r"language 'english'; allowed are the codes"):
        check(given) if command == "check" else train(given, output=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_language_whose_tokenizer_is_not_installed_can_be_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Corpora have words; only raw text needs the tokenizer."""
    monkeypatch.setitem(sys.modules, "sudachipy", None)
    assert check(recipe(language="ja"))


def test_a_finished_run_is_a_model_folder(run: Run) -> None:
    names = {path.name for path in run.folder.iterdir()}
    assert names >= {"config.json", "model.safetensors", "README.md", "scores.json", "log.jsonl"}
    assert run.load().tasks == ("upos", "dep", "ner")
    assert json.loads((run.folder / "scores.json").read_text()) == json.loads(run.scores.to_json())
    assert run.seconds > 0


def test_the_recipe_is_saved_with_all_its_values(run: Run) -> None:
    saved = json.loads((run.folder / "recipe.json").read_text())
    assert saved["training"]["lr"] == 4e-4
    assert load_recipe(saved) == run.recipe
    config = json.loads((run.folder / "config.json").read_text())
    assert config["recipe"] == saved


def test_the_best_weights_are_those_of_the_model(run: Run) -> None:
    best = load_file(run.folder / "checkpoints" / "best" / "model.safetensors")
    model = load_file(run.folder / "model.safetensors")
    assert best.keys() == model.keys()
    assert all(torch.equal(best[name], model[name]) for name in best)


def test_a_finished_run_that_is_resumed_returns_at_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "training_corpora", lambda *_, **__: pytest.fail("it read corpora"))
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    again = train(recipe(), output=run.folder, resume=True)
    assert again.scores.rows == run.scores.rows
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before


def test_an_occupied_folder_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for folder in (run.folder, tmp_path):
        before = sorted(path for path in folder.rglob("*"))
        with pytest.raises(RecipeError, match=r"is occupied.*--resume"):
            train(recipe(), output=folder)
        assert sorted(path for path in folder.rglob("*")) == before
    with pytest.raises(RecipeError, match="is occupied"):
        train(recipe(), output=tmp_path / "mine.txt")


def test_resuming_another_recipe_names_the_keys(run: Run) -> None:
    with pytest.raises(RecipeError, match=r"training\.lr and training\.seed"):
        train(recipe(), output=run.folder, resume=True, **{"training.lr": 0.5, "training.seed": 4})
    same = {"training.output": "elsewhere"}
    assert train(recipe(), output=run.folder, resume=True, **same).scores.rows == run.scores.rows


def test_a_run_of_a_version_with_fewer_keys_can_be_resumed(run: Run, tmp_path: Path) -> None:
    folder = shutil.copytree(run.folder, tmp_path / "run")
    saved = json.loads((folder / "recipe.json").read_text())
    del saved["training"]["max_skipped"]
    (folder / "recipe.json").write_text(json.dumps(saved))
    assert train(recipe(), output=folder, resume=True).scores.rows == run.scores.rows
    with pytest.raises(RecipeError, match=r"other values of training\.max_skipped"):
        train(recipe(), output=folder, resume=True, **{"training.max_skipped": 4})


def test_there_must_be_a_run_to_resume(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"holds no run to resume.*train without --resume"):
        train(recipe(), output=tmp_path, resume=True)
    for content in ('{"encoder": ', "[1, 2]", "null"):
        (tmp_path / "recipe.json").write_text(content)
        with pytest.raises(RecipeError, match=r"recipe\.json is damaged"):
            train(recipe(), output=tmp_path, resume=True)


def test_a_folder_that_cannot_be_made_is_an_error_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        train(recipe(), output=tmp_path / "file" / "run", quiet=True)


@pytest.mark.parametrize("sharing", ["low_supervision", "single"])
def test_fewer_processes_than_were_asked_for_are_refused_with_the_command(
    tmp_path: Path, sharing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `accelerate launch --cpu --num_processes 2` starts one, without a word."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    with pytest.raises(RecipeError, match="torchrun --nproc-per-node 2"):
        train(recipe(sharing=sharing), output=tmp_path / "run", processes=2, quiet=True)
    assert not (tmp_path / "run").exists()


def test_without_output_the_folder_is_named_like_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {**of_files(tmp_path), "name": "own/tiny"}
    found = train(given, quiet=True, **{"training.max_steps": 1})
    assert found.folder == Path("runs/own-tiny")
    assert (found.folder / "config.json").exists()


def test_lstms_in_fp16_are_refused_where_they_cannot_compute(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("a graphics processor has LSTMs in fp16")
    with pytest.raises(RecipeError, match=r"precision is 'fp16', .* set it to bf16, fp32 or auto"):
        train(recipe(), overrides={"training.precision": "fp16"}, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(RecipeError, match="precision is 'fp16'"):
        check(recipe(), overrides={"training.precision": "fp16"})


def test_a_run_without_dev_keeps_its_last_weights_and_has_no_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"format": "conllu", "train": conllu(tmp_path / "t.conllu", TRAIN)}
    found = train(recipe(corpora={"own": files}), output=tmp_path / "run")
    assert len(found.scores) == 0
    assert json.loads((found.folder / "scores.json").read_text()) == []
    assert "no dev data that can be scored: the last weights are kept" in capsys.readouterr().err
    assert found.load()("Ada slept").sentences


def test_a_one_task_recipe_has_the_losses_of_the_task_alone(
    tmp_path: Path, steps: list[dict[str, float]]
) -> None:
    """X7: dropout included; per step and bit for bit, and so are the weights."""
    single = train(recipe(sharing="single"), output=tmp_path / "single", quiet=True)
    by_task: dict[str, list[dict[str, float]]] = {}
    for losses in steps:
        (task,) = losses
        by_task.setdefault(task, []).append(losses)
    assert set(by_task) == set(TASKS)
    together = load_file(single.folder / "model.safetensors")
    for task, options in TASKS.items():
        steps.clear()
        alone = train(recipe(tasks={task: options}), output=tmp_path / task, quiet=True)
        assert len(steps) > 3
        assert steps == by_task[task]
        for name, value in load_file(alone.folder / "model.safetensors").items():
            assert torch.equal(value, together[name.replace(".shared.", f".{task}.")]), name
        assert alone.scores.filter(task=task).rows == tuple(
            row.__class__(**{**_row(row), "level": 1})
            for row in single.scores.filter(task=task).rows
        )


def _row(row: ScoreRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ScoreRow.__slots__}


def test_tasks_together_do_not_have_the_losses_of_each_alone(
    tmp_path: Path, steps: list[dict[str, float]]
) -> None:
    """The control: on a shared encoder, losses differ from the first step that follows another."""
    train(recipe(), output=tmp_path / "shared", quiet=True)
    together = [losses["upos"] for losses in steps]
    steps.clear()
    train(recipe(tasks={"upos": TASKS["upos"]}), output=tmp_path / "upos", quiet=True)
    alone = [losses["upos"] for losses in steps]
    assert together[0] == pytest.approx(alone[0], rel=1e-5)
    assert together[2:] != alone[2:]


def test_single_puts_each_task_model_in_as_it_is(tmp_path: Path) -> None:
    found = train(recipe(sharing="single"), output=tmp_path / "run", quiet=True)
    merged = load_file(found.folder / "model.safetensors")
    seen: set[str] = set()
    for task in TASKS:
        part = load_file(found.folder / "tasks" / task / "trained" / "model.safetensors")
        assert all(torch.equal(merged[name], value) for name, value in part.items())
        assert not seen & set(part)
        seen |= set(part)
    assert seen == set(merged)
    assert set(found.scores.tasks) == set(TASKS)


def test_single_trains_a_task_whose_corpus_has_no_dev(tmp_path: Path) -> None:
    corpora = {
        "both": of_files(tmp_path)["corpora"]["own"],
        "bare": {"format": "conllu", "train": conllu(tmp_path / "bare.conllu", TRAIN)},
    }
    tasks = {"upos": {"depth": 1, "corpus": "both"}, "ner": {"depth": 2, "corpus": "bare"}}
    given = recipe(corpora=corpora, tasks=tasks, sharing="single")
    found = train(given, output=tmp_path / "run", quiet=True)
    assert found.scores.tasks == ("upos",)


def test_single_that_is_resumed_keeps_the_tasks_that_are_done(
    tmp_path: Path, steps: list[dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(recipe(sharing="single"), output=tmp_path / "whole", quiet=True)
    per_task = len(steps) // 3
    steps.clear()
    keep = room.train_model
    calls: list[int] = []

    def breaks(*given: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return keep(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(room, "train_model", breaks)
        with pytest.raises(KeyboardInterrupt):
            train(recipe(sharing="single"), output=tmp_path / "cut", quiet=True)
    assert len(steps) == per_task
    steps.clear()
    cut = train(recipe(sharing="single"), output=tmp_path / "cut", resume=True, quiet=True)
    assert len(steps) == 2 * per_task
    assert cut.scores.rows == whole.scores.rows
    left, right = (load_file(r.folder / "model.safetensors") for r in (whole, cut))
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_the_card_has_scores_licences_and_notes(tmp_path: Path) -> None:
    given = of_files(tmp_path)
    given["corpora"]["own"] |= {"licence": "CC BY 4.0", "note": "Two sentences by hand."}
    given["description"] = "for a test"
    found = train(given, output=tmp_path / "run", quiet=True, **{"training.seed": 7})
    card = (found.folder / "README.md").read_text(encoding="utf-8")
    for part in ("`own`: licence CC BY 4.0. Two sentences by hand.", "for a test", "seed 7"):
        assert part in card
    assert "split dev" in card
    row = found.scores.main("upos")
    assert f"| upos | accuracy | {row.score:.2f} | {row.items} |" in card
    assert "library_name: hiermtl" in card
    assert "11 words" in card
    assert "upos, dep, ner: Two sentences by hand." in found.scores.notes


def test_a_licence_that_is_not_given_is_said_to_be_not_stated(run: Run) -> None:
    assert "`sample`: licence not stated." in (run.folder / "README.md").read_text()


class Kept:
    """A tracker that keeps what it is told, under the name of an installed one."""

    name = "tensorboard"
    requires_logging_directory = True
    main_process_only = True
    every: ClassVar[list["Kept"]] = []

    def __init__(self, run: str, folder: str, **_: Any) -> None:
        self.run, self.logged, self.config, self.ended = run, {}, {}, 0
        self.every.append(self)

    def start(self) -> None:
        assert not self.logged

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.config = values

    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        assert not self.ended
        self.logged |= values

    def finish(self) -> None:
        self.ended += 1


@pytest.fixture
def trackers(monkeypatch: pytest.MonkeyPatch) -> list[Kept]:
    """Every tracker that a run began."""
    from accelerate import tracking
    from accelerate.utils import LoggerType

    monkeypatch.setattr(tracking, "_available_trackers", [LoggerType.TENSORBOARD])
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "tensorboard", Kept)
    monkeypatch.setattr(Kept, "every", [])
    return Kept.every


@pytest.mark.parametrize("sharing", ["low_supervision", "single"])
def test_trackers_are_told_the_recipe_and_every_loss_and_ended(
    tmp_path: Path, trackers: list[Kept], sharing: str
) -> None:
    """Of a run of single tasks each has its own."""
    given = {**recipe(sharing=sharing), "name": "own/tiny"}
    options = {"training.trackers": ["tensorboard"], "training.max_steps": 2}
    train(given, output=tmp_path / "run", quiet=True, overrides=options)
    assert len(Kept.every) == (len(TASKS) if sharing == "single" else 1)
    logged: dict[str, Any] = {}
    for tracker in Kept.every:
        assert tracker.ended == 1
        assert tracker.run == "own-tiny"
        assert tracker.config["training.max_steps"] == "2"
        assert tracker.config["encoder.name"] == "bilstm"
        logged |= tracker.logged
    assert {"train/upos/loss", "train/dep/loss", "eval/dep/las", "train/rate"} <= set(logged)


def test_a_tracker_is_ended_when_the_run_breaks_off(
    tmp_path: Path, trackers: list[Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "train_model", lambda *_, **__: 1 / 0)
    options = {"training.trackers": ["tensorboard"]}
    with pytest.raises(ZeroDivisionError):
        train(recipe(), output=tmp_path / "run", quiet=True, overrides=options)
    assert [tracker.ended for tracker in Kept.every] == [1]


def test_a_tracker_that_is_not_installed_is_refused(
    tmp_path: Path, trackers: list[Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "training_corpora", lambda *_, **__: pytest.fail("it read corpora"))
    options = {"training.trackers": ["tensorboard", "comet_ml"]}
    with pytest.raises(RecipeError, match=r"'comet_ml', which is not installed.*install comet-ml"):
        train(recipe(), output=tmp_path / "run", overrides=options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [train, check])
def test_a_balancing_whose_package_is_not_installed_is_refused(
    tmp_path: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchjd", None)
    given = recipe(balancing="torchjd.upgrad", training={"output": str(tmp_path / "run")})
    with pytest.raises(RecipeError, match=r"name is 'torchjd\.upgrad', which needs") as e:
        command(given)
    assert "pip install 'hiermtl[torchjd]'" in str(e.value)
    assert not (tmp_path / "run").exists()


def test_a_run_that_weighs_gradients_ends_with_a_model(tmp_path: Path) -> None:
    pytest.importorskip("torchjd")
    given = recipe(balancing={"name": "torchjd.upgrad", "reg_eps": 1e-3})
    run = train(given, output=tmp_path / "run", quiet=True)
    plain = train(recipe(), output=tmp_path / "plain", quiet=True)
    assert run.load().model.state_dict().keys() == plain.load().model.state_dict().keys()
    assert len(run.scores.rows) == len(plain.scores.rows)


def test_weights_of_another_task_are_not_taken() -> None:
    from hiermtl.commands.build import build
    from hiermtl.commands.corpora import open_corpora

    loaded = load_recipe(recipe(sharing="single"))
    model = build(loaded, open_corpora(loaded)).model
    own = {name: value + 1 for name, value in model.state_dict().items() if ".upos." in name}
    room._take_part(model, own, "upos")
    taken = model.state_dict()
    assert all(torch.equal(taken[name], value) for name, value in own.items())
    lost = dict(list(own.items())[1:])
    for wrong in (lost, {**own, "heads.ner.output.weight": torch.zeros(1)}):
        with pytest.raises(ModelError, match="trained for 'upos' are not those the model has"):
            room._take_part(model, wrong, "upos")


def test_lemmas_are_learnt_as_scripts_and_given_as_words(tmp_path: Path) -> None:
    """And scored, with features, as the shared task does."""
    tasks = {
        "upos": {"depth": 1},
        "feats": {"depth": 1},
        "lemma": {"depth": 1},
        "dep": TASKS["dep"],
    }
    options = {"training.epochs": 8, "training.lr": 0.01, "training.lr_heads": 0.01}
    sample = {"format": "sample", "train": 120, "dev": 20, "test": 5}
    found = train(
        recipe(tasks=tasks, corpora={"sample": sample}),
        output=tmp_path / "run",
        quiet=True,
        overrides=options,
    )
    assert [(row.task, row.metric) for row in found.scores if row.task in ("feats", "lemma")] == [
        ("feats", "accuracy"),
        ("lemma", "accuracy"),
    ]
    metrics = {row.metric for row in found.scores.filter(task="dep")}
    assert metrics == {"las", "uas", "clas", "mlas", "blex"}
    assert found.scores.main("lemma").score > 50
    config = json.loads((found.folder / "config.json").read_text())
    scripts = config["tasks"]["lemma"]["labels"]
    assert all(script[1] == "|" for script in scripts)
    nlp = found.load()
    words = ["the", "Brumglets", "slept", "."]
    lemmas = nlp(words).tags("lemma")
    assert len(lemmas) == 4
    assert lemmas[0] == "the"
    assert lemmas == nlp(words, ["lemma"]).tags("lemma")
    assert found.scores.rows == evaluate(found.folder).rows


def test_one_layer_is_not_learnt_as_scripts_and_as_labels(tmp_path: Path) -> None:
    tasks = {
        "lemma": {"depth": 1},
        "form": {"depth": 1, "column": "lemma", "head": "tagging"},
    }
    with pytest.raises(RecipeError, match=r"tasks lemma and form read the layer 'lemma', some as"):
        train(recipe(tasks=tasks), output=tmp_path / "run", quiet=True)


@pytest.mark.parametrize("width", [0, 6])
def test_a_model_holds_no_word_of_its_training_text(tmp_path: Path, width: int) -> None:
    encoder = {**recipe()["encoder"], "word_width": width}
    found = train(
        recipe(encoder=encoder), output=tmp_path / "run", quiet=True, **{"training.max_steps": 1}
    )
    text = (found.folder / "words.json").read_text(encoding="utf-8")
    assert bool(json.loads(text)["vocabulary"]) == bool(width)
    assert not any(len(name) > 1 and name.isalpha() for name in _texts(json.loads(text)))
    weights = load_file(found.folder / "model.safetensors")
    assert any(".words." in name for name in weights) == bool(width)
    assert found.load()("Ada slept.").tags("upos")


def _texts(value: Any) -> Iterator[str]:
    """All texts that are values in JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def test_padded_training_gives_the_same_weights(tmp_path: Path) -> None:
    """In exact arithmetic, but for the order of sums; with dropout the draws differ."""
    weights = {}
    for flat, rate in ((True, 0.0), (False, 0.0), (False, 0.5)):
        found = train(
            recipe(),
            output=tmp_path / f"{flat}-{rate}",
            quiet=True,
            overrides={
                "training.flat": flat,
                "training.precision": "fp64",
                "training.dropout": rate,
                "encoder.word_dropout": 0.0,
            },
        )
        weights[flat, rate] = load_file(found.folder / "model.safetensors")
    one, other, control = weights.values()
    assert all(torch.allclose(one[name], other[name], rtol=0, atol=1e-6) for name in one)
    assert any(not torch.allclose(one[name], control[name], rtol=0, atol=1e-3) for name in one)
