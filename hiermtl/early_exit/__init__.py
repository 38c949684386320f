"""How exits below a task's depth are made: what they are is said in `hiermtl.exit_heads`.

`training` trains their heads on states that do not move; `calibration` chooses how sure they must
be; `watching` tells how sure they were, and `rows` what blocks read.
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
