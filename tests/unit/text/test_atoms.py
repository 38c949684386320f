"""Atoms of raw text, against a walk through its characters."""

import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiermtl.text.atoms import MARK, find_atoms

TEXTS = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            "ab1 \n\t'_.\u00ad\u0301\u0e01\u0e33\u200b\u200d\u4e2d👩\U0001f3fd\u2028\x1c"
        ),
    ),
    max_size=40,
)


def cut(text: str) -> list[str]:
    atoms = find_atoms(text)
    return [text[a:b] for a, b in zip(atoms.starts, atoms.ends, strict=True)]


def walked(text: str) -> list[str]:
    """The same by the definition, one character at a time."""
    found: list[str] = []
    last = "space"
    for letter in text:
        kind = unicodedata.category(letter)
        if letter.isspace():
            last = "space"
            continue
        if (kind[0] == "M" or kind == "Cf" or "🏻" <= letter <= "🏿") and letter != "\u200b":
            if last == "space":
                found.append(letter)
                last = "joined"
            else:
                found[-1] += letter
            continue
        if found and last != "space" and found[-1].endswith("\u200d"):
            found[-1] += letter
            last = "letter" if kind[0] == "L" else "digit" if kind == "Nd" else "alone"
            continue
        solid = kind[0] == "L" and unicodedata.name(letter, "").split(" ")[0] in SOLID
        kind = "alone" if solid or kind[0] != "L" else "letter"
        kind = "digit" if unicodedata.category(letter) == "Nd" else kind
        if found and kind == last and kind != "alone":
            found[-1] += letter
        else:
            found.append(letter)
        last = kind
    return found


SOLID = {"THAI", "LAO", "KHMER", "MYANMAR", "CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC"}


@pytest.mark.parametrize(
    ("text", "atoms"),
    [
        ("", []),
        (" \n\t\u3000", []),
        ("a", ["a"]),
        ("don't", ["don", "'", "t"]),
        ("COVID-19: 3rd", ["COVID", "-", "19", ":", "3", "rd"]),
        ("a.b..", ["a", ".", "b", ".", "."]),
        ("naïve na\u0069\u0308ve", ["naïve", "na\u0069\u0308ve"]),
        ("中文 text里", ["中", "文", "text", "里"]),
        ("カタカナ ひら", ["カ", "タ", "カ", "ナ", "ひ", "ら"]),
        ("\u0e01\u0e33\u0e48\u0e07", ["\u0e01", "\u0e33\u0e48", "\u0e07"]),
        ("می\u200cشود", ["می\u200cشود"]),
        ("x\u200by", ["x", "\u200b", "y"]),
        ("👩\u200d👧 👍🏽!", ["👩\u200d👧", "👍🏽", "!"]),
        ("🇸🇪🇳🇴x 1\ufe0f\u20e3", ["🇸🇪🇳🇴", "x", "1\ufe0f\u20e3"]),
        ("\u0301 \u0301a", ["\u0301", "\u0301", "a"]),
        ("a\x00b\x1cc", ["a", "\x00", "b", "c"]),
        ("1\u0301٣2", ["1\u0301٣2"]),
        ("한국어 문장", ["한국어", "문장"]),
    ],
)
def test_atoms_of_texts(text: str, atoms: list[str]) -> None:
    assert cut(text) == atoms
    assert find_atoms(text).characters.tolist() == [
        at for at, letter in enumerate(text) if not letter.isspace()
    ]


@given(TEXTS)
def test_atoms_are_those_of_a_walk_through_the_characters(text: str) -> None:
    found = cut(text)
    if not any(0x0E00 < ord(letter) < 0x3400 or ord(letter) > 0xA000 for letter in text):
        assert found == walked(text)
    assert "".join(found) == "".join(text.split())


def test_scripts_without_spaces_are_those_of_the_names() -> None:
    """Of each letter whose name says it is of such a script, two in a row are two atoms."""
    letters = [chr(code) for code in range(0x0E00, 0x3FFFF)]
    named = [
        letter
        for letter in letters
        if unicodedata.category(letter) in ("Lo", "Lm")
        and unicodedata.name(letter, "").split(" ")[0] in SOLID - {"IDEOGRAPHIC"}
    ]
    assert len(named) > 80_000
    atoms = find_atoms("".join(named))
    assert len(atoms) == len(named)
    assert atoms.solid.all()
    others = find_atoms("aж\u0915한ա")
    assert not others.solid.any()


def test_what_stands_before_an_atom_is_known() -> None:
    atoms = find_atoms("  A b.\n \t\nC\r\n\r\nD\n\n")
    assert atoms.glued.tolist() == [False, False, True, False, False]
    assert atoms.opening.tolist() == [True, False, False, True, True]
    assert find_atoms("a\nb").opening.tolist() == [True, False]
    assert find_atoms("\n\n").opening.tolist() == []


def test_a_tokenizer_is_told_of_unexpected_spacing_alone() -> None:
    text = "It's 中文 里。\n\n中 x_"
    atoms = find_atoms(text)
    assert atoms.marked(0, len(atoms)) == [
        "It", f"'{MARK}", f"s{MARK}", f"中{MARK}", "文", f"里{MARK}", f"。{MARK}", "中", "x",
        f"_{MARK}",
    ]  # fmt: skip
    assert atoms.marked(2, 4) == [f"s{MARK}", f"中{MARK}"]


def test_neighbours_that_differ_in_spacing_alone_are_marked_otherwise() -> None:
    seen = {tuple(find_atoms(text).marked(0, 9)) for text in ("a.b", "a. b", "a .b", "a . b")}
    assert len(seen) == 4


def test_time_grows_with_the_length_alone() -> None:
    text = "word " * 40_000 + "x" * 100_000 + "." * 100_000
    atoms = find_atoms(text)
    assert len(atoms) == 40_000 + 1 + 100_000
    assert np.all(atoms.ends[:-1] <= atoms.starts[1:])
    assert sys.getsizeof(atoms.starts) < 2_000_000
