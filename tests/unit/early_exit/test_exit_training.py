"""Exit heads are trained on states that do not move, and nothing else of the model is changed."""

import numpy as np
import pytest
import torch

from hiermtl.early_exit import train_exits, training
from hiermtl.errors import DataError
from hiermtl.tokens import Collator
from hiermtl.training.examples import MemoryExamples
from tests.worlds import World, make_world

CLOSED = {
    "ner": {"loss": 0.5, "thresholds": {"1": float("inf")}},
    "dep": {"loss": 0.5, "thresholds": {"1": float("inf"), "2": float("inf")}},
}


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "FEWEST", 20)
    monkeypatch.setattr(training, "RATE", 0.01)


@pytest.fixture
def world() -> World:
    made = make_world("bert", dtype=torch.float32)
    made.model.set_exits(CLOSED)
    return made


def losses_of(world: World) -> dict[tuple[str, int], float]:
    batch = Collator(world.tokenizer, world.model.routes.depths())(world.examples())
    return {key: loss.item() for key, loss in world.model.exit_losses(batch).items()}


def test_exit_heads_learn_and_no_other_weight_moves(world: World) -> None:
    start = {name: value.clone() for name, value in world.model.state_dict().items()}
    before = losses_of(world)
    train_exits(world.model, world.tokenizer, MemoryExamples(world.examples()))
    after = losses_of(world)
    assert before.keys() == after.keys()
    assert all(after[key] < before[key] for key in before)
    for name, value in world.model.state_dict().items():
        assert torch.equal(value, start[name]) or name.startswith("exits."), name


def test_twice_gives_the_same_weights_whatever_was_drawn_before(world: World) -> None:
    found = []
    for drawn in (0, 1):
        made = make_world("bert", dtype=torch.float32, dropout=0.2)
        made.model.set_exits(CLOSED)
        torch.manual_seed(drawn)
        train_exits(made.model, made.tokenizer, MemoryExamples(made.examples()))
        found.append(made.model.exits.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_what_was_frozen_or_in_training_is_so_afterwards(world: World) -> None:
    model = world.model
    model.head("upos").requires_grad_(False)
    model.train()
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    train_exits(model, world.tokenizer, MemoryExamples(world.examples()))
    assert {name: p.requires_grad for name, p in model.named_parameters()} == before
    assert model.training
    assert all(part.training for part in model.modules())


def test_a_training_that_is_broken_off_leaves_the_model_as_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(batch: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(world.model, "exit_losses", stop)
    before = {name: p.requires_grad for name, p in world.model.named_parameters()}
    with pytest.raises(KeyboardInterrupt):
        train_exits(world.model, world.tokenizer, MemoryExamples(world.examples()))
    assert {name: p.requires_grad for name, p in world.model.named_parameters()} == before
    assert not any(part.training for part in world.model.modules())


def test_a_task_without_gold_is_named(world: World) -> None:
    examples = MemoryExamples(world.examples(annotated=[("ner",)]))
    with pytest.raises(DataError, match=r"carries a label for task 'dep', .* name other tasks"):
        train_exits(world.model, world.tokenizer, examples)


def test_every_example_is_seen_as_often_as_there_are_passes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "FEWEST", 0)
    monkeypatch.setattr(training, "TOKENS", 12)
    examples = MemoryExamples(world.examples())
    seen = np.zeros(len(examples), dtype=int)
    sizes = []
    fetch = examples.fetch

    def counted(indices: list[int]) -> object:
        seen[indices] += 1
        sizes.append(examples.lengths[indices].sum() if len(indices) > 1 else 0)
        return fetch(indices)

    monkeypatch.setattr(examples, "fetch", counted)
    train_exits(world.model, world.tokenizer, examples)
    assert max(sizes) <= 12
    told = (examples.items["ner"] + examples.items["dep"]) > 0
    assert 0 < told.sum() < len(told)
    assert (np.abs(seen[told] - training.PASSES) <= 1).all()
    assert not seen[~told].any()
