"""Depths: shares, the rule of the sharing scheme, and the controls."""

import json
from typing import Any

import pytest

from hiermtl.errors import RecipeError
from hiermtl.recipe import (
    Recipe,
    auto_tasks,
    in_reading_order,
    load_recipe,
    permute_depths,
    resolve_depth,
    resolve_depths,
    schema,
    with_depths,
)

DEPTHS = {"upos": 1, "xpos": 1, "ner": 4, "dep": 6}
PINNED = {
    "random_depth": {"upos": 11, "xpos": 7, "ner": 8, "dep": 3},
    "shuffled": {"upos": 6, "xpos": 4, "ner": 1, "dep": 1},
}


@pytest.mark.parametrize(
    ("value", "blocks", "depth"),
    [
        (1, 12, 1),
        (12, 12, 12),
        ("50%", 12, 6),
        ("50%", 3, 2),  # 1.5 is rounded up
        ("50%", 5, 3),  # and so is 2.5
        ("12.5%", 12, 2),
        ("1%", 12, 1),
        ("100%", 6, 6),
        ("33.3%", 3, 1),
    ],
)
def test_shares_are_rounded_half_up_and_at_least_one(
    value: int | str, blocks: int, depth: int
) -> None:
    assert resolve_depth(value, blocks, path="tasks.ner.depth", encoder="x") == depth


def test_a_depth_outside_the_encoder_is_refused() -> None:
    with pytest.raises(
        RecipeError,
        match=r"tasks\.ner\.depth is 13, but encoder 'x' has depths 0 to 12; "
        "a task is read at 1 to 12; lower it or choose a deeper encoder",
    ):
        resolve_depth(13, 12, path="tasks.ner.depth", encoder="x")


def test_each_scheme_has_its_rule(small: dict[str, Any]) -> None:
    small["encoder"] = "some/encoder"
    assert resolve_depths(load_recipe(small), 6) == {"upos": 1, "ner": 2, "dep": 3}
    assert resolve_depths(
        load_recipe(small, {"sharing": "single", "tasks.ner.depth": None}), 6
    ) == {
        "upos": 1,
        "ner": 6,
        "dep": 3,
    }
    same = {f"tasks.{name}.depth": depth for name, depth in (("upos", 6), ("ner", "100%"))}
    hard = load_recipe(small, {"sharing": "hard", "tasks.dep.depth": None, **same})
    assert resolve_depths(hard, 6) == {"upos": 6, "ner": 6, "dep": 6}
    with pytest.raises(
        RecipeError, match=r"tasks\.upos\.depth is 6, but sharing 'hard' .*\(depth 12\)"
    ):
        resolve_depths(hard, 12)


def test_all_depths_outside_are_listed(small: dict[str, Any]) -> None:
    small["encoder"] = "some/encoder"
    with pytest.raises(RecipeError) as caught:
        resolve_depths(load_recipe(small), 1)
    assert [line.split(", but")[0] for line in str(caught.value).splitlines()] == [
        "tasks.ner.depth is 2",
        "tasks.dep.depth is 3",
    ]


def test_inverted_turns_the_order_of_depths() -> None:
    found = permute_depths(DEPTHS, "inverted", seed=0, blocks=12)
    assert found == {"upos": 6, "xpos": 6, "ner": 4, "dep": 1}


@pytest.mark.parametrize("seed", range(20))
def test_shuffled_deals_the_same_depths_to_other_tasks(seed: int) -> None:
    found = permute_depths(DEPTHS, "shuffled", seed=seed, blocks=12)
    assert sorted(found.values()) == sorted(DEPTHS.values())
    assert found != DEPTHS
    turned = permute_depths(dict(reversed(DEPTHS.items())), "shuffled", seed=seed, blocks=12)
    assert turned == found


def test_shuffled_stops_where_there_is_nothing_to_exchange() -> None:
    assert permute_depths({"a": 2, "b": 2}, "shuffled", seed=0, blocks=3) == {"a": 2, "b": 2}


def test_random_depths_use_every_block() -> None:
    found = [permute_depths(DEPTHS, "random_depth", seed=seed, blocks=3) for seed in range(60)]
    counts = [sum(d == depth for f in found for d in f.values()) for depth in (1, 2, 3)]
    assert sum(counts) == 240
    assert min(counts) > 50
    assert found[0] == permute_depths(DEPTHS, "random_depth", seed=0, blocks=3)


def test_controls_are_pinned() -> None:
    # A run with a control must be repeatable by another version of this package and of Python.
    assert permute_depths(DEPTHS, "random_depth", seed=1, blocks=12) == PINNED["random_depth"]
    assert permute_depths(DEPTHS, "shuffled", seed=1, blocks=12) == PINNED["shuffled"]


def test_controls_apply_to_a_recipe_by_its_seed(small: dict[str, Any]) -> None:
    recipe = load_recipe(small, {"controls": "inverted"})
    assert resolve_depths(recipe, 3) == {"upos": 3, "ner": 2, "dep": 1}
    draws = {
        tuple(
            resolve_depths(
                load_recipe(small, {"controls": "random_depth", "training.seed": s}), 3
            ).values()
        )
        for s in range(8)
    }
    assert len(draws) > 1


def test_an_unknown_control_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"controls is 'invert', but .* did you mean 'inverted'"):
        permute_depths(DEPTHS, "invert", seed=0, blocks=12)


def test_a_depth_of_auto_waits_until_it_is_fixed(small: dict[str, Any]) -> None:
    small["encoder"] = "some/encoder"
    loaded = load_recipe(small, {"tasks.ner.depth": "auto", "tasks.dep.depth": "auto"})
    assert auto_tasks(loaded) == ["ner", "dep"]
    with pytest.raises(
        RecipeError,
        match=r"tasks\.ner\.depth is 'auto', which a probe fixes .* whole number from 1",
    ):
        resolve_depths(loaded, 6)
    half = with_depths(loaded, {"ner": 4})
    assert auto_tasks(half) == ["dep"]
    assert (half.source, half.folders) == (loaded.source, loaded.folders)
    fixed = with_depths(half, {"dep": "50%"})
    assert resolve_depths(fixed, 6) == {"upos": 1, "ner": 4, "dep": 3}
    assert auto_tasks(loaded) == ["ner", "dep"]


def test_editors_know_auto() -> None:
    depth = schema()["$defs"]["TaskOptions"]["properties"]["depth"]
    assert '"const": "auto"' in json.dumps(depth)


def reading(depths: dict[str, Any]) -> Recipe:
    """Spans, and relations that read them."""
    heads = {"relation": {"name": "relation"}, "entity": {"name": "span"}}
    tasks = {name: {"depth": at, "head": heads[name]} for name, at in depths.items()}
    sample = {"format": "sample", "train": 9, "dev": 9, "test": 9}
    given = {"encoder": "some/encoder", "sharing": "low_supervision", "tasks": tasks}
    return load_recipe({**given, "corpora": {"sample": sample}})


@pytest.mark.parametrize("entity", range(1, 7))
@pytest.mark.parametrize("relation", range(1, 7))
def test_depths_that_may_move_end_in_reading_order(entity: int, relation: int) -> None:
    free = {"entity": entity, "relation": relation}
    loaded = reading({"entity": entity, "relation": relation})
    both, lines = in_reading_order(loaded, free, blocks=6)
    assert both == {"entity": entity, "relation": max(entity, relation)}
    assert bool(lines) == (entity > relation)
    lower, lines = in_reading_order(loaded, {"entity": entity}, blocks=6)
    assert lower == {"entity": min(entity, relation)}
    assert bool(lines) == (entity > relation)
    upper, _ = in_reading_order(loaded, {"relation": relation}, blocks=6)
    assert upper == {"relation": max(entity, relation)}


def test_a_share_and_no_depth_count_as_blocks_where_tasks_read_each_other() -> None:
    loaded = reading({"entity": "auto", "relation": "50%"})
    assert in_reading_order(loaded, {"entity": 5}, blocks=6)[0] == {"entity": 3}
    assert in_reading_order(loaded, {}, blocks=6) == ({}, [])
