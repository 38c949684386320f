"""Self-attention within rows, for both layouts."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hiermtl.dropout import dropout as dropped
from hiermtl.records import Layout

Compute = Callable[[Sequence[Tensor], Tensor | None], Tensor]
"""From tensors (rows, length, ...) of rows of one length, and which of their units are real (rows,
length) or `None` for all, to (rows, length, ...)."""


def over_rows(layout: Layout, tensors: Sequence[Tensor], compute: Compute) -> Tensor:
    """Lets `compute` see units as rows.

    Shapes: tensors (units, ...); returns (units, ...). Units lying end to end are passed run by run
    of neighbouring rows of equal length; padded rows are passed at once, with what is real.
    """
    if layout.padded:
        shape = (layout.rows, layout.padded)
        real = layout.cached("real units", lambda: _real(layout))
        out = compute([x.view(*shape, *x.shape[1:]) for x in tensors], real)
        return out.reshape(-1, *out.shape[2:])
    runs = layout.cached("runs", lambda: _runs(layout))
    # Splitting at once, not slicing run by run: the backward of a slice fills a whole tensor.
    parts = zip(*(x.split([rows * length for rows, length in runs]) for x in tensors), strict=True)
    outs = []
    for (rows, length), part in zip(runs, parts, strict=True):
        out = compute([x.view(rows, length, *x.shape[1:]) for x in part], None)
        outs.append(out.reshape(rows * length, *out.shape[2:]))
    return outs[0] if len(outs) == 1 else torch.cat(outs)


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

    def compute(parts: Sequence[Tensor], real: Tensor | None) -> Tensor:
        rows, length, width = parts[0].shape
        q, k, v = (x.view(rows, length, heads, -1).transpose(1, 2) for x in parts)
        added = None if bias is None else bias(length).to(q.dtype)
        out = scaled_attention(q, k, v, added=added, real=real, dropout=dropout)
        return out.transpose(1, 2).reshape(rows, length, width)

    return over_rows(layout, [query, key, value], compute)


def scaled_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    added: Tensor | None,
    real: Tensor | None,
    dropout: float,
) -> Tensor:
    """(rows, heads, length, width of a head) each, to the same.

    The fused kernel for processors is quick forwards and several times slower than plain products
    backwards on rows as short as sentences; so training on a processor takes the products.
    """
    mask = added
    if real is not None:
        allowed = real[:, None, None, :]
        mask = allowed if added is None else added.masked_fill(~allowed, float("-inf"))
    if real is not None or query.device.type != "cpu" or not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
    scores = query @ (key * key.shape[-1] ** -0.5).transpose(-1, -2)
    if mask is not None:
        scores = scores + mask
    weights = dropped(scores.softmax(-1).to(value.dtype), dropout, training=True)
    return weights @ value


def _real(layout: Layout) -> Tensor:
    """(rows, padded length) bool."""
    places = torch.arange(layout.padded, device=layout.device)
    return places < layout.tensor("row_lengths").unsqueeze(-1)


def _runs(layout: Layout) -> list[tuple[int, int]]:
    """(rows, length) of each stretch of neighbouring rows of one length."""
    changes = np.flatnonzero(np.diff(layout.row_lengths)) + 1
    edges = [0, *changes.tolist(), layout.rows]
    return [(end - start, int(layout.row_lengths[start])) for start, end in pairwise(edges)]
