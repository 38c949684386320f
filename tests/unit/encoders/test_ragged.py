"""Attention over rows end to end, with kernels that torch has for graphics processors alone.

Elsewhere plain products stand in for the kernels; they read rows off their edges.
"""

import dataclasses
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from hiermtl.encoders import attention, ragged
from hiermtl.records import Layout, placed, recurring
from tests.unit.encoders.test_families import (
    CONFIGS,
    assert_alike,
    batch_of,
    family_of,
    gradients,
    library,
    states,
)

BY_KERNELS = [name for name in CONFIGS if not name.startswith(("deberta", "mpnet"))]
"""Encoders whose attention adds nothing to scores."""

needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="there is no graphics processor to run the kernels"
)


def stand_in(
    query: Tensor, key: Tensor, value: Tensor, edges: Tensor, longest: int, _: float = 0.0
) -> Tensor:
    assert edges.dtype == torch.int32
    assert edges[-1] == len(query)
    found = []
    for start, end in pairwise(edges.tolist()):
        assert end - start <= longest
        q, k, v = (x[start:end].transpose(0, 1) for x in (query, key, value))
        scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
        found.append((scores.softmax(-1) @ v).transpose(0, 1))
    return torch.cat(found)


def taken_for(monkeypatch: pytest.MonkeyPatch, kernel: str) -> None:
    """Rows are as on a graphics processor; the other kernel must not be called."""
    monkeypatch.setattr(ragged, "fits", lambda *_: True)
    for name in ("efficient", "flash"):
        monkeypatch.setattr(ragged, name, stand_in if name == kernel else None)


@pytest.mark.parametrize("name", BY_KERNELS)
@torch.no_grad()
def test_states_are_those_of_rows_one_by_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = family_of(name)(CONFIGS[name], library(name))
    apart = states(encoder, batch_of(name, flat=True))
    taken_for(monkeypatch, "efficient")
    batch = batch_of(name, flat=True)
    count = int(batch.layout.row_lengths.sum())
    assert count < batch.layout.units
    for left, right in zip(apart, states(encoder, batch), strict=True):
        torch.testing.assert_close(left[:count], right[:count], rtol=0, atol=2e-5)
    # Rows that are taken for others must show.
    edges = ragged._edges
    monkeypatch.setattr(ragged, "_edges", lambda lengths, device: edges(lengths[::-1], device))
    wrong = states(encoder, batch_of(name, flat=True))[-1][:count]
    assert float((wrong - apart[-1][:count]).abs().max()) > 1e-3


@pytest.mark.parametrize("name", BY_KERNELS)
def test_gradients_are_those_of_rows_one_by_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = family_of(name)(CONFIGS[name], library(name))
    found = []
    for kernels in (False, True):
        if kernels:
            taken_for(monkeypatch, "efficient")
        found.append(gradients(encoder, name))
    assert_alike(*found)


@pytest.mark.parametrize(
    ("longest", "dtype", "dropout", "kernel"),
    [
        (ragged.LONG - 1, torch.bfloat16, 0.0, "efficient"),
        (ragged.LONG, torch.bfloat16, 0.0, "flash"),
        (ragged.LONG, torch.float32, 0.0, "efficient"),
        (ragged.LONG - 1, torch.bfloat16, 0.1, "flash"),
    ],
)
def test_long_rows_of_halves_and_dropout_take_the_kernel_for_them(
    longest: int,
    dtype: torch.dtype,
    dropout: float,
    kernel: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken_for(monkeypatch, kernel)
    lengths = np.array([longest, 3])
    layout = dataclasses.replace(
        batch_of("bert", flat=True).layout, row_lengths=lengths, units=longest + 3, _cache={}
    )
    values = torch.randn(layout.units, 16, dtype=dtype)
    found = attention.attend(values, values, values, layout, 2, dropout)
    assert found.shape == values.shape


@pytest.mark.parametrize(
    ("dtype", "size", "dropout", "recent", "there"),
    [
        (torch.float32, 64, 0.0, False, True),
        (torch.float16, 64, 0.0, False, True),
        (torch.bfloat16, 64, 0.0, True, True),
        (torch.bfloat16, 64, 0.0, False, False),
        (torch.float64, 64, 0.0, True, False),
        (torch.float32, 12, 0.0, True, False),
        (torch.float32, 256, 0.0, True, True),
        (torch.float32, 264, 0.0, True, False),
        (torch.bfloat16, 64, 0.1, True, True),
        (torch.float16, 64, 0.1, False, False),
        (torch.float32, 64, 0.1, True, False),
        (torch.bfloat16, 12, 0.1, True, False),
    ],
)
def test_what_no_kernel_is_for_is_padded(
    dtype: torch.dtype, size: int, dropout: float, recent: bool, there: bool
) -> None:
    assert ragged.known(dtype, size, dropout, recent=recent) == there


def test_processors_have_no_such_kernels() -> None:
    assert not ragged.fits(torch.zeros(1, 16), 2)


def test_batches_for_other_devices_are_not_rounded_up_by_shares() -> None:
    cuda = torch.device("cuda")
    for count in (9, 1000, 12_345):
        assert count <= recurring(count, device=cuda) < count + 8 <= recurring(count) + 8
        assert recurring(count, 4, 1, device=cuda) == count
    assert recurring(12_345) > recurring(12_345, device=cuda)


def test_values_are_placed_as_they_are() -> None:
    array = np.arange(6).reshape(2, 3).T
    assert torch.equal(placed(array, torch.device("cpu")), torch.from_numpy(array.copy()))


def layout_on(device: str, longest: int) -> Layout:
    """Fifty rows, and five units of none."""
    lengths = np.random.default_rng(0).integers(1, longest, size=50)
    return dataclasses.replace(
        batch_of("bert", flat=True).layout,
        row_lengths=lengths,
        row_starts=np.cumsum(lengths) - lengths,
        row_sentences=np.arange(50),
        units=int(lengths.sum()) + 5,
        device=torch.device(device),
        _cache={},
    )


@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("longest", [20, 60, 200])
def test_kernels_agree_with_padded_rows(
    dtype: torch.dtype, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = layout_on("cuda", longest)
    torch.manual_seed(0)
    given = [torch.randn(layout.units, 256, device="cuda", dtype=dtype) for _ in range(4)]
    count, found = int(layout.row_lengths.sum()), []
    for kernels in (True, False):
        if not kernels:
            monkeypatch.setattr(ragged, "fits", lambda *_: False)
        layout = dataclasses.replace(layout, _cache={})
        parts = [x.clone().requires_grad_() for x in given[:3]]
        out = attention.attend(parts[0], parts[1], parts[2], layout, 4, 0.0)
        gradients = torch.autograd.grad((out * given[3])[:count].sum(), parts)
        found.append([x.detach()[:count] for x in (out, *gradients)])
    for own, padded in zip(*found, strict=True):
        apart = (own.float() - padded.float()).norm() / padded.float().norm()
        assert float(apart) < (1e-5 if dtype == torch.float32 else 1e-2)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("longest", [20, 60, 200])
def test_gradients_are_those_of_the_masks_that_were_drawn(
    longest: int, dtype: torch.dtype, device: str
) -> None:
    layout = layout_on(device, longest)
    torch.manual_seed(0)
    query, key, value, above = (
        torch.randn(layout.units, 256, device=device, dtype=dtype) for _ in range(4)
    )

    def apart(attend: Callable[[Tensor], Tensor]) -> float:
        # What a row reads is linear in its values, whatever the mask.
        given = value.clone().requires_grad_()
        out = attend(given)
        (found,) = torch.autograd.grad(out, given, above)
        through, back = (
            torch.stack([part.sum() for part in both.split([*layout.row_lengths, 5])[:-1]])
            for both in (out.detach().double() * above, found.double() * given.detach())
        )
        return float((through - back).norm() / through.norm())

    def attend(values: Tensor) -> Tensor:
        return attention.attend(query, key, values, layout, 4, 0.3)

    def drawn_twice(values: Tensor) -> Tensor:
        """Forwards with one mask, backwards with another."""
        first, second = attend(values), attend(values)
        return second + (first - second).detach()

    bound = 1e-5 if dtype == torch.float32 else 3e-2
    assert apart(attend) < bound
    assert apart(drawn_twice) > 10 * bound
