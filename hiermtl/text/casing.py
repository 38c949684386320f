"""How a word is written in capitals, for encoders whose tokenizer reads all words in lower case.

Source: the capitalisation feature of Collobert et al. 2011 (Natural Language Processing (Almost)
from Scratch). Departs: a single capital is a kind of its own.
"""

CASINGS = ("no letter with case", "lower", "capitalised", "single capital", "capitals", "mixed")
"""What each value of `casing` means."""


def casing(word: str) -> int:
    """The place of a word's kind in `CASINGS`.

    Characters that have no upper and lower case are passed over.
    """
    letters = [character for character in word if character.lower() != character.upper()]
    if not letters:
        return 0
    text = "".join(letters)
    if text == text.lower():
        return 1
    if text == text.upper():
        return 4 if len(letters) > 1 else 3
    return 2 if text[1:] == text[1:].lower() else 5
