"""MPNet: BERT's blocks with a bias by relative position, without segments.

Source: Song et al. 2020 (MPNet), section 2, through the layers of the transformers library.
Departs: the table of biases, which the library's blocks share, is each block's own; the copies
start equal.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hiermtl.encoders.bert import RobertaEncoder
from hiermtl.encoders.pretrained import PostNormBlock, embedding_parts
from hiermtl.records import Layout


class MpnetBlock(PostNormBlock):
    """A post-norm block whose attention scores depend on distance too."""

    def bias(self, layout: Layout) -> Callable[[int], Tensor]:
        """The table's row for each pair of places."""

        def bias(length: int) -> Tensor:
            places = layout.cached(("mpnet", length), lambda: _buckets(length, layout.device))
            return self.parts["bias"](places).permute(2, 0, 1)

        return bias


class MpnetEncoder(RobertaEncoder):
    """MPNet of any size; positions are RoBERTa's."""

    family = "mpnet"
    model = "MPNetModel"
    kind = MpnetBlock

    @classmethod
    def row_limit(cls, config: Any) -> int:
        """The most units in a row; the library's place of the padding is 1 whatever the config."""
        return config.max_position_embeddings - 2

    @classmethod
    def parts(cls, model: Any, depth: int) -> nn.ModuleDict:
        """See `PretrainedEncoder.parts`."""
        if not depth:
            return embedding_parts(model.embeddings)
        layer = model.encoder.layer[depth - 1]
        return nn.ModuleDict(
            {
                "bias": model.encoder.relative_attention_bias,
                "query": layer.attention.attn.q,
                "key": layer.attention.attn.k,
                "value": layer.attention.attn.v,
                "out": layer.attention.attn.o,
                "attention_drop": layer.attention.dropout,
                "attention_norm": layer.attention.LayerNorm,
                "inner": layer.intermediate.dense,
                "outer": layer.output.dense,
                "drop": layer.output.dropout,
                "norm": layer.output.LayerNorm,
            }
        )


def _buckets(length: int, device: torch.device) -> Tensor:
    """(length, length): the row of the table for a unit and what it reads."""
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

    places = torch.arange(length, device=device)
    return MPNetEncoder.relative_position_bucket(places[None, :] - places[:, None])
