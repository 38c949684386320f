"""Evaluation: predictions scored against gold, task by task and level by level."""

from hiermtl.evaluation.best import main_score
from hiermtl.evaluation.compare import Comparison, compare_results
from hiermtl.evaluation.counts import Counts, load_counts
from hiermtl.evaluation.passages import evaluate_passages
from hiermtl.evaluation.predictor import HeadInfo, PassagePredictor, Predictor, RawPredictor
from hiermtl.evaluation.raw import evaluate_raw
from hiermtl.evaluation.results import RunResult, read_result
from hiermtl.evaluation.score import score_layers
from hiermtl.evaluation.scores import KEYS, ScoreRow, Scores
from hiermtl.evaluation.words import evaluate

__all__ = [
    "KEYS",
    "Comparison",
    "Counts",
    "HeadInfo",
    "PassagePredictor",
    "Predictor",
    "RawPredictor",
    "RunResult",
    "ScoreRow",
    "Scores",
    "compare_results",
    "evaluate",
    "evaluate_passages",
    "evaluate_raw",
    "load_counts",
    "main_score",
    "read_result",
    "score_layers",
]
