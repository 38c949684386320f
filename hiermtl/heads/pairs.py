"""Two sentences compared: what heads of pairs have in common.

Source: Hashimoto et al. 2017 (A Joint Many-Task Model), sections 2.5 and 2.6: a sentence is the
largest value of each state over its words; a pair is the difference of the two beside their
product; maxout layers and a softmax follow. Not in the paper: the sizes of the maxout layers; a
sentence may also be the mean of its states (`pooling`), as encoders of sentences have it (Reimers
and Gurevych 2019, Sentence-BERT, section 3).
Shapes: states (words, width) to scores (pairs, labels).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from hiermtl.dropout import Dropout
from hiermtl.heads.base import Head
from hiermtl.heads.text_classification import vectors_of
from hiermtl.records import HeadOutput, Tap


class Maxout(nn.Module):
    """The largest of `pool` linear maps, number by number (Goodfellow et al. 2013)."""

    def __init__(self, width: int, hidden: int, pool: int) -> None:
        super().__init__()
        self.pool = pool
        self.maps = nn.Linear(width, hidden * pool)

    def forward(self, values: Tensor) -> Tensor:
        """(pairs, width) to (pairs, hidden)."""
        return self.maps(values).unflatten(-1, (-1, self.pool)).amax(-1)


class PairHead(Head):
    """What both kinds do alike: from two sentences to scores over an inventory."""

    unit = "pair"

    def __init__(
        self,
        width: int,
        labels: Sequence[str],
        *,
        dropout: float,
        hidden: int,
        pool: int,
        layers: int,
        pooling: str,
        reads: Mapping[str, int] = MappingProxyType({}),
        label_width: int = 100,
    ) -> None:
        """`reads` are tasks of pairs whose predictions are read, and how many labels they have."""
        super().__init__()
        self.labels = tuple(labels)
        self._options: dict[str, Any] = {
            "dropout": dropout,
            "hidden": hidden,
            "pool": pool,
            "layers": layers,
            "pooling": pooling,
        }
        self.pooling = pooling
        self.dropout = Dropout(dropout)
        self.embeddings = nn.ParameterDict()
        for task, count in reads.items():
            table = nn.Parameter(torch.empty(count, label_width))
            nn.init.xavier_uniform_(table)
            self.embeddings[task] = table
        widths = [2 * width + label_width * len(reads), *[hidden] * layers]
        self.maxout = nn.Sequential(*(Maxout(below, hidden, pool) for below in widths[:-1]))
        self.output = nn.Linear(hidden, len(self.labels))

    def compared(self, first: Tensor, second: Tensor) -> Tensor:
        """(pairs, width) each to (pairs, width): how they differ."""
        raise NotImplementedError

    def forward(self, tap: Tap) -> dict[str, Tensor]:
        """`labels`: (pairs, labels) unnormalised."""
        assert tap.groups is not None
        first, second = vectors_of(tap.values, tap.layout, tap.groups, size=2, pooling=self.pooling)
        lower = [tap.lower[task].to(first.dtype) @ table for task, table in self.embeddings.items()]
        read = torch.cat([self.compared(first, second), first * second, *lower], dim=-1)
        return {"labels": self.output(self.dropout(self.maxout(read)))}

    def probabilities(self, output: HeadOutput) -> Tensor:
        """Softmax of the scores."""
        return output.scores["labels"].softmax(-1)

    def options(self) -> dict[str, Any]:
        """Dropout and sizes."""
        return self._options
