"""What schemes remember and update beside gradients, in the loop."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from hiermtl.sharing import SHARING, columns
from hiermtl.sharing.columns import Columns, MixedColumns
from hiermtl.tokens import Collator
from hiermtl.training import step
from hiermtl.training.gradients import WHOLE
from hiermtl.training.log import scalars
from hiermtl.training.optimizer import make_optimizer
from hiermtl.training.step import TrainingStep
from tests.unit.training.runs import (
    Broken,
    EveryStep,
    entries,
    examples_of,
    fresh,
    settings,
    stepper,
    train,
    weights,
)
from tests.worlds import ALL, World, assert_same, randomise, same

KINDS: dict[str, dict[str, Any]] = {
    "springs": {"name": "soft_l2", "strength": 0.05},
    "springs to the source": {"name": "soft_l2", "strength": 0.05, "anchor": "source"},
    "decoupled springs": {"name": "soft_l2", "strength": 5.0, "decoupled": True},
    "trace norms": {"name": "soft_trace", "strength": 0.05},
    "shares": {"name": "cross_stitch"},
    "lasso": {"name": "sluice", "sparsity": 0.5},
    "splits": {"name": "adaptive", "every": 4, "least": 2, "cost": 0.001},
    "a prior": {"name": "relationship", "every": 4, "units": 6, "strength": 0.1},
    "a prior by the paper": {"name": "relationship", "every": 4, "units": 6, "estimator": "mle"},
}
"""What changes beside gradients does so before a run is broken off and behind it."""

PLAIN = sorted(SHARING.keys() - {given["name"] for given in KINDS.values()})
KINDS.update({scheme: {"name": scheme} for scheme in PLAIN})


def world_of(kind: str) -> World:
    return fresh(sharing=KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_broken_off_goes_on_as_if_it_were_not(tmp_path: Path, kind: str) -> None:
    options: dict[str, Any] = {"checkpoint_every": 2, "epochs": 2}
    whole = weights(train(tmp_path / "whole", world=world_of(kind), **options)[0])
    folder = tmp_path / "broken"
    with pytest.raises(Broken):
        train(folder, world=world_of(kind), progress=partial(EveryStep, until=7), **options)
    again = train(folder, world=world_of(kind), resume=True, **options)[0]
    assert_same(weights(again), whole)


def test_every_scheme_is_broken_off() -> None:
    assert {given["name"] for given in KINDS.values()} == set(SHARING)


@pytest.mark.parametrize("kind", ["splits", "a prior", "a prior by the paper"])
def test_what_a_resume_is_tested_with_changes_on_either_side_of_it(
    tmp_path: Path, kind: str
) -> None:
    """Where the run is broken off, and at its end."""
    found = [state_of(world_of(kind))]
    for steps in (6, 0):
        options = {"max_steps": steps} if steps else {"epochs": 2}
        found.append(state_of(train(tmp_path / f"{steps}", world=world_of(kind), **options)[0]))
    assert found[0] != found[1] != found[2]


def state_of(world: World) -> Any:
    """Structure, or what is learnt of tasks."""
    scheme = world.model.sharing
    return scheme.structure() if scheme.name == "adaptive" else scheme.learnt()["correlations"]


@pytest.mark.parametrize("kind", ["springs to the source", "trace norms"])
def test_what_is_remembered_is_where_the_run_began(tmp_path: Path, kind: str) -> None:
    world = world_of(kind)
    start = weights(world)
    with pytest.raises(Broken):
        train(tmp_path, world=world, checkpoint_every=2, progress=partial(EveryStep, until=5))
    again = train(tmp_path, world=world_of(kind), resume=True, checkpoint_every=2)[0]
    scheme = again.model.sharing
    assert isinstance(scheme, Columns)
    for name, copies in scheme.copied(again.model.stack):
        if name in scheme.anchors:
            depth, _, rest = name.partition(".")
            assert torch.equal(scheme.anchors[name], start[f"stack.blocks.{depth}.dep.{rest}"])
            assert not torch.equal(copies[0], scheme.anchors[name])
    assert scheme.anchors


@pytest.mark.parametrize("decoupled", [False, True])
def test_springs_hold_copies_together(tmp_path: Path, decoupled: bool) -> None:
    """Told apart by how far copies are from each other after the same steps."""
    found = []
    for strength in (0.0, 50.0):
        given = {"name": "soft_l2", "strength": strength, "decoupled": decoupled}
        world = train(tmp_path / f"{strength}", world=fresh(sharing=given))[0]
        scheme = world.model.sharing
        assert isinstance(scheme, Columns)
        found.append(
            max(
                float((copy - copies[0]).detach().abs().max())
                for _, copies in scheme.copied(world.model.stack)
                for copy in copies[1:]
            )
        )
    assert found[1] < 0.5 * found[0]


def test_without_strength_copies_train_as_independent_encoders(tmp_path: Path) -> None:
    """Bit for bit, from the same start."""
    plain = {"name": "soft_l2", "strength": 0.0, "shared_below": 0}
    one = weights(train(tmp_path / "soft", world=fresh(sharing=plain), clip=0.0)[0])
    two = weights(train(tmp_path / "single", world=fresh(sharing="single"), clip=0.0)[0])
    assert_same(one, two)
    held = {**plain, "strength": 1.0}
    assert not same(one, weights(train(tmp_path / "held", world=fresh(sharing=held), clip=0.0)[0]))


def test_shares_move_at_their_own_rate_and_lassoed_ones_reach_zero(tmp_path: Path) -> None:
    given = {"name": "sluice", "sparsity": 100.0, "lr": 0.05}
    world = train(tmp_path, world=fresh(sharing=given))[0]
    scheme = world.model.sharing
    assert isinstance(scheme, MixedColumns)
    zeros = scheme.learnt()["zeros"]
    assert sum(zeros.values()) > 0
    for depth, alpha in scheme.alpha.items():
        assert not torch.equal(alpha, scheme.start(int(depth)))


@pytest.mark.parametrize("kind", ["springs", "trace norms"])
def test_terms_on_weights_are_derived_last_unless_gradients_are_sent(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one process behind all blocks, with several before them; the gradient is one."""
    derive, found = columns._Gram.backward, []
    for alone in (True, False):
        order: list[str] = []
        world = world_of(kind)
        world.model.sharing.begin(world.model.stack, world.model.heads)
        randomise(world.model.named_parameters())
        for copies in world.model.stack.blocks.values():
            for block in copies.children():
                block.register_full_backward_hook(lambda *_, order=order: order.append("block"))

        def noted(*given: Any, order: list[str] = order) -> Any:
            order.append("weights")
            return derive(*given)

        batch = world.batch(world.examples())
        with monkeypatch.context() as patch:
            patch.setattr(columns._Gram, "backward", staticmethod(noted))
            patch.setattr(step, "alone", lambda alone=alone: alone)
            trained = TrainingStep(world.model).train()
            trained(batch, dict.fromkeys(batch.annotated, 5), step=0, once=True)[0][
                WHOLE
            ].backward()
        assert order.index("weights") == (order.count("block") if alone else 0)
        found.append({n: p.grad for n, p in world.parameters().items() if p.grad is not None})
    assert_same(*found)


TERMS: dict[str, dict[str, Any]] = {
    "l2": {"name": "soft_l2", "strength": 0.05, "anchor": "source"},
    "trace": {"name": "soft_trace", "strength": 0.05},
    "orthogonality": {"name": "sluice"},
    "prior": {"name": "relationship", "strength": 0.05},
    "depth": {"name": "learned", "budget": 0.5, "harden_at": 0.6},
}
"""The schemes that have one, by the name of their term."""


@pytest.mark.parametrize("term", TERMS)
def test_terms_on_weights_are_told_by_name(tmp_path: Path, term: str) -> None:
    """Each as it enters the loss, before the weights move."""
    found: list[float] = []

    def noted(*given: Any) -> Any:
        terms = right(*given)
        found.append(sum(float(value.detach()) for value in terms.values()))
        return terms

    world = fresh(sharing=TERMS[term])
    right = world.model.sharing.penalties
    world.model.sharing.penalties = noted  # type: ignore[method-assign]
    train(tmp_path, world=world, progress=EveryStep)
    rows = [entry for entry in entries(tmp_path) if "losses" in entry]
    told = [row["penalties"][term] for row in rows if "penalties" in row]
    assert told == pytest.approx(found[: len(told)])
    assert len(set(told)) > 1, "it moves"
    # Once depths are fixed they have no price.
    assert (len(told) < len(rows)) == (term == "depth")
    if term == "depth":
        depths = [task.depth for task in world.model.hierarchy]
        assert told[0] == pytest.approx(0.5 * sum((depth + 1) / 2 for depth in depths))


def test_they_are_means_over_the_steps_of_a_row(tmp_path: Path) -> None:
    given: dict[str, Any] = {"sharing": TERMS["depth"]}
    train(tmp_path / "each", world=fresh(**given), progress=EveryStep, epochs=1)
    train(tmp_path / "all", world=fresh(**given), epochs=1)
    each = [row["penalties"]["depth"] for row in entries(tmp_path / "each") if "penalties" in row]
    (whole,) = [row["penalties"] for row in entries(tmp_path / "all") if "penalties" in row]
    assert whole["depth"] == pytest.approx(np.mean(each))


def test_without_terms_there_is_no_such_key(tmp_path: Path) -> None:
    for name, sharing in (
        ("plain", "low_supervision"),
        ("none", {"name": "soft_l2", "strength": 0}),
    ):
        train(tmp_path / name, world=fresh(sharing=sharing), epochs=1)
        assert not [row for row in entries(tmp_path / name) if "penalties" in row]
    assert scalars({"penalties": {"l2": 0.5}}) == {"train/penalties/l2": 0.5}


class Waits(TorchDispatchMode):
    """Counts what a device would be waited for: tensors that become numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            self.counts["numbers"] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("term", TERMS)
def test_an_ordinary_step_waits_for_no_term(term: str) -> None:
    """No more than a scheme without terms does."""
    found = {}
    for name, sharing in (("with", TERMS[term]), ("without", {"name": "low_supervision"})):
        world = fresh(sharing=sharing)
        world.model.sharing.begin(world.model.stack, world.model.heads)
        examples = examples_of(world, annotated=[ALL], count=20)
        steps = stepper(world.model, examples, make_optimizer(world.model, settings()))
        collate = Collator(world.tokenizer, world.model.routes.depths())
        steps.take(collate, np.arange(20), step=0)
        with Waits() as waits:
            steps.take(collate, np.arange(20), step=1)
        found[name] = waits.counts["numbers"]
        with Waits() as control:
            float(torch.ones(()))
        assert control.counts["numbers"] == 1
    assert found["with"] <= found["without"], found
