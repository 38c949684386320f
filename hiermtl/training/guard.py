"""Steps whose gradient is no number: left out, counted, and in the end too many.

Whether a step is left out is decided on the device, by the gradient that all processes share, so
that none waits and none disagrees; what was decided is looked at now and then. In fp16 the loss is
multiplied by a scale, which such a step halves and a long row of others doubles (Micikevicius et
al. 2018, Mixed Precision Training, section 3.2); only those that a scale of 1 does not help count.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from hiermtl.errors import RunError

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
        self._noted: list[tuple[int, Tensor]] = []
        self._row: list[int] = []

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss whose gradient is to be computed."""
        return loss * self._scale if self._half else loss

    def check(
        self, trained: "TrainingStep", losses: Mapping[str, Tensor], *, step: int, clip: float
    ) -> Tensor:
        """Undoes the scale and clips; returns `bad`, 1 where the step must be left out, else 0.

        Of no number may be the norm of the whole gradient, or a loss. What balancing learns is not
        clipped, and does not shorten the model's steps.
        """
        own, beside = (
            [p.grad for p in part.parameters() if p.grad is not None]
            for part in (trained.model, trained.balancer)
        )
        for grad in (*own, *beside) if self._half else ():
            grad.div_(self._scale)
        norm = nn.utils.get_total_norm(own)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        known = [norm, *beside, *losses.values()]
        self.bad = (~torch.stack([value.to(norm) for value in known]).isfinite().all()).float()
        if clip:
            nn.utils.clip_grads_with_norm_(trained.model.parameters(), clip, norm)
        self._noted.append((step, self.bad * (self._scale <= 1)))
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
        bad = torch.stack([found for _, found in noted]).tolist()
        for (step, _), found in zip(noted, bad, strict=True):
            self._row = [*self._row, step] if found else []
        return [step for (step, _), found in zip(noted, bad, strict=True) if found]

    def check_row(self, place: object) -> None:
        """Raises RunError when too many steps in a row were left out.

        What they trained on is in `place`.
        """
        if len(self._row) >= self._most:
            raise RunError(
                f"the gradients of {len(self._row)} steps in a row, up to step "
                f"{self._row[-1] + 1}, are no numbers; lower training.lr or training.lr_heads, or "
                "set training.precision=fp32, and train again into another folder; what these "
                f"steps trained on is in {place}"
            )

    def state_dict(self) -> dict[str, Tensor]:
        """The scale, and how many good steps came since it changed."""
        return {"scale": self._scale, "good": self._good} if self._half else {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from a checkpoint."""
        if state:
            self._scale = state["scale"].to(self._scale)
            self._good = state["good"].to(self._good)
