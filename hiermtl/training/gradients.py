"""The gradients of a step's parts, apart from each other until they are one.

Most balancers weigh losses; then a step has one part, whose gradients stay where autograd puts
them. A balancer that weighs gradients gets those of each task: the loss of each is taken backwards
by itself, while the gradients of the others are put aside. What is not linear happens once for the
whole step, after pieces and processes are added up.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

WHOLE, BESIDE = "", "."
"""Parts that are no task: the whole loss, and terms beside the tasks'; no task has such a name."""

Combine = Callable[[Tensor, Sequence[str]], Tensor]
"""(weights,) from rows (tasks, weights) and the names of their tasks."""


class Gradients:
    """What the weights' `grad` holds of one part at a time."""

    def __init__(self, weights: Iterable[nn.Parameter]) -> None:
        """Takes the weights, which have no gradient yet."""
        self._weights = [weight for weight in weights if weight.requires_grad]
        self._aside: dict[str, list[Tensor | None]] = {}
        self._open: str | None = None

    def turn_to(self, part: str) -> None:
        """From here on weights hold the gradients of this part, as far as there are any."""
        if self._open == part:
            return
        if self._open is not None:
            self._aside[self._open] = [weight.grad for weight in self._weights]
        own = self._aside.pop(part, None) or [None] * len(self._weights)
        for weight, grad in zip(self._weights, own, strict=True):
            weight.grad = grad
        self._open = part

    def forget(self) -> None:
        """Begins anew."""
        self._aside.clear()
        self._open = None
        for weight in self._weights:
            weight.grad = None

    @torch.no_grad()
    def join(self, tasks: Sequence[str], combine: Combine) -> None:
        """Weights hold one gradient made of all parts.

        Weights are grouped by the tasks that reach them in this step: whose loss has a gradient
        there, which none has off its route. Those of one task keep its gradient. Of the others
        `combine` makes one. It is not shown rows of zeros; where only one row is left, or a number
        is not finite, the gradient is the sum. What stands beside the tasks is added.
        """
        self.turn_to(BESIDE)
        beside = [weight.grad for weight in self._weights]
        rows = {task: self._aside.pop(task) for task in tasks if task in self._aside}
        groups: dict[tuple[str, ...], list[int]] = {}
        for place in range(len(self._weights)):
            reach = tuple(task for task, own in rows.items() if own[place] is not None)
            groups.setdefault(reach, []).append(place)
        for reach, places in groups.items():
            if len(reach) == 1:
                made = [rows[reach[0]][place] for place in places]
            elif reach:
                made = self._combined({task: rows[task] for task in reach}, places, combine)
            else:
                made = [None] * len(places)
            for place, grad in zip(places, made, strict=True):
                self._weights[place].grad = _added(grad, beside[place])
        self._open = WHOLE

    def _combined(
        self,
        rows: Mapping[str, list[Tensor | None]],
        places: Sequence[int],
        combine: Combine,
    ) -> list[Tensor]:
        """The gradient of some weights, from those of tasks that are then let go."""
        weights = [self._weights[place] for place in places]
        sizes = [weight.numel() for weight in weights]
        kind = torch.float32
        for weight in weights:
            kind = torch.promote_types(kind, weight.dtype)
        matrix = torch.empty(len(rows), sum(sizes), dtype=kind, device=weights[0].device)
        for own, row in zip(rows.values(), matrix, strict=True):
            for place, part in zip(places, row.split(sizes), strict=True):
                grad, own[place] = own[place], None
                assert grad is not None
                part.copy_(grad.reshape(-1))
        made = _of_numbers(matrix, list(rows), combine)
        return [
            part.view_as(weight).to(weight.dtype)
            for part, weight in zip(made.split(sizes), weights, strict=True)
        ]


def _added(grad: Tensor | None, further: Tensor | None) -> Tensor | None:
    """Of both together, where there are both."""
    if grad is None or further is None:
        return further if grad is None else grad
    return grad.add_(further)


def _of_numbers(matrix: Tensor, tasks: Sequence[str], combine: Combine) -> Tensor:
    """What `combine` makes of rows that are numbers and not zero."""
    largest = torch.linalg.vector_norm(matrix, math.inf, dim=1).tolist()
    living = [place for place, value in enumerate(largest) if value]
    if len(living) < 2 or not all(map(math.isfinite, largest)):
        return matrix.sum(0)
    if len(living) < len(tasks):
        matrix = matrix[living]
    return combine(matrix, [tasks[place] for place in living])
