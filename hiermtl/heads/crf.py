"""One label per word, chosen together: a linear layer and a linear-chain conditional random field.

Source: Lafferty, McCallum and Pereira 2001; Lample et al. 2016 (Neural architectures for named
entity recognition), section 2.2, equation 1. Departs: illegal IOB2 steps are forbidden when
decoding; a word without gold is summed over, so that partly annotated sentences train (Tsuboi et
al. 2008, section 3). Shapes: states (words, width) to scores (words, labels). Units: nats, summed
over sentences.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hiermtl.dropout import Dropout
from hiermtl.heads.base import (
    Head,
    evened,
    in_order,
    in_parts,
    pad_words,
    split_by_sentence,
    taken,
)
from hiermtl.precision import full_precision
from hiermtl.records import MISSING, HeadOutput, Tap
from hiermtl.structures.constraints import bio_transitions
from hiermtl.structures.crf import log_partition, marginals, sequence_score, viterbi


class CrfHead(Head):
    """Labels of a sentence scored as a chain; Viterbi decoding."""

    kind = "crf"
    layer = "tags"

    def __init__(
        self, width: int, labels: Sequence[str], *, dropout: float = 0.1, bio: bool = True
    ) -> None:
        """Takes the width of the states and the label inventory.

        `bio` forbids illegal IOB2 steps when decoding.
        """
        super().__init__()
        self.labels = tuple(labels)
        self._options: dict[str, Any] = {"dropout": dropout, "bio": bio}
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(width, len(self.labels))
        self.transitions = nn.Parameter(torch.zeros(len(self.labels), len(self.labels)))
        self.start = nn.Parameter(torch.zeros(len(self.labels)))
        self.end = nn.Parameter(torch.zeros(len(self.labels)))
        self.bio = bio

    def forward(self, tap: Tap) -> dict[str, Tensor]:
        """`labels`: (words, labels) emissions."""
        return {"labels": self.output(evened(self.dropout(tap.values)))[: tap.values.shape[0]]}

    def loss(self, output: HeadOutput, gold: Mapping[str, Tensor]) -> Tensor:
        """Negative log-likelihood of the labelled words, summed over sentences."""
        emissions, lengths = pad_words(full_precision(output.scores["labels"]), output.layout)
        labels, _ = pad_words(gold["labels"].unsqueeze(-1), output.layout, fill=MISSING)
        labels = labels.squeeze(-1)
        chain = {"start": self.start, "end": self.end, "lengths": lengths}
        missing = (labels == MISSING) & (
            torch.arange(labels.shape[1], device=labels.device) < lengths[:, None]
        )
        partial = missing.any(-1)
        whole = ~partial
        total = emissions.new_zeros(())
        if whole.any():
            rows = slice(None) if whole.all() else whole.nonzero().squeeze(-1)
            chain["lengths"] = lengths[rows]
            free = log_partition(emissions[rows], self.transitions, **chain)
            gold_score = sequence_score(
                emissions[rows], labels[rows].clamp(min=0), transitions=self.transitions, **chain
            )
            total = total + (free - gold_score).sum()
        annotated = partial & (labels != MISSING).any(-1)
        if annotated.any():
            rows = annotated.nonzero().squeeze(-1)
            chain["lengths"] = lengths[rows]
            known = labels[rows].unsqueeze(-1)
            other = torch.arange(len(self.labels), device=labels.device) != known
            clamped = emissions[rows].masked_fill(other & (known != MISSING), float("-inf"))
            free = log_partition(emissions[rows], self.transitions, **chain)
            total = total + (free - log_partition(clamped, self.transitions, **chain)).sum()
        return total

    def decode(self, output: HeadOutput) -> list[Any]:
        """The best labelling of each sentence; with `bio`, the best legal one."""
        if not output.layout.words:
            return [np.zeros(0, dtype=np.int64) for _ in output.layout.word_counts]
        transitions, start = (full_precision(x.detach()) for x in (self.transitions, self.start))
        if self.bio:
            allowed, opening = bio_transitions(self.labels)
            transitions = transitions.masked_fill(~allowed.to(transitions.device), float("-inf"))
            start = start.masked_fill(~opening.to(start.device), float("-inf"))
        end = full_precision(self.end.detach())
        found = []
        for words, part in in_parts(output, width=len(self.labels)):
            emissions, lengths = pad_words(full_precision(part.scores["labels"]), part.layout)
            best = viterbi(emissions, transitions, start=start, end=end, lengths=lengths)
            there = torch.arange(best.shape[1], device=best.device) < lengths[:, None]
            found.append((words, best[there]))
        return split_by_sentence(in_order(found).cpu().numpy(), output.layout.word_counts)

    def probabilities(self, output: HeadOutput) -> Tensor:
        """Softmax of the emissions, without the chain.

        Differentiable, unlike the chain's marginals.
        """
        return output.scores["labels"].softmax(-1)

    def marginals(self, output: HeadOutput) -> Tensor:
        """(words, labels): posterior of each label under the chain; not differentiable."""
        found = []
        for words, part in in_parts(output, width=len(self.labels)):
            emissions, lengths = pad_words(full_precision(part.scores["labels"]), part.layout)
            chain = {"start": self.start, "end": self.end, "lengths": lengths}
            posterior = marginals(emissions, self.transitions, **chain)
            there = torch.arange(posterior.shape[1], device=posterior.device) < lengths[:, None]
            found.append((words, posterior[there]))
        return in_order(found)

    def confidence(self, output: HeadOutput, decoded: Sequence[Any]) -> Tensor:
        """(words,): posterior of each label under the chain, without the rules of decoding."""
        return taken(self.marginals(output), np.concatenate(decoded))

    def surest(self, output: HeadOutput) -> Tensor:
        """(words,): the largest posterior of each."""
        return self.marginals(output).amax(-1)

    def options(self) -> dict[str, Any]:
        """Dropout and whether decoding keeps to IOB2."""
        return self._options
