"""What a user reads when a recipe is wrong: place, dotted path, value, what is allowed."""

import re
from pathlib import Path
from typing import Any

import pytest

from hiermtl.errors import RecipeError
from hiermtl.recipe import load_recipe, resolved

CASES = [
    (
        {"training.epoch": 2},
        "training.epoch is not a key; did you mean 'epochs'? allowed: epochs, max_steps,",
    ),
    ({"epochs": 2}, "epochs is not a key at the top of a recipe; did you mean 'training.epochs'?"),
    ({"main": "ner"}, "main is not a key at the top of a recipe; did you mean 'evaluation.main'?"),
    ({"corpus": 1}, "corpus is not a key; did you mean 'corpora'? allowed: name, description,"),
    ({"training.epochs": 2.5}, "training.epochs is 2.5, but a whole number is needed"),
    ({"training.epochs": True}, "training.epochs is true, but a whole number is needed"),
    ({"training.epochs": "two"}, "training.epochs is 'two', but a whole number is needed"),
    ({"training.epochs": 0}, "training.epochs is 0, but it must be at least 1"),
    ({"training.lr": 0}, "training.lr is 0, but it must be above 0"),
    ({"training.lr": float("nan")}, "training.lr is nan, but a finite number is needed"),
    ({"training.layer_decay": 1.5}, "training.layer_decay is 1.5, but it must be at most 1"),
    ({"training.dropout": 1}, "training.dropout is 1, but it must be below 1"),
    ({"training.warmup": -1}, "training.warmup is -1; allowed: a whole number of steps from 0, or"),
    ({"training.warmup": 1.5}, "training.warmup is 1.5; allowed: a whole number of steps from 0"),
    (
        {"training.precision": "fp8"},
        "training.precision is 'fp8', but allowed are auto, fp32, bf16, fp16 and fp64",
    ),
    ({"training.trackers": ["wandbb"]}, "training.trackers.0 is 'wandbb', but allowed are aim,"),
    ({"training.trackers": "wandb"}, "training.trackers is 'wandb', but a list is needed"),
    ({"training": 3}, "training is 3, but a mapping is needed"),
    ({"controls": "shufled"}, "did you mean 'shuffled'?"),
    (
        {"sharing": "sluce"},
        "soft_trace, cross_stitch and sluice; did you mean 'sluice'?",
    ),
    (
        {"sharing": {"name": "hard", "subspaces": 2}},
        "sharing.subspaces is not a key; allowed: name",
    ),
    (
        {"sharing": {"name": "soft_trace", "mode_weights": [-1.0]}},
        "sharing.mode_weights.0 is -1.0, but it must be at least 0",
    ),
    (
        {"sharing": "adaptive", "sampling": "round_robin"},
        "sampling.name is 'round_robin', whose steps serve one task each, but sharing: adaptive",
    ),
    (
        {"training.compile": True, "encoder": {"name": "bilstm"}},
        "training.compile is true, but the library's LSTMs",
    ),
    (
        {"training.examples": "spread"},
        "training.examples is 'spread', but all examples are used; give training.max_examples",
    ),
    (
        {"corpora.sample.noise": {"upso": 0.2}},
        "corpora.sample.noise.upso is no layer of this corpus, which has chunk, coref, dep,",
    ),
    (
        {"corpora.sample.noise": {"upos": 1.5}},
        "corpora.sample.noise.upos is 1.5, but a share of labels above 0 and at most 1 is needed",
    ),
    (
        {"corpora.sample.noise": {"upos": "shufled"}},
        "corpora.sample.noise.upos is 'shufled', but a share of labels above 0 and at most 1",
    ),
    (
        {"adapter": "lora"},
        "adapter.name is 'lora', but encoder 'bilstm' is trained from scratch, so that it has no "
        "weights worth keeping; leave adapter out, or name a pretrained encoder",
    ),
    (
        {"adapter": "lora", "encoder": {"name": "a/b"}, "sharing": "soft_trace"},
        "adapter.name is 'lora', but sharing 'soft_trace' measures whole matrices, of which deltas "
        "are factors; leave adapter out, or share by one of single, hard,",
    ),
    ({"adapter": "lorra"}, "adapter.name is 'lorra', but allowed are none and lora; did you mean"),
    ({"adapter": {"rank": 0}}, "adapter.rank is 0, but it must be at least 1"),
    ({"adapter": {"alpha": 0}}, "adapter.alpha is 0, but it must be above 0"),
    ({"adapter": {"dropout": 1}}, "adapter.dropout is 1, but it must be below 1"),
    ({"adapter": {"targets": ["a", "a"]}}, "adapter.targets holds 'a' twice; name it once"),
    ({"adapter": {"r": 4}}, "adapter.r is not a key; allowed: name, rank, alpha, dropout, targets"),
    ({"sharing": 3}, "sharing is 3, but a name or {name: ...} is needed"),
    (
        {"balancing": "statik"},
        "balancing.name is 'statik', but allowed are static, uncertainty, random, torchjd.sum, ",
    ),
    ({"balancing": "statik"}, "torchjd.fairgrad and torchjd.pcd; did you mean 'static'?"),
    ({"balancing": "torchjd.upgrd"}, "did you mean 'torchjd.upgrad'?"),
    ({"balancing": "upgrad"}, "did you mean 'torchjd.upgrad'?"),
    (
        {"balancing": {"name": "torchjd.upgrad", "reg_esp": 0.1}},
        "balancing.reg_esp is not a key; did you mean 'reg_eps'? allowed: name, reg_eps",
    ),
    (
        {"balancing": {"name": "torchjd.mgda", "epsilon": 0}},
        "balancing.epsilon is 0, but it must be above 0",
    ),
    (
        {"balancing": {"name": "torchjd.aligned_mtl", "scale_mode": "mean"}},
        "balancing.scale_mode is 'mean', but allowed are min, median and rmse",
    ),
    ({"balancing": "torchjd.pcd"}, "balancing.primary is missing; a value is needed"),
    (
        {
            "balancing": {"name": "torchjd.pcd", "primary": "ner"},
            "tasks.ner.auxiliary": True,
        },
        "balancing.primary is 'ner', which is auxiliary, so that the others come first; name",
    ),
    (
        {"balancing": {"name": "torchjd.pcd", "primary": "dpe"}},
        "balancing.primary is 'dpe', which is not a task of this recipe; did you mean 'dep'? "
        "(tasks: upos, ner, dep)",
    ),
    (
        {"balancing": "torchjd.upgrad", "sampling": "round_robin"},
        "sampling.name is 'round_robin', whose steps serve one task each, but balancing: "
        "torchjd.upgrad weighs gradients of tasks in one step, and would do nothing; leave it out, "
        "or set balancing: static",
    ),
    (
        {"balancing": "torchjd.upgrad", "training.shard": True},
        "training.shard is true, so that each process holds a part of the weights, but balancing: "
        "torchjd.upgrad compares gradients of whole weights; leave it out, or set balancing: ",
    ),
    (
        {"training.accumulation": "auto", "training.shard": True},
        "training.accumulation is 'auto', by which each process cuts its batch by itself, but ",
    ),
    (
        {"sharing": {"name": "sluice", "subspaces": 1, "orthogonality": 0.5}},
        "sharing gives orthogonality 0.5, which does nothing with one of subspaces; leave "
        "orthogonality out",
    ),
    (
        {"sharing": {"name": "relationship", "shrink": 0.2, "estimator": "mle"}},
        "sharing gives shrink 0.2, which does nothing with the estimator 'mle'; leave shrink out",
    ),
    (
        {"sharing": {"name": "relationship", "eps": 0.2}},
        "sharing gives eps 0.2, which does nothing with the estimator 'shrunk'; leave eps out",
    ),
    (
        {"sharing": {"name": "adaptive", "tree": {"1": [["dep"]]}, "margin": "uncertainty"}},
        "sharing gives margin 'uncertainty', which does nothing beside a tree; leave margin out",
    ),
    (
        {"sharing": {"name": "joint_many", "label_embeddings": False, "label_width": 3}},
        "sharing gives label_width 3, which does nothing without label_embeddings; leave "
        "label_width out",
    ),
    ({"sampling": {}, "sampling.nam": 1}, "sampling.nam is not a key; did you mean 'name'?"),
    (
        {"tasks.ner.head": "crff"},
        "tasks.ner.head.name is 'crff', but allowed are tagging, crf, edits, hint, biaffine, span, "
        "roles, relation, coreference, text_classification, pair_classification and "
        "pair_regression; did you mean 'crf'?",
    ),
    ({"tasks.ner.head.boi": True}, "tasks.ner.head.boi is not a key; did you mean 'bio'?"),
    (
        {"corpora.x": {"format": "table", "train": "t.csv", "text": "text"}},
        "corpora.x has no layer; give labels or numbers, such as labels: {topic: COLUMN}",
    ),
    (
        {
            "corpora.x": {
                "format": "table",
                "train": "t.csv",
                "text": 0,
                "labels": {"mood": 1},
                "numbers": {"mood": 2},
            }
        },
        "corpora.x names the layer 'mood' under labels and under numbers; keep one of them",
    ),
    (
        {
            "corpora.x": {
                "format": "pairs",
                "train": "t.csv",
                "first": "a",
                "second": "a",
                "labels": {"mood": "m"},
            }
        },
        "corpora.x reads both texts of a pair from column 'a'; give two columns",
    ),
    (
        {"tasks.ner.head": {"name": "pair_classification", "reads": ["upos", "upos"]}},
        "tasks.ner.head.reads holds 'upos' twice; name it once",
    ),
    ({"tasks.mood": {"depth": 1}}, "tasks.mood needs a head, since tasks named 'mood' have none"),
    ({"tasks.nre": None}, "tasks.nre is null, but a mapping such as {depth: 3} is needed; did you"),
    ({"tasks.9x": {"depth": 1, "head": "crf"}}, "tasks.9x is not a name; a name is a letter"),
    ({"tasks": {"upos": None, "ner": None, "dep": None}}, "tasks is empty; at least 1 needed"),
    (
        {"tasks.ner.depth": "auto"},
        "tasks.ner.depth is 'auto', but encoder 'bilstm' is trained from scratch, so that a probe "
        "would read random states; give a whole number from 1",
    ),
    (
        {"tasks.ner.depth": "auto", "encoder": "some/encoder", "sharing": "learned"},
        "tasks.ner.depth is 'auto', which a probe fixes before training, but sharing 'learned' "
        "learns depths in training; leave depth out, or use sharing: low_supervision",
    ),
    (
        {"tasks.ner.depth": "auto", "encoder": "some/encoder", "sharing": "hard"},
        "tasks.ner.depth is 'auto', but sharing 'hard' reads every task at the top; leave",
    ),
    (
        {"tasks.ner.depth": "outo"},
        "tasks.ner.depth is 'outo'; allowed: a whole number from 1, a share of the encoder such "
        "as '50%', or 'auto'",
    ),
    ({"tasks.ner.depth": "0%"}, "tasks.ner.depth is '0%'; allowed: a whole number from 1, a share"),
    ({"tasks.ner.depth": "101%"}, "tasks.ner.depth is '101%'; allowed: a whole number from 1"),
    ({"tasks.ner.depth": 1.5}, "tasks.ner.depth is 1.5; allowed: a whole number from 1"),
    ({"tasks.ner.depth": True}, "tasks.ner.depth is true; allowed: a whole number from 1"),
    ({"tasks.ner.depth": 0}, "tasks.ner.depth is 0; a task is read at depth 1 or above"),
    (
        {"tasks.relation": {"depth": 3}},
        "tasks.relation.head.reads is 'entity'; allowed are the other tasks that find spans, which "
        "are none in this recipe",
    ),
    (
        {"tasks.entity": {"depth": 3}, "tasks.coref": {"depth": 3}},
        "tasks.coref.head.reads is 'mention'; allowed are the other tasks that find spans, which "
        "are entity",
    ),
    (
        {"tasks.entity": {"depth": 2}, "tasks.relation": {"depth": 3, "head": {"reads": "ner"}}},
        "tasks.relation.head.reads is 'ner'; allowed are the other tasks that find spans, which "
        "are entity",
    ),
    (
        {"tasks.relation": {"depth": 3, "head": {"reads": ["ner", "dep"]}}},
        "tasks.relation.head.reads names 2 tasks, but the spans of one are read; name it",
    ),
    (
        {"sharing": "single", "tasks.entity": {"depth": 3}, "tasks.relation": {"depth": 3}},
        "tasks.relation.head.reads is 'entity', but sharing 'single' trains each task by itself, "
        "so that there is nothing to read; train relation and entity alone with low_supervision",
    ),
    (
        {"corpora.x": {"format": "semeval", "train": "t", "dev": "d", "held_out": 9}},
        "corpora.x holds 9 examples of train out for dev, and names files for it too; leave one",
    ),
    ({"tasks.ner.depth": None}, "tasks.ner.depth is missing; sharing 'low_supervision' reads each"),
    (
        {"tasks.ner.depth": 13},
        "tasks.ner.depth is 13, but encoder 'bilstm' has depths 0 to 3; a task is read at 1 to 3; "
        "lower it or choose a deeper encoder",
    ),
    ({"tasks.ner.weight": 0}, "tasks.ner.weight is 0, but it must be above 0"),
    ({"tasks.ner.corpus": "smaple"}, "tasks.ner.corpus is 'smaple', which is not a corpus of this"),
    ({"tasks.ner.corpus": []}, "tasks.ner.corpus is [], but a text or a list of texts is needed"),
    ({"tasks.ner.corpus": ["a", "a"]}, "tasks.ner.corpus holds 'a' twice; name it once"),
    ({"tasks.ner.corpus": ["a", 3]}, "tasks.ner.corpus holds 3, but a text or a list of texts"),
    (
        {"tasks.ner.column": "nerr"},
        "tasks.ner.column is 'nerr', but corpus sample has the columns chunk, coref, dep,",
    ),
    (
        {"tasks.ner.class_weights": "balanced"},
        "tasks.ner.class_weights is 'balanced', but head 'crf' does not weigh classes; leave it "
        "out or use head: tagging",
    ),
    (
        {"sampling": {"name": "bottom_up", "successive": 251}, "training.lr": 2e-3},
        "sampling.successive is 251.0, so that every step at training.lr 0.002 would put weights "
        "back where their phase began; allowed is at most 250.0 at this rate: lower one of the "
        "two, or set sampling.decoupled: false",
    ),
    (
        {"sampling": {"name": "bottom_up", "successive_heads": 300}, "training.lr_heads": 2e-3},
        "sampling.successive_heads is 300.0, so that every step at training.lr_heads 0.002 would",
    ),
    ({"tasks.upos.class_weights": {"X": 0}}, "tasks.upos.class_weights gives 'X' the weight 0;"),
    ({"tasks.upos.class_weights": "some"}, "tasks.upos.class_weights is 'some'; allowed are none,"),
    ({"encoder.pooling": "mean"}, "encoder.pooling is a key of pretrained encoders only; encoder"),
    (
        {"encoder": "bert-base-cased", "encoder.layers": 3},
        "encoder.layers is a key of `encoder.name: bilstm` only; encoder 'bert-base-cased' brings",
    ),
    ({"encoder.name": "package:a b/model"}, "encoder.name is 'package:a b/model', but package:<Py"),
    ({"encoder.name": ""}, "encoder.name is empty; name `bilstm`, a hub id, a folder"),
    ({"encoder.name": 3}, "encoder.name is 3, but allowed are bilstm"),
    (
        {"encoder.freeze_below": 5},
        "encoder.freeze_below is 5, but encoder 'bilstm' has depths 0 to",
    ),
    ({"corpora.sample": "ewt"}, "corpora.sample is 'ewt', but {format: ..., ...} is needed"),
    (
        {"corpora.sample.format": "conllux"},
        "corpora.sample.format is 'conllux', but allowed are conllu, columns, crossre, dataset, "
        "docbin, jsonl, pairs, propbank, sample, semeval, sick and table",
    ),
    ({"corpora.sample.format": "conllu"}, "corpora.sample.train is missing; a value is needed"),
    (
        {"corpora.x": {"format": "columns", "train": "t", "columns": {"ner": -1}}},
        "corpora.x.columns.ner is -1, but a column's number from 0 or its name is needed",
    ),
    (
        {"corpora.x": {"format": "dataset", "path": "p", "columns": {"dep": {"heads": "h"}}}},
        "corpora.x.columns.dep is {'heads': 'h'}, but a feature's name is needed, or {heads:",
    ),
    (
        {"corpora.x": {"format": "conllu", "train": "t", "join": [{"format": "tsv"}]}},
        "corpora.x.join.0.format is 'tsv', but allowed are columns",
    ),
    (
        {
            "corpora.x": {
                "format": "conllu",
                "train": "t",
                "join": [{"format": "columns", "columns": {"srl": 1}}],
            }
        },
        "corpora.x.join.0 names no file; give at least one of train, dev and test",
    ),
    (
        {
            "corpora.x": {
                "format": "conllu",
                "train": "t",
                "join": [{"format": "columns", "columns": {"srl": 1}, "dev": "d"}],
            }
        },
        "corpora.x.join.0.dev has no sentences to join: corpora.x.dev is not given",
    ),
    (
        {"evaluation.main": "nre"},
        "evaluation.main is 'nre', which is not a task of this recipe; did",
    ),
    ({"language": 3}, "language is 3, but a text is needed"),
]


@pytest.mark.parametrize(("overrides", "message"), CASES, ids=[str(c[0])[:60] for c in CASES])
def test_a_wrong_key_is_named_with_its_value(
    small: dict[str, Any], overrides: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)) as caught:
        load_recipe(small, overrides)
    assert "pydantic" not in str(caught.value)
    assert "validation error" not in str(caught.value)


def test_a_model_of_auxiliary_tasks_alone_is_refused(small: dict[str, Any]) -> None:
    for task in small["tasks"].values():
        task["auxiliary"] = True
    with pytest.raises(RecipeError, match=r"tasks are all auxiliary \(upos, ner and dep\)"):
        load_recipe(small)
    small["tasks"]["dep"]["auxiliary"] = False
    assert load_recipe(small)


def test_an_auxiliary_task_cannot_choose(small: dict[str, Any]) -> None:
    small["tasks"]["ner"]["auxiliary"] = True
    message = r"evaluation\.main is 'ner', which is auxiliary, .* tasks\.ner\.auxiliary=false"
    with pytest.raises(RecipeError, match=message):
        load_recipe(small, {"evaluation.main": ["dep", "ner"]})
    assert load_recipe(small, {"evaluation.main": ["dep"]}).evaluation.main == ("dep",)


def test_what_a_head_reads_cannot_be_auxiliary() -> None:
    given: dict[str, Any] = {
        "tasks": {
            "relatedness": {"depth": 1, "auxiliary": True},
            "entailment": {"depth": 2, "head": {"reads": "relatedness"}},
            "upos": {"depth": 1},
        },
        "corpora": {"sample": {"format": "sample"}},
    }
    message = (
        r"tasks\.entailment\.head\.reads is 'relatedness', which is auxiliary, so that the model "
        r"is saved without it; take it out, or set tasks\.relatedness\.auxiliary=false"
    )
    with pytest.raises(RecipeError, match=message):
        load_recipe(given)
    assert load_recipe(given, {"tasks.relatedness.auxiliary": False})
    assert load_recipe(given, {"tasks.entailment.auxiliary": True})


HINTS: list[tuple[dict[str, object], str]] = [
    (
        {"auxiliary": False},
        "tasks.often.auxiliary is false, but head 'hint' predicts what is computed from the words",
    ),
    (
        {"column": "xpos"},
        "tasks.often.column is 'xpos', but head 'hint' has its labels from the words (as "
        "'hint:frequency'); leave it out, or read the column with head: tagging",
    ),
    ({"head.feature": "frequenzy"}, "tasks.often.head.feature is 'frequenzy', but allowed are cas"),
    ({"head.feature": None}, "tasks.often.head.feature is missing; a value is needed"),
    ({"head.size": 2}, "tasks.often.head gives the size 2, but the feature is 'frequency', and"),
    ({"head.feature": "suffix", "head.size": 0}, "tasks.often.head.size is 0, but it must be at"),
]


@pytest.mark.parametrize(("overrides", "message"), HINTS, ids=[str(c[0])[:60] for c in HINTS])
def test_a_wrong_hint_is_named_with_its_value(
    small: dict[str, Any], overrides: dict[str, object], message: str
) -> None:
    head = {"name": "hint", "feature": "frequency"}
    small["tasks"]["often"] = {"depth": 1, "head": head, "auxiliary": True}
    recipe = load_recipe(small)
    assert recipe.tasks["often"].column == "hint:frequency"
    assert load_recipe(resolved(recipe)).tasks == recipe.tasks
    with pytest.raises(RecipeError, match=re.escape(message)):
        load_recipe(small, {f"tasks.often.{key}": value for key, value in overrides.items()})


def test_hard_sharing_refuses_unequal_depths(small: dict[str, Any]) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(small, {"sharing": "hard"})
    assert str(caught.value).splitlines() == [
        "the recipe has 2 errors",
        "tasks.upos.depth is 1, but sharing 'hard' reads every task at the top (depth 3); "
        "leave depths out, or use sharing: low_supervision",
        "tasks.ner.depth is 2, but sharing 'hard' reads every task at the top (depth 3); "
        "leave depths out, or use sharing: low_supervision",
    ]


def test_hard_sharing_refuses_controls(small: dict[str, Any]) -> None:
    small["tasks"] = {"upos": {}}
    with pytest.raises(RecipeError, match="controls is 'inverted', but sharing 'hard' reads every"):
        load_recipe(small, {"sharing": "hard", "controls": "inverted"})


def test_all_errors_are_listed_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "sharing: low_supervision\n"
        "tasks:\n"
        "  upos: {depht: 1}\n"
        "  ner:\n"
        "    depth: 2\n"
        "    head: crff\n"
        "training:\n"
        "  lr: fast\n"
        "corpora:\n"
        "  sample: {format: sample}\n"
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, {"training.epochs": 0})
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path} has 4 errors"
    assert sorted(line.split(" is ")[0] for line in lines[1:]) == [
        f"{path}:3: tasks.upos.depht",
        f"{path}:6: tasks.ner.head.name",
        f"{path}:8: training.lr",
        "override: training.epochs",
    ]


def test_an_error_in_an_extended_recipe_is_placed_there(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "tasks: {upos: {depth: 1}}\ncorpora: {a: {format: sample}}\ntraining:\n  lr: 0\n"
    )
    (tmp_path / "mine.yaml").write_text("extends: base.yaml\n")
    with pytest.raises(RecipeError, match=r"base\.yaml:4: training\.lr is 0"):
        load_recipe(tmp_path / "mine.yaml")


@pytest.mark.parametrize("key", ["", "training.", ".epochs", "training..epochs"])
def test_malformed_override_keys_are_refused(small: dict[str, Any], key: str) -> None:
    with pytest.raises(RecipeError, match=f"^{key!r} is not a key; write the keys from the top"):
        load_recipe(small, {key: 1})


def test_an_empty_recipe_says_what_it_needs() -> None:
    with pytest.raises(RecipeError, match=r"(?s)2 errors.tasks is missing.*corpora is missing"):
        load_recipe({})
