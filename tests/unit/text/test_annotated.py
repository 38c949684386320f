"""JSON lines with annotation."""

import json
from pathlib import Path
from typing import Any

import pytest

from hiermtl.errors import DataError
from hiermtl.text.annotated import read_annotated
from hiermtl.text.hub import ColumnMap
from hiermtl.text.sentence import Sentence, Tree

TREE = {"dep": {"heads": "heads", "relations": "relations"}}


def read(tmp_path: Path, *lines: Any, columns: ColumnMap | None = None) -> list[Sentence]:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return list(read_annotated(path, columns))


def test_layers_lie_where_annotate_puts_them(tmp_path: Path) -> None:
    one, two = read(
        tmp_path,
        {
            "id": "d1",
            "text": "Ada ran. It  rained.",
            "words": ["Ada", "ran", ".", "It", "rained", "."],
            "sentences": [[0, 3], [3, 6]],
            "tags": {"upos": ["PROPN", "VERB", "PUNCT", "PRON", None, None], "ner": None},
            "trees": {"dep": {"heads": [1, -1, 1, 4, -1, 4], "relations": list("abcdef")}},
        },
    )
    assert (one.words, two.words) == (("Ada", "ran", "."), ("It", "rained", "."))
    assert dict(one.layers) == {
        "upos": ("PROPN", "VERB", "PUNCT"),
        "dep": Tree((2, 0, 2), ("a", "b", "c")),
    }
    assert two.layers["upos"] == ("PRON", None, None)
    assert two.layers["dep"] == Tree((2, 0, 2), ("d", "e", "f"))
    assert (one.text, two.text) == ("Ada ran.", "It  rained.")
    assert (one.space_after, two.space_after) == ((True, False, True), (True, False, False))
    assert (one.doc_id, one.sent_id) == (two.doc_id, two.sent_id) == ("d1", None)


def test_layers_lie_where_the_columns_say(tmp_path: Path) -> None:
    columns = {"ner": "gold.ner", "pos": "gold.pos", **TREE}
    lines = [
        {"words": ["a", "b"], "gold": {"ner": ["O", "B-X"]}, "gold.pos": [0, -1], "sent_id": 7},
        {"words": ["a", "b"], "gold": 3, "heads": [2, 0], "relations": None},
        {"words": ["a", "b"], "gold": {"ner": [None, None]}, "heads": [None, None]},
        {"words": []},
    ]
    first, second, third = read(tmp_path, *lines, columns=columns)
    assert dict(first.layers) == {"ner": ("O", "B-X"), "pos": ("0", None)}
    assert (first.sent_id, first.doc_id, first.text) == ("7", None, None)
    assert dict(second.layers) == {"dep": Tree((2, 0), (None, None))}
    assert dict(third.layers) == {}


def test_a_text_of_other_words_is_not_the_sentences(tmp_path: Path) -> None:
    (found,) = read(tmp_path, {"words": ["a", "b"], "text": "a c", "tags": {}})
    assert (found.text, found.space_after) == (None, None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"text": "a b"}, "a.jsonl:1: .*no `words`"),
        ({"words": ["a"], "tags": []}, None),
        ({"words": ["a"], "tags": ["O"]}, r"`tags` is \['O'\]; allowed is an object"),
        ({"words": ["a"], "tags": {"x": ["b", "c"]}}, "'tags.x' holds 2 values for 1 words"),
        ({"words": ["a"], "tags": {"x": "b"}}, "'tags.x' holds 'b' for 1 words"),
        ({"words": ["a"], "tags": {"x": [["b"]]}}, r"'tags.x' holds \['b'\]; allowed are labels"),
        ({"words": ["a"], "sentences": [[0, 2]]}, r"`sentences` is \[\[0, 2\]\]; allowed are"),
        ({"words": ["a"], "sentences": []}, r"`sentences` is \[\]"),
        ({"words": ["a"], "sentences": [[0, 0], [0, 1]]}, "`sentences` is"),
        ({"words": ["a"], "sentences": 1}, "`sentences` is 1"),
        ({"words": ["a"], "trees": {"dep": {"heads": ["0"]}}}, "holds '0'; heads are whole"),
        ({"words": ["a"], "trees": {"dep": {"heads": [True]}}}, "holds True; heads are whole"),
        ({"words": ["a"], "trees": {"dep": {"heads": [2]}}}, "head of word 0 .* is word 1, but"),
        (
            {
                "words": ["a", "b"],
                "sentences": [[0, 1], [1, 2]],
                "trees": {"dep": {"heads": [-1, 0], "relations": ["x", "y"]}},
            },
            "head of word 1 .* is word 0, but its sentence is words 1 to 1",
        ),
    ],
)
def test_a_line_that_does_not_fit_its_words_is_refused(
    tmp_path: Path, line: Any, message: str | None
) -> None:
    if message is None:
        assert [dict(sentence.layers) for sentence in read(tmp_path, line)] == [{}]
        return
    with pytest.raises(DataError, match=message):
        read(tmp_path, line)


def test_keys_that_no_line_has_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no object has the keys of ner"):
        read(tmp_path, {"words": ["a"], "tags": {"ner": ["O"]}}, columns={"ner": "ner"})
