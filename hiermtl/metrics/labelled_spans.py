"""Precision, recall and F1 of labelled spans that may nest and overlap."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hiermtl.metrics.base import Metric, check_sentences, percentage
from hiermtl.metrics.sets import annotated, compare, count_rows, item_table


class LabelledSpanF1(Metric):
    """Precision, recall and F1 of spans that agree in extent and label.

    The spans of a sentence are a set: they may nest, overlap and cross, one extent may have several
    labels, and what is said twice counts once. Where spans are flat and tags well-formed, these
    are the scores of ``SpanF1``.
    """

    name: ClassVar[str] = "labelled spans"
    scorer = "exact"
    columns = ("gold", "predicted", "correct")

    def count(self, gold: Sequence[Any], predicted: Sequence[Any]) -> NDArray[np.float64]:
        """Counts of each sentence.

        Args:
            gold: Per sentence a sequence of spans ``(start, end, label)``; ``None`` for a sentence
                that is not annotated.
            predicted: Per sentence such a sequence; anything where the gold sentence is ``None``.

        Returns:
            ``(sentences, 3)``: gold, predicted and correct spans.

        Raises:
            ValueError: If there are not as many sentences on either side.
        """
        check_sentences(gold, predicted)
        gold, predicted = annotated(gold, predicted, nothing=((), ()))
        codes: dict[str, int] = {}
        right = item_table(gold, codes, numbers=2)
        guess = item_table(predicted, codes, numbers=2)
        found = compare(right, guess)
        columns = (
            count_rows(right, found.gold, count=len(gold)),
            count_rows(guess, found.predicted, count=len(gold)),
            count_rows(right, found.correct, count=len(gold)),
        )
        return np.stack(columns, axis=1).astype(np.float64)

    def score(self, totals: NDArray[Any]) -> dict[str, Any]:
        """``f1`` (main), ``precision`` and ``recall`` in per cent; see ``Metric.score``."""
        gold, predicted, correct = np.moveaxis(np.asarray(totals), -1, 0)
        return {
            "f1": percentage(2 * correct, gold + predicted),
            "precision": percentage(correct, predicted),
            "recall": percentage(correct, gold),
        }

    def items(self, totals: NDArray[Any]) -> int:
        """Number of gold spans."""
        return int(totals[0])
