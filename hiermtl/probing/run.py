"""One task through all probes: from states to its curve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hiermtl.probing.items import Arcs, Items, found_items, group_items, tree_items, word_items
from hiermtl.probing.measures import (
    accuracy,
    control_labels,
    correlation,
    micro_f1,
    span_f1,
    variability,
)
from hiermtl.probing.probes import (
    BUDGET,
    Budget,
    Combine,
    Probes,
    cumulative,
    read_arcs,
    read_labels,
    single,
    standardised,
    train_arcs,
    train_labels,
)
from hiermtl.probing.results import Curve
from hiermtl.probing.states import States

LAYERS = ("tags", "edits", "tree", "spans", "frames", "relations", "label", "number")
"""Kinds of annotation (`Head.layer`) that there are probes for."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task to be probed.

    `layer` is the kind of its annotation, `labels` its inventory, `bio` whether its tags are IOB2.
    """

    task: str
    layer: str
    labels: tuple[str, ...]
    bio: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class _Read:
    """What is read of one split: items with their states, and sentences where heads are found."""

    items: Items
    arcs: Arcs | None = None


def probe_task(
    wanted: Wanted,
    train: States,
    dev: States | None,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    mixes: bool = True,
    control: bool = True,
    budget: Budget = BUDGET,
) -> Curve | None:
    """The scores of probes of a task at each depth, for each seed.

    Args:
        wanted: The task.
        train: What probes learn from.
        dev: What they are scored on. Without it, every fifth sentence (text, pair) of `train`.
        seeds: Each draws its own four fifths of the training sentences, and their order.
        mixes: Whether probes that mix depths are trained too, for centre and expected layer.
        control: Whether probes of control labels are, for tasks that label words.
        budget: How long they are trained.

    `None` where there is nothing to learn from, or to score.
    """
    learnt = _read(wanted, train)
    if dev is None:
        held = np.arange(int(learnt.items.owners.max(initial=0)) + 1) % 5 == 4
        scored, dev = _Read(learnt.items.of(held), learnt.arcs and learnt.arcs.of(held)), train
        learnt = _Read(learnt.items.of(~held), learnt.arcs and learnt.arcs.of(~held))
    else:
        scored = _read(wanted, dev)
    if not len(learnt.items) or not len(scored.items):
        return None
    grouped = wanted.layer in ("label", "number")
    raw, other = (s.pooled() if grouped else s.values for s in (train, dev))
    varied = None
    if wanted.layer != "number":
        varied = variability(raw, learnt.items.ends, learnt.items.gold)
    states = standardised(raw, other)
    judge = _tree if wanted.layer == "tree" else _labelled
    options: dict[str, Any] = {"seeds": seeds, "budget": budget}
    masks = single(train.depths).to(raw.device)
    scores, _ = judge(wanted, learnt, scored, states, masks, **options)
    found: dict[str, Any] = {}
    if mixes and train.depths > 1:
        masks = cumulative(train.depths).to(raw.device)
        mixed, probes = judge(wanted, learnt, scored, states, masks, **options)
        centres = torch.stack([one.centres()[-1] for one in probes]).mean(0)
        found = {"mixes": _rows([scores[0], *mixed]), "centres": tuple(centres.tolist())}
    if control and wanted.layer in ("tags", "edits") and not wanted.bio:
        keys = train.keys, dev.keys
        found["control"] = _rows(_control(wanted, learnt, scored, states, keys, **options))
    metric = _metric(wanted)
    count = len(scored.items)
    top = float(scores[1:].mean(1).max())
    share = min(max(top / 100, 0.0), 1.0)
    chance = 1 / sqrt(count) if metric == "pearson" else 100 * sqrt(share * (1 - share) / count)
    return Curve(
        wanted.task,
        metric,
        _rows(scores),
        _baseline(wanted, learnt, scored),
        chance,
        train_items=len(learnt.items),
        items=count,
        variability=tuple(varied or ()),
        **found,
    )


def _rows(scores: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(one) for one in own) for own in scores)


def _metric(wanted: Wanted) -> str:
    if wanted.layer in ("spans", "frames", "relations") or wanted.bio:
        return "f1"
    return {"tree": "las", "number": "pearson"}.get(wanted.layer, "accuracy")


def _read(wanted: Wanted, states: States) -> _Read:
    task, layer = wanted.task, wanted.layer
    if layer in ("tags", "edits"):
        return _Read(word_items(states, task))
    if layer == "tree":
        return _Read(*tree_items(states, task))
    if layer in ("label", "number"):
        return _Read(group_items(states, task))
    return _Read(found_items(states, task, layer, wanted.labels))


def _labelled(
    wanted: Wanted,
    learnt: _Read,
    scored: _Read,
    states: Sequence[Tensor],
    masks: Tensor,
    *,
    seeds: Sequence[int],
    budget: Budget,
) -> tuple[np.ndarray, list[Probes]]:
    """(probes, seeds) scores, and the probes."""
    number = wanted.layer == "number"
    pair = learnt.items.ends.shape[1] == 2 and wanted.layer in ("label", "number")
    combine: Combine = "pair" if pair else "ends"
    items, gold = learnt.items, scored.items.gold
    if number:
        centred = (items.gold - items.gold.mean()) / max(float(items.gold.std()), 1e-6)
        items = Items(items.ends, centred, items.owners)
    kinds = None if number else len(wanted.labels) + (_metric(wanted) == "f1" and not wanted.bio)
    probes = train_labels(
        states[0], items, masks, labels=kinds, seeds=seeds, combine=combine, budget=budget
    )
    read = read_labels(probes, states[1], scored.items.ends).cpu().numpy()
    return _score_of(wanted, scored.items)(gold, read), [probes]


def _score_of(wanted: Wanted, items: Items) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    if wanted.bio:
        return lambda gold, read: span_f1(gold, read, items.owners, labels=wanted.labels)
    if _metric(wanted) == "f1":
        return lambda gold, read: micro_f1(gold, read, none=len(wanted.labels))
    return correlation if wanted.layer == "number" else accuracy


def _tree(
    wanted: Wanted,
    learnt: _Read,
    scored: _Read,
    states: Sequence[Tensor],
    masks: Tensor,
    *,
    seeds: Sequence[int],
    budget: Budget,
) -> tuple[np.ndarray, list[Probes]]:
    """A word is right if its head is found, and its relation is read beside its gold head."""
    assert learnt.arcs is not None
    assert scored.arcs is not None
    labels = train_labels(
        states[0], learnt.items, masks, labels=len(wanted.labels), seeds=seeds, budget=budget
    )
    arcs = train_arcs(states[0], learnt.arcs, masks, seeds=seeds, budget=budget)
    relations = read_labels(labels, states[1], scored.items.ends).cpu().numpy()
    words = scored.items.ends[:, 0]
    heads = read_arcs(arcs, states[1], scored.arcs).cpu().numpy()[..., words]
    gold_heads = scored.arcs.heads[words]
    right = (relations == scored.items.gold) & (heads == gold_heads)
    return 100 * right.mean(-1), [labels, arcs]


def _baseline(wanted: Wanted, learnt: _Read, scored: _Read) -> float:
    """What the most frequent answer of training scores, whatever the states.

    For trees it is a way to the head, by how many words it lies behind, with its relation.
    """
    gold = scored.items.gold
    if wanted.layer == "number":
        return 0.0
    if wanted.layer == "tree":
        ways = np.column_stack([_offsets(learnt.items), learnt.items.gold])
        names, counts = np.unique(ways, axis=0, return_counts=True)
        own = np.column_stack([_offsets(scored.items), gold])
        return float(100 * (own == names[counts.argmax()]).all(1).mean())
    known = learnt.items.gold[learnt.items.gold < len(wanted.labels)]
    if not len(known):
        return 0.0
    often = np.full((1, 1, len(gold)), np.bincount(known).argmax())
    return float(_score_of(wanted, scored.items)(gold, often)[0, 0])


def _offsets(items: Items) -> np.ndarray:
    """(items,): how far behind each word its head lies; 0 for the root."""
    word, head = items.ends.T
    return np.where(head < 0, 0, head - word)


def _control(
    wanted: Wanted,
    learnt: _Read,
    scored: _Read,
    states: Sequence[Tensor],
    keys: tuple[np.ndarray, np.ndarray],
    *,
    seeds: Sequence[int],
    budget: Budget,
) -> np.ndarray:
    """(depths, seeds): accuracy of labels that were drawn for each kind of word."""
    gold = [
        control_labels(own[part.items.ends[:, 0]], learnt.items.gold, labels=len(wanted.labels))
        for own, part in zip(keys, (learnt, scored), strict=True)
    ]
    items = Items(learnt.items.ends, gold[0], learnt.items.owners)
    masks = single(len(states[0])).to(states[0].device)
    probes = train_labels(
        states[0], items, masks, labels=len(wanted.labels), seeds=seeds, budget=budget
    )
    return accuracy(gold[1], read_labels(probes, states[1], scored.items.ends).cpu().numpy())
