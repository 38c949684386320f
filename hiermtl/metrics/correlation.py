"""Agreement of real-valued predictions: Pearson, Spearman and mean squared error."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hiermtl.metrics.base import Metric, check_sentences


class Correlation(Metric):
    """Correlation and mean squared error of one number per sentence.

    The columns are sums, from which ``score`` takes ``pearson`` and ``mse``. Ranks do not follow
    from sums: ``spearman`` (with mean ranks for ties) comes from ``score_rows`` only, which reads
    the numbers back from the rows and also centres them before it squares. Sums of squares lose
    precision when the mean is large against the spread; ``origin`` is subtracted first to avoid
    that.

    Correlations run from -1 to 1; they are NaN where either side is constant or there are fewer
    than two items. ``mse`` is in squared units of the numbers and NaN without items.

    Args:
        origin: A number in the middle of the scale.
    """

    name: ClassVar[str] = "correlation"
    scorer = "pearson"
    columns = ("items", "gold", "predicted", "gold2", "predicted2", "product", "error2")
    additive: ClassVar[bool] = False

    def __init__(self, origin: float = 0.0) -> None:
        self.origin = origin

    def count(self, gold: Sequence[Any], predicted: Sequence[Any]) -> NDArray[np.float64]:
        """Counts of each sentence.

        Args:
            gold: One number per sentence; ``None`` where there is no annotation.
            predicted: One number per sentence.

        Returns:
            ``(sentences, 7)``: one item; gold and predicted number less the origin; their
            squares; their product; the squared difference. All zero without annotation.

        Raises:
            ValueError: If gold and predictions differ in length, or a scored number is not finite.
        """
        check_sentences(gold, predicted)
        known = np.array([value is not None for value in gold], dtype=np.bool_)
        left = np.zeros(len(gold))
        right = np.zeros(len(gold))
        left[known] = [float(value) for value in gold if value is not None]
        right[known] = [
            float(guess) for value, guess in zip(gold, predicted, strict=True) if value is not None
        ]
        wrong = np.nonzero(~(np.isfinite(left) & np.isfinite(right)))[0]
        if wrong.size:
            raise ValueError(f"sentence {int(wrong[0])}: a number to be scored is not finite")
        error = left - right
        left[known] -= self.origin
        right[known] -= self.origin
        columns = (known, left, right, left * left, right * right, left * right, error * error)
        return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)

    def score(self, totals: NDArray[Any]) -> dict[str, Any]:
        """``pearson`` (main) and ``mse``; see ``Metric.score`` and the class."""
        count, left, right, left2, right2, product, error = np.moveaxis(
            np.asarray(totals, dtype=np.float64), -1, 0
        )
        spread = np.maximum(count * left2 - left * left, 0.0)
        spread = spread * np.maximum(count * right2 - right * right, 0.0)
        pearson = _divide(count * product - left * right, np.sqrt(spread))
        return {"pearson": pearson, "mse": _divide(error, count)}

    def score_rows(self, rows: NDArray[Any]) -> dict[str, Any]:
        """``pearson`` (main), ``spearman`` and ``mse`` of a set of sentences.

        Args:
            rows: ``(sentences, 7)``.

        Returns:
            From metric name to a float.
        """
        known = rows[rows[:, 0] != 0]
        left, right = known[:, 1], known[:, 2]
        return {
            "pearson": _pearson(left, right),
            "spearman": _pearson(mean_ranks(left), mean_ranks(right)),
            "mse": float(known[:, 6].mean()) if len(known) else float("nan"),
        }

    def items(self, totals: NDArray[Any]) -> int:
        """Number of annotated sentences."""
        return int(totals[0])

    def scorer_of(self, metric: str) -> str:
        """The name of the statistic."""
        return metric


def mean_ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks from 1, ties sharing the mean of their ranks.

    Args:
        values: ``(items,)``, finite.

    Returns:
        ``(items,)``.
    """
    _, place, sizes = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(sizes) - (sizes - 1) / 2.0)[place]


def _pearson(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    if len(left) < 2 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return float("nan")
    left, right = left - left.mean(), right - right.mean()
    left, right = left / np.linalg.norm(left), right / np.linalg.norm(right)
    return float(np.clip(left @ right, -1.0, 1.0))


def _divide(part: NDArray[np.float64], whole: NDArray[np.float64]) -> Any:
    undefined = np.full(np.shape(whole), np.nan)
    rate = np.divide(part, whole, out=undefined, where=np.asarray(whole) > 0)
    return float(rate) if np.ndim(rate) == 0 else rate
