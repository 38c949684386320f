"""What may be annotated: texts, words, sentences, and pairs of texts that are compared."""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

from hiermtl.annotation.entries import Entry, Together
from hiermtl.annotation.segmenting import CHARACTERS, Splitter
from hiermtl.errors import DataError, listing
from hiermtl.text.plain import from_words
from hiermtl.text.sentence import Sentence

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts that are compared, in their order, each a string or a list of words."""

    first: str | Sequence[str]
    second: str | Sequence[str]


Given: TypeAlias = str | Sequence[str] | Sequence[Sentence] | Pair
"""A text to be split, the words of one sentence, sentences as the readers make them, or a pair."""


@dataclass(frozen=True, slots=True)
class Source:
    """A document before annotation: its sentences, and its text if it was given as one.

    `pair` says that the sentences are two that are compared; `whole` that behind the predictions
    of the sentences one more follows, of the text as a whole.
    """

    sentences: Sequence[Sentence]
    text: str | None
    pair: bool = False
    whole: bool = False


def entries_of(
    texts: Iterable[Given],
    waiting: deque[Source],
    split: Splitter,
    *,
    units: Mapping[str, str],
    ahead: int = 1,
) -> Iterator[Entry]:
    """What is to be predicted, one text after the other; documents are put in line in `waiting`.

    `split` makes sentences of raw texts, of which so many are read `ahead` for it. `units` say what
    each task asked for judges: `word`, `text`, `pair`, `document`. Sentences of a text come
    together where documents are judged. A text of several sentences, or one whose sentences come
    so, that is to be judged as a whole follows them.

    Raises:
        DataError: What is given is no text, or none of the tasks judges it.
    """
    judged = set(units.values())
    for source in _sources(texts, split, ahead):
        able = {"word", "pair"} if source.pair else {"word", "text", "document"}
        if source.sentences and judged and not judged & able:
            raise DataError(_not_judged(source, units))
        document = "document" in judged and not source.pair
        several = "text" in judged and not source.pair and (len(source.sentences) > 1 or document)
        waiting.append(Source(source.sentences, source.text, source.pair, several))
        if not source.sentences:
            yield ()  # keeps the document's place in the line
        elif document or source.pair or ("text" in judged and not several):
            yield Together(tuple(s.words for s in source.sentences), document=document)
        else:
            for sentence in source.sentences:
                yield sentence.words
        if several:
            words = tuple(word for sentence in source.sentences for word in sentence.words)
            yield Together((words,), words=False)


def _sources(texts: Iterable[Given], split: Splitter, ahead: int) -> Iterator[Source]:
    """Documents of what is given, in its order, raw texts split so many at a time."""
    given: list[Given] = []
    raw: list[str] = []
    characters = 0
    for one in texts:
        given.append(one)
        own = [_SURROGATE.sub("\ufffd", text) for text in _raw(one)]
        raw += own
        characters += sum(map(len, own))
        if len(given) >= ahead or characters >= CHARACTERS:
            yield from _split(given, raw, split)
            given, raw, characters = [], [], 0
    yield from _split(given, raw, split)


def _raw(given: Given) -> list[str]:
    """The texts that have to be split."""
    parts = (given.first, given.second) if isinstance(given, Pair) else (given,)
    return [part for part in parts if isinstance(part, str)]


def _split(given: Sequence[Given], raw: Sequence[str], split: Splitter) -> Iterator[Source]:
    found = zip(raw, split(raw) if raw else (), strict=True)
    for one in given:
        yield _source(one, found)


def _not_judged(source: Source, units: Mapping[str, str]) -> str:
    words = " ".join(source.sentences[0].words)
    if source.pair:
        return (
            f"a pair is given ({words!r:.40} is its first text), but {listing(units)} judge single "
            "texts; pass each text by itself"
        )
    return (
        f"a text is given ({words!r:.40}), but {listing(units)} judge pairs of texts; pass "
        "hiermtl.Pair(first, second), or JSON lines with `first` and `second`"
    )


def _source(given: Given, split: Iterator[tuple[str, list[Sentence]]]) -> Source:
    """A document of what is given; of each raw text, `split` has the text and its sentences."""
    if isinstance(given, Pair):
        return Source([_one(given, side, split) for side in ("first", "second")], None, True)
    if isinstance(given, str):
        text, sentences = next(split)
        return Source(sentences, text)
    if not isinstance(given, Sequence) or isinstance(given, bytes):
        raise DataError(
            f"{given!r:.60} ({type(given).__name__}) is no text; pass a string, a list of words, "
            "a list of Sentence, or a Pair"
        )
    if given and all(isinstance(item, Sentence) for item in given):
        return Source([_clean(item) for item in given if isinstance(item, Sentence)], None)
    words = cast("Sequence[str]", given)
    return Source([_clean(from_words(words))] if words else [], None)


def _one(pair: Pair, side: str, split: Iterator[tuple[str, list[Sentence]]]) -> Sentence:
    """A side of a pair as one sentence, whatever it says."""
    found = _source(getattr(pair, side), split)
    words = tuple(word for sentence in found.sentences for word in sentence.words)
    if not words:
        raise DataError(f"the {side} text of a pair is empty; give it words, or leave the pair out")
    spaces = [space for sentence in found.sentences for space in sentence.space_after or ()]
    known = found.text is not None and len(spaces) == len(words)
    if known and side == "first":
        spaces[-1] = True  # the other text follows
    return Sentence(words, text=found.text, space_after=tuple(spaces) if known else None)


def _clean(sentence: Sentence) -> Sentence:
    """The sentence without half surrogates."""
    if not _SURROGATE.search("".join(sentence.words)):
        return sentence
    words = tuple(_SURROGATE.sub("\ufffd", word) for word in sentence.words)
    return Sentence(words, sent_id=sentence.sent_id, doc_id=sentence.doc_id, origin=sentence.origin)
