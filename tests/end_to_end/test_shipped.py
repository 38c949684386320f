"""Models that come with the package: small, and without words of their training text."""

import json
from pathlib import Path

import pytest

import hiermtl
from hiermtl.pretrained.finding import SHIPPED
from hiermtl.text.conllu import read_conllu

MODELS = sorted(folder.name for folder in SHIPPED.glob("*") if folder.is_dir())


def test_there_is_a_small_english_model() -> None:
    assert "en_small" in MODELS


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_model_is_small_and_says_under_which_licence(name: str) -> None:
    folder = SHIPPED / name
    assert sum(file.stat().st_size for file in folder.glob("*.safetensors")) <= 15_000_000
    assert "CC BY-SA 4.0" in (folder / "LICENSE").read_text(encoding="utf-8")
    assert "CC BY-SA 4.0" in (folder / "README.md").read_text(encoding="utf-8")


def test_en_small_holds_no_word_of_its_training_text(data_folder: Path) -> None:
    """Words of six letters and more, in its tokenizer or in the scripts of its lemmas."""
    train = data_folder / "ud_english_ewt" / "en_ewt-ud-train.conllu"
    words = {word for sentence in read_conllu(train) for word in sentence.words if len(word) > 5}
    config = json.loads((SHIPPED / "en_small" / "config.json").read_text(encoding="utf-8"))
    kept = json.loads((SHIPPED / "en_small" / "words.json").read_text(encoding="utf-8"))
    assert all(isinstance(code, int) for code in kept["vocabulary"])
    scripts = config["tasks"]["lemma"]["labels"]
    inserted = ["".join(step for step in script.split("+")[1:]) for script in scripts]
    assert not words & set(inserted)
    assert {"September", "government"} <= words


def test_en_small_annotates_at_every_level() -> None:
    nlp = hiermtl.load("en_small")
    assert set(nlp.tasks) == {"segment", "upos", "xpos", "feats", "lemma", "ner", "dep"}
    doc = nlp("The three dogs were barking at their owner in London.")
    assert doc.tags("upos")[:5] == ("DET", "NUM", "NOUN", "AUX", "VERB")
    assert doc.tags("lemma")[2:4] == ("dog", "be")
    assert [entity.label for entity in doc.entities] == ["LOC"]
    assert doc.tree.heads[4] == -1


def test_en_small_scores_what_its_page_says(data_folder: Path) -> None:
    scores = hiermtl.evaluate("en_small", split="dev", data_dir=data_folder, precision="fp32")
    least = {"upos": 94.1, "xpos": 93.6, "feats": 94.9, "lemma": 96.3, "dep": 81.9, "ner": 55}
    for task, bound in least.items():
        assert scores.main(task).score >= bound, task


def test_en_small_finds_words_as_its_page_says(data_folder: Path) -> None:
    nlp = hiermtl.load("en_small")
    assert nlp.segments
    doc = nlp("Dr. Smith isn't here, e.g. at 5 p.m. Don't wait!")
    assert doc.words[:4] == ("Dr.", "Smith", "is", "n't")
    assert len(doc.sentences) == 2
    raw = hiermtl.evaluate(
        "en_small", split="dev", raw=True, data_dir=data_folder, precision="fp32"
    )
    least = {"segment": 98.5, "upos": 92, "dep": 78}
    for task, bound in least.items():
        assert raw.main(task).score >= bound, task
