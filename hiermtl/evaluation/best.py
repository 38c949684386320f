"""One number for choosing the best checkpoint."""

from collections.abc import Iterable

from hiermtl.errors import RecipeError
from hiermtl.evaluation.scores import ScoreRow, Scores

CORRELATIONS = frozenset({"pearson", "spearman"})
"""Metrics from -1 to 1; the others are rates from 0 to 100, but for those of `UNBOUNDED`."""

UNBOUNDED = frozenset({"mse", "perplexity"})
"""Metrics without a greatest value, the lower the better."""


def main_score(scores: Scores, main_tasks: Iterable[str]) -> float:
    """The mean of the main metrics of the main tasks, each task with the same say.

    Scores are taken in `points`. Of a task that is scored on several data sets it is the mean over
    these.

    Args:
        scores: Scores on the data by which the checkpoint is chosen.
        main_tasks: The tasks that are not auxiliary.

    Returns:
        A number up to 100; the higher, the better.

    Raises:
        RecipeError: There is no main task, one has no score, or its main metric is no rate.
    """
    values = []
    for task in main_tasks:
        row = scores.main(task)
        if row.metric in UNBOUNDED:
            raise RecipeError(
                f"the main metric of {task!r} is {row.metric}, which has no common scale with "
                f"those of other tasks; name in evaluation.main the tasks that choose, without it"
            )
        rows = scores.mains(task)
        values.append(sum(map(points, rows)) / len(rows))
    if not values:
        raise RecipeError(
            "all tasks are auxiliary, so that none can say which checkpoint is best; "
            "leave at least one that is not"
        )
    return sum(values) / len(values)


def points(row: ScoreRow) -> float:
    """A score on a scale up to 100: a rate as it is, a correlation times 100."""
    return 100 * row.score if row.metric in CORRELATIONS else row.score
