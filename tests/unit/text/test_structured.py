"""Spans, roles, relations and clusters in JSON lines."""

import json
from pathlib import Path
from typing import Any

import pytest

from hiermtl.errors import DataError
from hiermtl.text.annotated import read_annotated
from hiermtl.text.sentence import (
    Frame,
    Frames,
    Mentions,
    Relation,
    Relations,
    Sentence,
    Span,
    Spans,
)

WORDS = ["Ada", "met", "Max", ".", "She", "gave", "him", "books", "."]
TEXT = {"words": WORDS, "sentences": [[0, 4], [4, 9]]}


def read(tmp_path: Path, *lines: Any) -> list[Sentence]:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return list(read_annotated(path))


def test_structures_lie_where_annotate_puts_them(tmp_path: Path) -> None:
    one, two = read(
        tmp_path,
        {
            **TEXT,
            "spans": {"entity": [[0, 1, "person"], [2, 3, "person"], [6, 7, ""]], "mention": None},
            "roles": {
                "srl": [
                    {"predicate": 5, "sense": None, "arguments": [[4, 5, "ARG0"], [6, 8, "ARG1"]]},
                    {"predicate": 1, "sense": "meet.01", "arguments": []},
                    {"predicate": 3},
                ]
            },
            "relations": {"relation": [[0, 1, 2, 3, "knows"], [6, 7, 4, 5, "x"]]},
            "clusters": {"coref": [[[0, 1], [4, 5]], [], [[2, 3], [6, 7]]]},
            "tags": {"upos": ["X"] * 9},
        },
    )
    assert dict(one.layers) == {
        "upos": ("X",) * 4,
        "entity": Spans((Span(0, 1, "person"), Span(2, 3, "person"))),
        "srl": Frames((Frame(1, "meet.01", ()), Frame(3, None, ()))),
        "relation": Relations((Relation((0, 1), (2, 3), "knows"),)),
        "coref": Mentions((Span(0, 1, "1.0"), Span(2, 3, "1.2"))),
    }
    assert dict(two.layers) == {
        "upos": ("X",) * 5,
        "entity": Spans((Span(2, 3, ""),)),
        "srl": Frames((Frame(1, None, (Span(0, 1, "ARG0"), Span(2, 4, "ARG1"))),)),
        "relation": Relations((Relation((2, 3), (0, 1), "x"),)),
        "coref": Mentions((Span(0, 1, "1.0"), Span(2, 3, "1.2"))),
    }


def test_clusters_of_two_objects_of_a_document_differ(tmp_path: Path) -> None:
    line = {"words": ["a"], "doc_id": "d", "clusters": {"coref": [[[0, 1]]]}}
    one, two = read(tmp_path, line, line)
    assert one.doc_id == two.doc_id
    assert one.layers["coref"] == Mentions((Span(0, 1, "1.0"),))
    assert two.layers["coref"] == Mentions((Span(0, 1, "2.0"),))


def test_nothing_in_a_list_is_none_and_null_is_not_annotated(tmp_path: Path) -> None:
    (found,) = read(
        tmp_path,
        {"words": ["a"], "spans": {"x": [], "y": None}, "roles": None, "clusters": {"coref": []}},
    )
    assert dict(found.layers) == {"x": Spans(()), "coref": Mentions(())}


def test_columns_may_name_structures(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    line = {
        "words": ["a"],
        "spans": {"e": [[0, 1, "x"]], "m": []},
        "tags": {"t": ["O"]},
        "roles": 3,
    }
    path.write_text(json.dumps(line))
    (found,) = read_annotated(path, {"entity": "spans.e", "ner": "tags.t"})
    assert dict(found.layers) == {"entity": Spans((Span(0, 1, "x"),)), "ner": ("O",)}
    (found,) = read_annotated(path, {"mention": "spans.m", "coref": "clusters.c"})
    assert dict(found.layers) == {"mention": Spans(())}
    with pytest.raises(DataError, match="no object has the keys of coref"):
        list(read_annotated(path, {"coref": "clusters.c"}))


IN_TWO = "which is in two sentences, words 0 to 3 and words 4 to 8; keep it in one, or divide"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("spans", [], r"a.jsonl:1: `spans` is \[\]; allowed is an object, a key per level"),
        ("spans", {"x": 3}, r"'spans.x' is 3; allowed is a list, of \[start, end, \"label\"\]"),
        ("spans", {"x": [[0, 1]]}, r"'spans.x' has \[0, 1\]; allowed is \[start, end, "),
        ("spans", {"x": [[0, 1, 2]]}, r"'spans.x' has \[0, 1, 2\]; allowed is"),
        (
            "spans",
            {"x": [[0, 0, "y"]]},
            r"has \[0, 0, 'y'\] in 9 words; places are words from 0 to 8",
        ),
        ("spans", {"x": [[3, 2, "y"]]}, r"has \[3, 2, 'y'\] in 9 words"),
        ("spans", {"x": [[-1, 1, "y"]]}, r"has \[-1, 1, 'y'\] in 9 words"),
        ("spans", {"x": [[8, 10, "y"]]}, r"has \[8, 10, 'y'\] in 9 words"),
        ("spans", {"x": [[False, True, "y"]]}, r"has \[False, True, 'y'\] in 9 words"),
        ("spans", {"x": [[0.0, 1, "y"]]}, r"has \[0.0, 1, 'y'\] in 9 words"),
        ("spans", {"x": [[2, 5, "y"]]}, rf"'spans.x' has \[2, 5, 'y'\], {IN_TWO}"),
        (
            "relations",
            {"x": [[0, 1, "y"]]},
            r"'relations.x' has \[0, 1, 'y'\]; allowed is \[head st",
        ),
        (
            "spans",
            {"x": [[0, 1, " "]]},
            r"x' has \[0, 1, ' '\], whose label is empty; name it, or leave",
        ),
        ("relations", {"x": [[0, 1, 1, 2, ""]]}, r"has \[0, 1, 1, 2, ''\], whose label is empty"),
        (
            "roles",
            {"x": [{"predicate": 1, "arguments": [[0, 1, ""]]}]},
            r"'roles.x' has \[0, 1, ''\], whose label is empty",
        ),
        (
            "roles",
            {"x": [{"predicate": 1, "sense": ""}]},
            r"'sense': ''}, whose sense is empty; name it, or write null",
        ),
        ("relations", {"x": [[0, 1, 4, 5, "y"]]}, rf"has \[0, 1, 4, 5, 'y'\], {IN_TWO}"),
        ("relations", {"x": [[0, 1, 8, 10, "y"]]}, r"has \[0, 1, 8, 10, 'y'\] in 9 words"),
        ("clusters", {"x": [[0, 1]]}, r"'clusters.x' has \[0, 1\]; allowed is a list of mentions"),
        ("clusters", {"x": [[[3, 5]]]}, rf"'clusters.x' has \[3, 5\], {IN_TWO}"),
        ("clusters", {"x": [[["0", 5]]]}, r"has \['0', 5\] in 9 words"),
        ("roles", {"x": [3]}, r"'roles.x' has 3; allowed is {\"predicate\": word"),
        ("roles", {"x": [{"sense": "y"}]}, r"has {'sense': 'y'}; allowed is {\"predicate\": word"),
        ("roles", {"x": [{"predicate": "y"}]}, r"has {'predicate': 'y'}; allowed is"),
        ("roles", {"x": [{"predicate": 9}]}, r"has {'predicate': 9} in 9 words"),
        ("roles", {"x": [{"predicate": 1, "sense": 2}]}, "'sense': 2}; allowed is"),
        ("roles", {"x": [{"predicate": 1, "arguments": [[0, 1]]}]}, r"\[\[0, 1\]\]}; allowed is"),
        ("roles", {"x": [{"predicate": 1, "arguments": [[4, 5, "y"]]}]}, IN_TWO),
        ("roles", {"x": [{"predicate": 5, "arguments": [[3, 5, "y"]]}]}, IN_TWO),
        (
            "roles",
            {"x": [{"predicate": 5}, {"predicate": 1}, {"predicate": 5, "sense": "y"}]},
            r"a.jsonl:1: 'roles.x' has the predicate 5 twice; give it once, with all its arguments",
        ),
        ("spans", {"upos": []}, "level 'upos' lies in `tags` and in `spans`; leave one"),
    ],
)
def test_what_is_no_structure_of_a_sentence_is_refused(
    tmp_path: Path, key: str, value: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, {**TEXT, "tags": {"upos": ["X"] * 9}, key: value})
