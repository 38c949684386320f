"""The loop: one gradient however a step is cut, one result however often a run is broken off."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hiermtl.errors import RunError
from hiermtl.model import HierarchicalModel
from hiermtl.tokens import Collator
from hiermtl.training import (
    BatchPlan,
    Evaluation,
    MemoryExamples,
    Sampling,
    train_model,
)
from hiermtl.training.checkpoint import load_checkpoint
from hiermtl.training.log import scalars
from hiermtl.training.plan import shares
from tests.unit.training.runs import (
    MIXED,
    Broken,
    EveryStep,
    entries,
    examples_of,
    fresh,
    losses,
    scripted,
    sentences,
    settings,
    stepper,
    train,
    weights,
)
from tests.worlds import ALL, World, make_world


def same(left: World, right: World) -> bool:
    found = weights(right)
    return all(torch.equal(value, found[name]) for name, value in weights(left).items())


def gradients(world: World, *, annotated: Sequence[Sequence[str]] = MIXED, **changes: Any) -> Any:
    """The gradients of one step over 20 sentences, and the losses it reports."""
    examples = examples_of(world, annotated=annotated, count=20)
    collate = Collator(world.tokenizer, world.model.routes.depths())
    found = stepper(world.model, examples, **changes).take(collate, np.arange(20), step=0)
    return {name: p.grad for name, p in world.parameters().items()}, found


@pytest.mark.parametrize("family", ["bert", "bilstm"])
@pytest.mark.parametrize("accumulation", [2, 4, 7])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_how_a_step_is_cut_does_not_change_its_gradient(
    family: str, accumulation: int, dtype: torch.dtype, atol: float
) -> None:
    world = make_world(family, dtype=dtype)
    whole, one = gradients(world)
    whole = {name: None if value is None else value.clone() for name, value in whole.items()}
    cut, other = gradients(world, accumulation=accumulation)
    assert sum(value is not None for value in whole.values()) > 10
    for name, value in whole.items():
        assert (value is None) == (cut[name] is None), name
        if value is not None:
            torch.testing.assert_close(cut[name], value, rtol=1e-5, atol=atol)
    assert one.keys() == other.keys()
    for task, loss in one.items():
        torch.testing.assert_close(other[task], loss, rtol=1e-5, atol=atol)


def test_the_mean_over_pieces_would_change_it() -> None:
    """The control: pieces that each divide by their own items give another gradient."""
    world = make_world("bilstm")
    whole, _ = gradients(world)
    whole = {name: value.clone() for name, value in whole.items() if value is not None}
    examples = examples_of(world, annotated=MIXED, count=20)
    collate = Collator(world.tokenizer, world.model.routes.depths())
    world.model.zero_grad(set_to_none=True)
    for part in shares(np.arange(20), examples.lengths, parts=4):
        found = world.losses(collate(examples.fetch(part)))
        own = {task: int(examples.items[task][part].sum()) for task in found}
        torch.stack([found[task] / own[task] / 4 for task in found]).sum().backward()
    furthest = max(
        float((world.parameters()[name].grad - value).abs().max()) for name, value in whole.items()
    )
    assert furthest > 1e-3


def test_a_step_reports_losses_per_labelled_item() -> None:
    world = make_world("bilstm")
    _, found = gradients(world)
    examples = examples_of(world, annotated=MIXED, count=20)
    sums = world.losses(world.batch(examples.fetch(range(20))))
    items = {task: int(counts.sum()) for task, counts in examples.items.items()}
    assert found.keys() == sums.keys() == items.keys()
    for task, loss in found.items():
        assert float(loss) == pytest.approx(float(sums[task].detach()) / items[task], abs=1e-12)


def test_a_step_of_one_task_has_the_gradient_of_its_loss_alone(tmp_path: Path) -> None:
    """Whatever else the sentences are annotated with."""
    world, other = make_world("bilstm"), make_world("bilstm")
    examples = examples_of(world, annotated=[ALL], count=20)
    collate = Collator(world.tokenizer, world.model.routes.depths())
    items = int(examples.items["ner"].sum())
    expected = other.gradients(other.losses(collate(examples.fetch(range(20))))["ner"] / items)
    found = stepper(world.model, examples).take(collate, np.arange(20), step=0, task="ner")
    assert set(found) == {"ner"}
    for name, parameter in world.parameters().items():
        assert (parameter.grad is None) == (expected[name] is None), name
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, expected[name], rtol=0, atol=1e-12)


def test_phases_train_the_tasks_from_low_to_high(tmp_path: Path) -> None:
    world = fresh()
    train(
        tmp_path,
        world=world,
        annotated=[ALL],
        sampling=Sampling("phases"),
        epochs=1,
        progress=EveryStep,
    )
    found = [next(iter(of)) for _, of in losses(tmp_path) if len(of) == 1]
    assert len(found) == len(losses(tmp_path))
    assert list(dict.fromkeys(found)) == list(world.model.hierarchy.names)


def test_gradients_are_clipped_by_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    def watched(parameters: Any, max_norm: float, total_norm: Tensor) -> None:
        limits.append(max_norm)

    monkeypatch.setattr(torch.nn.utils, "clip_grads_with_norm_", watched)
    depths = {"upos": 1, "ner": 2, "edits": 3, "dep": 4}
    world = make_world("bilstm", depths=depths, blocks=4, dtype=torch.float32)
    options: dict[str, Any] = {"annotated": [tuple(depths)], "epochs": 1}
    train(tmp_path / "a", world=world, sampling=Sampling("phases", clip_by_level=True), **options)
    assert [limit for limit, _ in itertools.groupby(limits)] == [1, 2, 3]
    assert limits.count(3) == 2 * limits.count(1) == 2 * limits.count(2) > 0
    limits.clear()
    train(tmp_path / "b", world=world, sampling=Sampling("phases"), **options)
    assert set(limits) == {settings().clip}


def test_heads_without_gold_keep_none_and_do_not_move(tmp_path: Path) -> None:
    world = fresh()
    before = weights(world)
    train(tmp_path, world=world, annotated=[("upos",)])
    after = weights(world)
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert all(
        name.startswith(("stack.embeddings", "stack.blocks.1.", "heads.upos.")) for name in moved
    )
    assert {name.split(".")[1] for name in moved} == {"embeddings", "blocks", "upos"}
    for name, parameter in world.parameters().items():
        assert (parameter.grad is None) == (name not in moved), name


def test_a_task_that_pauses_does_not_drift_on_its_momentum(tmp_path: Path) -> None:
    """Only the first steps have gold for `ner`; after them its head stays as it is."""
    world = fresh()
    seen: list[tuple[bool, Tensor]] = []
    examples = examples_of(world, annotated=[("upos",)] * 9 + [ALL], count=40)
    plan = BatchPlan(examples.lengths, 40, seed=0)

    class Watch(EveryStep):
        def advance(self, words: int) -> None:
            present = bool(examples.items["ner"][plan.step(self.done)].sum())
            seen.append((present, weights(world)["heads.ner.output.weight"]))
            super().advance(words)

    train(tmp_path, world=world, annotated=[("upos",)] * 9 + [ALL], progress=Watch)
    pairs = list(itertools.pairwise(seen))
    idle = [torch.equal(a, b) for (_, a), (present, b) in pairs if not present]
    busy = [torch.equal(a, b) for (_, a), (present, b) in pairs if present]
    assert idle
    assert all(idle)
    assert busy
    assert not any(busy)


def regular(world: World) -> MemoryExamples:
    """The partial mix, with gold that can be learnt: a word's length, and the word before it."""
    found = []
    for example, words in zip(
        examples_of(world, annotated=MIXED).fetch(range(40)), sentences(40), strict=True
    ):
        lengths = np.array([len(word) for word in words])
        rules = {
            "upos": {"labels": lengths},
            "ner": {"labels": np.zeros_like(lengths)},
            "dep": {
                "heads": np.arange(len(words)),
                "relations": np.minimum(1, np.arange(len(words))),
            },
        }
        gold = {task: rules[task] for task in example.gold if task in rules}
        found.append(dataclasses.replace(example, gold=gold))
    return MemoryExamples(found)


@pytest.mark.parametrize("family", ["bert", "bilstm"])
def test_a_partially_annotated_mix_trains(tmp_path: Path, family: str) -> None:
    world = fresh(family)
    history = train_model(
        world.model,
        world.tokenizer,
        regular(world),
        settings(epochs=16),
        folder=tmp_path,
        progress=EveryStep,
    )
    found = [of for _, of in losses(tmp_path)]
    assert len(found) == history.step
    for task in ("upos", "ner", "dep"):
        of_task = [of[task] for of in found if task in of]
        assert np.mean(of_task[-10:]) < 0.8 * np.mean(of_task[:3]), task


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    first, _ = train(tmp_path / "a", dropout=0.3, seed=1)
    torch.manual_seed(99)
    second, _ = train(tmp_path / "b", dropout=0.3, seed=1)
    other, _ = train(tmp_path / "c", dropout=0.3, seed=2)
    assert same(first, second)
    assert not same(first, other)
    assert (tmp_path / "a" / "checkpoints").exists()


def test_the_seed_of_training_alone_changes_weights(tmp_path: Path) -> None:
    first, _ = train(tmp_path / "a", world=fresh(dropout=0.3), seed=1)
    other, _ = train(tmp_path / "b", world=fresh(dropout=0.3), seed=2)
    assert not same(first, other)


def test_patience_ends_training_and_the_best_weights_are_left(tmp_path: Path) -> None:
    seen: list[dict[str, Tensor]] = []
    mains = iter([3.0, 5.0, 4.0, 5.0, 9.0])
    world = fresh()

    def evaluate(model: HierarchicalModel) -> Evaluation:
        seen.append(weights(world))
        return Evaluation(next(mains), [], "")

    _, history = train(tmp_path, world=world, epochs=5, patience=2, evaluate=evaluate)
    assert len(seen) == 4
    assert history.finished
    per_epoch = history.step // 4
    assert (history.best, history.best_main) == (2 * per_epoch, 5.0)
    assert [entry["main"] for entry in history.evaluations] == [3.0, 5.0, 4.0, 5.0]
    assert [entry["epoch"] for entry in history.evaluations] == [1, 2, 3, 4]
    left = weights(world)
    assert all(torch.equal(value, left[name]) for name, value in seen[1].items())
    assert not all(torch.equal(value, left[name]) for name, value in seen[3].items())
    assert not world.model.training
    best = load_checkpoint(tmp_path / "checkpoints" / "best")
    assert best.state == {"step": history.best}


def test_a_run_that_ended_by_patience_stays_ended_when_resumed(tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 9, "patience": 1}
    first, _ = train(tmp_path, evaluate=scripted([3, 1]), **options)
    second, history = train(tmp_path, evaluate=scripted([]), resume=True, **options)
    assert history.finished
    assert same(first, second)


def test_without_evaluation_the_last_weights_are_left(tmp_path: Path) -> None:
    world, history = train(tmp_path, epochs=2, checkpoint_every=1)
    assert history.evaluations == []
    short, _ = train(tmp_path / "short", epochs=2, max_steps=history.step - 1)
    assert not same(world, short)
    assert not (tmp_path / "checkpoints" / "best").exists()


@pytest.mark.parametrize("steps", [1, 4])
def test_training_ends_after_max_steps(tmp_path: Path, steps: int) -> None:
    _, history = train(tmp_path, max_steps=steps, evaluate=scripted([1, 2]))
    assert history.step == steps
    assert len(history.evaluations) == 1


def test_evaluation_can_be_rarer_than_epochs(tmp_path: Path) -> None:
    _, history = train(tmp_path, epochs=5, evaluate_every=2, evaluate=scripted([1, 2, 3]))
    assert [entry["epoch"] for entry in history.evaluations] == [2, 4, 5]


@pytest.mark.parametrize("broken", [False, True])
def test_the_callers_randomness_is_untouched(tmp_path: Path, broken: bool) -> None:
    world = fresh(dropout=0.3)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    if broken:
        with pytest.raises(Broken):
            train(tmp_path, world=world, progress=partial(EveryStep, until=3))
    else:
        train(tmp_path, world=world)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_log_has_a_line_an_epoch_even_in_a_quiet_run(tmp_path: Path) -> None:
    _, history = train(tmp_path, epochs=3, evaluate=scripted([1, 2, 3]))
    ends = [history.step // 3, history.step * 2 // 3, history.step]
    assert [entry["step"] for entry in entries(tmp_path) if "main" in entry] == ends
    assert [step for step, _ in losses(tmp_path)] == ends
    for _, found in losses(tmp_path):
        assert set(found) == set(ALL)
        assert all(math.isfinite(loss) for loss in found.values())


def test_mean_losses_count_the_steps_that_had_the_task(tmp_path: Path) -> None:
    annotated = [("upos",)] * 9 + [ALL]
    train(tmp_path / "each", annotated=annotated, epochs=1, progress=EveryStep)
    train(tmp_path / "once", annotated=annotated, epochs=1)
    each = [of["ner"] for _, of in losses(tmp_path / "each") if "ner" in of]
    ((_, once),) = losses(tmp_path / "once")
    assert 0 < len(each) < len(losses(tmp_path / "each"))
    assert once["ner"] == pytest.approx(np.mean(each), rel=1e-5)


RESUMED = {"dropout": 0.3, "checkpoint_every": 3, "epochs": 2}


@pytest.mark.parametrize("family", ["bert", "bilstm"])
@pytest.mark.parametrize("until", [2, 4, 9])
def test_a_run_broken_off_and_resumed_equals_an_unbroken_one(
    tmp_path: Path, family: str, until: int
) -> None:
    """Broken off before the first checkpoint, in an epoch, and in the next one."""
    options: dict[str, Any] = {**RESUMED, "family": family}
    judge = partial(scripted, [2.0, 1.0])
    whole, one = train(tmp_path / "whole", evaluate=judge(), progress=EveryStep, **options)
    assert one.step > 9
    with pytest.raises(Broken):
        train(
            tmp_path / "cut", evaluate=judge(), progress=partial(EveryStep, until=until), **options
        )
    with (tmp_path / "cut" / "log.jsonl").open("a") as file:
        file.write('{"step": 99999, "losses": {}}\n{"step": 3, "los')
    left = [2.0, 1.0] if until * 2 <= one.step else [1.0]
    world, other = train(
        tmp_path / "cut",
        evaluate=scripted(left),
        progress=EveryStep,
        resume=True,
        **options,
    )
    assert same(whole, world)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    steps = [step for step, _ in losses(tmp_path / "cut")]
    assert steps == list(range(1, one.step + 1))
    assert (other.best, other.best_main, other.step) == (one.best, one.best_main, one.step)
    assert other.evaluations == one.evaluations
    assert other.seconds > 0


def test_resuming_without_the_optimizer_would_give_other_weights(tmp_path: Path) -> None:
    """The control: weights and step alone do not make the run go on as it would have."""
    whole, _ = train(tmp_path / "whole", max_steps=6)
    train(tmp_path / "cut", max_steps=6, checkpoint_every=3, keep_checkpoints=9)
    import json

    place = tmp_path / "cut" / "checkpoints" / "step-3"
    (place / "optimizer.safetensors").unlink()
    sums = json.loads((place / "checksums.json").read_text())
    del sums["optimizer.safetensors"]
    (place / "checksums.json").write_text(json.dumps(sums))
    world, _ = train(tmp_path / "cut", max_steps=6, resume=True)
    assert not same(whole, world)


def test_time_before_a_break_is_counted(tmp_path: Path) -> None:
    train(tmp_path, max_steps=6, checkpoint_every=3, keep_checkpoints=9)
    found = load_checkpoint(tmp_path / "checkpoints" / "step-3").state
    assert found["seconds"] > 0
    _, history = train(tmp_path, max_steps=6, resume=True)
    assert history.seconds > found["seconds"]


def test_padded_and_flat_rows_train_alike(tmp_path: Path) -> None:
    flat, _ = train(tmp_path / "flat", world=make_world("bert"), max_steps=4, precision="fp64")
    padded, _ = train(
        tmp_path / "padded", world=make_world("bert"), max_steps=4, precision="fp64", flat=False
    )
    found: Mapping[str, Tensor] = weights(padded)
    for name, value in weights(flat).items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-9)


def test_runs_of_one_process_may_differ_in_precision(tmp_path: Path) -> None:
    """Weights stay fp32, and bf16 gives others than fp32."""
    found = {}
    for precision in ("bf16", "fp32", "bf16", "fp64"):
        world, _ = train(tmp_path / f"{len(found)}", world=fresh(), precision=precision)
        dtype = torch.float64 if precision == "fp64" else torch.float32
        assert {value.dtype for value in weights(world).values()} == {dtype}
        if precision in found:
            assert same(found[precision], world)
        found[precision] = world
    assert not same(found["bf16"], found["fp32"])


def test_weights_that_are_no_numbers_end_the_run_before_they_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The losses of that step are still numbers: they were computed before it."""
    world = fresh()

    def spoil(stack: Any, step: int, *, done: float) -> None:
        if step == 3:
            with torch.no_grad():
                next(stack.parameters()).fill_(math.nan)

    monkeypatch.setattr(world.model.sharing, "propose", spoil)
    with pytest.raises(RunError, match=r"by step 4 weight model\.stack.* is not a number"):
        train(tmp_path, world=world, annotated=[ALL], checkpoint_every=2, keep_checkpoints=9)
    assert [path.name for path in (tmp_path / "checkpoints").glob("step-*")] == ["step-2"]


def test_trackers_tell_corpora_of_one_task_apart() -> None:
    row = {"task": "upos", "metric": "accuracy", "data": "a", "score": 90.0}
    other = {"task": "ner", "metric": "f1", "data": "a", "score": 50.0}
    found = scalars({"main": 70.0, "rows": [row, {**row, "data": "b", "score": 80.0}, other]})
    assert found == {
        "eval/main": 70.0,
        "eval/upos/accuracy/a": 90.0,
        "eval/upos/accuracy/b": 80.0,
        "eval/ner/f1": 50.0,
    }
