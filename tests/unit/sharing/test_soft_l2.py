"""Springs between copies. Source: the invariants of soft sharing by squared distance."""

from itertools import combinations

import pytest
import torch

from hiermtl.errors import RecipeError
from hiermtl.sharing.soft_l2 import SoftL2
from tests.unit.sharing.columns import HEADS, gradients, make, penalty

STRENGTH = 0.3


def springs(**options: object) -> tuple[SoftL2, object]:
    scheme, stack = make("soft_l2", strength=STRENGTH, **options)
    assert isinstance(scheme, SoftL2)
    return scheme, stack


def test_the_energy_is_that_of_all_pairs() -> None:
    scheme, stack = springs()
    pairs = sum(
        (one - other).square().sum()
        for _, copies in scheme.copied(stack)
        for one, other in combinations(copies, 2)
    )
    assert torch.allclose(penalty(scheme, stack), STRENGTH * pairs)


def test_only_what_two_tasks_have_is_tied() -> None:
    scheme, stack = springs()
    found = [name for name, _ in scheme.copied(stack)]
    assert {name.split(".")[0] for name in found} == {"1", "2"}, "depth 3 has one copy"
    assert next(len(copies) for name, copies in scheme.copied(stack) if name.startswith("2.")) == 2
    whole, stack = springs(shared_below=0)
    assert any(name.startswith("0.") for name, _ in whole.copied(stack))
    later, stack = springs(shared_below=2)
    assert {name.split(".")[0] for name, _ in later.copied(stack)} == {"2"}


def test_forces_of_a_weight_add_up_to_nothing_and_pull_together() -> None:
    scheme, stack = springs()
    gradients(scheme, stack)
    for _, copies in scheme.copied(stack):
        forces = torch.stack([copy.grad for copy in copies])
        assert forces.sum(0).abs().max() < 1e-12
        mean = torch.stack(list(copies)).mean(0)
        for copy, force in zip(copies, forces, strict=True):
            assert torch.allclose(force, 2 * STRENGTH * len(copies) * (copy - mean))


def test_equal_copies_have_no_energy_and_no_force() -> None:
    scheme, stack = make("soft_l2", strength=STRENGTH, spread=0)
    assert penalty(scheme, stack) == 0
    assert all(not grad.any() for grad in gradients(scheme, stack).values())


def test_the_source_is_where_copies_start_and_stays() -> None:
    scheme, stack = springs(anchor="source")
    starts = {name: anchor.clone() for name, anchor in scheme.anchors.items()}
    expected = sum(
        (copy - starts[name]).square().sum()
        for name, copies in scheme.copied(stack)
        for copy in copies
    )
    assert torch.allclose(penalty(scheme, stack), STRENGTH * expected)
    gradients(scheme, stack)
    assert all(torch.equal(starts[n], a) and a.grad is None for n, a in scheme.anchors.items())


def test_a_task_is_the_same_whatever_its_name_comes_first() -> None:
    one, left = springs()
    energy = penalty(one, left)
    other, right = make(
        "soft_l2", strength=STRENGTH, depths={"dep": 3, "ner": 2, "upos": 1}, spread=0
    )
    right.load_state_dict(left.state_dict())
    assert torch.allclose(penalty(other, right), energy)


@pytest.mark.parametrize("strength", [1e-3, 1.0, 1e9])
def test_decoupled_copies_come_together_and_their_mean_stays(strength: float) -> None:
    scheme, stack = make("soft_l2", strength=strength, decoupled=True)
    assert scheme.penalties(stack, HEADS) == {}
    before = {name: torch.stack(list(c)).detach() for name, c in scheme.copied(stack)}
    scheme.after_step(stack, HEADS, 0, rates=lambda _: 0.1)
    for name, copies in scheme.copied(stack):
        was, now = before[name], torch.stack(list(copies)).detach()
        assert torch.allclose(now.mean(0), was.mean(0))
        kept = 1 / (1 + 2 * 0.1 * strength * len(copies))
        assert torch.allclose(now - now.mean(0), kept * (was - was.mean(0)), atol=1e-12)
        if strength > 1:
            assert (now - now.mean(0)).abs().max() < 1e-8


def test_a_weight_that_does_not_move_is_not_pulled() -> None:
    scheme, stack = make("soft_l2", strength=1.0, decoupled=True)
    before = {name: value.clone() for name, value in stack.state_dict().items()}
    scheme.after_step(stack, HEADS, 0, rates=lambda _: 0.0)
    for name, value in stack.state_dict().items():
        assert torch.allclose(value, before[name], atol=1e-15)


def test_frozen_weights_are_left_out() -> None:
    scheme, stack = springs()
    stack.requires_grad_(False)
    assert scheme.penalties(stack, HEADS) == {}


def test_without_strength_nothing_is_added() -> None:
    scheme, stack = make("soft_l2", strength=0.0)
    assert scheme.penalties(stack, HEADS) == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"anchor": "meen"}, r"sharing\.anchor is 'meen'; allowed .* did you mean 'mean'"),
        ({"shared_below": 4}, r"shared_below is 4, but the deepest task is read at depth 3"),
        ({"streams": "al"}, r"sharing\.streams is 'al'; allowed are all and live"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make("soft_l2", **options)


@pytest.mark.parametrize("decoupled", [False, True])
def test_copies_that_a_model_brings_are_each_held_to_where_they_start(decoupled: bool) -> None:
    """As where a trained model is extended: the first task's copy is no source of the others."""
    scheme, stack = springs(anchor="source", decoupled=decoupled)
    scheme.begin(stack, HEADS)
    starts = {name: torch.stack(list(copies)).detach() for name, copies in scheme.copied(stack)}
    assert penalty(scheme, stack) == 0
    with torch.no_grad():
        for weight in stack.parameters():
            weight.add_(0.1)
    if not decoupled:
        count = sum(start.numel() for start in starts.values())
        assert float(penalty(scheme, stack).detach()) == pytest.approx(STRENGTH * 0.01 * count)
        for force in gradients(scheme, stack).values():
            assert torch.allclose(force, torch.full_like(force, 2 * STRENGTH * 0.1))
    scheme.after_step(stack, HEADS, 0, rates=lambda _: 0.5)
    kept = 0.1 / (1 + STRENGTH) if decoupled else 0.1
    for name, copies in scheme.copied(stack):
        away = torch.stack(list(copies)).detach() - starts[name]
        assert torch.allclose(away, torch.full_like(away, kept))
