"""How the tasks of a step are weighed against each other: their losses, or their gradients.

Each starts from the recipe's weights, 1 unless it says otherwise. Those that weigh losses are at
the start, or on average, the weighted sum of losses per labelled item.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from hiermtl.seeding import derived_seed


class Balancer(nn.Module):
    """Fixed weights.

    One that weighs losses gives other terms. One that weighs gradients is `apart` and gives another
    `combine`; what it remembers from step to step is in its `state_dict`.
    """

    name: ClassVar[str] = "static"

    apart: ClassVar[bool] = False
    """Whether it wants the gradient of each task by itself, to `combine` them."""

    def __init__(self, weights: Mapping[str, float], *, seed: int = 0) -> None:
        """Takes the recipe's weight of each task."""
        super().__init__()
        self.weights, self.seed = dict(weights), seed

    def forward(
        self, losses: Mapping[str, Tensor], *, step: int, own: Collection[str]
    ) -> dict[str, Tensor]:
        """Each task's term of the loss to descend, () each.

        `losses` are per labelled item of the whole step, or this piece's part of them. `own` are
        the tasks whose further terms are added: all of the step's in one of its pieces, none in the
        others.
        """
        return {task: self.weights[task] * loss for task, loss in losses.items()}

    def combine(self, rows: Tensor, tasks: Sequence[str], *, step: int) -> Tensor:
        """The gradient of weights that several tasks reach, (weights,), asked where it is `apart`.

        `rows` are the gradients of these tasks' terms over the whole step, (tasks, weights), at
        least two of them, in fp32 or fp64, none of them zero and all finite; they may be
        overwritten. Weights that the same tasks reach come together, once a step.
        """
        return rows.sum(0)

    def factors(self, step: int) -> dict[str, float]:
        """What each task's weight is multiplied by at a step; empty where nothing is."""
        return {}


class UncertaintyBalancer(Balancer):
    """Weights that are learnt with the model, each task's falling with its loss.

    Source: Kendall, Gal and Cipolla 2018 (Multi-Task Learning Using Uncertainty to Weigh Losses),
    section 3.2: exp(-s) L + s, where s is the logarithm of a task's variance. Departs: twice the
    paper's objective for regression, for all tasks, so that s = 0 is fixed weights; s is at rest
    where exp(s) = L.
    """

    name = "uncertainty"

    def __init__(self, weights: Mapping[str, float], *, seed: int = 0) -> None:
        """Starts with the recipe's weights."""
        super().__init__(weights, seed=seed)
        self.log_variances = nn.ParameterDict({task: torch.zeros(()) for task in weights})

    def forward(
        self, losses: Mapping[str, Tensor], *, step: int, own: Collection[str]
    ) -> dict[str, Tensor]:
        """As `Balancer.forward`."""
        terms = {
            task: self.weights[task] * torch.exp(-self.log_variances[task]) * loss
            for task, loss in losses.items()
        }
        for task in own:
            further = self.weights[task] * self.log_variances[task]
            terms[task] = terms[task] + further if task in terms else further
        return terms

    def factors(self, step: int) -> dict[str, float]:
        """exp(-s) of each task."""
        with torch.no_grad():
            return {task: float(torch.exp(-s)) for task, s in self.log_variances.items()}


class RandomBalancer(Balancer):
    """Weights drawn anew at each step: the control that a method must beat.

    Source: Lin et al. 2022 (Reasonable Effectiveness of Random Weighting), section 3: the softmax
    of normal numbers. Departs: times the number of tasks, so that weights are 1 on average.
    """

    name = "random"

    def forward(
        self, losses: Mapping[str, Tensor], *, step: int, own: Collection[str]
    ) -> dict[str, Tensor]:
        """As `Balancer.forward`."""
        factors = self.factors(step)
        return {task: self.weights[task] * factors[task] * loss for task, loss in losses.items()}

    def factors(self, step: int) -> dict[str, float]:
        """Those of the step, the same in every process and piece."""
        generator = torch.Generator().manual_seed(derived_seed(self.seed, "balancing", step))
        drawn = torch.randn(len(self.weights), generator=generator).softmax(0) * len(self.weights)
        return dict(zip(self.weights, drawn.tolist(), strict=True))


BALANCERS: Mapping[str, type[Balancer]] = {
    kind.name: kind for kind in (Balancer, UncertaintyBalancer, RandomBalancer)
}
"""The rows of the recipe's table `balancing`."""
