"""States of words at every depth, from one pass of an encoder that is not trained."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiermtl.encoders import Block, Embedding, Encoder
from hiermtl.errors import ModelError
from hiermtl.model import HierarchicalModel
from hiermtl.records import Batch, Example, Group
from hiermtl.tokens import Collator, Tokenizer

TOKENS = 4096
"""Pieces of a batch."""


@dataclass(frozen=True, eq=False, slots=True)
class FrozenEncoder:
    """One copy of an embedding and of each block, as they stand.

    `norm` is what a head reads states through, where blocks do not end in a norm; `pooling` how the
    pieces of a word become its vector. A model has a norm for each task then, of which this is the
    deepest one's: they differ in factors that probes do not see, whose states are standardised.
    """

    embedding: Embedding
    blocks: Sequence[Block]
    norm: nn.Module | None = None
    pooling: str = "first"

    @classmethod
    def of_encoder(cls, encoder: Encoder, *, pooling: str, device: str = "cpu") -> Self:
        """What a recipe starts from."""
        embedding, norm = encoder.embedding(), encoder.tap_norm()
        blocks = [encoder.block(depth) for depth in range(1, encoder.blocks + 1)]
        for part in (embedding, *blocks, *(() if norm is None else (norm,))):
            part.to(device).eval()
        return cls(embedding, blocks, norm, pooling)

    @classmethod
    def of_model(cls, model: HierarchicalModel) -> Self:
        """The blocks of a model, up to the deepest that one of its tasks is read at.

        Raises:
            ModelError: There are several copies of a block, or blocks read more than the states
                below, so that a word has no one state at a depth.
        """
        sharing, blocks = model.sharing, []
        for depth in range(model.stack.depth + 1):
            branches = list(sharing.branches(depth))
            extra = depth and (sharing.extra_width(depth) or sharing.sees(depth))
            if len(branches) > 1 or extra:
                raise ModelError(
                    f"sharing {sharing.name!r} has "
                    + (
                        f"{len(branches)} copies of block {depth}"
                        if len(branches) > 1
                        else f"a block {depth} that reads more than the states below"
                    )
                    + ", so that a word has no one state there; probe a model of low_supervision, "
                    "or the encoder that the recipe starts from (give the recipe's file)"
                )
            if depth:
                blocks.append(model.stack.block(depth, branches[0]))
        embedding = model.stack.embedding(next(iter(sharing.branches(0))))
        norms = [model.taps[name] for name in model.hierarchy.names if name in model.taps]
        return cls(embedding, blocks, norms[-1] if norms else None, model.config.pooling)

    @torch.no_grad()
    def states(self, batch: Batch) -> Tensor:
        """(depths, words, width): of the embedding and of each block; narrower ones end in 0."""
        layout = batch.layout
        values = self.embedding(batch.inputs, layout)
        found = [layout.gather(values, self.pooling)]
        for block in self.blocks:
            values = block(values, layout)
            words = layout.gather(values, self.pooling)
            found.append(words if self.norm is None else self.norm(words))
        width = max(words.shape[1] for words in found)
        return torch.stack([F.pad(words.float(), (0, width - words.shape[1])) for words in found])


@dataclass(frozen=True, eq=False, slots=True)
class States:
    """The states of sentences, and what is annotated on them.

    Shapes: values (depths, words, width) fp32, words of all sentences one after the other; starts
    (sentences + 1,) where those of each begin; keys (words,) the same for words of the same pieces.
    `examples` are the sentences, `groups` which of them are judged together, with their gold;
    `entries` (sentences,) of which entry each is a part.
    """

    values: Tensor
    starts: np.ndarray
    keys: np.ndarray
    examples: Sequence[Example]
    groups: Sequence[tuple[range, Mapping[str, int | float]]]
    entries: np.ndarray

    @property
    def depths(self) -> int:
        """The number of depths, 0 among them."""
        return len(self.values)

    def pooled(self) -> Tensor:
        """(depths, sentences, width): the mean over each sentence's words."""
        counts = np.diff(self.starts)
        owners = torch.from_numpy(np.repeat(np.arange(len(counts)), counts)).to(self.values.device)
        total = self.values.new_zeros(self.depths, len(counts), self.values.shape[2])
        total.index_add_(1, owners, self.values)
        return total / torch.from_numpy(counts).to(total)[:, None]


def read_states(
    encoder: FrozenEncoder,
    tokenizer: Tokenizer,
    entries: Iterable[Example | Group],
    *,
    device: str = "cpu",
    tokens_per_batch: int = TOKENS,
) -> States:
    """The states of these sentences, and of those of these groups, at every depth."""
    examples: list[Example] = []
    groups: list[tuple[range, Mapping[str, int | float]]] = []
    owners: list[int] = []
    for number, entry in enumerate(entries):
        parts = entry.examples if isinstance(entry, Group) else (entry,)
        if isinstance(entry, Group) and not entry.document:
            groups.append((range(len(examples), len(examples) + len(parts)), entry.gold))
        examples.extend(parts)
        owners += [number] * len(parts)
    starts = np.concatenate([[0], np.cumsum([len(e.piece_counts) for e in examples])])
    keys = np.zeros(int(starts[-1]), dtype=np.int64)
    collate = Collator(tokenizer, {}, device=device)
    values: Tensor | None = None
    for chosen in _batches([len(example.pieces) for example in examples], tokens_per_batch):
        batch = collate([examples[place] for place in chosen], ())
        found = encoder.states(batch)
        order = np.array(chosen)[batch.order].tolist()
        own = [np.arange(int(starts[at]), int(starts[at + 1])) for at in order]
        rows = np.concatenate(own)
        if values is None:
            values = found.new_zeros(len(found), int(starts[-1]), found.shape[2])
        values[:, torch.from_numpy(rows).to(values.device)] = found
        keys[rows] = batch.layout.word_keys
    assert values is not None, "there are examples"
    return States(values, starts, keys, examples, groups, np.array(owners))


def _batches(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Places of sentences of similar length, up to so many pieces together."""
    found: list[list[int]] = []
    size = 0
    for place in sorted(range(len(lengths)), key=lambda place: (lengths[place], place)):
        if not found or size + lengths[place] > most:
            found.append([])
            size = 0
        found[-1].append(place)
        size += lengths[place]
    return found
