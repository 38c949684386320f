"""DistilBERT: BERT's blocks, half as many, without segments.

Source: Sanh et al. 2019 (DistilBERT), through the layers of the transformers library.
"""

from typing import Any

from torch import nn

from hiermtl.encoders.pretrained import PretrainedEncoder, embedding_parts


class DistilBertEncoder(PretrainedEncoder):
    """DistilBERT of any size."""

    family = "distilbert"
    model = "DistilBertModel"
    dropouts = ("dropout", "attention_dropout")

    @classmethod
    def parts(cls, model: Any, depth: int) -> nn.ModuleDict:
        """See `PretrainedEncoder.parts`."""
        if not depth:
            return embedding_parts(model.embeddings)
        layer = model.transformer.layer[depth - 1]
        return nn.ModuleDict(
            {
                "query": layer.attention.q_lin,
                "key": layer.attention.k_lin,
                "value": layer.attention.v_lin,
                "out": layer.attention.out_lin,
                "attention_norm": layer.sa_layer_norm,
                "inner": layer.ffn.lin1,
                "outer": layer.ffn.lin2,
                "drop": layer.ffn.dropout,
                "norm": layer.output_layer_norm,
            }
        )
