"""Attention over rows that lie end to end, by the fused kernels that torch has for such rows.

Only on NVIDIA's graphics processors. torch calls these kernels itself for nested tensors; they are
called without those because wrapping each layer's tensors costs more than attention does. Sources:
Rabe and Staats 2021 (Self-attention Does Not Need O(n^2) Memory), Dao 2023 (FlashAttention-2).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiermtl.records import Layout, placed

LONG = 96
"""The length of the longest row from which FlashAttention is the faster kernel."""

KERNELS: Any = torch.ops.aten

HALVES = (torch.float16, torch.bfloat16)


def fits(values: Tensor, heads: int, dropout: float = 0.0) -> bool:
    """Whether there are kernels for values (units, width) on their device."""
    return (
        values.is_cuda
        and torch.version.hip is None
        and known(values.dtype, values.shape[-1] // heads, dropout, recent=_is_recent(values))
    )


def known(dtype: torch.dtype, size: int, dropout: float = 0.0, *, recent: bool) -> bool:
    """Whether there are kernels for heads of so many numbers, on `recent` devices or older ones.

    With dropout there is FlashAttention alone: it draws the same numbers forwards and backwards.
    """
    if size % 8 or size > 256:
        return False
    if dropout:
        return recent and dtype in HALVES
    return dtype in {torch.float16, torch.float32, *((torch.bfloat16,) if recent else ())}


def attend_end_to_end(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, heads: int, dropout: float
) -> Tensor:
    """Scaled dot-product attention of each unit over its own row, without any padding.

    Shapes: query, key, value (units, width); returns (units, width). Units of no row, of which
    there are few, are a row of their own.
    """
    lengths = _lengths(layout)
    longest = int(lengths.max(initial=0))
    edges = layout.cached("edges of rows", lambda: _edges(lengths, layout.device))
    query, key, value = (x.view(layout.units, heads, -1) for x in (query, key, value))
    long = query.dtype in HALVES and longest >= LONG and _is_recent(query)
    if dropout or long:
        out = flash(query, key, value, edges, longest, dropout)
    else:
        out = efficient(query, key, value, edges, longest)
    return out.reshape(layout.units, -1)


def efficient(query: Tensor, key: Tensor, value: Tensor, edges: Tensor, longest: int) -> Tensor:
    """The kernel that is fast on short rows, for use without dropout. Shapes: as `flash`.

    Where it counts the random numbers it has drawn it takes rows end to end for rows without keys,
    forwards but not backwards (pytorch/pytorch#115590): with dropout all rows and heads share a
    mask on the way forward, and gradients are those of other masks.
    """
    found = KERNELS._efficient_attention_forward(
        query.unsqueeze(0),
        key.unsqueeze(0),
        value.unsqueeze(0),
        bias=None,
        cu_seqlens_q=edges,
        cu_seqlens_k=edges,
        max_seqlen_q=longest,
        max_seqlen_k=longest,
        dropout_p=0.0,
        custom_mask_type=0,
        compute_log_sumexp=torch.is_grad_enabled(),
    )
    return found[0].squeeze(0)


def flash(
    query: Tensor, key: Tensor, value: Tensor, edges: Tensor, longest: int, dropout: float
) -> Tensor:
    """The kernel that is fast on long rows.

    Shapes: query, key, value (units, heads, size); edges (rows + 1,) int32, where rows begin and
    the last one ends; returns (units, heads, size).
    """
    found = KERNELS._flash_attention_forward(
        query,
        key,
        value,
        cum_seq_q=edges,
        cum_seq_k=edges,
        max_q=longest,
        max_k=longest,
        dropout_p=dropout,
        is_causal=False,
        return_debug_mask=False,
    )
    return found[0]


def _lengths(layout: Layout) -> np.ndarray:
    rest = layout.units - int(layout.row_lengths.sum())
    return np.append(layout.row_lengths, rest) if rest else layout.row_lengths


def _edges(lengths: np.ndarray, device: torch.device) -> Tensor:
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return placed(ends, device)


def _is_recent(values: Tensor) -> bool:
    """Whether the device is one that FlashAttention is written for."""
    return not values.is_cuda or torch.cuda.get_device_capability(values.device) >= (8, 0)
