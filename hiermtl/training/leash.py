"""Successive regularisation: what lower tasks stand on is tied to where a phase found it.

Source: Hashimoto et al. 2017 (A Joint Many-Task Model), sections 3.1 to 3.5: while a task is
trained, delta times the squared distance of the lower tasks' weights from their values at the start
of the phase is added to its loss; under the lowest task these are the embeddings. Lower tasks are
all that come before in a phase's order. Departs: delta stands beside losses per labelled item where
the paper has sums, and may be applied apart from the gradient: under AdamW a term of the loss is
rescaled by second moments, so that its strength would depend on the task. All in fp32: in bf16
small distances vanish.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from hiermtl.model import HierarchicalModel
from hiermtl.precision import full_precision
from hiermtl.sharing import Edit
from hiermtl.training.optimizer import like


class Leash:
    """The weights at the start of a phase, and what holds the model to them.

    `anchors` are weights by name; none before the first phase.
    """

    def __init__(
        self, model: HierarchicalModel, order: Sequence[str], *, strength: float, heads: float
    ) -> None:
        """Takes the tasks in the order of their phases, and delta for encoder and heads."""
        self._model, self._order = model, list(order)
        self._strength, self._heads = strength, heads
        self.anchors: dict[str, Tensor] = {}

    def opens(self, task: str) -> None:
        """A phase begins: remembers the weights that lower tasks depend on."""
        names = self._lower(task)
        self.anchors = {
            name: full_precision(parameter.detach()).clone()
            for name, parameter in self._model.named_parameters()
            if name in names and parameter.requires_grad
        }

    def follow(self, edit: Edit, task: str) -> None:
        """Goes on in the task's phase after a change of structure.

        New copies are held where their parents are; what lower tasks no longer stand on is not.
        """
        names = self._lower(task)
        held = self.anchors | {
            child: self.anchors[parent].clone()
            for child, parent in edit.born.items()
            if parent in self.anchors
        }
        self.anchors = {name: anchor for name, anchor in held.items() if name in names}

    def restore(self, anchors: Mapping[str, Tensor]) -> None:
        """Goes on in the phase that was broken off."""
        named = dict(self._model.named_parameters())
        self.anchors = {name: like(named[name], value) for name, value in anchors.items()}

    def distance(self) -> Tensor:
        """The term of the paper: delta times the squared distance, summed; () fp32."""
        terms = [
            delta * (full_precision(parameter.detach()) - anchor).square().sum()
            for parameter, anchor, delta in self._held()
        ]
        return torch.stack(terms).sum() if terms else torch.zeros(())

    @torch.no_grad()
    def add_gradient(self) -> None:
        """Adds the term's derivative to the gradients of a whole step.

        What the step did not reach has no gradient and stands where its phase found it.
        """
        for parameter, anchor, delta in self._held():
            if parameter.grad is not None:
                away = full_precision(parameter.detach()) - anchor
                parameter.grad.add_(away.to(parameter.grad.dtype), alpha=2 * delta)

    @torch.no_grad()
    def pull(self, optimizer: torch.optim.Optimizer) -> None:
        """Moves weights towards their anchors, just before a step.

        By 2 delta and their own rate of the distance, at most all of it: label vectors are held as
        the encoder is, but move at the rate of heads.

        Weights that the step will not move have no gradient and stay. As AdamW's decay does it, the
        distance is the one before the step, so that a phase's first step is the one without.
        """
        rates = {
            id(parameter): group["lr"]
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        for parameter, anchor, delta in self._held():
            if parameter.grad is None:
                continue
            share = min(1.0, 2 * delta * rates[id(parameter)])
            if parameter.dtype == anchor.dtype:  # in one pass over both, without a copy
                parameter.lerp_(anchor, share)
            else:
                away = full_precision(parameter.detach()) - anchor
                parameter.sub_((share * away).to(parameter.dtype))

    def _lower(self, task: str) -> Collection[str]:
        """The names of the weights that are held in the task's phase, and of frozen ones."""
        lower = self._order[: self._order.index(task)]
        if lower:
            return set().union(*(self._model.depends_on(name) for name in lower))
        own = self._model.depends_on(task)
        return {name for name in own if name.startswith("stack.embeddings.")}

    def _held(self) -> Iterator[tuple[nn.Parameter, Tensor, float]]:
        named = dict(self._model.named_parameters())
        for name, anchor in self.anchors.items():
            yield named[name], anchor, self._heads if name.startswith("heads.") else self._strength
