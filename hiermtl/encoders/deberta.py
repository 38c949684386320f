"""DeBERTa of the second and third version: attention with content and position apart.

Source: He et al. 2021 (DeBERTa), section 3.1, equation 4; He, Gao and Chen 2021 (DeBERTaV3);
through the layers of the transformers library. Departs: the table of relative positions and its
norm, which the library's blocks share, are each block's own; the copies start equal. Of the table
only the rows that a row's length can meet are projected.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hiermtl.dropout import dropout
from hiermtl.encoders.attention import by_products, over_rows
from hiermtl.encoders.pretrained import (
    PostNormBlock,
    PretrainedEncoder,
    activation_of,
    embedding_parts,
)
from hiermtl.records import Layout


class DebertaBlock(PostNormBlock):
    """A post-norm block whose attention also scores content against relative position."""

    def __init__(self, parts: nn.ModuleDict, config: Any, *, extra_width: int) -> None:
        """Takes the parts of a post-norm block, and those of relative attention."""
        super().__init__(
            parts,
            heads=config.num_attention_heads,
            attention_dropout=config.attention_probs_dropout_prob,
            activation=activation_of(config),
            extra_width=extra_width,
        )
        self.kinds = tuple(getattr(config, "pos_att_type", None) or ())
        self.relative = "relative" in parts
        self.shared = bool(getattr(config, "share_att_key", False))
        self.buckets = getattr(config, "position_buckets", -1)
        furthest = getattr(config, "max_relative_positions", -1)
        self.furthest = furthest if furthest >= 1 else config.max_position_embeddings
        self.span = self.buckets if self.buckets > 0 else self.furthest
        from transformers.activations import ACT2FN

        self.conv_activation = ACT2FN[getattr(config, "conv_act", "tanh")]

    def step(self, values: Tensor, layout: Layout) -> Tensor:
        """Shapes: as `TransformerBlock.step`."""
        made = super().step(values, layout)
        if "conv" not in self.parts:
            return made
        parts = self.parts

        def convolve(given: Sequence[Tensor], real: Tensor | None) -> Tensor:
            states = given[0] if real is None else given[0] * real.unsqueeze(-1)
            return parts["conv"](states.transpose(1, 2)).transpose(1, 2)

        near = self.conv_activation(parts["conv_drop"](over_rows(layout, [values], convolve)))
        return parts["conv_norm"](made + near)

    def read(self, values: Tensor, layout: Layout) -> Tensor:
        """What attention reads, (units, width)."""
        query, key, value = self.projected(values)
        table = self._table() if self.relative else None

        def compute(given: Sequence[Tensor], real: Tensor | None) -> Tensor:
            rows, length, width = given[0].shape
            q, k, v = (x.view(rows, length, self.heads, -1).transpose(1, 2) for x in given)
            scale = (q.shape[-1] * (1 + ("c2p" in self.kinds) + ("p2c" in self.kinds))) ** -0.5
            scores = (q @ k.transpose(-1, -2)) * scale
            if table is not None:
                scores = scores + self._by_position(q, k, table, layout) * scale
            if real is not None:
                lowest = torch.finfo(scores.dtype).min
                scores = scores.masked_fill(~real[:, None, None, :], lowest)
            weights = dropout(
                scores.softmax(-1).to(v.dtype), self.attention_dropout, training=self.training
            )
            return (weights @ v).transpose(1, 2).reshape(rows, length, width)

        return over_rows(layout, [query, key, value], compute, wide=by_products(query, layout))

    def _table(self) -> Tensor:
        """(twice the span, width) vectors of relative positions."""
        parts = self.parts
        table = parts["relative"].get_parameter("weight")
        if "relative_norm" in parts:
            table = parts["relative_norm"](table)
        return parts["relative_drop"](table)

    def _by_position(self, query: Tensor, key: Tensor, table: Tensor, layout: Layout) -> Tensor:
        """(rows, heads, length, length): content to position and position to content, unscaled."""
        length, parts = query.shape[-2], self.parts
        forth, back, first, last = layout.cached(
            ("deberta", length, self.span, self.furthest, self.buckets),
            lambda: self._places(length, query.device),
        )
        near = table[first:last]

        def projected(name: str) -> Tensor:
            return parts[name](near).view(last - first, self.heads, -1).transpose(0, 1)

        scores = query.new_zeros(())
        shape = (*query.shape[:-1], length)
        if "c2p" in self.kinds:
            to = query @ projected("key" if self.shared else "position_key").transpose(-1, -2)
            scores = scores + to.gather(-1, forth.expand(shape))
        if "p2c" in self.kinds:
            to = key @ projected("query" if self.shared else "position_query").transpose(-1, -2)
            scores = scores + to.gather(-1, back.expand(shape)).transpose(-1, -2)
        return scores

    def _places(self, length: int, device: torch.device) -> tuple[Tensor, Tensor, int, int]:
        """Rows of the table, (length, length) each way, counted from the first that is met."""
        from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

        places = torch.arange(length, device=device)
        distance = places[:, None] - places[None, :]
        if self.buckets > 0 and self.furthest > 0:
            distance = make_log_bucket_position(distance, self.buckets, self.furthest).long()
        forth, back = (
            (sign * distance + self.span).clamp(0, 2 * self.span - 1) for sign in (1, -1)
        )
        first = int(torch.minimum(forth.min(), back.min()))
        last = int(torch.maximum(forth.max(), back.max())) + 1
        return forth - first, back - first, first, last


class DebertaEncoder(PretrainedEncoder):
    """DeBERTa v2 and v3 of any size."""

    family = "deberta-v2"
    model = "DebertaV2Model"

    @classmethod
    def parts(cls, model: Any, depth: int) -> nn.ModuleDict:
        """See `PretrainedEncoder.parts`."""
        if not depth:
            return embedding_parts(model.embeddings)
        encoder = model.encoder
        layer = encoder.layer[depth - 1]
        own = layer.attention.self
        found = {
            "query": own.query_proj,
            "key": own.key_proj,
            "value": own.value_proj,
            "out": layer.attention.output.dense,
            "attention_drop": layer.attention.output.dropout,
            "attention_norm": layer.attention.output.LayerNorm,
            "inner": layer.intermediate.dense,
            "outer": layer.output.dense,
            "drop": layer.output.dropout,
            "norm": layer.output.LayerNorm,
        }
        if encoder.relative_attention:
            found |= {"relative": encoder.rel_embeddings, "relative_drop": own.pos_dropout}
            if "layer_norm" in encoder.norm_rel_ebd:
                found["relative_norm"] = encoder.LayerNorm
            for name, part in (
                ("position_key", "pos_key_proj"),
                ("position_query", "pos_query_proj"),
            ):
                if hasattr(own, part):
                    found[name] = getattr(own, part)
        if depth == 1 and encoder.conv is not None:
            found |= {
                "conv": encoder.conv.conv,
                "conv_drop": encoder.conv.dropout,
                "conv_norm": encoder.conv.LayerNorm,
            }
        return nn.ModuleDict(found)

    def make_block(self, parts: nn.ModuleDict, depth: int, *, extra_width: int) -> DebertaBlock:
        """See `PretrainedEncoder.make_block`."""
        return DebertaBlock(parts, self._config, extra_width=extra_width)
