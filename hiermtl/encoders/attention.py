"""Self-attention within rows, for both layouts."""

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hiermtl.dropout import dropout as dropped
from hiermtl.records import Layout


def attend(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, heads: int, dropout: float
) -> Tensor:
    """Scaled dot-product attention of each unit over its own row.

    Shapes: query, key, value (units, width); returns (units, width). Units lying end to end are
    attended run by run of rows of equal length, which needs no mask; padded rows are attended in
    one call with one.
    """
    width = query.shape[-1]
    if layout.padded:
        shape = (layout.rows, layout.padded, heads, width // heads)
        q, k, v = (x.view(shape).transpose(1, 2) for x in (query, key, value))
        mask = layout.cached("attention mask", lambda: _mask(layout))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return out.transpose(1, 2).reshape(-1, width)
    runs = layout.cached("runs", lambda: _runs(layout))
    # Splitting at once, not slicing run by run: the backward of a slice fills a whole tensor.
    parts = zip(
        *(x.split([rows * length for rows, length in runs]) for x in (query, key, value)),
        strict=True,
    )
    outs = []
    for (rows, length), part in zip(runs, parts, strict=True):
        q, k, v = (x.view(rows, length, heads, -1).transpose(1, 2) for x in part)
        out = _attend_run(q, k, v, dropout)
        outs.append(out.transpose(1, 2).reshape(rows * length, width))
    return outs[0] if len(outs) == 1 else torch.cat(outs)


def _attend_run(query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
    """Attention without a mask, (rows, heads, length, width of a head).

    The fused kernel for processors is quick forwards and several times slower than plain products
    backwards on rows as short as sentences; so training on a processor takes the products.
    """
    if query.device.type != "cpu" or not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    scores = query @ (key * key.shape[-1] ** -0.5).transpose(-1, -2)
    weights = dropped(scores.softmax(-1).to(value.dtype), dropout, training=True)
    return weights @ value


def _mask(layout: Layout) -> Tensor:
    """(rows, 1, 1, padded length) bool: which units of its row a unit may read."""
    places = torch.arange(layout.padded, device=layout.device)
    return (places < layout.tensor("row_lengths").unsqueeze(-1))[:, None, None, :]


def _runs(layout: Layout) -> list[tuple[int, int]]:
    """(rows, length) of each stretch of neighbouring rows of one length."""
    changes = np.flatnonzero(np.diff(layout.row_lengths)) + 1
    edges = [0, *changes.tolist(), layout.rows]
    return [(end - start, int(layout.row_lengths[start])) for start, end in pairwise(edges)]
