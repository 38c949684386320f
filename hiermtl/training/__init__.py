"""Training: the plan of batches, the loop, the optimizer, checkpoints."""

from hiermtl.training.examples import ChainedExamples, Examples, MemoryExamples
from hiermtl.training.loop import (
    Evaluation,
    History,
    make_accelerator,
    make_plan,
    train_model,
)
from hiermtl.training.plan import BatchPlan
from hiermtl.training.sampling import MIXED, Sampling, TaskPlan
from hiermtl.training.settings import Settings
from hiermtl.training.step import TrainingStep

__all__ = [
    "MIXED",
    "BatchPlan",
    "ChainedExamples",
    "Evaluation",
    "Examples",
    "History",
    "MemoryExamples",
    "Sampling",
    "Settings",
    "TaskPlan",
    "TrainingStep",
    "make_accelerator",
    "make_plan",
    "train_model",
]
