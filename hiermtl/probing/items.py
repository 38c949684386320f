"""What is read in states: the items of a task, each by the states of a few words.

Source: Tenney et al. 2019 (What do you learn from context? Probing for sentence structure in
contextualized word representations), section 2: a target is a span or two, of which a probe sees
the states and nothing around them. Departs: a span is seen by its first and its last word, one
after the other, instead of by attention over its words; beside each gold span there is one that is
none, of the same length and elsewhere, so that extents count; likewise for arguments of predicates,
and for ordered pairs of related spans.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hiermtl.probing.states import States
from hiermtl.records import MISSING
from hiermtl.seeding import derived_seed

NONE = "none"
"""The label of what is no item, behind the task's own."""

SENSE = "V:"
"""What the labels of predicates begin with (`hiermtl.corpus.items`)."""


@dataclass(frozen=True, eq=False, slots=True)
class Items:
    """What a probe learns to label.

    Shapes: ends (items, ends) rows of states, -1 for a word that is not there, of which the state
    is 0; gold (items,) label ids, or numbers; owners (items,) the sentence, or the group.
    """

    ends: np.ndarray
    gold: np.ndarray
    owners: np.ndarray

    def __len__(self) -> int:
        return len(self.gold)

    def of(self, owners: np.ndarray) -> "Items":
        """Those whose owner is in a mask, (owners,) bool."""
        kept = owners[self.owners]
        return Items(self.ends[kept], self.gold[kept], self.owners[kept])


@dataclass(frozen=True, eq=False, slots=True)
class Arcs:
    """Sentences whose words have heads.

    Shapes: starts, counts (sentences,) rows of their words; heads (rows,) the head of each word,
    from 1 within its sentence, 0 the root, `MISSING`; owners (sentences,).
    """

    starts: np.ndarray
    counts: np.ndarray
    heads: np.ndarray
    owners: np.ndarray

    def of(self, owners: np.ndarray) -> "Arcs":
        """Those whose owner is in a mask, (owners,) bool."""
        kept = owners[self.owners]
        return Arcs(self.starts[kept], self.counts[kept], self.heads, self.owners[kept])


def word_items(states: States, task: str) -> Items:
    """Each labelled word."""
    rows, gold, owners = [], [], []
    for number, example in enumerate(states.examples):
        if task in example.gold:
            labels = example.gold[task]["labels"]
            there = np.flatnonzero(labels != MISSING)
            rows.append(states.starts[number] + there)
            gold.append(labels[there])
            owners.append(np.full(len(there), number))
    return _joined([one[:, None] for one in rows], gold, owners, ends=1)


def tree_items(states: States, task: str) -> tuple[Items, Arcs]:
    """Each word with its gold head, to be labelled; and the sentences, whose heads are to be found.

    Items are the words with head and relation, in the order of rows.
    """
    ends, gold, owners = [], [], []
    heads = np.full(int(states.starts[-1]), MISSING, dtype=np.int64)
    whole = []
    for number, example in enumerate(states.examples):
        if task not in example.gold:
            continue
        first = states.starts[number]
        own, relations = example.gold[task]["heads"], example.gold[task]["relations"]
        heads[first : first + len(own)] = own
        there = np.flatnonzero((own != MISSING) & (relations != MISSING))
        head = np.where(own[there] > 0, first + own[there] - 1, -1)
        ends.append(np.column_stack([first + there, head]))
        gold.append(relations[there])
        owners.append(np.full(len(there), number))
        if len(there):
            whole.append(number)
    chosen = np.array(whole, dtype=np.int64)
    arcs = Arcs(states.starts[chosen], np.diff(states.starts)[chosen], heads, chosen)
    return _joined(ends, gold, owners, ends=2), arcs


def found_items(states: States, task: str, kind: str, labels: Sequence[str]) -> Items:
    """Spans, arguments of predicates, or pairs of spans, each beside one that is none."""
    make, ends = _FOUND[kind]
    senses = {number for number, label in enumerate(labels) if label.startswith(SENSE)}
    made, gold, owners = [], [], []
    for number, example in enumerate(states.examples):
        if task not in example.items:
            continue
        rows = example.items[task]
        if kind == "frames":
            rows = rows[[label not in senses for label in rows[:, -1].tolist()]]
        random = np.random.default_rng(derived_seed(0, "none", task, number))
        there = make(rows, len(example.piece_counts), random)
        others = np.full(len(there) - len(rows), len(labels))
        known = np.concatenate([rows[:, -1], others]) != MISSING
        made.append(states.starts[number] + there[known])
        gold.append(np.concatenate([rows[:, -1], others])[known])
        owners.append(np.full(len(gold[-1]), number))
    return _joined(made, gold, owners, ends=ends)


def group_items(states: States, task: str) -> Items:
    """Texts, or pairs of texts; rows are those of `States.pooled`."""
    there = [
        (list(members), gold[task], number)
        for number, (members, gold) in enumerate(states.groups)
        if task in gold
    ]
    if not there:
        return _joined([], [], [], ends=1)
    ends, gold, _ = zip(*there, strict=True)
    owners = np.array([states.entries[members[0]] for members in ends])
    return Items(np.array(ends, dtype=np.int64), np.array(gold), owners)


def _spans(rows: np.ndarray, words: int, random: np.random.Generator) -> np.ndarray:
    """(spans and others, 2): first and last word."""
    spans = rows[:, :2]
    taken = {tuple(span) for span in spans.tolist()}
    others = _elsewhere(spans, words, random, taken=taken)
    return np.concatenate([spans, others]) - [0, 1]


def _arguments(rows: np.ndarray, words: int, random: np.random.Generator) -> np.ndarray:
    """(arguments and others, 3): predicate, first and last word."""
    found = [np.zeros((0, 3), dtype=np.int64)]
    for at in dict.fromkeys(rows[:, 0].tolist()):
        spans = rows[rows[:, 0] == at, 1:3]
        others = _elsewhere(spans, words, random, taken={tuple(s) for s in spans.tolist()})
        found.append(np.column_stack([np.full(len(others), at), others]))
    return np.concatenate([rows[:, :3], *found]) - [0, 0, 1]


def _pairs(rows: np.ndarray, words: int, random: np.random.Generator) -> np.ndarray:
    """(pairs and others, 4): first and last word of head and of tail.

    Others are pairs of the same spans between which no relation is said.
    """
    del words
    related = {tuple(pair) for pair in rows[:, :4].tolist()}
    spans = sorted({pair[at : at + 2] for pair in related for at in (0, 2)})
    others = [(*a, *b) for a in spans for b in spans if a != b and (*a, *b) not in related]
    kept = random.permutation(len(others))[: len(rows)]
    made = np.array([others[place] for place in kept], dtype=np.int64).reshape(-1, 4)
    return np.concatenate([rows[:, :4], made]) - [0, 1, 0, 1]


_FOUND: Mapping[str, tuple[Callable[[np.ndarray, int, np.random.Generator], np.ndarray], int]] = {
    "spans": (_spans, 2),
    "frames": (_arguments, 3),
    "relations": (_pairs, 4),
}


def _elsewhere(
    spans: np.ndarray,
    words: int,
    random: np.random.Generator,
    *,
    taken: set[tuple[int, ...]],
) -> np.ndarray:
    """(others, 2): for each span one of its length that is none, where there is any."""
    found = []
    for start, end in spans.tolist():
        size = end - start
        free = [at for at in range(words - size + 1) if (at, at + size) not in taken]
        if free:
            at = free[int(random.integers(len(free)))]
            taken.add((at, at + size))
            found.append((at, at + size))
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _joined(
    ends_of: Sequence[np.ndarray],
    gold: Sequence[np.ndarray],
    owners: Sequence[np.ndarray],
    *,
    ends: int,
) -> Items:
    return Items(
        np.concatenate([np.zeros((0, ends), dtype=np.int64), *ends_of]),
        np.concatenate([np.zeros(0, dtype=np.int64), *gold]),
        np.concatenate([np.zeros(0, dtype=np.int64), *owners]),
    )
