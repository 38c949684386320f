"""What makes a step's gradient no number: told by what was computed, or looked for at the end.

Which losses and terms on weights are no numbers is noted on the device in every step. Where they
are numbers and their gradients are not, the step is computed once more, part by part, when a run
ends for it: no step that goes well pays for it.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from hiermtl.errors import listing
from hiermtl.tokens import Collator
from hiermtl.training.world import of_each

if TYPE_CHECKING:
    from hiermtl.training.step import Stepper


@dataclass(frozen=True, slots=True)
class Cause:
    """What is no number in a step: losses of tasks and terms on weights, or their gradients."""

    tasks: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    gradient: bool = False

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self.tasks or self.terms)

    def __str__(self) -> str:
        """As a clause: what is no number."""
        kinds = (("the loss of {}", self.tasks), ("the term {!r} on weights", self.terms))
        named = [kind.format(name) for kind, names in kinds for name in names]
        whose = f"the gradient of {listing(named)}" if self.gradient else listing(named)
        return f"{whose} {'is' if self.gradient or len(named) == 1 else 'are'} no number"


UNKNOWN = Cause()


def search(
    stepper: "Stepper",
    collate: Collator,
    chosen: np.ndarray,
    *,
    step: int,
    task: str | None = None,
) -> Cause:
    """Whose gradient is no number in a step, each computed by itself, with weights as they are.

    All processes call it, and are told the same. Of weights held in parts nothing is found.
    """
    tasks: list[str] = []
    terms: list[str] = []
    # That a reason cannot be found, as for want of memory, must not hide what is known.
    with contextlib.suppress(RuntimeError, MemoryError):
        if not stepper.replicas.aligned:
            _search(stepper, collate, chosen, step=step, task=task, found=(tasks, terms))
    every = of_each((tasks, terms))
    return Cause(
        tuple(dict.fromkeys(name for own, _ in every for name in own)),
        tuple(dict.fromkeys(name for _, own in every for name in own)),
        gradient=True,
    )


def _search(
    stepper: "Stepper",
    collate: Collator,
    chosen: np.ndarray,
    *,
    step: int,
    task: str | None,
    found: tuple[list[str], list[str]],
) -> None:
    """Adds the names of tasks and terms, as far as it comes."""
    trained, rank = stepper.replicas.trained, stepper.accelerator.process_index
    items, every = stepper.shared_out(chosen, task)
    weights = [weight for weight in trained.parameters() if weight.requires_grad]
    trained.train()
    for place, own in enumerate(stepper.passes(every, items)):
        with stepper.computing(step, place):
            tasks, terms, _ = trained.parts(
                collate(stepper.fetched(own, task)),
                items,
                step=step,
                once=place == 0 and rank == 0,
                counted=own.counted,
                predicted=stepper.predicted(step),
            )
        for names, parts in zip(found, (tasks, terms), strict=True):
            names += [name for name, part in parts.items() if not _has_gradient(part, weights)]


def _has_gradient(part: Tensor, weights: Sequence[nn.Parameter]) -> bool:
    """Whether the norm of a part's gradient is a number."""
    if not part.requires_grad:
        return True
    grads = torch.autograd.grad(part, weights, retain_graph=True, allow_unused=True)
    norm = nn.utils.get_total_norm([grad for grad in grads if grad is not None])
    return bool(norm.isfinite())
