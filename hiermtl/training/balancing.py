"""How the tasks of a step are weighed against each other: their losses, or their gradients.

Each starts from the recipe's weights, 1 unless it says otherwise. Those that weigh losses are at
the start, or on average, the weighted sum of losses per labelled item.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hiermtl.errors import RunError, listing
from hiermtl.seeding import derived_seed, seeded
from hiermtl.training.aggregators import KINDS, Aggregators
from hiermtl.training.settings import Settings


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


class AggregatingBalancer(Balancer):
    """Gradients of tasks made one by an aggregator of torchjd.

    Source: Quinton and Rey 2024 (Jacobian Descent for Multi-Objective Optimization);
    each aggregator names its own paper in torchjd. Departs: weights that other tasks reach are
    aggregated by themselves, so that a task has a say in those alone which it reaches: a row of
    zeros would make MGDA stand still, and shorten what AlignedMTL gives. For the same reason
    torchjd's `mtl_backward` is not used: it knows of one set of shared weights below all tasks.
    """

    apart = True

    def __init__(
        self,
        kind: str,
        weights: Mapping[str, float],
        *,
        seed: int = 0,
        primary: str | None = None,
        **options: Any,
    ) -> None:
        """Takes a key of `KINDS` and its options; rows are gradients of weighted losses.

        `primary` is the task whose row comes first, for an aggregator to which that means
        something; weights that it does not reach have the sum of the rows.

        Raises:
            RecipeError: torchjd, or what the aggregator needs besides, is not installed.
        """
        super().__init__(weights, seed=seed)
        self.kind, self._primary = kind, primary
        self._aggregators = Aggregators(kind, options)

    def combine(self, rows: Tensor, tasks: Sequence[str], *, step: int) -> Tensor:
        """As `Balancer.combine`.

        Raises:
            RunError: The aggregator finds no answer.
        """
        if self._primary is not None:
            if self._primary not in tasks:
                return rows.sum(0)
            first = [tasks.index(self._primary)]
            order = first + [place for place in range(len(tasks)) if place not in first]
            rows, tasks = rows[order], [tasks[place] for place in order]
        try:
            with seeded(self.seed, "balancing", step, *tasks):
                return self._aggregators(rows, tasks)
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:  # solvers raise what they like
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise RunError(
                f"balancing 'torchjd.{self.kind}' finds no answer to the gradients of "
                f"{listing(tasks)} at step {step + 1} ({reason}); lower training.lr, or take "
                "another balancing, and train again into another folder"
            ) from error

    def state_dict(self, *given: Any, **options: Any) -> dict[str, Any]:
        """What aggregators remember, beside what a module has."""
        return {**super().state_dict(*given, **options), **self._aggregators.state()}

    def load_state_dict(self, state_dict: Mapping[str, Any], *given: Any, **options: Any) -> Any:
        """Goes on from a checkpoint."""
        self._aggregators.restore(state_dict)
        return super().load_state_dict({}, *given, **options)


Maker = Callable[..., Balancer]
"""Makes a balancer of the weights of tasks, a seed and options."""

BALANCERS: Mapping[str, Maker] = {
    **{kind.name: kind for kind in (Balancer, UncertaintyBalancer, RandomBalancer)},
    **{f"torchjd.{kind}": partial(AggregatingBalancer, kind) for kind in KINDS},
}
"""The rows of the recipe's table `balancing`."""


def make_balancer(settings: Settings, weights: Mapping[str, float]) -> Balancer:
    """What the settings ask for.

    Raises:
        RecipeError: It needs what is not installed.
    """
    return BALANCERS[settings.balancing](weights, seed=settings.seed, **settings.balancing_options)
