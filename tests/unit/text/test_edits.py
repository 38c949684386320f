"""Edit scripts."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiermtl.text import edits
from hiermtl.text.edits import apply_edits, edit_script, inserted

TEXT = st.text(st.sampled_from("abcABC|+-\u2192\u00df\u0130\u4f60"), max_size=8) | st.text(
    max_size=8
)


@pytest.mark.parametrize(
    ("word", "lemma", "script"),
    [
        ("dogs", "dog", "l||-"),
        ("Dogs", "dog", "l||-"),
        ("The", "the", "l||"),
        ("Paris", "Paris", "=||"),
        ("NASA", "NASA", "=||"),
        ("sang", "sing", "l|\u2192-+i|"),
        ("gesagt", "sagen", "l|--|-+e+n"),
        ("went", "go", "l||----+g+o"),
        ("a|b", "a|", "l||-"),
        ("x", "x|+", "l||+|++"),
    ],
)
def test_scripts(word: str, lemma: str, script: str) -> None:
    assert edit_script(word, lemma) == script
    assert apply_edits(word, script) == lemma


@given(word=TEXT, lemma=TEXT)
def test_a_script_makes_the_lemma_of_its_word(word: str, lemma: str) -> None:
    assert apply_edits(word, edit_script(word, lemma)) == lemma


@given(word=TEXT, other=TEXT, lemma=TEXT)
def test_a_script_of_any_word_can_be_applied_to_any_other(
    word: str, other: str, lemma: str
) -> None:
    assert isinstance(apply_edits(other, edit_script(word, lemma)), str)


@pytest.mark.parametrize("case", [str, str.lower, str.upper, str.capitalize])
def test_a_word_that_is_its_lemma_but_for_case_is_not_searched_through(
    case: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As addresses are, of which the longest common part takes the square of their length."""
    word = "Https://example.org/" + "aB" * 50_000
    monkeypatch.setattr(edits, "_common", None)
    assert apply_edits(word, edit_script(word, case(word))) == case(word)


def test_scripts_carry_over() -> None:
    assert apply_edits("cats", edit_script("dogs", "dog")) == "cat"
    assert apply_edits("rang", edit_script("sang", "sing")) == "ring"
    assert apply_edits("Ladies", edit_script("studies", "study")) == "lady"


def test_a_word_too_short_only_has_its_case_changed() -> None:
    assert apply_edits("A", edit_script("studies", "study")) == "a"


def test_what_a_script_inserts_is_counted_bars_and_pluses_too() -> None:
    assert inserted(edit_script("dogs", "dog")) == 0
    assert inserted(edit_script("Sept", "September")) == 5
    assert inserted(edit_script("a", "a+|")) == 2
    assert inserted(edit_script("x", "elsewhere")) == len("elsewhere")
