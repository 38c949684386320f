"""Heads added, replaced and dropped; the others as they were, to the last bit."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertModel

from hiermtl.annotation import Annotator, load
from hiermtl.commands import Run, evaluate, extend, train
from hiermtl.errors import ModelError, RecipeError
from hiermtl.recipe import load_recipe
from hiermtl.records import Example
from hiermtl.tokens import Collator
from hiermtl.training import loop
from tests.unit.commands.runs import BILSTM, DEV, TRAIN, conllu, recipe
from tests.worlds import bert_config, piece_backend

SAMPLE = {"format": "sample", "train": 40, "dev": 15, "test": 15}
CHUNKS: dict[str, Any] = {
    "tasks": {"chunk": {"depth": 2}},
    "corpora": {"sample": SAMPLE},
    "training": {"epochs": 1, "tokens_per_batch": 150, "warmup": 1, "precision": "fp32"},
}
WORDS = [["Ada", "saw", "the", "brumglets", "."], ["Yes"], ["The", "old", "man", "slept"]]


def scores(nlp: Annotator, tasks: list[str]) -> dict[str, torch.Tensor]:
    """Every score of the tasks' heads, in fp32."""
    encoded = nlp.tokenizer.encode(WORDS)
    others = [name for name in encoded if name not in ("pieces", "piece_counts")]
    examples = [
        Example(
            encoded["pieces"][i],
            encoded["piece_counts"][i],
            {name: encoded[name][i] for name in others},
        )
        for i in range(len(WORDS))
    ]
    batch = Collator(nlp.tokenizer, nlp.model.routes.depths())(examples, tasks)
    with torch.inference_mode():
        outputs = nlp.model(batch, tasks)
    return {f"{task} {name}": s for task in tasks for name, s in outputs[task].scores.items()}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


def test_a_task_is_added_and_the_others_are_the_same_bit_for_bit(run: Run, tmp_path: Path) -> None:
    found = extend(run.folder, CHUNKS, output=tmp_path / "new", quiet=True)
    old, new = load(run.folder, precision="fp32"), load(tmp_path / "new", precision="fp32")
    assert set(new.tasks) == {*old.tasks, "chunk"}
    assert same(scores(old, list(old.tasks)), scores(new, list(old.tasks)))
    assert found.scores.tasks == ("chunk",)
    start = old.model.state_dict()
    for name, value in new.model.state_dict().items():
        if not name.startswith("heads.chunk."):
            assert torch.equal(value, start[name]), name
    config = json.loads((tmp_path / "new" / "config.json").read_text())
    assert not any(task["frozen"] for task in config["tasks"].values())
    again = evaluate(tmp_path / "new")
    assert set(again.tasks) == set(new.tasks)
    before = {(row.task, row.metric): row.items for row in evaluate(run.folder)}
    assert {(r.task, r.metric): r.items for r in again if r.task != "chunk"} == before


def test_labels_that_a_new_task_reads_too_stay_as_they_are(tmp_path: Path) -> None:
    """Their vectors are read by the tasks that were there."""
    options = {"training.max_steps": 3}
    base = train(recipe(sharing="joint_many"), output=tmp_path / "base", quiet=True, **options)
    extend(base.folder, CHUNKS, output=tmp_path / "new", quiet=True)
    old, new = (load(tmp_path / name, precision="fp32") for name in ("base", "new"))
    assert same(scores(old, list(old.tasks)), scores(new, list(old.tasks)))
    moved = {"encoder.freeze_below": 2, "training.lr_heads": 0.1}
    extend(base.folder, CHUNKS, output=tmp_path / "free", overrides=moved, quiet=True)
    free = load(tmp_path / "free", precision="fp32")
    assert not same(scores(old, ["dep"]), scores(free, ["dep"]))


def test_what_a_kept_task_reads_does_not_go(tmp_path: Path) -> None:
    """Alone or beside new tasks; one that is replaced may, and it is said."""
    tasks = {"upos": {"depth": 1}, "xpos": {"depth": 1}, "ner": {"depth": 2}}
    given = recipe(sharing="joint_many", tasks=tasks)
    base = train(given, output=tmp_path / "base", quiet=True, **{"training.max_steps": 1})
    for added in (None, CHUNKS):
        with pytest.raises(ModelError, match="task 'ner' reads what upos predicts, so that the"):
            extend(base.folder, added, drop=["upos"], output=tmp_path / "new", quiet=True)
    assert not (tmp_path / "new").exists()


def test_a_task_that_reads_one_trained_anew_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = recipe(sharing="joint_many", tasks={"upos": {"depth": 1}, "ner": {"depth": 2}})
    base = train(given, output=tmp_path / "base", quiet=True, **{"training.max_steps": 1})
    extend(base.folder, {**CHUNKS, "tasks": {"upos": {"depth": 1}}}, output=tmp_path / "new")
    said = capsys.readouterr().err
    assert (
        "ner: reads what upos predicts, which is trained anew, so what it says may change" in said
    )
    capsys.readouterr()
    extend(base.folder, {**CHUNKS, "tasks": {"ner": {"depth": 2}}}, output=tmp_path / "other")
    assert "trained anew" not in capsys.readouterr().err


def test_a_new_task_takes_the_depth_of_one_that_goes(run: Run, tmp_path: Path) -> None:
    extend(run.folder, CHUNKS, drop=["dep", "ner"], output=tmp_path / "new", quiet=True)
    old, new = load(run.folder, precision="fp32"), load(tmp_path / "new", precision="fp32")
    assert set(new.tasks) == {"upos", "chunk"}
    assert same(scores(old, ["upos"]), scores(new, ["upos"]))


def test_a_task_that_others_are_balanced_by_goes_with_its_balance(tmp_path: Path) -> None:
    balancing = {"name": "torchjd.pcd", "primary": "ner"}
    options = {"training.max_steps": 1}
    base = train(recipe(balancing=balancing), output=tmp_path / "base", quiet=True, **options)
    extend(base.folder, drop=["ner"], output=tmp_path / "new")
    kept = load_recipe(load(tmp_path / "new").model.config.recipe)
    assert kept.balancing.name == "static"
    extend(base.folder, drop=["dep"], output=tmp_path / "other")
    kept = load_recipe(load(tmp_path / "other").model.config.recipe)
    assert kept.balancing.name == "torchjd.pcd"


def test_an_encoder_that_is_trained_moves_the_others(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The control; the depths below are frozen as the recipe says."""
    extend(
        run.folder,
        CHUNKS,
        output=tmp_path / "new",
        overrides={"encoder.freeze_below": 2, "training.lr": 0.01},
    )
    old, new = load(run.folder, precision="fp32"), load(tmp_path / "new", precision="fp32")
    assert same(scores(old, ["upos"]), scores(new, ["upos"]))
    assert not same(scores(old, ["dep"]), scores(new, ["dep"]))
    said = capsys.readouterr().err
    assert "dep: blocks below it are trained, so what it says may change" in said
    assert "upos: blocks" not in said
    heads = {n: p for n, p in old.model.state_dict().items() if n.startswith("heads.")}
    now = new.model.state_dict()
    assert all(torch.equal(now[name], value) for name, value in heads.items())


def test_a_task_is_replaced_and_others_dropped(run: Run, tmp_path: Path) -> None:
    files = {"format": "conllu", "train": conllu(tmp_path / "t.conllu", TRAIN)}
    given = {
        **CHUNKS,
        "tasks": {"upos": {"depth": 2}},
        "corpora": {"own": {**files, "dev": conllu(tmp_path / "d.conllu", DEV)}},
    }
    extend(run.folder, given, output=tmp_path / "new", drop=["ner"], quiet=True)
    new = load(tmp_path / "new", precision="fp32")
    assert set(new.tasks) == {"upos", "dep"}
    assert new.hierarchy["upos"].depth == 2
    assert new.model.head("upos").labels == ("ADV", "NOUN", "PROPN", "VERB")
    old = load(run.folder, precision="fp32")
    assert same(scores(old, ["dep"]), scores(new, ["dep"]))
    rows = {(row.task, row.data) for row in evaluate(tmp_path / "new")}
    assert rows == {("upos", "own"), ("dep", "sample")}


def test_tasks_are_dropped_without_training(run: Run, tmp_path: Path) -> None:
    """Blocks that only they needed go with them."""
    found = extend(run.folder, drop=["dep", "ner"], output=tmp_path / "new")
    assert len(found.scores) == 0
    new, old = load(tmp_path / "new", precision="fp32"), load(run.folder, precision="fp32")
    assert new.tasks == ("upos",)
    assert new.model.stack.depth == 1
    assert same(scores(old, ["upos"]), scores(new, ["upos"]))
    assert evaluate(tmp_path / "new").tasks == ("upos",)
    assert "| dep |" not in (tmp_path / "new" / "README.md").read_text()


def test_a_run_that_extends_is_resumed(run: Run, tmp_path: Path) -> None:
    options = {"training.epochs": 2}
    one = extend(run.folder, CHUNKS, output=tmp_path / "new", quiet=True, overrides=options)
    again = extend(
        run.folder, CHUNKS, output=tmp_path / "new", quiet=True, overrides=options, resume=True
    )
    assert again.scores.rows == one.scores.rows
    with pytest.raises(RecipeError, match=r"the run in .*new extends .* without dropping a task"):
        extend(
            run.folder,
            CHUNKS,
            output=tmp_path / "new",
            drop=["ner"],
            overrides=options,
            resume=True,
        )
    with pytest.raises(RecipeError, match="is occupied"):
        extend(run.folder, CHUNKS, output=tmp_path / "new")


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"drop": ["nre"]}, "no task 'nre' to drop; it has upos.*did you mean 'ner'"),
        ({"encoder": {"name": "bilstm", "layers": 3}}, {}, "encoder.layers is 3, but the model's"),
        ({"encoder": "some/model"}, {}, "encoder.name is 'some/model', but the model's encoder"),
        ({"sharing": "hard", "tasks": {"chunk": {}}}, {}, "sharing is 'hard', but the model's is"),
        ({"language": "de"}, {}, "language is 'de', but the model's is 'en'; leave it out"),
        ({"tasks": {"chunk": {"depth": 2, "freeze": True}}}, {}, "nothing is left to train"),
        (
            {"encoder": {"freeze_from": 2, "freeze_below": 1}},
            {},
            "encoder.freeze_from is 2, but encoder.freeze_below is 1",
        ),
        ({"tasks": {"chunk": {"depth": 3}}}, {}, "tasks.chunk.depth is 3"),
        (
            {"encoder": {"name": "bilstm", "layers": 1}, "tasks": {"chunk": {"depth": 1}}},
            {},
            "encoder.layers is 1, but the model's encoder has 2",
        ),
        (
            {"corpora": {"sample": {**SAMPLE, "seed": 5}}},
            {},
            "corpora.sample is another corpus in the recipe of the model",
        ),
    ],
)
def test_what_does_not_fit_the_model_is_refused(
    run: Run, tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    """Before anything is trained or written."""
    given = {**CHUNKS, **changes}
    with pytest.raises((RecipeError, ModelError), match=message):
        extend(run.folder, given, output=tmp_path / "new", quiet=True, **options)
    assert not (tmp_path / "new").exists()


def test_the_models_own_encoder_may_be_said_again(run: Run, tmp_path: Path) -> None:
    given = {**CHUNKS, "encoder": {"name": "bilstm", "layers": 2, "freeze_below": 1}}
    assert extend(run.folder, given, output=tmp_path / "new", quiet=True).scores.tasks == ("chunk",)


def test_a_pretrained_encoder_is_extended_as_well(tmp_path: Path) -> None:
    """A recipe without encoder, with depths beyond the default encoder's."""
    folder = tmp_path / "bert"
    config = bert_config(blocks=5, dropout=0.1)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    piece_backend().save_pretrained(folder)
    tasks = {"upos": {"depth": 1}, "ner": {"depth": 5}}
    base = train(
        recipe(encoder={"name": str(folder)}, tasks=tasks),
        output=tmp_path / "base",
        quiet=True,
        **{"training.max_steps": 1},
    )
    given = {**CHUNKS, "tasks": {"chunk": {"depth": 5}}, "encoder": {"freeze_below": 5}}
    options = {"training.dropout": 0.0, "training.max_steps": 2}
    extend(base.folder, given, output=tmp_path / "new", quiet=True, overrides=options)
    old, new = load(base.folder, precision="fp32"), load(tmp_path / "new", precision="fp32")
    assert same(scores(old, ["upos"]), scores(new, ["upos"]))
    assert not same(scores(old, ["ner"]), scores(new, ["ner"]))
    assert new.model.config.precision == "fp32"
    assert new.model.config.encoder["hidden_dropout_prob"] == 0.0


def test_a_broken_extension_is_resumed_as_if_it_had_not_been(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"training.epochs": 2, "training.checkpoint_every": 1}
    whole = extend(run.folder, CHUNKS, output=tmp_path / "a", quiet=True, overrides=options)
    keep, calls = loop.prune_checkpoints, []

    def broken(*given: Any) -> None:
        keep(*given)
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "prune_checkpoints", broken)
    with pytest.raises(KeyboardInterrupt):
        extend(run.folder, CHUNKS, output=tmp_path / "b", quiet=True, overrides=options)
    monkeypatch.setattr(loop, "prune_checkpoints", keep)
    again = extend(
        run.folder, CHUNKS, output=tmp_path / "b", quiet=True, overrides=options, resume=True
    )
    assert again.scores.rows == whole.scores.rows
    one, two = (load(tmp_path / name).model.state_dict() for name in ("a", "b"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_card_names_all_data(run: Run, tmp_path: Path) -> None:
    files = {
        "format": "conllu",
        "train": conllu(tmp_path / "t.conllu", TRAIN),
        "licence": "CC BY 4.0",
    }
    given = {**CHUNKS, "tasks": {"new": {"depth": 2, "column": "ner", "head": "crf"}}}
    extend(run.folder, {**given, "corpora": {"own": files}}, output=tmp_path / "new", quiet=True)
    card = (tmp_path / "new" / "README.md").read_text()
    assert "`own`: licence CC BY 4.0" in card
    assert "`sample`: licence not stated" in card


def test_there_must_be_something_to_do_and_left(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is nothing to do"):
        extend(run.folder, output=tmp_path / "new")
    with pytest.raises(RecipeError, match="no task is left without dep, ner and upos"):
        extend(run.folder, drop=["upos", "dep", "ner"], output=tmp_path / "new")
    with pytest.raises(RecipeError, match="name the folder of the new model with -o"):
        extend(run.folder, drop=["upos"])


def test_a_new_level_would_widen_the_block_above_it(tmp_path: Path) -> None:
    options = {"training.max_steps": 1}
    three = {**BILSTM, "layers": 3}
    tasks = {"upos": {"depth": 1}, "ner": {"depth": 3}}
    given = recipe(sharing="joint_many", encoder=three, tasks=tasks)
    base = train(given, output=tmp_path / "base", quiet=True, **options)
    with pytest.raises(RecipeError, match=r"sharing 'joint_many' needs weights of its own .*shape"):
        extend(
            base.folder,
            {**CHUNKS, "tasks": {"chunk": {"depth": 2}}},
            output=tmp_path / "new",
            quiet=True,
        )


def test_a_model_of_single_tasks_has_no_encoder_for_a_new_one(tmp_path: Path) -> None:
    options = {"training.max_steps": 1}
    tasks = {"upos": {}, "ner": {}}
    base = train(
        recipe(sharing="single", tasks=tasks), output=tmp_path / "base", quiet=True, **options
    )
    given = {**CHUNKS, "tasks": {"chunk": {}}}
    with pytest.raises(RecipeError, match=r"sharing 'single' needs weights of its own for a new"):
        extend(base.folder, given, output=tmp_path / "new", quiet=True)
    extend(base.folder, drop=["ner"], output=tmp_path / "less")
    assert load(tmp_path / "less").tasks == ("upos",)


@pytest.mark.parametrize("name", ["cross_stitch", "hmtl", "relationship"])
def test_what_belongs_to_all_tasks_together_cannot_be_extended(tmp_path: Path, name: str) -> None:
    options = {"training.max_steps": 2}
    tasks = {"upos": {"depth": 1}, "ner": {"depth": 2}}
    sharing = {"name": name, **({"every": 1} if name == "relationship" else {})}
    base = train(
        recipe(sharing=sharing, tasks=tasks), output=tmp_path / "base", quiet=True, **options
    )
    with pytest.raises(RecipeError, match=f"sharing '{name}' has weights, or a structure, of all"):
        extend(base.folder, drop=["ner"], output=tmp_path / "less")


def test_a_loaded_recipe_finds_the_corpora_that_lie_beside_it(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    conllu(place / "own.conllu", TRAIN)
    (place / "more.yaml").write_text(
        "tasks: {xpos: {depth: 2, column: upos, head: tagging}}\n"
        "corpora: {own: {format: conllu, train: own.conllu, dev: own.conllu}}\n"
        "training: {epochs: 1, tokens_per_batch: 50, precision: fp32}\n"
    )
    loaded = load_recipe(place / "more.yaml")
    found = extend(run.folder, loaded, output=tmp_path / "new", quiet=True)
    assert "xpos" in found.load().tasks
    assert evaluate(tmp_path / "new", tasks=["xpos"]).main("xpos").items
