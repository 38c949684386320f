"""The products of a weight's copies, which springs and trace norms are made of."""

import pytest
import torch
from torch import Tensor

from hiermtl.sharing import columns
from hiermtl.sharing.columns import gram
from hiermtl.sharing.soft_trace import norm_of_gram


def copies(*shape: int, count: int = 3, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    random = torch.Generator().manual_seed(sum(shape))
    return [torch.randn(shape, generator=random, dtype=dtype) for _ in range(count)]


def by_hand(own: list[Tensor], origin: Tensor | None) -> Tensor:
    away = torch.stack([(copy if origin is None else copy - origin).flatten() for copy in own])
    return away @ away.T


@pytest.fixture(params=[1, 7, 512, 1 << 16])
def part(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Parts and blocks into which weights do not divide."""
    monkeypatch.setattr(columns, "PART", request.param)
    monkeypatch.setattr(columns, "BLOCK", min(columns.BLOCK, max(1, request.param // 3)))
    return request.param


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("shape", [(5, 3), (11,), ()])
def test_it_is_the_product_of_what_copies_are_away(
    part: int, shape: tuple[int, ...], centred: bool
) -> None:
    own = copies(*shape)
    origin = copies(*shape, count=4)[-1] if centred else None
    assert torch.allclose(gram(own, origin), by_hand(own, origin))


def test_each_copy_may_have_an_origin_of_its_own(part: int) -> None:
    own, origins = copies(5, 3), torch.stack(copies(3, 5)).transpose(1, 2)
    own = [copy.requires_grad_() for copy in own]
    away = torch.stack(
        [(copy - origin).flatten() for copy, origin in zip(own, origins, strict=True)]
    )
    assert torch.allclose(gram(own, origins), away @ away.T)
    factors = torch.arange(9.0, dtype=torch.float64).view(3, 3)
    found = torch.autograd.grad((factors * gram(own, origins)).sum(), own)
    expected = torch.autograd.grad((factors * (away @ away.T)).sum(), own)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other)


@pytest.mark.parametrize("centred", [True, False])
def test_its_gradient_is_that_of_the_product(part: int, centred: bool) -> None:
    """The factors are not symmetric, so that one side alone would show."""
    own = [copy.requires_grad_() for copy in copies(5, 3)]
    origin = copies(5, 3, count=4)[-1] if centred else None
    factors = torch.arange(9.0, dtype=torch.float64).view(3, 3)
    found = torch.autograd.grad((factors * gram(own, origin)).sum(), own)
    expected = torch.autograd.grad((factors * by_hand(own, origin)).sum(), own)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other)
    # The control: of one side alone.
    away = torch.stack([copy if origin is None else copy - origin for copy in own])
    wrong = torch.einsum("st,t...->s...", 2 * factors, away)
    assert not torch.allclose(torch.stack(found), wrong)


def test_half_a_million_products_in_fp32_lose_nothing_to_speak_of() -> None:
    """Summed in fp32 as one product, the last digits that a square root needs are gone."""
    own = copies(1536, 384, dtype=torch.float32)
    exact = by_hand([copy.double() for copy in own], None)
    found = gram(own)
    assert found.dtype == torch.float64
    assert float((found - exact).abs().max()) < 1e-8 * float(exact.max())


@pytest.mark.parametrize("apart", [0.0, 1e-5, 1e-4, 1e-3])
def test_gradients_of_nearly_equal_copies_are_those_in_doubles(apart: float) -> None:
    """Of a smoothed trace norm, whose factors are large and nearly cancel each other."""
    base, *others = copies(64, 64, count=5, dtype=torch.float32)
    own = [base + apart * other for other in others]
    eps = 1e-4 * torch.linalg.vector_norm(base).double()
    exact = [copy.double().requires_grad_() for copy in own]
    values = torch.linalg.svdvals(torch.stack(exact, -1).view(-1, len(own)))
    expected = torch.stack(torch.autograd.grad(((values**2 + eps**2).sqrt() - eps).sum(), exact))

    def error(products: Tensor, given: list[Tensor]) -> float:
        found = torch.autograd.grad(norm_of_gram(products, eps), given)
        return float((torch.stack(found) - expected).norm() / expected.norm())

    given = [copy.clone().requires_grad_() for copy in own]
    assert error(gram(given), given) < 1e-4
    if apart == 1e-4:
        # The control: products as they stand.
        rows = torch.stack(given).flatten(1)
        assert error((rows @ rows.T).double(), given) > 1e-2


def test_nothing_is_kept_but_the_weights() -> None:
    own = [copy.requires_grad_() for copy in copies(50, 30)]
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        gram(own, own[0])
    assert {tensor.data_ptr() for tensor in kept} == {copy.data_ptr() for copy in own}


def test_weights_in_half_precision_are_widened_first() -> None:
    own = [copy.bfloat16().requires_grad_() for copy in copies(5, 3)]
    found = gram(own, own[0])
    assert torch.allclose(found, by_hand([copy.double() for copy in own], own[0].double()))
    (grad, *_) = torch.autograd.grad(found.sum(), own)
    assert grad.dtype == torch.bfloat16
