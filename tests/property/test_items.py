"""Heads that find items among the words, and heads that read what these find."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hiermtl.errors import ModelError
from hiermtl.model import HierarchicalModel
from hiermtl.records import Batch, Group
from tests.worlds import (
    SENTENCES,
    UPPER,
    World,
    assert_same,
    make_encoder,
    make_world,
    per_sentence,
    save_and_load,
    theta,
)

EVERY = tuple(UPPER)
DEPTHS = {"upos": 1} | {task: depth for task, (_, depth) in UPPER.items()}
RAGGED = (("upos", *EVERY), ("span",), ("roles", "upos"), ("span", "relation"), (), EVERY)
everywhere = pytest.mark.parametrize("family", ["bert", "bilstm"])
schemes = pytest.mark.parametrize(
    "sharing", ["low_supervision", "hard", "joint_many", "cross_stitch", "hmtl", "adaptive"]
)


def world_of(family: str = "bert", sharing: str = "low_supervision", **options: Any) -> World:
    depths = dict.fromkeys(DEPTHS, 3) if sharing == "hard" else DEPTHS
    return make_world(family, sharing, depths=depths, **options)


def batch_of(world: World, **options: Any) -> Batch:
    return world.batch(world.examples(SENTENCES, RAGGED), **options)


@schemes
@everywhere
def test_losses_reach_what_a_task_depends_on_and_nothing_else(family: str, sharing: str) -> None:
    world = world_of(family, sharing)
    batch = batch_of(world)
    losses = world.losses(batch)
    assert set(losses) == {"upos", *EVERY}
    for task in EVERY:
        gradients = world.gradients(world.losses(batch)[task])
        reached = {name for name, gradient in gradients.items() if gradient is not None}
        own = {name for name in gradients if name.startswith(f"heads.{task}.")}
        assert own <= reached
        shared = {name for name in reached if name.startswith(("stack.", "heads.", "taps."))}
        assert shared <= theta(world.model, task)
        if task == "relation":  # it is told spans, not scores of them
            assert not any(name.startswith("heads.span.") for name in reached)


@everywhere
def test_losses_do_not_depend_on_batch_companions_or_padding(family: str) -> None:
    world = world_of(family)
    examples = world.examples(SENTENCES, RAGGED)
    together = world.losses(world.batch(examples))
    padded = world.losses(world.batch(examples, flat=False))
    for task, loss in together.items():
        torch.testing.assert_close(padded[task], loss)
        alone = [world.losses(world.batch([example])).get(task) for example in examples]
        torch.testing.assert_close(sum(part for part in alone if part is not None), loss)


@everywhere
def test_annotations_do_not_depend_on_batch_companions(family: str) -> None:
    world = world_of(family, spread=0.6)
    examples = world.examples(SENTENCES, RAGGED)
    batch = world.batch(examples, EVERY)
    found = world.model.decode(world.model(batch, EVERY), EVERY)
    some = 0
    for place, at in enumerate(batch.order.tolist()):
        alone = world.batch([examples[at]], EVERY)
        own = world.model.decode(world.model(alone, EVERY), EVERY)
        for task in EVERY:
            assert own[task][0].tolist() == found[task][place].tolist()
            some += len(own[task][0])
    assert some > 20


def test_only_annotated_sentences_count() -> None:
    """A task that runs for another's sake has no loss where it has no gold."""
    world = world_of()
    examples = world.examples(SENTENCES, [("relation", "span")])
    bare = [replace(e, gold={"relation": {}}) for e in examples]
    losses = world.losses(world.batch(bare))
    assert set(losses) == {"relation"}
    # The spans are gold as they were: they are told, and not learnt.
    torch.testing.assert_close(losses["relation"], world.losses(world.batch(examples))["relation"])
    mixed = [*bare[:3], *examples[3:]]
    torch.testing.assert_close(
        world.losses(world.batch(mixed))["span"], world.losses(world.batch(examples[3:]))["span"]
    )


def test_without_gold_spans_predicted_ones_are_read() -> None:
    world = world_of(spread=0.6)
    examples = world.examples(SENTENCES, [("relation", "span")])
    batch = world.batch(examples)
    outputs = world.model(batch)
    told = world.model.losses(batch, outputs)["relation"]
    predicted = world.model.losses(batch, outputs, predicted=["relation"])["relation"]
    assert not torch.isclose(told, predicted)
    blind = [
        replace(e, gold={"relation": {}}, items={"relation": e.items["relation"]}) for e in examples
    ]
    torch.testing.assert_close(world.losses(world.batch(blind))["relation"], predicted)


def test_informed_heads_are_told_the_gold_of_what_they_read() -> None:
    world = world_of(spread=0.6)
    examples = world.examples(SENTENCES, [EVERY])
    batch = world.batch(examples, EVERY)
    outputs = world.model(batch, EVERY)
    informed = world.model.decode_informed(batch, outputs, ["roles", "relation"])
    free = world.model.decode(outputs, EVERY)
    for place, at in enumerate(batch.order.tolist()):
        gold = examples[at].items
        words = len(examples[at].piece_counts)
        assert {row[0] for row in informed["roles"][place].tolist()} == set(
            gold["roles"][:, 0].tolist()
        )
        spans = {tuple(row[:2]) for row in gold["span"].tolist()}
        for relation in informed["relation"][place].tolist():
            assert {tuple(relation[:2]), tuple(relation[2:4])} <= spans
        assert all(0 <= row[0] < words for row in free["roles"][place].tolist())
    assert any(
        left.tolist() != right.tolist()
        for left, right in zip(informed["relation"], free["relation"], strict=True)
    )


def test_steps_of_one_task_keep_what_it_reads() -> None:
    world = world_of()
    examples = world.examples(SENTENCES, [EVERY])
    one = [example.only("relation") for example in examples]
    losses = world.losses(world.batch(one))
    assert set(losses) == {"relation"}
    torch.testing.assert_close(losses["relation"], world.losses(world.batch(examples))["relation"])


def test_saving_and_loading_changes_nothing(tmp_path: Path) -> None:
    world = world_of()
    again = save_and_load(world, tmp_path)
    batch = batch_of(world)
    outputs, others = world.model(batch, EVERY), again.model(batch, EVERY)
    for task in EVERY:
        left, right = per_sentence(batch, outputs[task]), per_sentence(batch, others[task])
        for place, scores in left.items():
            assert_same(scores, right[place])
    decoded = world.model.decode(outputs, EVERY)
    for task, found in again.model.decode(others, EVERY).items():
        assert [items.tolist() for items in found] == [own.tolist() for own in decoded[task]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"relation": {"reads": {"upos": 5}}},
            "reads is 'upos', which finds tags at depth 1, and the reader reads spans at depth 3; "
            "allowed are tasks that find spans, not read above it: span",
        ),
        ({"relation": {"reads": {"span": 9}}}, "expects 9 labels of 'span', which has 2"),
        ({"relation": {"reads": {"gone": 2}}}, "is 'gone', which is no other task of the model"),
    ],
)
def test_what_cannot_be_read_is_refused(changes: dict[str, Any], message: str) -> None:
    world = world_of()
    config = world.model.config
    for task, options in changes.items():
        config.tasks[task]["options"] |= options
    with pytest.raises(ModelError, match=message):
        HierarchicalModel(config, make_encoder("bert"))


def test_documents_have_clusters_that_no_companion_changes() -> None:
    """Sentences of one document in any batch; their order counts."""
    world = with_coreference()
    first, second = documents(world)
    batch = world.batch([first, second])
    losses = world.losses(batch)
    apart = [world.losses(world.batch([one]))["coref"] for one in (first, second)]
    torch.testing.assert_close(losses["coref"], sum(apart))
    tasks = ("span", "coref")
    found = world.model.decode(world.model(world.batch([first, second], tasks), tasks), tasks)
    assert len(found["coref"]) == 2
    for one, own in zip((first, second), found["coref"], strict=True):
        alone = world.model.decode(world.model(world.batch([one], tasks), tasks), tasks)
        assert alone["coref"][0].tolist() == own.tolist()
        places = own[:, 0]
        assert (np.diff(places) >= 0).all()
        assert set(places.tolist()) <= set(range(len(one.examples)))
    turned = replace(first, examples=first.examples[::-1])
    assert not torch.isclose(world.losses(world.batch([turned]))["coref"], apart[0])


def test_a_document_that_is_no_group_has_no_coreference() -> None:
    world = with_coreference()
    document, _ = documents(world)
    apart, whole = (world.losses(world.batch(x)) for x in (list(document.examples), [document]))
    assert apart["coref"] == 0 < whole["coref"]
    torch.testing.assert_close(apart["span"], whole["span"])


def with_coreference() -> World:
    world = make_world("bert", depths={"span": 2})
    config = world.model.config
    config.tasks["coref"] = {
        "depth": 3,
        "head": "coreference",
        "labels": ["mention"],
        "options": {"reads": {"span": 2}, "size": 4, "window": 5, "dropout": 0.0},
    }
    model = HierarchicalModel(config, make_encoder("bert")).double().eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator).double())
    return World(model, world.tokenizer)


def documents(world: World) -> tuple[Group, Group]:
    """Of sentences 0 to 3, and 4 and 5; each span of a sentence is of entity 0, 1, 0, 1, ..."""
    made = []
    for example in world.examples(SENTENCES, [("span",)]):
        spans = example.items["span"]
        numbers = np.arange(len(spans)) % 2
        mentions = np.column_stack([spans[:, :2], numbers, np.zeros_like(numbers)])
        made.append(
            replace(
                example,
                gold={**example.gold, "coref": {}},
                items={**example.items, "coref": mentions},
            )
        )
    gold = {"coref": 1}
    return (
        Group(tuple(made[:4]), gold, document=True),
        Group(tuple(made[4:]), gold, 1, document=True),
    )
