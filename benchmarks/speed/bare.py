"""The encoder alone: what annotation and training are measured against.

It gets the very batches that the package made, ready on the device: no tokenization, no sorting, no
heads. There are two of them, with the same weights: the blocks the package steps through, and the
transformers library's own model on padded rows.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from hiermtl.encoders.bert import BertEncoder
from hiermtl.errors import ModelError
from hiermtl.model import HierarchicalModel
from hiermtl.records import Batch, Layout
from hiermtl.sharing.base import SHARED

LEFT_OUT = ("family", "model_type", "casing", "word_dropout", "mask")
"""Keys of an encoder's config that the library's own does not have; it reads no casing."""

CLASSES = 17
"""Of the one linear layer that bare training has; as many as there are parts of speech."""


class Blocks(nn.Module):
    """Embedding and the first blocks of a model, without heads; it shares the model's weights."""

    def __init__(self, model: HierarchicalModel, depth: int) -> None:
        """Takes a model with one stream of states."""
        super().__init__()
        self.embedding = model.stack.embedding(SHARED)
        self.blocks = nn.ModuleList(model.stack.block(k, SHARED) for k in range(1, depth + 1))

    def forward(self, rows: "Rows") -> Tensor:
        """(units, width) of the last block."""
        states = self.embedding(rows.inputs, rows.layout)
        for block in self.blocks:
            states = block(states, rows.layout)
        return states


def bert_config(model: HierarchicalModel) -> BertConfig:
    """The library's config of a model's encoder.

    Raises:
        ModelError: The encoder is of another family.
    """
    config = model.config.encoder
    if config.get("family") != "bert":
        raise ModelError(
            f"the encoder is of family {config.get('family')!r}; only one of family 'bert' can be "
            "set against the library's own model"
        )
    return BertConfig(**{k: v for k, v in config.items() if k not in LEFT_OUT})


class Library(nn.Module):
    """The library's own model, with a copy of the weights of the model's blocks."""

    def __init__(self, model: HierarchicalModel, depth: int) -> None:
        """Takes a model with one stream of states of the BERT family."""
        super().__init__()
        config = bert_config(model)
        config.num_hidden_layers = depth
        self.bert = BertModel(config, add_pooling_layer=False)
        for k in range(depth + 1):
            own: Any = model.stack.block(k, SHARED) if k else model.stack.embedding(SHARED)
            for name, part in BertEncoder.parts(self.bert, k).items():
                part.load_state_dict(own.parts[name].state_dict())

    def forward(self, rows: "Rows") -> Tensor:
        """(units, width) of the last layer; the rows must be padded."""
        shape = (rows.layout.rows, rows.layout.padded)
        ids = rows.inputs["ids"].view(shape)
        return self.bert(input_ids=ids, attention_mask=rows.mask).last_hidden_state.flatten(0, 1)


@dataclass(frozen=True, eq=False, slots=True)
class Rows:
    """What an encoder reads: a batch's inputs and layout; `mask` (rows, length) if it is padded."""

    inputs: dict[str, Tensor]
    layout: Layout
    mask: Tensor | None = None

    @property
    def real(self) -> Tensor | slice:
        """Which units are no padding."""
        return slice(None) if self.mask is None else self.mask.flatten().bool()


def flat_rows(batch: Batch) -> Rows:
    """The rows of a batch as they lie."""
    return Rows(dict(batch.inputs), batch.layout)


def padded_rows(rows: Rows) -> Rows:
    """The same rows, each padded to the longest."""
    layout = rows.layout
    lengths = layout.row_lengths.tolist()
    longest = max(lengths)
    inputs = {
        name: nn.utils.rnn.pad_sequence(
            list(values[: sum(lengths)].split(lengths)), batch_first=True
        ).flatten()
        for name, values in rows.inputs.items()
    }
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    padded = replace(
        layout,
        row_starts=np.arange(len(lengths)) * longest,
        units=len(lengths) * longest,
        padded=longest,
        _cache={},
    )
    return Rows(inputs, padded, mask.long().to(layout.device))


def naive_rows(rows: Iterable[Sequence[int]], size: int, like: Layout) -> list[Rows]:
    """Rows of piece ids in the order given, `size` to a batch, padded."""
    rows = [torch.tensor(row) for row in rows]
    batches = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        lengths = np.array([len(row) for row in part])
        ids = torch.cat(part).to(like.device)
        layout = replace(like, row_lengths=lengths, padded=0, _cache={})
        batches.append(padded_rows(Rows({"ids": ids}, layout)))
    return batches


def infer(encoder: nn.Module, batches: Sequence[Rows]) -> Callable[[], None]:
    """A pass over the batches in evaluation mode."""

    def run() -> None:
        encoder.eval()
        with torch.inference_mode():
            for rows in batches:
                encoder(rows)

    return run


def check_agreement(blocks: Blocks, library: Library, rows: Rows) -> None:
    """Whether both compute the same states of flat rows, in fp32, casing aside.

    Raises:
        AssertionError: They do not, so that their times could not be compared.
    """
    padded = padded_rows(rows)
    casing = getattr(blocks.embedding, "casing", None)
    kept = None if casing is None else casing.weight.detach().clone()
    with torch.no_grad():
        if casing is not None:
            casing.weight.zero_()
        theirs = library.eval()(padded)[padded.real]
        own = blocks.eval()(rows)[: len(theirs)]
        if casing is not None:
            casing.weight.copy_(kept)
    torch.testing.assert_close(theirs, own, rtol=1e-3, atol=1e-3)


class Training:
    """Forward, backward and update of an encoder with one linear layer, a step per batch."""

    def __init__(
        self, encoder: nn.Module, width: int, *, lr: float, dtype: str, device: torch.device
    ) -> None:
        """Takes the encoder; with `bf16` the products are computed in it and weights stay fp32."""
        self.encoder, self.dtype, self.device, self.lr = encoder, dtype, device, lr
        self.output = nn.Linear(width, CLASSES).to(device)
        self.optimizer: torch.optim.Optimizer | None = None

    def prepare(self) -> None:
        """An optimizer without memory."""
        parameters = [*self.encoder.parameters(), *self.output.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=self.lr, fused=True)

    def run(self, batches: Sequence[Rows]) -> None:
        """One step per batch; what is learned (the piece's number) does not matter."""
        assert self.optimizer is not None
        self.encoder.train()
        for rows in batches:
            self.optimizer.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == "bf16"):
                scores = self.output(self.encoder(rows)[rows.real])
            gold = rows.inputs["ids"][rows.real] % CLASSES
            F.cross_entropy(scores.float(), gold).backward()
            self.optimizer.step()


def operations(model: HierarchicalModel, batches: Iterable[Rows], depth: int) -> float:
    """Floating-point operations of the matrix products in a forward pass through `depth` blocks.

    Padding is not counted; embeddings, norms and activations are not either.
    """
    config = bert_config(model)
    width, inner = config.hidden_size, config.intermediate_size
    total = 0.0
    for rows in batches:
        lengths = rows.layout.row_lengths.astype(np.float64)
        total += float((lengths * (8 * width * width + 4 * width * inner)).sum())
        total += float((4 * lengths * lengths * width).sum())
    return total * depth
