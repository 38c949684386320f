"""One label per text: the largest value of each state over its words, and a softmax.

Source: Collobert et al. 2011 (Natural Language Processing (Almost) from Scratch), section 3.3.2,
for the maximum over words. Departs: one linear layer. Shapes: states (words, width) to scores
(texts, labels). Units: nats, summed over labelled texts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiermtl.dropout import Dropout
from hiermtl.heads.base import Head, pad_words
from hiermtl.precision import full_precision
from hiermtl.records import MISSING, Groups, HeadOutput, Layout, Tap, placed


class TextHead(Head):
    """A label for a whole text."""

    kind = "text_classification"
    layer = "label"
    unit = "text"

    def __init__(self, width: int, labels: Sequence[str], *, dropout: float = 0.1) -> None:
        """Takes the width of the states and the labels."""
        super().__init__()
        self.labels = tuple(labels)
        self._options: dict[str, Any] = {"dropout": dropout}
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(width, len(self.labels))

    def forward(self, tap: Tap) -> dict[str, Tensor]:
        """`labels`: (texts, labels) unnormalised."""
        assert tap.groups is not None
        (vectors,) = vectors_of(tap.values, tap.layout, tap.groups, size=1)
        return {"labels": self.output(self.dropout(vectors))}

    def loss(self, output: HeadOutput, gold: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy, summed over labelled texts."""
        return label_loss(output, gold)

    def decode(self, output: HeadOutput) -> list[Any]:
        """The best label of each text."""
        return output.scores["labels"].argmax(-1).tolist()

    def probabilities(self, output: HeadOutput) -> Tensor:
        """Softmax of the scores."""
        return output.scores["labels"].softmax(-1)

    def confidence(self, output: HeadOutput, decoded: Sequence[Any]) -> Tensor:
        """(texts,): the probability of the label that was chosen."""
        return chosen(self.probabilities(output), decoded)

    def options(self) -> dict[str, Any]:
        """Dropout."""
        return self._options


def vectors_of(
    values: Tensor, layout: Layout, groups: Groups, *, size: int, pooling: str = "max"
) -> list[Tensor]:
    """For each place in groups of `size` sentences, (groups, width): its sentence's vector.

    That is the largest value over the sentence's words, number by number, or (`mean`) their mean.
    """
    if pooling == "mean":
        padded, lengths = pad_words(values, layout)
        sentences = padded.sum(1) / lengths.clamp(min=1).unsqueeze(1).to(padded.dtype)
    else:
        padded, _ = pad_words(values, layout, fill=float("-inf"))
        sentences = padded.amax(1)
    places = groups.members.reshape(-1, size)
    return [sentences.index_select(0, placed(column, values.device)) for column in places.T]


def label_loss(output: HeadOutput, gold: Mapping[str, Tensor]) -> Tensor:
    """Cross-entropy of one label per group, summed over those that have one."""
    scores = full_precision(output.scores["labels"])
    return F.cross_entropy(scores, gold["labels"], ignore_index=MISSING, reduction="sum")


def chosen(probabilities: Tensor, ids: Sequence[int]) -> Tensor:
    """(groups, labels) and each group's label to (groups,), fp32."""
    places = torch.tensor(list(ids), device=probabilities.device)[:, None]
    return probabilities.gather(1, places).squeeze(-1).float()
