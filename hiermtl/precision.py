"""Devices, and the number types they compute in themselves."""

import torch
from torch import Tensor


def resolve_device(device: str | None) -> str:
    """`None` becomes `cuda` where there is one, else `cpu`."""
    if device is not None:
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes in bf16 itself instead of imitating it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    known = torch.cpu.get_capabilities()
    return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def full_precision(values: Tensor) -> Tensor:
    """At least fp32: half-precision values are widened, fp64 stays."""
    return values if values.dtype.itemsize >= 4 else values.float()


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` becomes bf16 where the device has it, else fp32."""
    return precision if precision != "auto" else "bf16" if has_bf16(device) else "fp32"
