"""Self-attention within rows, for both layouts."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hiermtl.dropout import dropout as dropped
from hiermtl.encoders import ragged
from hiermtl.records import Layout, placed

Compute = Callable[[Sequence[Tensor], Tensor | None], Tensor]
"""From tensors (rows, length, ...) of rows of one length, and which of their units are real (rows,
length) or `None` for all, to (rows, length, ...)."""


def over_rows(
    layout: Layout, tensors: Sequence[Tensor], compute: Compute, *, wide: bool = False
) -> Tensor:
    """Lets `compute` see units as rows.

    With `wide` it computes in fp32 what would be in bf16. Where products are made row length by
    row length, nearly each is the first of its size, for which bf16 takes longer than for itself.

    Shapes: tensors (units, ...); returns (units, ...). Padded rows are passed at once, with what is
    real. So are units lying end to end on a graphics processor, which are padded for it: there,
    starting a product costs more than multiplying zeros. On a processor they are passed run by run
    of neighbouring rows of equal length. Those of no row give 0.
    """
    if wide:
        with torch.autocast(tensors[0].device.type, enabled=False):
            given = [x.float() if x.dtype == torch.bfloat16 else x for x in tensors]
            return over_rows(layout, given, compute).to(tensors[0].dtype)
    if layout.padded:
        shape = (layout.rows, layout.padded)
        real = layout.cached("real units", lambda: _real(layout, layout.padded))
        out = compute([x.view(*shape, *x.shape[1:]) for x in tensors], real)
        return out.reshape(-1, *out.shape[2:])
    if not run_by_run(tensors[0]):
        return _at_once(layout, tensors, compute)
    runs = layout.cached("runs", lambda: _runs(layout))
    # Splitting at once, not slicing run by run: the backward of a slice fills a whole tensor.
    sizes = [rows * length for rows, length in runs]
    rest = layout.units - sum(sizes)
    parts = zip(*(x.split([*sizes, rest]) for x in tensors), strict=True)
    outs = []
    for (rows, length), part in zip(runs, parts, strict=False):
        out = compute([x.view(rows, length, *x.shape[1:]) for x in part], None)
        outs.append(out.reshape(rows * length, *out.shape[2:]))
    if rest:
        outs.append(outs[0].new_zeros(rest, *outs[0].shape[1:]))
    return outs[0] if len(outs) == 1 else torch.cat(outs)


def run_by_run(values: Tensor) -> bool:
    """Whether rows lying end to end are passed by their lengths instead of being padded."""
    return values.device.type == "cpu"


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: Layout,
    heads: int,
    dropout: float,
    bias: Callable[[int], Tensor] | None = None,
) -> Tensor:
    """Scaled dot-product attention of each unit over its own row.

    Shapes: query, key, value (units, width); returns (units, width). `bias` gives for a row length
    what is added to the scores, (heads or 1, length, length); -inf where nothing may be read.
    """
    if bias is None and not layout.padded and ragged.fits(query, heads, dropout):
        return ragged.attend_end_to_end(query, key, value, layout, heads, dropout)
    attention = F.scaled_dot_product_attention
    if by_products(query, layout):
        attention = attention_by_products

    def compute(parts: Sequence[Tensor], real: Tensor | None) -> Tensor:
        rows, length, width = parts[0].shape
        q, k, v = (x.view(rows, length, heads, -1).transpose(1, 2) for x in parts)
        mask = None if bias is None else bias(length).to(q.dtype)
        if real is not None:
            allowed = real[:, None, None, :]
            mask = allowed if mask is None else mask.masked_fill(~allowed, float("-inf"))
        out = attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return out.transpose(1, 2).reshape(rows, length, width)

    return over_rows(layout, [query, key, value], compute, wide=by_products(query, layout))


def by_products(values: Tensor, layout: Layout) -> bool:
    """Whether attention is to be made of plain products, each over rows of one length.

    The fused kernel for processors is quick forwards and several times slower than plain products
    backwards on rows as short as sentences; so training on a processor takes the products.
    """
    return run_by_run(values) and torch.is_grad_enabled() and not layout.padded


def attention_by_products(
    query: Tensor, key: Tensor, value: Tensor, *, attn_mask: Tensor | None, dropout_p: float
) -> Tensor:
    """`F.scaled_dot_product_attention` of plain products; a mask is added."""
    scores = query @ (key * key.shape[-1] ** -0.5).transpose(-1, -2)
    if attn_mask is not None:
        scores = scores + attn_mask
    return dropped(scores.softmax(-1), dropout_p, training=True) @ value


def _at_once(layout: Layout, tensors: Sequence[Tensor], compute: Compute) -> Tensor:
    """`over_rows` for units lying end to end, which are padded to the longest row in between."""
    longest = int(layout.row_lengths.max(initial=0))
    shape = (layout.rows, longest)
    places = layout.cached("places of units", lambda: _places(layout, longest))
    real = layout.cached("real places", lambda: _real(layout, longest))
    padded = [
        x.new_zeros(layout.rows * longest, *x.shape[1:])
        .index_copy(0, places, x[: len(places)])
        .view(*shape, *x.shape[1:])
        for x in tensors
    ]
    out = compute(padded, real).flatten(0, 1).index_select(0, places)
    rest = layout.units - len(places)
    return torch.cat([out, out.new_zeros(rest, *out.shape[1:])]) if rest else out


def _real(layout: Layout, length: int) -> Tensor:
    """(rows, length) bool."""
    places = torch.arange(length, device=layout.device)
    return places < layout.tensor("row_lengths").unsqueeze(-1)


def _places(layout: Layout, length: int) -> Tensor:
    """(units of rows,): where each stands when rows are padded to a length."""
    rows = np.repeat(np.arange(layout.rows) * length - layout.row_starts, layout.row_lengths)
    return placed(rows + np.arange(len(rows)), layout.device)


def _runs(layout: Layout) -> list[tuple[int, int]]:
    """(rows, length) of each stretch of neighbouring rows of one length."""
    changes = np.flatnonzero(np.diff(layout.row_lengths)) + 1
    edges = [0, *changes.tolist(), layout.rows]
    return [(end - start, int(layout.row_lengths[start])) for start, end in pairwise(edges)]
