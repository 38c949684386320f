"""Steps whose gradient is no number: left out, counted, and in the end too many."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from hiermtl.errors import RunError
from hiermtl.recipe.schemes import SHARING as OPTIONS
from hiermtl.sharing import SHARING, Sharing
from hiermtl.sharing.soft_l2 import SoftL2
from hiermtl.tokens import Collator
from hiermtl.training import Sampling, causes, loop
from hiermtl.training.causes import Cause
from hiermtl.training.checkpoint import load_checkpoint
from hiermtl.training.guard import GROWTH_STEPS, START_SCALE, Guard
from hiermtl.training.optimizer import make_optimizer
from hiermtl.training.step import TrainingStep
from tests.unit.training.runs import (
    EveryStep,
    entries,
    examples_of,
    fresh,
    settings,
    stepper,
    train,
    weights,
)
from tests.unit.training.test_schemes import TERMS
from tests.worlds import ALL, World


def spoil(
    monkeypatch: pytest.MonkeyPatch, world: World, which: Callable[[int], bool], by: float
) -> None:
    """Multiplies the loss of `ner` in these of its calls, counted from 1."""
    head = world.model.head("ner")
    right, calls = head.loss, []

    def wrong(*given: Any) -> Tensor:
        calls.append(given)
        return right(*given) * (by if which(len(calls)) else 1)

    monkeypatch.setattr(head, "loss", wrong)


@pytest.mark.parametrize("by", [math.nan, math.inf])
def test_a_step_whose_gradient_is_no_number_moves_nothing_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: float
) -> None:
    world = fresh()
    spoil(monkeypatch, world, lambda call: call == 5, by)
    _, history = train(tmp_path, world=world, annotated=[ALL], progress=EveryStep, epochs=1)
    assert all(bool(value.isfinite().all()) for value in weights(world).values())
    assert [entry["skipped"] for entry in entries(tmp_path) if "skipped" in entry] == [[5]]
    assert history.step == len([entry for entry in entries(tmp_path) if "losses" in entry])
    batch = json.loads((tmp_path / "skipped" / "step-5.json").read_text())
    assert batch["step"] == 5
    assert [path.name for path in (tmp_path / "skipped").iterdir()] == ["step-5.json"]
    assert all(1 <= example["number"] <= 40 for example in batch["examples"])


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("fused", [True, False])
def test_neither_weights_nor_what_the_optimizer_knows_change(
    monkeypatch: pytest.MonkeyPatch, fused: bool, before: int
) -> None:
    world = fresh()
    examples = examples_of(world, annotated=[ALL], count=20)
    optimizer = make_optimizer(world.model, settings())
    assert optimizer.defaults["fused"]
    if not fused:
        optimizer = torch.optim.AdamW(world.model.parameters(), lr=0.1)
    steps = stepper(world.model, examples, optimizer)
    collate = Collator(world.tokenizer, world.model.routes.depths())
    for step in range(before):
        steps.take(collate, np.arange(20), step=step)

    def known() -> list[Tensor]:
        states = [value for own in optimizer.state.values() for value in own.values()]
        return [value.clone() for value in (*world.model.parameters(), *states)]

    spoil(monkeypatch, world, lambda _: True, math.nan)
    held = known()
    steps.take(collate, np.arange(20), step=before)
    if before:
        assert all(map(torch.equal, held, known()))
    assert all(bool(value.isfinite().all()) for value in known())
    monkeypatch.undo()
    steps.take(collate, np.arange(20), step=before)
    assert not all(map(torch.equal, held, known())), "the control: a good step moves them"


def test_too_many_in_a_row_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = fresh()
    spoil(monkeypatch, world, lambda call: call >= 3, math.nan)
    with pytest.raises(RunError, match=r"of 4 steps in a row, up to step 6, are no numb") as error:
        train(tmp_path, world=world, annotated=[ALL], max_skipped=4, checkpoint_every=2)
    for part in ("training.lr", "training.precision=fp32", str(tmp_path / "skipped")):
        assert part in str(error.value)
    assert error.value.exit_code == 1
    found = load_checkpoint(tmp_path / "checkpoints" / "step-4").weights
    assert all(bool(value.isfinite().all()) for value in found.values())
    names = {path.name for path in (tmp_path / "skipped").iterdir()}
    assert names == {f"step-{step}.json" for step in (3, 4, 5, 6)}


def test_many_that_are_not_in_a_row_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = fresh()
    spoil(monkeypatch, world, lambda call: call % 2 == 0, math.nan)
    _, history = train(tmp_path, world=world, annotated=[ALL], max_skipped=2)
    skipped = [step for entry in entries(tmp_path) for step in entry.get("skipped", ())]
    assert skipped == list(range(2, history.step + 1, 2))


@pytest.mark.parametrize("every", [1, 3])
def test_how_often_is_looked_changes_no_count(every: int) -> None:
    """On a device that is not waited for, steps are looked at together."""
    guard, trained = Guard(torch.device("cpu"), most=3), TrainingStep(fresh().model)
    found: list[int] = []
    for step, loss in enumerate([1.0, math.nan, math.nan, 1.0, math.inf, math.nan, math.nan, 1.0]):
        guard.check(trained, {"upos": torch.tensor(loss)}, step=step, clip=0.0)
        if step % every == 0:
            found += guard.look()
        if step == 5:
            guard.check_row("there")
    assert [*found, *guard.look()] == [1, 2, 4, 5, 6]
    # The row has ended when it is looked at, and was too long.
    with pytest.raises(RunError, match="of 3 steps in a row, up to step 7,"):
        guard.check_row("there")


def gradients(world: World, guard: Guard, scale: float = 1.0) -> dict[str, Tensor]:
    """Of the loss times a number, as the guard leaves them."""
    batch = world.batch(world.examples())
    world.model.zero_grad()
    loss = torch.stack(list(world.losses(batch).values())).sum() * scale
    guard.scaled(loss).backward()
    trained = TrainingStep(world.model)
    guard.unscale(trained)
    guard.check(trained, {}, step=0, clip=0.0)
    return {n: p.grad.clone() for n, p in world.parameters().items() if p.grad is not None}


def test_the_scale_of_half_precision_is_undone_halved_and_doubled() -> None:
    world, guard = fresh(), Guard(torch.device("cpu"), half=True)
    plain = gradients(world, Guard(torch.device("cpu")))
    for name, found in gradients(world, guard).items():
        torch.testing.assert_close(found, plain[name], rtol=1e-5, atol=1e-7)
    one = torch.ones(())
    assert float(guard.scaled(one)) == START_SCALE
    gradients(world, guard, math.inf)
    assert float(guard.bad) == 1
    assert float(guard.scaled(one)) == START_SCALE / 2
    assert guard.look() == [0], "it is left out, and told of"
    for _ in range(3):
        gradients(world, guard, math.inf)
        guard.look()
    guard.check_row("a scale that is too large is no fault of the step")
    for _ in range(3):
        guard.check(TrainingStep(fresh().model), {}, step=0, clip=0.0)
    guard.load_state_dict({"scale": torch.tensor(START_SCALE / 2), "good": torch.tensor(0.0)})
    trained = TrainingStep(fresh().model)
    for step in range(GROWTH_STEPS):
        assert float(guard.scaled(one)) == START_SCALE / 2
        guard.check(trained, {}, step=step, clip=0.0)
    assert float(guard.scaled(one)) == START_SCALE
    again = Guard(torch.device("cpu"), half=True)
    again.load_state_dict(guard.state_dict())
    assert float(again.scaled(one)) == START_SCALE


@pytest.mark.parametrize("half", [True, False])
def test_a_loss_that_is_no_number_is_a_fault_whatever_the_scale(half: bool) -> None:
    guard, trained = Guard(torch.device("cpu"), half=half, most=2), TrainingStep(fresh().model)
    for step in range(2):
        guard.check(trained, {"upos": torch.tensor(math.nan)}, step=step, clip=0.0)
    assert guard.look() == [0, 1]
    with pytest.raises(RunError, match="of 2 steps in a row"):
        guard.check_row("there")


def test_a_row_goes_on_where_a_run_was_broken_off() -> None:
    guard, trained = Guard(torch.device("cpu"), most=2), TrainingStep(fresh().model)
    guard.check(trained, {"upos": torch.tensor(math.nan)}, step=4, clip=0.0)
    guard.look()
    again = Guard(torch.device("cpu"), most=2)
    again.load_state_dict(guard.state_dict())
    again.check(trained, {"upos": torch.tensor(math.nan)}, step=5, clip=0.0)
    again.look()
    with pytest.raises(RunError, match="of 2 steps in a row, up to step 6,"):
        again.check_row("there")


def test_a_term_of_the_gradient_is_not_scaled_down(tmp_path: Path) -> None:
    """The leash, beside gradients that are scaled in fp16 and undone before it is added."""
    sampling = Sampling("phases", successive=0.5, successive_heads=0.5, decoupled=False)
    found = {}
    for name, strength in (("held", 0.5), ("free", 0.0)):
        for precision in ("fp32", "fp16"):
            chosen = replace(sampling, successive=strength, successive_heads=strength)
            options: dict[str, Any] = {"sampling": chosen, "epochs": 1, "annotated": [ALL]}
            world, _ = train(
                tmp_path / f"{name}-{precision}", family="bert", precision=precision, **options
            )
            found[name, precision] = torch.cat([w.flatten() for w in weights(world).values()])
    apart = float((found["held", "fp32"] - found["free", "fp32"]).norm())
    half = float((found["held", "fp16"] - found["held", "fp32"]).norm())
    assert half < 0.2 * apart


def test_half_precision_trains_close_to_single(tmp_path: Path) -> None:
    found = {}
    for precision in ("fp32", "fp16"):
        world, _ = train(tmp_path / precision, family="bert", precision=precision, max_steps=5)
        found[precision] = weights(world)
    assert {value.dtype for value in found["fp16"].values()} == {torch.float32}
    apart = [
        float((value - found["fp16"][name]).abs().max()) for name, value in found["fp32"].items()
    ]
    assert 0 < max(apart) < 0.05


SPRINGS: dict[str, Any] = {"name": "soft_l2", "strength": 0.1}


def ended(folder: Path, world: World, **changes: Any) -> str:
    """What a run says that too many bad steps end."""
    with pytest.raises(RunError, match=r"steps in a row, up to step \d+, are no numbers") as error:
        train(folder, world=world, annotated=[ALL], **{"max_skipped": 3, **changes})
    return str(error.value)


def set_aside(folder: Path) -> list[tuple[list[str], list[str]]]:
    """The losses and terms that were no numbers, of each step that was left out."""
    files = sorted((folder / "skipped").iterdir())
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return [(step["losses"], step["penalties"]) for step in found]


def test_a_loss_that_is_no_number_is_named_with_its_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = fresh(sharing=SPRINGS)
    spoil(monkeypatch, world, lambda call: call >= 3, math.nan)
    told = ended(tmp_path, world)
    assert ": at step 5 the loss of ner is no number; lower training.lr or" in told
    assert "sharing.strength" not in told
    assert set_aside(tmp_path) == [(["ner"], [])] * 3


def test_a_term_that_is_no_number_is_named_with_what_weighs_it(tmp_path: Path) -> None:
    """Its strength is too large for fp32 from the first step in which copies differ."""
    told = ended(tmp_path, fresh(sharing={**SPRINGS, "strength": 1e38}))
    assert "the term 'l2' on weights" in told
    assert "; lower sharing.strength, and train again into another folder" in told
    assert "training.lr" not in told


class Odd(SoftL2):
    """Springs, and a term that is no number, or whose gradient is none, from a step on."""

    name = "odd"
    wrong: ClassVar[str] = "value"
    bad = False

    def penalties(self, stack: Any, heads: Any) -> dict[str, Tensor]:
        weight = next(stack.parameters())
        # Of 0 the root has no slope; the term itself is 0.
        term = (0 * weight).sum() + (math.nan if self.bad and self.wrong == "value" else 0.0)
        slope = (0 * weight).square().sum().sqrt() if self.bad and self.wrong == "slope" else 0.0
        return {**super().penalties(stack, heads), "odd": term + slope}

    def after_step(self, stack: Any, heads: Any, step: int, **given: Any) -> None:
        self.bad = step >= 1


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize(("wrong", "what"), [("value", "the term"), ("slope", "the gradient of")])
def test_of_several_terms_the_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, what: str, accumulation: int
) -> None:
    """Also where all losses and terms are numbers, and one gradient is not."""
    monkeypatch.setitem(SHARING, "odd", Odd)
    monkeypatch.setattr(Odd, "wrong", wrong)
    told = ended(tmp_path, fresh(sharing={**SPRINGS, "name": "odd"}), accumulation=accumulation)
    assert f": at step 5 {what}" in told
    assert "'odd' on weights is no number; weigh the term 'odd' less, and train" in told
    assert "l2" not in told
    assert set_aside(tmp_path) == [([], ["odd"] if wrong == "value" else [])] * 3


@pytest.mark.parametrize("balancing", ["static", "torchjd.mean"])
def test_a_task_whose_gradient_alone_is_no_number_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, balancing: str
) -> None:
    world = fresh(sharing=SPRINGS)
    head = world.model.head("ner")
    right = head.loss

    def steep(*given: Any) -> Tensor:
        loss = right(*given)
        return loss + (0 * loss).square().sqrt()

    monkeypatch.setattr(head, "loss", steep)
    told = ended(tmp_path, world, balancing=balancing)
    assert ": at step 3 the gradient of the loss of ner is no number; lower training.lr" in told
    assert set_aside(tmp_path) == [([], [])] * 3


def test_nothing_is_looked_for_while_steps_go_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor for steps that are left out without ending the run; and without an answer it says so."""
    asked: list[int] = []

    def nothing(*_: Any, step: int, **__: Any) -> Cause:
        asked.append(step)
        return Cause()

    monkeypatch.setattr(loop, "search", nothing)
    train(tmp_path / "well", world=fresh(sharing=SPRINGS), annotated=[ALL])
    world = fresh()
    spoil(monkeypatch, world, lambda call: call % 2 == 0, math.nan)
    train(tmp_path / "some", world=world, annotated=[ALL], max_skipped=2)
    assert asked == []
    monkeypatch.setitem(SHARING, "odd", Odd)
    monkeypatch.setattr(Odd, "wrong", "slope")
    told = ended(tmp_path / "ill", fresh(sharing={**SPRINGS, "name": "odd"}))
    assert asked == [4]
    assert "are no numbers; lower training.lr or training.lr_heads" in told


def test_memory_that_runs_out_in_the_search_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(causes, "_search", full)
    monkeypatch.setitem(SHARING, "odd", Odd)
    monkeypatch.setattr(Odd, "wrong", "slope")
    told = ended(tmp_path, fresh(sharing={**SPRINGS, "name": "odd"}))
    assert "up to step 5, are no numbers; lower training.lr" in told


def test_every_term_of_a_scheme_has_a_remedy_that_its_recipe_takes() -> None:
    for name, scheme in SHARING.items():
        keys = set(re.findall(r"sharing\.(\w+)", " ".join(scheme.remedies.values())))
        assert keys <= set(OPTIONS[name].model_fields)
        assert bool(scheme.remedies) == (scheme.penalties is not Sharing.penalties), name
    for term, given in TERMS.items():
        world = fresh(sharing=given)
        sharing = world.model.sharing
        sharing.begin(world.model.stack, world.model.heads)
        assert set(sharing.penalties(world.model.stack, world.model.heads)) == {term}
        assert set(sharing.remedies) == {term}
