"""A stream that no mix has anything of is not computed, in evaluation, and nothing else changes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hiermtl.pretrained import load_model, save_model
from hiermtl.sharing import SHARING, Sluice
from hiermtl.sharing.columns import MixedColumns
from tests.worlds import Calls, World, make_world

DEPTHS = {"upos": 1, "ner": 2, "dep": 3}
EVERY = {(depth, task) for depth in (1, 2, 3) for task in DEPTHS}
OF_UPOS = {(depth, "upos") for depth in (1, 2, 3)}
slow = pytest.mark.slow
"""Shares of other shapes, on which the same code runs."""

mixing = pytest.mark.parametrize(
    "given",
    [
        pytest.param({"name": "sluice"}, id="sluice"),
        pytest.param(
            {"name": "sluice", "subspaces": 4, "betas": "off"}, id="four parts", marks=slow
        ),
        pytest.param({"name": "cross_stitch"}, id="layer"),
        pytest.param({"name": "cross_stitch", "per": "channel"}, id="channel", marks=slow),
    ],
)


def world_of(given: Mapping[str, object], sender: str, value: float = 0.0) -> World:
    """With these shares of a stream in all others."""
    world = make_world("bilstm", {"shared_below": 0, **given}, depths=DEPTHS, dtype=torch.float32)
    scheme = world.model.sharing
    assert isinstance(scheme, MixedColumns)
    with torch.no_grad():
        for depth, alpha in scheme.alpha.items():
            members = scheme.members(int(depth))
            count, place = len(members), members.index(sender)
            shares = alpha.view(count, len(alpha) // count, count, -1)
            own = shares[place, :, place].clone()
            shares[:, :, place] = value
            shares[place, :, place] = own
    return world


def scores(
    world: World, asked: Any, *, gradients: bool = False
) -> tuple[dict[str, Tensor], set[tuple[int, str]]]:
    """What tasks find, and the copies of blocks that were called for it."""
    batch = world.batch(world.examples(), DEPTHS)
    with Calls(world.model) as calls, torch.set_grad_enabled(gradients):
        outputs = world.model(batch, asked)
    found = {f"{t} {n}": s.detach() for t in asked for n, s in outputs[t].scores.items()}
    return found, set(calls.units)


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@mixing
def test_a_saved_model_leaves_out_a_stream_that_nobody_reads(
    given: dict[str, Any], tmp_path: Path
) -> None:
    """To the last bit; but not where its own task is asked, and not with gradients."""
    made = world_of(given, "upos")
    save_model(made.model, made.tokenizer, tmp_path)
    model, tokenizer = load_model(tmp_path)
    world = World(model, tokenizer)
    found, called = scores(world, ("ner", "dep"))
    whole, everything = scores(world, ("ner", "dep"), gradients=True)
    assert everything >= EVERY - {(3, "upos")}
    assert called == everything - OF_UPOS
    assert equal(found, whole)
    assert equal(found, scores(made, ("ner", "dep"))[0])
    among, called = scores(world, tuple(DEPTHS))
    assert called & OF_UPOS == {(1, "upos")}
    assert equal({n: among[n] for n in found}, found)
    assert equal(among, scores(world, tuple(DEPTHS), gradients=True)[0])


@mixing
def test_a_stream_with_the_smallest_share_is_computed(given: dict[str, Any]) -> None:
    """The control."""
    for value, left_out in ((1e-30, False), (0.0, True)):
        _, called = scores(world_of(given, "upos", value), ("dep",))
        assert (not called & OF_UPOS) is left_out


@mixing
def test_shares_that_change_are_looked_at_again(given: dict[str, Any]) -> None:
    world = world_of(given, "upos")
    scheme = world.model.sharing
    assert isinstance(scheme, MixedColumns)
    before, called = scores(world, ("dep",))
    assert not called & OF_UPOS
    with torch.no_grad():
        scheme.alpha["2"].add_(0.1)
    found, called = scores(world, ("dep",))
    assert called & OF_UPOS == {(1, "upos"), (2, "upos")}
    assert equal(found, scores(world, ("dep",), gradients=True)[0])
    assert not equal(found, before)
    world.model.load_state_dict(world_of(given, "upos").model.state_dict())
    assert not scores(world, ("dep",))[1] & OF_UPOS


@mixing
def test_sentences_of_which_a_stream_is_there_and_others_are_mixed_apart(
    given: dict[str, Any],
) -> None:
    """A stream that is computed for some sentences adds nothing to the others either."""
    world = world_of(given, "upos")
    count = len(world.examples())
    asked = {"upos": np.arange(count) < 2, "dep": np.arange(count) > 0, "ner": np.arange(count) < 4}
    assert equal(scores(world, asked)[0], scores(world, asked, gradients=True)[0])


def test_training_computes_all_streams() -> None:
    world = world_of({"name": "sluice"}, "upos")
    world.model.train()
    for gradients in (True, False):
        _, called = scores(world, ("dep",), gradients=gradients)
        assert called >= OF_UPOS


def test_what_the_lasso_left_of_a_stream_is_what_is_computed() -> None:
    """Its step makes the same blocks 0 that are counted as zeros."""
    world = world_of({"name": "sluice", "sparsity": 1.0}, "upos", 1e-3)
    scheme = world.model.sharing
    assert isinstance(scheme, Sluice)
    assert scores(world, ("dep",))[1] >= OF_UPOS
    before = {depth: alpha.detach().clone() for depth, alpha in scheme.alpha.items()}
    scheme.after_step(world.model.stack, world.model.heads, 0, rates=lambda _: 0.01)
    assert any(not torch.equal(alpha, before[depth]) for depth, alpha in scheme.alpha.items())
    zeros = scheme.learnt()["zeros"]
    assert sum(zeros.values()) == len(scheme.silent()) >= 6
    assert not scores(world, ("dep",))[1] & OF_UPOS


@pytest.mark.parametrize("scheme", SHARING)
def test_by_itself_no_stream_is_silent(scheme: str) -> None:
    model = make_world("bilstm", scheme).model
    assert not model.sharing.silent()
    assert model.heard() is model.routes
