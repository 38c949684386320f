"""Steps whose gradient is no number: left out, counted, and in the end too many.

Whether a step is left out is decided on the device, by the gradient that all processes share, so
that none waits and none disagrees; what was decided is looked at now and then. In fp16 the loss is
multiplied by a scale, which such a step halves and a long row of others doubles (Micikevicius et
al. 2018, Mixed Precision Training, section 3.2); a step that a smaller scale may help is left out,
but is not one too many.
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
        self, trained: "TrainingStep", losses: Mapping[str, Tensor], *, step: int, clip: float
    ) -> Tensor:
        """Clips; returns `bad`, 1 where the step must be left out, else 0: () fp32.

        Of no number may be the norm of the whole gradient, or a loss. What balancing learns is not
        clipped, and does not shorten the model's steps.
        """
        own, beside = (
            [p.grad for p in part.parameters() if p.grad is not None]
            for part in (trained.model, trained.balancer)
        )
        norm = nn.utils.get_total_norm(own)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        told = torch.stack([norm.new_zeros(()), *(loss.to(norm) for loss in losses.values())])
        wrong = ~told.isfinite().all()
        grads = torch.stack([norm, *(grad.to(norm) for grad in beside)])
        self.bad = (wrong | ~grads.isfinite().all()).float()
        if clip:
            nn.utils.clip_grads_with_norm_(trained.model.parameters(), clip, norm)
        # A smaller scale helps where a scaled gradient was too large, but not a loss.
        fault = torch.where(wrong, 1.0, self.bad * (self._scale <= 1))
        self._noted.append((step, torch.stack([self.bad, fault])))
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
        found = torch.stack([marks for _, marks in noted]).tolist()
        steps = [step for step, _ in noted]
        for step, (_, fault) in zip(steps, found, strict=True):
            self._row = [*self._row, step] if fault else []
            self._longest = max(self._longest, self._row, key=len)
        return [step for step, (bad, _) in zip(steps, found, strict=True) if bad]

    def check_row(self, place: object) -> None:
        """Raises RunError when too many steps in a row were left out.

        What they trained on is in `place`.
        """
        row = self._longest
        if len(row) >= self._most:
            raise RunError(
                f"the gradients of {len(row)} steps in a row, up to step {row[-1] + 1}, are no "
                "numbers; lower training.lr or training.lr_heads, or set training.precision=fp32, "
                f"and train again into another folder; what they trained on is in {place}"
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
