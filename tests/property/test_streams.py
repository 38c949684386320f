"""What several tasks read in common is computed once."""

from collections.abc import Callable
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from hiermtl.records import Layout
from hiermtl.sharing import SHARING
from tests.worlds import ALL, FAMILIES, World, make_world

everywhere = pytest.mark.parametrize("family", FAMILIES)
every_scheme = pytest.mark.parametrize("sharing", SHARING)
TOP = dict.fromkeys(("upos", "ner", "dep"), 3)
COLUMNS = ("soft_l2", "soft_trace", "cross_stitch", "sluice")


class Reads:
    """Which weights read which states: depth to the call of each embedding or block."""

    def __init__(self, world: World) -> None:
        self.calls: dict[int, list[tuple[int, int]]] = {}
        self._held: list[Tensor] = []
        self._handles = []
        stack = world.model.stack
        for depth in range(stack.depth + 1):
            for module in (stack.copies(depth) if depth else stack.embeddings).values():
                hook = self._hook(depth)
                self._handles.append(module.register_forward_pre_hook(hook))

    def _hook(self, depth: int) -> Callable[..., None]:
        def note(module: nn.Module, inputs: tuple[object, ...]) -> None:
            read = inputs[0]
            place = 0
            if isinstance(read, Tensor):
                self._held.append(read)  # lest its place in memory be given to another
                place = read.data_ptr()
            self.calls.setdefault(depth, []).append((id(module), place))

        return note

    def __enter__(self) -> "Reads":
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()


def reads(world: World, tasks: tuple[str, ...]) -> dict[int, list[tuple[int, int]]]:
    batch = world.batch(world.examples(), tasks)
    with Reads(world) as found, torch.no_grad():
        world.model(batch, tasks)
    return found.calls


@everywhere
@every_scheme
def test_every_copy_is_computed_once_for_all_tasks(family: str, sharing: str) -> None:
    world = make_world(family, sharing)
    calls = reads(world, ALL)
    for depth in range(world.model.stack.depth + 1):
        copies = world.model.stack.copies(depth) if depth else world.model.stack.embeddings
        assert len(calls[depth]) == len(copies), f"depth {depth}"
        assert len(set(calls[depth])) == len(copies), "no copy reads the same states twice"


@everywhere
@pytest.mark.parametrize("sharing", COLUMNS)
@pytest.mark.parametrize("below", [0, 1, 2, 3])
def test_what_lies_below_the_copies_is_computed_once(family: str, sharing: str, below: int) -> None:
    world = make_world(family, {"name": sharing, "shared_below": below}, depths=TOP)
    calls = reads(world, tuple(TOP))
    assert {depth: len(own) for depth, own in calls.items()} == {
        depth: 1 if depth < below else 3 for depth in range(4)
    }
    if below:
        read = {place for _, place in calls[below]}
        assert len(read) == 1, "the first copies read the same states, which are not copied"


@everywhere
@pytest.mark.parametrize("sharing", ["adaptive", "hard", "joint_many", "learned", "relationship"])
def test_one_stream_is_computed_once(family: str, sharing: str) -> None:
    """Of `adaptive` before its first split."""
    calls = reads(make_world(family, sharing, depths=TOP), tuple(TOP))
    assert {depth: len(own) for depth, own in calls.items()} == dict.fromkeys(range(4), 1)


@everywhere
@every_scheme
def test_words_are_gathered_once_from_each_state(family: str, sharing: str) -> None:
    world = make_world(family, sharing)
    batch = world.batch(world.examples(), ALL)
    states = {state for task in ALL for state in world.model.sharing.reads(task)}
    with mock.patch.object(Layout, "gather", autospec=True, side_effect=Layout.gather) as gather:
        world.model(batch, ALL)
    assert gather.call_count == len(states)
