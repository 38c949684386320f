"""States in which labels can be read from a depth on, and nothing of them below."""

import numpy as np
import torch

from hiermtl.probing.items import Arcs
from hiermtl.probing.probes import standardised
from hiermtl.probing.states import States
from hiermtl.records import Example

DEPTHS, WIDTH, LABELS = 5, 12, 3


def planted(
    seed: int,
    *,
    sentences: int = 120,
    readable_from: int = 2,
    shuffled: bool = False,
    noise: float = 0.3,
) -> States:
    """Noise at each depth; from `readable_from` on, each label adds a direction of its own."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(DEPTHS, LABELS, WIDTH))
    counts = random.integers(3, 9, size=sentences)
    starts = np.concatenate([[0], np.cumsum(counts)])
    gold = random.integers(LABELS, size=int(starts[-1]))
    values = random.normal(size=(DEPTHS, len(gold), WIDTH)) * noise
    for depth in range(readable_from, DEPTHS):
        values[depth] += directions[depth, gold]
    if shuffled:
        gold = random.permutation(gold)
    examples = [
        Example(
            np.zeros(count, dtype=np.int32),
            np.ones(count, dtype=np.int32),
            gold={"tag": {"labels": gold[start : start + count]}},
        )
        for start, count in zip(starts, counts, strict=False)
    ]
    keys = random.integers(40, size=len(gold))
    whole = torch.from_numpy(values).float()
    return States(whole, starts, keys, examples, (), np.arange(sentences))


def planted_trees(
    seed: int, *, sentences: int = 150, readable_from: int = 2
) -> tuple[torch.Tensor, Arcs]:
    """Chains whose words carry where they stand, from a depth on; the head is the word before."""
    random = np.random.default_rng(seed)
    counts = random.integers(3, 7, size=sentences)
    starts = np.cumsum(counts) - counts
    place = np.concatenate([np.arange(count) for count in counts])
    values = random.normal(size=(DEPTHS, len(place), WIDTH)) * 0.3
    for depth in range(readable_from, DEPTHS):
        values[depth, np.arange(len(place)), place] += 3.0
    (states,) = standardised(torch.from_numpy(values).float())
    return states, Arcs(starts, counts, place, np.arange(sentences))
