"""From a recipe to a model: what is taken from data, and what is refused."""

import inspect
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertModel

from hiermtl import heads
from hiermtl.commands import check
from hiermtl.commands.build import make_settings
from hiermtl.encoders import BertEncoder, BiLstmEncoder, encoder_from_config
from hiermtl.encoders.bilstm import DEFAULTS
from hiermtl.errors import DataError, ModelError, RecipeError
from hiermtl.recipe import load_recipe
from hiermtl.recipe.balancing import BALANCING
from hiermtl.recipe.encoder import BilstmEncoder
from hiermtl.recipe.heads import HEADS as OPTIONS
from hiermtl.recipe.sampling import SAMPLING
from hiermtl.recipe.training import TrainingOptions
from hiermtl.text.edits import edit_script, inserted
from hiermtl.tokens import PieceTokenizer, WordTokenizer
from hiermtl.tokens.words import word_code
from hiermtl.training import MIXED, Sampling, Settings
from hiermtl.training.balancing import BALANCERS
from tests.unit.commands.runs import BILSTM, DEV, TASKS, TRAIN, built, conllu, of_files, recipe
from tests.worlds import bert_config, piece_backend


@pytest.fixture
def bert(tmp_path: Path) -> dict[str, Any]:
    """The encoder section for a random BERT of three blocks in a folder."""
    folder = tmp_path / "bert"
    BertModel(bert_config(dropout=0.1), add_pooling_layer=False).save_pretrained(folder)
    piece_backend().save_pretrained(folder)
    return {"name": str(folder)}


def test_a_bilstm_gets_its_words_from_train_alone(tmp_path: Path) -> None:
    found, _ = built(of_files(tmp_path, encoder={**BILSTM, "min_count": 1}))
    assert isinstance(found.tokenizer, WordTokenizer)
    assert found.model.config.encoder["family"] == "bilstm"
    words = {word_code(form) for sentence in TRAIN for form, _, _ in sentence}
    assert found.model.config.encoder["vocabulary"] == len(found.tokenizer.vocabulary)
    assert set(found.tokenizer.vocabulary) >= words
    assert not set(found.tokenizer.vocabulary) & {word_code("Hm"), word_code("Acme")}
    assert found.words == sum(map(len, TRAIN))


def test_a_corpus_is_gone_through_as_often_as_it_says(tmp_path: Path) -> None:
    files = of_files(tmp_path)["corpora"]["own"]
    corpora = {"own": files, "small": {**files, "repeat": 3}}
    tasks = {"upos": {"depth": 1, "corpus": "own"}, "ner": {"depth": 2, "corpus": "small"}}
    examples = built(recipe(corpora=corpora, tasks=tasks))[0].examples
    assert len(examples) == 4 * len(TRAIN)
    once = examples.items["upos"].sum()
    assert once == sum(map(len, TRAIN)) == examples.items["ner"].sum() / 3
    names = [examples.place(index) for index in range(len(examples))]
    assert names.count(("own", 1)) == 1
    assert names.count(("small", 1)) == 3


def test_a_pretrained_encoder_keeps_its_weights(tmp_path: Path, bert: dict[str, Any]) -> None:
    found, _ = built(of_files(tmp_path, encoder=bert))
    assert isinstance(found.tokenizer, PieceTokenizer)
    assert found.model.config.encoder["family"] == BertEncoder.family
    original = BertModel.from_pretrained(bert["name"])
    copies = {name: value for name, value in found.model.state_dict().items() if "blocks.2" in name}
    theirs = dict(original.encoder.layer[1].named_parameters())
    assert len(copies) == len(theirs)
    same = [
        any(torch.equal(a, b) for b in theirs.values() if a.shape == b.shape)
        for a in copies.values()
    ]
    assert all(same)


def test_blocks_above_the_deepest_task_are_not_built(tmp_path: Path) -> None:
    found, _ = built(of_files(tmp_path, tasks={"upos": {"depth": 1}}))
    assert found.model.stack.depth == 1


def test_labels_are_those_of_train(tmp_path: Path) -> None:
    found, _ = built(of_files(tmp_path))
    tasks = found.model.config.tasks
    assert tasks["upos"]["labels"] == ["ADV", "NOUN", "PROPN", "VERB"]
    assert tasks["ner"]["labels"] == ["B-LOC", "B-PER", "I-PER", "O"]
    assert tasks["dep"]["labels"] == ["dep", "root"]
    assert any("labels on 1 words do not occur in train (INTJ)" in line for line in found.lines)


def test_balanced_weights_are_inverse_to_frequency_and_one_on_average(tmp_path: Path) -> None:
    tasks = {"upos": {"depth": 1, "class_weights": "balanced"}}
    found, _ = built(of_files(tmp_path, tasks=tasks))
    config = found.model.config.tasks["upos"]
    weights = dict(zip(config["labels"], config["options"]["class_weights"], strict=True))
    counts = Counter(upos for sentence in TRAIN for _, upos, _ in sentence)
    assert counts == {"PROPN": 4, "VERB": 4, "NOUN": 2, "ADV": 1}
    assert weights == pytest.approx({label: 11 / (4 * n) for label, n in counts.items()})
    mean = sum(weights[label] * n for label, n in counts.items()) / counts.total()
    assert mean == pytest.approx(1)
    buffer = found.model.head("upos").get_buffer("class_weights")
    assert buffer.tolist() == pytest.approx(config["options"]["class_weights"])


def test_given_weights_stand_in_the_order_of_labels(tmp_path: Path) -> None:
    tasks = {"upos": {"depth": 1, "class_weights": {"NOUN": 3, "ADV": 0.5}}}
    found, _ = built(of_files(tmp_path, tasks=tasks))
    assert found.model.config.tasks["upos"]["options"]["class_weights"] == [0.5, 3, 1, 1]


def test_a_weight_for_an_unknown_label_is_refused(tmp_path: Path) -> None:
    tasks = {"upos": {"depth": 1, "class_weights": {"INTJ": 2.0}}}
    with pytest.raises(RecipeError, match=r"tasks\.upos\.class_weights names 'INTJ'") as error:
        built(of_files(tmp_path, tasks=tasks))
    assert "ADV, NOUN, PROPN, VERB" in str(error.value)


@pytest.mark.parametrize(
    ("task", "options", "needs", "holds"),
    [
        ("upos", {"depth": 1, "head": "biaffine"}, "tree", "tags"),
        ("dep", {"depth": 1, "head": "tagging"}, "tags", "tree"),
    ],
)
def test_a_head_that_cannot_learn_from_the_column_is_refused(
    tmp_path: Path, task: str, options: dict[str, Any], needs: str, holds: str
) -> None:
    with pytest.raises(RecipeError, match=f"learns from {needs}.* holds {holds}") as error:
        built(of_files(tmp_path, tasks={task: options}))
    assert f"tasks.{task}.head" in str(error.value)
    assert "choose another head or column" in str(error.value)


def test_a_depth_beyond_a_pretrained_encoder_is_refused(
    tmp_path: Path, bert: dict[str, Any]
) -> None:
    with pytest.raises(RecipeError, match=r"tasks\.upos\.depth") as error:
        built(of_files(tmp_path, encoder=bert, tasks={"upos": {"depth": 4}}))
    assert "4" in str(error.value)
    assert "3" in str(error.value)


def test_shares_of_a_pretrained_encoder_become_depths(tmp_path: Path, bert: dict[str, Any]) -> None:
    tasks = {"upos": {"depth": "30%"}, "ner": {"depth": "50%"}, "dep": {"depth": "100%"}}
    found, _ = built(of_files(tmp_path, encoder=bert, tasks=tasks))
    assert {task.name: task.depth for task in found.model.hierarchy} == {
        "upos": 1,
        "ner": 2,
        "dep": 3,
    }


def test_one_dropout_rate_replaces_all(tmp_path: Path, bert: dict[str, Any]) -> None:
    for encoder in (BILSTM, bert):
        found, _ = built(of_files(tmp_path, encoder=encoder), **{"training.dropout": 0.25})
        rates = {m.p for m in found.model.modules() if isinstance(m, torch.nn.Dropout)}
        assert rates == {0.25}
        for task in found.model.config.tasks.values():
            assert task["options"]["dropout"] == 0.25


def test_a_head_has_a_dropout_rate_of_its_own_unless_one_rate_replaces_all(
    tmp_path: Path,
) -> None:
    given = of_files(
        tmp_path,
        tasks={
            "upos": {"depth": 1, "head": {"name": "tagging", "dropout": 0.45}},
            "dep": {"depth": 2},
        },
    )
    found, _ = built(given)
    head = found.model.head("upos")
    assert {m.p for m in head.modules() if isinstance(m, torch.nn.Dropout)} == {0.45}
    assert found.model.config.tasks["upos"]["options"]["dropout"] == 0.45
    assert found.model.config.tasks["dep"]["options"]["dropout"] == 0.33
    replaced, _ = built(given, **{"training.dropout": 0.25})
    assert replaced.model.config.tasks["upos"]["options"]["dropout"] == 0.25


def test_a_task_without_a_labelled_word_is_refused(tmp_path: Path) -> None:
    bare = [[("notes", "NOUN", "")], *TRAIN]
    files = {"format": "conllu", "train": conllu(tmp_path / "t.conllu", bare)}
    given = recipe(corpora={"own": files})
    with pytest.raises(
        DataError, match=r"nothing in training carries a label for task 'ner'"
    ) as error:
        built(given, **{"training.max_examples": 1})
    assert "training.max_examples" in str(error.value)
    found, _ = built(given, **{"training.max_examples": 2})
    assert found.examples.items["ner"].tolist() == [0, 3]


@pytest.mark.parametrize("sharing", ["low_supervision", "single"])
def test_a_main_task_without_dev_data_is_refused_before_training(
    tmp_path: Path, sharing: str
) -> None:
    corpora = {
        "both": of_files(tmp_path)["corpora"]["own"],
        "bare": {"format": "conllu", "train": conllu(tmp_path / "bare.conllu", TRAIN)},
    }
    tasks = {"upos": {"depth": 1, "corpus": "both"}, "ner": {"depth": 2, "corpus": "bare"}}
    given = recipe(corpora=corpora, tasks=tasks, sharing=sharing)
    if sharing == "single":
        # Each task chooses by itself, and one without dev data by none.
        assert check(given)
        return
    with pytest.raises(RecipeError, match=r"tasks\.ner has nothing to score in dev data") as error:
        check(given)
    assert "evaluation.main=[upos]" in str(error.value)
    assert check(given, overrides={"evaluation.main": ["upos"]})
    assert check(given, overrides={"tasks.ner.auxiliary": True})
    assert check(given, overrides={"corpora.both.dev": None})


def test_settings_are_those_of_the_recipe() -> None:
    loaded = load_recipe(
        recipe(encoder={**BILSTM, "freeze_below": 1}),
        {"training.lr": 0.25, "training.clip": 0.0, "training.patience": 3, "training.seed": 8},
    )
    found = make_settings(loaded, "fp64")
    assert (found.lr, found.clip, found.patience, found.seed) == (0.25, 0.0, 3, 8)
    assert (found.precision, found.freeze_below, found.tokens_per_batch) == ("fp64", 1, 150)


def test_check_says_what_will_be_trained() -> None:
    lines = check(recipe())
    text = "\n".join(lines)
    assert "sample train: 40 sentences" in text
    words = next(line for line in lines if line.startswith("sample train: 40")).split()[-2]
    assert "upos: level 1, depth 1, tagging, " in text
    for task in TASKS:
        (line,) = [line for line in lines if line.startswith(f"{task}: ")]
        assert line.endswith(f" labels, {words} training items")
    found, _ = built(recipe())
    weights = sum(parameter.numel() for parameter in found.model.parameters())
    assert f"{weights:,} weights; " in text
    capped = check(recipe(), overrides={"training.max_steps": 1})
    assert any(line.endswith("steps an epoch, 1 in all") for line in capped)


def test_check_says_what_gradients_of_tasks_take() -> None:
    pytest.importorskip("torchjd")
    (line,) = [line for line in check(recipe(balancing="torchjd.mean")) if "torchjd" in line]
    stack = built(recipe())[0].model.stack
    # Block 1 is below all three tasks, block 2 below ner and dep.
    low, high = (
        sum(weight.numel() for part in parts for weight in part.parameters())
        for parts in ((stack.embeddings, stack.copies(1)), (stack.copies(2),))
    )
    assert line.startswith(f"torchjd.mean: {low + high:,} weights are shared, on which the tasks'")
    assert f" have {3 * low + 2 * high:,} numbers, 0 MiB" in line
    assert not [line for line in check(recipe()) if "shared" in line]


def test_check_counts_sentences_longer_than_the_encoder(
    tmp_path: Path, bert: dict[str, Any]
) -> None:
    long = [("abcdefghij", "NOUN", "O")] * 20
    files = {"format": "conllu", "train": conllu(tmp_path / "t.conllu", [long, *TRAIN])}
    lines = check(recipe(corpora={"own": files}, encoder=bert))
    assert "1 training sentences are longer than the encoder and are windowed" in lines


def test_a_task_with_one_label_is_pointed_out(tmp_path: Path) -> None:
    train = [[(form, "X", head) for form, _, head in sentence] for sentence in TRAIN]
    given = of_files(tmp_path)
    conllu(tmp_path / "train.conllu", train)
    found, _ = built(given)
    assert "upos: 'X' is its only label in train, so that it learns nothing" in found.lines
    found, _ = built(of_files(tmp_path))
    assert not [line for line in found.lines if "only label" in line]


def test_dev_labels_unknown_in_train_are_no_reason_to_stop(tmp_path: Path) -> None:
    assert {upos for sentence in DEV for _, upos, _ in sentence} - {
        upos for sentence in TRAIN for _, upos, _ in sentence
    } == {"INTJ"}
    assert check(of_files(tmp_path))


def test_recipes_and_what_they_build_have_the_same_defaults() -> None:
    """They are stated twice, since the loop and the heads must import without the recipe."""
    options, compared = TrainingOptions(), set()
    for name, field in Settings.__dataclass_fields__.items():
        if name in TrainingOptions.model_fields:
            assert getattr(options, name) == field.default, name
            compared.add(name)
    assert {"lr", "lr_heads", "epochs", "tokens_per_batch"} <= compared
    for kind, head in heads.HEADS.items():
        arguments = inspect.signature(head).parameters
        for name, value in OPTIONS[kind].model_construct().model_dump().items():
            if name not in {"name", "reads", *OPTIONS[kind].of_labels}:
                assert arguments[name].default == value, (kind, name)
    encoder = BilstmEncoder().model_dump()
    shared = DEFAULTS.keys() & encoder.keys()
    assert {"layers", "hidden", "word_dropout"} <= shared
    for name in shared:
        assert DEFAULTS[name] == encoder[name], name


def test_every_balancing_of_the_recipe_is_there_to_train_with() -> None:
    assert set(BALANCING) == set(BALANCERS)
    given = recipe(balancing="uncertainty")
    assert make_settings(load_recipe(given), "fp32").balancing == "uncertainty"
    given = recipe(balancing={"name": "torchjd.mgda", "max_iters": 7})
    found = make_settings(load_recipe(given), "fp32")
    assert (found.balancing, found.balancing_options) == (
        "torchjd.mgda",
        {"epsilon": 0.001, "max_iters": 7},
    )


BOTTOM_UP = {"successive": 0.3, "successive_heads": 0.4, "decoupled": False}
SAMPLINGS: dict[str, tuple[dict[str, Any], Sampling]] = {
    "proportional": ({}, MIXED),
    "temperature": ({"exponent": 0.3}, Sampling("drawn", 0.3, 0.3)),
    "annealed": ({"last": 0.4}, Sampling("drawn", 1.0, 0.4)),
    "cooldown": ({"first": 0.4}, Sampling("drawn", 0.4, 1.0)),
    "round_robin": ({}, Sampling("turns")),
    "bottom_up": (
        {**BOTTOM_UP, "rate_decay": 0.2, "clip_by_level": True},
        Sampling("phases", **BOTTOM_UP, rate_decay=0.2, clip_by_level=True),
    ),
}


def test_every_sampling_of_the_recipe_is_the_loops() -> None:
    assert set(SAMPLINGS) == set(SAMPLING)
    for name, (options, expected) in SAMPLINGS.items():
        given = load_recipe(recipe(sampling={"name": name, **options}))
        assert make_settings(given, "fp32").sampling == expected


def test_scripts_that_spell_words_are_not_learnt(tmp_path: Path) -> None:
    forms = [("cats", "cat"), ("dogs", "dog"), ("SMTH", "something else"), ("Sept", "September")]
    rows = "".join(
        f"{at}\t{form}\t{lemma}\tNOUN\t_\t_\t{at - 1}\tdep\t_\t_\n"
        for at, (form, lemma) in enumerate(forms, 1)
    )
    for split in ("train", "dev"):
        (tmp_path / f"{split}.conllu").write_text(f"{rows}\n{rows}\n")
    files = {split: str(tmp_path / f"{split}.conllu") for split in ("train", "dev")}

    def scripts(**head: int) -> set[str]:
        tasks = {"lemma": {"depth": 1, "head": {"name": "edits", **head}}}
        given = recipe(tasks=tasks, corpora={"own": {"format": "conllu", **files}})
        return set(built(given)[0].model.config.tasks["lemma"]["labels"])

    few, all_ = scripts(), scripts(most_inserted=20)
    assert few < all_
    assert all(inserted(script) <= 5 for script in few)
    assert edit_script("Sept", "September") in few
    assert edit_script("SMTH", "something else") in all_ - few


def test_words_are_those_of_the_examples_trained_on(tmp_path: Path) -> None:
    given = of_files(tmp_path, encoder={**BILSTM, "min_count": 1})
    found, _ = built(given, **{"training.max_examples": 2})
    assert isinstance(found.tokenizer, WordTokenizer)
    inside, beyond = (
        {word_code(form) for sentence in part for form, _, _ in sentence}
        for part in (TRAIN[:2], TRAIN[2:])
    )
    assert inside <= set(found.tokenizer.vocabulary)
    assert not (beyond - inside) & set(found.tokenizer.vocabulary)


def test_entities_are_not_judged_by_dev_data_that_has_none(tmp_path: Path) -> None:
    given = of_files(tmp_path)
    nothing = [[(form, upos, "O") for form, upos, _ in sentence] for sentence in DEV]
    conllu(tmp_path / "dev.conllu", nothing)
    with pytest.raises(RecipeError, match=r"tasks\.ner has nothing to score in dev data"):
        check(given)
    one = [[("Ada", "PROPN", "B-PER")], *nothing]
    conllu(tmp_path / "dev.conllu", one)
    assert check(given)


def test_an_option_no_encoder_has_is_named() -> None:
    config = BiLstmEncoder(layers=2, hidden=4).config()
    assert encoder_from_config(config).config() == config
    with pytest.raises(ModelError, match=r"layerz.*did you mean 'layers'"):
        encoder_from_config({**config, "layerz": 3})
