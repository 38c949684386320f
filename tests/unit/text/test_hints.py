"""What is said of a word without a corpus that is annotated for it."""

import math
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from hiermtl.recipe.heads import HintHead
from hiermtl.text.hints import COUNTED, HINTS, hint_tags

WORDS = ("Ada", "iPhone", "1843", "B-52s", "I", "notes", "--", "ÉCOLE", "中文", "x" * 12)
EXPECTED = {
    "casing": "capitalised,mixed,no letter with case,capitalised,single capital,lower,"
    "no letter with case,capitals,no letter with case,lower",
    "digit": "no,no,yes,yes,no,no,no,no,no,no",
    "length": "3,6,4,5,1,5,2,5,2,10+",
    "shape": "Xx,xXx,d,X.dx,X,x,.,X,x,x",
    "suffix": "da,ne,43,2s,i,es,--,le,中文,xx",
}


def tags(feature: str, words: tuple[str, ...] = WORDS, **counts: int) -> list[str | None]:
    return list(hint_tags(words, feature, seen=Counter(counts).__getitem__, size=2))


@pytest.mark.parametrize("feature", EXPECTED)
def test_labels_are_those_worked_out_by_hand(feature: str) -> None:
    assert tags(feature) == EXPECTED[feature].split(",")


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 20, 21, 54, 55, 1096, 1097, 10**6])
def test_a_frequency_is_the_whole_number_of_the_logarithm(count: int) -> None:
    found = tags("frequency", ("the",), the=count)[0]
    assert found is not None
    assert math.exp(int(found)) <= count < math.exp(int(found) + 1)


def test_a_word_that_was_not_counted_has_no_frequency() -> None:
    assert tags("frequency", ("The", "the"), the=3) == [None, "1"]


def test_only_features_that_say_so_count_words() -> None:
    def seen(word: str) -> int:
        raise LookupError(word)

    for feature in HINTS:
        if feature in COUNTED:
            with pytest.raises(LookupError):
                hint_tags(("Ada",), feature, seen=seen, size=3)
        else:
            assert hint_tags(("Ada",), feature, seen=seen, size=3) != (None,)


def test_every_feature_of_the_recipe_is_there_and_explained() -> None:
    assert get_args(HintHead.model_fields["feature"].annotation) == tuple(HINTS)
    assert set(HINTS) >= COUNTED
    page = (Path(__file__).parents[3] / "docs" / "auxiliary.md").read_text(encoding="utf-8")
    assert all(f"| `{feature}` |" in page for feature in HINTS)
    assert all(hint.__doc__ for hint in HINTS.values())
