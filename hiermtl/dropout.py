"""Dropout with masks that are cheap to draw on a processor.

Source: Srivastava et al. 2014 (Dropout), section 4. Departs: on a processor 16 random bits decide
each value, four values to a draw of torch's generator, where torch draws once for each; the rate is
rounded to a multiple of 1/65536, and what is kept is scaled by the rounded rate. Compiled code
draws as the compiler does.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEPS = 1 << 16


class Dropout(nn.Dropout):
    """Like torch's, and drawn from torch's generator too, but from other draws."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape; zeros values at the rate `p` and scales the others, in training only."""
        return dropout(input, self.p, training=self.training)


def dropout(values: Tensor, rate: float, *, training: bool) -> Tensor:
    """`values` with a share `rate` set to 0 and the others scaled; as they are out of training."""
    if not training or not rate:
        return values
    if values.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(values, rate)
    dropped = min(round(rate * STEPS), STEPS - 1)
    count = values.numel()
    draws = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    kept = draws.view(torch.int16)[:count].view(values.shape) >= dropped - STEPS // 2
    return values * (kept.to(values.dtype) * (STEPS / (STEPS - dropped)))


def replace_dropout(module: nn.Module) -> None:
    """Puts `Dropout` in the place of every `nn.Dropout` inside a module."""
    for parent in module.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, Dropout(child.p))
