"""BERT and the families that have its blocks: RoBERTa, XLM-RoBERTa, CamemBERT, ELECTRA.

Source: Devlin et al. 2019 (BERT); Liu et al. 2019 (RoBERTa); Conneau et al. 2020 (XLM-R); Martin et
al. 2020 (CamemBERT); Clark et al. 2020 (ELECTRA); through the layers of the transformers library.
Departs: rows may lie end to end without padding (`hiermtl.records.Layout`).
"""

from typing import Any

from torch import nn

from hiermtl.encoders.pretrained import PieceEmbedding, PretrainedEncoder, embedding_parts


class BertEncoder(PretrainedEncoder):
    """BERT of any size."""

    family = "bert"
    model = "BertModel"

    @classmethod
    def parts(cls, model: Any, depth: int) -> nn.ModuleDict:
        """See `PretrainedEncoder.parts`."""
        if not depth:
            return embedding_parts(model.embeddings)
        layer = model.encoder.layer[depth - 1]
        return nn.ModuleDict(
            {
                "query": layer.attention.self.query,
                "key": layer.attention.self.key,
                "value": layer.attention.self.value,
                "out": layer.attention.output.dense,
                "attention_drop": layer.attention.output.dropout,
                "attention_norm": layer.attention.output.LayerNorm,
                "inner": layer.intermediate.dense,
                "outer": layer.output.dense,
                "drop": layer.output.dropout,
                "norm": layer.output.LayerNorm,
            }
        )


class RobertaEncoder(BertEncoder):
    """RoBERTa: positions are counted from behind the padding's."""

    family = "roberta"
    model = "RobertaModel"

    @classmethod
    def row_limit(cls, config: Any) -> int:
        """The most units in a row."""
        return config.max_position_embeddings - config.pad_token_id - 1

    @classmethod
    def make_embedding(cls, parts: nn.ModuleDict, **own: Any) -> PieceEmbedding:
        """See `PretrainedEncoder.make_embedding`."""
        positions = parts["positions"]
        assert isinstance(positions, nn.Embedding)
        assert positions.padding_idx is not None
        return PieceEmbedding(parts, first_position=positions.padding_idx + 1, **own)


class XlmRobertaEncoder(RobertaEncoder):
    """XLM-RoBERTa: RoBERTa of 100 languages."""

    family = "xlm-roberta"
    model = "XLMRobertaModel"


class CamembertEncoder(RobertaEncoder):
    """CamemBERT: RoBERTa of French."""

    family = "camembert"
    model = "CamembertModel"


class ElectraEncoder(BertEncoder):
    """ELECTRA: embeddings may be narrower than the blocks, and are projected at their end."""

    family = "electra"
    model = "ElectraModel"

    @classmethod
    def parts(cls, model: Any, depth: int) -> nn.ModuleDict:
        """See `PretrainedEncoder.parts`."""
        found = super().parts(model, depth)
        if not depth and hasattr(model, "embeddings_project"):
            found["outer"] = model.embeddings_project
        return found
