"""Exits are added to a trained model, used, told and refused."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hiermtl.annotation import Annotator, load
from hiermtl.commands import Exits, Run, annotate, evaluate, exits, extend, train
from hiermtl.commands.exits import NobodyLeavesError
from hiermtl.config import HierarchicalConfig
from hiermtl.early_exit import Calibrated
from hiermtl.errors import ModelError, RecipeError, RunError
from hiermtl.evaluation import ScoreRow
from hiermtl.model import HierarchicalModel
from hiermtl.pretrained import load_model
from tests.unit.commands.runs import BILSTM, DEV, conllu, of_files, recipe
from tests.unit.commands.test_extend import CHUNKS
from tests.worlds import make_encoder

TASKS = {
    "upos": {"depth": 1},
    "ner": {"depth": 3},
    "dep": {"depth": 3, "head": {"arc_width": 16, "label_width": 8}},
    "xpos": {"depth": 2},
}
SAMPLE = {"format": "sample", "train": 300, "dev": 150, "test": 15}
LOSS = 20.0
WORDS = [["Ada", "saw", "the", "brumglets", "."], ["Yes"], [], ["The", "old", "man", "slept"]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Run:
    given = recipe(
        encoder={**BILSTM, "layers": 3, "hidden": 32},
        tasks=TASKS,
        corpora={"sample": SAMPLE},
    )
    options = {"training.epochs": 8, "training.lr_heads": 0.01, "training.lr": 0.01}
    return train(given, output=tmp_path_factory.mktemp("base"), quiet=True, **options)


@pytest.fixture(scope="module")
def made(base: Run, tmp_path_factory: pytest.TempPathFactory) -> Exits:
    return exits(base.folder, output=tmp_path_factory.mktemp("exits") / "new", loss=LOSS)


def test_a_model_gets_exits_and_is_otherwise_the_same(base: Run, made: Exits) -> None:
    assert {one.task for one in made.tasks} == {"ner", "dep", "xpos"}
    assert made.notes == (
        "upos: no exits: it is read at depth 1, below which there is the embedding alone",
    )
    config = json.loads((made.folder / "config.json").read_text())
    assert set(config["exits"]) <= {"ner", "dep", "xpos"}
    assert config["exits"]
    old, new = load(base.folder), load(made.folder)
    known = new.model.state_dict()
    for name, value in old.model.state_dict().items():
        assert torch.equal(value, known[name]), name
    assert list(new.predict_layers(WORDS)) == list(old.predict_layers(WORDS))
    assert not new.left
    rows = [{**vars_of(row)} for row in evaluate(made.folder)]
    assert rows == [{**vars_of(row)} for row in evaluate(base.folder)]


def vars_of(row: ScoreRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("task", "metric", "score", "items")}


def test_what_was_found_is_what_is_scored(made: Exits) -> None:
    """On dev, with the model as it is loaded; and more leave than none."""
    scores = evaluate(made.folder, exits=True)
    found = {one.task: one for one in made.tasks}
    assert scores.exits
    for use in scores.exits:
        one = found[use.task]
        assert (use.whole, use.score) == pytest.approx((one.score, one.score_with), abs=1e-9)
        assert use.score == scores.main(use.task).score
        every = sum(use.read.values())
        for row in one.exits:
            assert 100 * use.read.get(row.depth, 0) / every == pytest.approx(row.share)
        assert one.bound <= LOSS
        assert one.score - one.score_with <= LOSS
    assert any(one.saved > 0 for one in made.tasks)
    whole = {use.task: use.whole for use in scores.exits}
    plain = evaluate(made.folder)
    assert whole == {task: plain.main(task).score for task in whole}
    (note,) = [note for note in scores.notes if "left early" in note]
    assert set(note.partition(":")[0].split(", ")) == set(whole)
    assert not [note for note in plain.notes if "left early" in note]


def test_evaluation_tells_cost_with_and_without(made: Exits) -> None:
    scores = evaluate(made.folder, exits=True, cost=True)
    before = [one.whole for one in scores.block_rows]
    after = [one.left for one in scores.block_rows]
    assert before[0] == before[1] == before[2] == after[0]
    assert after[2] < before[2]
    assert all(one.with_exits is not None for one in scores.cost)
    text = scores.to_text()
    assert "exits, which are not what the whole model says:" in text
    assert "pieces that each block read:" in text
    plain = json.loads(json.dumps(scores.details()))
    assert {"cost", "exits", "block_rows"} <= plain.keys()
    assert (
        json.loads(scores.to_json())[0].keys()
        == json.loads(evaluate(made.folder).to_json())[0].keys()
    )


def test_sentences_are_counted_in_the_data_they_are_of(tmp_path: Path) -> None:
    tasks = {"upos": {"depth": 2, "corpus": ["one", "two"]}}
    corpora = {"one": {**SAMPLE, "dev": 30}, "two": {**SAMPLE, "dev": 20}}
    run = train(recipe(tasks=tasks, corpora=corpora), output=tmp_path / "run", quiet=True)
    model, tokenizer = load_model(run.folder)
    model.set_exits({"upos": {"loss": 1.0, "thresholds": {"1": 0.0}}})
    found = evaluate(Annotator(model, tokenizer, exits=True))
    assert {use.data: use.read for use in found.exits} == {"one": {1: 30}, "two": {1: 20}}
    assert [note for note in found.notes if note.startswith("upos: sentences left early")]
    model.set_exits({"upos": {"loss": 1.0, "thresholds": {"1": 2.0}}})
    stayed = evaluate(Annotator(model, tokenizer, exits=True))
    assert {use.data: use.read for use in stayed.exits} == {"one": {2: 30}, "two": {2: 20}}
    assert not [note for note in stayed.notes if "left early" in note]
    model.set_exits({"upos": {"loss": 1.0, "thresholds": {"1": 0.0}}})
    file = conllu(tmp_path / "gold.conllu", DEV)
    found = evaluate(Annotator(model, tokenizer, exits=True), file)
    assert {use.data: use.read for use in found.exits} == {"gold.conllu": {1: len(DEV)}}


@pytest.mark.slow
def test_annotation_uses_exits_only_when_asked(made: Exits, tmp_path: Path) -> None:
    source = tmp_path / "text.txt"
    source.write_text("The old man slept. Ada saw the brumglets.\n\nYes.\n" * 5, encoding="utf-8")
    plain = annotate(made.folder, source, tmp_path / "plain.conllu")
    assert plain.left == {}
    early = annotate(made.folder, source, tmp_path / "early.conllu", exits=True)
    assert early.left
    for task, depths in early.left.items():
        assert sum(depths.values()) == early.sentences
        assert max(depths) <= TASKS[task]["depth"]  # type: ignore[operator]
    shared = annotate(made.folder, source, tmp_path / "shared.conllu", exits=True, workers=1)
    assert shared.left == early.left
    texts = [(tmp_path / name).read_text() for name in ("early.conllu", "shared.conllu")]
    assert texts[0] == texts[1]
    with pytest.raises(RecipeError, match=r"exits are not used on a cluster, .* --engine local"):
        annotate(made.folder, source, tmp_path / "ray", exits=True, engine="ray")


def test_a_part_of_a_model_has_its_exits(made: Exits) -> None:
    config = json.loads((made.folder / "config.json").read_text())["exits"]
    task = next(iter(config))
    part = load(made.folder, tasks=[task], exits=True)
    assert set(part.model.config.exits) == {task}
    whole = load(made.folder, exits=True)
    assert list(part.predict_layers(WORDS, [task])) == list(whole.predict_layers(WORDS, [task]))


def test_exits_are_saved_with_a_copy_and_named_on_the_card(made: Exits, tmp_path: Path) -> None:
    nlp = load(made.folder, exits=True)
    nlp.save_pretrained(tmp_path / "copy")
    again = load(tmp_path / "copy", exits=True)
    assert again.model.config.exits == nlp.model.config.exits
    assert list(again.predict_layers(WORDS)) == list(nlp.predict_layers(WORDS))
    card = (tmp_path / "copy" / "README.md").read_text()
    assert card.count("## Exits") == 1
    assert "not what the whole model says" in card


def test_exits_of_a_model_that_had_some_are_made_anew(
    base: Run, made: Exits, tmp_path: Path
) -> None:
    had = set(load(made.folder).model.config.exits)
    assert had > {"xpos"}
    nlp = load(made.folder)
    nlp.save_pretrained(tmp_path / "copy")
    card = tmp_path / "copy" / "README.md"
    card.write_text(f"{card.read_text()}\n## Mine\n\nWritten by hand.\n")
    twice = exits(tmp_path / "copy", output=tmp_path / "twice", loss=LOSS, tasks=["xpos"])
    once = exits(base.folder, output=tmp_path / "once", loss=LOSS, tasks=["xpos"])
    found = [load(folder).model for folder in (twice.folder, once.folder)]
    assert set(found[0].config.exits) == {"xpos"}
    assert found[0].config.exits == found[1].config.exits
    weights = [model.exits.state_dict() for model in found]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    assert {note for note in twice.notes if "had exits" in note} == {
        f"{task}: had exits, which are left out; name it too to make new ones"
        for task in had - {"xpos"}
    }
    assert not [note for note in once.notes if "had exits" in note]
    text = (twice.folder / "README.md").read_text()
    assert text.count("## Exits") == 1
    assert "Written by hand." in text


def test_a_model_that_is_extended_is_without_exits(
    made: Exits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    added = {**CHUNKS, "corpora": {"sample": SAMPLE}, "training": {"max_steps": 1}}
    found = extend(made.folder, added, output=tmp_path / "new")
    assert not found.load().model.config.exits
    assert "exits are left out; `hiermtl exits` makes new ones" in capsys.readouterr().err


def test_a_model_that_loses_a_task_keeps_the_exits_of_others(made: Exits, tmp_path: Path) -> None:
    there = set(load(made.folder).model.config.exits)
    gone = sorted(there)[0]
    found = extend(made.folder, drop=[gone], output=tmp_path / "new")
    assert set(found.load().model.config.exits) == there - {gone}


def test_a_model_without_exits_says_how_to_get_some(base: Run) -> None:
    wanted = r"exits is True, but the model has none; add some with `hiermtl exits MODEL --loss"
    with pytest.raises(ModelError, match=wanted):
        load(base.folder, exits=True)
    with pytest.raises(ModelError, match=wanted):
        Annotator(*load_model(base.folder), exits=True)
    with pytest.raises(ModelError, match=wanted):
        evaluate(base.folder, exits=True)


@pytest.mark.parametrize("loss", [-0.5, float("inf"), float("nan")])
def test_a_loss_is_a_number_from_0(base: Run, tmp_path: Path, loss: float) -> None:
    with pytest.raises(RecipeError, match=rf"loss is {loss:g}; allowed are 0 and more, in points"):
        exits(base.folder, output=tmp_path / "new", loss=loss)


def test_other_mistakes_are_named(base: Run, made: Exits, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"is occupied; name another folder with -o"):
        exits(base.folder, output=base.folder, loss=1.0)
    with pytest.raises(ModelError, match=r"the model has no task 'depp'; .* did you mean 'dep'\?"):
        exits(base.folder, output=tmp_path / "new", loss=1.0, tasks=["depp"])
    with pytest.raises(ModelError, match=r"task 'upos' is read at depth 1, .* name other tasks"):
        exits(base.folder, output=tmp_path / "new", loss=1.0, tasks=["upos"])
    load(base.folder, tasks=["upos"]).save_pretrained(tmp_path / "low")
    with pytest.raises(ModelError, match=r"any task: upos: no exits: it is .* at depth 2 or above"):
        exits(tmp_path / "low", output=tmp_path / "new", loss=1.0)
    with pytest.raises(RecipeError, match=r"exits cannot be told with raw, .* leave raw out"):
        evaluate(made.folder, exits=True, raw=True)


def test_a_note_tells_the_whole_reason() -> None:
    """Also one with commas."""
    encoder = make_encoder("bert")
    reads = {"entails": 2, "same": 2, "near": 2}
    pair = {"head": "pair_classification", "labels": ["no", "yes"], "options": {"hidden": 6}}
    tasks = {name: {**pair, "depth": 2} for name in reads}
    tasks["last"] = {**pair, "depth": 3, "options": {"hidden": 6, "reads": reads}}
    model = HierarchicalModel(HierarchicalConfig(encoder.config(), tasks), encoder)
    module = importlib.import_module("hiermtl.commands.exits")
    assert module._able(model, None) == (
        ["entails", "near", "same"],
        ["last: no exits: it reads what entails, same and near predict"],
    )


def test_where_nobody_may_leave_nothing_is_written(
    base: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("hiermtl.commands.exits")
    monkeypatch.setattr(module, "choose_thresholds", lambda *given, **options: Calibrated({}))
    with pytest.raises(
        NobodyLeavesError, match=r"no sentence may leave for xpos at a loss of 2 points"
    ):
        exits(base.folder, output=tmp_path / "new", loss=2.0, tasks=["xpos"])
    assert not (tmp_path / "new").exists()


def test_dev_of_few_documents_tests_nothing_and_it_is_said(tmp_path: Path) -> None:
    run = train(of_files(tmp_path), output=tmp_path / "run", quiet=True)
    with pytest.raises(RunError, match=r"note: dep: dev has 2 documents, .* there must be 10"):
        exits(run.folder, output=tmp_path / "new", loss=2.0, tasks=["dep"])
