"""How words are capitalised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiermtl.text.casing import CASINGS, casing


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("dog", "lower"),
        ("Dog", "capitalised"),
        ("I", "single capital"),
        ("J.", "single capital"),
        ("NATO", "capitals"),
        ("U.S.", "capitals"),
        ("McDonald", "mixed"),
        ("iPhone", "mixed"),
        ("COVID-19", "capitals"),
        ("3rd", "lower"),
        ("1984", "no letter with case"),
        ("...", "no letter with case"),
        ("", "no letter with case"),
        ("\u4f60\u597d", "no letter with case"),
        ("\u00c9t\u00e9", "capitalised"),
        ("\u0391\u03b8\u03ae\u03bd\u03b1", "capitalised"),
        ("stra\u00dfe", "lower"),
        ("'T", "single capital"),
    ],
)
def test_kinds(word: str, kind: str) -> None:
    assert CASINGS[casing(word)] == kind


@given(st.text())
def test_every_text_has_a_kind(word: str) -> None:
    assert 0 <= casing(word) < len(CASINGS)
