"""Memory that runs out in a step: what is said, and batches that are computed in smaller pieces."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hiermtl.errors import RunError
from hiermtl.tokens import Collator
from hiermtl.training.step import TrainingStep, out_of_memory
from tests.unit.training.runs import MIXED, examples_of, stepper
from tests.worlds import World, make_world


def limited(monkeypatch: pytest.MonkeyPatch, units: int) -> list[int]:
    """A device on which no more units fit into a pass; which passes were made."""
    right, passes = TrainingStep.forward, []

    def forward(self: TrainingStep, batch: Any, *given: Any, **options: Any) -> Any:
        size = len(batch.inputs["pieces"]) if "pieces" in batch.inputs else batch.layout.units
        passes.append(size)
        if size > units:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return right(self, batch, *given, **options)

    monkeypatch.setattr(TrainingStep, "forward", forward)
    return passes


def gradient(world: World, **changes: Any) -> tuple[dict[str, Tensor], int]:
    examples = examples_of(world, annotated=MIXED, count=20)
    steps = stepper(world.model, examples, **changes)
    steps.take(Collator(world.tokenizer, world.model.routes.depths()), np.arange(20), step=3)
    found = {n: p.grad.clone() for n, p in world.parameters().items() if p.grad is not None}
    return found, steps.pieces


def test_pieces_are_cut_until_they_fit_and_the_gradient_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = make_world("bert")
    whole, pieces = gradient(world, accumulation="auto")
    assert pieces == 1
    passes = limited(monkeypatch, 80)
    cut, pieces = gradient(world, accumulation="auto")
    assert pieces > 2
    assert max(passes[-pieces:]) <= 80 < passes[0]
    assert whole.keys() == cut.keys()
    for name, value in whole.items():
        torch.testing.assert_close(cut[name], value, rtol=0, atol=1e-12)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_without_auto_the_error_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, accumulation: int
) -> None:
    limited(monkeypatch, 10)
    with pytest.raises(RunError, match="memory has run out at step 4") as error:
        gradient(make_world("bert"), accumulation=accumulation)
    for part in (
        f"training.accumulation=auto or {2 * accumulation}",
        "training.recompute_blocks=true",
        "40 tokens",
    ):
        assert part in str(error.value)


def test_a_single_example_that_does_not_fit_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, 1)
    with pytest.raises(RunError, match=r"training\.recompute_blocks=true") as error:
        gradient(make_world("bert"), accumulation="auto")
    assert "accumulation" not in str(error.value)


@pytest.mark.parametrize(
    ("error", "is_that"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ..."), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("x"), False),
    ],
)
def test_what_says_that_memory_has_run_out(error: Exception, is_that: bool) -> None:
    assert out_of_memory(error) == is_that


def test_other_errors_are_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(*given: Any, **options: Any) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(TrainingStep, "forward", forward)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        gradient(make_world("bert"), accumulation="auto")
