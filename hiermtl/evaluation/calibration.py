"""Probabilities set against what was right, and labels against what they were taken for."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from hiermtl.evaluation.details import BINS, Bin, Calibration, Confusion
from hiermtl.evaluation.items import Item
from hiermtl.evaluation.scores import ScoreRow


def calibrated(row: ScoreRow, sure: Sequence[float], right: Sequence[bool]) -> Calibration:
    """How well probabilities, 0 to 1, agree with what was right."""
    confidence, correct = 100 * np.array(sure), 100.0 * np.array(right, dtype=np.float64)
    places = np.clip(np.ceil(confidence / 100 * BINS).astype(np.int64) - 1, 0, BINS - 1)
    bins = []
    for place in range(BINS):
        chosen = places == place
        if chosen.any():
            bins.append(
                Bin(
                    100 / BINS * place,
                    100 / BINS * (place + 1),
                    int(chosen.sum()),
                    float(confidence[chosen].mean()),
                    float(correct[chosen].mean()),
                )
            )
    error = sum(one.items * abs(one.confidence - one.accuracy) for one in bins) / len(confidence)
    return Calibration(
        row.level,
        row.task,
        row.data,
        row.split,
        len(confidence),
        float(confidence.mean()),
        float(correct.mean()),
        error,
        tuple(bins),
    )


def confused(row: ScoreRow, items: Iterable[Iterable[Item]]) -> Confusion:
    """Gold and predicted labels with how often they met."""
    counts = Counter((item.gold, item.predicted) for sentence in items for item in sentence)
    cells = sorted(counts.items(), key=lambda cell: (-cell[1], str(cell[0])))
    return Confusion(
        row.level,
        row.task,
        row.data,
        row.split,
        tuple((gold, own, times) for (gold, own), times in cells),
    )
