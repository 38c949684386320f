"""Metrics of analyses of raw text, over counts of gold sentences."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hiermtl.metrics.base import Metric, check_sentences, percentage
from hiermtl.metrics.conll18 import SCORES, RawText
from hiermtl.metrics.projection import count_projected_spans
from hiermtl.metrics.spans import SpanF1

_WHAT = ("correct", "gold", "system")


class AlignedF1(Metric):
    """F1 of some of the CoNLL 2018 scores (Zeman et al., 2018, section 4).

    Args:
        scores: From the name of a metric to that of a score of the shared task, the main one
            first: `{"las": "LAS", "uas": "UAS"}`.
    """

    name: ClassVar[str] = "aligned"
    scorer = "conll18"

    def __init__(self, scores: Mapping[str, str]) -> None:
        self._scores = dict(scores)
        self.columns = tuple(
            f"{metric}.{score}.{what}" for metric, score in scores.items() for what in _WHAT
        )

    @classmethod
    def from_columns(cls, columns: Sequence[str]) -> "AlignedF1":
        """The metric that has these columns."""
        return cls(dict(column.split(".")[:2] for column in columns))

    def count(self, gold: Sequence[Any], predicted: Sequence[Any]) -> NDArray[np.float64]:
        """Counts of each gold sentence of all documents.

        Args:
            gold: Gold `Analysis` of each document.
            predicted: System `Analysis` of each document.

        Returns:
            `(sentences, columns)`.

        Raises:
            ValueError: If there are not as many documents on either side.
            DataError: If gold and system write different characters.
        """
        return self.picked(RawText().count(gold, predicted))

    def picked(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """This metric's columns of the rows of `RawText`."""
        by_score = rows.reshape(len(rows), len(SCORES), -1)
        chosen = [SCORES.index(score) for score in self._scores.values()]
        return by_score[:, chosen, : len(_WHAT)].reshape(len(rows), -1)

    def score(self, totals: NDArray[Any]) -> dict[str, Any]:
        """F1 in per cent; see `Metric.score`."""
        totals = np.asarray(totals)
        return {
            metric: percentage(2 * totals[..., at], totals[..., at + 1] + totals[..., at + 2])
            for at, metric in zip(
                range(0, len(self.columns), len(_WHAT)), self._scores, strict=True
            )
        }

    def items(self, totals: NDArray[Any]) -> int:
        """Number of gold items of the main metric."""
        return int(totals[1])

    def items_of(self, totals: NDArray[Any]) -> dict[str, int]:
        """Number of gold items of each metric."""
        return {metric: int(totals[len(_WHAT) * at + 1]) for at, metric in enumerate(self._scores)}


class ProjectedSpanF1(SpanF1):
    """Span F1 where spans are compared by their characters; see `count_projected_spans`."""

    name: ClassVar[str] = "projected spans"

    def __init__(self) -> None:
        super().__init__()
        self.scorer = f"conll18+{self.scorer}"

    def count(self, gold: Sequence[Any], predicted: Sequence[Any]) -> NDArray[np.float64]:
        """Counts of each gold sentence of all documents.

        Args:
            gold: Of each document the gold `Analysis` and the tags of its sentences.
            predicted: The same of the system.

        Returns:
            `(sentences, 6)`, as `SpanF1.count`.

        Raises:
            ValueError: If there are not as many documents on either side, or as many tags as
                words, or a tag is not IOB2.
            DataError: If gold and system write different characters.
        """
        check_sentences(gold, predicted)
        rows = [
            count_projected_spans(right, tags, system=system, system_tags=guesses)
            for (right, tags), (system, guesses) in zip(gold, predicted, strict=True)
        ]
        return np.concatenate([np.zeros((0, len(self.columns))), *rows])

    def scorer_of(self, metric: str) -> str:
        """The definition that one of the scores follows."""
        return self.scorer if metric != "f1_strict" else f"conll18+{super().scorer_of(metric)}"
