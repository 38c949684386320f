"""Blocks that are compiled for training."""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from hiermtl.encoders.base import Block
from hiermtl.encoders.pretrained import TransformerBlock
from hiermtl.errors import RunError
from hiermtl.training import compiling
from hiermtl.training.compiling import compiled
from tests.unit.training.runs import fresh, train, weights
from tests.worlds import ALL, SENTENCES, World, assert_same

TRANSFORMERS = ("bert", "modernbert")
plainly = torch.compile


@pytest.fixture(autouse=True)
def fresh_caches() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture
def without_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are recorded and guarded as ever, but run as they are: no code is generated."""
    monkeypatch.setattr(compiling.torch, "compile", partial(plainly, backend="aot_eager"))


def graphs() -> int:
    return counters["stats"]["unique_graphs"]


def passes(world: World, *, sizes: range, after: Callable[[], None]) -> None:
    """Training passes over batches of as many sentences, each with other lengths."""
    examples = world.examples(SENTENCES, (ALL,))
    world.model.train()
    for size in sizes:
        batch = world.batch([examples[(size + k) % len(examples)] for k in range(size)])
        losses = world.model.losses(batch, world.model(batch))
        torch.stack(list(losses.values())).sum().backward()
        after()


@pytest.mark.parametrize("family", TRANSFORMERS)
@pytest.mark.usefixtures("without_code")
def test_the_same_training_whether_compiled_or_not(family: str, tmp_path: Path) -> None:
    runs = [
        weights(train(tmp_path / str(on), family=family, compile=on, precision="fp64")[0])
        for on in (False, True)
    ]
    assert graphs() > 0
    assert_same(*runs, atol=1e-9)


@pytest.mark.parametrize("family", TRANSFORMERS)
@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.usefixtures("without_code")
def test_nothing_is_compiled_again_for_another_size_or_block(
    family: str, monkeypatch: pytest.MonkeyPatch, *, dynamic: bool
) -> None:
    def compile(given: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        return plainly(given, backend="aot_eager", **{**options, "dynamic": dynamic})

    monkeypatch.setattr(compiling.torch, "compile", compile)
    found: list[int] = []
    world = fresh(family, dropout=0.1)
    with compiled(world.model, wanted=True):
        passes(world, sizes=range(2, 8), after=lambda: found.append(graphs()))
    # Two methods, each also for states that need no gradient; ModernBERT's first block differs.
    assert 2 <= found[0] <= 6
    assert (len(set(found)) == 1) is dynamic


@pytest.mark.usefixtures("without_code")
def test_only_training_runs_compiled_code_and_nothing_stays() -> None:
    world = fresh("bert")
    batch = world.batch(world.examples())
    with compiled(world.model, wanted=True) as renew:
        world.model.eval()
        world.model(batch)
        world.model.train()
        with torch.no_grad():
            world.model(batch)
        assert not graphs()
        before = {name: id(held) for name, held in held_by(world.model)}
        renew()
        assert {name: id(held) for name, held in held_by(world.model)} == before
        assert before
    assert not list(held_by(world.model))
    with compiled(world.model, wanted=False):
        assert not list(held_by(world.model))


@pytest.mark.usefixtures("without_code")
def test_a_copy_of_a_compiled_block_computes_with_its_own_weights() -> None:
    """As a split makes it."""
    world = fresh("bert")
    with compiled(world.model, wanted=True) as renew:
        copies = world.model.stack.copies(3)
        copies["new"] = copy.deepcopy(copies["shared"])
        renew()
        block = world.model.stack.block(3, "new").train()
        assert isinstance(block, TransformerBlock)
        with torch.no_grad():
            for weight in block.parameters():
                weight.zero_()
        values = torch.randn(4, 32)
        assert not block.made(values, values).any()  # type: ignore[attr-defined]
        assert world.model.stack.block(3, "shared").train().made(values, values).any()  # type: ignore[attr-defined]


def held_by(model: nn.Module) -> Iterator[tuple[str, object]]:
    for place, block in model.named_modules():
        if isinstance(block, Block):
            for name in block.dense:
                if name in vars(block):
                    yield f"{place}.{name}", vars(block)[name]


def test_without_a_compiler_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: Any) -> Any:
        raise OSError("no compiler")

    monkeypatch.setattr(compiling.torch, "compile", partial(plainly, backend=fails))
    world = fresh("bert")
    with (
        compiled(world.model, wanted=True),
        pytest.raises(RunError, match=r"cannot be compiled .*training\.compile=false"),
    ):
        passes(world, sizes=range(2, 3), after=lambda: None)


@pytest.mark.parametrize(
    "mark", [pytest.param("without_code"), pytest.param("fresh_caches", marks=pytest.mark.slow)]
)
def test_passes_that_are_taken_backwards_for_each_task_may_be_compiled(
    mark: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    pytest.importorskip("torchjd")
    request.getfixturevalue(mark)
    options: dict[str, Any] = {"family": "bert", "precision": "fp64", "max_steps": 3}
    # Code for passes that are taken backwards once is stored, and must not be taken from there.
    train(tmp_path / "stored", compile=True, **options)
    torch._dynamo.reset()
    options["balancing"] = "torchjd.upgrad"
    runs = [weights(train(tmp_path / str(on), compile=on, **options)[0]) for on in (False, True)]
    assert graphs() > 0
    assert_same(*runs, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("family", TRANSFORMERS)
def test_generated_code_trains_as_torch_does(family: str, tmp_path: Path) -> None:
    options = {"family": family, "precision": "fp64"}
    runs = [weights(train(tmp_path / str(on), compile=on, **options)[0]) for on in (False, True)]
    assert_same(*runs, atol=1e-9)
