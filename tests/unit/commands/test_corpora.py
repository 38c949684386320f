"""From the recipe's `corpora` section to stored corpora."""

from pathlib import Path
from typing import Any

import pytest

from hiermtl.commands import corpora as room
from hiermtl.commands.corpora import layers_of, open_corpora
from hiermtl.errors import DataError
from hiermtl.recipe import load_recipe
from tests.unit.commands.runs import TASKS, TRAIN, conllu, of_files, recipe


def opened(given: dict[str, Any], **options: Any) -> Any:
    return open_corpora(load_recipe(given), **options)


def test_the_sample_is_written_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HIERMTL_CACHE", str(tmp_path))
    calls: list[Any] = []
    keep = room.sample

    def counted(*given: Any, **options: Any) -> Any:
        calls.append(options)
        return keep(*given, **options)

    monkeypatch.setattr(room, "sample", counted)
    small = {"format": "sample", "train": 12, "dev": 4, "test": 4}
    first = opened(recipe(corpora={"sample": small}))["sample"]
    again = opened(recipe(corpora={"sample": small}))["sample"]
    assert len(calls) == 1
    assert list(first.sentences("dev")) == list(again.sentences("dev"))
    other = opened(recipe(corpora={"sample": {**small, "seed": 1}}))["sample"]
    assert len(calls) == 2
    assert list(first.sentences("dev")) != list(other.sentences("dev"))


def test_the_sample_has_a_sentence_for_each_asked_for() -> None:
    corpus = opened(recipe())["sample"]
    assert {split: len(data) for split, data in corpus.splits.items()} == {
        "train": 40,
        "dev": 15,
        "test": 15,
    }
    assert set(corpus.layers) == set(TASKS)
    assert all(layer is not None for layer in corpus.gold("train", "ner"))


def test_files_of_a_split_follow_one_another(tmp_path: Path) -> None:
    names = [conllu(tmp_path / f"{n}.conllu", TRAIN[n : n + 2]) for n in (2, 0)]
    corpus = opened(recipe(corpora={"own": {"format": "conllu", "train": names}}))["own"]
    found = [sentence.words for sentence in corpus.sentences("train")]
    assert found == [tuple(form for form, _, _ in TRAIN[n]) for n in (2, 3, 0, 1)]


def test_joined_columns_become_layers(tmp_path: Path) -> None:
    columns = "".join(
        f"# sent_id = train-{number}\n"
        + "".join(f"{form}\tX-{tag}\n" for form, _, tag in sentence)
        + "\n"
        for number, sentence in enumerate(TRAIN)
    )
    (tmp_path / "t.tsv").write_text(columns)
    files = {
        "format": "conllu",
        "train": conllu(tmp_path / "train.conllu", TRAIN),
        "join": [{"format": "columns", "columns": {"extra": 1}, "bio": "off", "train": "t.tsv"}],
    }
    tasks = {"upos": {"depth": 1}, "extra": {"depth": 2, "head": "tagging"}}
    given = recipe(corpora={"own": files}, tasks=tasks)
    corpus = opened(given, data_dir=tmp_path)["own"]
    assert corpus.gold("train", "extra") == [
        tuple(f"X-{tag}" for _, _, tag in sentence) for sentence in TRAIN
    ]
    assert any("4 of 4 common sentences" in line for line in corpus.lines())


def test_corpora_without_a_task_are_not_read(tmp_path: Path) -> None:
    given = of_files(tmp_path, tasks={"upos": {"depth": 1, "corpus": "own"}})
    given["corpora"]["idle"] = {"format": "conllu", "train": "nowhere.conllu"}
    loaded = load_recipe(given)
    assert layers_of(loaded) == {"own": {"upos": "upos"}}
    assert set(open_corpora(loaded)) == {"own"}


def test_a_task_reads_the_layer_its_column_names(tmp_path: Path) -> None:
    given = of_files(
        tmp_path, tasks={"word_class": {"depth": 1, "head": "tagging", "column": "upos"}}
    )
    loaded = load_recipe(given)
    assert layers_of(loaded) == {"own": {"word_class": "upos"}}
    assert open_corpora(loaded)["own"].inventory("upos") == ("ADV", "NOUN", "PROPN", "VERB")


def test_a_missing_file_is_named_with_where_it_was_looked_for(tmp_path: Path) -> None:
    files = {"format": "conllu", "train": "corpora/none.conllu"}
    with pytest.raises(DataError, match=r"none\.conllu") as error:
        opened(recipe(corpora={"own": files}), data_dir=tmp_path)
    assert str(tmp_path) in str(error.value)


def test_only_the_splits_asked_for_are_read(tmp_path: Path) -> None:
    given = of_files(tmp_path)
    given["corpora"]["own"]["test"] = conllu(tmp_path / "test.conllu", TRAIN)
    assert set(opened(given)["own"].splits) == {"train", "dev", "test"}
    assert set(opened(given, splits=("dev",))["own"].splits) == {"dev"}
