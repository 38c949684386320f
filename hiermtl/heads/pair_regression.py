"""A score for two sentences in either order, such as relatedness.

Source: Hashimoto et al. 2017 (A Joint Many-Task Model), section 2.5: the absolute difference beside
the product, one maxout layer, a softmax over whole numbers whose mean is the score. Learnt as Tai
et al. 2015 (Improved Semantic Representations From Tree-Structured LSTMs), section 4.2: gold puts
its mass on the two whole numbers around it, and the loss is the divergence from it. Units: nats,
summed over pairs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hiermtl.heads.pairs import PairHead
from hiermtl.precision import full_precision
from hiermtl.records import HeadOutput


class PairRegressionHead(PairHead):
    """A score for two sentences in either order.

    Its labels are whole numbers in order, from the lowest score to the highest.
    """

    kind = "pair_regression"
    layer = "number"

    def __init__(
        self,
        width: int,
        labels: Sequence[str],
        *,
        dropout: float = 0.4,
        hidden: int = 100,
        pool: int = 4,
        layers: int = 1,
        pooling: str = "max",
    ) -> None:
        """Takes the width of the states and the whole numbers; one layer, as in the paper."""
        super().__init__(
            width,
            labels,
            dropout=dropout,
            hidden=hidden,
            pool=pool,
            layers=layers,
            pooling=pooling,
        )
        self.register_buffer("numbers", torch.tensor([float(label) for label in labels]))

    numbers: Tensor

    def compared(self, first: Tensor, second: Tensor) -> Tensor:
        """The absolute difference: order does not matter."""
        return (first - second).abs()

    def loss(self, output: HeadOutput, gold: Mapping[str, Tensor]) -> Tensor:
        """Divergence of the prediction from gold's two neighbouring whole numbers, summed."""
        scores = full_precision(output.scores["labels"])
        known = ~gold["numbers"].isnan()
        target = self.target(gold["numbers"][known].to(scores.dtype))
        return F.kl_div(scores[known].log_softmax(-1), target, reduction="sum")

    def target(self, numbers: Tensor) -> Tensor:
        """(pairs,) to (pairs, labels): mass on the whole numbers around each, whose mean it is."""
        distance = (numbers[:, None] - self.numbers.to(numbers.dtype)).abs()
        return (1 - distance).clamp(min=0)

    def decode(self, output: HeadOutput) -> list[Any]:
        """The mean of the softmax over the whole numbers."""
        probabilities = full_precision(output.scores["labels"]).softmax(-1)
        return (probabilities @ self.numbers.to(probabilities.dtype)).tolist()

    probable = False

    def confidence(self, output: HeadOutput, decoded: Sequence[Any]) -> None:
        """None: a mean has no probability."""
