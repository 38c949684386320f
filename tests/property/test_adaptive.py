"""Fully-adaptive sharing: affinities, partitions, and splits that change no function."""

from functools import partial
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hiermtl.dropout import Dropout
from hiermtl.errors import RecipeError
from hiermtl.hierarchy import Hierarchy, Task
from hiermtl.sharing import SHARED
from hiermtl.sharing.adaptive import (
    Adaptive,
    _linked,
    best_partition,
    edge_affinities,
    loss,
    partitions,
)
from hiermtl.training.step import TrainingStep
from tests.unit.training.runs import Broken, EveryStep, fresh, train, weights
from tests.worlds import FAMILIES, World, assert_same, make_world, same, save_and_load

NAMES = ("upos", "ner", "dep")
TOP = dict.fromkeys(NAMES, 3)
WORDS: dict[str, str | None] = dict.fromkeys(NAMES, "word")
APART = tuple((name,) for name in NAMES)
"""Sentences of three corpora, each with gold for one task."""

everywhere = pytest.mark.parametrize("family", FAMILIES)


def scheme_alone(depths: dict[str, int] = TOP, **options: Any) -> Adaptive:
    hierarchy = Hierarchy(Task(name, depth) for name, depth in depths.items())
    return Adaptive(hierarchy, (4, 8, 8, 8), **{"least": 1, **options}).double()


def feed(scheme: Adaptive, margins: dict[str, np.ndarray]) -> None:
    """A step's margins, (sentences,) each; NaN where a sentence lacks the task."""
    found = {}
    for task, values in margins.items():
        known = np.flatnonzero(~np.isnan(values))
        found[task] = (known, torch.from_numpy(values[known]))
    scheme.observe(found)
    scheme.after_step(None, None, 0, rates=lambda _: 0.0)  # type: ignore[arg-type]


def affinity(scheme: Adaptive, one: str, other: str) -> float:
    names = scheme.hierarchy.names
    return float(scheme.affinities()[names.index(one), names.index(other)])


def after(steps: int, *, scale: float = 1.0, shift: float = 0.0) -> Adaptive:
    """`ner` is hard where `upos` is, `dep` where it is not."""
    scheme = scheme_alone()
    random = np.random.default_rng(0)
    for _ in range(steps):
        upos = random.random(50)
        feed(scheme, {"upos": upos, "ner": scale * upos + shift, "dep": 1 - upos})
    return scheme


def test_tasks_that_find_the_same_hard_are_alike_and_opposites_are_not() -> None:
    scheme = after(200)
    found = scheme.affinities()
    assert np.allclose(found, found.T)
    assert np.array_equal(np.diag(found), np.ones(3))
    assert affinity(scheme, "upos", "ner") > 0.99
    assert affinity(scheme, "upos", "dep") < 0.03
    random, independent = np.random.default_rng(1), scheme_alone()
    for _ in range(200):
        feed(independent, {name: random.random(50) for name in NAMES})
    for one, other in combinations(NAMES, 2):
        assert abs(affinity(independent, one, other) - 0.5) < 0.05


def test_scale_and_level_of_a_margin_change_nothing() -> None:
    assert np.allclose(after(50).affinities(), after(50, scale=0.1, shift=0.4).affinities())


def test_what_was_not_observed_is_not_easy() -> None:
    """Tasks that meet in a tenth of the sentences, where they agree."""
    scheme, wrong = scheme_alone(), scheme_alone()
    random = np.random.default_rng(0)
    for _ in range(100):
        upos = random.random(60)
        ner = upos.copy()
        ner[6:] = np.nan
        feed(scheme, {"upos": upos, "ner": ner, "dep": upos})
        # The control: nan >= mean is false, which counts as easy.
        feed(wrong, {"upos": upos, "ner": np.where(np.isnan(ner), 0.0, ner), "dep": upos})
    assert affinity(scheme, "upos", "ner") > 0.97
    assert affinity(wrong, "upos", "ner") < 0.8


def test_too_few_common_examples_say_nothing() -> None:
    scheme = scheme_alone(least=100)
    for steps in (1, 10):
        for _ in range(steps):
            feed(scheme, {name: np.random.default_rng(0).random(20) for name in NAMES})
        assert np.isnan(scheme.affinities()[0, 1]) == (steps == 1)


def test_partitions_are_all_there_are_once() -> None:
    for count, bell in enumerate((1, 1, 2, 5, 15, 52, 203)):
        found = list(partitions(count))
        assert len(found) == bell
        assert len({frozenset(map(frozenset, parts)) for parts in found}) == bell
        assert all(sorted(chain.from_iterable(parts)) == list(range(count)) for parts in found)


def random_affinities(count: int, *, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(0.5, 1, (count, count))
    values = (values + values.T) / 2
    np.fill_diagonal(values, 1.0)
    return values


def test_the_loss_of_one_group_and_of_all_apart() -> None:
    between = random_affinities(4)
    whole = loss(between, [[0, 1, 2, 3]], alpha=2.0, cost=0.3)
    assert whole == pytest.approx(2.0 * (1 - between.min(1).mean()))
    assert loss(between, [[0], [1], [2], [3]], alpha=2.0, cost=0.3) == pytest.approx(0.9)


@pytest.mark.parametrize("alike", [0.5, 0.89, 0.91, 1.0])
def test_two_edges_part_where_their_affinity_is_below_the_price(alike: float) -> None:
    between = np.array([[1.0, alike], [alike, 1.0]])
    parts = best_partition(between, alpha=1.0, cost=0.1)
    assert (len(parts) == 2) is (1.0 * (1 - alike) > 0.1)


def test_without_weight_nothing_parts_and_without_price_all_that_differ_do() -> None:
    between = random_affinities(5)
    assert len(best_partition(between, alpha=0.0, cost=0.1)) == 1
    assert len(best_partition(between, alpha=1.0, cost=0.0)) == 5
    pairs = np.kron(np.eye(2), np.ones((2, 2))) * 0.5 + 0.5
    assert best_partition(pairs, alpha=1.0, cost=0.0) == [[0, 1], [2, 3]]


def test_linkage_finds_what_trying_all_finds_where_groups_are_clear() -> None:
    clear = np.kron(np.eye(3), np.ones((3, 3))) * 0.6 + 0.4
    found = [frozenset(map(frozenset, parts)) for parts in _linked(clear)]
    assert frozenset({frozenset({0, 1, 2}), frozenset({3, 4, 5}), frozenset({6, 7, 8})}) in found
    assert len(best_partition(clear, alpha=1.0, cost=0.05)) == 3


def test_affinities_of_edges_are_those_of_the_papers_code() -> None:
    tasks = random_affinities(4, seed=3)
    edges = [[0, 1], [2], [3]]
    found = edge_affinities(tasks, edges)
    one = np.mean([min(tasks[0, 2], 9), min(tasks[1, 2], 9)])
    other = min(tasks[2, 0], tasks[2, 1])
    assert found[0, 1] == pytest.approx((one + other) / 2)
    assert found[1, 1] == 1.0
    assert np.allclose(found, found.T)


# Splits.


GIVEN = {"upos": {"ner": 0.95, "dep": 0.2}, "ner": {"dep": 0.3}}


def splits(family: str, depths: dict[str, int] = TOP, **options: Any) -> World:
    given = {"name": "adaptive", "affinity": GIVEN, "every": 1, **options}
    return make_world(family, given, depths=depths)


def scheme(world: World) -> Adaptive:
    assert isinstance(world.model.sharing, Adaptive)
    return world.model.sharing


def split(world: World) -> Any:
    edit = scheme(world).propose(world.model.stack, 0, done=0.1)
    if edit is not None:
        world.model.restructured()
    return edit


def scores(world: World) -> dict[str, Tensor]:
    with torch.no_grad():
        outputs = world.model(world.batch(world.examples(), NAMES), NAMES)
    return {f"{task} {n}": s for task, out in outputs.items() for n, s in out.scores.items()}


@everywhere
def test_before_a_split_it_is_low_supervision_and_a_split_changes_no_bit(family: str) -> None:
    world = splits(family)
    low = make_world(family, "low_supervision", depths=TOP)
    known = world.model.state_dict()
    low.model.load_state_dict({n: known[n] for n in low.model.state_dict()})
    before = scores(world)
    assert_same(before, scores(low))
    count = sum(p.numel() for p in world.model.parameters())
    block = sum(p.numel() for p in world.model.stack.block(3, SHARED).parameters())
    for made in (1, 2, 3):
        edit = split(world)
        depth = 4 - made
        assert len(edit.born) == len(list(world.model.stack.block(depth, SHARED).parameters()))
        assert_same(scores(world), before)
        now = sum(p.numel() for p in world.model.parameters())
        assert now == count + made * block if made == 1 else now > count
    assert split(world) is None, "the embeddings are never split"
    tree = scheme(world).learnt()["tree"]
    assert sorted(map(sorted, tree["1"])) == [["dep"], ["ner", "upos"]]
    assert len(tree["0"]) == 1


@everywhere
def test_gradients_of_the_copies_add_up_to_their_parents_and_then_they_part(family: str) -> None:
    world = splits(family)
    batch = world.batch(world.examples())
    total = torch.stack(list(world.losses(batch).values())).sum()
    whole = world.gradients(total)
    split(world)
    total = torch.stack(list(world.losses(batch).values())).sum()
    apart = world.gradients(total)
    new = next(name for name in scheme(world).groups["3"] if name != SHARED)
    for name, gradient in whole.items():
        if name.startswith(f"stack.blocks.3.{SHARED}."):
            both = apart[name] + apart[name.replace(SHARED, new)]
            assert torch.allclose(both, gradient, atol=1e-12)


def test_low_heads_leave_their_block_beside_what_is_above() -> None:
    """A junction with one edge is passed by; at the depth of a head there are more."""
    world = splits("bert", {"upos": 2, "ner": 3, "dep": 3}, cost=0.6)
    assert split(world) is not None
    assert scheme(world).junction == 2
    assert sorted(map(sorted, scheme(world).groups["3"].values())) == [["dep"], ["ner"]]
    assert scheme(world)._edges(2) == [*scheme(world).groups["3"].values(), ["upos"]]
    alone = splits("bert", {"upos": 1, "ner": 2, "dep": 3})
    split(alone)
    assert scheme(alone).junction < 3
    assert list(scheme(alone).groups["3"]) == [SHARED]


def test_where_one_group_is_best_the_junction_stays() -> None:
    world = splits("bert", cost=5.0)
    assert split(world) is None
    assert scheme(world).junction == 3


@everywhere
def test_a_split_model_is_saved_and_loaded(family: str, tmp_path: Path) -> None:
    world = splits(family)
    split(world)
    again = save_and_load(world, tmp_path / "model")
    assert scheme(again).groups == scheme(world).groups
    assert scheme(again).junction == scheme(world).junction
    assert_same(scores(again), scores(world))


def test_margins_are_those_of_the_gold() -> None:
    world = make_world("bert", "adaptive", depths=TOP)
    batch = world.batch(world.examples(missing=0.3))
    outputs = world.model(batch)
    found = world.model.margins(batch, outputs)
    output, gold = outputs["upos"], batch.gold["upos"]["labels"]
    probable = output.scores["labels"].softmax(-1)
    chosen = batch.layout.select(output.sentences).take_words(gold)
    ends = np.cumsum(output.layout.word_counts)
    for sentence, margin in zip(*found["upos"], strict=True):
        at = list(output.sentences).index(sentence)
        words = range(ends[at] - output.layout.word_counts[at], ends[at])
        known = [1 - probable[w, chosen[w]].item() for w in words if chosen[w] >= 0]
        assert margin.item() == pytest.approx(np.mean(known))
    assert set(found) == {"upos", "ner", "dep"}
    assert all(bool((m >= 0).all() and (m <= 1).all()) for _, m in found.values())


def test_doubts_are_of_what_is_said_of_every_sentence() -> None:
    world = make_world("bert", "adaptive", depths=TOP)
    batch = world.batch(world.examples(missing=0.3))
    world.model.eval()
    found = world.model.doubts(batch)
    assert set(found) == set(NAMES)
    output = world.model(batch, ["upos"])["upos"]
    probable = output.scores["labels"].softmax(-1).amax(-1)
    starts = output.layout.word_starts
    for place, (sentence, doubt) in enumerate(zip(*found["upos"], strict=True)):
        assert sentence == output.sentences[place]
        own = probable[starts[place] : starts[place + 1]]
        assert doubt.item() == pytest.approx(1 - own.mean().item())
    assert all(len(sentences) == batch.layout.sentences for sentences, _ in found.values())
    assert len(world.model.margins(batch, world.model(batch))["dep"][0]) < batch.layout.sentences


def test_doubts_are_of_the_sentence_alone_not_of_its_gold() -> None:
    world = make_world("bert", "adaptive", depths=TOP)
    world.model.eval()
    known, bare = (world.batch(world.examples(missing=m)) for m in (0.0, 0.9))
    for task, (_, doubts) in world.model.doubts(known).items():
        by_sentence = dict(zip(known.order, doubts, strict=True))
        again = dict(zip(bare.order, world.model.doubts(bare)[task][1], strict=True))
        for sentence, doubt in by_sentence.items():
            torch.testing.assert_close(again[sentence], doubt, rtol=1e-4, atol=1e-5)


def learns(**options: Any) -> World:
    given = {"name": "adaptive", "every": 3, "least": 3, "cost": 0.0, **options}
    return fresh(sharing=given, depths=TOP)


def test_a_run_splits_and_goes_on_on_either_side(tmp_path: Path) -> None:
    options: dict[str, Any] = {"checkpoint_every": 1, "epochs": 2}
    world, history = train(tmp_path / "whole", world=learns(), **options)
    assert len(scheme(world).groups["3"]) > 1
    assert history.step > 8
    whole = weights(world)
    for until in (2, 4, 7):
        folder = tmp_path / f"{until}"
        with pytest.raises(Broken):
            train(folder, world=learns(), progress=partial(EveryStep, until=until), **options)
        again = train(folder, world=learns(), resume=True, **options)[0]
        assert scheme(again).groups == scheme(world).groups
        assert_same(weights(again), whole)


def drop(world: World) -> None:
    """Dropout where worlds have none."""
    for module in world.model.modules():
        if isinstance(module, Dropout):
            module.p = 0.3


def test_a_step_sees_doubts_without_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world("bert", {"name": "adaptive", "margin": "uncertainty"}, depths=TOP)
    drop(world)
    batch, seen = world.batch(world.examples()), []
    monkeypatch.setattr(world.model.sharing, "observe", seen.append)
    TrainingStep(world.model).train()(batch, dict.fromkeys(NAMES, 9), step=0, once=True)
    assert world.model.training
    noisy = world.model.doubts(batch)["upos"][1]
    plain = world.model.eval().doubts(batch)["upos"][1]
    torch.testing.assert_close(seen[0]["upos"][1], plain)
    assert not torch.allclose(noisy, plain)


def test_looking_at_doubts_moves_nothing(tmp_path: Path) -> None:
    """Until a block is split a run is the same to the last bit, dropout and all."""
    found = {}
    for margin in ("uncertainty", "gold"):
        world = learns(margin=margin, every=1000)
        drop(world)
        found[margin] = train(tmp_path / margin, world=world, annotated=APART, epochs=2)[0]
    left, right = (weights(world) for world in found.values())
    buffers = set(dict(scheme(found["gold"]).named_buffers()))
    trained = [n for n in left if n.rpartition(".")[2] not in buffers]
    assert_same({n: left[n] for n in trained}, {n: right[n] for n in trained})
    seen = {margin: scheme(world).get_buffer("seen") for margin, world in found.items()}
    apart = ~torch.eye(len(NAMES), dtype=torch.bool)
    assert bool((seen["uncertainty"][apart] > 0).all())
    assert not bool((seen["gold"][apart] > 0).any()), "no sentence has two tasks"


def test_tasks_that_never_meet_are_split_by_what_they_doubt(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", world=learns(margin="uncertainty"), annotated=APART, epochs=2)
    assert len(scheme(whole[0]).groups["3"]) > 1
    with pytest.raises(RecipeError, match=r"share 0 training examples.*margin=uncertainty"):
        scheme_alone(least=3).check_examples(
            {name: np.eye(3, dtype=np.int64)[place] for place, name in enumerate(NAMES)},
            units=WORDS,
        )
    unsure = scheme_alone(least=3, margin="uncertainty")
    unsure.check_examples({}, units=WORDS | {"ner": "text"})
    with pytest.raises(RecipeError, match=r"'dep' judges pairs and 'ner' texts, so that neither"):
        unsure.check_examples({}, units=WORDS | {"ner": "text", "dep": "pair"})


@pytest.mark.parametrize("margin", ["gold", "uncertainty"])
def test_heads_without_probabilities_are_refused(margin: str) -> None:
    items = {name: np.ones(9, dtype=np.int64) for name in NAMES}
    with pytest.raises(RecipeError, match=r"head of task 'dep' gives a number and no probability"):
        scheme_alone(margin=margin).check_examples(items, units=WORDS | {"dep": None})
    scheme_alone(affinity=GIVEN).check_examples(items, units=WORDS | {"dep": None})


@pytest.mark.parametrize("half", [False, True])
def test_scores_that_are_no_numbers_are_not_observed(half: bool) -> None:
    """As a step whose gradient is none is left out; and no bf16 rounds small doubts away."""
    world = make_world("bert", {"name": "adaptive", "margin": "uncertainty"}, depths=TOP)
    batch = world.batch(world.examples())
    world.model.eval().float()
    with torch.no_grad():
        world.model.head("upos").get_parameter("output.bias")[0] = 10.5
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            _, doubts = world.model.doubts(batch)["upos"]
        assert 0 < float(doubts.min()) <= float(doubts.max()) < 2e-3
        world.model.head("dep").get_parameter("arc").fill_(torch.nan)
        found = world.model.doubts(batch)
    assert bool(found["dep"][1].isnan().all())
    scheme(world).observe(found)
    scheme(world).after_step(None, None, 0, rates=lambda _: 0.0)  # type: ignore[arg-type]
    assert scheme(world).get_buffer("mean").isfinite().all()


def test_copies_part_as_they_train(tmp_path: Path) -> None:
    world, _ = train(tmp_path, world=learns(), epochs=2)
    copies = world.model.stack.copies(3)
    first, second, *_ = (dict(own.named_parameters()) for own in copies.children())
    assert not same(first, second, atol=1e-4)


# What is given, and what cannot be.


def test_a_tree_by_hand_is_kept_and_nothing_is_observed(tmp_path: Path) -> None:
    given = {"3": [["upos"], ["ner", "dep"]], "2": [["upos"], ["ner", "dep"]]}
    world = make_world("bert", {"name": "adaptive", "tree": given, "every": 1}, depths=TOP)
    assert not scheme(world).observes
    assert split(world) is None
    assert dict(scheme(world).branches(3)) == {SHARED: SHARED, "ner": "ner"}
    assert dict(scheme(world).branches(2)) == {SHARED: SHARED, "ner": SHARED}
    again = save_and_load(world, tmp_path / "model")
    assert scheme(again).groups == scheme(world).groups


def test_tasks_that_meet_too_rarely_are_refused_before_training() -> None:
    scheme_ = scheme_alone(least=3)
    items = {name: np.array([1, 1, 1, 0]) for name in NAMES}
    scheme_.check_examples(items, units=WORDS)
    items["ner"] = np.array([0, 1, 1, 9])
    with pytest.raises(RecipeError, match=r"share 2 training examples, and .* on 3 or more"):
        scheme_.check_examples(items, units=WORDS)
    scheme_alone(least=3, affinity=GIVEN).check_examples(items, units=WORDS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"affinity": {"upos": {"ner": 0.5}}}, "sharing.affinity lacks 'dep' and 'ner'"),
        ({"affinity": {"upos": {"nerr": 0.5}}}, "names 'nerr', which is no task; .*'ner'"),
        ({"affinity": {"upos": {"ner": 1.5}}}, "'upos' and 'ner' is 1.5; allowed is 0 to 1"),
        (
            {"affinity": {"upos": {"ner": 0.5, "dep": 1}, "ner": {"upos": 0.4, "dep": 1}}},
            "'ner' and 'upos' is 0.4, but 0.5 in the other order; give it once",
        ),
        (
            {"affinity": {"upos": {"ner": 1, "dep": 1, "upos": 0.5}, "ner": {"dep": 1}}},
            "'upos' and itself is 0.5; it is 1: leave it out",
        ),
        ({"tree": {"4": [["upos", "ner", "dep"]]}}, "names depth '4'; allowed are 1 to 3"),
        ({"tree": {"03": [["upos", "ner", "dep"]]}}, "names depth '03'; allowed are 1 to 3"),
        ({"tree": {"3": [["upos", "ner", "dep"], []]}}, "at depth 3 has a group without a task"),
        ({"tree": {"3": [[], ["upos", "ner", "dep"]]}}, "at depth 3 has a group without a task"),
        ({"tree": {"3": [["upos"]]}}, "at depth 3 has the tasks upos; it needs each"),
        ({"tree": {"3": [["upos", "x"]]}}, "names 'x', which is no task"),
        (
            {"tree": {"2": [["upos"], ["ner", "dep"]]}},
            "together at depth 3 and apart at depth 2",
        ),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        scheme_alone(**options)


def test_a_task_with_the_name_of_the_first_copies_is_refused() -> None:
    """Split off, its copy would take the place of the one that it comes from."""
    with pytest.raises(RecipeError, match=r"cannot be named 'shared' under sharing: adaptive"):
        scheme_alone({"upos": 3, SHARED: 3})


def test_a_task_alone_is_compared_with_none(tmp_path: Path) -> None:
    """What would be seen of it until it is found to be alone, a run that goes on sees again."""
    options: dict[str, Any] = {"annotated": [("upos",)], "epochs": 1, "checkpoint_every": 1}

    def lonely() -> World:
        return fresh(sharing={"name": "adaptive", "every": 3}, depths={"upos": 3})

    whole = weights(train(tmp_path / "whole", world=lonely(), **options)[0])
    with pytest.raises(Broken):
        train(tmp_path / "cut", world=lonely(), progress=partial(EveryStep, until=4), **options)
    again = train(tmp_path / "cut", world=lonely(), resume=True, **options)[0]
    assert_same(weights(again), whole)
    assert not again.model.sharing.observes
