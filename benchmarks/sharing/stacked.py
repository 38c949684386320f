"""Columns as stacked products: the same block of several tasks at once, against one by one.

The weights of the copies lie in one tensor from the start, which is what favours stacking most: the
package keeps each copy's weights by themselves, and would have to put them together in each step.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiermtl.dropout import dropout
from hiermtl.encoders import Block
from hiermtl.encoders.attention import attention_by_products, by_products, over_rows
from hiermtl.encoders.bilstm import BiLstmBlock, TimeSteps
from hiermtl.encoders.pretrained import PostNormBlock
from hiermtl.records import Batch, Layout

Values = Tensor | Sequence[Tensor]
"""The states of several columns, (columns, units, width) or (units, width) each."""


class Columns(nn.Module, ABC):
    """A block of several columns."""

    @abstractmethod
    def forward(self, values: Values, layout: Layout) -> Values:
        """To the states one depth further up."""


class Loop(Columns):
    """One column after the other, as the package computes them."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        """Takes the copies."""
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, values: Values, layout: Layout) -> Values:
        """As `Columns.forward`."""
        return [b(own, layout) for b, own in zip(self.blocks, values, strict=True)]


class StackedTransformer(Columns):
    """Batched products over the columns, attention over the rows of all of them at once."""

    def __init__(self, blocks: Sequence[PostNormBlock]) -> None:
        """Takes the copies, whose weights are put together."""
        super().__init__()
        first = self.first = blocks[0]
        self.eps: float = getattr(first.parts["norm"], "eps")  # noqa: B009 - typed as a module
        self.weights = nn.ParameterDict()
        for name, module in first.parts.items():
            for kind, value in module.named_parameters():
                copies = [block.parts[name].get_parameter(kind).detach() for block in blocks]
                whole = torch.stack(copies)
                whole = whole.mT.contiguous() if value.dim() > 1 else whole.unsqueeze(1)
                self.weights[f"{name}_{kind}"] = nn.Parameter(whole)

    def forward(self, values: Values, layout: Layout) -> Values:
        """As `Columns.forward`."""
        assert isinstance(values, Tensor)
        query, key, value = (self.linear(n, values) for n in ("query", "key", "value"))
        read = self.linear("out", self.attend(query, key, value, layout))
        values = self.norm("attention_norm", self.dropped(read, "attention_drop") + values)
        made = self.linear("outer", self.first.activation(self.linear("inner", values)))
        return self.norm("norm", self.dropped(made, "drop") + values)

    def linear(self, name: str, values: Tensor) -> Tensor:
        """A product for each column."""
        return torch.baddbmm(self.weights[f"{name}_bias"], values, self.weights[f"{name}_weight"])

    def norm(self, name: str, values: Tensor) -> Tensor:
        """All columns at once, then each with its own weights."""
        even = F.layer_norm(values, values.shape[-1:], eps=self.eps)
        return torch.addcmul(self.weights[f"{name}_bias"], even, self.weights[f"{name}_weight"])

    def dropped(self, values: Tensor, name: str) -> Tensor:
        """Dropout at the rate of the copies."""
        rate: float = self.first.parts[name].p if name in self.first.parts else 0.0
        return dropout(values, rate, training=self.training)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, layout: Layout) -> Tensor:
        """Of each column over its own rows."""
        heads, rate = self.first.heads, self.first.attention_dropout if self.training else 0.0
        products = by_products(query, layout)
        attention = attention_by_products if products else F.scaled_dot_product_attention

        def compute(parts: Sequence[Tensor], real: Tensor | None) -> Tensor:
            q, k, v = (x.unflatten(-1, (heads, -1)).movedim(1, -2) for x in parts)
            # (rows, heads, columns, length, ...) of (rows, length, columns, heads, ...)
            q, k, v = (x.movedim(2, 1) for x in (q, k, v))
            mask = None if real is None else real[:, None, None, None, :]
            out = attention(q, k, v, attn_mask=mask, dropout_p=rate)
            return out.movedim(1, 2).movedim(-2, 1).flatten(-2)

        given = [x.movedim(0, 1) for x in (query, key, value)]
        return over_rows(layout, given, compute, wide=products).movedim(1, 0)


class StackedLstm(Columns):
    """Both directions of all columns step by step, one product for all of them in each."""

    def __init__(self, blocks: Sequence[BiLstmBlock]) -> None:
        """Takes the copies, whose weights are put together."""
        super().__init__()
        self.rate = blocks[0].dropout.p
        lstms = [lstm for b in blocks for lstm in (b.left_to_right, b.right_to_left)]

        def whole(name: str) -> Tensor:
            return torch.stack([lstm.get_parameter(name).detach() for lstm in lstms])

        self.reads = nn.Parameter(whole("weight_ih_l0").mT.contiguous())
        self.remembers = nn.Parameter(whole("weight_hh_l0").mT.contiguous())
        self.bias = nn.Parameter((whole("bias_ih_l0") + whole("bias_hh_l0")).unsqueeze(1))

    def forward(self, values: Values, layout: Layout) -> Values:
        """As `Columns.forward`."""
        assert isinstance(values, Tensor)
        steps = layout.cached("time steps", lambda: TimeSteps.of(layout))
        values = dropout(values, self.rate, training=self.training)
        ways = [values.index_select(1, x) for x in (steps.units, steps.reversed_units)]
        # (columns and directions, length * rows, width)
        read = torch.stack(ways, 1).flatten(0, 1)
        gates = torch.baddbmm(self.bias, read, self.reads)
        hidden = cell = gates.new_zeros(len(gates), steps.rows, self.remembers.shape[1])
        states = []
        for now in gates.unflatten(1, (steps.length, steps.rows)).unbind(1):
            entry, kept, new, out = torch.baddbmm(now, hidden, self.remembers).chunk(4, -1)
            cell = kept.sigmoid() * cell + entry.sigmoid() * new.tanh()
            hidden = out.sigmoid() * cell.tanh()
            states.append(hidden)
        made = torch.stack(states, 1).flatten(1, 2).unflatten(0, (len(values), 2))
        places = (steps.places, steps.reversed_places)
        return torch.cat([made[:, n].index_select(1, own) for n, own in enumerate(places)], -1)


def stacked(blocks: Sequence[Block]) -> Columns:
    """The copies of one block as stacked products."""
    if all(isinstance(block, BiLstmBlock) for block in blocks):
        return StackedLstm([b for b in blocks if isinstance(b, BiLstmBlock)])
    return StackedTransformer([b for b in blocks if isinstance(b, PostNormBlock)])


class Steps:
    """Training steps of an embedding's states through columns: forward, backward, update."""

    def __init__(
        self,
        embedding: nn.Module,
        depths: Sequence[Columns],
        batches: Sequence[Batch],
        *,
        columns: int,
        half: bool,
    ) -> None:
        """Takes the columns by depth, and what they read."""
        self.embedding, self.batches, self.columns, self.half = embedding, batches, columns, half
        self.blocks = nn.ModuleList(depths).train()
        self.optimizer = torch.optim.AdamW(self.blocks.parameters(), lr=1e-6, fused=True)

    def run(self) -> None:
        """A step for each batch."""
        for batch in self.batches:
            self.optimizer.zero_grad(set_to_none=True)
            kind = batch.layout.device.type
            with torch.autocast(kind, torch.bfloat16, enabled=self.half):
                with torch.no_grad():
                    states: Tensor = self.embedding(batch.inputs, batch.layout)
                values: Values = states.expand(self.columns, *states.shape)
                for block in self.blocks:
                    values = block(values, batch.layout)
                loss = torch.stack([own.float().square().mean() for own in values]).sum()
            loss.backward()
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


WAYS: dict[str, Callable[[Sequence[Block]], Columns]] = {"one by one": Loop, "stacked": stacked}
"""Name -> what makes columns of the copies of a block."""
