"""Hints in a recipe: labels computed from the words of its corpora, and counted in train alone."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hiermtl.commands import train
from hiermtl.commands.corpora import open_corpora
from hiermtl.corpus.build import Corpus
from hiermtl.recipe import load_recipe
from hiermtl.text.hints import HINTS, hint_tags
from tests.unit.commands.runs import TASKS, Word, built, conllu, recipe

OFTEN = {"depth": 1, "head": {"name": "hint", "feature": "frequency"}, "auxiliary": True}
LAYER = "hint:frequency"


def sentence(text: str) -> list[Word]:
    return [(word, "X", "O") for word in text.split()]


TRAIN = [sentence(text) for text in ("a a a a b", "a a a b b c", "a B d e f g")]
MORE = [sentence(text) for text in ("c c c c c c c c", "b b b b b h")]
DEV = [sentence(text) for text in ("d d d d d d d d a", "i i i b")]


def brute(word: str, *data: list[list[Word]]) -> str | None:
    """The bin of a word, its occurrences counted one by one."""
    count = sum(form == word for part in data for of in part for form, _, _ in of)
    for number in range(20):
        if math.exp(number) <= count < math.exp(number + 1):
            return str(number)
    return None


def given(folder: Path, **more: Any) -> dict[str, Any]:
    corpora = {
        "one": {
            "format": "conllu",
            "train": conllu(folder / "one.conllu", TRAIN),
            "dev": conllu(folder / "dev.conllu", DEV),
            "test": conllu(folder / "test.conllu", DEV),
        },
        "two": {"format": "conllu", "train": conllu(folder / "two.conllu", MORE)},
    }
    tasks = {"upos": {"depth": 1}, "often": OFTEN}
    return recipe(tasks=tasks, corpora=corpora, **more)


def labels(corpus: Corpus, split: str, layer: str = LAYER) -> list[tuple[str, Any]]:
    found = corpus.gold(split, layer)
    words = [sentence.words for sentence in corpus.sentences(split)]
    return [
        (word, tag)
        for own, tags in zip(words, found, strict=True)
        for word, tag in zip(own, tags, strict=True)  # type: ignore[arg-type]
    ]


def test_words_are_counted_in_the_training_data_of_all_corpora_of_the_task(tmp_path: Path) -> None:
    corpora = open_corpora(load_recipe(given(tmp_path)))
    for name, split in (("one", "train"), ("two", "train"), ("one", "dev"), ("one", "test")):
        for word, tag in labels(corpora[name], split):
            assert tag == brute(word, TRAIN, MORE), (name, split, word)
    assert ("i", None) in labels(corpora["one"], "dev")
    # The control: with dev, or with one of the corpora alone, some would be others.
    assert brute("d", TRAIN, MORE) != brute("d", TRAIN, MORE, DEV)
    assert brute("c", TRAIN, MORE) != brute("c", TRAIN)


def test_a_task_of_one_corpus_counts_in_that_alone(tmp_path: Path) -> None:
    options = {"tasks.often.corpus": "one"}
    corpora = open_corpora(load_recipe(given(tmp_path), options))
    assert all(tag == brute(word, TRAIN) for word, tag in labels(corpora["one"], "train"))
    assert LAYER not in corpora["two"].layers


def test_labels_follow_the_files_they_were_counted_in(tmp_path: Path) -> None:
    """Of another corpus too; what changes in dev changes none."""
    recipe_ = load_recipe(given(tmp_path))
    before = labels(open_corpora(recipe_)["two"], "train")
    conllu(tmp_path / "dev.conllu", [*DEV, *DEV])
    assert labels(open_corpora(recipe_)["two"], "train") == before
    many = [*TRAIN, *[sentence("h h h h h h h h")] * 3]
    conllu(tmp_path / "one.conllu", many)
    after = labels(open_corpora(recipe_)["two"], "train")
    assert after != before
    assert all(tag == brute(word, many, MORE) for word, tag in after)


def test_what_readers_count_is_not_counted_twice(tmp_path: Path) -> None:
    rows = "a\tI-X\nb\tO\n\na\tB-X\n\n"
    (tmp_path / "t.tsv").write_text(rows)
    columns = {
        "format": "columns",
        "columns": {"ner": 1},
        "bio": "repair",
        "train": str(tmp_path / "t.tsv"),
    }
    tasks = {"ner": {"depth": 1}, "often": OFTEN}
    corpus = open_corpora(load_recipe(recipe(tasks=tasks, corpora={"own": columns})))["own"]
    assert corpus.reports["train"] == ("1 tags of ner repaired",)
    assert labels(corpus, "train") == [("a", "0"), ("b", "0"), ("a", "0")]


def test_every_feature_is_learnt_beside_others_and_scored_on_dev(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hints = {
        feature: {"depth": 2, "head": {"name": "hint", "feature": feature}, "auxiliary": True}
        for feature in HINTS
    }
    tasks = {"upos": {"depth": 1}, **hints}
    found = train(recipe(tasks=tasks), output=tmp_path, **{"training.max_steps": 2})
    told = capsys.readouterr().err
    assert all(f"{feature} (auxiliary) accuracy" in told for feature in HINTS)
    assert found.load().tasks == ("upos",)


def test_several_hints_stand_beside_each_other_and_rare_labels_are_left_out() -> None:
    hints = {
        f"last{size}": {
            "depth": 1,
            "head": {"name": "hint", "feature": "suffix", "size": size, "min_count": 5},
            "auxiliary": True,
        }
        for size in (1, 2)
    }
    found, loaded = built(recipe(tasks={**TASKS, **hints}))
    corpus = open_corpora(loaded)["sample"]
    for size in (1, 2):
        layer = loaded.tasks[f"last{size}"].column
        assert layer == f"hint:suffix-{size}"
        counts = Counter(tag for _, tag in labels(corpus, "train", layer))
        for word, tag in labels(corpus, "train", layer):
            assert (tag,) == hint_tags((word,), "suffix", seen=lambda _: 0, size=size)
        kept = sorted(label for label, count in counts.items() if count >= 5)
        assert list(found.model.head(f"last{size}").labels) == kept
        items = sum(counts[label] for label in kept)
        assert 0 < items < counts.total()
        assert found.examples.items[f"last{size}"].sum() == items


def test_sentences_of_pairs_have_hints_too() -> None:
    tasks = {"entailment": {"depth": 2}, "often": OFTEN}
    found, _ = built(recipe(tasks=tasks))
    both = (found.examples.items["entailment"] > 0) & (found.examples.items["often"] > 0)
    assert both.sum() == (found.examples.items["entailment"] > 0).sum() > 0
