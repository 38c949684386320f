"""Learned depth: each task reads a mix of depths, under a price per block, then its best one alone.

Source: the mix is that of Kondratyuk and Straka 2019 (75 Languages, 1 Model), section 3.2, after
Peters et al. 2018: with h_k the states at depth k and w_t a number per depth,

    sum over k from 1 to the task's depth of softmax(w_t)_k * h_k

The centre of gravity of a task, sum of k softmax(w_t)_k, is that of Tenney et al. 2019. The rest is
ours: `budget` times the sum of all centres is added to the loss, so that a task goes deeper only
for what it gains; and when `harden_at` of the training is over each task keeps the depth that has
most, and trains on with that alone; a task that reads what another predicts, of those not below the
other's. What is then left is low supervision with these depths, whose blocks above the deepest are
not computed; as such it is saved. Departs: the embeddings are not in the mix; its weights have no
dropout and no further factor. Hardening changes the function, so that earlier weights are no longer
compared for the best. Shapes: one stream (units, width); mix.<task> (depths,). Limits: with all
weight on its own depth, low supervision; hardened, it is just that.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hiermtl.errors import RecipeError
from hiermtl.hierarchy import Hierarchy
from hiermtl.precision import full_precision
from hiermtl.sharing.base import SHARED, Edit, Rate, Sharing, weighed_sum

if TYPE_CHECKING:
    from hiermtl.sharing.routes import Stack


class Learned(Sharing):
    """One stream, of which each task learns how deep to read it."""

    name = "learned"
    remedies = MappingProxyType({"depth": "lower sharing.budget"})

    def __init__(
        self,
        hierarchy: Hierarchy,
        widths: Sequence[int],
        *,
        budget: float = 0.0,
        harden_at: float = 0.5,
        lr: float = 1e-2,
        taps: Mapping[str, int] | None = None,
        **options: Any,
    ) -> None:
        """Takes a block's price in the loss, when depths are fixed, and the rate of the mix.

        `taps` are the depths, once they are fixed. Raises RecipeError for depths of different
        width, which cannot be mixed.
        """
        super().__init__(hierarchy, widths, budget=budget, harden_at=harden_at, lr=lr, **options)
        if len(set(widths[1:])) > 1:
            raise RecipeError(
                f"depths have the widths {list(widths[1:])}, which sharing: learned cannot mix; "
                "use low_supervision, with depths of your own"
            )
        self.budget, self.harden_at, self.lr = budget, harden_at, lr
        self.taps = None if taps is None else dict(taps)
        self.mix_weights = nn.ParameterDict(
            {task.name: nn.Parameter(torch.zeros(task.depth)) for task in hierarchy}
        )

    def reads(self, task: str) -> Sequence[tuple[int, str]]:
        """Every depth up to the task's; once it is fixed, that one."""
        if self.taps is not None:
            return ((self.taps[task], SHARED),)
        return [(depth, SHARED) for depth in range(1, self.hierarchy[task].depth + 1)]

    def read(self, task: str, values: Sequence[Tensor]) -> Tensor:
        """The mix."""
        if self.taps is not None:
            return values[0]
        return weighed_sum(self.shares(task), values)

    def shares(self, task: str) -> Tensor:
        """(depths,) of the task's mix; at least fp32, adding up to 1."""
        return full_precision(self.mix_weights[task]).softmax(0)

    def centre(self, task: str) -> Tensor:
        """The task's centre of gravity, 1 to its depth."""
        shares = self.shares(task)
        return (shares * torch.arange(1, len(shares) + 1, device=shares.device)).sum()

    def owned(self, task: str) -> Sequence[str]:
        """The task's mix, until its depth is fixed."""
        return [] if self.taps is not None else [f"mix_weights.{task}"]

    def penalties(self, stack: "Stack", heads: nn.ModuleDict) -> dict[str, Tensor]:
        """The price of the depths."""
        if self.taps is not None or not self.budget:
            return {}
        centres = [self.centre(task.name) for task in self.hierarchy]
        return {"depth": self.budget * torch.stack(centres).sum()}

    def propose(self, stack: "Stack", step: int, *, done: float = 0.0) -> Edit | None:
        """Fixes every task's depth where its mix has most, the lower of equals.

        A head that reads predictions has the depths that are not below where these are made.
        """
        if self.taps is not None or done < self.harden_at:
            return None
        taps: dict[str, int] = {}
        while len(taps) < len(self.hierarchy):
            for task in self.hierarchy.names:
                lower = self.lower.get(task, ())
                if task not in taps and all(name in taps for name in lower):
                    least = max((taps[name] for name in lower), default=1)
                    taps[task] = least + int(self.shares(task)[least - 1 :].argmax())
        self.taps = taps
        # What no task reads any more goes, so that a run that is resumed has the same blocks.
        for depth in range(max(self.taps.values()) + 1, stack.depth + 1):
            del stack.blocks[str(depth)]
        return Edit(another=True)

    def rates(self) -> Sequence[Rate]:
        """A rate of its own, without decay, which would pull to an even mix."""
        return (Rate("sharing.mix_weights", lr=self.lr, weight_decay=0.0),)

    def learnt(self) -> dict[str, Any]:
        """Each task's mix and its centre of gravity, and the depths once they are fixed."""
        names = list(self.mix_weights)
        return {
            "shares": {task: self.shares(task).detach().tolist() for task in names},
            "centres": {task: float(self.centre(task).detach()) for task in names},
            "depths": self.taps,
        }

    @property
    def settled(self) -> bool:
        """Once depths are fixed."""
        return self.taps is not None

    def depths(self) -> Mapping[str, int] | None:
        """The depths that are left of it."""
        return self.taps

    def structure(self) -> dict[str, Any]:
        """The options, with the depths that are fixed."""
        return {**super().structure(), **({} if self.taps is None else {"taps": dict(self.taps)})}
