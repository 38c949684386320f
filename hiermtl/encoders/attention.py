"""Self-attention within rows, for both layouts."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hiermtl.records import Layout


def attend(query: Tensor, key: Tensor, value: Tensor, layout: Layout, heads: int, dropout: float) -> Tensor:
    """Scaled dot-product attention of each unit over its own row.

    Shapes: query, key, value (units, width); returns (units, width). Units lying end to end are attended run by run of
    rows of equal length, which needs no mask; padded rows are attended in one call with one.
    """
    width = query.shape[-1]
    if layout.padded:
        shape = (layout.rows, layout.padded, heads, width // heads)
        q, k, v = (x.view(shape).transpose(1, 2) for x in (query, key, value))
        mask = layout.cached("attention mask", lambda: _mask(layout))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return out.transpose(1, 2).reshape(-1, width)
    runs = layout.cached("runs", lambda: _runs(layout))
    outs = []
    for start, rows, length in runs:
        q, k, v = (
            x[start : start + rows * length].view(rows, length, heads, -1).transpose(1, 2)
            for x in (query, key, value)
        )
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        outs.append(out.transpose(1, 2).reshape(rows * length, width))
    return outs[0] if len(outs) == 1 else torch.cat(outs)


def _mask(layout: Layout) -> Tensor:
    """(rows, 1, 1, padded length) bool: which units of its row a unit may read."""
    places = torch.arange(layout.padded, device=layout.device)
    return (places < layout.tensor("row_lengths").unsqueeze(-1))[:, None, None, :]


def _runs(layout: Layout) -> list[tuple[int, int, int]]:
    """(first unit, rows, length) of each stretch of neighbouring rows of one length."""
    runs: list[tuple[int, int, int]] = []
    for start, length in zip(layout.row_starts.tolist(), layout.row_lengths.tolist(), strict=True):
        if runs and runs[-1][2] == length:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1, length)
        else:
            runs.append((start, 1, length))
    return runs
