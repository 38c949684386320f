"""Models on disk: whole model folders, and pretrained encoders to start training from."""

from hiermtl.pretrained.encoders import encoder_source
from hiermtl.pretrained.finding import find_model, is_hub_id
from hiermtl.pretrained.loading import load_model
from hiermtl.pretrained.saving import read_card, save_model
from hiermtl.pretrained.weights import model_name

__all__ = [
    "encoder_source",
    "find_model",
    "is_hub_id",
    "load_model",
    "model_name",
    "read_card",
    "save_model",
]
