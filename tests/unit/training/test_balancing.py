"""Weights of losses: what they are at the start, at rest and on average, and that a run resumes."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hiermtl.model import HierarchicalModel
from hiermtl.tokens import Collator
from hiermtl.training import Settings
from hiermtl.training.balancing import (
    BALANCERS,
    Balancer,
    RandomBalancer,
    UncertaintyBalancer,
)
from tests.unit.training.runs import (
    EveryStep,
    entries,
    examples_of,
    fresh,
    stepper,
    train,
    weights,
)
from tests.worlds import ALL, World, make_encoder

WEIGHTS = {"upos": 1.0, "ner": 0.5, "dep": 2.0}
LEARNT = ("uncertainty", "random")
OF_LOSSES = ("static", *LEARNT)


def losses_of(**values: float) -> dict[str, Tensor]:
    return {task: torch.tensor(value) for task, value in values.items()}


def test_fixed_weights_multiply() -> None:
    terms = Balancer(WEIGHTS)(losses_of(upos=3.0, dep=4.0), step=0, own=("upos", "dep"))
    assert {task: float(term) for task, term in terms.items()} == {"upos": 3, "dep": 8}


def test_learnt_weights_start_as_fixed_ones_bit_for_bit() -> None:
    balancer = UncertaintyBalancer(WEIGHTS)
    losses = losses_of(upos=3.1, ner=0.7)
    terms = balancer(losses, step=0, own=losses)
    fixed = Balancer(WEIGHTS)(losses, step=0, own=losses)
    assert float(sum(terms.values()).detach()) == float(sum(fixed.values()))
    assert balancer.factors(0) == dict.fromkeys(WEIGHTS, 1.0)


@pytest.mark.parametrize("loss", [0.01, 1.0, 30.0])
def test_learnt_weights_are_at_rest_where_the_weighed_loss_is_one(loss: float) -> None:
    balancer = UncertaintyBalancer(WEIGHTS)
    losses = losses_of(ner=loss)
    for at, still in ((math.log(loss), True), (math.log(loss) + 0.5, False)):
        with torch.no_grad():
            balancer.log_variances["ner"].fill_(at)
        (gradient,) = torch.autograd.grad(
            sum(balancer(losses, step=0, own=losses).values()), [balancer.log_variances["ner"]]
        )
        assert (abs(float(gradient)) < 1e-6) == still
    assert float(balancer.factors(0)["ner"]) * loss == pytest.approx(math.exp(-0.5))


def test_random_weights_are_one_on_average_and_the_same_for_a_step() -> None:
    balancer = RandomBalancer(WEIGHTS, seed=3)
    drawn = [balancer.factors(step) for step in range(4000)]
    assert all(sum(found.values()) == pytest.approx(len(WEIGHTS), rel=1e-6) for found in drawn)
    for task in WEIGHTS:
        values = np.array([found[task] for found in drawn])
        assert values.mean() == pytest.approx(1, abs=4 * values.std() / math.sqrt(len(values)))
        assert values.std() > 0.4
    assert balancer.factors(7) == drawn[7] == RandomBalancer(WEIGHTS, seed=3).factors(7)
    assert drawn[7] != drawn[8]
    assert RandomBalancer(WEIGHTS, seed=4).factors(7) != drawn[7]
    assert RandomBalancer({"upos": 1.0}).factors(0) == {"upos": 1.0}
    terms = balancer(losses_of(ner=2.0), step=7, own=("ner",))
    assert float(terms["ner"]) == pytest.approx(0.5 * 2 * drawn[7]["ner"])


def test_a_term_of_its_own_needs_no_loss_in_the_same_piece() -> None:
    balancer = UncertaintyBalancer(WEIGHTS)
    with torch.no_grad():
        balancer.log_variances["dep"].fill_(0.5)
    terms = balancer(losses_of(upos=3.0), step=0, own=("upos", "dep"))
    assert {task: float(term.detach()) for task, term in terms.items()} == {"upos": 3, "dep": 1}


def gradients(name: str, *, often: bool = False, **changes: Any) -> dict[str, Tensor]:
    """Of all parameters after a step; with `often`, own terms are added in every piece."""
    world = fresh()
    tasks: Mapping[str, float] = {task.name: task.weight for task in world.model.hierarchy}
    balancer = BALANCERS[name](tasks, seed=0)
    if often:
        forward = balancer.forward
        balancer.forward = lambda losses, *, step, own: forward(losses, step=step, own=losses)
    examples = examples_of(world, annotated=[ALL], count=20)
    taken = stepper(world.model, examples, balancer=balancer, **changes)
    collate = Collator(world.tokenizer, world.model.routes.depths())
    taken.take(collate, np.arange(20), step=5)
    step = taken.replicas.trained
    return {n: p.grad.clone() for n, p in step.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_the_loss_of_a_step_is_the_weighed_sum_of_losses_per_item(weight: float) -> None:
    world = fresh()
    world.model.config.tasks["upos"]["weight"] = weight
    world = World(HierarchicalModel(world.model.config, make_encoder("bilstm")), world.tokenizer)
    examples = examples_of(world, annotated=[ALL], count=20)
    collate = Collator(world.tokenizer, world.model.routes.depths())
    stepper(world.model, examples).take(collate, np.arange(20), step=0)
    found = {n: p.grad.clone() for n, p in world.parameters().items() if p.grad is not None}
    losses = world.losses(collate(examples.fetch(range(20))))
    items = {task: int(counts.sum()) for task, counts in examples.items.items()}

    def expected(upos: float) -> dict[str, Tensor | None]:
        shares = [
            (upos if task == "upos" else 1.0) * loss / items[task] for task, loss in losses.items()
        ]
        return world.gradients(torch.stack(shares).sum())

    for name, gradient in expected(weight).items():
        assert (gradient is None) == (name not in found)
        if gradient is not None:
            torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", OF_LOSSES)
def test_pieces_of_a_step_make_the_gradient_of_the_whole(name: str) -> None:
    whole, pieces = (gradients(name, accumulation=count) for count in (1, 3))
    assert whole.keys() == pieces.keys()
    for parameter, gradient in whole.items():
        torch.testing.assert_close(pieces[parameter], gradient, rtol=1e-4, atol=1e-6)


def test_own_terms_of_every_piece_would_be_too_many() -> None:
    wrong = gradients("uncertainty", accumulation=3, often=True)
    right = gradients("uncertainty", accumulation=3)
    place = "balancer.log_variances.upos"
    assert abs(float(wrong[place] - right[place])) > 0.5


@pytest.mark.parametrize("name", ["static", "uncertainty"])
def test_clipping_looks_at_the_model_alone(name: str) -> None:
    """What balancing learns must not shorten the model's steps."""
    found = gradients(name, clip=0.1)
    own = [gradient for place, gradient in found.items() if place.startswith("model.")]
    assert float(torch.cat([g.flatten() for g in own]).norm()) == pytest.approx(0.1, rel=1e-3)
    assert (len(found) > len(own)) == (name == "uncertainty")


def run(folder: Path, **options: Any) -> Any:
    return train(folder, world=fresh(dropout=0.1), annotated=[ALL], **options)


@pytest.mark.parametrize("name", LEARNT)
def test_training_logs_factors_and_keeps_them_out_of_the_model(tmp_path: Path, name: str) -> None:
    world, _ = run(tmp_path / "a", balancing=name, progress=EveryStep)
    plain, _ = run(tmp_path / "b", progress=EveryStep)
    assert weights(world).keys() == weights(plain).keys()
    assert any(not torch.equal(v, weights(plain)[n]) for n, v in weights(world).items())
    factors = [entry["factors"] for entry in entries(tmp_path / "a") if "losses" in entry]
    assert all(found.keys() == set(ALL) for found in factors)
    assert factors[0] != factors[-1]
    assert not [entry for entry in entries(tmp_path / "b") if "factors" in entry]


@pytest.mark.parametrize("name", LEARNT)
def test_a_broken_run_goes_on_with_its_weights_bit_for_bit(tmp_path: Path, name: str) -> None:
    class Cut(EveryStep):
        def advance(self, words: int) -> None:
            super().advance(words)
            if self.done == 8:
                raise KeyboardInterrupt

    options = {"balancing": name, "checkpoint_every": 3}
    whole, _ = run(tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", progress=Cut, **options)
    again, history = run(tmp_path / "cut", resume=True, **options)
    assert history.step > 8
    expected = weights(whole)
    assert all(torch.equal(value, expected[n]) for n, value in weights(again).items())


def test_settings_name_the_rows() -> None:
    assert Settings().balancing in BALANCERS
    assert {name for name in BALANCERS if not name.startswith("torchjd.")} == set(OF_LOSSES)
