"""Timing of variants in turn, so that a slow minute of the machine falls on all of them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

PEAK_SHAPE = (1024, 384, 1536)
_PEAK_REPEATS = 30


@dataclass(frozen=True, slots=True)
class Variant:
    """One line of the table.

    `run` is timed, `prepare` before it is not. `words` says how much a run processes, `operations`
    how many floating-point operations that needs at least. `against` names the variants whose time
    this one's is divided by, round by round, each with what the ratio is to stay at or below
    (`None`: no goal).
    """

    name: str
    group: str
    dtype: str
    run: Callable[[], object]
    words: int
    operations: float
    prepare: Callable[[], object] | None = None
    against: Mapping[str, float | None] = field(default_factory=dict)


def synchronise(device: torch.device) -> None:
    """Waits until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def interleave(
    variants: Sequence[Variant],
    rounds: int,
    *,
    device: torch.device,
    between: Callable[[int, Mapping[str, Sequence[float]]], object] = lambda *_: None,
    say: Callable[[str], object] = lambda _: None,
) -> dict[str, list[float]]:
    """Seconds of each variant in each round, after one untimed round.

    Every round runs every variant once and begins with another one. `between` is called before
    each timed one, with its number and what the rounds before it took.
    """
    seconds: dict[str, list[float]] = {variant.name: [] for variant in variants}
    for number in range(-1, rounds):
        if number >= 0:
            between(number, seconds)
        first = max(number, 0) % len(variants)
        for variant in (*variants[first:], *variants[:first]):
            if variant.prepare is not None:
                variant.prepare()
            synchronise(device)
            began = time.perf_counter()
            variant.run()
            synchronise(device)
            taken = time.perf_counter() - began
            if number >= 0:
                seconds[variant.name].append(taken)
        say(f"round {number + 1} of {rounds}" if number >= 0 else "untimed round")
    return seconds


def ratios(seconds: Mapping[str, Sequence[float]], name: str, reference: str) -> list[float]:
    """Time of one variant over that of another, in each round."""
    return [own / other for own, other in zip(seconds[name], seconds[reference], strict=True)]


def matrix_peak(dtype: torch.dtype, device: torch.device) -> float:
    """The best GFLOP/s of one linear layer, in operands of `PEAK_SHAPE`."""
    rows, inner, columns = PEAK_SHAPE
    values = torch.randn(rows, inner).to(device, dtype)
    weight = torch.randn(columns, inner).to(device, dtype)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(_PEAK_REPEATS):
            synchronise(device)
            began = time.perf_counter()
            F.linear(values, weight)
            synchronise(device)
            best = min(best, time.perf_counter() - began)
    return 2 * rows * inner * columns / best / 1e9
