"""What can be said of a word without a corpus that is annotated for it: labels for auxiliary tasks.

A feature takes the word, how often it stands in the training data, and a number of characters; it
uses what it needs. `None` says that the word has no label. To add one: a function, and a row in
`HINTS`; a row in `COUNTED` as well where it asks for counts.

Source: Plank et al. 2016 (Multilingual Part-of-Speech Tagging with Bidirectional Long Short-Term
Memory Models and Auxiliary Loss), section 2, for `frequency`; the others are features that taggers
have long been given (Ratnaparkhi 1996; Collins 2002 for shapes), to be predicted instead of read.
Not in the paper: the base of the logarithm is e; a word that is not in the training data has no
label.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import TypeAlias

from hiermtl.text.casing import CASINGS
from hiermtl.text.casing import casing as kind_of_casing
from hiermtl.text.sentence import Tags

Seen: TypeAlias = Callable[[str], int]
"""How often a word stands in the training data, as it is written."""

Hint: TypeAlias = Callable[[str, Seen, int], str | None]

LONGEST = 10
"""Characters from which on lengths are one class."""


def casing(word: str, seen: Seen, size: int) -> str:
    """How the word is written in capitals, one of `CASINGS`."""
    return CASINGS[kind_of_casing(word)]


def digit(word: str, seen: Seen, size: int) -> str:
    """Whether any of its characters is a digit: `yes` or `no`."""
    return "yes" if any(character.isdigit() for character in word) else "no"


def frequency(word: str, seen: Seen, size: int) -> str | None:
    """The whole number of the natural logarithm of its count; none for a word that is not there."""
    count = seen(word)
    return str(int(math.log(count))) if count else None


def length(word: str, seen: Seen, size: int) -> str:
    """Its number of characters, `10+` from ten on."""
    return str(len(word)) if len(word) < LONGEST else f"{LONGEST}+"


def shape(word: str, seen: Seen, size: int) -> str:
    """`X` for upper case, `x` for other letters, `d` for digits, `.` for the rest; no repeats."""
    return "".join(kind for kind, _ in groupby(map(_kind, word)))


def suffix(word: str, seen: Seen, size: int) -> str:
    """Its last `size` characters in lower case; all of a shorter word."""
    return word[-size:].lower()


def _kind(character: str) -> str:
    if character.isupper():
        return "X"
    if character.isalpha():
        return "x"
    return "d" if character.isdigit() else "."


HINTS: Mapping[str, Hint] = MappingProxyType(
    {
        "casing": casing,
        "digit": digit,
        "frequency": frequency,
        "length": length,
        "shape": shape,
        "suffix": suffix,
    }
)
"""Feature -> what gives its label of a word."""

COUNTED = frozenset({"frequency"})
"""The features that ask how often a word stands in the training data."""


def hint_tags(words: Sequence[str], feature: str, *, seen: Seen, size: int) -> Tags:
    """A feature's label of each word."""
    return tuple(HINTS[feature](word, seen, size) for word in words)
