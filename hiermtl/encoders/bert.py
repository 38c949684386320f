"""The BERT family of transformers, stepped block by block.

Source: Devlin et al. 2019 (BERT), through the layers of the transformers library. Departs: rows may
lie end to end without padding (`hiermtl.records.Layout`). The states at depth k equal the library's
`hidden_states[k]`. Post-norm: each block ends in its own LayerNorm, so that a tap needs none.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hiermtl.dropout import replace_dropout
from hiermtl.encoders.attention import attend
from hiermtl.encoders.base import Block, Embedding, Encoder
from hiermtl.records import Layout
from hiermtl.text.casing import CASINGS


class BertEmbedding(Embedding):
    """Sum of piece, position and segment vectors, normalised; with `casing`, of casing vectors too.

    Not in the paper: the casing vectors, which start at zero, where the embedding is the pretrained
    one; and words hidden in training, a share `word_dropout` of them, as Kondratyuk and Straka 2019
    (75 Languages, 1 Model) hide pieces.
    """

    def __init__(self, source: nn.Module, *, casing: bool, word_dropout: float, mask: int) -> None:
        """Takes over the parts of a transformers `BertEmbeddings`; `mask` is the id of its mask."""
        super().__init__()
        self.word_dropout, self.mask = word_dropout, mask
        self.pieces = source.get_submodule("word_embeddings")
        self.positions = source.get_submodule("position_embeddings")
        self.segments = source.get_submodule("token_type_embeddings")
        self.norm = source.get_submodule("LayerNorm")
        self.dropout = source.get_submodule("dropout")
        self.casing: nn.Embedding | None = None
        if casing:
            width = self.norm.get_parameter("weight").shape[0]
            start = torch.zeros(len(CASINGS), width)
            self.casing = nn.Embedding.from_pretrained(start, freeze=False)
        replace_dropout(self)

    def forward(self, inputs: Mapping[str, Tensor], layout: Layout) -> Tensor:
        """Shapes: `ids`, `positions` and, if it was asked for, `casing` (units,).

        Returns (units, width).
        """
        states = self.pieces(self._seen(inputs["ids"], layout)) + self.positions(
            inputs["positions"]
        )
        if self.casing is not None:
            states = states + self.casing(inputs["casing"])
        states = states + self.segments.get_parameter("weight")[0]
        return self.dropout(self.norm(states))

    def _seen(self, ids: Tensor, layout: Layout) -> Tensor:
        """The piece ids, in training with the mask for all pieces of some words."""
        if not self.training or not self.word_dropout:
            return ids
        hidden = torch.rand(layout.words, device=ids.device) < self.word_dropout
        pieces = hidden.index_select(0, layout.tensor("scatter_words"))
        return ids.index_fill(0, layout.tensor("scatter_units")[pieces], self.mask)


class BertBlock(Block):
    """One transformer layer; further inputs are added through a projection that starts at zero.

    Not in the paper: the projection. At zero the block is the pretrained one, bit for bit.
    """

    def __init__(
        self, layer: nn.Module, heads: int, *, attention_dropout: float, extra_width: int
    ) -> None:
        """Takes over the parts of a transformers `BertLayer`."""
        super().__init__()
        self.attention, self.intermediate, self.output = (
            layer.get_submodule(name) for name in ("attention", "intermediate", "output")
        )
        replace_dropout(self)
        self.heads, self.attention_dropout = heads, attention_dropout
        self.extra: nn.Linear | None = None
        if extra_width:
            width = self.attention.get_parameter("self.query.weight").shape[1]
            self.extra = nn.Linear(extra_width, width, bias=False)
            nn.init.zeros_(self.extra.weight)

    def forward(self, values: Tensor, layout: Layout, extra: Tensor | None = None) -> Tensor:
        """Shapes: as `Block.forward`."""
        if self.extra is not None and extra is not None:
            values = values + self.extra(extra)
        own = self.attention.get_submodule("self")
        query, key, value = (own.get_submodule(name)(values) for name in ("query", "key", "value"))
        dropout = self.attention_dropout if self.training else 0.0
        read = attend(query, key, value, layout, self.heads, dropout)
        values = self.attention.get_submodule("output")(read, values)
        return self.output(self.intermediate(values), values)


class BertEncoder(Encoder):
    """BERT of any size; `widths` are all the hidden size."""

    family = "bert"

    def __init__(
        self,
        config: Any,
        source: nn.Module | None = None,
        *,
        casing: bool = False,
        word_dropout: float = 0.0,
        mask: int = 0,
    ) -> None:
        """Takes a `BertConfig` and, for pretrained weights, the `BertModel` that holds them.

        `casing`: whether its tokenizer says how words are capitalised. `word_dropout`: the share of
        words that training reads as `mask`, a piece's id.
        """
        self._config, self._source = config, source
        self._own = {"casing": casing, "word_dropout": word_dropout, "mask": mask}
        self.widths = (config.hidden_size,) * (config.num_hidden_layers + 1)
        self.limit = config.max_position_embeddings

    def embedding(self) -> BertEmbedding:
        """A copy of the pretrained embedding, or a new one."""
        from transformers.models.bert.modeling_bert import BertEmbeddings

        if self._source is not None:
            source = copy.deepcopy(self._source.get_submodule("embeddings"))
        else:
            source = self._initialised(BertEmbeddings(self._config))
        return BertEmbedding(source, **self._own)

    def block(self, depth: int, extra_width: int = 0) -> BertBlock:
        """A copy of the pretrained layer, or a new one."""
        from transformers.models.bert.modeling_bert import BertLayer

        if self._source is not None:
            layer = copy.deepcopy(self._source.get_submodule(f"encoder.layer.{depth - 1}"))
        else:
            layer = self._initialised(BertLayer(self._config))
        return BertBlock(
            layer,
            self._config.num_attention_heads,
            attention_dropout=self._config.attention_probs_dropout_prob,
            extra_width=extra_width,
        )

    def _initialised(self, module: nn.Module) -> nn.Module:
        """Weights as the library draws them: normal with the config's spread, biases 0, norms 1."""
        for part in module.modules():
            if isinstance(part, nn.Linear | nn.Embedding):
                nn.init.normal_(part.weight, std=self._config.initializer_range)
            if isinstance(part, nn.Linear) and part.bias is not None:
                nn.init.zeros_(part.bias)
            if isinstance(part, nn.Embedding) and part.padding_idx is not None:
                with torch.no_grad():
                    part.weight[part.padding_idx].zero_()
        return module

    def config(self) -> dict[str, Any]:
        """The transformers config as plain data, with `family`."""
        return {"family": self.family, **self._own, **self._config.to_diff_dict()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "BertEncoder":
        """An encoder with weights from scratch."""
        from transformers import BertConfig

        given = {k: v for k, v in config.items() if k not in ("family", "model_type")}
        own = {k: given.pop(k) for k in ("casing", "word_dropout", "mask") if k in given}
        return cls(BertConfig(**given), **own)
