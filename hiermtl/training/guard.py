"""Steps whose gradient is no number: left out, counted, and in the end too many.

Whether a step is left out is decided on the device, by the gradient that all processes share, so
that none waits and none disagrees; what was decided is looked at now and then. In fp16 the loss is
multiplied by a scale, which such a step halves and a long row of others doubles (Micikevicius et
al. 2018, Mixed Precision Training, section 3.2); a step that a smaller scale may help is left out,
but is not one too many.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from hiermtl.errors import RunError
from hiermtl.training.causes import UNKNOWN, Cause

if TYPE_CHECKING:
    from hiermtl.training.step import TrainingStep

START_SCALE, GROWTH_STEPS = 2.0**16, 2000
EVERY = 50
"""Steps between looks where looking makes a device wait."""


class Guard:
    """Lets good steps pass, and remembers the others until they are looked at."""

    def __init__(self, device: torch.device, *, half: bool = False, most: int = 10) -> None:
        """`half` for fp16, whose gradients are scaled; `most` steps in a row may be left out."""
        self.every = 1 if device.type == "cpu" else EVERY
        self.bad = torch.zeros((), device=device)
        self._half, self._most = half, most
        self._scale = torch.tensor(START_SCALE if half else 1.0, device=device)
        self._good = torch.zeros((), device=device)
        self.causes: dict[int, Cause] = {}
        """Of the steps that were left out: what was no number, unless it is their gradient."""
        self._noted: list[tuple[int, Sequence[str], Sequence[str], Tensor]] = []
        self._row: list[int] = []
        self._longest: list[int] = []

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss whose gradient is to be computed."""
        return loss * self._scale if self._half else loss

    def unscale(self, trained: "TrainingStep") -> None:
        """Undoes the scale; to be called once all gradients of a step are there."""
        for weight in trained.parameters() if self._half else ():
            if weight.grad is not None:
                weight.grad.div_(self._scale)

    def check(
        self,
        trained: "TrainingStep",
        losses: Mapping[str, Tensor],
        *,
        step: int,
        clip: float,
        terms: Mapping[str, Tensor] | None = None,
        beside: Tensor | None = None,
    ) -> Tensor:
        """Clips; returns `bad`, 1 where the step must be left out, else 0: () fp32.

        Of no number may be the norm of the whole gradient, a loss, or the sum of the terms on
        weights, which is `beside`; of them, by name, only the first process knows. What balancing
        learns is not clipped, and does not shorten the model's steps.
        """
        own, learnt = (
            [p.grad for p in part.parameters() if p.grad is not None]
            for part in (trained.model, trained.balancer)
        )
        norm = nn.utils.get_total_norm(own)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        terms = {} if terms is None else terms
        whole = norm.new_zeros(()) if beside is None else beside
        told = [whole, *losses.values(), *terms.values()]
        strange = ~torch.stack([value.to(norm) for value in told]).isfinite()
        wrong = strange.any()
        grads = torch.stack([norm, *(grad.to(norm) for grad in learnt)])
        self.bad = (wrong | ~grads.isfinite().all()).float()
        if clip:
            nn.utils.clip_grads_with_norm_(trained.model.parameters(), clip, norm)
        # A smaller scale helps where a scaled gradient was too large, but not a loss.
        fault = torch.where(wrong, 1.0, self.bad * (self._scale <= 1))
        marks = torch.cat([torch.stack([self.bad, fault]), strange[1:].float()])
        self._noted.append((step, tuple(losses), tuple(terms), marks))
        if self._half:
            self._good = (self._good + 1) * (1 - self.bad)
            grows = (self._good == GROWTH_STEPS).float()
            self._good = self._good * (1 - grows)
            self._scale = self._scale * (1 - self.bad / 2) * (1 + grows)
        return self.bad

    def look(self) -> list[int]:
        """Which steps were left out since the last look; makes a device wait."""
        noted, self._noted = self._noted, []
        if not noted:
            return []
        sizes = [len(marks) for *_, marks in noted]
        found = iter(torch.cat([marks for *_, marks in noted]).tolist())
        left_out = []
        for (step, losses, terms, _), size in zip(noted, sizes, strict=True):
            bad, fault, *strange = itertools.islice(found, size)
            self._row = [*self._row, step] if fault else []
            self._longest = max(self._longest, self._row, key=len)
            if bad:
                left_out.append(step)
                tasks = tuple(itertools.compress(losses, strange))
                self.causes[step] = Cause(
                    tasks, tuple(itertools.compress(terms, strange[len(losses) :]))
                )
        kept = {*left_out, *self._longest}
        self.causes = {step: cause for step, cause in self.causes.items() if step in kept}
        return left_out

    def check_row(
        self,
        place: object,
        *,
        search: Callable[[int], Cause] = lambda _: UNKNOWN,
        remedies: Mapping[str, str] | None = None,
    ) -> None:
        """Raises RunError when too many steps in a row were left out.

        What they trained on is in `place`. What is no number in the last of them is said where it
        is known, or `search` finds it; `remedies` are those of terms on weights.
        """
        row = self._longest
        if len(row) < self._most:
            return
        cause = search(row[-1])
        known = f": at step {row[-1] + 1} {cause}" if cause else ""
        own = {} if remedies is None else remedies
        helps = [own.get(term, f"weigh the term {term!r} less") for term in cause.terms]
        if cause.tasks or not helps:
            helps.append("lower training.lr or training.lr_heads, or set training.precision=fp32")
        raise RunError(
            f"the gradients of {len(row)} steps in a row, up to step {row[-1] + 1}, are no "
            f"numbers{known}; {'; '.join(helps)}, and train again into another folder; what they "
            f"trained on is in {place}"
        )

    def state_dict(self) -> dict[str, Tensor]:
        """The scale, how many good steps came since it changed, and the row of bad ones."""
        scale = {"scale": self._scale, "good": self._good} if self._half else {}
        return scale | ({"row": torch.tensor(self._row)} if self._row else {})

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from a checkpoint."""
        if "scale" in state:
            self._scale = state["scale"].to(self._scale)
            self._good = state["good"].to(self._good)
        self._row = state["row"].tolist() if "row" in state else []
