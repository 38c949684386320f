"""Soft parameter sharing: an encoder per task, each weight held to its copies by a spring.

Source: Duong et al. 2015 (Low resource dependency parsing), section 3, whose model of one language
is held to another's, trained before and fixed: here `anchor: source`, the copies' common start. The
symmetric form, `anchor: mean`, is that of later overviews (Ruder 2017, section 3.2). With theta_t
the copies of one weight,

    mean:    strength * sum over pairs |theta_s - theta_t|^2 = strength * T * sum |theta_t - mean|^2
    source:  strength * sum |theta_t - source|^2

added to the loss once per step. Departs: copies start equal, as they must for distances between
them to mean anything (in a trained model that is extended each has a source of its own, what it was
then); the embeddings are shared unless `shared_below` is 0, where the paper's languages have tables
of their own. `decoupled` leaves the gradient alone and moves each copy after the step by the closed
form of the spring's pull, whose strength AdamW would otherwise undo; it is stable however strong.
Shapes: a stream (units, width) per task. Limits: strength 0 is independent encoders; decoupled and
ever stronger, copies stay equal.
"""

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from hiermtl.hierarchy import Hierarchy
from hiermtl.precision import full_precision
from hiermtl.sharing.base import check_choice
from hiermtl.sharing.columns import Columns, gram, start_of

if TYPE_CHECKING:
    from hiermtl.sharing.routes import Stack

ANCHORS = ("mean", "source")


class SoftL2(Columns):
    """Copies tied by their squared distance."""

    name = "soft_l2"
    remedies = MappingProxyType({"l2": "lower sharing.strength"})

    def __init__(
        self,
        hierarchy: Hierarchy,
        widths: Sequence[int],
        *,
        strength: float = 1e-3,
        anchor: Literal["mean", "source"] = "mean",
        decoupled: bool = False,
        shared_below: int = 1,
        **options: Any,
    ) -> None:
        """Takes the spring's strength, per squared unit of weight, and what it is tied to."""
        super().__init__(
            hierarchy,
            widths,
            shared_below=shared_below,
            strength=strength,
            anchor=anchor,
            decoupled=decoupled,
            **options,
        )
        check_choice("anchor", anchor, ANCHORS)
        self.strength, self.anchor, self.decoupled = strength, anchor, decoupled

    def ties(self, depth: int) -> Sequence[Sequence[str]]:
        """All copies."""
        return self.groups(depth)

    def begin(self, stack: "Stack", heads: nn.ModuleDict) -> None:
        """Remembers the source."""
        if self.anchor == "source":
            self.anchors = {name: start_of(copies) for name, copies in self.copied(stack)}

    def penalties(self, stack: "Stack", heads: nn.ModuleDict) -> dict[str, Tensor]:
        """The springs' energy, unless it is decoupled."""
        if self.decoupled or not self.strength:
            return {}
        terms = []
        for name, copies in self.copied(stack):
            origin = self.anchors[name] if self.anchor == "source" else copies[0]
            products = gram(copies, origin)
            energy = products.trace()
            if self.anchor == "mean":
                energy = len(copies) * energy - products.sum()
            terms.append(energy.to(full_precision(copies[0]).dtype))
        return {"l2": self.strength * torch.stack(terms).sum()} if terms else {}

    def after_step(
        self,
        stack: "Stack",
        heads: nn.ModuleDict,
        step: int,
        *,
        rates: Callable[[nn.Parameter], float],
    ) -> None:
        """Moves copies by the implicit step, away = away / (1 + 2 rate factor), if decoupled."""
        if not self.decoupled:
            return
        with torch.no_grad():
            for name, copies in self.copied(stack):
                centres = self._centre(name, copies).expand(len(copies), *copies[0].shape)
                for copy, centre in zip(copies, centres, strict=True):
                    pull = 2 * rates(copy) * self._factor(len(copies))
                    copy.copy_(full_precision(copy).lerp(centre, pull / (1 + pull)))

    def _centre(self, name: str, copies: Sequence[Tensor]) -> Tensor:
        """What copies are tied to, one for all or one for each.

        The mean of equal numbers is that number, bit for bit.
        """
        if self.anchor == "source":
            return full_precision(self.anchors[name])
        first = full_precision(copies[0]).detach()
        return first + sum(full_precision(copy).detach() - first for copy in copies[1:]) / len(
            copies
        )

    def _factor(self, copies: int) -> float:
        return self.strength * (copies if self.anchor == "mean" else 1)
