"""Minimal sharing schemes, each leaning on another part of the interface.

They are written as a newcomer would write one, from `hiermtl.sharing.base` alone: streams that mix
(`senders`, `mix`), label embeddings (`feeds`, `extra_width`, `extra`), a split in mid-run
(`propose`, `structure`) and a term on weights (`penalties`).
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hiermtl.hierarchy import Hierarchy
from hiermtl.records import Stream
from hiermtl.sharing import SHARED, Edit, Rate, Sharing, Stack


class Columns(Sharing):
    """One stream per task; after each block every stream takes a linear mix of all of them.

    `streams` is "all" (each stream runs to the top) or "live" (to its own task's depth).
    """

    name = "columns"

    def __init__(
        self,
        hierarchy: Hierarchy,
        widths: Sequence[int],
        *,
        streams: str = "all",
        own: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(hierarchy, widths, streams=streams, own=own, **options)
        self.streams, self.order = streams, list(hierarchy.names)
        self.alpha = nn.ParameterDict()
        for depth in range(1, hierarchy.top + 1):
            live = len(self.members(depth))
            here = own if live > 1 else 1.0
            other = (1 - here) / max(1, live - 1)
            self.alpha[str(depth)] = nn.Parameter(torch.eye(live) * (here - other) + other)

    def members(self, depth: int) -> list[str]:
        if self.streams == "all":
            return self.order
        return [task for task in self.order if self.hierarchy[task].depth >= depth]

    def branches(self, depth: int) -> Mapping[str, str | None]:
        return {task: task if depth else None for task in self.members(depth)}

    def branch_of(self, task: str) -> str:
        return task

    def senders(self, depth: int, branch: str) -> Sequence[str]:
        return self.members(depth) if depth else (branch,)

    def owned(self, task: str) -> Sequence[str]:
        return [f"alpha.{depth}" for depth in range(1, self.hierarchy[task].depth + 1)]

    def weight(self, depth: int, receiver: int, sender: int) -> Tensor:
        return self.alpha[str(depth)][receiver, sender]

    def mix(
        self, depth: int, streams: Mapping[str, Stream], *, receivers: Mapping[str, np.ndarray]
    ) -> Mapping[str, Stream]:
        if not depth:
            return streams
        members, mixed = self.members(depth), {}
        for receiver, sentences in receivers.items():
            own = streams[receiver].narrow(sentences)
            row = members.index(receiver)
            parts = [
                self.weight(depth, row, column) * streams[sender].narrow(sentences).values
                for column, sender in enumerate(members)
                if sender in self.senders(depth, receiver)
            ]
            mixed[receiver] = own.replace(torch.stack(parts).sum(0))
        return mixed

    def rates(self) -> Sequence[Rate]:
        return (Rate("sharing.alpha", lr=1e-2, weight_decay=0.0),)


class TransposedColumns(Columns):
    """What must not be: receiver and sender change places."""

    name = "transposed_columns"

    def weight(self, depth: int, receiver: int, sender: int) -> Tensor:
        return super().weight(depth, sender, receiver)


class SeparateColumns(Columns):
    """Columns that are separate by structure, not by a weight of zero."""

    name = "separate_columns"

    def senders(self, depth: int, branch: str) -> Sequence[str]:
        return (branch,)


class LabelEmbeddings(Sharing):
    """Blocks above a task of `tasks` also read the mean of its labels' vectors, by probability."""

    name = "label_embeddings"

    def __init__(
        self,
        hierarchy: Hierarchy,
        widths: Sequence[int],
        *,
        tasks: Sequence[str] = ("upos",),
        size: int = 3,
        detach: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(hierarchy, widths, tasks=list(tasks), size=size, detach=detach, **options)
        self.fed, self.size, self.detach = tuple(tasks), size, detach
        self.tables = nn.ParameterDict(
            {task: nn.Parameter(torch.randn(self.labels[task], size)) for task in tasks}
        )

    def feeds(self, depth: int) -> Sequence[str]:
        return [task for task in self.fed if self.hierarchy[task].depth < depth]

    def owned(self, task: str) -> Sequence[str]:
        return [f"tables.{lower}" for lower in self.feeds(self.hierarchy[task].depth)]

    def extra_width(self, depth: int) -> int:
        return self.size if self.feeds(depth) else 0

    def extra(
        self, depth: int, stream: Stream, *, fed: Mapping[str, Tensor], seen: Sequence[Tensor]
    ) -> Tensor | None:
        if not fed:
            return None
        words = [(p.detach() if self.detach else p) @ self.tables[task] for task, p in fed.items()]
        return stream.layout.scatter(torch.stack(words).sum(0))


class LabelsAcrossBranches(LabelEmbeddings):
    """Label embeddings as the only thing that crosses between branches of single tasks."""

    name = "labels_across_branches"

    def branches(self, depth: int) -> Mapping[str, str | None]:
        reaching = [task.name for task in self.hierarchy if task.depth >= depth]
        return {name: name if depth else None for name in reaching}

    def branch_of(self, task: str) -> str:
        return task


class Splitting(Sharing):
    """One stream that forks: at step s, `plan[s]` is the [depth, task] that gets a copy of a block.

    `groups` is depth -> branch -> tasks, as the structure stands.
    """

    name = "splitting"

    def __init__(
        self,
        hierarchy: Hierarchy,
        widths: Sequence[int],
        *,
        plan: Mapping[str, Sequence[Any]] | None = None,
        groups: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(hierarchy, widths, **options)
        self.plan = dict(plan or {})
        self.groups = {d: {b: list(t) for b, t in g.items()} for d, g in (groups or {}).items()}
        for depth in range(hierarchy.top + 1):
            above = [task.name for task in hierarchy if task.depth >= depth]
            self.groups.setdefault(str(depth), {SHARED: above})

    def _branch(self, depth: int, task: str) -> str:
        return next(b for b, tasks in self.groups[str(depth)].items() if task in tasks)

    def branches(self, depth: int) -> Mapping[str, str | None]:
        return {
            branch: self._branch(depth - 1, tasks[0]) if depth else None
            for branch, tasks in self.groups[str(depth)].items()
        }

    def branch_of(self, task: str) -> str:
        return self._branch(self.hierarchy[task].depth, task)

    def propose(self, stack: Stack, step: int, *, done: float = 0.0) -> Edit | None:
        if str(step) not in self.plan:
            return None
        depth, task = self.plan[str(step)]
        parent, copies = self._branch(depth, task), stack.copies(depth)
        copies[task] = copy.deepcopy(copies[parent])
        groups = self.groups[str(depth)]
        groups[parent].remove(task)
        groups[task] = [task]
        where = f"stack.blocks.{depth}"
        names = [name for name, _ in copies[task].named_parameters()]
        return Edit({f"{where}.{task}.{name}": f"{where}.{parent}.{name}" for name in names})

    def structure(self) -> dict[str, Any]:
        return {"plan": self.plan, "groups": self.groups, **self.options}


class Held(Sharing):
    """One stream; the squares of all blocks' weights are added to the loss, whatever is trained."""

    name = "held"

    def penalties(self, stack: Stack, heads: nn.ModuleDict) -> dict[str, Tensor]:
        return {"l2": torch.stack([w.square().sum() for w in stack.blocks.parameters()]).sum()}


class Undeclared(Columns):
    """Wrong: its weights belong to no task."""

    name = "undeclared"

    def owned(self, task: str) -> Sequence[str]:
        return ()
