"""What every metric offers: counts per sentence, and scores of summed counts.

A metric never sees a corpus. It turns every sentence into one row of counts, and a sum of rows
into scores. Paired resampling tests (Koehn, 2004) then need only the rows: the score of a
resample is the score of a weighted sum of rows, for thousands of resamples at once.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

METRIC_NAMES = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "f1_strict",
    "f1_given",
    "f1_predicate",
    "macro_f1",
    "uas",
    "las",
    "clas",
    "mlas",
    "blex",
    "elas",
    "alltags",
    "tokens",
    "words",
    "sentences",
    "muc",
    "b3",
    "ceafe",
    "lea",
    "conll",
    "conll_no_singletons",
    "pearson",
    "spearman",
    "mse",
    "perplexity",
)
"""Every name a score may bear."""


class Metric(ABC):
    """A stateless scorer.

    Attributes:
        name: Family of the scorer, e.g. ``"accuracy"``, ``"spans"``, ``"attachment"``.
        scorer: The definition that is followed, as printed beside scores.
        columns: Names of the counts.
        additive: Whether ``score`` of summed counts gives every score. If not, ``score_rows``
            gives further ones, which need the rows themselves.
    """

    name: ClassVar[str]
    scorer: str
    columns: tuple[str, ...]
    additive: ClassVar[bool] = True

    @abstractmethod
    def count(self, gold: Sequence[Any], predicted: Sequence[Any]) -> NDArray[np.float64]:
        """Counts of each sentence.

        Args:
            gold: Gold annotation, one element per sentence.
            predicted: Predictions, one element per sentence.

        Returns:
            ``(sentences, columns)``.

        Raises:
            ValueError: If gold and predictions differ in length, as a whole or in a sentence.
        """

    @abstractmethod
    def score(self, totals: NDArray[Any]) -> dict[str, Any]:
        """Scores of summed counts.

        Args:
            totals: ``(..., columns)``.

        Returns:
            From metric name to a float, or to an array ``(...)`` if totals has more than one
            axis. Rates run from 0 to 100. The first entry is the main metric. A rate without
            any item to score is 0.
        """

    @abstractmethod
    def items(self, totals: NDArray[Any]) -> int:
        """Number of scored gold items in summed counts ``(columns,)``."""

    def score_rows(self, rows: NDArray[Any]) -> dict[str, Any]:
        """All scores of a set of sentences, also those that sums do not determine.

        Args:
            rows: ``(sentences, columns)``.

        Returns:
            As ``score``, in floats.
        """
        return self.score(rows.sum(axis=0))

    def scorer_of(self, metric: str) -> str:
        """The definition that one of the scores follows, as printed beside it."""
        del metric
        return self.scorer


class Tally:
    """A metric and the counts of all sentences seen so far, in the order they were added."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._blocks: list[NDArray[np.float64]] = []

    @property
    def rows(self) -> NDArray[np.float64]:
        """Counts of each sentence ``(sentences, columns)``."""
        if len(self._blocks) != 1:
            empty = np.zeros((0, len(self.metric.columns)))
            self._blocks = [np.concatenate([empty, *self._blocks])]
        return self._blocks[0]

    @property
    def totals(self) -> NDArray[np.float64]:
        """Summed counts ``(columns,)``."""
        return self.rows.sum(axis=0)

    def add(self, gold: Sequence[Any], predicted: Sequence[Any]) -> None:
        """Count more sentences; the arguments and errors are those of ``Metric.count``."""
        self._blocks.append(self.metric.count(gold, predicted))

    def scores(self) -> dict[str, Any]:
        """All scores over the sentences seen so far, the main one first."""
        return self.metric.score_rows(self.rows)

    def items(self) -> int:
        """Number of gold items scored so far."""
        return self.metric.items(self.totals)

    def reset(self) -> None:
        """Forget all sentences."""
        self._blocks = []

    def merge(self, other: "Tally") -> None:
        """Append the sentences of another tally.

        Args:
            other: A tally of the same metric; left unchanged.

        Raises:
            ValueError: If the metrics differ in kind or settings.
        """
        mine, theirs = self.metric, other.metric
        if type(mine) is not type(theirs) or vars(mine) != vars(theirs):
            raise ValueError(
                f"cannot merge counts of {theirs.name} {vars(theirs)} "
                f"into counts of {mine.name} {vars(mine)}"
            )
        self._blocks.append(other.rows)


def percentage(part: NDArray[Any], whole: NDArray[Any]) -> Any:
    """Hundred times part over whole, 0 where the whole is 0.

    Args:
        part: Any shape.
        whole: Same shape.

    Returns:
        A float for scalars, otherwise an array of the same shape.
    """
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    rate = 100.0 * np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)
    return float(rate) if rate.ndim == 0 else rate


def check_sentences(
    gold: Sequence[Any], predicted: Sequence[Any], *, unit: str = "sentences"
) -> None:
    """Check that there are as many predicted as gold sentences.

    Args:
        gold: One element per sentence.
        predicted: One element per sentence.
        unit: What an element is, for the message.

    Raises:
        ValueError: If they differ in number.
    """
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold {unit}, but {len(predicted)} predicted ones")


def check_words(gold: NDArray[np.int64], predicted: NDArray[np.int64], *, unit: str) -> None:
    """Check that every sentence has as many predictions as gold items.

    Args:
        gold: Number of gold items ``(sentences,)``.
        predicted: Number of predictions ``(sentences,)``.
        unit: What is counted, for the message.

    Raises:
        ValueError: If they differ; names the first sentence, counted from 0.
    """
    wrong = np.nonzero(gold != predicted)[0]
    if wrong.size:
        at = int(wrong[0])
        raise ValueError(
            f"sentence {at}: {int(gold[at])} gold {unit}, but {int(predicted[at])} predicted ones"
        )


def sum_by_sentence(
    sentences: NDArray[np.int64], *columns: NDArray[Any], count: int
) -> NDArray[np.float64]:
    """Sum values of items within their sentences.

    Args:
        sentences: Sentence index of each item ``(items,)``.
        *columns: One array ``(items,)`` per output column.
        count: Number of sentences.

    Returns:
        ``(sentences, columns)``.
    """
    sums = [np.bincount(sentences, weights=column, minlength=count) for column in columns]
    return np.stack(sums, axis=1).astype(np.float64, copy=False)
