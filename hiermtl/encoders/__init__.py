"""Encoders that are stepped block by block: embedding, then block 1 to block K.

The table maps a family to its class. A transformers family is found by the `model_type` of its
config.
"""

from collections.abc import Mapping
from typing import Any

from hiermtl.encoders.base import Block, Embedding, Encoder
from hiermtl.encoders.bert import BertEncoder
from hiermtl.encoders.bilstm import BiLstmEncoder
from hiermtl.errors import ModelError, listing, nearest

ENCODERS: dict[str, type[Encoder]] = {"bert": BertEncoder, "bilstm": BiLstmEncoder}

__all__ = ["ENCODERS", "Block", "Embedding", "Encoder", "encoder_from_config"]


def encoder_from_config(config: Mapping[str, Any]) -> Encoder:
    """The encoder a saved `config()` describes, with weights from scratch.

    Raises ModelError when the family is not one of the table's.
    """
    family = str(config.get("family"))
    if family not in ENCODERS:
        raise ModelError(
            f"encoder family {family!r} is not supported; the families are {listing(ENCODERS)}"
            f"{nearest(family, ENCODERS)}"
        )
    return ENCODERS[family].from_config(config)
