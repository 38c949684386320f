"""The card of a trained model: metadata that the hub reads, and what they say."""

from typing import Any

import pytest
from huggingface_hub import ModelCard

from hiermtl.annotation import Annotator
from hiermtl.commands.card import model_card
from hiermtl.config import HierarchicalConfig
from hiermtl.encoders.bilstm import BiLstmEncoder
from hiermtl.evaluation import Scores
from hiermtl.evaluation.scores import ScoreRow
from hiermtl.model import HierarchicalModel
from hiermtl.pretrained.cards import LICENCES, licence_name, part_of_card
from hiermtl.recipe import load_recipe
from hiermtl.tokens import WordTokenizer

TASKS = {
    "upos": {"depth": 1, "head": "tagging", "labels": ["A", "B"]},
    "xpos": {"depth": 1, "head": "tagging", "labels": ["A", "B"]},
    "dep": {"depth": 2, "head": "biaffine", "labels": ["root"]},
    "entailment": {"depth": 2, "head": "pair_classification", "labels": ["NO", "YES"]},
    "relatedness": {"depth": 2, "head": "pair_regression", "labels": ["1", "2"]},
}
HUB = {"format": "dataset", "path": "ada/words", "columns": {"xpos": "tags"}}


def annotator(**tasks: Any) -> Annotator:
    encoder = BiLstmEncoder(layers=2, hidden=8, buckets=31)
    config = HierarchicalConfig(encoder.config(), tasks, language="en")
    return Annotator(HierarchicalModel(config, encoder), WordTokenizer([], 31, sizes=[2]))


def row(task: str, metric: str, score: float, data: str = "ewt", **changes: Any) -> ScoreRow:
    depth = TASKS[task]["depth"]
    given = {"level": depth, "depth": depth, "items": 10, "split": "dev", "scorer": "own"}
    about = {"dtype": "fp32", "seed": 3, **given, **changes}
    return ScoreRow(task=task, metric=metric, score=score, data=data, **about)


def card_of(licences: dict[str, str | None], rows: list[ScoreRow]) -> str:
    corpora: dict[str, dict[str, Any]] = {
        "ewt": {"format": "conllu", "train": "a.conllu"},
        "words": dict(HUB),
    }
    for name, licence in licences.items():
        corpora[name]["licence"] = licence
    recipe = load_recipe(
        {
            "name": "tiny",
            "description": "A tiny one.",
            "encoder": {"name": "bilstm", "layers": 2},
            "language": "en",
            "tasks": {
                "upos": {"depth": 1, "corpus": "ewt"},
                "xpos": {"depth": 1, "corpus": "words"},
                "dep": {"depth": 2, "corpus": "ewt"},
            },
            "corpora": corpora,
        }
    )
    kept = {task: TASKS[task] for task in ("upos", "xpos", "dep")}
    return model_card(annotator(**kept), recipe, Scores(tuple(rows)), words=1000)


ROWS = [
    row("upos", "accuracy", 97.123456),
    row("xpos", "accuracy", 96.5, "words"),
    row("dep", "las", 90.0),
    row("dep", "uas", 92.0),
]


def test_a_card_has_a_result_for_each_level():
    card = ModelCard(card_of({"ewt": "CC BY-SA 4.0", "words": "CC BY-SA 4.0"}, ROWS))
    data: Any = card.data
    assert data.library_name == "hiermtl"
    assert (data.language, data.license) == ("en", "cc-by-sa-4.0")
    assert data.datasets == ["ada/words", "ewt"]
    assert data.depths == {"upos": 1, "xpos": 1, "dep": 2}
    found = [
        (of.task_name, of.task_type, of.dataset_type, of.dataset_split, of.metric_type)
        for of in data.eval_results
    ]
    assert found == [
        ("upos", "token-classification", "ewt", "dev", "accuracy"),
        ("xpos", "token-classification", "ada/words", "dev", "accuracy"),
        ("dep", "token-classification", "ewt", "dev", "las"),
        ("dep", "token-classification", "ewt", "dev", "uas"),
    ]
    assert [of.metric_value for of in data.eval_results] == [97.1235, 96.5, 90.0, 92.0]
    assert data.eval_results[2].metric_args == {
        "level": 2,
        "depth": 2,
        "scorer": "own",
        "items": 10,
        "dtype": "fp32",
        "seed": 3,
    }
    # What is read is written again the same.
    assert ModelCard(str(card)).data.to_dict() == data.to_dict()
    assert len(data.to_dict()["model-index"][0]["results"]) == 3
    assert "1,000 words" in card.text


@pytest.mark.parametrize(
    ("licences", "license", "name"),
    [
        ({"ewt": None, "words": None}, None, None),
        ({"ewt": "CC BY-SA 4.0", "words": None}, "other", "cc-by-sa-4.0-and-not-stated"),
        ({"ewt": "CC BY 3.0", "words": "CC BY-SA 4.0"}, "other", "cc-by-3.0-and-cc-by-sa-4.0"),
        ({"ewt": "ask us", "words": "ask us"}, "other", "ask-us"),
        ({"ewt": "proprietary", "words": "proprietary"}, "other", "proprietary"),
        ({"ewt": "unknown", "words": "unknown"}, "other", "unknown"),
        ({"ewt": "MIT License", "words": "MIT"}, "mit", None),
        ({"ewt": "GPL-3.0-or-later", "words": "GPL-3.0-or-later"}, "other", "gpl-3.0-or-later"),
    ],
)
def test_licences_of_the_data_are_told(
    licences: dict[str, str | None], license: str | None, name: str | None
):
    data: Any = ModelCard(card_of(licences, [])).data
    assert (data.license, data.license_name) == (license, name)
    assert data.eval_results is None


@pytest.mark.parametrize(
    ("stated", "known"),
    [
        ("CC BY-SA 4.0", "cc-by-sa-4.0"),
        ("CC BY-NC-SA 3.0, not for commercial use", "cc-by-nc-sa-3.0"),
        ("GPL-3.0 (of the repository)", "gpl-3.0"),
        ("Apache-2.0", "apache-2.0"),
        ("Apache License, Version 2.0", "apache-2.0"),
        ("Apache 2", "apache-2.0"),
        ("The MIT License", "mit"),
        ("BSD 3-Clause License", "bsd-3-clause"),
        ("GNU GPL v3", "gpl-3.0"),
        ("GPLv2", "gpl-2.0"),
        ("LGPLv2.1", "lgpl-2.1"),
        ("LGPL-LR", "lgpl-lr"),
        ("GNU GPL version 3.0", "gpl-3.0"),
        ("CC0", "cc0-1.0"),
        ("CC0 1.0", "cc0-1.0"),
        ("Creative Commons Attribution-ShareAlike 4.0 International", "cc-by-sa-4.0"),
        ("Creative Commons Attribution-NonCommercial 4.0", "cc-by-nc-4.0"),
        ("deepfloyd-if-license", "deepfloyd-if-license"),
    ],
)
def test_licences_have_the_names_of_the_hub(stated: str, known: str):
    assert licence_name(stated) == known
    assert known in LICENCES


@pytest.mark.parametrize(
    ("stated", "slug"),
    [
        ("LDC User Agreement", "ldc-user-agreement"),
        ("Proprietary; ask!", "proprietary-ask"),
        ("CC BY", "cc-by"),
        ("CC BY-SA 5.0", "cc-by-sa-5.0"),
        ("MIT-0", "mit-0"),
        ("\u81ea\u7531", "see-below"),
    ],
)
def test_other_licences_are_slugs(stated: str, slug: str):
    assert licence_name(stated) == slug
    assert slug not in LICENCES


def test_tasks_have_the_types_of_the_hub():
    from hiermtl.pretrained.cards import task_type

    model = annotator(**TASKS).model
    assert {task: task_type(model, task) for task in TASKS} == {
        "upos": "token-classification",
        "xpos": "token-classification",
        "dep": "token-classification",
        "entailment": "text-classification",
        "relatedness": "sentence-similarity",
    }


def test_the_card_of_a_part_has_its_scores_alone():
    card = card_of({"ewt": "CC BY-SA 4.0", "words": "CC BY-SA 4.0"}, ROWS)
    part = annotator(upos=TASKS["upos"]).model
    found = part_of_card(card, part)
    assert found is not None
    data: Any = ModelCard(found).data
    assert (data.depths, data.license, data.model_name) == ({"upos": 1}, "cc-by-sa-4.0", "tiny")
    assert [(of.task_name, of.metric_value) for of in data.eval_results] == [("upos", 97.1235)]
    assert "| dep |" not in found
    assert part_of_card("---\nmodel-index: 3\n---\n", part) is None
    assert part_of_card(None, part) is None
