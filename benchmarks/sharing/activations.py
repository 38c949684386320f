"""Bytes that a pass keeps for the way back, by formula, on a processor and in flat batches.

What is counted is what autograd saves, each storage once, without weights. U units of states with
R of them real, in rows of which N is the sum of squared lengths; u of the units stand in rows
beside which no other of their length stands, and are not copied for their products. W words in S
sentences, the longest of M. States are fp32; products in bf16 autocast keep their inputs, and their
weights, in bf16. LSTMs are oneDNN's, whose working space was measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.sharing.formulas import Bilstm, Case, Transformer, case_of, sluice
from hiermtl.records import Batch, recurring

INDEX = 8


@dataclass(frozen=True, slots=True)
class Facts:
    """The sizes of a batch, see above; `ngrams` of all its words, for a BiLSTM."""

    units: int
    real: int
    pairs: int
    alone: int
    words: int
    sentences: int
    longest: int
    steps: int
    rows: int
    ngrams: int

    @classmethod
    def of(cls, batch: Batch) -> "Facts":
        """Of a batch whose sentences are all asked all tasks."""
        layout = batch.layout
        lengths = layout.row_lengths.astype(np.int64)
        edges = np.flatnonzero(np.diff(lengths)) + 1
        runs = np.diff([0, *edges, len(lengths)])
        firsts = lengths[[0, *edges]]
        ngrams = batch.inputs.get("ngrams", ())
        return cls(
            layout.units,
            int(lengths.sum()),
            int((lengths**2).sum()),
            int(firsts[runs == 1].sum()),
            layout.words,
            layout.sentences,
            int(layout.word_counts.max()),
            recurring(int(lengths.max()), steps=8, grain=1),
            recurring(layout.rows, steps=4, grain=1),
            len(ngrams),
        )


def kept(config: Any, facts: Facts, *, half: bool) -> int:
    """Bytes of a model's pass in training, with products in bf16 or in fp32."""
    case, shape = case_of(config)
    encoder, number = case.encoder, 2 if half else 4
    if isinstance(encoder, Transformer):
        total = shape.copies[0] * _embedded(encoder, facts) + INDEX * 3 * facts.units
    else:
        total = shape.copies[0] * _looked_up(encoder, facts) + INDEX * (
            2 * facts.units + 2 * facts.steps * facts.rows
        )
    for depth in range(1, case.top + 1):
        copies, extra = shape.copies[depth], shape.extra.get(depth, 0)
        if isinstance(encoder, Transformer):
            total += copies * _block(encoder, facts, extra=extra, half=half)
            # Branches that read the same states keep them together; what is added is each one's.
            own = copies if extra else min(copies, shape.copies[depth - 1])
            total += 0 if half else own * 4 * facts.units * encoder.width
        else:
            total += copies * _layer(encoder, facts, depth=depth, extra=extra, half=half)
    for depth in shape.mixed:
        total += shape.copies[depth] * 4 * facts.units * encoder.widths[depth]
    for name, task in case.tasks.items():
        read = shape.head_width or encoder.widths[task["depth"]]
        states = 4 if isinstance(encoder, Transformer) and shape.head_width is None else number
        total += _head(case, name, facts, width=read, states=states, half=half)
    return total + _of_scheme(case, facts, half=half)


def _embedded(encoder: Transformer, facts: Facts) -> int:
    """What the norm reads, its two numbers a unit, and the mask of dropout."""
    return facts.units * (2 * 4 * encoder.width + 2 * 4)


def _looked_up(encoder: Bilstm, facts: Facts) -> int:
    """Numbers of n-grams and units, and the mask of dropout."""
    return INDEX * (2 * facts.ngrams + 4 * facts.units) + 4 * facts.units * encoder.widths[0]


def _block(encoder: Transformer, facts: Facts, *, extra: int, half: bool) -> int:
    """A block of a transformer, without the states it reads in fp32."""
    w, f, u = encoder.width, encoder.inner, facts.units
    # Queries, keys and values row by row, and scores, their dropout and both together.
    copied = 3 * facts.real - 2 * facts.alone + (2 * u if facts.alone else 0)
    total = 4 * (w * copied + 3 * encoder.attention * facts.pairs)
    # Both norms: what they read, and two numbers a unit.
    total += 2 * (4 * w + 2 * 4) * u
    if half:
        # Inputs of six products, the inner states before and after, two masks; and weights.
        total += 2 * u * (3 * w + w + w + 2 * f + 2 * w) + 2 * (4 * w * w + 2 * w * f)
        return total + 2 * extra * (u + w)
    return total + 4 * u * (w + w + 2 * f + 2 * w) + 4 * extra * u


def _layer(encoder: Bilstm, facts: Facts, *, depth: int, extra: int, half: bool) -> int:
    """A layer of a BiLSTM: the mask, and for each direction what is read, made and worked with."""
    h, reads = encoder.hidden, encoder.widths[depth - 1] + extra
    slots, longer = facts.steps * facts.rows, (facts.steps + 1) * facts.rows
    number = 2 if half else 4
    mask = 2 if half and depth > 1 and not extra else 4
    most = max(reads, h)
    space = longer * (20 * most + 16 * h) if half else longer * (24 * most + 22 * h)
    space += number * 4 * h * slots
    own = space + number * (slots * (reads + h) + 4 * facts.rows * h)
    if half:
        own += 2 * 4 * h * (reads + h + 2)
    return mask * facts.units * reads + 2 * own


def _head(case: Case, name: str, facts: Facts, *, width: int, states: int, half: bool) -> int:
    """A head and its loss; `states` are the bytes of a number it reads."""
    task = case.tasks[name]
    labels, words, number = len(task["labels"]), facts.words, 2 if half else 4
    even = recurring(words, steps=4)
    if task["head"] == "biaffine":
        return _tree(task, facts, width=width, half=half)
    scored = states * words * width + number * even * width + (2 * labels * width if half else 0)
    if task["head"] == "tagging":
        return scored + 4 * words * labels + 2 * INDEX * words
    padded = facts.sentences * facts.longest
    return scored + 4 * labels * (padded + even) + INDEX * (2 * padded + words)


def _tree(task: Mapping[str, Any], facts: Facts, *, width: int, half: bool) -> int:
    """The biaffine head: four projections, products of arcs, products of labels."""
    options, labels = task.get("options", {}), len(task["labels"])
    a, l = options.get("arc_width", 400), options.get("label_width", 100)  # noqa: E741
    words, number, parts = facts.words, 2 if half else 4, 2 * (a + l)
    even = recurring(words, steps=4)
    total = number * recurring(words + 1, steps=4) * (width + parts)
    total += 2 * number * (words + 1) * parts
    total += number * even * (a + a + 1 + (2 + labels) * (l + 1))
    square = recurring(facts.sentences, 4, 1) * recurring(facts.longest + 1, 4, 1)
    total += 2 * number * square * a
    total += (4 + 1) * facts.sentences * facts.longest * (facts.longest + 1) + 4 * words * labels
    if half:
        total += 2 * (parts * width + (a + 1) * a + (l + 1) ** 2 * labels)
    return total


def _of_scheme(case: Case, facts: Facts, *, half: bool) -> int:
    """What is kept for the scheme's own numbers."""
    name, encoder = case.options["name"], case.encoder
    words, number = facts.words, 2 if half else 4
    plain = isinstance(encoder, Transformer)
    width = encoder.widths[case.top]
    reads = sum(case.depths.values())
    if name == "sluice":
        return 4 * reads * words * width + _overlaps(case)
    if name == "learned":
        # Those in bf16 are widened for each task.
        return 4 * words * width * (reads if half and not plain else case.top)
    if name == "relationship":
        return _layers(case, facts, half=half)
    if name == "joint_many":
        fed = [n for n in case.tasks if case.depths[n] < case.top]
        labels = sum(len(case.tasks[n]["labels"]) for n in fed)
        return number * words * labels
    return 0


def _overlaps(case: Case) -> int:
    """The product of each two parts of what blocks write, where it is mixed."""
    shape, parts = sluice(case), case.options.get("subspaces", 2)
    total = 0
    for depth in shape.mixed:
        times, kinds = case.encoder.writes(depth)
        for rows, _ in kinds:
            total += shape.copies[depth] * times * (parts * (parts - 1) // 2) * (rows // parts) ** 2
    return 4 * total


def _layers(case: Case, facts: Facts, *, half: bool) -> int:
    """What the tasks' layers read and make; and the prior, over the whole stack of layers."""
    units, words, tasks = case.options.get("units", 128), facts.words, len(case.tasks)
    encoder, number = case.encoder, 2 if half else 4
    width = encoder.widths[case.top]
    wide = half and isinstance(encoder, Transformer)
    total = number * words * width * (tasks if wide else len(set(case.depths.values())))
    total += number * words * units * tasks + (2 * units * width * tasks if half else 0)
    return total + 4 * (2 * width * units * tasks + width**2 + units**2 + tasks**2)
