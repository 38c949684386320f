"""JSON lines with annotation."""

import json
from pathlib import Path
from typing import Any

import pytest

from hiermtl.errors import DataError, RecipeError
from hiermtl.text.annotated import read_annotated
from hiermtl.text.listed import ColumnMap
from hiermtl.text.sentence import Sentence, Tree

TREE = {"dep": {"heads": "heads", "relations": "relations"}}


def read(
    tmp_path: Path, *lines: Any, columns: ColumnMap | None = None, heads_from: int = 0
) -> list[Sentence]:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return list(read_annotated(path, columns, heads_from=heads_from))


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


def test_half_surrogates_are_read_as_the_replacement_character(tmp_path: Path) -> None:
    """They stand in JSON where a text was cut in an emoji, and no corpus can hold them."""
    (found,) = read(tmp_path, {"words": ["a\ud83d", "b"], "text": "a\ud83d b"})
    assert (found.words, found.text) == (("a\ufffd", "b"), "a\ufffd b")
    assert found.space_after == (True, False)


def test_layers_lie_where_the_columns_say(tmp_path: Path) -> None:
    columns = {"ner": "gold.ner", "pos": "gold.pos", **TREE}
    lines = [
        {"words": ["a", "b"], "gold": {"ner": ["O", "B-X"]}, "gold.pos": [0, -1], "sent_id": 7},
        {"words": ["a", "b"], "gold": 3, "heads": [2, 0], "relations": None},
        {"words": ["a", "b"], "gold": {"ner": [None, None]}, "heads": [None, None]},
        {"words": []},
    ]
    first, second, third = read(tmp_path, *lines, columns=columns, heads_from=1)
    assert dict(first.layers) == {"ner": ("O", "B-X"), "pos": ("0", None)}
    assert (first.sent_id, first.doc_id, first.text) == ("7", "7", None)
    assert (second.sent_id, second.doc_id) == (None, "line-2")
    assert dict(second.layers) == {"dep": Tree((2, 0), (None, None))}
    assert dict(third.layers) == {}


def test_a_text_of_other_words_is_not_the_sentences(tmp_path: Path) -> None:
    (found,) = read(tmp_path, {"words": ["a", "b"], "text": "a c", "tags": {}})
    assert (found.text, found.space_after) == (None, None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"text": "a b"}, "a.jsonl:1: .*no `words`"),
        ({"words": ["a"], "tags": []}, r"`tags` is \[\]; allowed is an object"),
        ({"words": ["a"], "tags": 0}, "`tags` is 0; allowed is an object"),
        ({"words": ["a"], "tags": ["O"]}, r"`tags` is \['O'\]; allowed is an object"),
        ({"words": ["a"], "tags": {"x": ["b", "c"]}}, "'tags.x' holds 2 values for 1 words"),
        ({"words": ["a"], "tags": {"x": "b"}}, "'tags.x' holds 'b' for 1 words"),
        ({"words": ["a"], "tags": {"x": [["b"]]}}, r"'tags.x' holds \['b'\]; allowed are labels"),
        ({"words": ["a"], "sentences": [[0, 2]]}, r"`sentences` is \[\[0, 2\]\]; allowed are"),
        ({"words": ["a"], "sentences": []}, r"`sentences` is \[\]"),
        ({"words": ["a"], "sentences": [[0, 0], [0, 1]]}, "`sentences` is"),
        ({"words": ["a"], "sentences": 1}, "`sentences` is 1"),
        ({"words": ["a"], "trees": {"dep": {"heads": ["0"]}}}, "holds '0'; heads are -1 for"),
        ({"words": ["a"], "trees": {"dep": {"heads": [True]}}}, "holds True; heads are -1 for"),
        (
            {"words": ["a"], "trees": {"dep": {"heads": [1]}}},
            "holds 1; heads are -1 for the root, 0 to 0 for the object's words, and null",
        ),
        (
            {"words": ["a"], "trees": {"dep": {"relations": ["x"]}}},
            "has 'trees.dep.relations' without 'trees.dep.heads'; name both",
        ),
        *(
            ({"words": list("abc"), "trees": {"dep": {"heads": heads}}}, message)
            for heads, message in (
                ([-1, 1, 0], "leads from word 2 back to it"),
                ([1, 0, -1], "leads from word 1 back to it"),
                ([-1, -1, 0], "has 2 roots, words 1 and 2"),
            )
        ),
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
    tmp_path: Path, line: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, line)


def test_keys_that_no_line_has_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no object has the keys of ner"):
        read(tmp_path, {"words": ["a"], "tags": {"ner": ["O"]}}, columns={"ner": "ner"})
    assert read(tmp_path, columns={"ner": "ner"}) == []


def test_heads_are_counted_as_one_says(tmp_path: Path) -> None:
    line = {"words": ["a", "b", "c"], "heads": [2, 0, None]}
    (found,) = read(tmp_path, line, columns=TREE, heads_from=1)
    assert found.layers["dep"] == Tree((2, 0, None), (None,) * 3)
    with pytest.raises(DataError, match="leads from word 1 back to it"):
        read(tmp_path, {**line, "heads": [2, 0, 1]}, columns=TREE)
    with pytest.raises(DataError, match="holds -1; heads are 0 for the root, 1 to 3"):
        read(tmp_path, {**line, "heads": [2, 0, -1]}, columns=TREE, heads_from=1)
    with pytest.raises(RecipeError, match="heads_from is 2; allowed are 0 and 1"):
        read(tmp_path, line, columns=TREE, heads_from=2)
