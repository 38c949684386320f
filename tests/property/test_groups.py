"""Texts and pairs: judged as one, among sentences of other tasks, at depths of their own."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from hiermtl.config import HierarchicalConfig
from hiermtl.heads import HEADS
from hiermtl.model import HierarchicalModel
from hiermtl.records import MISSING, Batch, Example, Group
from hiermtl.tokens import Collator
from hiermtl.training import MemoryExamples, Sampling, Settings, TaskPlan
from hiermtl.training.loop import make_plan
from tests.worlds import SENTENCES, Calls, World, make_encoder, make_tokenizer, randomise, theta

FAMILIES = ("bert", "bilstm")
TASKS = {
    "upos": ("tagging", 1, ["X", "Y", "Z"], {}),
    "topic": ("text_classification", 2, ["a", "b"], {}),
    "related": ("pair_regression", 2, ["1", "2", "3", "4", "5"], {"hidden": 6}),
    "entails": ("pair_classification", 3, ["no", "yes"], {"hidden": 6, "reads": {"related": 5}}),
}
PAIRS: tuple[tuple[int, int, dict[str, int | float]], ...] = (
    (0, 2, {"related": 3.6, "entails": 1}),
    (3, 1, {"related": 1.0}),
    (2, 0, {"entails": 0}),
    (4, 4, {}),
)
everywhere = pytest.mark.parametrize("family", FAMILIES)


def make_world(
    family: str,
    *,
    sharing: str | dict[str, object] = "low_supervision",
    seed: int = 0,
    spread: float = 0.3,
    trees: int = 0,
) -> World:
    """With `trees` also a task of trees, at that depth."""
    encoder = make_encoder(family)
    tasks = {
        name: {
            "depth": 3 if sharing == "hard" else depth,
            "head": kind,
            "labels": labels,
            "options": {"dropout": 0.0, **options},
        }
        for name, (kind, depth, labels, options) in TASKS.items()
    }
    if trees:
        tasks["dep"] = {"depth": trees, "head": "biaffine", "labels": ["a"], "options": {}}
    scheme = {"name": sharing} if isinstance(sharing, str) else sharing
    config = HierarchicalConfig(encoder.config(), tasks, scheme)
    model = HierarchicalModel(config, encoder, seed=seed).double().eval()
    if spread:
        randomise(model.named_parameters(), spread=spread)
    return World(model, make_tokenizer(family))


def entries(world: World) -> list[Example | Group]:
    """Sentences with tags, texts with a topic, and pairs, mixed."""
    tagged = world.examples(annotated=[["upos"], []])
    plain = world.examples(annotated=[[]])
    topics = [Group((plain[place],), {"topic": place % 2}, place) for place in (1, 5)]
    pairs = [Group((plain[a], plain[b]), gold) for a, b, gold in PAIRS]
    return [tagged[0], pairs[0], topics[0], pairs[1], tagged[3], pairs[2], topics[1], pairs[3]]


def batch_of(
    world: World, given: Sequence[Example | Group], *, flat: bool = True, tasks: object = None
) -> Batch:
    collate = Collator(world.tokenizer, world.model.routes.depths(), flat=flat)
    return collate(given, tasks)  # type: ignore[arg-type]


def scores(world: World, batch: Batch, task: str) -> dict[int, Tensor]:
    """Place of the group in the batch to its scores."""
    output = world.model(batch)[task]
    assert output.groups is not None
    return dict(zip(output.groups.tolist(), output.scores["labels"], strict=True))


def test_every_head_of_groups_is_among_the_tasks() -> None:
    """Those of documents are tested in `test_items.py`."""
    of_groups = {kind for kind, head in HEADS.items() if head.unit in ("text", "pair")}
    assert of_groups == {kind for kind, *_ in TASKS.values()} - {"tagging"}


@everywhere
@pytest.mark.parametrize("flat", [True, False])
def test_a_group_is_judged_as_if_it_were_alone(family: str, flat: bool) -> None:
    world = make_world(family)
    given = entries(world)
    batch = batch_of(world, given, flat=flat)
    groups = [entry for entry in given if isinstance(entry, Group)]
    for task in ("topic", "related", "entails"):
        together = scores(world, batch, task)
        size = 1 if task == "topic" else 2
        needed = {
            place
            for place, group in enumerate(groups)
            if len(group.examples) == size
            and (task in group.gold or (task == "related" and "entails" in group.gold))
        }
        assert needed <= together.keys()
        for place, found in together.items():
            labels = {"topic": 0} if size == 1 else {"related": 2.0, "entails": 1}
            alone = Group(groups[place].examples, labels)
            expected = scores(world, batch_of(world, [alone]), task)[0]
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@everywhere
def test_a_sentence_of_several_pairs_is_encoded_once_in_training(family: str) -> None:
    world = make_world(family)
    given = [entry for entry in entries(world) if isinstance(entry, Group)]
    trained, asked = batch_of(world, given), batch_of(world, given, tasks=["related"])
    assert trained.layout.sentences == len({0, 2, 3, 1, 4, 5})
    assert asked.layout.sentences == sum(len(group.examples) for group in given)
    assert len(trained.groups) == len(asked.groups) == len(given)
    for batch in (trained, asked):
        sizes = batch.layout.word_counts[batch.groups.members]
        lengths = [len(e.piece_counts) for group in given for e in group.examples]
        assert sizes.tolist() == lengths


def test_unknown_words_that_differ_are_not_one_sentence() -> None:
    """To a vocabulary all unknown words are one; their n-grams tell them apart."""
    world = make_world("bilstm")
    one, other = world.examples([["uvw"], ["xyz"]], [[]])
    assert one.pieces.tolist() == other.pieces.tolist()
    batch = batch_of(world, [Group((one, other), {"related": 2.0})])
    assert batch.layout.sentences == 2


@everywhere
def test_losses_reach_what_a_task_depends_on_and_nothing_else(family: str) -> None:
    world = make_world(family)
    batch = batch_of(world, entries(world))
    for task in TASKS:
        gradients = world.gradients(world.losses(batch)[task])
        reached = {name for name, gradient in gradients.items() if gradient is not None}
        assert reached == theta(world.model, task)
        blocks = [g for name, g in gradients.items() if name.startswith("stack.blocks.")]
        depths = {n.split(".")[2] for n in reached if n.startswith("stack.blocks.")}
        assert depths == {str(depth) for depth in range(1, TASKS[task][1] + 1)}
        assert all(gradient.any() for gradient in blocks if gradient is not None)
        some = {name.split(".")[1] for name in reached if name.startswith("heads.")}
        assert some == ({"entails", "related"} if task == "entails" else {task})


@everywhere
def test_groups_leave_at_the_depth_of_their_deepest_task(family: str) -> None:
    world = make_world(family)
    plain = world.examples(annotated=[[]])
    low = [Group((plain[3],), {"topic": 0}) for _ in range(8)]
    high = [Group((plain[0], plain[2]), {"entails": 1})]
    with Calls(world.model) as calls:
        world.model(batch_of(world, [*low, *high]))
    assert calls.units[3, "shared"][0] <= calls.units[2, "shared"][0]
    with Calls(world.model) as calls:
        world.model(batch_of(world, low))
    assert (3, "shared") not in calls.units


@everywhere
@pytest.mark.parametrize("training", [False, True])
def test_gold_of_other_tasks_changes_no_score(family: str, training: bool) -> None:
    world = make_world(family)
    world.model.train(training)
    plain = world.examples(annotated=[[]])
    found = [
        scores(world, batch_of(world, [Group((plain[0], plain[2]), gold)]), "entails")[0]
        for gold in ({"entails": 1, "related": 1.0}, {"entails": 0, "related": 5.0}, {"entails": 1})
    ]
    assert torch.equal(found[0], found[1])
    torch.testing.assert_close(found[0], found[2], rtol=0, atol=1e-12)


@everywhere
def test_what_is_read_of_a_lower_task_is_its_prediction(family: str) -> None:
    """Another prediction, another score: the control of the test above."""
    world = make_world(family)
    plain = world.examples(annotated=[[]])
    batch = batch_of(world, [Group((plain[0], plain[2]), {"entails": 1})])
    before = scores(world, batch, "entails")[0]
    with torch.no_grad():
        world.parameters()["heads.related.output.weight"].zero_()
        world.parameters()["heads.related.output.bias"].copy_(torch.tensor([9.0, 0, 0, 0, 0]))
    assert not torch.allclose(before, scores(world, batch, "entails")[0])


@everywhere
def test_order_matters_to_labels_and_not_to_numbers(family: str) -> None:
    world = make_world(family)
    plain = world.examples(annotated=[[]])
    gold = {"entails": 1, "related": 2.0}
    there, back = (
        batch_of(world, [Group((plain[a], plain[b]), gold)]) for a, b in ((0, 2), (2, 0))
    )
    assert torch.equal(scores(world, there, "related")[0], scores(world, back, "related")[0])
    assert not torch.allclose(scores(world, there, "entails")[0], scores(world, back, "entails")[0])


@everywhere
def test_a_sentence_does_not_differ_from_itself(family: str) -> None:
    """The half of what entailment reads that is the difference, and the one of another pair."""
    world = make_world(family)
    plain = world.examples(annotated=[[]])
    read: list[Tensor] = []
    maxout = world.model.head("entails").get_submodule("maxout")
    maxout.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    for pair in ((3, 3), (3, 0)):
        examples = tuple(plain[place] for place in pair)
        scores(world, batch_of(world, [Group(examples, {"entails": 1})]), "entails")
    width = world.model.sharing.widths[3]
    assert not read[0][:, :width].any()
    assert read[0][:, width : 2 * width].any()
    assert read[1][:, :width].any()


@everywhere
@pytest.mark.parametrize("zero", [True, False])
def test_heads_of_groups_start_even_too_and_move_alone(family: str, zero: bool) -> None:
    sharing = {"name": "joint_many", "zero_softmax": zero}
    world = make_world(family, sharing=sharing, spread=0.0)
    batch = batch_of(world, entries(world))
    for task, count in (("topic", 2), ("entails", 2)):
        judged = int((batch.group_gold[task] != MISSING).sum())
        loss = float(world.losses(batch)[task].detach())
        assert (loss == pytest.approx(judged * math.log(count), rel=1e-9)) == zero
    for task in ("topic", "related", "entails"):
        gradients = world.gradients(world.losses(batch)[task])
        moving = {n for n, g in gradients.items() if g is not None and g.any()}
        assert all(name.startswith(f"heads.{task}.output.") for name in moving) == zero
        assert moving


def test_a_reader_comes_behind_what_it_reads_at_the_same_depth() -> None:
    """By their names it would be the other way round."""
    world = make_world("bilstm")
    for task in ("related", "entails"):
        world.model.config.tasks[task]["depth"] = 3
    model = HierarchicalModel(world.model.config, make_encoder("bilstm"))
    examples = MemoryExamples(entries(world))
    plan = make_plan(model, world.tokenizer, examples, Settings(sampling=Sampling("phases")))
    assert isinstance(plan, TaskPlan)
    assert list(plan.tasks).index("related") < list(plan.tasks).index("entails")


def test_trees_know_nothing_of_pairs_at_their_depth() -> None:
    world = make_world("bilstm", sharing="joint_many", trees=2)
    batch = batch_of(world, entries(world))
    gradients = world.gradients(world.losses(batch)["related"])
    own = {name: gradient for name, gradient in gradients.items() if name.startswith("heads.dep.")}
    assert own
    assert all(gradient is None for gradient in own.values())


def test_no_gold_adds_nothing() -> None:
    world = make_world("bert")
    plain = world.examples(annotated=[[]])
    one = [Group((plain[0], plain[2]), {"entails": 1, "related": 3.0})]
    without = [*one, Group((plain[3], plain[1]), {"related": 2.0})]
    losses = [world.losses(batch_of(world, given)) for given in (one, without)]
    torch.testing.assert_close(losses[0]["entails"], losses[1]["entails"], rtol=0, atol=1e-10)
    batch = batch_of(world, without)
    assert batch.group_gold["entails"].tolist() == [1, MISSING]
    assert not losses[0]["related"].isclose(losses[1]["related"])


def test_all_at_the_top_is_hard_sharing() -> None:
    low, hard = make_world("bert"), make_world("bert", sharing="hard")
    assert set(hard.model.routes.depths().values()) == {3}
    batch = batch_of(hard, entries(hard))
    assert set(hard.losses(batch)) == set(low.losses(batch_of(low, entries(low)))) == set(TASKS)


def test_groups_know_which_lie_inside_some_sentences() -> None:
    world = make_world("bert")
    batch = batch_of(world, entries(world))
    everyone = np.arange(batch.layout.sentences)
    pairs, texts = (batch.groups.inside(everyone, unit) for unit in ("pair", "text"))
    assert sorted([*pairs, *texts]) == list(range(len(batch.groups)))
    first = batch.groups.at(pairs[:1])
    assert pairs[0] in batch.groups.inside(np.sort(first.members), "pair")
    assert pairs[0] not in batch.groups.inside(np.sort(first.members)[:1], "pair")
    assert len(SENTENCES) == 6


@pytest.mark.parametrize("detached", [False, True])
def test_a_head_that_reads_another_trains_it_unless_labels_are_detached(detached: bool) -> None:
    world = make_world("bert", sharing={"name": "joint_many", "detach_labels": detached})
    loss = world.losses(batch_of(world, entries(world)))["entails"]
    reached = {name for name, gradient in world.gradients(loss).items() if gradient is not None}
    assert any(name.startswith("heads.entails.") for name in reached)
    assert any(name.startswith("heads.related.") for name in reached) != detached


@everywhere
def test_margins_and_doubts_of_a_sentence_are_means_over_its_texts_or_pairs(family: str) -> None:
    """By the probabilities of each group; relatedness, which has none, is left out."""
    world = make_world(family)
    world.model.requires_grad_(False)
    batch = batch_of(world, entries(world))
    outputs = world.model(batch)
    margins, doubts = world.model.margins(batch, outputs), world.model.doubts(batch)
    assert set(margins) == set(doubts) == {"upos", "topic", "entails"}
    assert len(doubts["upos"][0]) == batch.layout.sentences > len(margins["upos"][0])
    every = world.model(batch, world.model.hierarchy.names)
    owners = np.split(batch.groups.members, np.cumsum(batch.groups.sizes)[:-1])
    for task in ("topic", "entails"):
        gold = batch.group_gold[task]
        for found, output, by_gold in (
            (margins[task], outputs[task], True),
            (doubts[task], every[task], False),
        ):
            own: dict[int, list[float]] = {}
            assert output.groups is not None
            for place, probable in zip(
                output.groups, output.scores["labels"].softmax(-1), strict=True
            ):
                if by_gold and gold[place] == MISSING:
                    continue
                sure = probable[gold[place]] if by_gold else probable.max()
                for sentence in owners[place]:
                    own.setdefault(int(sentence), []).append(1 - float(sure))
            sentences, values = found
            assert sentences.tolist() == sorted(own)
            told = [np.mean(own[sentence]) for sentence in sentences.tolist()]
            np.testing.assert_allclose(values, told, rtol=1e-6, atol=1e-6)
