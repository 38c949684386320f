"""Analyses of raw text: sentences of tokens with character positions, tokens of words."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from hiermtl.errors import DataError

NO_HEAD = -1
"""The head of a word whose HEAD field is empty; it agrees with no head."""

_FIELDS = 10


@dataclass(frozen=True, slots=True)
class Word:
    """One syntactic word with the fields of CoNLL-U.

    ``id`` counts from 1 in each sentence; ``head`` is 0 for the root and ``NO_HEAD`` if empty.
    """

    id: int
    form: str
    lemma: str = "_"
    upos: str = "_"
    xpos: str = "_"
    feats: str = "_"
    head: int = NO_HEAD
    deprel: str = "_"
    deps: str = "_"
    misc: str = "_"


@dataclass(frozen=True, slots=True)
class Token:
    """One token: characters ``start`` up to ``end`` of the text without white space.

    ``multi`` says that the token was written as a multiword token (``4-5`` in CoNLL-U).
    """

    start: int
    end: int
    words: tuple[Word, ...]
    multi: bool = False


@dataclass(frozen=True)
class Analysis:
    """A whole text, analysed: by annotators, or by a system from the raw text.

    Attributes:
        characters: The characters of all tokens, without white space.
        sentences: The tokens of each sentence; no sentence is empty, and together the tokens
            cover the characters in order.
    """

    characters: str
    sentences: tuple[tuple[Token, ...], ...]

    @classmethod
    def from_rows(cls, sentences: Iterable[Iterable[Sequence[str]]]) -> "Analysis":
        """An analysis from the rows of CoNLL-U sentences.

        Empty nodes (``8.1``) are skipped. Space characters (Unicode category Zs) inside a token
        are dropped. Trees are not checked beyond the range of their heads.

        Args:
            sentences: Per sentence its rows of ten fields, without comments.

        Returns:
            The analysis.

        Raises:
            DataError: If a row has not ten fields, ids do not count from 1, a multiword token
                does not cover words that follow, a token is empty, or a head is not a word of
                the sentence. Sentences and rows are named from 1.
        """
        characters: list[str] = []
        offset = 0
        built = []
        for number, rows in enumerate(sentences, start=1):
            tokens: list[Token] = []
            words: list[Word] = []
            pending = _Pending(0, 0, 0)
            for at, row in enumerate(rows, start=1):
                where = f"sentence {number}, row {at}"
                if len(row) != _FIELDS:
                    raise DataError(f"{where}: {len(row)} fields instead of {_FIELDS}")
                if "." in row[0]:
                    continue
                if "-" in row[0]:
                    if len(words) < pending.last:
                        raise DataError(f"{where}: multiword token {row[0]!r} overlaps another")
                    text = _without_space(row[1], where)
                    last = _range_end(row[0], len(words) + 1, where=where)
                    pending = _Pending(last, offset, len(words))
                    characters.append(text)
                    offset += len(text)
                    continue
                words.append(_word(row, len(words) + 1, where=where))
                if len(words) == pending.last:
                    covered = tuple(words[pending.first :])
                    tokens.append(Token(pending.start, offset, covered, multi=True))
                elif len(words) > pending.last:
                    text = _without_space(row[1], where)
                    characters.append(text)
                    tokens.append(Token(offset, offset + len(text), (words[-1],)))
                    offset += len(text)
            if not words or len(words) < pending.last:
                lack = "no words" if not words else "too few words for its multiword token"
                raise DataError(f"sentence {number}: {lack}")
            for word in words:
                if word.head > len(words):
                    raise DataError(
                        f"sentence {number}, word {word.id}: head {word.head} lies outside the "
                        f"sentence of {len(words)} words"
                    )
            built.append(tuple(tokens))
        return cls("".join(characters), tuple(built))

    @cached_property
    def words(self) -> tuple[tuple[Word, ...], ...]:
        """The words of each sentence."""
        return tuple(
            tuple(word for token in tokens for word in token.words) for tokens in self.sentences
        )


class _Pending(NamedTuple):
    """A multiword token whose words are being read."""

    last: int  # id of its last word
    start: int  # its first character
    first: int  # index of its first word


def _word(row: Sequence[str], expected: int, *, where: str) -> Word:
    if row[0] != str(expected):
        raise DataError(f"{where}: id {row[0]!r} where {expected} was expected")
    head = NO_HEAD if row[6] == "_" else -2
    if head != NO_HEAD and row[6].isdecimal():
        head = int(row[6])
    if head < NO_HEAD:
        raise DataError(f"{where}: head {row[6]!r} is neither a word number, 0 nor '_'")
    return Word(
        id=expected,
        form=row[1],
        lemma=row[2],
        upos=row[3],
        xpos=row[4],
        feats=row[5],
        head=head,
        deprel=row[7],
        deps=row[8],
        misc=row[9],
    )


def _range_end(text: str, expected: int, *, where: str) -> int:
    first, _, last = text.partition("-")
    if first != str(expected) or not last.isdecimal() or int(last) < expected:
        raise DataError(f"{where}: {text!r} is no multiword token beginning at word {expected}")
    return int(last)


def _without_space(form: str, where: str) -> str:
    text = "".join(letter for letter in form if unicodedata.category(letter) != "Zs")
    if not text:
        raise DataError(f"{where}: the form is empty")
    return text
