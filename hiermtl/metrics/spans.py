"""Precision, recall and F1 of labelled spans in IOB2 tags."""

from collections.abc import Sequence
from itertools import chain
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hiermtl.metrics.base import Metric, check_sentences, check_words, percentage

Mode = Literal["conlleval", "strict"]
_OUTSIDE, _BEGIN, _INSIDE = 0, 1, 2
_STRICT = "seqeval-strict"


class SpanTable(NamedTuple):
    """The spans of a corpus, in order; ``begin`` and ``end`` are inclusive word positions.

    Positions run through the whole corpus. ``strict`` marks spans opened by a ``B-`` tag; the
    others are opened by a stray ``I-`` tag and exist for the lenient reading only.
    """

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    kind: NDArray[np.int64]
    strict: NDArray[np.bool_]


class SpanF1(Metric):
    """Precision, recall and F1 of spans that agree in extent and type.

    Two readings of ill-formed tags are counted side by side:

    * the lenient one of ``conlleval`` (Tjong Kim Sang & Buchholz, 2000), which is also the
      default of ``seqeval``: an ``I-X`` that continues no ``X`` opens a span;
    * the strict one, ``seqeval`` with ``mode="strict", scheme=IOB2``: only ``B-X`` opens a span,
      and an ``I-X`` that continues no ``X`` belongs to none.

    For gold ``B-NP I-NP O B-VP`` and predicted ``I-NP I-NP O B-VP`` the lenient F1 is 100 and
    the strict F1 is 66.7.

    Args:
        mode: With ``"conlleval"`` the scores are ``f1`` (main), ``precision``, ``recall``, all
            lenient, and ``f1_strict``; with ``"strict"`` they are ``f1_strict`` (main),
            ``precision`` and ``recall``, all strict.

    Raises:
        ValueError: If the mode is unknown.
    """

    name: ClassVar[str] = "spans"
    columns = (
        "gold",
        "predicted",
        "correct",
        "gold_strict",
        "predicted_strict",
        "correct_strict",
    )

    def __init__(self, mode: Mode = "conlleval") -> None:
        if mode not in {"conlleval", "strict"}:
            raise ValueError(f"unknown mode {mode!r}; known: conlleval, strict")
        self.mode = mode
        self.scorer = "conlleval" if mode == "conlleval" else _STRICT

    def count(self, gold: Sequence[Any], predicted: Sequence[Any]) -> NDArray[np.float64]:
        """Counts of each sentence.

        Args:
            gold: Tags of each sentence; ``None`` for a sentence that is not annotated.
            predicted: Tags of each sentence.

        Returns:
            ``(sentences, 6)``: gold, predicted and correct spans, lenient and then strict.

        Raises:
            ValueError: If gold and predictions differ in length, as a whole or in a sentence, or
                if a tag is neither ``O`` nor begins with ``B`` or ``I``.
        """
        right, guess, sentences, _ = _tables(gold, predicted)
        return _count_matches(right, guess, sentences=sentences, count=len(gold))

    def count_by_type(
        self, gold: Sequence[Any], predicted: Sequence[Any]
    ) -> dict[str, NDArray[np.float64]]:
        """Counts of each sentence for every span type apart.

        Args:
            gold: As for ``count``.
            predicted: As for ``count``.

        Returns:
            From span type, sorted, to ``(sentences, 6)``; the sum over types is ``count``.

        Raises:
            ValueError: As for ``count``.
        """
        right, guess, sentences, kinds = _tables(gold, predicted)
        present = set(right.kind.tolist()) | set(guess.kind.tolist())
        return {
            kind: _count_matches(
                _of_kind(right, code), _of_kind(guess, code), sentences=sentences, count=len(gold)
            )
            for kind, code in sorted(kinds.items())
            if code in present
        }

    def score(self, totals: NDArray[Any]) -> dict[str, Any]:
        """Scores in per cent; see ``Metric.score`` and the class for which."""
        at = 0 if self.mode == "conlleval" else 3
        gold, predicted, correct = (totals[..., at + column] for column in range(3))
        strict = percentage(2 * totals[..., 5], totals[..., 3] + totals[..., 4])
        scores = {
            "precision": percentage(correct, predicted),
            "recall": percentage(correct, gold),
        }
        if self.mode == "strict":
            return {"f1_strict": strict, **scores}
        return {"f1": percentage(2 * correct, gold + predicted), **scores, "f1_strict": strict}

    def items(self, totals: NDArray[Any]) -> int:
        """Number of gold spans, under the reading of the main score."""
        return int(totals[0 if self.mode == "conlleval" else 3])

    def scorer_of(self, metric: str) -> str:
        """The definition that one of the scores follows."""
        return _STRICT if metric == "f1_strict" else self.scorer


def read_spans(tags: Sequence[Sequence[str]], kinds: dict[str, int]) -> SpanTable:
    """Spans of IOB2 tags, with ill-formed sequences read as ``conlleval`` reads them.

    A bare ``B`` or ``I`` has the empty type. A strict reading keeps the spans marked ``strict``
    and nothing else: a strict span is a lenient one that a ``B-`` tag opens.

    Args:
        tags: Tags of each sentence.
        kinds: Codes of span types; types that are new to it are added.

    Returns:
        The spans of all sentences.

    Raises:
        ValueError: If a tag is neither ``O`` nor begins with ``B`` or ``I``.
    """
    lengths = np.fromiter(map(len, tags), np.int64, len(tags))
    flat = list(chain.from_iterable(tags))
    codes = {tag: index for index, tag in enumerate(dict.fromkeys(flat))}
    parts = [_parse(tag, kinds) for tag in codes]
    table = np.array(parts, dtype=np.int64).reshape(-1, 2)
    encoded = table[[codes[tag] for tag in flat]]
    prefix, kind = encoded[:, 0], encoded[:, 1]
    first = np.zeros(len(flat) + 1, dtype=np.bool_)
    first[np.cumsum(lengths)] = True
    first[0] = True
    inside = prefix != _OUTSIDE
    joined = np.zeros(len(flat) + 1, dtype=np.bool_)
    joined[1:-1] = (prefix[1:] == _INSIDE) & inside[:-1] & (kind[1:] == kind[:-1])
    joined &= ~first
    begin = np.nonzero(inside & ~joined[:-1])[0]
    end = np.nonzero(inside & ~joined[1:])[0]
    return SpanTable(begin, end, kind[begin], prefix[begin] == _BEGIN)


def _parse(tag: str, kinds: dict[str, int]) -> tuple[int, int]:
    if tag == "O":
        return _OUTSIDE, -1
    if tag[:2] not in {"B", "I", "B-", "I-"}:
        raise ValueError(f"{tag!r} is no IOB2 tag")
    prefix = _BEGIN if tag[0] == "B" else _INSIDE
    return prefix, kinds.setdefault(tag[2:], len(kinds))


def _tables(
    gold: Sequence[Any], predicted: Sequence[Any]
) -> tuple[SpanTable, SpanTable, NDArray[np.int64], dict[str, int]]:
    check_sentences(gold, predicted)
    if any(tags is None for tags in gold):
        predicted = [
            () if tags is None else guess for tags, guess in zip(gold, predicted, strict=True)
        ]
        gold = [() if tags is None else tags for tags in gold]
    lengths = np.fromiter(map(len, gold), np.int64, len(gold))
    guesses = np.fromiter(map(len, predicted), np.int64, len(predicted))
    check_words(lengths, guesses, unit="tags")
    kinds: dict[str, int] = {}
    right, guess = read_spans(gold, kinds), read_spans(predicted, kinds)
    return right, guess, np.repeat(np.arange(len(gold)), lengths), kinds


def _of_kind(spans: SpanTable, kind: int) -> SpanTable:
    keep = spans.kind == kind
    return SpanTable(spans.begin[keep], spans.end[keep], spans.kind[keep], spans.strict[keep])


def _count_matches(
    gold: SpanTable, predicted: SpanTable, *, sentences: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    _, right, guess = np.intersect1d(
        gold.begin, predicted.begin, assume_unique=True, return_indices=True
    )
    same = (gold.end[right] == predicted.end[guess]) & (gold.kind[right] == predicted.kind[guess])
    right, guess = right[same], guess[same]
    both = gold.strict[right] & predicted.strict[guess]
    begins = (
        gold.begin,
        predicted.begin,
        gold.begin[right],
        gold.begin[gold.strict],
        predicted.begin[predicted.strict],
        gold.begin[right[both]],
    )
    columns = [np.bincount(sentences[begin], minlength=count) for begin in begins]
    return np.stack(columns, axis=1).astype(np.float64)
