"""Which examples of a split are used, and which of its sentences are one document."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hiermtl.commands.build import _part
from hiermtl.commands.corpora import open_corpora, used_examples
from hiermtl.commands.remarks import document_lines
from hiermtl.corpus.chosen import choose, document_parts
from hiermtl.recipe import load_recipe
from hiermtl.records import Example, Group
from hiermtl.tokens import WordTokenizer


def parts_of(names: str, words: Sequence[int] | None = None, most: int = 100) -> list[int]:
    """Of sentences whose documents are called by a letter each, `.` without a name."""
    counts = np.array([1] * len(names) if words is None else words)
    return document_parts([None if n == "." else n for n in names], counts, most).tolist()


def test_neighbours_with_one_name_or_without_are_one_document() -> None:
    assert parts_of("aab..a") == [0, 0, 1, 2, 2, 3]
    assert parts_of("") == []
    assert parts_of("....") == [0, 0, 0, 0]


def test_a_long_document_is_cut_between_sentences() -> None:
    assert parts_of("aaaab", [4, 4, 4, 9, 1], most=8) == [0, 0, 1, 2, 3]


def test_documents_end_where_a_passage_stands() -> None:
    apart = np.array([False, False, True, True, False])
    found = document_parts([None] * 5, np.ones(5, dtype=int), 100, apart=apart)
    assert found[0] == found[1] != found[4]
    assert len(set(found[[1, 2, 3, 4]].tolist())) == 4


def test_passages_come_first_and_sentences_are_counted_behind_them() -> None:
    rows = np.array([3, 4, 7])
    assert choose(2, rows, None).rows.tolist() == [3, 4, 7]
    found = choose(2, rows, 3)
    assert (found.passages.tolist(), found.rows.tolist()) == ([0, 1], [3])
    found = choose(3, rows, 2, spread=True)
    assert (found.passages.tolist(), found.rows.tolist()) == ([0], [3])


PARTS = np.array([0, 0, 0, 1, 2, 2, 3, 3, 3, 3])


@pytest.mark.parametrize("limit", range(1, 12))
@pytest.mark.parametrize("spread", [False, True])
def test_documents_have_as_many_sentences_as_without_them(limit: int, spread: bool) -> None:
    rows = np.arange(10) + 5
    found = choose(0, rows, limit, spread=spread, parts=PARTS)
    assert found.parts is not None
    assert len(found.rows) == len(choose(0, rows, limit, spread=spread).rows) == min(limit, 10)
    assert found.parts.tolist() == PARTS[found.rows - 5].tolist()
    # All but the last are whole.
    for part in np.unique(found.parts)[:-1]:
        assert (found.parts == part).sum() == (part == PARTS).sum()


def test_documents_that_are_spread_lie_apart() -> None:
    parts = np.repeat(np.arange(20), 5)
    found = choose(0, np.arange(100), 20, spread=True, parts=parts)
    assert found.parts is not None
    assert np.unique(found.parts).tolist() == [0, 5, 10, 15]
    first = choose(0, np.arange(100), 20, parts=parts)
    assert first.parts is not None
    assert np.unique(first.parts).tolist() == [0, 1, 2, 3]


CONLLU = "# global.Entity = eid-etype\n" + "".join(
    f"{n}1\t{w}\t_\tNOUN\t_\t_\t0\troot\t_\tEntity=(e1-person)\n\n"
    for n, w in (
        ("# newdoc id = a\n", "Ada"),
        ("", "she"),
        ("# newdoc id = b\n", "Bob"),
        ("", "he"),
    )
)
UNNAMED = CONLLU.replace("# newdoc id = a\n", "").replace("# newdoc id = b\n", "")


def recipe_of(
    folder: Path, files: Sequence[str], *, format: str = "conllu", **training: Any
) -> Any:
    corpus = {"format": format, "train": [str(folder / name) for name in files]}
    if format == "jsonl":
        corpus["columns"] = {"mention": "spans.mention", "coref": "clusters.coref"}
    return load_recipe(
        {
            "encoder": {"name": "bilstm", "layers": 1},
            "tasks": {
                "mention": {"depth": 1, "column": "mention" if format == "jsonl" else "entity"},
                "coref": {"depth": 1},
            },
            "corpora": {"x": corpus},
            "training": training,
        }
    )


def examples_of(recipe: Any) -> list[Example | Group]:
    """All examples of the one corpus of a recipe."""
    corpora = open_corpora(recipe, splits=["train"])
    tokenizer = WordTokenizer((), 10, sizes=(3,))
    labels = {"mention": ["person"], "coref": ["mention"]}
    encoded = corpora["x"].encode("train", tokenizer).dataset
    part, at = _part(recipe, corpora["x"], encoded, labels=labels, split="train")
    return part.fetch(range(len(part)) if at is None else at.tolist())


def sizes(found: Sequence[Example | Group]) -> list[int]:
    return [len(one.examples) if isinstance(one, Group) else 0 for one in found]


def entities(found: Sequence[Example | Group]) -> list[list[int]]:
    """For each document the numbers of its entities, mention by mention."""
    return [
        [row[2] for e in one.examples for row in e.items["coref"].tolist()]
        for one in found
        if isinstance(one, Group)
    ]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIERMTL_CACHE", str(tmp_path / "cache"))


def test_a_file_without_documents_is_one(tmp_path: Path) -> None:
    """In training as in scores."""
    (tmp_path / "a.conllu").write_text(UNNAMED)
    recipe = recipe_of(tmp_path, ["a.conllu"])
    found = examples_of(recipe)
    assert sizes(found) == [4]
    assert entities(found) == [[0, 0, 0, 0]]
    corpus = open_corpora(recipe, splits=["train"])["x"]
    assert document_lines(recipe, corpus) == [
        "x train: 1 documents",
        "x train: 4 sentences name no document (`# newdoc`); those that follow each other in a "
        "file are one",
    ]


@pytest.mark.parametrize(("text", "wanted"), [(UNNAMED, [4, 4]), (CONLLU, [2, 2, 2, 2])])
def test_a_document_ends_with_its_file(tmp_path: Path, text: str, wanted: list[int]) -> None:
    # The second file begins with a document that is called as the last one of the first is.
    other = text.replace("id = b", "id = c").replace("id = a", "id = b")
    (tmp_path / "a.conllu").write_text(text)
    (tmp_path / "b.conllu").write_text(other)
    found = examples_of(recipe_of(tmp_path, ["a.conllu", "b.conllu"]))
    assert sizes(found) == wanted
    assert entities(found) == [[0] * count for count in wanted]


def line(words: list[str], **more: Any) -> str:
    spans = [[0, 1, "person"]]
    data = {"words": words, "spans": {"mention": spans}, "clusters": {"coref": [[[0, 1]]]}, **more}
    return json.dumps(data) + "\n"


def test_clusters_of_two_files_with_one_name_do_not_run_together(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(line([name], doc_id="d") + line(["x"], doc_id="d"))
    found = examples_of(recipe_of(tmp_path, ["a.jsonl", "b.jsonl"], format="jsonl"))
    assert sizes(found) == [2, 2]
    assert entities(found) == [[0, 1], [0, 1]]


@pytest.mark.parametrize("more", [{}, {"id": "same"}])
def test_an_object_without_document_is_one(tmp_path: Path, more: dict[str, str]) -> None:
    (tmp_path / "a.jsonl").write_text(line(["a"], **more) + line(["b"], **more))
    found = examples_of(recipe_of(tmp_path, ["a.jsonl"], format="jsonl"))
    assert sizes(found) == [1, 1]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_sentences_are_counted_where_documents_are_examples(tmp_path: Path, limit: int) -> None:
    """As many in training, in the words of a vocabulary and in scores on train."""
    (tmp_path / "a.conllu").write_text(CONLLU)
    recipe = recipe_of(tmp_path, ["a.conllu"], max_examples=limit)
    found = examples_of(recipe)
    assert sum(sizes(found)) == limit
    corpus = open_corpora(recipe, splits=["train"])["x"]
    words = [s.words for s in corpus.sentences_of("train", **used_examples(recipe, "x"))]
    assert len(words) == limit
    alone = recipe.only(["mention"])
    again = corpus.sentences_of("train", **used_examples(alone, "x"))
    assert [s.words for s in again] == words
