"""Gradients of parts, put aside and joined: of plain functions, whose gradients are known."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from hiermtl.training.gradients import BESIDE, WHOLE, Gradients

Seen = list[tuple[Tensor, Sequence[str]]]


class Toy:
    """Weights `low`, which all tasks read, `up`, which some do, and `none`."""

    def __init__(self) -> None:
        self.low = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.up = nn.Parameter(torch.tensor([[3.0]]))
        self.none = nn.Parameter(torch.tensor([4.0]))
        self.frozen = nn.Parameter(torch.tensor([5.0]), requires_grad=False)
        self.gradients = Gradients([self.low, self.up, self.none, self.frozen])
        self.seen: Seen = []

    def back(self, part: str, loss: Tensor) -> None:
        self.gradients.turn_to(part)
        loss.backward()

    def summed(self, rows: Tensor, tasks: Sequence[str]) -> Tensor:
        self.seen.append((rows.clone(), tasks))
        return 10 * rows.sum(0)

    def join(self, *tasks: str) -> None:
        self.gradients.join(tasks, self.summed)


def test_a_single_part_stays_where_it_is() -> None:
    toy = Toy()
    for _ in range(2):
        toy.back(WHOLE, toy.low.sum())
    assert toy.low.grad is not None
    assert toy.low.grad.tolist() == [2, 2]


def test_rows_of_pieces_add_up_and_each_weight_meets_the_tasks_that_reach_it() -> None:
    toy = Toy()
    for _ in range(2):
        toy.back("a", (toy.low * torch.tensor([1.0, 0.0])).sum())
        toy.back("b", (toy.low * toy.up.sum()).sum())
    toy.join("b", "a")
    ((rows, tasks),) = toy.seen
    assert tasks == ["b", "a"]
    assert rows.tolist() == [[6, 6], [2, 0]]
    assert toy.low.grad is not None
    assert toy.low.grad.tolist() == [80, 60]
    assert toy.up.grad is not None
    assert toy.up.grad.tolist() == [[6]], "of one task: its own, as it is"
    assert toy.none.grad is None
    assert toy.frozen.grad is None


def test_what_stands_beside_the_tasks_is_added_behind_them() -> None:
    toy = Toy()
    toy.back("a", toy.low.sum())
    toy.back("b", toy.low.sum())
    toy.back(BESIDE, 3 * toy.low.sum() + toy.none.sum())
    toy.join("a", "b")
    assert [weight.grad.tolist() for weight in (toy.low, toy.none) if weight.grad is not None] == [
        [23, 23],
        [1],
    ]


def test_weights_that_the_same_tasks_reach_come_together() -> None:
    toy = Toy()
    for part in "abc":
        loss = toy.low.sum() + toy.none.sum()
        toy.back(part, loss if part == "c" else loss + toy.up.sum())
    toy.join("a", "b", "c")
    assert [(rows.shape, tasks) for rows, tasks in toy.seen] == [
        ((3, 3), ["a", "b", "c"]),
        ((2, 1), ["a", "b"]),
    ]


def test_rows_of_zeros_have_no_say() -> None:
    toy = Toy()
    for part, factor in (("a", 1.0), ("b", 0.0), ("c", 2.0)):
        toy.back(part, factor * toy.low.sum())
    toy.join("a", "b", "c")
    ((rows, tasks),) = toy.seen
    assert (rows.tolist(), tasks) == ([[1, 1], [2, 2]], ["a", "c"])


def test_a_row_beside_zeros_alone_is_the_gradient() -> None:
    toy = Toy()
    toy.back("a", 3 * toy.low.sum())
    toy.back("b", 0 * toy.low.sum())
    toy.join("a", "b")
    assert toy.seen == []
    assert toy.low.grad is not None
    assert toy.low.grad.tolist() == [3, 3]


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_rows_that_are_no_numbers_are_not_combined_but_stay_seen(bad: float) -> None:
    toy = Toy()
    toy.back("a", bad * toy.low[0])
    toy.back("b", toy.low.sum())
    toy.join("a", "b")
    assert toy.seen == []
    assert toy.low.grad is not None
    assert not bool(toy.low.grad.isfinite().all())


def test_half_precision_is_widened_and_double_kept() -> None:
    for kind, wide in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        weight = nn.Parameter(torch.ones(2, dtype=kind))
        gradients, seen = Gradients([weight]), []
        for part in "ab":
            gradients.turn_to(part)
            weight.sum().backward()

        def combine(rows: Tensor, tasks: Sequence[str], seen: list[Tensor] = seen) -> Tensor:
            seen.append(rows)
            return rows.sum(0)

        gradients.join(("a", "b"), combine)
        assert seen[0].dtype == wide
        assert weight.grad is not None
        assert weight.grad.dtype == kind


def test_what_is_forgotten_is_not_joined() -> None:
    toy = Toy()
    toy.back("a", toy.low.sum())
    toy.back("b", toy.low.sum())
    toy.gradients.forget()
    toy.back("a", toy.low.sum())
    toy.join("a", "b")
    assert toy.seen == []
    assert toy.low.grad is not None
    assert toy.low.grad.tolist() == [1, 1]
