"""Raw text to sentences, by the tokenizer and the sentence marks of a spaCy blank pipeline.

Words and sentences are slices of the text in its order, so `word_offsets` finds them again. White
space is never a word; a blank line always ends a sentence. Half surrogates, which no encoding can
write, are read as U+FFFD.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from hiermtl.errors import DataError, RecipeError
from hiermtl.text.lines import decoded_lines, read_lines
from hiermtl.text.sentence import Origin, Sentence

if TYPE_CHECKING:
    from spacy.language import Language

WINDOW = 200_000
"""Characters given to the tokenizer at once; spaCy refuses more than a million."""

STRINGS = 2_000
"""Strings after which a pipeline forgets those it has met; spaCy keeps every word by itself."""

_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
_SURROGATE = re.compile("[\ud800-\udfff]")


def split_text(text: str, language: str) -> list[Sentence]:
    """Sentences of a text of any length; empty or blank text has none.

    `Sentence.text` is the slice from its first to its last word, `space_after` says whether white
    space follows in the text (the end of the text is none). `language` is a spaCy code, `xx` for
    languages spaCy has no rules for.

    Raises:
        RecipeError: The language code is unknown, or its tokenizer needs a package that is not
            installed.
    """
    pipeline = _pipeline(language)
    text = whole_characters(text)
    sentences: list[Sentence] = []
    start = 0
    for match in _PARAGRAPH.finditer(text):
        sentences += _paragraph(pipeline, text, start, match.start())
        start = match.end()
    return sentences + _paragraph(pipeline, text, start, len(text))


def read_text(path: str | Path, language: str) -> Iterator[Sentence]:
    """Sentences of a text file with one paragraph per line; `origin` names the line.

    Raises:
        RecipeError: See `split_text`.
        DataError: The file is missing or is not UTF-8.
    """
    return parse_text(read_lines(path), str(path), language=language)


def parse_text(lines: Iterable[bytes], name: str, *, language: str) -> Iterator[Sentence]:
    """Like `read_text`, from encoded lines such as standard input; `name` stands in messages."""
    for number, text in decoded_lines(lines, name):
        origin = Origin(name, number)
        for sentence in split_text(text, language):
            yield Sentence(
                sentence.words, text=sentence.text, space_after=sentence.space_after, origin=origin
            )


def from_words(words: Sequence[str]) -> Sentence:
    """A sentence of words that are given; its text and spacing are unknown.

    Raises:
        DataError: A word is not a string or is empty, or `words` is one string.
    """
    if isinstance(words, str):
        raise DataError(
            f"a text where a list of words is expected: {words[:40]!r}; pass it as text, or split "
            "it"
        )
    for place, word in enumerate(words):
        if not isinstance(word, str) or not word.strip():
            raise DataError(
                f"word {place} of {len(words)} is {word!r}; every word must be a text that is not "
                "blank"
            )
    return Sentence(tuple(map(whole_characters, words)))


def whole_characters(text: str) -> str:
    """The text with U+FFFD for each half surrogate."""
    return _SURROGATE.sub("\ufffd", text)


def word_offsets(text: str, words: Sequence[str]) -> list[tuple[int, int]]:
    """Where each word stands in the text, as (start, end) in characters, half open.

    Raises:
        DataError: The words are not slices of the text in this order.
    """
    text = whole_characters(text)
    offsets: list[tuple[int, int]] = []
    at = 0
    for place, word in enumerate(words):
        start = text.find(word, at)
        if start < 0 or text[at:start].strip():
            raise DataError(
                f"word {place}, {word!r}, does not follow in the text at character {at} "
                f"({text[at : at + 20]!r}); words and text must belong together"
            )
        at = start + len(word)
        offsets.append((start, at))
    return offsets


class _Pipeline:
    """A spaCy pipeline that forgets what it has met once that is much."""

    def __init__(self, pipeline: "Language") -> None:
        self._pipeline = pipeline
        self._known = len(pipeline.vocab.strings)
        self._zone = ExitStack()
        self._zone.enter_context(pipeline.memory_zone())
        self._lock = Lock()

    def split(self, text: str) -> list[list[tuple[int, int]]]:
        """Where the words of each sentence stand, as (start, end) in characters."""
        # Forgetting while another thread reads a document would take it away under its eyes.
        with self._lock:
            if len(self._pipeline.vocab.strings) > self._known + STRINGS:
                self._zone.close()
                self._zone.enter_context(self._pipeline.memory_zone())
            return [
                [(token.idx, token.idx + len(token)) for token in span if not token.is_space]
                for span in self._pipeline(text).sents
            ]


def check_language(language: str) -> None:
    """Raises RecipeError for a code that spaCy does not know; its tokenizer may be missing yet."""
    from spacy.util import get_lang_class

    try:
        get_lang_class(language)
    except ImportError:
        raise _unknown(language) from None


def _unknown(language: str) -> RecipeError:
    return RecipeError(
        f"language {language!r}; allowed are the codes of spaCy's languages (en, de, sv, "
        "zh, ar, ...) and xx for any other"
    )


@lru_cache(maxsize=8)
def _pipeline(language: str) -> _Pipeline:
    import spacy

    try:
        pipeline = spacy.blank(language)
    except ImportError as error:
        missing = str(error).strip().splitlines()[0]
        if "can't import" in missing.lower() or "E048" in missing:
            raise _unknown(language) from None
        raise RecipeError(
            f"language {language!r}: its tokenizer needs a package that is not installed "
            f"({missing}); install it, or use "
            "xx, or give words instead of text"
        ) from None
    pipeline.add_pipe("sentencizer")
    pipeline.max_length = WINDOW + 1
    return _Pipeline(pipeline)


def _paragraph(pipeline: _Pipeline, text: str, start: int, end: int) -> list[Sentence]:
    """Sentences of `text[start:end]`; a sentence cut by a window begins the next window."""
    sentences: list[Sentence] = []
    while start < end:
        stop = min(end, start + WINDOW)
        if stop < end:
            # Never cut inside a word, if a word ever ends.
            space = max(text.rfind(" ", start, stop), text.rfind("\n", start, stop))
            stop = space + 1 if space > start else stop
        found = _window(pipeline, text, start, stop)
        following = stop
        if stop < end and len(found) > 1:
            following = start + found.pop()[0]
        sentences += [sentence for _, sentence in found]
        start = following
    return sentences


def _window(pipeline: _Pipeline, text: str, start: int, stop: int) -> list[tuple[int, Sentence]]:
    """Sentences of a window, each with its first character counted from `start`."""
    window = text[start:stop]
    found = []
    for places in filter(None, pipeline.split(window)):
        words = tuple(window[first:last] for first, last in places)
        spaces = tuple(text[start + last : start + last + 1].isspace() for _, last in places)
        first, last = places[0][0], places[-1][1]
        found.append((first, Sentence(words, text=window[first:last], space_after=spaces)))
    return found
