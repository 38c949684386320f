"""DistilBERT: BERT's blocks, half as many, without segments.

Source: Sanh et al. 2019 (DistilBERT), through the layers of the transformers library.
"""

from typing import Any

from torch import nn

from hiermtl.encoders.pretrained import (
    PieceEmbedding,
    PostNormBlock,
    PretrainedEncoder,
    activation_of,
)


class DistilBertEncoder(PretrainedEncoder):
    """DistilBERT of any size."""

    family = "distilbert"
    model = "DistilBertModel"
    dropouts = ("dropout", "attention_dropout")

    @classmethod
    def parts(cls, model: Any, depth: int) -> nn.ModuleDict:
        """See `PretrainedEncoder.parts`."""
        if not depth:
            own = model.embeddings
            return nn.ModuleDict(
                {
                    "pieces": own.word_embeddings,
                    "positions": own.position_embeddings,
                    "norm": own.LayerNorm,
                    "dropout": own.dropout,
                }
            )
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

    @classmethod
    def make_embedding(cls, parts: nn.ModuleDict, **own: Any) -> PieceEmbedding:
        """See `PretrainedEncoder.make_embedding`."""
        return PieceEmbedding(parts, **own)

    def make_block(self, parts: nn.ModuleDict, depth: int, *, extra_width: int) -> PostNormBlock:
        """See `PretrainedEncoder.make_block`."""
        return PostNormBlock(
            parts,
            heads=self._config.n_heads,
            attention_dropout=self._config.attention_dropout,
            activation=activation_of(self._config),
            extra_width=extra_width,
        )
