"""HMTL: levels with encoders of their own in a tree, each reading the words and the level below.

Source: Sanh, Wolf and Ruder 2019 (A Hierarchical Multi-task Approach for Learning Embeddings from
Semantic Tasks), section 2, and the released code for what the paper leaves open. The encoder of a
level reads the words' embeddings again beside the states of the level below it: [x ; h]. Levels
side by side, as relations and coreference, have encoders of their own over the same one below; what
flows upwards are states alone. Tasks are drawn in proportion to their size: `sampling:
{name: temperature, exponent: 1}`.

Here the encoder of a task's level is the blocks above its parent's depth up to its own. `tree`
gives each task's parent, or none; by default it is the first of the tasks at the next lower depth.
Blocks up to `trunk` are shared by all: 0, the embeddings alone, as in the paper. Departs: on
transformers the embeddings are added to the states through a matrix that starts at zero, so that
training starts from the pretrained function; one optimizer, where the code has one for each task.
Shapes: a stream (units, width) per level. Limits: a chain without shortcuts is low supervision.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hiermtl.errors import RecipeError, listing, nearest
from hiermtl.hierarchy import Hierarchy
from hiermtl.records import Stream
from hiermtl.sharing.base import SHARED, Sharing


class Hmtl(Sharing):
    """A branch for each task's level, over its parent's."""

    name = "hmtl"
    grows = False

    def __init__(
        self,
        hierarchy: Hierarchy,
        widths: Sequence[int],
        *,
        tree: Mapping[str, str | None] | None = None,
        trunk: int = 0,
        shortcuts: bool = True,
        **options: Any,
    ) -> None:
        """Takes each task's parent, the depth up to which all share, and whether words come in.

        Raises RecipeError for a tree that is none, whose children are not read above their parents,
        or with shortcuts into the middle of a level.
        """
        super().__init__(
            hierarchy,
            widths,
            tree=None if tree is None else dict(tree),
            trunk=trunk,
            shortcuts=shortcuts,
            **options,
        )
        self.trunk, self.shortcuts = trunk, shortcuts
        self.parents = _default(hierarchy) if tree is None else _checked(hierarchy, tree)
        lowest = min(task.depth for task in hierarchy)
        if not 0 <= trunk <= lowest:
            raise RecipeError(
                f"sharing.trunk is {trunk}, but the lowest task is read at depth {lowest}; give 0 "
                f"to {lowest}"
            )

        for depth in range(1, hierarchy.top + 1):
            begin = [t.name for t in hierarchy if self._floor(t.name) + 1 == depth <= t.depth]
            inside = [t.name for t in hierarchy if self._floor(t.name) + 1 < depth <= t.depth]
            if shortcuts and depth > 1 and begin and inside:
                raise RecipeError(
                    f"the level of {begin[0]!r} begins at depth {depth}, where it reads the words "
                    f"again, but the level of {inside[0]!r} goes on there; give both the same "
                    "parent's depth, or set sharing.shortcuts=false"
                )

    def branches(self, depth: int) -> Mapping[str, str | None]:
        """The levels whose encoders have a block at this depth."""
        if depth <= self.trunk:
            return {SHARED: SHARED if depth else None}
        found = {}
        for task in self.hierarchy:
            below = self._floor(task.name)
            if below < depth <= task.depth:
                found[task.name] = self._under(task.name) if depth == below + 1 else task.name
        return found

    def branch_of(self, task: str) -> str:
        """The task's level; the trunk where it ends in it."""
        return SHARED if self.hierarchy[task].depth <= self.trunk else task

    def sees(self, depth: int) -> Sequence[tuple[int, str]]:
        """The embeddings, where a level's encoder begins above another's."""
        return ((0, SHARED),) if self.shortcuts and self._begins(depth) else ()

    def extra_width(self, depth: int) -> int:
        """Numbers of the embeddings."""
        return sum(self.widths[at] for at, _ in self.sees(depth))

    def extra(
        self,
        depth: int,
        stream: Stream,
        *,
        fed: Mapping[str, Tensor],
        seen: Sequence[Tensor],
    ) -> Tensor | None:
        """The embeddings."""
        return torch.cat(list(seen), dim=-1) if seen else None

    def structure(self) -> dict[str, Any]:
        """The options, with the tree as it is."""
        return {**super().structure(), "tree": dict(self.parents)}

    def _floor(self, task: str) -> int:
        """The depth above which the task's own blocks begin."""
        parent = self.parents[task]
        return self.trunk if parent is None else max(self.trunk, self.hierarchy[parent].depth)

    def _under(self, task: str) -> str:
        """The branch that the first of them reads."""
        parent = self.parents[task]
        return SHARED if parent is None or self._floor(task) == self.trunk else parent

    def _begins(self, depth: int) -> bool:
        floors = {self._floor(task.name) for task in self.hierarchy}
        return depth - 1 in floors and depth - 1 > 0


def _default(hierarchy: Hierarchy) -> dict[str, str | None]:
    """Each task over the first one of the next lower depth."""
    first: dict[int, str] = {}
    for task in hierarchy:
        first.setdefault(task.depth, task.name)
    return {
        task.name: first[max(lower)] if (lower := [d for d in first if d < task.depth]) else None
        for task in hierarchy
    }


def _checked(hierarchy: Hierarchy, tree: Mapping[str, str | None]) -> dict[str, str | None]:
    names = hierarchy.names
    for name in (*tree, *filter(None, tree.values())):
        if name not in names:
            raise RecipeError(
                f"sharing.tree names {name!r}, which is no task; tasks are {listing(names)}"
                f"{nearest(name, names)}"
            )
    for child, parent in tree.items():
        if parent is not None and hierarchy[parent].depth >= hierarchy[child].depth:
            raise RecipeError(
                f"sharing.tree puts {child!r}, read at depth {hierarchy[child].depth}, over "
                f"{parent!r}, read at depth {hierarchy[parent].depth}; a level lies above its "
                "parent's: change a depth, or the tree"
            )
    return {name: tree.get(name) for name in names}
