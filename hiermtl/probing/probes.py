"""Linear probes of all depths, all mixes of depths and all seeds, trained as one computation.

Source: Tenney et al. 2019 (BERT Rediscovers the Classical NLP Pipeline), section 3: a probe reads
one depth, or the mix sum over k from 0 to l of softmax(a)_k h_k, whose weights it learns. Departs:
probes are linear, so that what they find is there to be read, and not made by them; states are
brought to mean 0 and variance 1 at each depth and place, so that mixes compare depths and one rate
fits all; the mix has no factor, which a linear probe has already. Heads of trees are found by a
bilinear form of low rank, one vector for the root.
Shapes: states (depths, rows, width); masks (probes, depths) which depths each probe may read;
weights (probes, seeds, ...). No two probes share a number, and the optimizer treats each number by
itself, so that many trained together are what each would be alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiermtl.probing.items import Arcs, Items
from hiermtl.records import MISSING
from hiermtl.seeding import derived_seed

SHARE = 0.8
"""The share of training sentences that each seed draws for itself."""

FEWEST = 100
"""Steps that probes of few items have too."""

CHUNK = 256
"""Items that are labelled at once."""

Combine = Literal["ends", "pair"]
"""What a probe reads of an item: the states of its ends one after the other, or of two texts u and
v what Conneau et al. 2017 read: u, v, |u - v| and their product."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long every probe is trained: steps, of `batch` items each, fewer for few items.

    An item is seen about `passes` times at most, but for few items more often: there are `FEWEST`
    steps, or `steps` if those are fewer, however few items there are. The rate falls evenly to 0.
    """

    steps: int = 400
    batch: int = 64
    passes: int = 20
    lr: float = 5e-3
    lr_mix: float = 5e-2
    weight_decay: float = 0.1

    def for_items(self, items: int) -> int:
        """How many steps there are for so many items."""
        return min(self.steps, max(FEWEST, self.passes * items // self.batch))


BUDGET = Budget()


def single(depths: int) -> Tensor:
    """(depths, depths) masks of probes that read one depth each."""
    return torch.eye(depths, dtype=torch.bool)


def cumulative(depths: int) -> Tensor:
    """(depths - 1, depths) masks of probes that read mixes up to depth 1, 2, and so on."""
    return torch.ones(depths, depths, dtype=torch.bool).tril()[1:]


def standardised(train: Tensor, *others: Tensor) -> list[Tensor]:
    """States with mean 0 and variance 1 in train, (depths, rows, width), one row of 0 behind.

    What does not vary becomes 0.
    """
    mean = train.mean(1, keepdim=True)
    deviation = train.std(1, keepdim=True, correction=0)
    scale = torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), 0.0)
    return [F.pad((values - mean) * scale, (0, 0, 0, 1)) for values in (train, *others)]


class Probes(nn.Module, ABC):
    """Probes with one mix each, of one depth where the mask says so."""

    masks: Tensor

    def __init__(self, masks: Tensor, seeds: int) -> None:
        super().__init__()
        self.register_buffer("masks", masks)
        self._alone = bool((masks.sum(1) == 1).all())
        self.mix_weights = nn.Parameter(torch.zeros(len(masks), seeds, masks.shape[1]))

    @property
    def seeds(self) -> int:
        """How many probes there are for each mask."""
        return self.mix_weights.shape[1]

    def shares(self) -> Tensor:
        """(probes, seeds, depths): the mixes, each adding up to 1."""
        return self.mix_weights.masked_fill(~self.masks[:, None], -torch.inf).softmax(-1)

    def centres(self) -> Tensor:
        """(probes, seeds): the mixes' centres of gravity, sum over k of k softmax(a)_k."""
        shares = self.shares()
        return (shares * torch.arange(shares.shape[2], device=shares.device)).sum(-1)

    def mixed(self, states: Tensor) -> Tensor:
        """(depths, seeds or 1, ..., width) to (probes, seeds, ..., width)."""
        if states.shape[1] == 1:
            states = states.expand(-1, self.seeds, *states.shape[2:])
        if self._alone:
            return states[self.masks.int().argmax(1)]
        return torch.einsum("psd,ds...->ps...", self.shares(), states)

    @abstractmethod
    def features(self) -> Sequence[nn.Parameter]:
        """Its parameters but the mixes."""

    def optimizer(self, budget: Budget) -> torch.optim.Optimizer:
        """AdamW, which moves each number by itself."""
        own = {"lr": budget.lr, "weight_decay": budget.weight_decay}
        mix = {"lr": budget.lr_mix, "weight_decay": 0.0}
        return torch.optim.AdamW(
            [{"params": list(self.features()), **own}, {"params": [self.mix_weights], **mix}]
        )


class LabelProbes(Probes):
    """A linear layer each, from what is read of an item to scores of labels; weights start at 0."""

    def __init__(
        self,
        masks: Tensor,
        seeds: int,
        *,
        inputs: int,
        labels: int | None,
        combine: Combine = "ends",
    ) -> None:
        """Takes how many numbers are read of an item, and how many labels there are.

        Without labels a number is read.
        """
        super().__init__(masks, seeds)
        self.combine: Combine = combine
        self.labels = labels
        self.weight = nn.Parameter(torch.zeros(len(masks), seeds, inputs, labels or 1))
        self.bias = nn.Parameter(torch.zeros(len(masks), seeds, 1, labels or 1))

    @torch.no_grad()
    def start_at(self, gold: np.ndarray) -> None:
        """Makes each label as probable as it is frequent; label ids (items,)."""
        counts = np.bincount(gold, minlength=self.bias.shape[3])
        self.bias.copy_(torch.from_numpy(np.log((counts + 0.5) / (len(gold) + 0.5))))

    def features(self) -> Sequence[nn.Parameter]:
        """As `Probes.features`."""
        return [self.weight, self.bias]

    def forward(self, states: Tensor) -> Tensor:
        """(depths, seeds or 1, items, ends, width) to (probes, seeds, items, labels)."""
        mixed = self.mixed(states)
        if self.combine == "pair":
            first, second = mixed.unbind(3)
            parts = [first, second, (first - second).abs(), first * second]
            mixed = torch.stack(parts, 3)
        return mixed.flatten(3) @ self.weight + self.bias


class ArcProbes(Probes):
    """A bilinear form each: how well each word, or the root, fits as the head of each word."""

    rank: ClassVar[int] = 32

    def __init__(self, masks: Tensor, seeds: Sequence[int], *, width: int) -> None:
        """Takes the width of states, and seeds to start from."""
        super().__init__(masks, len(seeds))
        seeds_of_torch = [torch.Generator().manual_seed(derived_seed(s, "arcs")) for s in seeds]
        starts = [torch.randn(2, width, self.rank, generator=own) for own in seeds_of_torch]
        # All depths start alike: what differs between them are states.
        wide = torch.stack(starts, 1)[:, None].expand(-1, len(masks), -1, -1, -1) / width**0.5
        self.dependent, self.head = (nn.Parameter(start.clone()) for start in wide)
        shape = (len(masks), len(seeds), 1, 1, self.rank)
        self.prior, self.root = (nn.Parameter(torch.zeros(shape)) for _ in range(2))

    def features(self) -> Sequence[nn.Parameter]:
        """As `Probes.features`."""
        return [self.dependent, self.head, self.prior, self.root]

    def forward(self, states: Tensor, there: Tensor) -> Tensor:
        """(depths, seeds or 1, sentences, words, width) to scores, heads last, the root first.

        Shapes: there (seeds or 1, sentences, words) which words there are; returns (probes, seeds,
        sentences, words, 1 + words).
        """
        mixed = self.mixed(states)
        dependents = mixed @ self.dependent[:, :, None] + self.prior
        heads = mixed @ self.head[:, :, None]
        heads = torch.cat([self.root.expand(*heads.shape[:3], 1, -1), heads], 3)
        scores = dependents @ heads.transpose(3, 4) / self.rank**0.5
        allowed = F.pad(there, (1, 0), value=True)[:, :, None]
        return scores.masked_fill(~allowed, -torch.inf)


def train_labels(
    states: Tensor,
    items: Items,
    masks: Tensor,
    *,
    labels: int | None,
    seeds: Sequence[int],
    combine: Combine = "ends",
    budget: Budget = BUDGET,
) -> LabelProbes:
    """Probes of labels, or of numbers where there are no labels.

    Shapes: states (depths, 1 + rows, width) as `standardised` gives them. Each seed draws the
    sentences it learns from, and their order.
    """
    ends, width = items.ends.shape[1], states.shape[2]
    inputs = width * (4 if combine == "pair" else ends)
    probes = LabelProbes(masks, len(seeds), inputs=inputs, labels=labels, combine=combine)
    probes.to(states.device)
    place = _placer(states.device)
    if labels is not None:
        probes.start_at(items.gold)
    drawn = [_own(items.owners, seed) for seed in seeds]
    steps = budget.for_items(round(SHARE * len(items)))
    for chosen, optimizer in _steps(probes, drawn, steps, budget.batch, seeds=seeds, budget=budget):
        scores = probes(states[:, place(items.ends[chosen])])
        gold = place(items.gold[chosen])
        if labels is None:
            errors = (scores[..., 0] - gold.to(scores)) ** 2
        else:
            wide = gold.expand(len(masks), *gold.shape)
            errors = F.cross_entropy(scores.flatten(0, 2), wide.flatten(), reduction="none")
        # A mean over its own batch for each probe, and the sum over probes, which meet nowhere.
        _move(errors.sum() / budget.batch, optimizer)
    return probes


@torch.no_grad()
def read_labels(probes: LabelProbes, states: Tensor, ends: np.ndarray) -> Tensor:
    """(probes, seeds, items): the label ids, or the numbers, that are read at these ends."""
    place = _placer(states.device)
    found = []
    for first in range(0, len(ends), CHUNK):
        scores = probes(states[:, None, place(ends[first : first + CHUNK])])
        found.append(scores[..., 0] if probes.labels is None else scores.argmax(3))
    return torch.cat(found, 2)


def train_arcs(
    states: Tensor,
    arcs: Arcs,
    masks: Tensor,
    *,
    seeds: Sequence[int],
    batch: int = 8,
    budget: Budget = BUDGET,
) -> ArcProbes:
    """Probes of heads; `batch` are sentences."""
    probes = ArcProbes(masks, seeds, width=states.shape[2]).to(states.device)
    place = _placer(states.device)
    drawn = [_own(arcs.owners, seed) for seed in seeds]
    steps = replace(budget, batch=batch).for_items(round(SHARE * len(arcs.counts)))
    for chosen, optimizer in _steps(probes, drawn, steps, batch, seeds=seeds, budget=budget):
        rows, there, gold = padded(arcs, chosen)
        scores = probes(states[:, place(rows)], place(there))
        wide = place(gold).expand(len(masks), *gold.shape).flatten()
        words = place(there & (gold != MISSING)).sum((1, 2))
        errors = F.cross_entropy(
            scores.flatten(0, 3), wide, reduction="none", ignore_index=MISSING
        ).view(len(masks), len(seeds), -1)
        _move((errors.sum(2) / words.clamp(min=1)).sum(), optimizer)
    return probes


@torch.no_grad()
def read_arcs(probes: ArcProbes, states: Tensor, arcs: Arcs, *, batch: int = 8) -> Tensor:
    """(probes, seeds, rows): the head that is read for each word of these sentences, else -1.

    Counted from 1 within the sentence, 0 is the root.
    """
    place = _placer(states.device)
    rows_there = states.shape[1] - 1
    found = torch.full((len(probes.masks), probes.seeds, rows_there), -1, device=states.device)
    order = np.argsort(arcs.counts, kind="stable")
    for first in range(0, len(order), batch):
        rows, there, _ = padded(arcs, order[None, first : first + batch])
        best = probes(states[:, place(rows)], place(there)).argmax(4)
        found[:, :, place(rows[there])] = best[:, :, place(there[0])]
    return found


def padded(arcs: Arcs, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, which of them there are, and heads, (seeds, sentences, words) each.

    Rows that are not there are -1. Shapes: chosen (seeds, sentences).
    """
    counts = arcs.counts[chosen]
    within = np.arange(counts.max(initial=1))
    there = within < counts[..., None]
    rows = np.where(there, arcs.starts[chosen][..., None] + within, -1)
    return rows, there, np.where(there, arcs.heads[rows], MISSING)


def _own(owners: np.ndarray, seed: int) -> np.ndarray:
    """Places of the items of the sentences that a seed learns from."""
    every = np.unique(owners)
    random = np.random.default_rng(derived_seed(seed, "probe", "sentences"))
    kept = random.permutation(every)[: max(1, round(SHARE * len(every)))]
    return np.flatnonzero(np.isin(owners, kept))


def _steps(
    probes: Probes,
    drawn: Sequence[np.ndarray],
    steps: int,
    batch: int,
    *,
    seeds: Sequence[int],
    budget: Budget,
) -> Iterator[tuple[np.ndarray, torch.optim.Optimizer]]:
    """For each step what each seed sees, (seeds, batch), and what moves the probes."""
    orders = []
    for places, seed in zip(drawn, seeds, strict=True):
        random = np.random.default_rng(derived_seed(seed, "probe", "order"))
        rounds = -(-steps * batch // len(places))
        order = np.concatenate([random.permutation(places) for _ in range(rounds)])
        orders.append(order[: steps * batch].reshape(steps, batch))
    optimizer = probes.optimizer(budget)
    rates = [group["lr"] for group in optimizer.param_groups]
    for step, chosen in enumerate(np.stack(orders, 1)):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (1 - step / steps)
        yield chosen, optimizer


def _move(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _placer(device: torch.device) -> Callable[[np.ndarray], Tensor]:
    """What puts an array on a device."""
    return lambda array: torch.from_numpy(np.ascontiguousarray(array)).to(device)
