"""Sluice networks: subspaces of every task's layers mixed by learned shares, and layers chosen so.

Source: Ruder et al. 2019 (Latent Multi-task Architecture Learning), equations 2 to 4. The states of
each task's network after a block are cut into `subspaces` parts. With g_{t,s} part s of task t's,
the next block of task t reads, joined again,

    part s:    sum over tasks j and parts r of alpha[(t, s), (j, r)] * g_{j,r}

and task t's head reads, over the depths k up to its own,

    sum over k of beta[t, k] * (t's mixed states at depth k)

so that a network may keep one part to itself and share another, and the depth of a task is learned.
A penalty keeps parts apart: with G_s the rows of a block's output weights that make part s,
`orthogonality` times |G_s G_r^T|^2 over pairs of parts, of blocks whose states are mixed.
`sparsity` adds a group lasso over the blocks of alpha between two tasks (the shares of all parts of
one in all parts of the other), by its proximal step, which makes whole blocks exactly 0; in
evaluation a stream is left out of which nothing that is asked has a share.

Departs: the equations, not the released code, whose reshape mixes units within a task, and whose
directions of a BiLSTM share alpha, as here, but are read in different orders. alpha starts as
`own` on the diagonal and the rest of each row shared out, as copies that start equal under equal
shares would stay equal for ever; the code's starts do not add up to 1. The penalty is divided by
|G_s|^2 |G_r|^2, since pretrained weights would begin with a large one. `beta` is plain numbers, as
in the code, or a softmax. Group lasso is ours. Shapes: a stream (units, width) per task; of a
BiLSTM each direction is cut into the parts. Limits: alpha the identity and beta 1 at the top is
independent encoders; one subspace and such a beta are cross-stitch networks.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from hiermtl.errors import RecipeError
from hiermtl.hierarchy import Hierarchy
from hiermtl.precision import full_precision
from hiermtl.sharing.base import Rate, check_choice, weighed_sum
from hiermtl.sharing.columns import MixedColumns, convex, weighed

if TYPE_CHECKING:
    from hiermtl.sharing.routes import Stack

BETAS = ("plain", "softmax", "off")

TOP = 0.9
"""The share of a task's own depth in what its head reads, at the start (the released code's)."""


class Sluice(MixedColumns):
    """Streams whose subspaces are mixed, and whose depths are."""

    name = "sluice"
    remedies = MappingProxyType({"orthogonality": "lower sharing.orthogonality"})
    grows = False

    def __init__(
        self,
        hierarchy: Hierarchy,
        widths: Sequence[int],
        *,
        subspaces: int = 2,
        own: float = 0.9,
        lr: float = 1e-2,
        mix_last: bool = True,
        betas: Literal["plain", "softmax", "off"] = "plain",
        orthogonality: float = 0.1,
        sparsity: float = 0.0,
        streams: Literal["all", "live"] = "all",
        shared_below: int = 1,
        **options: Any,
    ) -> None:
        """Takes the number of subspaces, how depths are mixed, and the strengths of both terms.

        Raises RecipeError when subspaces do not divide the width, depths that are to be mixed have
        different widths, or there is no such way to mix them.
        """
        check_choice("betas", betas, BETAS)
        self.subspaces, self.betas = subspaces, betas
        self.orthogonality, self.sparsity = orthogonality, sparsity
        super().__init__(
            hierarchy,
            widths,
            shared_below=shared_below,
            streams=streams,
            own=own,
            lr=lr,
            mix_last=mix_last,
            subspaces=subspaces,
            betas=betas,
            orthogonality=orthogonality,
            sparsity=sparsity,
            **options,
        )
        for width in widths[1:]:
            if width % (subspaces * self.directions):
                of = f" in each of {self.directions} directions" if self.directions > 1 else ""
                raise RecipeError(
                    f"sharing.subspaces is {subspaces}, which does not divide the "
                    f"{width // self.directions} units of a block{of}; give a divisor of it"
                )
        if betas != "off" and len(set(widths[1:])) > 1:
            raise RecipeError(
                f"sharing.betas is {betas!r}, but depths have the widths {list(widths[1:])}, which "
                "cannot be added up; set sharing.betas=off"
            )
        self.beta = nn.ParameterDict()
        for task in hierarchy if betas != "off" else ():
            shares = torch.full((task.depth,), (1 - TOP) / max(1, task.depth - 1))
            shares[-1] = TOP if task.depth > 1 else 1.0
            self.beta[task.name] = nn.Parameter(shares if betas == "plain" else shares.log())

    def start(self, depth: int) -> Tensor:
        """(receivers and their parts, senders and theirs), near the identity."""
        return convex(len(self.members(depth)) * self.subspaces, self.own)

    def combined(self, alpha: Tensor, rows: Sequence[int], states: Tensor) -> Tensor:
        """The sum over senders and their parts, part by part."""
        parts, members = self.subspaces, len(states)
        alpha = alpha.view(members, parts, members, parts)[list(rows)]
        cut = states.view(members, states.shape[1], self.directions, parts, -1)
        # (senders, parts, units, directions, width of a part)
        cut = cut.movedim(3, 1)
        mixed = weighed(alpha.flatten(2).flatten(0, 1), cut.flatten(0, 1))
        mixed = mixed.view(len(rows), parts, *cut.shape[2:]).movedim(1, 3)
        return mixed.reshape(len(rows), *states.shape[1:])

    def reads(self, task: str) -> Sequence[tuple[int, str]]:
        """The task's stream at every depth up to its own."""
        depth = self.hierarchy[task].depth
        if self.betas == "off":
            return super().reads(task)
        return [(at, self._stream(task, at)) for at in range(1, depth + 1)]

    def read(self, task: str, values: Sequence[Tensor]) -> Tensor:
        """The sum over depths."""
        if self.betas == "off":
            return values[0]
        return weighed_sum(self.shares(task), values)

    def shares(self, task: str) -> Tensor:
        """(depths,) how much of each depth the task's head reads."""
        beta = full_precision(self.beta[task])
        return beta.softmax(0) if self.betas == "softmax" else beta

    def owned(self, task: str) -> Sequence[str]:
        """`alpha` up to the task's depth, and its `beta`."""
        return [*super().owned(task), *([f"beta.{task}"] if task in self.beta else [])]

    def penalties(self, stack: "Stack", heads: nn.ModuleDict) -> dict[str, Tensor]:
        """What parts have in common of the output weights of blocks whose states are mixed."""
        if not self.orthogonality or self.subspaces < 2:
            return {}
        terms = []
        for depth in filter(self.mixes, range(1, stack.depth + 1)):
            for branch in stack.copies(depth):
                for weight in stack.block(depth, branch).writes():
                    if weight.requires_grad:
                        terms += overlaps(full_precision(weight), self.subspaces)
        return {"orthogonality": self.orthogonality * torch.stack(terms).sum()} if terms else {}

    def after_step(
        self,
        stack: "Stack",
        heads: nn.ModuleDict,
        step: int,
        *,
        rates: Callable[[nn.Parameter], float],
    ) -> None:
        """Shrinks the blocks of alpha between two tasks, those that are small enough to 0."""
        if not self.sparsity:
            return
        with torch.no_grad():
            for alpha in self.alpha.values():
                count = alpha.shape[0] // self.subspaces
                blocks = alpha.view(count, self.subspaces, count, self.subspaces)
                size = blocks.square().sum((1, 3), keepdim=True).sqrt()
                kept = (1 - rates(alpha) * self.sparsity / size.clamp(min=1e-12)).clamp(min=0)
                diagonal = torch.eye(count, dtype=torch.bool, device=alpha.device)
                blocks.mul_(torch.where(diagonal[:, None, :, None], 1.0, kept))

    def rates(self) -> Sequence[Rate]:
        """The same rate for `alpha` and `beta`, without decay."""
        return (*super().rates(), Rate("sharing.beta", lr=self.lr, weight_decay=0.0))

    def learnt(self) -> dict[str, Any]:
        """The mixes, which blocks between tasks are 0, and the shares of depths by task."""
        if not self.alpha and not self.beta:
            return {}
        zeros = {}
        for depth, alpha in self.alpha.items():
            count = alpha.shape[0] // self.subspaces
            blocks = alpha.detach().view(count, self.subspaces, count, self.subspaces)
            zeros[depth] = int((blocks.abs().sum((1, 3)) == 0).sum())
        shares = {task: self.shares(task).detach().tolist() for task in self.beta}
        return {**super().learnt(), "subspaces": self.subspaces, "zeros": zeros, "beta": shares}

    def _stream(self, task: str, depth: int) -> str:
        return (
            self.branch_of(task) if depth >= self.shared_below else next(iter(self.branches(depth)))
        )


def overlaps(weight: Tensor, subspaces: int) -> list[Tensor]:
    """|G_s G_r^T|^2 / (|G_s|^2 |G_r|^2) for each pair of parts of the rows, 0 to 1."""
    parts = weight.chunk(subspaces)
    return [
        (one @ other.T).square().sum()
        / (one.square().sum() * other.square().sum()).clamp(min=1e-30)
        for one, other in combinations(parts, 2)
    ]
