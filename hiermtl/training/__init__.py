"""Training: the plan of batches, the loop, the optimizer, checkpoints."""

from hiermtl.training.examples import ChainedExamples, Examples, MemoryExamples
from hiermtl.training.loop import Evaluation, History, TrainingStep, make_accelerator, train_model
from hiermtl.training.plan import BatchPlan
from hiermtl.training.settings import Settings

__all__ = [
    "BatchPlan",
    "ChainedExamples",
    "Evaluation",
    "Examples",
    "History",
    "MemoryExamples",
    "Settings",
    "TrainingStep",
    "make_accelerator",
    "train_model",
]
