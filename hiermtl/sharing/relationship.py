"""Deep relationship networks: a prior over the tasks' own layers, which learns how tasks relate.

Source: Long et al. 2017 (Learning Multiple Tasks with Multilinear Relationship Networks), section
4; Long and Wang 2015. Each task's head reads a layer of its own, tanh(P_t h). The stack W of these
matrices, (features, units, tasks), has a tensor-normal prior whose covariance is the product of
three, S_1 of features, S_2 of units and S_3 of tasks. With D_k the size of an axis, D the product
of all, and W_(k) the stack unfolded along it,

    penalty:    strength * 1/2 <W, W x_1 S_1^-1 x_2 S_2^-1 x_3 S_3^-1>
    each S_k:   D_k / D * W_(k) [the others' product]^-1 W_(k)^T      every `every` steps, in turn

Departs: in the paper the prior is on classifiers of the same classes, which tasks here have not:
the layer between gives them one shape, and the second axis stands for its units. So that unit j of
one task means unit j of another, the layers start equal. By default (`estimator: shrunk`) S_k is
scaled to the trace D_k and mixed with `shrink` of the identity: without that the objective has no
lower bound, falling with the scale of W, and covariances estimated from few columns cannot be
inverted. `mle` is the paper's, with `eps` on the diagonal. Features are those of one depth: where
tasks are read at several, S_1 stays the identity (`modes: auto`). Covariances are no weights, and W
has no other decay. Shapes: one stream (units, width). Limits: with identities the penalty is half
the squared norm; scaling W changes no covariance; equal tasks have the correlation 1 - shrink. One
task alone has the layer and the prior too, so that it is no single-task model.
"""

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from hiermtl.errors import RecipeError, RunError, listing
from hiermtl.hierarchy import Hierarchy
from hiermtl.precision import full_precision
from hiermtl.sharing.base import Rate, Sharing, check_choice, check_every

if TYPE_CHECKING:
    from hiermtl.sharing.routes import Stack

AXES = ("feature", "unit", "task")
MODES = {"auto": (), "all": (0, 1, 2), "unit_task": (1, 2), "task": (2,)}
"""What is learned -> the axes it stands for; `auto` is one of the next two."""

ESTIMATORS = ("shrunk", "mle")


class Relationship(Sharing):
    """One stream, and a layer per task under a prior that is learned."""

    name = "relationship"
    remedies = MappingProxyType({"prior": "lower sharing.strength"})
    grows = False

    def __init__(
        self,
        hierarchy: Hierarchy,
        widths: Sequence[int],
        *,
        units: int = 128,
        strength: float = 1e-3,
        every: int = 100,
        estimator: Literal["shrunk", "mle"] = "shrunk",
        shrink: float = 0.05,
        eps: float = 1e-5,
        modes: Literal["auto", "all", "unit_task", "task"] = "auto",
        **options: Any,
    ) -> None:
        """Takes the width of the tasks' layers, the prior's strength, and how it is estimated.

        Raises RecipeError when features of different depths would have one covariance.
        """
        super().__init__(
            hierarchy,
            widths,
            units=units,
            strength=strength,
            every=every,
            estimator=estimator,
            shrink=shrink,
            eps=eps,
            modes=modes,
            **options,
        )
        check_choice("modes", modes, MODES)
        check_choice("estimator", estimator, ESTIMATORS)
        depths = {task.name: task.depth for task in hierarchy}
        sizes = {widths[depth] for depth in depths.values()}
        if len(sizes) > 1:
            raise RecipeError(
                f"tasks are read at depths of the widths {listing(sorted(sizes))}, whose layers "
                "make no tensor; read them where the encoder is of one width"
            )
        one_depth = len(set(depths.values())) == 1
        if modes == "all" and not one_depth:
            raise RecipeError(
                f"sharing.modes is 'all', but tasks are read at the depths "
                f"{listing(sorted(set(depths.values())))}, whose features are not the same; set "
                "sharing.modes=unit_task, or give all tasks one depth"
            )
        learned = ("all" if one_depth else "unit_task") if modes == "auto" else modes
        self.axes = MODES[learned]
        self.units, self.strength, self.every = units, strength, every
        self.estimator, self.shrink, self.eps = estimator, shrink, eps
        first = nn.Linear(sizes.pop(), units)
        self.layers = nn.ModuleDict()
        for task in hierarchy:
            self.layers[task.name] = layer = nn.Linear(first.in_features, units)
            layer.load_state_dict(first.state_dict())
        for name, size in zip(AXES, (first.in_features, units, len(depths)), strict=True):
            self.register_buffer(name, torch.eye(size))
        self._precisions: dict[str, tuple[tuple[int, int], Tensor]] = {}

    def prior(self) -> Sequence[str]:
        """The axes whose covariances are learned."""
        return [AXES[axis] for axis in self.axes]

    def head_width(self, task: str) -> int:
        """The units of the task's layer."""
        return self.units

    def read(self, task: str, values: Sequence[Tensor]) -> Tensor:
        """The task's layer."""
        return self.layers[task](values[0]).tanh()

    def owned(self, task: str) -> Sequence[str]:
        """The task's layer."""
        return [f"layers.{task}.weight", f"layers.{task}.bias"]

    def stacked(self) -> Tensor:
        """(features, units, tasks), at least fp32."""
        weights = [self.layers[task].get_parameter("weight").T for task in self.hierarchy.names]
        return full_precision(torch.stack(weights, dim=-1))

    def penalties(self, stack: "Stack", heads: nn.ModuleDict) -> dict[str, Tensor]:
        """The prior's quadratic form; its other terms do not depend on weights."""
        if not self.strength:
            return {}
        whole = self.stacked()
        spread = whole
        for axis in self.axes:
            spread = along(spread, self._precision(AXES[axis]).to(spread), axis)
        return {"prior": self.strength * 0.5 * (whole * spread).sum()}

    def check_steps(self, total: int) -> None:
        """Raises RecipeError where no covariance would be estimated."""
        check_every(self.every, total, what="an estimate of covariances")

    def after_step(
        self,
        stack: "Stack",
        heads: nn.ModuleDict,
        step: int,
        *,
        rates: Callable[[nn.Parameter], float],
    ) -> None:
        """Estimates the covariances anew, every so many steps.

        Raises:
            RunError: One is no number, or cannot be inverted.
        """
        if (step + 1) % self.every:
            return
        with torch.no_grad():
            self.sweep(step)

    def sweep(self, step: int = 0) -> None:
        """One estimate of each covariance that is learned, given the others, in fp64."""
        whole = self.stacked().detach().double()
        for axis in self.axes:
            seen = whole
            for other in self.axes:
                if other != axis:
                    seen = along(seen, self._precision(AXES[other]), other)
            size = whole.shape[axis]
            flat = [x.movedim(axis, 0).reshape(size, -1) for x in (whole, seen)]
            found = flat[0] @ flat[1].T * (size / whole.numel())
            found = (found + found.T) / 2
            identity = torch.eye(size, dtype=found.dtype, device=found.device)
            if self.estimator == "mle":
                found = found + self.eps * identity
            else:
                # Layers of nothing say nothing.
                total = found.trace()
                scaled = identity if total == 0 else found * (size / total)
                found = (1 - self.shrink) * scaled + self.shrink * identity
            name = AXES[axis]
            if not bool(found.isfinite().all()):
                raise RunError(
                    f"at step {step + 1} the covariance of {name}s is not a number; lower "
                    "training.lr_heads, and train anew into another folder"
                )
            self.get_buffer(name).copy_(found)
            self._precision(name, step=step)

    def rates(self) -> Sequence[Rate]:
        """The layers move as heads do; the prior is all the decay they have."""
        return (Rate("sharing.layers", lr=None, weight_decay=0.0),)

    def learnt(self) -> dict[str, Any]:
        """How tasks are correlated: their names, and the matrix."""
        covariance = self.get_buffer("task").double()
        deviations = covariance.diagonal().clamp(min=1e-30).sqrt()
        correlations = covariance / (deviations[:, None] * deviations)
        return {"tasks": list(self.hierarchy.names), "correlations": correlations.tolist()}

    @property
    def _steadier(self) -> str:
        """What makes covariances invertible; the options of one estimator are none of the other."""
        if self.estimator == "shrunk":
            return f"raise sharing.shrink above {self.shrink!r}"
        return (
            f"raise sharing.eps above {self.eps!r}, or set sharing.estimator=shrunk and leave "
            "sharing.eps out"
        )

    def _precision(self, name: str, *, step: int = 0) -> Tensor:
        """The inverse of a covariance, fp64; computed once for it as it stands."""
        covariance = self.get_buffer(name)
        key = (covariance.data_ptr(), covariance._version)
        held = self._precisions.get(name)
        if held is None or held[0] != key:
            factor, failed = torch.linalg.cholesky_ex(covariance.double())
            if int(failed):
                raise RunError(
                    f"at step {step + 1} the covariance of {name}s cannot be inverted, of "
                    f"{len(covariance)} rows; {self._steadier}, and train anew into another folder"
                )
            held = self._precisions[name] = (key, torch.cholesky_inverse(factor))
        return held[1]


def along(tensor: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """The product of a matrix with a tensor along one of its axes."""
    moved = tensor.movedim(axis, 0)
    return (matrix @ moved.flatten(1)).view(moved.shape).movedim(0, axis)
