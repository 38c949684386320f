"""Trace norms over copies. Source: the invariants of soft sharing by trace norms."""

import pytest
import torch
from torch import Tensor

from hiermtl.errors import RecipeError
from hiermtl.sharing.soft_trace import smooth_trace_norm, unfolded
from tests.unit.sharing.columns import HEADS, gradients, make, penalty

TINY = 1e-9


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def trace(matrix: Tensor) -> Tensor:
    return torch.linalg.svdvals(matrix).sum()


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (1, 6)])
def test_it_is_the_sum_of_singular_values(shape: tuple[int, int]) -> None:
    matrix = random(*shape)
    assert torch.allclose(smooth_trace_norm(matrix, TINY), trace(matrix))
    matrix.requires_grad_()
    (found,) = torch.autograd.grad(smooth_trace_norm(matrix, TINY), matrix)
    left, _, right = torch.linalg.svd(matrix.detach(), full_matrices=False)
    assert torch.allclose(found, left @ right)
    assert torch.allclose(torch.linalg.matrix_norm(found, 2), torch.ones((), dtype=found.dtype))


def test_its_gradient_is_that_of_finite_differences() -> None:
    matrix = random(4, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: smooth_trace_norm(m, 0.1), matrix)
    zero = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(smooth_trace_norm(zero, 0.1), zero)
    assert not found.any()


def test_a_rotation_changes_nothing() -> None:
    matrix = random(5, 3)
    rotation, _ = torch.linalg.qr(random(5, 5, seed=1))
    for eps in (TINY, 0.3):
        assert torch.allclose(
            smooth_trace_norm(rotation @ matrix, eps), smooth_trace_norm(matrix, eps)
        )


def test_it_lies_between_the_norm_and_the_rank_times_it() -> None:
    matrix = random(6, 4)
    found, norm = smooth_trace_norm(matrix, TINY), matrix.norm()
    assert norm <= found <= 4**0.5 * norm


@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_equal_and_orthogonal_copies(tasks: int) -> None:
    one = random(4, 6)
    equal = torch.stack([one] * tasks, dim=-1).requires_grad_()
    (by_task,) = unfolded(equal, "laf")
    found = smooth_trace_norm(by_task, 1e-4 * float(one.norm()))
    assert torch.allclose(found, tasks**0.5 * one.norm(), rtol=1e-4)
    (grad,) = torch.autograd.grad(found, equal)
    between = grad - grad.mean(-1, keepdim=True)
    assert between.norm() < 1e-6
    # The control: the norm as it is drives equal copies apart.
    (kick,) = torch.autograd.grad(trace(equal.reshape(-1, tasks)), equal)
    assert (kick - kick.mean(-1, keepdim=True)).norm() > 0.5
    apart, _ = torch.linalg.qr(random(24, tasks))
    (flat,) = unfolded((3 * apart).reshape(4, 6, tasks), "laf")
    assert torch.allclose(smooth_trace_norm(flat, TINY), torch.full_like(found, 3.0 * tasks))


def test_the_variants_unfold_the_right_axes() -> None:
    tensor = random(3, 4, 2)
    first = torch.stack([tensor[i].reshape(-1) for i in range(3)])
    second = torch.stack([tensor[:, j].reshape(-1) for j in range(4)])
    task = torch.stack([tensor[:, :, t].reshape(-1) for t in range(2)], dim=-1)
    for variant, expected in (
        ("laf", [task]),
        ("tucker", [first, second, task]),
        ("tt", [first, task]),
    ):
        found = unfolded(tensor, variant)
        assert [m.shape for m in found] == [m.shape for m in expected]
        for one, other in zip(found, expected, strict=True):
            assert torch.allclose(trace(one), trace(other))
    # The control: with the task axis first, "last axis" would be the output units'.
    wrong = tensor.permute(2, 0, 1)
    assert not torch.allclose(trace(unfolded(wrong, "laf")[0]), trace(task))


@pytest.mark.parametrize("center", ["init", "zero"])
@pytest.mark.parametrize("variant", ["laf", "tucker", "tt"])
def test_the_term_is_that_of_every_matrix_with_copies(variant: str, center: str) -> None:
    weights = {"laf": [2.0], "tucker": [0.5, 0.0, 2.0], "tt": [0.0, 3.0]}[variant]
    scheme, stack = make(
        "soft_trace",
        strength=0.1,
        variant=variant,
        center=center,
        eps=1e-7,
        mode_weights=weights,
    )
    expected = 0.0
    for name, copies in scheme.copied(stack):
        if copies[0].dim() == 2:
            start = scheme.anchors[name] if center == "init" else 0
            whole = torch.stack([copy - start for copy in copies], dim=-1)
            for matrix, weight in zip(unfolded(whole, variant), weights, strict=True):
                expected += weight * trace(matrix)
    assert torch.allclose(penalty(scheme, stack), 0.1 * expected, rtol=1e-5)


def test_at_the_start_nothing_moves_a_copy() -> None:
    scheme, stack = make("soft_trace", spread=0)
    assert penalty(scheme, stack) == 0
    assert all(not grad.any() for grad in gradients(scheme, stack).values())


def test_anchors_come_back_with_a_run() -> None:
    scheme, stack = make("soft_trace")
    expected = penalty(scheme, stack)
    again, other = make("soft_trace", spread=0)
    other.load_state_dict(stack.state_dict())
    again.anchors = scheme.anchors
    assert penalty(again, other) == expected
    again.begin(other, HEADS)
    assert penalty(again, other) != expected, "a start that is taken anew is another"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "tuker"}, r"sharing\.variant is 'tuker'; .* did you mean 'tucker'"),
        ({"center": "mean"}, r"sharing\.center is 'mean'; allowed are init and zero"),
        ({"mode_weights": [1, 2]}, r"has 2 numbers, but variant 'laf' has 1 terms"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make("soft_trace", **options)


@pytest.mark.parametrize("variant", ["laf", "tucker", "tt"])
def test_of_copies_that_a_model_brings_deviations_are_each_from_its_own_start(variant: str) -> None:
    """As where a trained model is extended: at the start there are none."""
    scheme, stack = make("soft_trace", variant=variant)
    apart = float(penalty(scheme, stack).detach())
    scheme.begin(stack, HEADS)
    assert 0 <= float(penalty(scheme, stack).detach()) < 1e-6 * apart
    assert all(grad.norm() < 1e-6 for grad in gradients(scheme, stack).values())
