"""From the recipe's `corpora` section to stored corpora."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from spacy.tokens import DocBin

from hiermtl.commands import sources as room
from hiermtl.commands.build import build
from hiermtl.commands.corpora import open_corpora
from hiermtl.commands.tasks import layers_of
from hiermtl.document import Document
from hiermtl.errors import DataError
from hiermtl.recipe import load_recipe
from hiermtl.records import Group
from hiermtl.text.conllu import read_conllu
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
    next(tmp_path.rglob("test.conllu")).unlink()
    opened(recipe(corpora={"sample": small}))
    opened(recipe(corpora={"sample": {**small, "seed": 1}}))
    assert len(calls) == 3
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


def test_json_lines_and_spacy_documents_hold_what_the_treebank_holds(tmp_path: Path) -> None:
    treebank = conllu(tmp_path / "own.conllu", TRAIN)
    levels = {"upos": "tags", "ner": "tags", "dep": "tree"}
    documents = [
        Document([sentence], [sentence.layers], levels=levels, known=levels)
        for sentence in read_conllu(treebank)
    ]
    lines = "".join(json.dumps(document.to_dict()) + "\n" for document in documents)
    (tmp_path / "own.jsonl").write_text(lines)
    docs = [document.to_spacy() for document in documents]
    DocBin(docs=docs).to_disk(tmp_path / "own.spacy")
    columns = {
        "upos": "tags.upos",
        "ner": "tags.ner",
        "dep": {"heads": "trees.dep.heads", "relations": "trees.dep.relations"},
    }
    forms: dict[str, dict[str, Any]] = {
        "own.conllu": {"format": "conllu"},
        "own.jsonl": {"format": "jsonl", "columns": columns},
        "own.spacy": {"format": "docbin"},
    }
    found = []
    for file, options in forms.items():
        given = recipe(corpora={"own": {"train": file, **options}})
        corpus = opened(given, data_dir=tmp_path)["own"]
        found.append([(s.words, dict(s.layers)) for s in corpus.sentences("train")])
    assert found[0] == found[1] == found[2]
    assert {"upos", "ner", "dep"} == set(found[0][0][1])


def test_illegal_tags_of_json_lines_are_an_error_or_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"words": ["Ada", "ran"], "ner": ["I-PER", "O"]}\n')
    options = {"format": "jsonl", "train": "a.jsonl", "columns": {"ner": "ner"}}
    tasks = {"ner": {"depth": 1}}
    with pytest.raises(DataError, match=r"a\.jsonl:1: .*I-PER"):
        opened(recipe(corpora={"own": options}, tasks=tasks), data_dir=tmp_path)
    mended = recipe(corpora={"own": {**options, "bio": "repair"}}, tasks=tasks)
    corpus = opened(mended, data_dir=tmp_path)["own"]
    assert corpus.gold("train", "ner") == [("B-PER", "O")]
    assert any("1 tags of ner repaired" in line for line in corpus.lines())


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


def saved(folder: Path, splits: dict[str, list[str]]) -> None:
    """A data set on disk, each word of each split a sentence."""
    datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict(
                {"tokens": [[word] for word in words], "tags": [["X"] for _ in words]}
            )
            for split, words in splits.items()
        }
    ).save_to_disk(str(folder))


def test_a_dataset_may_lack_dev_and_test(tmp_path: Path) -> None:
    options = {"format": "dataset", "columns": {"upos": "tags"}}
    tasks = {"upos": {"depth": 1}}
    saved(tmp_path / "bare", {"train": ["a", "b"]})
    saved(tmp_path / "full", {"train": ["a"], "validation": ["b"], "test": ["c"]})
    for name, splits in (("bare", {"train"}), ("full", {"train", "dev", "test"})):
        given = recipe(corpora={"own": {**options, "path": str(tmp_path / name)}}, tasks=tasks)
        assert set(opened(given)["own"].splits) == splits
    named = {**options, "path": str(tmp_path / "bare"), "dev": "validation"}
    with pytest.raises(DataError, match="no split 'validation'; this dataset has train"):
        opened(recipe(corpora={"own": named}, tasks=tasks))


def test_datasets_are_looked_up_where_files_are(tmp_path: Path) -> None:
    for place, word in (("data", "a"), ("recipes", "b")):
        saved(tmp_path / place / "own", {"train": [word]})
    file = tmp_path / "recipes" / "own.yaml"
    options = {"format": "dataset", "path": "own", "columns": {"upos": "tags"}}
    given = recipe(corpora={"own": options}, tasks={"upos": {"depth": 1}})
    file.write_text(json.dumps(given))
    for data_dir, word in ((tmp_path / "data", "a"), (None, "b")):
        (found,) = open_corpora(load_recipe(file), data_dir=data_dir)["own"].sentences("train")
        assert found.words == (word,)


def test_a_stream_is_stored_up_to_the_rows_that_are_wanted(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    data = datasets.Dataset.from_dict({"tokens": [["a"], ["b"], ["c"]], "tags": [["X"]] * 3})
    data.to_parquet(tmp_path / "own" / "train.parquet")
    options = {"format": "dataset", "path": str(tmp_path / "own"), "columns": {"upos": "tags"}}
    for more, words in (({}, "abc"), ({"max_rows": 2}, "ab")):
        given = {**options, "streaming": True, **more}
        found = opened(recipe(corpora={"own": given}, tasks={"upos": {"depth": 1}}))
        assert "".join(s.words[0] for s in found["own"].sentences("train")) == words


def test_noise_is_in_training_alone() -> None:
    plain = opened(recipe())["sample"]
    given = recipe()
    given["corpora"]["sample"]["noise"] = {"upos": 0.5}
    noisy = opened(given)["sample"]
    assert noisy.gold("train", "upos") != plain.gold("train", "upos")
    assert noisy.gold("train", "ner") == plain.gold("train", "ner")
    for split in ("dev", "test"):
        assert noisy.gold(split, "upos") == plain.gold(split, "upos")
    assert any("upos: noise in" in line for line in noisy.lines())


def test_documents_are_chosen_by_name(tmp_path: Path) -> None:
    names = ["mail-1", "mail-2", "web-1"]
    file = Path(conllu(tmp_path / "docs.conllu", TRAIN[:3]))
    parts = file.read_text(encoding="utf-8").split("# sent_id")[1:]
    both = zip(names, parts, strict=True)
    text = "".join(f"# newdoc id = {name}\n# sent_id{part}" for name, part in both)
    file.write_text(text, encoding="utf-8")

    def train(**documents: Any) -> list[str | None]:
        given = recipe(corpora={"x": {"format": "conllu", "train": str(file)}})
        given["corpora"]["x"]["documents"] = documents
        return [s.doc_id for s in opened(given)["x"].sentences("train")]

    assert train(train="mail-*") == names[:2]
    assert train(train=["!mail-*"]) == names[2:]
    assert train(train=["*-1", "!web-*"]) == names[:1]
    assert train(dev="web-*") == names
    with pytest.raises(DataError, match=r"corpora.x.documents.train is weab-\*, which no document"):
        train(train="weab-*")


@pytest.mark.parametrize("limit", [1, 3, 7, 40])
def test_spread_examples_and_words_are_counted_from_the_same_sentences(limit: int) -> None:
    loaded = load_recipe(
        recipe(corpora={"sample": {"format": "sample", "train": 40, "dev": 5, "test": 5}}),
        {"training.max_examples": limit, "training.examples": "spread"},
    )
    corpora = open_corpora(loaded)
    sentences = list(corpora["sample"].sentences("train"))
    wanted = [sentences[place * 40 // limit] for place in range(limit)]
    assert list(corpora["sample"].sentences_of("train", limit, spread=True)) == wanted
    assert list(corpora["sample"].sentences_of("train", limit)) == sentences[:limit]
    examples = build(loaded, corpora).examples
    assert examples.words.tolist() == [len(sentence.words) for sentence in wanted]
    found = [len(example.piece_counts) for example in examples.fetch(range(limit))]
    assert found == examples.words.tolist()
    assert examples.place(limit - 1) == ("sample", (limit - 1) * 40 // limit + 1)


def test_examples_that_are_spread_over_passages_and_lone_sentences() -> None:
    given = recipe(corpora={"sample": {"format": "sample", "train": 40, "dev": 5, "test": 5}})
    tasks = {**given["tasks"], "entailment": {"depth": 2}}
    loaded = load_recipe(
        {**given, "tasks": tasks}, {"training.max_examples": 9, "training.examples": "spread"}
    )
    corpora = open_corpora(loaded)
    examples = build(loaded, corpora).examples
    words = sum(len(s.words) for s in corpora["sample"].sentences_of("train", 9, spread=True))
    groups = [e for e in examples.fetch(range(9)) if isinstance(e, Group)]
    assert 0 < len(groups) < 9
    assert words == examples.words.sum()


def test_documents_are_chosen_after_layers_that_are_joined_by_position(tmp_path: Path) -> None:
    file = Path(conllu(tmp_path / "docs.conllu", TRAIN[:2]))
    first, second = file.read_text(encoding="utf-8").split("# sent_id")[1:]
    text = f"# newdoc id = mail\n# sent_id{first}# newdoc id = web\n# sent_id{second}"
    file.write_text(text, encoding="utf-8")
    rows = ["\n".join(f"{form}\t{tag}" for form, _, tag in words) for words in TRAIN[:2]]
    columns = tmp_path / "joined.tsv"
    columns.write_text("\n\n".join(rows) + "\n", encoding="utf-8")
    join = {"format": "columns", "key": "position", "columns": {"own": 1}, "train": str(columns)}
    options = {"format": "conllu", "train": str(file), "join": [join]}
    tasks = {"own": {"depth": 1, "head": "crf"}}
    given = recipe(tasks=tasks, corpora={"x": {**options, "documents": {"train": "web"}}})
    corpus = opened(given)["x"]
    assert [s.words[0] for s in corpus.sentences("train")] == [TRAIN[1][0][0]]
    assert corpus.gold("train", "own") == [tuple(tag for _, _, tag in TRAIN[1])]
