"""Soft parameter sharing by trace norms: a copy per task, which together are to be of low rank.

Source: Yang and Hospedales 2017 (Trace Norm Regularised Deep Multi-Task Learning), section 2. The T
copies of one matrix make a tensor (D1, D2, T), task axis last. With |M|* the sum of M's singular
values, its penalty is

    laf:     |M_(3)|*                           last-axis flattening, M_(3) of (T, D1 D2)
    tucker:  |M_(1)|* + |M_(2)|* + |M_(3)|*     each axis against the others
    tt:      |M_[1]|* + |M_[2]|*                (D1, D2 T) and (D1 D2, T), no axis moved

`mode_weights` weigh the terms: those of the first axes are some fifteen times as large as the task
axis's, and compress the layer rather than share it. Vectors are left alone, and so are heads.

Departs: singular values s are sqrt(s^2 + eps^2) - eps, from Gram matrices added up in fp64. Copies
that start equal have all but one singular value 0, where the trace norm's gradient is an arbitrary
one that drives copies apart; smoothed, it is 0 there. And for encoders that begin pretrained it is
deviations from that start whose norm is taken (`center: init`): the norm of the weights themselves
would shrink them. In a trained model that is extended each copy has a start of its own, what it was
then. `eps` is a share of the weights' own norm at the start (of a column: of one task's copy).
Shapes: a stream (units, width) per task. Limits: strength 0 is independent encoders; equal copies
of W have the norm sqrt(T) |W|, and no gradient between tasks.
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from hiermtl.errors import RecipeError
from hiermtl.hierarchy import Hierarchy
from hiermtl.precision import full_precision
from hiermtl.sharing.base import check_choice
from hiermtl.sharing.columns import Columns, gram, start_of

if TYPE_CHECKING:
    from hiermtl.sharing.routes import Stack

TERMS = {"laf": 1, "tucker": 3, "tt": 2}
"""Variant -> how many terms it has for a matrix."""

CENTERS = ("init", "zero")

TINY = 1e-12
"""The least smoothing: without any, the gradient at 0 is no number."""


class SoftTrace(Columns):
    """Copies tied by the trace norm of what they are together."""

    name = "soft_trace"
    remedies = MappingProxyType({"trace": "lower sharing.strength, or raise sharing.eps"})

    def __init__(
        self,
        hierarchy: Hierarchy,
        widths: Sequence[int],
        *,
        strength: float = 1e-3,
        variant: Literal["laf", "tucker", "tt"] = "laf",
        center: Literal["init", "zero"] = "init",
        eps: float = 1e-4,
        mode_weights: Sequence[float] | None = None,
        shared_below: int = 1,
        **options: Any,
    ) -> None:
        """Takes strength, variant, what deviations are counted from, and the smoothing.

        Raises RecipeError for a variant or centre that is none, or weights of another number than
        the variant has terms.
        """
        super().__init__(
            hierarchy,
            widths,
            shared_below=shared_below,
            strength=strength,
            variant=variant,
            center=center,
            eps=eps,
            mode_weights=None if mode_weights is None else list(mode_weights),
            **options,
        )
        check_choice("variant", variant, TERMS)
        check_choice("center", center, CENTERS)
        weights = [1.0] * TERMS[variant] if mode_weights is None else list(mode_weights)
        if len(weights) != TERMS[variant]:
            raise RecipeError(
                f"sharing.mode_weights has {len(weights)} numbers, but variant {variant!r} has "
                f"{TERMS[variant]} terms; give one for each"
            )
        self.strength, self.variant, self.center, self.eps = strength, variant, center, eps
        self.mode_weights = weights

    def ties(self, depth: int) -> Sequence[Sequence[str]]:
        """All copies."""
        return self.groups(depth)

    def begin(self, stack: "Stack", heads: nn.ModuleDict) -> None:
        """Remembers where the copies start."""
        self.anchors = {name: start_of(copies) for name, copies in self._tied(stack)}

    def penalties(self, stack: "Stack", heads: nn.ModuleDict) -> dict[str, Tensor]:
        """The weighed norms of all matrices, fp64 inside."""
        if not self.strength:
            return {}
        terms = []
        *others, by_task = self.mode_weights  # in the order of `unfolded`
        for name, copies in self._tied(stack):
            start, kind = self.anchors[name], full_precision(copies[0]).dtype
            origin = start if self.center == "init" else None
            one = start if start.dim() == copies[0].dim() else start[0]
            eps = self.eps * torch.linalg.vector_norm(one, dtype=torch.float64)
            if by_task:
                terms.append(by_task * norm_of_gram(gram(copies, origin), eps).to(kind))
            if not any(others):
                continue
            whole = torch.stack([copy.double() for copy in copies], dim=-1)
            if origin is not None:
                whole = whole - origin.double().expand(len(copies), *one.shape).movedim(0, -1)
            for matrix, weight in zip(unfolded(whole, self.variant), others, strict=False):
                if weight:
                    terms.append(weight * smooth_trace_norm(matrix, eps).to(kind))
        return {"trace": self.strength * torch.stack(terms).sum()} if terms else {}

    def _tied(self, stack: "Stack") -> list[tuple[str, list[nn.Parameter]]]:
        """The copied matrices."""
        return [(name, copies) for name, copies in self.copied(stack) if copies[0].dim() == 2]


def unfolded(tensor: Tensor, variant: str) -> list[Tensor]:
    """The matrices whose trace norms are added: of (D1, D2, T), see above."""
    first, second, tasks = tensor.shape
    by_first = tensor.reshape(first, second * tasks)
    by_task = tensor.reshape(first * second, tasks)
    if variant == "laf":
        return [by_task]
    if variant == "tt":
        return [by_first, by_task]
    return [by_first, tensor.transpose(0, 1).reshape(second, first * tasks), by_task]


def smooth_trace_norm(matrix: Tensor, eps: Tensor | float) -> Tensor:
    """The sum of sqrt(s^2 + eps^2) - eps over singular values s, (rows, columns) to one number."""
    small = matrix.T @ matrix if matrix.shape[0] > matrix.shape[1] else matrix @ matrix.T
    return norm_of_gram(small, eps)


def norm_of_gram(small: Tensor, eps: Tensor | float) -> Tensor:
    """`smooth_trace_norm` of a matrix of which this is the smaller Gram matrix.

    Only eigenvalues are used, so that its gradient divides by none of their differences.
    """
    eps = torch.as_tensor(eps, dtype=small.dtype, device=small.device).clamp(min=TINY)
    squares = torch.linalg.eigvalsh(small).clamp(min=0)
    return ((squares + eps**2).sqrt() - eps).sum()
