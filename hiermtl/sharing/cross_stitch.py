"""Cross-stitch networks: a network per task, each fed a learned linear mix of all after each block.

Source: Misra et al. 2016 (Cross-stitch Networks for Multi-task Learning), section 3, equations 1
and 2. With h_j the states of task j's network after a block, the next block of task i's reads

    sum over j of alpha[i, j] * h_j

where alpha is a number per pair of tasks (`per: layer`) or a vector with one for each channel
(`per: channel`). It starts at `own` on the diagonal, rows adding up to 1, and is not held there.
The derivative of alpha[i, j] is the product of h_j with the gradient of i's mix; the paper's
printed one has the two tasks of an off-diagonal entry swapped.

Departs: the networks start equal, from one encoder, so that any alpha whose rows add up to 1 starts
as hard sharing; in the paper each is first trained on its own task. The rate of alpha is absolute:
a hundred times the network's, as in the paper, is for plain gradient descent, and under AdamW a
number moves by about its rate per step however large its gradient. Streams run to the deepest
task's depth (`streams: all`), or to their own task's (`live`). Shapes: a stream (units, width) per
task. Limits: alpha the identity is independent encoders.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from hiermtl.hierarchy import Hierarchy
from hiermtl.sharing.base import check_choice
from hiermtl.sharing.columns import MixedColumns, convex, weighed

PER = ("layer", "channel")


class CrossStitch(MixedColumns):
    """Streams mixed by a number, or by a vector, per pair of tasks and depth."""

    name = "cross_stitch"
    grows = False

    def __init__(
        self,
        hierarchy: Hierarchy,
        widths: Sequence[int],
        *,
        per: Literal["layer", "channel"] = "layer",
        own: float = 0.9,
        lr: float = 1e-2,
        mix_last: bool = True,
        streams: Literal["all", "live"] = "all",
        shared_below: int = 1,
        **options: Any,
    ) -> None:
        """Takes what alpha has a number for; see `MixedColumns` for the rest.

        Raises RecipeError for what it cannot have one for.
        """
        check_choice("per", per, PER)
        self.per = per
        super().__init__(
            hierarchy,
            widths,
            shared_below=shared_below,
            streams=streams,
            own=own,
            lr=lr,
            mix_last=mix_last,
            per=per,
            **options,
        )

    def start(self, depth: int) -> Tensor:
        """(receivers, senders), or (receivers, senders, width)."""
        alpha = convex(len(self.members(depth)), self.own)
        if self.per == "layer":
            return alpha
        return alpha.unsqueeze(-1).repeat(1, 1, self.widths[depth])

    def combined(self, alpha: Tensor, rows: Sequence[int], states: Tensor) -> Tensor:
        """The sum over senders."""
        if self.per == "layer":
            return weighed(alpha[list(rows)], states)
        mixes = [(alpha[row].unsqueeze(1) * states).sum(0) for row in rows]
        return torch.stack(mixes)
