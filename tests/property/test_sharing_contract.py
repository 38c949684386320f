"""The interface of sharing schemes carries what published systems need, through the real model."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hiermtl.records import HeadOutput
from hiermtl.sharing import SHARED, SHARING, Edit, Sharing
from hiermtl.tokens import Collator
from hiermtl.training.optimizer import carry
from tests.property.contract_schemes import (
    Columns,
    LabelEmbeddings,
    LabelsAcrossBranches,
    SeparateColumns,
    Splitting,
    TransposedColumns,
)
from tests.worlds import (
    FAMILIES,
    Calls,
    World,
    assert_same,
    make_world,
    per_sentence,
    randomise,
    same,
    save_and_load,
)

everywhere = pytest.mark.parametrize("family", FAMILIES)
DEPTHS = {"upos": 1, "ner": 2, "dep": 3}
TOP = dict.fromkeys(DEPTHS, 3)
NAMES = tuple(DEPTHS)
SCHEMES = (
    Columns,
    TransposedColumns,
    SeparateColumns,
    LabelEmbeddings,
    LabelsAcrossBranches,
    Splitting,
)


@pytest.fixture(autouse=True)
def _known_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in SCHEMES:
        monkeypatch.setitem(SHARING, scheme.name, scheme)


def outputs_of(world: World, tasks: tuple[str, ...] = NAMES) -> dict[str, HeadOutput]:
    with torch.no_grad():
        return world.model(world.batch(world.examples(), NAMES), tasks)


def scores_of(world: World, tasks: tuple[str, ...] = NAMES) -> dict[str, Tensor]:
    outputs = outputs_of(world, tasks)
    return {f"{t} {n}": s for t in tasks for n, s in outputs[t].scores.items()}


def total(world: World) -> Tensor:
    return torch.stack(list(world.losses(world.batch(world.examples())).values())).sum()


def train(world: World, optimizer: torch.optim.Optimizer, *, steps: int) -> list[float]:
    curve = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = total(world)
        loss.backward()
        optimizer.step()
        curve.append(float(loss.detach()))
    return curve


def adam(world: World) -> torch.optim.Optimizer:
    return torch.optim.AdamW(world.model.parameters(), lr=5e-3)


def scheme_of(world: World, kind: type[Sharing]) -> Sharing:
    assert isinstance(world.model.sharing, kind)
    return world.model.sharing


def load(world: World, state: dict[str, Tensor]) -> None:
    world.model.load_state_dict(state)


# Streams that mix.


def columns(family: str, name: str = "columns", **options: object) -> World:
    depths = options.pop("depths", DEPTHS)
    spread = options.pop("spread", 0.2)
    world = make_world(family, {"name": name, **options}, depths=depths, spread=spread)
    scheme_of(world, Columns).alpha.load_state_dict(
        Columns(world.model.hierarchy, (), **world.model.sharing.options).alpha.state_dict()
    )
    return world


@everywhere
@pytest.mark.parametrize("streams", ["all", "live"])
def test_identity_alpha_equals_independent_streams(family: str, streams: str) -> None:
    mixed = columns(family, streams=streams)
    single = make_world(family, "single", depths=DEPTHS)
    known = mixed.model.state_dict()
    load(single, {name: known[name] for name in single.model.state_dict()})
    assert_same(scores_of(mixed), scores_of(single), atol=1e-12)


@everywhere
@pytest.mark.parametrize("streams", ["all", "live"])
@pytest.mark.parametrize("own", [1.0, 0.9, 1 / 3])
def test_any_convex_alpha_on_equal_copies_equals_one_shared_stream(
    family: str, streams: str, own: float
) -> None:
    mixed = columns(family, streams=streams, own=own, spread=0.0)
    shared = make_world(family, depths=DEPTHS, spread=0.0)
    assert_same(scores_of(mixed), scores_of(shared), atol=1e-6)


def swapped_at_depth_one(family: str, name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Scores with a cyclic alpha after block 1, and with the columns' first parts moved by hand."""
    cyclic = columns(family, name, depths=TOP)
    order = list(cyclic.model.hierarchy.names)
    alpha = torch.eye(3)[[1, 2, 0]]  # stream i takes what stream i + 1 sends
    with torch.no_grad():
        scheme_of(cyclic, Columns).alpha["1"].copy_(alpha)
    moved = columns(family, "columns", depths=TOP)
    state = moved.model.state_dict()
    source = cyclic.model.state_dict()
    for place, task in enumerate(order):
        giver = order[(place + 1) % 3]
        for part in ("stack.embeddings.", "stack.blocks.1."):
            for name in (n for n in state if n.startswith(f"{part}{task}.")):
                state[name] = source[name.replace(f"{part}{task}.", f"{part}{giver}.")]
    load(moved, state)
    return scores_of(cyclic), scores_of(moved)


@everywhere
def test_a_permutation_in_alpha_moves_streams(family: str) -> None:
    assert_same(*swapped_at_depth_one(family, "columns"), atol=1e-12)


@everywhere
def test_an_alpha_read_sender_first_would_be_caught(family: str) -> None:
    assert not same(*swapped_at_depth_one(family, "transposed_columns"), atol=1e-6)


@everywhere
@pytest.mark.parametrize("streams", ["all", "live"])
@pytest.mark.parametrize("task", NAMES)
def test_asking_one_task_of_mixed_streams_equals_asking_all(
    family: str, streams: str, task: str
) -> None:
    world = columns(family, streams=streams, own=0.8)
    everything = scores_of(world)
    alone = scores_of(world, (task,))
    assert_same(alone, {name: everything[name] for name in alone})


@everywhere
@pytest.mark.parametrize("task", NAMES)
def test_mixed_streams_run_every_column_their_task_reads_and_no_deeper(
    family: str, task: str
) -> None:
    for streams in ("all", "live"):
        world = columns(family, streams=streams)
        with Calls(world.model) as calls:
            outputs_of(world, (task,))
        scheme = scheme_of(world, Columns)
        expected = {(d, b) for d in range(1, DEPTHS[task] + 1) for b in scheme.members(d)}
        assert set(calls.units) == expected
        assert all(len(units) == 1 for units in calls.units.values())


@everywhere
def test_streams_all_and_streams_live_are_different_functions(family: str) -> None:
    everyone, live = (columns(family, streams=s, own=0.5) for s in ("all", "live"))
    shared = live.model.state_dict()
    with torch.no_grad():
        for name, value in everyone.model.named_parameters():
            if name in shared and value.shape == shared[name].shape:
                value.copy_(shared[name])
    left, right = scores_of(everyone), scores_of(live)
    assert torch.equal(left["upos labels"], right["upos labels"])
    assert not torch.allclose(left["dep arc_dep"], right["dep arc_dep"])


@everywhere
def test_a_weight_of_zero_gives_zero_gradient_and_a_missing_sender_gives_none(family: str) -> None:
    for name in ("columns", "separate_columns"):
        world = columns(family, name)
        losses = world.losses(world.batch(world.examples()))
        gradients = world.gradients(losses["dep"])
        others = [g for n, g in gradients.items() if n.startswith("stack.blocks.1.upos.")]
        assert others
        if name == "columns":
            assert all(g is not None and not g.any() for g in others)
        else:
            assert all(g is None for g in others)
        own = [g for n, g in gradients.items() if n.startswith("stack.blocks.1.dep.")]
        assert any(g.any() for g in own)


@everywhere
def test_alpha_trains_only_in_the_rows_of_tasks_that_were_asked(family: str) -> None:
    world = columns(family, own=0.8)
    gradients = world.gradients(world.losses(world.batch(world.examples()))["upos"])
    row = list(world.model.hierarchy.names).index("upos")
    gradient = gradients["sharing.alpha.1"]
    assert gradient[row].all()
    others = [i for i in range(len(NAMES)) if i != row]
    assert not gradient[others].any()
    assert gradients["sharing.alpha.2"] is None or not gradients["sharing.alpha.2"].any()


@everywhere
def test_mixed_streams_answer_a_sentence_alone_as_among_others(family: str) -> None:
    world = columns(family, own=0.7)
    examples = world.examples()
    batch = world.batch(examples)
    outputs = world.model(batch)
    for task, output in outputs.items():
        for place, scores in per_sentence(batch, output).items():
            single = world.batch([examples[place]], [task])
            alone = per_sentence(single, world.model(single, [task])[task])[0]
            assert_same(scores, alone, atol=1e-12)


# Label embeddings.


def labelled(family: str, **options: object) -> World:
    return make_world(family, {"name": "label_embeddings", **options}, depths=DEPTHS)


def without_labels(world: World, family: str) -> World:
    """Low supervision with the same weights, less those that read label embeddings."""
    plain = make_world(family, depths=DEPTHS)
    state, known = plain.model.state_dict(), world.model.state_dict()
    for name, value in state.items():
        source = known[name]
        state[name] = source[:, : value.shape[1]] if source.shape != value.shape else source
    load(plain, state)
    return plain


def silence(world: World, family: str) -> None:
    """Sets to zero what makes labels matter: the projection, or else the tables."""
    parts = world.parameters()
    quiet = [n for n in parts if n.endswith("extra.weight" if family == "bert" else "tables.upos")]
    assert quiet
    with torch.no_grad():
        for name in quiet:
            parts[name].zero_()


@everywhere
def test_labels_that_say_nothing_equal_low_supervision(family: str) -> None:
    world = labelled(family)
    plain = without_labels(world, family)
    assert not same(scores_of(world), scores_of(plain), atol=1e-6)
    silence(world, family)
    assert_same(scores_of(world), scores_of(plain), atol=1e-12)


def test_bert_with_label_embeddings_starts_as_the_plain_encoder_bit_for_bit() -> None:
    worlds = [
        make_world("bert", name, depths=DEPTHS, spread=0.0, dtype=torch.float32)
        for name in ("label_embeddings", "low_supervision")
    ]
    assert_same(*(scores_of(world) for world in worlds))


@everywhere
def test_an_upper_task_pulls_in_the_lower_one_that_feeds_it(family: str) -> None:
    world = labelled(family)
    batch = world.batch(world.examples(annotated=[("dep",)]))
    with Calls(world.model) as calls:
        outputs = world.model(batch)
    assert set(outputs) == {"upos", "dep"}
    assert {key: len(units) for key, units in calls.units.items()} == {
        (depth, SHARED): 1 for depth in (1, 2, 3)
    }
    assert set(world.model.losses(batch, outputs)) == {"dep"}
    assert set(world.model(batch, ["upos"])) == {"upos"}


@everywhere
def test_asking_a_fed_task_alone_equals_asking_all(family: str) -> None:
    world = labelled(family, tasks=["upos", "ner"])
    everything = scores_of(world)
    for task in NAMES:
        alone = scores_of(world, (task,))
        assert_same(alone, {name: everything[name] for name in alone})


@everywhere
def test_gold_of_the_lower_task_never_reaches_the_upper_scores(family: str) -> None:
    world = labelled(family)
    examples = world.examples(annotated=[NAMES])
    before = world.model(world.batch(examples))["dep"].scores
    for example in examples:
        labels = example.gold["upos"]["labels"]
        labels[:] = (labels + 1) % 5
    assert_same(world.model(world.batch(examples))["dep"].scores, before)
    with torch.no_grad():
        world.model.head("upos").get_parameter("output.bias")[2] += 5
    assert not same(world.model(world.batch(examples))["dep"].scores, before, atol=1e-6)


@everywhere
@pytest.mark.parametrize("detach", [False, True])
def test_the_upper_loss_trains_the_lower_head_unless_detached(family: str, detach: bool) -> None:
    world = labelled(family, detach=detach)
    batch = world.batch(world.examples(annotated=[("dep",)]))
    gradients = world.gradients(world.losses(batch)["dep"])
    head = [gradient for name, gradient in gradients.items() if name.startswith("heads.upos.")]
    assert gradients["sharing.tables.upos"].any()
    assert gradients["stack.blocks.1.shared." + first_weight(family)].any()
    if detach:
        assert all(gradient is None for gradient in head)
    else:
        assert all(gradient.any() for gradient in head)


def first_weight(family: str) -> str:
    return "left_to_right.weight_ih_l0" if family == "bilstm" else "parts.out.weight"


@everywhere
@pytest.mark.parametrize("flat", [True, False])
def test_label_embeddings_are_convex_and_zero_off_the_words(family: str, flat: bool) -> None:
    world = labelled(family)
    batch = world.batch(world.examples(), ["dep"], flat=flat)
    seen: list[Tensor] = []
    block = world.model.stack.block(2, SHARED)
    handle = block.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[2]))
    with torch.no_grad():
        outputs = world.model(batch, ["dep"])
    handle.remove()
    table = world.parameters()["sharing.tables.upos"].detach()
    probabilities = world.model.head("upos").probabilities(outputs["upos"])
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(batch.layout.words).double())
    expected = batch.layout.scatter(probabilities @ table)
    torch.testing.assert_close(seen[0], expected)
    words = torch.zeros(batch.layout.units, dtype=torch.bool)
    words[batch.layout.tensor("scatter_units")] = True
    assert not seen[0][~words].any()
    assert (seen[0][words] <= table.max(0).values + 1e-12).all()


@everywhere
@pytest.mark.parametrize("flat", [True, False])
def test_label_embeddings_reach_the_sentence_they_come_from(family: str, flat: bool) -> None:
    world = labelled(family)
    examples = world.examples()
    batch = world.batch(examples, flat=flat)
    found = per_sentence(batch, world.model(batch)["dep"])
    assert set(found) == {i for i, e in enumerate(examples) if "dep" in e.gold}
    for place, scores in found.items():
        single = world.batch([examples[place]], ["dep"])
        alone = per_sentence(single, world.model(single, ["dep"])["dep"])[0]
        assert_same(scores, alone, atol=1e-12)


@everywhere
def test_label_embeddings_find_their_sentence_whatever_the_order(family: str) -> None:
    """Sorted by length alone, the sentences of the upper task are scattered over the batch."""
    world = labelled(family)
    examples = world.examples()
    batch = Collator(world.tokenizer, dict.fromkeys(NAMES, 1))(examples)
    outputs = world.model(batch)
    places = outputs["dep"].sentences
    assert places.tolist() != list(range(len(places)))
    for place, scores in per_sentence(batch, outputs["dep"]).items():
        single = world.batch([examples[place]], ["dep"])
        alone = per_sentence(single, world.model(single, ["dep"])["dep"])[0]
        assert_same(scores, alone, atol=1e-12)


@everywhere
def test_labels_may_come_from_another_branch(family: str) -> None:
    world = make_world(family, "labels_across_branches", depths=DEPTHS)
    with Calls(world.model) as calls:
        alone = scores_of(world, ("dep",))
    assert set(calls.units) == {(1, "upos"), (1, "dep"), (2, "dep"), (3, "dep")}
    everything = scores_of(world)
    assert_same(alone, {name: everything[name] for name in alone})


# A split in mid-run.


def splitting(family: str) -> World:
    plan = {"2": [3, "ner"], "4": [2, "ner"]}
    return make_world(family, {"name": "splitting", "plan": plan}, depths=TOP)


def splits(world: World, optimizer: torch.optim.Optimizer) -> Iterator[Edit]:
    """Trains, and stops after each change of structure."""
    for step in range(1, 6):
        train(world, optimizer, steps=1)
        edit = world.model.sharing.propose(world.model.stack, step)
        if edit:
            world.model.restructured()
            carry(optimizer, world.model, edit)
            yield edit


@everywhere
def test_a_split_changes_no_output_by_a_bit(family: str) -> None:
    world = splitting(family)
    train(world, adam(world), steps=2)
    for step in (2, 4):
        before = scores_of(world)
        edit = world.model.sharing.propose(world.model.stack, step)
        assert edit is not None
        world.model.restructured()
        assert_same(scores_of(world), before)
        copied = world.parameters()
        for child, parent in edit.born.items():
            assert copied[child] is not copied[parent]
            assert torch.equal(copied[child], copied[parent])
    assert world.model.sharing.branches(3) == {SHARED: SHARED, "ner": "ner"}
    with Calls(world.model) as calls:
        outputs_of(world)
    assert set(calls.units) == {(1, SHARED), (2, SHARED), (2, "ner"), (3, SHARED), (3, "ner")}


@everywhere
def test_the_gradients_of_the_copies_sum_to_the_parents(family: str) -> None:
    world = splitting(family)
    before = world.gradients(total(world))
    edit = world.model.sharing.propose(world.model.stack, 2)
    world.model.restructured()
    after = world.gradients(total(world))
    assert set(after) - set(before) == set(edit.born)
    parents = {parent: child for child, parent in edit.born.items()}
    for name, gradient in before.items():
        now = after[name] + after[parents[name]] if name in parents else after[name]
        torch.testing.assert_close(now, gradient, rtol=1e-9, atol=1e-10)


@everywhere
def test_copies_join_their_parents_group_with_a_clone_of_its_state(family: str) -> None:
    world = splitting(family)
    optimizer = adam(world)
    seen = 0
    for edit in splits(world, optimizer):
        seen += 1
        named = world.parameters()
        covered = [p for group in optimizer.param_groups for p in group["params"]]
        assert len({id(p) for p in covered}) == len(covered) == len(named)
        for child, parent in ((named[c], named[p]) for c, p in edit.born.items()):
            left, right = optimizer.state[child], optimizer.state[parent]
            assert left.keys() == right.keys() == {"step", "exp_avg", "exp_avg_sq"}
            for key in left:
                assert torch.equal(left[key], right[key])
                assert left[key] is not right[key]
    assert seen == 2
    assert train(world, optimizer, steps=1)[0] > train(world, optimizer, steps=3)[-1]


def first_steps(world: World, *, carried: bool) -> tuple[Tensor, Tensor]:
    """A copied weight and its parent after one step on the same gradient."""
    optimizer = adam(world)
    train(world, optimizer, steps=3)
    edit = world.model.sharing.propose(world.model.stack, 2)
    world.model.restructured()
    if carried:
        carry(optimizer, world.model, edit)
    else:
        optimizer.add_param_group({"params": [world.parameters()[n] for n in edit.born]})
    named = world.parameters()
    optimizer.zero_grad()
    for child, parent in edit.born.items():
        named[child].grad = torch.full_like(named[child], 1e-3)
        named[parent].grad = torch.full_like(named[parent], 1e-3)
    optimizer.step()
    child, parent = next(pair for pair in edit.born.items() if "weight" in pair[0])
    return named[child], named[parent]


@everywhere
def test_with_its_state_a_copy_steps_as_its_parent_does(family: str) -> None:
    assert torch.equal(*first_steps(splitting(family), carried=True))


def test_a_copy_without_its_parents_state_would_be_caught() -> None:
    assert not torch.allclose(*first_steps(splitting("bert"), carried=False), atol=1e-4)


@everywhere
def test_a_split_model_is_saved_and_loaded(family: str, tmp_path: Path) -> None:
    world = splitting(family)
    for _ in splits(world, adam(world)):
        pass
    again = save_and_load(world, tmp_path)
    assert again.model.sharing.structure() == world.model.sharing.structure()
    assert_same(again.model.state_dict(), world.model.state_dict())
    assert_same(scores_of(again), scores_of(world))


@everywhere
def test_a_copy_may_leave_its_parent(family: str) -> None:
    world = splitting(family)
    before = scores_of(world)
    edit = world.model.sharing.propose(world.model.stack, 2)
    world.model.restructured()
    named = world.parameters()
    randomise([(name, named[name]) for name in edit.born], seed=3)
    after = scores_of(world)
    changed = {name.split()[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"ner"}


# All three.


@everywhere
@pytest.mark.parametrize("sharing", ["columns", "label_embeddings", "splitting"])
def test_a_minimal_scheme_trains_and_survives_a_round_trip(
    family: str, sharing: str, tmp_path: Path
) -> None:
    world = make_world(family, sharing, depths=DEPTHS)
    curve = train(world, adam(world), steps=8)
    assert curve[-1] < curve[0]
    assert_same(scores_of(save_and_load(world, tmp_path)), scores_of(world))
