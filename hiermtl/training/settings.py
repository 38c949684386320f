"""How a run trains, as plain values with their units."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the loop needs beside model and data.

    lr, lr_heads: peak rates of encoder and heads. layer_decay: the rate of depth k is `lr *
    layer_decay ** (top - k)`. warmup: steps, or a share of all steps when below 1. clip: largest
    gradient norm, 0 for none. tokens_per_batch: units per optimizer step over all processes.
    accumulation: pieces a process cuts its share into. patience: evaluations without a better main
    score before stopping. evaluate_every: epochs. checkpoint_every: steps, beside the one at each
    evaluation. flat: rows without padding.
    """

    epochs: int = 6
    max_steps: int | None = None
    seed: int = 0
    precision: str = "auto"
    lr: float = 4e-4
    lr_heads: float = 2e-3
    layer_decay: float = 1.0
    warmup: float = 100
    weight_decay: float = 0.01
    clip: float = 5.0
    tokens_per_batch: int = 1024
    accumulation: int = 1
    patience: int | None = None
    evaluate_every: int = 1
    checkpoint_every: int | None = None
    keep_checkpoints: int = 1
    freeze_below: int = 0
    flat: bool = True


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes in bf16 itself instead of imitating it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    known = torch.cpu.get_capabilities()
    return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` becomes bf16 where the device has it, else fp32."""
    return precision if precision != "auto" else "bf16" if has_bf16(device) else "fp32"
