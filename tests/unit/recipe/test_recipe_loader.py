"""YAML as recipes mean it."""

from pathlib import Path

import pytest

from hiermtl.errors import RecipeError
from hiermtl.recipe.loader import read_file, read_text, read_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4e-4", 4e-4),
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-2", -2),
        ("+3", 3),
        ("007", 7),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("NO", "NO"),
        ("y", "y"),
        ("50%", "50%"),
        ("1:30", "1:30"),
        ("2026-01-02", "2026-01-02"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("e4", "e4"),
        (".", "."),
        ("'4e-4'", "4e-4"),
        ("[1, a]", [1, "a"]),
        ("{a: 1}", {"a": 1}),
    ],
)
def test_scalars_are_read_as_people_write_them(text: str, value: object) -> None:
    found = read_value(text)
    assert found == value
    assert type(found) is type(value)


def test_lists_in_lists_without_end_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"a\.yaml: .*too many .*inside each other"):
        read_text("a: " + 3000 * "[", source="a.yaml")


def test_keys_are_always_text() -> None:
    assert read_text("no: 1\n1: 2\ntrue: 3\n", source="a").data == {"no": 1, "1": 2, "true": 3}


def test_lines_of_keys_are_remembered() -> None:
    document = read_text("a: 1\nb:\n  - x\n  - c: 2\n", source="a.yaml")
    assert document.lines == {
        ("a",): 1,
        ("b",): 2,
        ("b", "0"): 3,
        ("b", "1"): 4,
        ("b", "1", "c"): 4,
    }


def test_a_file_with_nothing_but_comments_is_empty() -> None:
    assert read_text("# nothing\n", source="a").data == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", r"^r\.yaml:3:1: the key 'a' is given twice \(first on line 1\)"),
        ("a:\n  b: 1\n  b: 2\n", r"^r\.yaml:3:3: the key 'b' is given twice \(first on line 2\)"),
        ("a: [1\nb: 2\n", r"^r\.yaml:2:2: while parsing a flow sequence, expected"),
        ("a: !!python/object:os.system x\n", r"^r\.yaml:1:4: the tag .*os\.system' is not allowed"),
        ("a: !mine {b: 1}\n", r"^r\.yaml:1:4: the tag '!mine' is not allowed"),
        ("a: !!int x\n", r"^r\.yaml:1:4: 'x' is not a value of type int"),
        ("- a\n", r"^r\.yaml:1:1: a recipe is a mapping of keys to values, not \['a'\]"),
        ("? [a]\n: 1\n", r"^r\.yaml:1:3: a key is one word"),
        ("a: &x [*x]\n", r"^r\.yaml:1:4: an anchor cannot be used inside itself"),
        ("a: 1\n---\nb: 2\n", r"^r\.yaml:2:1: expected a single document"),
        ("a: \x07\n", r"^r\.yaml: not readable as YAML"),
    ],
)
def test_malformed_text_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read_text(text, source="r.yaml")


def test_an_anchor_can_be_used_elsewhere() -> None:
    assert read_text("a: &x {b: 1}\nc: *x\n", source="r").data == {"a": {"b": 1}, "c": {"b": 1}}


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(RecipeError, match=r"r\.yaml: byte 3 is not UTF-8"):
        read_file(path)
    with pytest.raises(RecipeError, match="the recipe cannot be read: Is a directory"):
        read_file(tmp_path)
