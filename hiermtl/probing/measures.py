"""How well labels are read, what guessing would give, and a score that needs no probe."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hiermtl.metrics.spans import SpanF1
from hiermtl.seeding import derived_seed

LEAST = 10
"""Items that a class must have to count in `variability`."""


def accuracy(gold: np.ndarray, read: np.ndarray) -> np.ndarray:
    """(probes, seeds): the share of items (last axis) that are read right, 0 to 100."""
    return 100 * (read == gold).mean(-1)


def micro_f1(gold: np.ndarray, read: np.ndarray, *, none: int) -> np.ndarray:
    """(probes, seeds): F1 over items that are not `none`, 0 to 100."""
    right = ((read == gold) & (gold != none)).sum(-1)
    whole = (gold != none).sum(-1) + (read != none).sum(-1)
    return 100 * 2 * right / np.maximum(whole, 1)


def span_f1(
    gold: np.ndarray, read: np.ndarray, owners: np.ndarray, *, labels: Sequence[str]
) -> np.ndarray:
    """(probes, seeds): F1 of the spans of IOB2 tags, 0 to 100, as `hiermtl evaluate` counts it."""
    ends = np.flatnonzero(np.diff(owners)) + 1
    names = np.array(labels, dtype=object)

    def sentences(ids: np.ndarray) -> list[list[str]]:
        return [part.tolist() for part in np.split(names[ids], ends)]

    metric, right = SpanF1(), sentences(gold)
    found = [
        metric.score(metric.count(right, sentences(one)).sum(0))["f1"]
        for one in read.reshape(-1, read.shape[-1])
    ]
    return np.array(found).reshape(read.shape[:-1])


def correlation(gold: np.ndarray, read: np.ndarray) -> np.ndarray:
    """(probes, seeds): Pearson's correlation, -1 to 1; 0 where one of the two does not vary."""
    left, right = gold - gold.mean(), read - read.mean(-1, keepdims=True)
    scale = np.sqrt((left**2).sum() * (right**2).sum(-1))
    return np.where(scale > 0, (left * right).sum(-1) / np.where(scale > 0, scale, 1), 0.0)


def variability(states: Tensor, ends: np.ndarray, gold: np.ndarray) -> list[float] | None:
    """How much items of one label vary against how much labels differ, at each depth; low is apart.

    Source: Xie et al. 2022 (Hidden State Variability of Pretrained Language Models Can Guide
    Computation Reduction for Transfer Learning), equation 3: trace(W B^+) / labels, where W is the
    mean over labels of the covariance within one, B that of the labels' means, B^+ its
    pseudo-inverse. Departs: items are words, or the ends of what is to be read one after the other,
    not means over sentences; labels with fewer than `LEAST` items are left out. Shapes: states
    (depths, rows, width) as the encoder gives them, ends (items, ends) rows, -1 for 0. `None` with
    fewer than two labels.
    """
    names, sizes = np.unique(gold, return_counts=True)
    names = names[sizes >= LEAST]
    if len(names) < 2:
        return None
    groups = [torch.from_numpy(ends[gold == name]).to(states.device) for name in names]
    found = []
    for depth in states:
        rows = torch.cat([depth, depth.new_zeros(1, depth.shape[1])]).double()
        parts = [rows[places].flatten(1) for places in groups]
        means = torch.stack([part.mean(0) for part in parts])
        # B = M'M / labels, so that B^+ is made of the singular values of M.
        _, values, axes = torch.linalg.svd(means - means.mean(0), full_matrices=False)
        kept = values > values.max() * 1e-6
        along = axes[kept]
        spreads = [(part @ along.T).var(0, correction=0) for part in parts]
        ratio = torch.stack(spreads).mean(0) * len(names) / values[kept] ** 2
        found.append(float(ratio.sum() / len(names)))
    return found


def control_labels(keys: np.ndarray, gold: np.ndarray, *, labels: int) -> np.ndarray:
    """A label drawn for each kind of word, as often as training has it: (items,).

    Source: Hewitt and Liang 2019 (Designing and Interpreting Probes with Control Tasks), section 2:
    what a probe learns of such labels it has learnt by heart. Shapes: keys (items,) the same for
    the same word; gold those of training.
    """
    mixed = keys.astype(np.uint64) ^ np.uint64(derived_seed(0, "control") & (2**63 - 1))
    for shift in (33, 29, 32):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(0xFF51AFD7ED558CCD)
    share = (mixed >> np.uint64(11)) / 2.0**53
    ends = np.cumsum(np.bincount(gold, minlength=labels)) / len(gold)
    return np.searchsorted(ends, share, side="right").clip(max=labels - 1)
