"""Auxiliary tasks: they shape training, have no say in it, and are not in the model."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from hiermtl.annotation import Annotator, load
from hiermtl.commands import check, compare, evaluate, extend, train
from hiermtl.commands.extend import _helping
from hiermtl.config import HierarchicalConfig
from hiermtl.errors import ModelError, RecipeError
from hiermtl.evaluation import ScoreRow, Scores
from hiermtl.model import HierarchicalModel
from hiermtl.recipe import load_recipe
from hiermtl.reporting import Material, gather, page
from hiermtl.training import loop
from hiermtl.training.checkpoint import load_checkpoint
from tests.unit.commands.runs import DEV, TASKS, TRAIN, conllu, of_files, recipe
from tests.unit.commands.test_extend import CHUNKS, same, scores

FREQUENCY = {
    "depth": 1,
    "head": {"name": "hint", "feature": "frequency"},
    "auxiliary": True,
}
HELPED = {**TASKS, "often": FREQUENCY}
SCHEMES: dict[str, Any] = {
    "low_supervision": {},
    "cross_stitch": {},
    "adaptive": {"tree": {2: [["ner"], ["dep"]], 1: [["upos", "ner"], ["often", "dep"]]}},
    "hmtl": {},
    "joint_many": {},
    "learned": {},
    "relationship": {"every": 1},
    "sluice": {},
    "soft_l2": {"decoupled": True, "strength": 1.0},
    "soft_trace": {},
}


def checkpoint(folder: Path, nlp: Annotator) -> Annotator:
    """The model as its best checkpoint holds it, with all that helped to train it."""
    found = load_checkpoint(folder / "checkpoints" / "best")
    model = HierarchicalModel(HierarchicalConfig(**found.config))
    model.load_state_dict(dict(found.weights))
    return Annotator(model.eval(), nlp.tokenizer, precision="fp32")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_model_is_saved_without_them_and_the_checkpoints_with_them(
    tmp_path: Path, scheme: str
) -> None:
    given = recipe(tasks=HELPED, sharing={"name": scheme, **SCHEMES[scheme]})
    run = train(given, output=tmp_path, quiet=True, **{"training.max_steps": 3})
    nlp = load(run.folder, precision="fp32")
    assert set(nlp.tasks) == set(run.scores.tasks) == set(TASKS)
    whole = checkpoint(run.folder, nlp)
    assert set(whole.tasks) == {*TASKS, "often"}
    assert same(scores(nlp, list(TASKS)), scores(whole, list(TASKS)))
    with safe_open(run.folder / "model.safetensors", "pt") as file:
        inside = set(file.keys())
    needed = set().union(*(whole.model.depends_on(task) for task in TASKS))
    if scheme == "learned":
        assert nlp.model.config.sharing == {"name": "low_supervision"}
    assert inside & set(whole.model.depends_on("often")) <= needed
    assert not [name for name in inside if name.startswith("heads.often")]
    config = json.loads((run.folder / "config.json").read_text())
    assert set(config["tasks"]) == set(TASKS)
    card = (run.folder / "README.md").read_text()
    assert "| often |" not in card
    assert "Auxiliary tasks, which are not in it, helped to train it: `often`." in card
    assert nlp(["Ada", "slept"]).tags("upos")
    assert set(evaluate(run.folder).tasks) == set(TASKS)


def test_a_stream_that_others_read_cannot_be_missing(tmp_path: Path) -> None:
    """The control of the one before: what stays of the auxiliary task is needed."""
    given = recipe(tasks=HELPED, sharing="cross_stitch")
    run = train(given, output=tmp_path, quiet=True, **{"training.max_steps": 1})
    weights = load_file(run.folder / "model.safetensors")
    stream = [name for name in weights if name.startswith("stack.blocks.1.often.")]
    assert stream
    without = {name: value for name, value in weights.items() if name != stream[0]}
    save_file(without, run.folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"misses the tensors.*{re.escape(stream[0])}"):
        load(run.folder)


def test_where_nothing_is_shared_they_are_not_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = "often: auxiliary, so that it is not trained: under sharing 'single' it can help no"
    run = train(recipe(tasks=HELPED, sharing="single"), output=tmp_path)
    assert told in capsys.readouterr().err
    assert check(recipe(tasks=HELPED, sharing="single"))[0].startswith(told)
    assert {path.name for path in (tmp_path / "tasks").iterdir()} == set(TASKS)
    assert set(run.load().tasks) == set(TASKS)
    again = train(recipe(tasks=HELPED, sharing="single"), output=tmp_path, resume=True, quiet=True)
    assert again.scores.rows == run.scores.rows


def test_a_run_with_an_auxiliary_task_is_resumed_as_if_it_had_not_been_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = recipe(tasks=HELPED, sharing="joint_many")
    options: dict[str, Any] = {"training.max_steps": 6, "training.checkpoint_every": 2}
    whole = train(given, output=tmp_path / "a", quiet=True, overrides=options)
    keep, calls = loop.prune_checkpoints, []

    def broken(*given: Any) -> None:
        keep(*given)
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "prune_checkpoints", broken)
    with pytest.raises(KeyboardInterrupt):
        train(given, output=tmp_path / "b", quiet=True, overrides=options)
    monkeypatch.setattr(loop, "prune_checkpoints", keep)
    assert not (tmp_path / "b" / "config.json").exists()
    again = train(given, output=tmp_path / "b", quiet=True, overrides=options, resume=True)
    assert again.scores.rows == whole.scores.rows
    ended = [sorted((tmp_path / name).glob("checkpoints/step-*"))[-1] for name in ("a", "b")]
    one, other = (load_file(folder / "model.safetensors") for folder in ended)
    assert "heads.often.output.weight" in one
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores on dev by which `upos` falls from the first evaluation and `xpos` rises more."""
    said = {"upos": iter(range(90, 0, -10)), "xpos": iter(range(10, 200, 40))}

    def fake(nlp: Annotator, *_: Any, **__: Any) -> Scores:
        return Scores(
            tuple(
                ScoreRow(1, 1, task, "accuracy", next(said[task]), 9, "own", "dev", "s", "fp32", 0)
                for task in nlp.tasks
            )
        )

    for room in ("train", "finish"):
        monkeypatch.setattr(sys.modules[f"hiermtl.commands.{room}"], "score_corpora", fake)


@pytest.mark.parametrize("auxiliary", [True, False])
def test_they_have_no_say_in_which_weights_are_best_and_when_training_ends(
    tmp_path: Path,
    auxiliary: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The control: as a task like others it has."""
    scripted(monkeypatch)
    helper = {"depth": 2, "column": "upos", "head": "tagging", "auxiliary": auxiliary}
    given = of_files(tmp_path, tasks={"upos": {"depth": 1}, "xpos": helper})
    options = {"training.epochs": 3, "training.patience": 1}
    run = train(given, output=tmp_path / "run", overrides=options)
    lines = (run.folder / "log.jsonl").read_text().splitlines()
    rows = [entry for entry in map(json.loads, lines) if "rows" in entry]
    best = load_checkpoint(run.folder / "checkpoints" / "best").state["step"]
    told = capsys.readouterr().err
    if auxiliary:
        assert [entry["main"] for entry in rows] == [90, 80]
        assert best == rows[0]["step"]
        assert "xpos (auxiliary) accuracy 10.00" in told
        assert "upos accuracy 90.00" in told
        assert "xpos: auxiliary, so that it has no say in which checkpoint is best" in told
    else:
        assert [entry["main"] for entry in rows] == [50, 65, 80]
        assert best == rows[2]["step"]
        assert "auxiliary" not in told
    assert {row["task"]: row.get("auxiliary", False) for row in rows[0]["rows"]} == {
        "upos": False,
        "xpos": auxiliary,
    }


def test_dev_data_of_an_auxiliary_task_alone_chooses_nothing(tmp_path: Path) -> None:
    bare = [[(form, "", tag) for form, _, tag in sentence] for sentence in DEV]
    files = of_files(tmp_path)["corpora"]["own"]
    (tmp_path / "dev.conllu").write_text(
        re.sub(r"(?m)^(\d+\t\S+\t_\t)\t", r"\1_\t", Path(conllu(tmp_path / "d", bare)).read_text())
    )
    tasks = {"upos": {"depth": 1}, "ner": {"depth": 2, "auxiliary": True}}
    run = train(recipe(tasks=tasks, corpora={"own": files}), output=tmp_path / "run", quiet=True)
    assert not (run.folder / "checkpoints" / "best").exists()
    assert len(run.scores) == 0
    assert run.load().tasks == ("upos",)


def test_a_check_says_which_are_auxiliary() -> None:
    lines = check(recipe(tasks=HELPED))
    (of_hint,) = [line for line in lines if line.startswith("often: level")]
    assert re.fullmatch(
        r"often: level 1, depth 1, hint, \d labels, \d+ training items, auxiliary", of_hint
    )
    assert any(line.startswith("often: auxiliary, so that it has no say") for line in lines)
    assert not any("auxiliary" in line for line in lines if not line.startswith("often"))


def test_a_model_is_used_without_what_only_an_auxiliary_task_was_trained_on(tmp_path: Path) -> None:
    files = of_files(tmp_path)["corpora"]["own"]
    other = conllu(tmp_path / "other.conllu", TRAIN)
    licence = {"licence": "CC BY 4.0"}
    corpora = {"own": files, "other": {"format": "conllu", "train": other, **licence}}
    tasks = {
        "upos": {"depth": 1, "corpus": "own"},
        "ner": {"depth": 2, "corpus": "other", "auxiliary": True},
    }
    run = train(recipe(tasks=tasks, corpora=corpora), output=tmp_path / "run", quiet=True)
    Path(other).unlink()
    assert evaluate(run.folder).rows == run.scores.rows
    with pytest.raises(ModelError, match="the model has no task 'ner'; it has upos"):
        evaluate(run.folder, tasks=["ner"])
    assert {mean.task for mean in compare([run.folder]).means} == {"upos"}
    # What it was trained on shaped the weights, and its licence holds.
    assert "`other`: licence CC BY 4.0." in (run.folder / "README.md").read_text()


def test_what_is_left_is_extended(tmp_path: Path) -> None:
    sharing = {"name": "joint_many", "label_embeddings": False}
    given = recipe(tasks=HELPED, sharing=sharing)
    base = train(given, output=tmp_path / "base", quiet=True, **{"training.max_steps": 2})
    more = {**CHUNKS, "tasks": {"chunk": {"depth": 2}, "long": LENGTH}}
    extend(base.folder, more, output=tmp_path / "new", quiet=True)
    old, new = load(base.folder, precision="fp32"), load(tmp_path / "new", precision="fp32")
    assert set(new.tasks) == {*TASKS, "chunk"}
    assert same(scores(old, list(TASKS)), scores(new, list(TASKS)))
    assert set(new.model.config.absent) == {"often", "long"}
    taken = {**CHUNKS, "tasks": {"often": {"depth": 2, "column": "chunk", "head": "crf"}}}
    with pytest.raises(RecipeError, match=r"tasks\.often has the name of a task .*'joint_many'"):
        extend(base.folder, taken, output=tmp_path / "taken", quiet=True)


LENGTH = {**FREQUENCY, "depth": 2, "head": {"name": "hint", "feature": "length"}}


def test_a_task_is_dropped_whose_level_others_stand_on(tmp_path: Path) -> None:
    """Trees give no word a label, so that `joint_many` feeds them to none; their level stays."""
    tasks = {"upos": {"depth": 1}, "dep": TASKS["dep"], "ner": {"depth": 3}}
    encoder = {**recipe()["encoder"], "layers": 3}
    given = recipe(tasks=tasks, sharing="joint_many", encoder=encoder)
    base = train(given, output=tmp_path / "base", quiet=True, **{"training.max_steps": 1})
    extend(base.folder, drop=["dep"], output=tmp_path / "less")
    old, new = load(base.folder, precision="fp32"), load(tmp_path / "less", precision="fp32")
    assert same(scores(old, ["upos", "ner"]), scores(new, ["upos", "ner"]))
    with pytest.raises(ModelError, match="task 'dep' reads what upos predicts"):
        extend(base.folder, drop=["upos"], output=tmp_path / "none")


def test_what_helped_is_told_of_a_model_that_was_extended(tmp_path: Path) -> None:
    """In its card, its recipe and its report, also where tasks were only dropped; and again."""
    options = {"training.max_steps": 1}
    helped = train(recipe(tasks=HELPED), output=tmp_path / "base", quiet=True, **options)
    extend(helped.folder, CHUNKS, output=tmp_path / "new", quiet=True, overrides=options)
    extend(tmp_path / "new", drop=["ner", "dep"], output=tmp_path / "less")
    again = {
        **CHUNKS,
        "tasks": {"other": {"depth": 1, "column": "upos", "head": "tagging"}},
    }
    extend(tmp_path / "less", again, output=tmp_path / "more", quiet=True, overrides=options)
    for name, tasks in (
        ("new", {*TASKS, "chunk"}),
        ("less", {"upos", "chunk"}),
        ("more", {"upos", "chunk", "other"}),
    ):
        card = (tmp_path / name / "README.md").read_text()
        assert "Auxiliary tasks, which are not in it, helped to train it: `often`." in card, name
        assert set(load(tmp_path / name).tasks) == tasks
        rungs = {rung.task: rung.auxiliary for rung in gather(tmp_path / name).rungs()}
        assert rungs == {**dict.fromkeys(tasks, False), "often": True}, name
        assert set(evaluate(tmp_path / name).tasks) == tasks
    alone = train(recipe(), output=tmp_path / "alone", quiet=True, **options)
    extend(alone.folder, CHUNKS, output=tmp_path / "plain", quiet=True, overrides=options)
    assert "Auxiliary" not in (tmp_path / "plain" / "README.md").read_text()
    assert not any(rung.auxiliary for rung in gather(tmp_path / "plain").rungs())


def test_what_helped_and_read_a_task_that_is_dropped_is_not_told() -> None:
    tasks = {
        "upos": {"depth": 1},
        "span": {"depth": 1, "column": "entity", "head": "span"},
        "relation": {"depth": 2, "head": {"name": "relation", "reads": ["span"]}},
        "often": FREQUENCY,
    }
    tasks["relation"]["auxiliary"] = True
    before = load_recipe(recipe(tasks=tasks))
    assert _helping(before, None, ["upos", "span"]) == ["relation", "often"]
    assert _helping(before, None, ["upos"]) == ["often"]
    after = load_recipe(recipe(tasks={"often": {"depth": 1, "column": "upos", "head": "tagging"}}))
    assert _helping(before, after, ["upos"]) == []


def test_what_a_scheme_had_learnt_is_told_of_a_model_that_was_extended(tmp_path: Path) -> None:
    """But where the head is new that it had learnt of."""
    options = {"training.max_steps": 3}
    given = recipe(tasks=HELPED, sharing="learned")
    base = train(given, output=tmp_path / "base", quiet=True, **options)
    told = load(base.folder).model.described()
    assert told["scheme"] == "learned"
    assert told["learnt"]["centres"].keys() == HELPED.keys()
    extend(base.folder, CHUNKS, output=tmp_path / "new", quiet=True, overrides=options)
    new = load(tmp_path / "new").model
    assert new.described() == told
    assert new.config.sharing["name"] == "low_supervision"
    for folder, said in ((tmp_path / "new", True), (base.folder, False)):
        facts = gather(folder)
        shown = page(Material(facts, facts.rungs(), described=load(folder).model.described()))
        assert ("Added when the model was extended, and not in it: chunk." in shown) == said
        assert "<code>learned</code> has learnt of how its tasks share" in shown
    again = {**CHUNKS, "tasks": {"upos": {"depth": 1}}}
    extend(base.folder, again, output=tmp_path / "other", quiet=True, overrides=options)
    assert load(tmp_path / "other").model.described()["scheme"] == "low_supervision"
