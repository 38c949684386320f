"""Schemes with streams, label embeddings and splits go through the real loop, broken off or not."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hiermtl.model import HierarchicalModel
from hiermtl.sharing import SHARED, SHARING
from hiermtl.training import Evaluation
from hiermtl.training.checkpoint import load_checkpoint
from hiermtl.training.loop import _restore
from tests.property.contract_schemes import Columns, LabelEmbeddings, Splitting
from tests.unit.training.runs import Broken, EveryStep, fresh, losses, train, weights
from tests.worlds import FAMILIES, World, assert_same, same

TOP = {"upos": 3, "ner": 3, "dep": 3}
SPLITS = {"name": "splitting", "plan": {"4": [3, "ner"], "7": [2, "ner"]}}
"""After the fifth and the eighth step."""

KINDS: tuple[tuple[Any, dict[str, int]], ...] = (
    ("columns", TOP),
    ("label_embeddings", {"upos": 1, "ner": 2, "dep": 3}),
    (SPLITS, TOP),
)
OPTIONS: dict[str, Any] = {"checkpoint_every": 3, "epochs": 2, "keep_checkpoints": 99}


@pytest.fixture(autouse=True)
def _known_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in (Columns, LabelEmbeddings, Splitting):
        monkeypatch.setitem(SHARING, scheme.name, scheme)


def shared(family: str, sharing: Any = SPLITS, depths: dict[str, int] = TOP) -> World:
    return fresh(family, dropout=0.3, sharing=sharing, depths=depths)


def judged(model: HierarchicalModel) -> Evaluation:
    """A number that depends on the weights alone."""
    return Evaluation(float(sum(p.detach().abs().sum() for p in model.parameters())), [], "")


@pytest.mark.parametrize(
    "family",
    # Of these BERT is taken to be like ModernBERT: each takes seconds.
    [pytest.param(f, marks=pytest.mark.slow if f == "modernbert" else ()) for f in FAMILIES],
)
@pytest.mark.parametrize(("sharing", "depths"), KINDS)
@pytest.mark.parametrize("until", [4, 6, 8])
def test_a_scheme_resumed_equals_the_unbroken_run(
    tmp_path: Path, family: str, sharing: Any, depths: dict[str, int], until: int
) -> None:
    """Resumed at steps 3 (before both splits) and 6 (between them), to the last bit."""
    whole, one = train(
        tmp_path / "whole",
        world=shared(family, sharing, depths),
        evaluate=judged,
        progress=EveryStep,
        **OPTIONS,
    )
    assert one.step > 9
    with pytest.raises(Broken):
        train(
            tmp_path / "cut",
            world=shared(family, sharing, depths),
            evaluate=judged,
            progress=partial(EveryStep, until=until),
            **OPTIONS,
        )
    world, _ = train(
        tmp_path / "cut",
        world=shared(family, sharing, depths),
        evaluate=judged,
        progress=EveryStep,
        resume=True,
        **OPTIONS,
    )
    assert_same(weights(world), weights(whole))
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    assert world.model.config.to_dict() == whole.model.config.to_dict()
    if sharing is SPLITS:
        assert world.model.sharing.branches(2) == {SHARED: SHARED, "ner": SHARED}
        assert set(world.model.stack.copies(2)) == {SHARED, "ner"}


def test_a_resume_that_forgets_the_structure_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    train(tmp_path, world=shared("bilstm"), max_steps=9, **OPTIONS)
    monkeypatch.setattr(HierarchicalModel, "rebuild", lambda *_: None)
    with pytest.raises(RuntimeError, match=r"stack\.blocks\.3\.ner"):
        train(tmp_path, world=shared("bilstm"), resume=True, **OPTIONS)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_best_weights_may_be_of_an_earlier_structure(tmp_path: Path, family: str) -> None:
    seen: list[dict[str, Tensor]] = []
    mains = iter([5.0, 4.0, 3.0])

    def evaluate(model: HierarchicalModel) -> Evaluation:
        del model
        seen.append(weights(world))
        return Evaluation(next(mains), [], "")

    plan = {"name": "splitting", "plan": {"18": [3, "ner"]}}
    world = shared(family, plan)
    _, history = train(tmp_path, world=world, epochs=3, evaluate=evaluate)
    assert history.best < 18 < history.step
    assert any("ner" in name.split(".")[3] for name in seen[-1] if name.startswith("stack.blocks"))
    assert_same(weights(world), seen[0])
    assert world.model.sharing.branches(3) == {SHARED: SHARED}
    assert not world.model.training
    assert not world.model.stack.training
    again = shared(family, plan)
    _restore(again.model, load_checkpoint(tmp_path / "checkpoints" / "best"))
    assert same(weights(again), weights(world))


def test_a_frozen_block_may_be_split(tmp_path: Path) -> None:
    """Its copy is frozen too, and the optimizer never hears of it."""
    world = shared("bilstm")
    start = weights(world)
    train(tmp_path, world=world, max_steps=9, freeze_below=3, **OPTIONS)
    end = weights(world)
    copied = [name for name in end if name.startswith("stack.blocks.2.ner.")]
    assert copied
    for name in copied:
        assert torch.equal(end[name], start[name.replace(".ner.", f".{SHARED}.")])
    moved = [name for name in end if name.startswith("stack.blocks.3.ner.")]
    own = {name: end[name.replace(".ner.", f".{SHARED}.")] for name in moved}
    assert not same({name: end[name] for name in moved}, own)
