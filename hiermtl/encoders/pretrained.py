"""What the families of transformers encoders have in common.

Each family wraps the parts of the library's own layers, so that pretrained weights are taken over
as they are; the states at depth k equal the library's `hidden_states[k]`.
"""

import copy
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from hiermtl.dropout import replace_dropout
from hiermtl.encoders.attention import attend
from hiermtl.encoders.base import Block, Embedding, Encoder
from hiermtl.encoders.lora import adapter_from_config, weight_of
from hiermtl.records import Layout
from hiermtl.text.casing import CASINGS

OWN = ("casing", "word_dropout", "mask", "adapter")
"""Keys of an encoder's config that are not the library's."""


class PieceEmbedding(Embedding):
    """Sum of piece, position and segment vectors, normalised; with `casing`, of casing vectors too.

    Not in the papers: the casing vectors, which start at zero, where the embedding is the
    pretrained one; and words hidden in training, a share `word_dropout` of them, as Kondratyuk and
    Straka 2019 (75 Languages, 1 Model) hide pieces.
    """

    def __init__(
        self,
        parts: nn.ModuleDict,
        *,
        casing: bool,
        word_dropout: float,
        mask: int,
        first_position: int = 0,
    ) -> None:
        """Takes `pieces` and `norm`, and what there is of the other parts.

        These are `positions`, counted from `first_position`, `segments`, `dropout`, `inner` (a
        projection before the norm) and `outer` (one at the end).
        """
        super().__init__()
        self.parts = parts
        self.word_dropout, self.mask, self.first_position = word_dropout, mask, first_position
        self.casing: nn.Embedding | None = None
        if casing:
            width = parts["norm"].get_parameter("weight").shape[0]
            start = torch.zeros(len(CASINGS), width)
            self.casing = nn.Embedding.from_pretrained(start, freeze=False)

    def forward(self, inputs: Mapping[str, Tensor], layout: Layout) -> Tensor:
        """Shapes: `ids`, `positions` and, if it was asked for, `casing` (units,).

        Returns (units, width).
        """
        parts = self.parts
        states = parts["pieces"](self._seen(inputs["ids"], layout))
        if "positions" in parts:
            states = states + parts["positions"](inputs["positions"] + self.first_position)
        if "segments" in parts:
            states = states + parts["segments"].get_parameter("weight")[0]
        if "inner" in parts:
            states = parts["inner"](states)
        if self.casing is not None:
            states = states + self.casing(inputs["casing"])
        states = parts["dropout"](parts["norm"](states))
        return parts["outer"](states) if "outer" in parts else states

    def _seen(self, ids: Tensor, layout: Layout) -> Tensor:
        """The piece ids, in training with the mask for all pieces of some words."""
        if not self.training or not self.word_dropout:
            return ids
        hidden = torch.rand(layout.words, device=ids.device) < self.word_dropout
        pieces = hidden.index_select(0, layout.tensor("scatter_words"))
        return ids.index_fill(0, layout.tensor("scatter_units")[pieces], self.mask)


class TransformerBlock(Block):
    """What blocks of all families do alike: further inputs, added through a projection.

    Not in the papers: the projection. It starts at zero, where the block is the pretrained one, bit
    for bit.
    """

    def __init__(self, parts: nn.ModuleDict, *, width: int, extra_width: int) -> None:
        """Takes the modules of the layer."""
        super().__init__()
        self.parts = parts
        self.extra: nn.Linear | None = None
        if extra_width:
            self.extra = nn.Linear(extra_width, width, bias=False)
            nn.init.zeros_(self.extra.weight)

    def forward(self, values: Tensor, layout: Layout, extra: Tensor | None = None) -> Tensor:
        """Shapes: as `Block.forward`."""
        if self.extra is not None and extra is not None:
            values = values + self.extra(extra)
        return self.step(values, layout)

    def writes(self) -> Sequence[Tensor]:
        """What attention and feed-forward add to the states."""
        return [weight_of(self.parts[name]) for name in ("out", "outer")]

    @abstractmethod
    def step(self, values: Tensor, layout: Layout) -> Tensor:
        """(units, width) to (units, width)."""


class PostNormBlock(TransformerBlock):
    """Attention and feed-forward, each added to its input and then normalised.

    Source: Vaswani et al. 2017 (Attention Is All You Need), section 3.1. A tap needs no norm.
    """

    dense = ("projected", "made")

    def __init__(
        self,
        parts: nn.ModuleDict,
        *,
        heads: int,
        attention_dropout: float,
        activation: Callable[[Tensor], Tensor],
        extra_width: int,
    ) -> None:
        """Takes `query`, `key`, `value`, `out`, `attention_norm`, `inner`, `outer` and `norm`.

        And `drop` of what is added and, where the layer has it, `attention_drop`.
        """
        width = parts["norm"].get_parameter("weight").shape[0]
        super().__init__(parts, width=width, extra_width=extra_width)
        self.heads, self.attention_dropout, self.activation = heads, attention_dropout, activation

    def step(self, values: Tensor, layout: Layout) -> Tensor:
        """Shapes: as `TransformerBlock.step`."""
        return self.made(values, self.read(values, layout))

    def projected(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (units, width) each."""
        parts = self.parts
        return parts["query"](values), parts["key"](values), parts["value"](values)

    def made(self, values: Tensor, read: Tensor) -> Tensor:
        """The block's states, of those below and what attention reads, (units, width) each."""
        parts = self.parts
        read = parts["out"](read)
        if "attention_drop" in parts:
            read = parts["attention_drop"](read)
        values = parts["attention_norm"](read + values)
        made = parts["outer"](self.activation(parts["inner"](values)))
        return parts["norm"](parts["drop"](made) + values)

    def read(self, values: Tensor, layout: Layout) -> Tensor:
        """What attention reads, (units, width)."""
        dropout = self.attention_dropout if self.training else 0.0
        query, key, value = self.projected(values)
        return attend(query, key, value, layout, self.heads, dropout, self.bias(layout))

    def bias(self, layout: Layout) -> Callable[[int], Tensor] | None:
        """What is added to the scores of attention, for a row length; see `attend`."""
        return None


class PretrainedEncoder(Encoder):
    """An encoder whose blocks are layers of a transformers model."""

    model: ClassVar[str]
    """The name of the library's model class."""

    dropouts: ClassVar[tuple[str, ...]] = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    """The config's dropout rates: that of states first, then that of attention."""

    kind: ClassVar[type[PostNormBlock]] = PostNormBlock
    """The class of its blocks, where they are post-norm."""

    def __init__(
        self,
        config: Any,
        source: nn.Module | None = None,
        *,
        casing: bool = False,
        word_dropout: float = 0.0,
        mask: int = 0,
        adapter: Mapping[str, Any] | None = None,
    ) -> None:
        """Takes the library's config and, for pretrained weights, the model that holds them.

        `casing`: whether its tokenizer says how words are capitalised. `word_dropout`: the share of
        words that training reads as `mask`, a piece's id. `adapter`: what is trained in the place
        of its weights, see `hiermtl.encoders.lora`.
        """
        self._config, self._source = config, source
        self._own = {"casing": casing, "word_dropout": word_dropout, "mask": mask}
        self._adapter = None if adapter is None else adapter_from_config(adapter)
        self.widths = (config.hidden_size,) * (config.num_hidden_layers + 1)
        self.limit = self.row_limit(config)

    @classmethod
    def row_limit(cls, config: Any) -> int:
        """The most units in a row."""
        return config.max_position_embeddings

    def embedding(self) -> Embedding:
        """A copy of the pretrained embedding, or a new one."""
        embedding = self.make_embedding(self._parts(0), **self._own)
        if self._adapter is not None:
            self._adapter.hold(embedding)
        return embedding

    def block(self, depth: int, extra_width: int = 0) -> Block:
        """A copy of the pretrained layer, or a new one."""
        block = self.make_block(self._parts(depth), depth, extra_width=extra_width)
        if self._adapter is not None:
            self._adapter.adapt(block, self.family)
        return block

    def config(self) -> dict[str, Any]:
        """The transformers config as plain data, with `family`."""
        own: dict[str, Any] = dict(self._own)
        if self._adapter is not None:
            own["adapter"] = self._adapter.config()
        return {"family": self.family, **own, **self._config.to_diff_dict()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """An encoder with weights from scratch."""
        given = {key: value for key, value in config.items() if key not in ("family", "model_type")}
        own = {key: given.pop(key) for key in OWN if key in given}
        return cls(cls.library().config_class(**given), **own)

    @classmethod
    def library(cls) -> Any:
        """The library's model class."""
        import transformers

        return getattr(transformers, cls.model)

    @classmethod
    @abstractmethod
    def parts(cls, model: Any, depth: int) -> nn.ModuleDict:
        """The modules of a library model that make depth 0 (the embedding) or a block."""

    @classmethod
    def make_embedding(cls, parts: nn.ModuleDict, **own: Any) -> Embedding:
        """The embedding of these parts."""
        return PieceEmbedding(parts, **own)

    def make_block(self, parts: nn.ModuleDict, depth: int, *, extra_width: int) -> Block:
        """The block of these parts."""
        return self.kind(
            parts,
            heads=self._config.num_attention_heads,
            attention_dropout=getattr(self._config, self.dropouts[1]),
            activation=activation_of(self._config),
            extra_width=extra_width,
        )

    def _parts(self, depth: int) -> nn.ModuleDict:
        """Copies of the source's modules, or modules that are drawn as the library draws them."""
        source = self._source
        found = self._drawn(depth) if source is None else copy.deepcopy(self.parts(source, depth))
        replace_dropout(found)
        return found

    def _drawn(self, depth: int) -> nn.ModuleDict:
        """New modules; the rest of the library's model is never made."""
        with torch.device("meta"):
            model = self.library()._from_config(self._config)
        found = self.parts(model, depth).to_empty(device=torch.get_default_device())
        own = set(found.parameters())
        # The library draws some layers by what they are part of, innermost first.
        for module in reversed(list(model.modules())):
            parameters = set(module.parameters())
            if parameters and parameters <= own:
                model._init_weights(module)
        return found


def embedding_parts(embeddings: Any) -> nn.ModuleDict:
    """The parts of embeddings that are named as BERT's, as far as there are any."""
    names = {
        "pieces": "word_embeddings",
        "positions": "position_embeddings",
        "segments": "token_type_embeddings",
        "inner": "embed_proj",
        "norm": "LayerNorm",
        "dropout": "dropout",
    }
    found = {part: getattr(embeddings, name, None) for part, name in names.items()}
    return nn.ModuleDict({part: module for part, module in found.items() if module is not None})


def activation_of(config: Any) -> Callable[[Tensor], Tensor]:
    """The activation a config names."""
    from transformers.activations import ACT2FN

    return ACT2FN[getattr(config, "hidden_act", None) or config.activation]


__all__ = [
    "PieceEmbedding",
    "PostNormBlock",
    "PretrainedEncoder",
    "TransformerBlock",
    "activation_of",
    "embedding_parts",
]
