"""How probable a head holds what it chose."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiermtl.heads import BiaffineHead, CrfHead, Head
from hiermtl.records import HeadOutput


def confidence(head: Head, output: HeadOutput, decoded: Sequence[Any]) -> np.ndarray | None:
    """(words,) probability of each word's label, 0 to 1, or of its head for a tree.

    Of a chain it is the posterior of the label under the chain, without the rules decoding keeps
    to; of an arc the softmax over candidate heads, without the demand that arcs form a tree. `None`
    for heads that have no probabilities.

    Shapes: `decoded` is what `head.decode(output)` gave.
    """
    if isinstance(head, BiaffineHead):
        chosen = torch.from_numpy(np.concatenate([heads for heads, _ in decoded]))
        return _take(_arc_probabilities(head, output), chosen)
    if isinstance(head, CrfHead):
        probabilities = head.marginals(output)
    else:
        try:
            probabilities = head.probabilities(output)
        except NotImplementedError:
            return None
    return _take(probabilities, torch.from_numpy(np.concatenate(decoded)))


def _arc_probabilities(head: BiaffineHead, output: HeadOutput) -> Tensor:
    """(words, longest + 1)."""
    scores = head.arc_scores(output)
    lengths = output.layout.tensor("word_counts")
    candidates = torch.arange(scores.shape[-1], device=scores.device)
    scores = scores.masked_fill(candidates > lengths[:, None, None], float("-inf"))
    own = torch.arange(1, scores.shape[-1], device=scores.device)[:, None] == candidates
    words = candidates[:-1] < lengths[:, None]
    return scores.masked_fill(own, float("-inf"))[words].softmax(-1)


def _take(probabilities: Tensor, chosen: Tensor) -> np.ndarray:
    places = chosen.to(probabilities.device)[:, None]
    return probabilities.gather(1, places).squeeze(-1).float().cpu().numpy()
