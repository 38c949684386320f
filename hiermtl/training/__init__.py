"""Training: the plan of batches, the loop, the optimizer, checkpoints."""

from hiermtl.training.examples import ChainedExamples, Examples, MemoryExamples
from hiermtl.training.loop import Evaluation, History, TrainingStep, make_accelerator, train_model
from hiermtl.training.plan import BatchPlan
from hiermtl.training.settings import Settings, has_bf16, resolve_precision

__all__ = [
    "BatchPlan",
    "ChainedExamples",
    "Evaluation",
    "Examples",
    "History",
    "MemoryExamples",
    "Settings",
    "TrainingStep",
    "has_bf16",
    "make_accelerator",
    "resolve_precision",
    "train_model",
]
