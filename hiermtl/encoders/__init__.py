"""Encoders that are stepped block by block: embedding, then block 1 to block K.

The table maps a family to its class. A transformers family is found by the `model_type` of its
config.
"""

from collections.abc import Mapping
from typing import Any

from hiermtl.encoders.base import Block, Embedding, Encoder
from hiermtl.encoders.bert import (
    BertEncoder,
    CamembertEncoder,
    ElectraEncoder,
    RobertaEncoder,
    XlmRobertaEncoder,
)
from hiermtl.encoders.bilstm import BiLstmEncoder
from hiermtl.encoders.deberta import DebertaEncoder
from hiermtl.encoders.distilbert import DistilBertEncoder
from hiermtl.encoders.modernbert import ModernBertEncoder
from hiermtl.encoders.mpnet import MpnetEncoder
from hiermtl.encoders.pretrained import PretrainedEncoder
from hiermtl.errors import ModelError, listing, nearest

PRETRAINED: dict[str, type[PretrainedEncoder]] = {
    kind.family: kind
    for kind in (
        BertEncoder,
        RobertaEncoder,
        XlmRobertaEncoder,
        CamembertEncoder,
        ElectraEncoder,
        DistilBertEncoder,
        MpnetEncoder,
        DebertaEncoder,
        ModernBertEncoder,
    )
}
"""Families of the transformers library, under the `model_type` of their configs."""

ENCODERS: dict[str, type[Encoder]] = {"bilstm": BiLstmEncoder, **PRETRAINED}

__all__ = [
    "ENCODERS",
    "PRETRAINED",
    "Block",
    "Embedding",
    "Encoder",
    "PretrainedEncoder",
    "encoder_from_config",
]


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
