"""Models on disk: whole model folders, and pretrained encoders to start training from."""

from hiermtl.pretrained.encoders import encoder_source
from hiermtl.pretrained.finding import find_model, is_hub_id
from hiermtl.pretrained.loading import load_model
from hiermtl.pretrained.saving import read_card, save_model

__all__ = ["encoder_source", "find_model", "is_hub_id", "load_model", "read_card", "save_model"]
