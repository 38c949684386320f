"""Span scores from raw text: spans compared by their characters, not by their words."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hiermtl.metrics.alignment import check_characters
from hiermtl.metrics.base import check_sentences, check_words
from hiermtl.metrics.raw import Analysis, Token
from hiermtl.metrics.spans import SpanTable, read_spans


def count_projected_spans(
    gold: Analysis,
    gold_tags: Sequence[Sequence[str]],
    *,
    system: Analysis,
    system_tags: Sequence[Sequence[str]],
) -> NDArray[np.float64]:
    """Counts for span F1 where gold and system may differ in tokens, words and sentences.

    A system span is correct if a gold span of the same type begins and ends at the same
    characters of the text without white space. The words of a multiword token that together
    write it lie at their own characters (``don't`` as ``do`` + ``n't``); where they do not
    (``du`` as ``de`` + ``le``), each lies at the whole token, and spans must also begin and end
    at a word with the same number in the token. A gold span counts in its sentence, a system span
    in the gold sentence that holds its first character.

    Args:
        gold: Gold analysis.
        gold_tags: IOB2 tags of the words of each gold sentence.
        system: System analysis of the same text.
        system_tags: IOB2 tags of the words of each system sentence.

    Returns:
        ``(gold sentences, 6)``, the columns of ``SpanF1``. With equal words and sentences the
        result is that of ``SpanF1.count``.

    Raises:
        ValueError: If there are not as many tags as words, or a tag is not IOB2.
        DataError: If gold and system write different characters.
    """
    check_characters(gold, system)
    kinds: dict[str, int] = {}
    right = _extents(gold, gold_tags, kinds=kinds)
    guess = _extents(system, system_tags, kinds=kinds)
    both = right.keys() & guess.keys()
    matches = {extent: right[extent] and guess[extent] for extent in both}
    starts = np.array([tokens[0].start for tokens in gold.sentences], dtype=np.int64)
    columns = [
        np.searchsorted(
            starts, [extent[0] for extent in extents if strict <= extents[extent]], side="right"
        )
        - 1
        for strict in (False, True)
        for extents in (right, guess, matches)
    ]
    counts = [np.bincount(column, minlength=len(starts)) for column in columns]
    return np.stack(counts, axis=1).astype(np.float64)


def _extents(
    analysis: Analysis, tags: Sequence[Sequence[str]], *, kinds: dict[str, int]
) -> dict[tuple[int, ...], bool]:
    """Whether each span is strict, by first character and word, end and word, and type."""
    check_sentences(analysis.words, tags)
    lengths = np.fromiter(map(len, analysis.words), np.int64, len(tags))
    check_words(lengths, np.fromiter(map(len, tags), np.int64, len(tags)), unit="words")
    places = word_places(analysis)
    spans: SpanTable = read_spans(tags, kinds)
    columns = (spans.begin, spans.end, spans.kind, spans.strict)
    return {
        (places[begin][0], places[begin][2], places[end][1], places[end][2], kind): strict
        for begin, end, kind, strict in zip(*(c.tolist() for c in columns), strict=True)
    }


def word_places(analysis: Analysis) -> list[tuple[int, int, int]]:
    """First character, end and number in its token of each word, in order.

    The number is 0 but for words that do not write their token: these lie at all of it.
    """
    return [
        place
        for tokens in analysis.sentences
        for token in tokens
        for place in _word_places(token, analysis.characters)
    ]


def _word_places(token: Token, characters: str) -> Iterator[tuple[int, int, int]]:
    """First character, end and number in the token of each word."""
    forms = ["".join(word.form.split()) for word in token.words]
    ends = np.cumsum([token.start, *map(len, forms)]).tolist()
    written = (
        token.multi
        and ends[-1] == token.end
        and all(
            characters[begin:end].lower() == form.lower()
            for begin, end, form in zip(ends[:-1], ends[1:], forms, strict=True)
        )
    )
    if written:
        yield from ((begin, end, 0) for begin, end in pairwise(ends))
    else:
        yield from ((token.start, token.end, number) for number in range(len(token.words)))
