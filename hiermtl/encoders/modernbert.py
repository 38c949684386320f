"""ModernBERT: pre-norm blocks, rotary positions, most layers reading a window only.

Source: Warner et al. 2024 (ModernBERT), section 2.1, through the layers of the transformers
library. Pre-norm: the states are sums that no norm has seen, so that each tap has a copy of the
library's last norm.
"""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiermtl.encoders.attention import attend
from hiermtl.encoders.pretrained import PretrainedEncoder, TransformerBlock
from hiermtl.records import Layout


class ModernBertBlock(TransformerBlock):
    """Attention and gated feed-forward, each on a normalised input and added to the states."""

    dense = ("projected", "made")

    def __init__(self, parts: nn.ModuleDict, config: Any, *, depth: int, extra_width: int) -> None:
        """Takes `qkv`, `out`, `out_drop`, `inner`, `drop`, `outer`, `norm`, and `attention_norm`.

        The last is missing at depth 1, which reads the normalised embedding.
        """
        super().__init__(parts, width=config.hidden_size, extra_width=extra_width)
        from transformers.activations import ACT2FN

        self.heads, self.attention_dropout = config.num_attention_heads, config.attention_dropout
        self.activation = ACT2FN[config.hidden_activation]
        self.kind = config.layer_types[depth - 1]
        self.window = config.sliding_window if self.kind == "sliding_attention" else None
        # Made when it is needed and kept in a list, so that it is no part of the model: it holds
        # nothing that is trained, and loading a model makes its parts without their values.
        self._config, self._rotary = config, []

    def step(self, values: Tensor, layout: Layout) -> Tensor:
        """Shapes: as `TransformerBlock.step`."""
        query, key, value = self.projected(values)
        query, key = self._turned(query, key, layout)
        dropout = self.attention_dropout if self.training else 0.0
        read = attend(query, key, value, layout, self.heads, dropout, self._bias(layout))
        return self.made(values, read)

    def projected(self, values: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values, (units, width) each."""
        parts = self.parts
        normed = parts["attention_norm"](values) if "attention_norm" in parts else values
        return parts["qkv"](normed).chunk(3, dim=-1)

    def made(self, values: Tensor, read: Tensor) -> Tensor:
        """The block's states, of those below and what attention reads, (units, width) each."""
        parts = self.parts
        values = values + parts["out_drop"](parts["out"](read))
        made, gate = parts["inner"](parts["norm"](values)).chunk(2, dim=-1)
        return values + parts["outer"](parts["drop"](self.activation(made) * gate))

    def _turned(self, query: Tensor, key: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Query and key turned by their places in their rows."""
        cos, sin = layout.cached(("rotary", self.kind), lambda: self._angles(query, layout))
        half = query.dtype in (torch.bfloat16, torch.float16)

        def turn(values: Tensor) -> Tensor:
            parted = values.view(len(values), self.heads, -1)
            parted = parted.float() if half else parted
            left, right = parted.chunk(2, dim=-1)
            turned = parted * cos + torch.cat([-right, left], dim=-1) * sin
            return turned.to(values.dtype).view(values.shape)

        return turn(query), turn(key)

    def _angles(self, like: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """(units, 1, width of a head) cosines and sines."""
        stride = layout.padded
        lengths = layout.tensor("row_lengths")
        if stride:
            places = torch.arange(stride, device=like.device).repeat(layout.rows)
        else:
            starts = layout.tensor("row_starts").repeat_interleave(lengths)
            places = torch.arange(len(starts), device=like.device) - starts
            places = F.pad(places, (0, layout.units - len(starts)))
        if not self._rotary:
            self._rotary.append(_rotary(self._config))
        cos, sin = self._rotary[0](like, places[None], self.kind)
        return cos[0][:, None], sin[0][:, None]

    def _bias(self, layout: Layout) -> Any:
        window = self.window
        if window is None:
            return None

        def bias(length: int) -> Tensor:
            return layout.cached(("window", length), lambda: _window(length, window, layout.device))

        return bias


class ModernBertEncoder(PretrainedEncoder):
    """ModernBERT of any size."""

    family = "modernbert"
    model = "ModernBertModel"
    dropouts = ("embedding_dropout", "attention_dropout", "mlp_dropout")

    @classmethod
    def parts(cls, model: Any, depth: int) -> nn.ModuleDict:
        """See `PretrainedEncoder.parts`."""
        if not depth:
            own = model.embeddings
            return nn.ModuleDict(
                {"pieces": own.tok_embeddings, "norm": own.norm, "dropout": own.drop}
            )
        layer = model.layers[depth - 1]
        found = {
            "attention_norm": layer.attn_norm,
            "qkv": layer.attn.Wqkv,
            "out": layer.attn.Wo,
            "out_drop": layer.attn.out_drop,
            "norm": layer.mlp_norm,
            "inner": layer.mlp.Wi,
            "drop": layer.mlp.drop,
            "outer": layer.mlp.Wo,
        }
        if isinstance(layer.attn_norm, nn.Identity):
            del found["attention_norm"]
        return nn.ModuleDict(found)

    def make_block(self, parts: nn.ModuleDict, depth: int, *, extra_width: int) -> ModernBertBlock:
        """See `PretrainedEncoder.make_block`."""
        return ModernBertBlock(parts, self._config, depth=depth, extra_width=extra_width)

    def tap_norm(self) -> nn.Module:
        """A copy of the library's last norm, or a new one."""
        if self._source is not None:
            return copy.deepcopy(self._source.get_submodule("final_norm"))
        config = self._config
        return nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.norm_bias)


def _rotary(config: Any) -> nn.Module:
    """The library's angles of rotary positions."""
    from transformers.models.modernbert.modeling_modernbert import ModernBertRotaryEmbedding

    return ModernBertRotaryEmbedding(config)


def _window(length: int, window: int, device: torch.device) -> Tensor:
    """(1, length, length): 0 within the window on either side, -inf outside."""
    places = torch.arange(length, device=device)
    far = (places[:, None] - places[None, :]).abs() > window
    return torch.zeros(far.shape, device=device).masked_fill(far, float("-inf"))[None]
