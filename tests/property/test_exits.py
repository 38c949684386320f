"""Sentences that leave for a task below its depth: which, what is computed, what is exact."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hiermtl.config import HierarchicalConfig
from hiermtl.encoders.base import Block
from hiermtl.errors import ModelError
from hiermtl.heads import HEADS
from hiermtl.model import HierarchicalModel
from hiermtl.records import Example, Group
from hiermtl.sharing import SHARING
from hiermtl.tokens import Collator
from tests.worlds import (
    ALL,
    BLOCKS,
    SENTENCES,
    TASKS,
    World,
    make_encoder,
    make_tokenizer,
    make_world,
    randomise,
)

FAMILIES = ("bert", "bilstm", "modernbert")
INF = float("inf")
everywhere = pytest.mark.parametrize("family", FAMILIES)


def exits(**thresholds: dict[int, float]) -> dict[str, dict[str, Any]]:
    return {
        task: {"loss": 0.5, "thresholds": {str(d): value for d, value in given.items()}}
        for task, given in thresholds.items()
    }


def with_exits(world: World, given: Mapping[str, Mapping[str, Any]]) -> World:
    """With heads of their own at the exits, which say other things than those of the tasks."""
    world.model.set_exits(given)
    randomise(
        ((n, p) for n, p in world.model.named_parameters() if n.startswith("exits.")), spread=0.5
    )
    return world


def batch_of(world: World, entries: list[Any], *, flat: bool = True) -> Any:
    return Collator(world.tokenizer, world.model.routes.depths(), flat=flat)(
        entries, world.model.hierarchy.names
    )


def plain(world: World) -> list[Example]:
    return world.examples(annotated=[()])


def rows_run(model: HierarchicalModel, call: Any) -> dict[int, int]:
    """How many units each block reads, by depth."""
    found: dict[int, int] = {}
    hooks = []
    for depth in range(1, model.stack.depth + 1):
        for block in model.stack.copies(depth).values():
            assert isinstance(block, Block)

            def count(_: Any, args: Any, at: int = depth) -> None:
                found[at] = found.get(at, 0) + int(args[1].row_lengths.sum())

            hooks.append(block.register_forward_pre_hook(count))
    call()
    for hook in hooks:
        hook.remove()
    return found


def scores_of(outputs: Mapping[str, Any]) -> dict[str, Tensor]:
    return {f"{t} {n}": s for t, o in outputs.items() for n, s in o.scores.items()}


@everywhere
@pytest.mark.parametrize("flat", [True, False])
def test_nobody_leaves_what_is_never_sure(family: str, flat: bool) -> None:
    world = make_world(family)
    batch = batch_of(world, plain(world), flat=flat)
    with torch.no_grad():
        before = scores_of(world.model(batch, ALL))
        with_exits(world, exits(ner={1: INF}, dep={1: INF, 2: INF}))
        after = scores_of(world.model(batch, ALL))
    outputs, left = world.model.leave(batch, ALL)
    assert not left
    for found in (after, scores_of(outputs)):
        assert found.keys() == before.keys()
        assert all(torch.equal(found[name], before[name]) for name in before)


@everywhere
def test_everybody_leaves_at_the_first_exit_that_asks_for_nothing(family: str) -> None:
    world = with_exits(make_world(family), exits(dep={1: 0.0, 2: 0.0}, ner={1: 0.0}))
    batch = batch_of(world, plain(world))
    outputs, left = world.model.leave(batch, ["ner", "dep"])
    assert not outputs
    for task in ("ner", "dep"):
        (part,) = left[task]
        assert part.depth == 1
        assert part.output.sentences.tolist() == list(range(len(SENTENCES)))
        assert ((part.sure > 0) & (part.sure <= 1)).all()
    # What is said is the exit head's of the states at its depth.
    shallow = make_world(family, depths={**{t: d for t, (_, d) in TASKS.items()}, "dep": 1})
    known = world.model.state_dict()
    own = {n: known[n] for n in shallow.model.state_dict() if not n.startswith("heads.dep.")}
    own |= {
        n.replace("exits.dep.1.", "heads.dep."): v for n, v in known.items() if "exits.dep.1." in n
    }
    shallow.model.load_state_dict(own)
    expected = shallow.model(batch, ["dep"])["dep"].scores
    for name, scores in left["dep"][0].output.scores.items():
        torch.testing.assert_close(scores, expected[name], rtol=0, atol=1e-10)


def median(world: World, task: str, depth: int) -> float:
    """A threshold that half of the sentences pass."""
    before = world.model.config.exits
    world.model.config.exits = exits(**{task: {depth: 0.0}})
    try:
        _, left = world.model.leave(batch_of(world, plain(world)), [task])
    finally:
        world.model.config.exits = before
    return float(np.median(left[task][0].sure))


@everywhere
@pytest.mark.parametrize("flat", [True, False])
def test_blocks_run_for_sentences_that_stayed_alone(family: str, flat: bool) -> None:
    world = with_exits(make_world(family), exits(dep={1: INF, 2: INF}))
    world.model.config.exits = exits(dep={1: median(world, "dep", 1), 2: INF})
    batch = batch_of(world, plain(world), flat=flat)
    lengths = np.bincount(batch.layout.row_sentences, weights=batch.layout.row_lengths)
    outputs, left = world.model.leave(batch, ["dep"])
    gone, stayed = left["dep"][0].output.sentences, outputs["dep"].sentences
    assert len(gone) == 3
    assert sorted([*gone, *stayed]) == list(range(len(SENTENCES)))
    run = rows_run(world.model, lambda: world.model.leave(batch, ["dep"]))
    rest = int(lengths[stayed].sum())
    assert run == {1: int(lengths.sum()), 2: rest, 3: rest}
    # Negative control: without exits every sentence goes through every block.
    whole = rows_run(world.model, lambda: world.model(batch, ["dep"]))
    assert whole == dict.fromkeys((1, 2, 3), int(lengths.sum()))


@everywhere
def test_a_block_that_another_task_needs_is_run(family: str) -> None:
    world = with_exits(make_world(family), exits(ner={1: 0.0}, dep={2: 0.0}))
    batch = batch_of(world, plain(world))
    whole = int(batch.layout.row_lengths.sum())
    run = rows_run(world.model, lambda: world.model.leave(batch, ["ner", "dep"]))
    assert run == {1: whole, 2: whole}
    run = rows_run(world.model, lambda: world.model.leave(batch, ["ner"]))
    assert run == {1: whole}
    run = rows_run(world.model, lambda: world.model.leave(batch, ["upos", "ner"]))
    assert run == {1: whole}


@everywhere
def test_a_sentence_leaves_whatever_others_are_in_its_batch(family: str) -> None:
    world = with_exits(make_world(family), exits(dep={1: INF, 2: INF}))
    world.model.config.exits = exits(
        dep={1: median(world, "dep", 1) + 1e-6, 2: median(world, "dep", 2) + 1e-6}
    )
    examples = plain(world)
    batch = batch_of(world, examples)
    _, left = world.model.leave(batch, ["dep"])
    together = {
        int(batch.order[s]): (part.depth, value)
        for part in left["dep"]
        for s, value in zip(part.output.sentences, part.sure, strict=True)
    }
    assert 0 < len(together) < len(SENTENCES)
    for place, example in enumerate(examples):
        _, alone = world.model.leave(batch_of(world, [example]), ["dep"])
        found = [(part.depth, float(part.sure[0])) for part in alone.get("dep", ())]
        expected = [together[place]] if place in together else []
        assert [depth for depth, _ in found] == [depth for depth, _ in expected]
        assert [s for _, s in found] == pytest.approx([s for _, s in expected], abs=1e-9)


@everywhere
def test_exit_heads_learn_and_nothing_else(family: str) -> None:
    world = with_exits(make_world(family), exits(dep={1: INF, 2: INF}, ner={1: INF}))
    batch = Collator(world.tokenizer, world.model.routes.depths())(world.examples())
    losses = world.model.exit_losses(batch)
    assert losses.keys() == {("dep", 1), ("dep", 2), ("ner", 1)}
    gradients = world.gradients(torch.stack(list(losses.values())).sum())
    for name, gradient in gradients.items():
        assert (gradient is not None and bool(gradient.any())) == name.startswith("exits."), name
    run = rows_run(world.model, lambda: world.model.exit_losses(batch))
    assert set(run) == {1, 2}


def test_a_task_that_another_reads_does_not_leave() -> None:
    """Under joint many-task learning upper blocks read what is said at lower depths."""
    depths = {"upos": 2, "ner": 3}
    world = make_world("bilstm", "joint_many", depths=depths)
    with_exits(world, exits(upos={1: 0.0}))
    batch = batch_of(world, plain(world))
    assert set(world.model.leave(batch, ["upos"])[1]) == {"upos"}
    outputs, left = world.model.leave(batch, ["upos", "ner"])
    assert not left
    with torch.no_grad():
        expected = scores_of(world.model(batch, ["upos", "ner"]))
    found = scores_of(outputs)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_what_others_read_learns_all_the_same() -> None:
    world = make_world("bilstm", "joint_many", depths={"upos": 2, "ner": 3})
    with_exits(world, exits(upos={1: INF}, ner={1: INF, 2: INF}))
    batch = Collator(world.tokenizer, world.model.routes.depths())(world.examples())
    assert world.model.exit_losses(batch).keys() == {("upos", 1), ("ner", 1), ("ner", 2)}


MIXED = {"cross_stitch", "sluice"}
"""Under these a task has several states at a depth."""


@pytest.mark.parametrize("sharing", SHARING)
def test_exits_under_every_scheme(sharing: str) -> None:
    """They are refused, or nobody leaves what is never sure and everybody what asks nothing."""
    world = make_world("bert", sharing)
    closed = exits(dep=dict.fromkeys(range(1, BLOCKS), INF))
    if sharing in MIXED:
        with pytest.raises(ModelError, match=rf"several states .* under sharing '{sharing}'"):
            world.model.set_exits(closed)
        return
    with_exits(world, closed)
    batch = batch_of(world, plain(world))
    with torch.no_grad():
        expected = scores_of(world.model(batch, ALL))
    outputs, left = world.model.leave(batch, ALL)
    assert not left
    found = scores_of(outputs)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    world.model.config.exits = exits(dep={1: 0.0, 2: INF})
    outputs, left = world.model.leave(batch, ["dep"])
    assert "dep" not in outputs
    assert [part.depth for part in left["dep"]] == [1]


GROUPED = {
    "topic": ("text_classification", 2, ["a", "b"], {}),
    "entails": ("pair_classification", 3, ["no", "yes"], {"hidden": 6}),
}


def test_texts_and_pairs_leave_as_one() -> None:
    encoder = make_encoder("bert")
    tasks = {
        name: {"depth": depth, "head": kind, "labels": labels, "options": options}
        for name, (kind, depth, labels, options) in GROUPED.items()
    }
    model = HierarchicalModel(HierarchicalConfig(encoder.config(), tasks), encoder).double().eval()
    randomise(model.named_parameters(), spread=0.3)
    world = with_exits(
        World(model, make_tokenizer("bert")), exits(topic={1: 0.0}, entails={1: 0.0, 2: 0.0})
    )
    one = plain(world)
    entries = [Group((one[0], one[3])), Group((one[1],)), Group((one[2], one[4])), Group((one[5],))]
    collate = Collator(world.tokenizer, model.routes.depths())
    batch = collate(entries, list(GROUPED))
    units = batch.groups.units
    asked = {}
    for task, unit in (("topic", "text"), ("entails", "pair")):
        asked[task] = np.zeros(batch.layout.sentences, dtype=bool)
        asked[task][batch.groups.at(np.flatnonzero(units == unit)).members] = True
    _, left = model.leave(batch, asked)
    sure = left["entails"][0].sure
    model.config.exits = exits(topic={1: INF}, entails={1: float(sure.max()), 2: INF})
    outputs, left = model.leave(batch, asked)
    (part,) = left["entails"]
    assert len(part.output.sentences) == 2
    assert part.output.groups is not None
    assert outputs["entails"].groups is not None
    assert sorted([*part.output.groups, *outputs["entails"].groups]) == [0, 2]
    assert part.output.members is not None
    chosen = batch.groups.at(part.output.groups)
    assert sorted(part.output.sentences) == sorted(chosen.members)
    assert len(model.exits.head("entails", 1).decode(part.output)) == 1


@pytest.mark.parametrize(
    ("task", "given", "message"),
    [
        ("span", {"depth": 3}, "task 'span' has a head (span) that does not say how probable its"),
        ("upos", {"depth": 1}, "task 'upos' is read at depth 1, below which there is the embeddi"),
    ],
)
def test_tasks_that_cannot_be_left_are_named(
    task: str, given: dict[str, Any], message: str
) -> None:
    encoder = make_encoder("bert")
    head = "span" if task == "span" else "tagging"
    tasks = {task: {"head": head, "labels": ["a", "b"], **given}}
    model = HierarchicalModel(HierarchicalConfig(encoder.config(), tasks), encoder)
    with pytest.raises(ModelError) as error:
        model.set_exits(exits(**{task: {1: 0.5}}))
    assert message in str(error.value)
    assert "name other tasks" in str(error.value)


@pytest.mark.parametrize("depth", [0, 3, 4])
def test_exits_lie_below_the_task_and_above_the_embedding(depth: int) -> None:
    world = make_world("bert")
    with pytest.raises(ModelError, match=rf"exits\.dep names depth {depth}; .* here 1 and 2"):
        world.model.set_exits(exits(dep={depth: 0.5}))


def test_exits_of_no_task_are_refused() -> None:
    world = make_world("bert")
    with pytest.raises(ModelError, match=r"exits\.depp is of no task .* did you mean 'dep'\?"):
        world.model.set_exits(exits(depp={1: 0.5}))


def test_exits_go_with_their_task() -> None:
    world = with_exits(make_world("bert"), exits(dep={1: 0.4}, ner={1: 0.6}))
    rest = world.model.without(["dep"])
    assert set(rest.config.exits) == {"ner"}
    names = {name for name in rest.state_dict() if name.startswith("exits.")}
    assert names
    assert all(torch.equal(rest.state_dict()[n], world.model.state_dict()[n]) for n in names)


def test_every_kind_of_head_that_is_probable_and_reads_no_other_can_be_left() -> None:
    able = {k for k, h in HEADS.items() if h.probable and h.unit == "word" and not h.informed}
    world = make_world("bert", depths=dict.fromkeys(TASKS, 3))
    kinds = {
        TASKS[task][0] for task in world.model.hierarchy.names if world.model.exit_states(task)
    }
    assert kinds == able


def test_half_precision_does_not_round_how_sure_exits_are() -> None:
    world = with_exits(make_world("bert", dtype=torch.float32), exits(ner={1: 0.0}, dep={1: 0.0}))
    batch = batch_of(world, plain(world))
    expected = {t: part[0].sure for t, part in world.model.leave(batch, ALL)[1].items()}
    world.model.bfloat16()
    for task, (part,) in world.model.leave(batch, ALL)[1].items():
        assert part.sure.dtype == np.float32
        np.testing.assert_allclose(part.sure, expected[task], atol=0.05)
        assert len(np.unique(part.sure)) == len(SENTENCES)


def test_exits_that_are_refused_change_nothing() -> None:
    world = with_exits(make_world("bert"), exits(dep={1: 0.4}))
    before = {name: value.clone() for name, value in world.model.state_dict().items()}
    with pytest.raises(ModelError, match=r"exits\.dep names depth 3"):
        world.model.set_exits(exits(ner={1: 0.5}, dep={3: 0.5}))
    assert world.model.config.exits == exits(dep={1: 0.4})
    assert world.model.state_dict().keys() == before.keys()
    assert all(torch.equal(world.model.state_dict()[n], before[n]) for n in before)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": 0.5}, r"exits\.dep\.thresholds is None; "),
        ({"thresholds": [1, 2]}, r"exits\.dep\.thresholds is \[1, 2\]; "),
        ({"thresholds": {"one": 0.5}}, r"exits\.dep\.thresholds is \{'one': 0\.5\}; "),
        ({"thresholds": {"1": "high"}}, r"exits\.dep\.thresholds is \{'1': 'high'\}; "),
        ({"thresholds": {"1": None}}, r"exits\.dep\.thresholds is \{'1': None\}; "),
    ],
)
def test_damaged_exits_of_a_config_are_named(given: dict[str, Any], message: str) -> None:
    world = make_world("bert")
    config = world.model.config
    config.exits = {"dep": given}
    said = rf"{message}it maps depths to numbers, .* copy the model's folder again"
    with pytest.raises(ModelError, match=said):
        HierarchicalModel(config)
    with pytest.raises(ModelError, match=said):
        world.model.set_exits({"dep": given})


@pytest.mark.parametrize("sharing", ["low_supervision", "relationship"])
def test_exit_heads_start_alike_and_draw_nothing(sharing: str) -> None:
    """Under deep relationship networks heads read a layer of their own: there exits start anew."""
    starts = []
    for seed in (0, 1):
        world = make_world("bilstm", sharing)
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        world.model.set_exits(exits(dep={1: INF, 2: INF}))
        assert torch.equal(torch.get_rng_state(), before)
        starts.append({n: p for n, p in world.model.state_dict().items() if "exits." in n})
    assert starts[0]
    assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[0])
