"""The joint many-task model: what enters each level, and what it leaves alone."""

import math

import pytest
import torch
from torch import Tensor

from hiermtl.sharing import SHARED
from hiermtl.sharing.joint_many import JointMany
from tests.worlds import FAMILIES, World, assert_same, make_world, same

everywhere = pytest.mark.parametrize("family", FAMILIES)
DEPTHS = {"upos": 1, "ner": 2, "dep": 3}
OFF = {"shortcuts": False, "label_embeddings": False, "zero_softmax": False}


def joint(family: str, *, depths: dict[str, int] = DEPTHS, **options: object) -> World:
    spread = options.pop("spread", 0.2)
    assert isinstance(spread, float)
    return make_world(
        family, {"name": "joint_many", "label_width": 7, **options}, depths=depths, spread=spread
    )


def scores_of(world: World) -> dict[str, Tensor]:
    with torch.no_grad():
        outputs = world.model(world.batch(world.examples(), tuple(DEPTHS)), tuple(DEPTHS))
    return {f"{t} {n}": s for t in DEPTHS for n, s in outputs[t].scores.items()}


def entering(world: World, depth: int, *, flat: bool = True) -> tuple[Tensor, Tensor]:
    """What enters the block of a depth beside the states below, and the embeddings."""
    seen: dict[str, Tensor] = {}
    batch = world.batch(world.examples(), tuple(DEPTHS), flat=flat)
    handles = [
        world.model.stack.block(depth, SHARED).register_forward_pre_hook(
            lambda _, inputs: seen.update(extra=inputs[2])
        ),
        world.model.stack.embedding(SHARED).register_forward_hook(
            lambda _, __, output: seen.update(embeddings=output)
        ),
    ]
    with torch.no_grad():
        outputs = world.model(batch, tuple(DEPTHS))
    for handle in handles:
        handle.remove()
    tables = world.parameters()
    labels = [
        batch.layout.scatter(
            world.model.head(task).probabilities(outputs[task]) @ tables[f"sharing.tables.{task}"]
        )
        for task in ("upos", "ner")
        if DEPTHS[task] < depth and f"sharing.tables.{task}" in tables
    ]
    total = torch.stack(labels).sum(0) if labels else torch.zeros(batch.layout.units, 0)
    return seen["extra"], torch.cat([seen["embeddings"], total.detach()], dim=-1)


@everywhere
@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize("training", [False, True])
def test_a_level_reads_the_embeddings_and_the_sum_of_lower_label_vectors(
    family: str, flat: bool, depth: int, training: bool
) -> None:
    world = joint(family)
    world.model.train(training)
    found, expected = entering(world, depth, flat=flat)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@everywhere
def test_each_switch_takes_its_part_away(family: str) -> None:
    width = make_world(family).model.sharing.widths[0]
    for options, parts in (
        ({}, width + 7),
        ({"shortcuts": False}, 7),
        ({"label_embeddings": False}, width),
        (OFF, 0),
    ):
        sharing = joint(family, **options).model.sharing
        assert [sharing.extra_width(depth) for depth in (1, 2, 3)] == [0, parts, parts]


@everywhere
def test_both_off_is_low_supervision_bit_for_bit(family: str) -> None:
    plain = make_world(family, depths=DEPTHS)
    off = joint(family, **OFF)
    assert off.parameters().keys() == plain.parameters().keys()
    assert_same(scores_of(off), scores_of(plain))
    assert not same(scores_of(joint(family)), scores_of(plain), atol=1e-6)


@everywhere
@pytest.mark.parametrize("part", ["shortcuts", "label_embeddings"])
def test_a_part_that_says_nothing_is_low_supervision(family: str, part: str) -> None:
    """The other one is off; before its weights are zeroed it must show."""
    other = {"shortcuts": "label_embeddings", "label_embeddings": "shortcuts"}[part]
    world = joint(family, **{other: False, "zero_softmax": False})
    plain = make_world(family, depths=DEPTHS)
    known, state = world.model.state_dict(), plain.model.state_dict()
    wider = [name for name, value in state.items() if known[name].shape != value.shape]
    assert bool(wider) == (family == "bilstm")
    with torch.no_grad():
        for name, value in state.items():
            value.copy_(known[name][:, : value.shape[1]] if name in wider else known[name])
    assert not same(scores_of(world), scores_of(plain), atol=1e-6)
    parts = world.parameters()
    with torch.no_grad():
        for name in wider:
            parts[name][:, state[name].shape[1] :] = 0
        for name in parts:
            if ".extra." in name:
                parts[name].zero_()
    assert_same(scores_of(world), scores_of(plain), atol=1e-12)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_a_pretrained_encoder_starts_as_it_is_bit_for_bit(family: str) -> None:
    plain = make_world(family, depths=DEPTHS, spread=0.0)
    own = joint(family, spread=0.0, zero_softmax=False)
    assert_same(scores_of(own), scores_of(plain))


@everywhere
@pytest.mark.parametrize("zero", [True, False])
def test_heads_that_start_at_zero_find_all_labels_alike_and_move_alone(
    family: str, zero: bool
) -> None:
    """The loss of a word is the logarithm of its choices; nothing below the head has a gradient."""
    world = joint(family, spread=0.0, zero_softmax=zero)
    batch = world.batch(world.examples(annotated=[tuple(DEPTHS)]))
    words, losses = batch.layout.words, world.losses(batch)
    for task in ("upos", "ner"):
        choices = math.log(len(world.model.head(task).labels))
        assert (float(losses[task].detach()) == pytest.approx(words * choices, rel=1e-6)) == zero
        gradients = world.gradients(world.losses(batch)[task])
        assert gradients[f"heads.{task}.output.weight"].any()
        below = [g for name, g in gradients.items() if name.startswith("stack.") and g is not None]
        assert any(gradient.any() for gradient in below) != zero
    # A word's candidates are all other words and the root.
    candidates = sum(count * math.log(count) for count in batch.layout.word_counts)
    relations = words * math.log(len(world.model.head("dep").labels))
    assert float(losses["dep"].detach()) == pytest.approx(candidates + relations, rel=1e-6)
    moving = {n for n, g in world.gradients(losses["dep"]).items() if g is not None and g.any()}
    assert moving == {"heads.dep.arc", "heads.dep.label"}


def test_only_the_first_block_above_a_level_reads_more() -> None:
    depths = {"upos": 1, "ner": 1, "dep": 3}
    sharing = joint("bilstm", depths=depths).model.sharing
    assert isinstance(sharing, JointMany)
    assert [list(sharing.feeds(depth)) for depth in (1, 2, 3)] == [[], ["ner", "upos"], []]
    assert [bool(sharing.sees(depth)) for depth in (1, 2, 3)] == [False, True, False]


def test_trees_and_scripts_have_no_label_vectors() -> None:
    depths = {"upos": 1, "dep": 1, "edits": 1, "ner": 3}
    assert set(joint("bilstm", depths=depths).model.sharing.tables) == {"upos"}


@everywhere
@pytest.mark.parametrize("detach", [False, True])
def test_an_upper_loss_trains_the_lower_heads_unless_labels_are_detached(
    family: str, detach: bool
) -> None:
    world = joint(family, detach_labels=detach, shortcuts=False)
    batch = world.batch(world.examples(annotated=[("dep",)]))
    gradients = world.gradients(world.losses(batch)["dep"])
    for task in ("upos", "ner"):
        assert gradients[f"sharing.tables.{task}"].any()
        head = gradients[f"heads.{task}.output.weight"]
        assert (head is None) if detach else bool(head.any())
    # Through the blocks between alone: there is no shortcut.
    for part in ("stack.embeddings", "stack.blocks.1", "stack.blocks.2"):
        below = [g for n, g in gradients.items() if n.startswith(part) and g is not None]
        assert any(gradient.any() for gradient in below)


@everywhere
def test_without_label_vectors_an_upper_loss_does_not_know_the_lower_heads(family: str) -> None:
    world = joint(family, label_embeddings=False)
    batch = world.batch(world.examples(annotated=[("dep",)]))
    gradients = world.gradients(world.losses(batch)["dep"])
    lower = {n: g for n, g in gradients.items() if n.startswith(("heads.upos.", "heads.ner."))}
    assert lower
    assert all(gradient is None for gradient in lower.values())


@everywhere
@pytest.mark.parametrize("training", [False, True])
def test_gold_of_lower_tasks_never_reaches_upper_scores(family: str, training: bool) -> None:
    """Other predictions do, which is the control."""
    world = joint(family)
    world.model.train(training)
    examples = world.examples(annotated=[tuple(DEPTHS)])
    before = world.model(world.batch(examples))["dep"].scores
    for example in examples:
        for task in ("upos", "ner"):
            labels = example.gold[task]["labels"]
            labels[:] = (labels + 1) % 5
    assert_same(world.model(world.batch(examples))["dep"].scores, before)
    with torch.no_grad():
        world.parameters()["heads.upos.output.bias"][0] += 3
    assert not same(world.model(world.batch(examples))["dep"].scores, before, atol=1e-6)


def test_probabilities_of_one_give_a_row_and_equal_ones_the_mean_row() -> None:
    world = joint("bilstm", shortcuts=False)
    sharing = world.model.sharing
    assert isinstance(sharing, JointMany)
    batch = world.batch(world.examples(), tuple(DEPTHS))
    stream = type("S", (), {"layout": batch.layout})()
    table, words = sharing.tables["upos"], batch.layout.words
    one = torch.zeros(words, len(table), dtype=torch.float64)
    one[:, 3] = 1
    for probable, row in ((one, table[3]), (torch.full_like(one, 1 / len(table)), table.mean(0))):
        found = sharing.extra(2, stream, fed={"upos": probable}, seen=())
        assert found is not None
        torch.testing.assert_close(found, batch.layout.scatter(row.expand(words, -1)))
