"""Exits below a task's depth: their heads are trained, and when they are sure enough is chosen.

Source: Schwartz et al. 2020 (The Right Tool for the Job: Matching Model and Instance Complexities),
section 3: a classifier at some depths, the first that is sure enough answers. `training` trains the
heads on states that do not move; `calibration` chooses how sure they must be.
"""

from hiermtl.early_exit.calibration import Calibrated, ExitCounts, choose_thresholds
from hiermtl.early_exit.rows import block_rows
from hiermtl.early_exit.training import train_exits
from hiermtl.early_exit.watching import WatchingAnnotator

__all__ = [
    "Calibrated",
    "ExitCounts",
    "WatchingAnnotator",
    "block_rows",
    "choose_thresholds",
    "train_exits",
]
