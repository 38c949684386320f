"""What heads have in common that read the spans of another task.

In a share of the steps of training they read what that task predicts instead of gold, so that they
meet its errors: scheduled sampling (Bengio et al. 2015, Scheduled Sampling for Sequence Prediction
with Recurrent Neural Networks, section 2.4), with a share that grows linearly. Departs: it is drawn
for a step and not for each item, since what is predicted is decoded for a whole sentence.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hiermtl.dropout import Dropout
from hiermtl.heads.base import Head


class ReadingHead(Head):
    """A head over spans that another task finds."""

    probable = False
    reads_layer = "spans"

    def __init__(
        self,
        labels: Sequence[str],
        *,
        reads: Mapping[str, int],
        dropout: float,
        first_predicted: float,
        last_predicted: float,
        **own: float,
    ) -> None:
        """`reads` is the task whose spans are read, and how many labels it has.

        The share of steps in which its predictions are read while training goes from
        `first_predicted` to `last_predicted`. `own` are the head's further options.
        """
        super().__init__()
        self.labels = tuple(labels)
        ((self.read_task, self.kinds),) = reads.items()
        self.predicted = (first_predicted, last_predicted)
        self.dropout = Dropout(dropout)
        self._options: dict[str, Any] = {
            **own,
            "dropout": dropout,
            "first_predicted": first_predicted,
            "last_predicted": last_predicted,
            "reads": dict(reads),
        }

    def options(self) -> dict[str, Any]:
        """Its own, dropout, what is read and how often it is predicted."""
        return self._options
