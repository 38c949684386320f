"""A label for two sentences in their order, such as entailment.

Source: Hashimoto et al. 2017 (A Joint Many-Task Model), section 2.6: the signed difference, since
direction matters, beside the product, and the mean vector of the labels of relatedness by how
probable they are; three maxout layers. Units: nats, summed over labelled pairs.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from torch import Tensor

from hiermtl.heads.pairs import PairHead
from hiermtl.heads.text_classification import chosen, label_loss
from hiermtl.records import HeadOutput


class PairClassificationHead(PairHead):
    """A label for two sentences in their order."""

    kind = "pair_classification"
    layer = "label"

    def __init__(
        self,
        width: int,
        labels: Sequence[str],
        *,
        dropout: float = 0.2,
        hidden: int = 100,
        pool: int = 4,
        layers: int = 3,
        pooling: str = "max",
        reads: Mapping[str, int] = MappingProxyType({}),
        label_width: int = 100,
    ) -> None:
        """Takes the width of the states and the labels; three maxout layers, as in the paper."""
        super().__init__(
            width,
            labels,
            dropout=dropout,
            hidden=hidden,
            pool=pool,
            layers=layers,
            pooling=pooling,
            reads=reads,
            label_width=label_width,
        )
        self._options |= {"reads": dict(reads), "label_width": label_width}

    def compared(self, first: Tensor, second: Tensor) -> Tensor:
        """The signed difference: which sentence is the first matters."""
        return first - second

    def loss(self, output: HeadOutput, gold: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy, summed over labelled pairs."""
        return label_loss(output, gold)

    def decode(self, output: HeadOutput) -> list[Any]:
        """The best label of each pair."""
        return output.scores["labels"].argmax(-1).tolist()

    def confidence(self, output: HeadOutput, decoded: Sequence[Any]) -> Tensor:
        """(pairs,): the probability of the label that was chosen."""
        return chosen(self.probabilities(output), decoded)
