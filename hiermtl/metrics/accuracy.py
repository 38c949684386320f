"""Accuracy of labels, one per word or one per sentence."""

from collections.abc import Sequence
from itertools import chain
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hiermtl.metrics.base import (
    Metric,
    check_sentences,
    check_words,
    percentage,
    sum_by_sentence,
)


class Accuracy(Metric):
    """Share of annotated items whose label is predicted exactly.

    A gold label of ``None`` is no annotation: the item is not counted, whatever is predicted.
    Labels are compared as strings, so a gold label that a model has never seen counts as an
    error like any other. A sentence may also be one bare label (sentence classification), or
    ``None`` (not annotated at all).
    """

    name: ClassVar[str] = "accuracy"
    scorer = "accuracy"
    columns = ("correct", "items")

    def count(self, gold: Sequence[Any], predicted: Sequence[Any]) -> NDArray[np.float64]:
        """Counts of each sentence.

        Args:
            gold: Per sentence a sequence of labels or ``None``, or one label, or ``None``.
            predicted: Per sentence a sequence of labels, or one label; anything where the gold
                sentence is ``None``.

        Returns:
            ``(sentences, 2)``: correct items, annotated items.

        Raises:
            ValueError: If gold and predictions differ in length, as a whole or in a sentence.
        """
        check_sentences(gold, predicted)
        if any(labels is None or isinstance(labels, str) for labels in gold):
            predicted = [
                () if labels is None else _as_sequence(guess)
                for labels, guess in zip(gold, predicted, strict=True)
            ]
            gold = [() if labels is None else _as_sequence(labels) for labels in gold]
        lengths = np.fromiter(map(len, gold), np.int64, len(gold))
        guesses = np.fromiter(map(len, predicted), np.int64, len(predicted))
        check_words(lengths, guesses, unit="labels")
        pairs = zip(chain.from_iterable(gold), chain.from_iterable(predicted), strict=True)
        codes = [-1 if label is None else label == guess for label, guess in pairs]
        outcome = np.array(codes, dtype=np.int8)
        sentences = np.repeat(np.arange(len(gold)), lengths)
        return sum_by_sentence(sentences, outcome == 1, outcome >= 0, count=len(gold))

    def score(self, totals: NDArray[Any]) -> dict[str, Any]:
        """Accuracy in per cent; see ``Metric.score``."""
        return {"accuracy": percentage(totals[..., 0], totals[..., 1])}

    def items(self, totals: NDArray[Any]) -> int:
        """Number of annotated items."""
        return int(totals[1])


def _as_sequence(labels: Any) -> Sequence[Any]:
    return (labels,) if isinstance(labels, str) else labels
