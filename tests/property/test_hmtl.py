"""HMTL's tree of levels: what reads what, and its limits."""

from typing import Any

import pytest
import torch

from hiermtl.errors import RecipeError
from hiermtl.hierarchy import Hierarchy, Task
from hiermtl.sharing import SHARED
from hiermtl.sharing.hmtl import Hmtl
from tests.worlds import FAMILIES, World, assert_same, make_world, same

everywhere = pytest.mark.parametrize("family", FAMILIES)
CHAIN = {"upos": 1, "ner": 2, "dep": 3}
SIBLINGS = {"upos": 1, "ner": 3, "dep": 3}
"""The lowest level, and two side by side over it, as relations and coreference."""


def levels(family: str, depths: dict[str, int], **options: Any) -> World:
    return make_world(family, {"name": "hmtl", **options}, depths=depths)


def scores(world: World) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        outputs = world.model(world.batch(world.examples(), tuple(CHAIN)), tuple(CHAIN))
    return {f"{task} {n}": s for task, out in outputs.items() for n, s in out.scores.items()}


@everywhere
def test_a_chain_without_shortcuts_is_low_supervision(family: str) -> None:
    world = levels(family, CHAIN, shortcuts=False)
    low = make_world(family, "low_supervision", depths=CHAIN)
    branch = {0: SHARED, 1: "upos", 2: "ner", 3: "dep"}
    known = world.model.state_dict()
    names = {
        name: name.replace(f"stack.blocks.{depth}.{SHARED}.", f"stack.blocks.{depth}.{own}.")
        for name in low.model.state_dict()
        for depth, own in branch.items()
        if name.startswith(f"stack.blocks.{depth}.") or (not depth and ".blocks." not in name)
    }
    low.model.load_state_dict({name: known[source] for name, source in names.items()})
    assert_same(scores(world), scores(low))


@everywhere
def test_a_level_moves_those_below_and_never_its_sibling(family: str) -> None:
    world = levels(family, SIBLINGS)
    batch = world.batch(world.examples())
    for task, sibling in (("ner", "dep"), ("dep", "ner")):
        gradients = world.gradients(world.losses(batch)[task])
        for name, gradient in gradients.items():
            if f".{sibling}." in name:
                assert gradient is None, name
        for part in ("embeddings.shared.", "blocks.1.upos.", f"blocks.2.{task}."):
            found = [g for n, g in gradients.items() if n.startswith(f"stack.{part}")]
            assert any(g is not None and g.any() for g in found), part
    low = world.gradients(world.losses(batch)["upos"])
    assert all(g is None for n, g in low.items() if n.startswith(("stack.blocks.2", "heads.dep")))


@everywhere
def test_what_a_level_reads_is_the_words_beside_the_level_below(family: str) -> None:
    """Without them, other scores; and as wide as both together in an LSTM."""
    world = levels(family, CHAIN)
    scheme = world.model.sharing
    assert [scheme.extra_width(depth) for depth in (1, 2, 3)] == [
        0,
        *[scheme.widths[0]] * 2,
    ]
    if family == "bilstm":
        below, words = scheme.widths[1], scheme.widths[0]
        weight = world.parameters()["stack.blocks.2.ner.left_to_right.weight_ih_l0"]
        assert weight.shape[1] == below + words
    before = scores(world)
    with torch.no_grad():
        for name, parameter in world.parameters().items():
            if name.endswith("extra.weight"):
                parameter.zero_()
            elif name.startswith("stack.blocks.2") and "weight_ih" in name:
                parameter[:, scheme.widths[1] :] = 0
    after = scores(world)
    assert_same(
        {n: s for n, s in before.items() if "upos" in n},
        {n: s for n, s in after.items() if "upos" in n},
    )
    assert not same(before, after, atol=1e-6)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_on_transformers_it_starts_as_the_plain_encoder(family: str) -> None:
    world = make_world(family, "hmtl", depths=CHAIN, spread=0.0)
    low = make_world(family, "low_supervision", depths=CHAIN, spread=0.0)
    assert_same(scores(world), scores(low))


def hierarchy(**depths: int) -> Hierarchy:
    return Hierarchy(Task(name, depth) for name, depth in depths.items())


WIDTHS = (4, 8, 8, 8, 8)


def test_the_default_tree_follows_the_depths() -> None:
    scheme = Hmtl(hierarchy(a=1, b=1, c=2, d=4, e=4), WIDTHS)
    assert scheme.parents == {"a": None, "b": None, "c": "a", "d": "c", "e": "c"}
    assert dict(scheme.branches(1)) == {"a": SHARED, "b": SHARED}
    assert dict(scheme.branches(2)) == {"c": "a"}
    assert dict(scheme.branches(3)) == {"d": "c", "e": "c"}
    assert dict(scheme.branches(4)) == {"d": "d", "e": "e"}
    assert [bool(scheme.sees(depth)) for depth in range(1, 5)] == [False, True, True, False]


def test_a_tree_and_a_trunk_of_ones_own() -> None:
    scheme = Hmtl(
        hierarchy(a=2, b=3, c=4), WIDTHS, tree={"b": "a", "c": "a"}, trunk=1, shortcuts=False
    )
    assert dict(scheme.branches(1)) == {SHARED: SHARED}
    assert dict(scheme.branches(2)) == {"a": SHARED}
    assert dict(scheme.branches(3)) == {"b": "a", "c": "a"}
    assert dict(scheme.branches(4)) == {"c": "c"}
    assert not any(scheme.extra_width(depth) for depth in range(5))
    again = Hmtl(hierarchy(a=2, b=3, c=4), WIDTHS, **scheme.structure())
    assert again.parents == scheme.parents
    whole = Hmtl(hierarchy(a=2, b=3), WIDTHS, trunk=2)
    assert whole.branch_of("a") == SHARED
    assert dict(whole.branches(3)) == {"b": SHARED}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tree": {"a": "bb"}}, "names 'bb', which is no task; tasks are a, b and c"),
        ({"tree": {"a": "b"}}, "puts 'a', read at depth 1, over 'b', read at depth 2"),
        ({"tree": {"b": "c", "c": "b"}}, "puts 'b', read at depth 2, over 'c', read at depth 2"),
        (
            {"tree": {"b": "a", "c": None}},
            "the level of 'b' begins at depth 2, where it reads the words again, but the level of "
            "'c' goes on there",
        ),
        ({"trunk": 2}, "trunk is 2, but the lowest task is read at depth 1; give 0 to 1"),
    ],
)
def test_trees_that_are_none_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Hmtl(hierarchy(a=1, b=2, c=2), WIDTHS, **options)
