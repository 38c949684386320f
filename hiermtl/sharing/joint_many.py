"""The joint many-task model: levels stacked, each reading words and what lower heads predict.

Source: Hashimoto et al. 2017 (A Joint Many-Task Model), sections 2.1 to 2.6. The first block above
each level also reads the embeddings again (shortcut) and, for every tagging task below, the mean of
its labels' vectors weighed by how probable they are, summed over the tasks (label embedding). In
the paper each level is one layer; here a level may have several, of which the first reads this.
Departs on transformers, where it is added to the states through a matrix that starts at zero, so
that training starts from the pretrained function; recurrent layers read it beside the states, as in
the paper. Labels of auxiliary tasks, which the saved model is without, are not read. Shapes: one
stream (units, width). Limits: with both switched off, low supervision.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hiermtl.hierarchy import Hierarchy
from hiermtl.records import Stream
from hiermtl.sharing.base import SHARED, Sharing

LABEL_WIDTH = 100


class JointMany(Sharing):
    """Levels that read words, and the labels that lower levels predict."""

    name = "joint_many"

    def __init__(
        self,
        hierarchy: Hierarchy,
        widths: Sequence[int],
        *,
        shortcuts: bool = True,
        label_embeddings: bool = True,
        label_width: int = LABEL_WIDTH,
        detach_labels: bool = False,
        zero_softmax: bool = True,
        **options: Any,
    ) -> None:
        """Takes what is switched on, and how many numbers stand for a label.

        With `detach_labels` an upper task's loss does not train the lower heads; with
        `zero_softmax` heads start at zero, so that the first step moves them alone.
        """
        super().__init__(
            hierarchy,
            widths,
            shortcuts=shortcuts,
            label_embeddings=label_embeddings,
            label_width=label_width,
            detach_labels=detach_labels,
            zero_softmax=zero_softmax,
            **options,
        )
        self.shortcuts, self.label_width = shortcuts, label_width
        self.detach_labels, self.even_start = detach_labels, zero_softmax
        depths = {task.depth for task in hierarchy}
        self._first = {depth + 1 for depth in depths if depth < hierarchy.top}
        self.tables = nn.ParameterDict()
        for task in hierarchy:
            if label_embeddings and task.depth < hierarchy.top and task.name in self.labels:
                table = torch.empty(self.labels[task.name], label_width)
                self.tables[task.name] = nn.Parameter(nn.init.xavier_uniform_(table))

    def feeds(self, depth: int) -> Sequence[str]:
        """The tagging tasks below, at the first block above a level."""
        if depth not in self._first:
            return ()
        return [task for task in self.tables if self.hierarchy[task].depth < depth]

    def sees(self, depth: int) -> Sequence[tuple[int, str]]:
        """The embeddings, at the first block above a level."""
        return ((0, SHARED),) if self.shortcuts and depth in self._first else ()

    def owned(self, task: str) -> Sequence[str]:
        """The label vectors that enter blocks up to the task's depth."""
        depths = range(1, self.hierarchy[task].depth + 1)
        fed = {lower for depth in depths for lower in self.feeds(depth)}
        return [f"tables.{lower}" for lower in self.tables if lower in fed]

    def extra_width(self, depth: int) -> int:
        """Numbers of the embeddings and of a label."""
        return sum(self.widths[at] for at, _ in self.sees(depth)) + (
            self.label_width if self.feeds(depth) else 0
        )

    def extra(
        self,
        depth: int,
        stream: Stream,
        *,
        fed: Mapping[str, Tensor],
        seen: Sequence[Tensor],
    ) -> Tensor | None:
        """The embeddings, and the sum over tasks of their mean label vectors."""
        parts = list(seen)
        if fed:
            means = [
                (probable.detach() if self.detach_labels else probable)
                @ self.tables[task].to(probable.dtype)
                for task, probable in fed.items()
            ]
            parts.append(stream.layout.scatter(torch.stack(means).sum(0)))
        return torch.cat(parts, dim=-1) if parts else None
