"""Evaluation: predictions scored against gold, task by task and level by level."""

from hiermtl.evaluation.best import main_score
from hiermtl.evaluation.counts import Counts, load_counts
from hiermtl.evaluation.passages import evaluate_passages
from hiermtl.evaluation.predictor import HeadInfo, PassagePredictor, Predictor, RawPredictor
from hiermtl.evaluation.raw import evaluate_raw
from hiermtl.evaluation.score import score_layers
from hiermtl.evaluation.scores import KEYS, ScoreRow, Scores
from hiermtl.evaluation.words import evaluate

__all__ = [
    "KEYS",
    "Counts",
    "HeadInfo",
    "PassagePredictor",
    "Predictor",
    "RawPredictor",
    "ScoreRow",
    "Scores",
    "evaluate",
    "evaluate_passages",
    "evaluate_raw",
    "load_counts",
    "main_score",
    "score_layers",
]
