"""One label per word, each word on its own: a linear layer and a softmax.

Source: Søgaard and Goldberg 2016 (per-token softmax on the state of the task's own
layer). Departs: dropout before the layer. Shapes: states (words, width) to scores (words, labels).
Units: the loss is in nats, summed over labelled words.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiermtl.dropout import Dropout
from hiermtl.heads.base import Head, evened, split_by_sentence
from hiermtl.precision import full_precision
from hiermtl.records import MISSING, HeadOutput, Tap


class TaggingHead(Head):
    """Independent labels, `argmax` decoding."""

    kind = "tagging"
    layer = "tags"
    class_weights: Tensor | None

    def __init__(
        self,
        width: int,
        labels: Sequence[str],
        *,
        dropout: float = 0.1,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        """Takes the states' width, the labels, and a loss weight per label (default: 1)."""
        super().__init__()
        self.labels = tuple(labels)
        self._options: dict[str, Any] = {"dropout": dropout, "class_weights": class_weights}
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(width, len(self.labels))
        weights = (
            None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        )
        self.register_buffer("class_weights", weights)

    def forward(self, tap: Tap) -> dict[str, Tensor]:
        """`labels`: (words, labels) unnormalised."""
        return {"labels": self.output(evened(self.dropout(tap.values)))[: tap.values.shape[0]]}

    def loss(self, output: HeadOutput, gold: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy, summed over labelled words."""
        scores = full_precision(output.scores["labels"])
        weights = None if self.class_weights is None else self.class_weights.to(scores)
        return F.cross_entropy(
            scores, gold["labels"], weight=weights, ignore_index=MISSING, reduction="sum"
        )

    def decode(self, output: HeadOutput) -> list[Any]:
        """The best label of each word."""
        return split_by_sentence(
            output.scores["labels"].argmax(-1).cpu().numpy(), output.layout.word_counts
        )

    def probabilities(self, output: HeadOutput) -> Tensor:
        """Softmax of the scores."""
        return output.scores["labels"].softmax(-1)

    def options(self) -> dict[str, Any]:
        """Dropout and class weights."""
        return self._options
