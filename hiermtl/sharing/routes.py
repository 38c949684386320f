"""Which blocks a task depends on, worked out from a scheme's structure alone.

And the blocks themselves.
"""

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import nn

from hiermtl.encoders import Block, Embedding, Encoder
from hiermtl.encoders.base import Part
from hiermtl.seeding import seeded
from hiermtl.sharing.base import Sharing


@dataclass(frozen=True, slots=True)
class Route:
    """What one task needs: states before and after mixing, and tasks that must run too."""

    raw: frozenset[tuple[int, str]]
    mixed: frozenset[tuple[int, str]]
    tasks: frozenset[str]

    @property
    def depth(self) -> int:
        """The deepest block the task depends on."""
        return max(depth for depth, _ in self.raw)


class Routes:
    """The route of every task under a scheme, as its structure stands now."""

    def __init__(
        self,
        sharing: Sharing,
        lower: Mapping[str, Sequence[str]] = MappingProxyType({}),
        *,
        tasks: Iterable[str] | None = None,
        silent: Collection[tuple[int, str, str]] = (),
    ) -> None:
        """Follows each task's reads down to the embeddings.

        `lower` are the tasks whose predictions a task's head reads; `tasks` those that are there,
        by default all that the scheme was made for; `silent` the (depth, receiver, sender) of mixes
        that are not followed.
        """
        names = sharing.hierarchy.names if tasks is None else tasks
        self._routes = {task: _follow(sharing, task, lower, silent) for task in names}

    def __getitem__(self, task: str) -> Route:
        """The route of a task."""
        return self._routes[task]

    def depths(self) -> dict[str, int]:
        """How deep the encoder must run for each task."""
        return {task: route.depth for task, route in self._routes.items()}

    def blocks(self, tasks: Iterable[str]) -> int:
        """How many blocks run for these tasks, each copy of a column or branch for itself."""
        return len({place for task in tasks for place in self._routes[task].raw if place[0]})


def _follow(
    sharing: Sharing,
    task: str,
    lower: Mapping[str, Sequence[str]] = MappingProxyType({}),
    silent: Collection[tuple[int, str, str]] = (),
) -> Route:
    raw: set[tuple[int, str]] = set()
    mixed: set[tuple[int, str]] = set()
    tasks: set[str] = set()
    waiting = [task]
    while waiting:
        name = waiting.pop()
        tasks.add(name)
        waiting.extend(set(lower.get(name, ())) - tasks)
    wanted = [state for name in tasks for state in sharing.reads(name)]
    while wanted:
        state = wanted.pop()
        if state in mixed:
            continue
        mixed.add(state)
        depth, branch = state
        for sender in sharing.senders(depth, branch):
            if (depth, sender) in raw or (depth, branch, sender) in silent:
                continue
            raw.add((depth, sender))
            if not depth:
                continue
            parent = sharing.branches(depth)[sender]
            assert parent is not None, f"branch {sender!r} at depth {depth} has no parent"
            wanted.append((depth - 1, parent))
            wanted.extend(sharing.sees(depth))
            for fed in sharing.feeds(depth):
                tasks.add(fed)
                wanted.extend(sharing.reads(fed))
    return Route(frozenset(raw), frozenset(mixed), frozenset(tasks))


class Stack(nn.Module):
    """The copies of embedding and blocks a scheme asked for: one module per branch and depth.

    Only blocks some task depends on exist. `side_by_side` is the encoder's. What the encoder holds
    is there once for all copies; in the state it has the name that it has in the first.
    """

    def __init__(
        self,
        encoder: Encoder,
        sharing: Sharing,
        *,
        seed: int = 0,
        tasks: Iterable[str] | None = None,
    ) -> None:
        """Builds every branch some task depends on; copies of one block start equal.

        Each block draws from a seed of its own, so that how many are built changes none of them.
        `tasks` are those that are there, by default all that the scheme was made for.
        """
        super().__init__()
        self.side_by_side = encoder.side_by_side
        names = sharing.hierarchy.names if tasks is None else tasks
        needed = set().union(*(_follow(sharing, task).raw for task in names))
        self.embeddings = nn.ModuleDict()
        for name in _at(needed, 0, sharing):
            with seeded(seed, "embedding"):
                _add(self.embeddings, name, encoder.embedding())
        self.blocks = nn.ModuleDict()
        for depth in range(1, max(depth for depth, _ in needed) + 1):
            width = sharing.extra_width(depth)
            copies = self.blocks[str(depth)] = nn.ModuleDict()
            for name in _at(needed, depth, sharing):
                with seeded(seed, "block", depth):
                    _add(copies, name, encoder.block(depth, width))
        self.register_state_dict_post_hook(_once)
        self.register_load_state_dict_pre_hook(_everywhere)

    @property
    def depth(self) -> int:
        """The deepest block there is."""
        return len(self.blocks)

    def embedding(self, branch: str) -> Embedding:
        """The embedding of a branch."""
        found = self.embeddings[branch]
        assert isinstance(found, Embedding)
        return found

    def copies(self, depth: int) -> nn.ModuleDict:
        """All copies of the block at a depth, by branch."""
        found = self.blocks[str(depth)]
        assert isinstance(found, nn.ModuleDict)
        return found

    def block(self, depth: int, branch: str) -> Block:
        """The block of a branch."""
        found = self.copies(depth)[branch]
        assert isinstance(found, Block)
        return found

    def fork(self, depth: int, parent: str, child: str) -> dict[str, str]:
        """Gives a new branch a copy of another's block.

        Returns the names in the model of the weights that are new, each with its parent's.
        """
        block = self.block(depth, parent)
        made = copy.deepcopy(block)
        _add(self.copies(depth), child, made)
        old, place = dict(block.named_parameters()), f"stack.blocks.{depth}"
        return {
            f"{place}.{child}.{name}": f"{place}.{parent}.{name}"
            for name, weight in made.named_parameters()
            if weight is not old[name]
        }

    def hold(self) -> None:
        """Takes what the encoder holds out of training."""
        for part in self.modules():
            if isinstance(part, Part):
                part.hold()

    def repeated(self) -> dict[str, str]:
        """The further names of weights that several copies have in common, each with the first."""
        first: dict[nn.Parameter, str] = {}
        named = self.named_parameters(remove_duplicate=False)
        found = {name: first.setdefault(weight, name) for name, weight in named}
        return {name: known for name, known in found.items() if known != name}


def _add(copies: nn.ModuleDict, name: str, made: Part) -> None:
    for first in list(copies.values())[:1]:
        assert isinstance(first, Part)
        made.lean_on(first)
    copies[name] = made


def _once(stack: nn.Module, state: dict[str, Any], prefix: str, about: Any) -> None:
    """A file of tensors holds none twice."""
    del about
    assert isinstance(stack, Stack)
    for name in stack.repeated():
        state.pop(prefix + name, None)


def _everywhere(stack: nn.Module, state: dict[str, Any], prefix: str, *others: Any) -> None:
    """Tensors that are given under their first name are those of all their names."""
    del others
    assert isinstance(stack, Stack)
    for name, first in stack.repeated().items():
        if prefix + first in state:
            state.setdefault(prefix + name, state[prefix + first])


def _at(needed: Iterable[tuple[int, str]], depth: int, sharing: Sharing) -> list[str]:
    return [name for name in sharing.branches(depth) if (depth, name) in needed]
