"""Exact maximum spanning arborescences for batches of dependency score matrices.

The method is that of Chu & Liu (1965) and Edmonds (1967) in the dense form of Tarjan (1977),
grown along one path as Gabow, Galil, Spencer & Tarjan (1986) do: quadratic time per sentence.
All sentences of a batch advance in lockstep, so that the interpreter works per step of a path
and not per sentence. Sentences whose greedy heads already form a tree never get that far.

Exactly one dependent of the root. Call an arc from the root infinitely dear, compared before any
score: the best arborescence under that order has the fewest root arcs, hence one whenever a
single-root tree exists, and among those the best score. Chu-Liu/Edmonds only compares and
subtracts the weights of arcs, so it is exact for lexicographic weights too. It subtracts only the
weight of an arc chosen inside a cycle, and the root is in no cycle; so no root arc is ever
subtracted, and "infinitely dear" reduces to this rule: a (contracted) node chooses a root arc
only if it has no other arc left. No large constant enters the scores, and no precision is lost.
(Zmigrod, Vieira & Cotterell, 2020, section 3, show why decoding without the constraint and
patching the root afterwards is not exact.)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

_UNKNOWN_TO_NUMPY = {torch.bfloat16}
_CELLS_AT_ONCE = 4_000_000
_WORTH_SPLITTING = 64
_WORTH_LOCKSTEP = 400
"""Squared lengths per word of the longest: below it lists beat arrays. Measured, not exact."""
_FORBIDDEN = -np.inf
_UNSEEN, _SETTLED, _MERGED = -1, -2, -3


def maximum_spanning_trees(
    scores: Tensor | NDArray[Any], lengths: Tensor | ArrayLike, *, single_root: bool = True
) -> NDArray[np.int64]:
    """Highest-scoring dependency tree of every sentence.

    Args:
        scores: ``(batch, 1 + words, 1 + words)``; ``scores[b, d, h]`` is the score of head ``h``
            for dependent ``d``. Node 0 is the root; row 0, the diagonal and everything beyond
            the length are ignored. ``-inf`` forbids an arc.
        lengths: Number of words ``(batch,)`` without the root, zero allowed.
        single_root: Whether exactly one word depends on the root.

    Returns:
        Heads ``(batch, words)``: column ``i`` holds the head, ``0..words``, of word ``i + 1``;
        -1 in the padding. Greedy heads that form a valid tree are returned as they are. A
        sentence's tree does not depend on the other sentences of the batch.

    Raises:
        ValueError: If shapes or lengths disagree, if a score is NaN or ``+inf``, or if the
            permitted arcs of a sentence hold no valid tree.
    """
    array = _as_array(scores)
    if array.ndim != 3 or array.shape[1] != array.shape[2] or array.shape[1] < 1:
        raise ValueError(f"scores must be (batch, 1 + words, 1 + words), not {array.shape}")
    counts = np.asarray(_as_array(lengths), dtype=np.int64)
    batch, nodes = array.shape[:2]
    if counts.shape != (batch,):
        raise ValueError(f"lengths must have shape ({batch},), not {counts.shape}")
    if batch and (counts.min() < 0 or counts.max() >= nodes):
        raise ValueError(
            f"lengths lie in {counts.min()}..{counts.max()}, but the scores hold {nodes - 1} words"
        )
    result = np.full((batch, nodes - 1), -1, dtype=np.int64)
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] > 0]
    for chunk in _chunks(order, counts):
        size = int(counts[chunk[-1]]) + 1
        heads = _solve(
            _masked(array, chunk, counts=counts[chunk], size=size),
            chunk,
            counts=counts[chunk],
            single_root=single_root,
        )
        words = np.arange(1, size) <= counts[chunk][:, None]
        result[chunk[:, None], np.arange(size - 1)] = np.where(words, heads[:, 1:], -1)
    return result


def is_tree(heads: Sequence[int] | NDArray[Any], *, single_root: bool = True) -> bool:
    """Whether heads form a dependency tree.

    Args:
        heads: Element ``i`` is the head of word ``i + 1``; words count from 1, 0 is the root.
        single_root: Whether exactly one word has to depend on the root.

    Returns:
        True if every head lies in ``0..words`` and every word reaches the root. The empty
        sentence is a tree.
    """
    array = np.asarray(heads, dtype=np.int64)
    if not array.size:
        return True
    if array.min() < 0 or array.max() > array.size:
        return False
    if single_root and np.count_nonzero(array == 0) != 1:
        return False
    return bool(_reaches_root(np.concatenate(([0], array))[None])[0])


def find_cycle(heads: Sequence[int] | NDArray[Any]) -> tuple[int, ...]:
    """A cycle among heads, for error messages.

    Args:
        heads: Element ``i`` is the head of word ``i + 1``; words count from 1, 0 is the root.
            A head outside ``0..words`` ends the walk as the root does.

    Returns:
        The words of one cycle, counted from 1, from its lowest word along the heads; empty if
        there is no cycle. A word that is its own head is a cycle of one.
    """
    count = len(heads)
    seen = [0] * (count + 1)
    for first in range(1, count + 1):
        word = first
        while 0 < word <= count and not seen[word]:
            seen[word] = first
            word = int(heads[word - 1])
        if 0 < word <= count and seen[word] == first:
            cycle = [word]
            while (following := int(heads[cycle[-1] - 1])) != word:
                cycle.append(following)
            lowest = cycle.index(min(cycle))
            return tuple(cycle[lowest:] + cycle[:lowest])
    return ()


def _as_array(values: Any) -> NDArray[Any]:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype in _UNKNOWN_TO_NUMPY else values).numpy()
    return np.asarray(values)


def _chunks(order: NDArray[np.int64], counts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Runs of sentences, shortest first, of bounded padded size and similar length."""
    chunks, begin = [], 0
    sizes = ((counts[order] + 1) ** 2).tolist()
    for end in range(1, len(order) + 1):
        taken = end - begin
        if (
            end == len(order)
            or sizes[end] * (taken + 1) > _CELLS_AT_ONCE
            or (taken >= _WORTH_SPLITTING and sizes[end] > 2 * sizes[begin])
        ):
            chunks.append(order[begin:end])
            begin = end
    return chunks


def _masked(
    array: NDArray[Any], chunk: NDArray[np.int64], *, counts: NDArray[np.int64], size: int
) -> NDArray[Any]:
    """Copy of some sentences' scores in which only arcs between their nodes exceed ``-inf``."""
    scores = array[chunk, :size, :size]
    if not np.issubdtype(scores.dtype, np.floating):
        scores = scores.astype(np.float64)
    nodes = np.arange(size)
    padding = nodes > counts[:, None]
    if padding.any():
        scores[padding] = _FORBIDDEN
        scores.transpose(0, 2, 1)[padding] = _FORBIDDEN
    scores[:, nodes, nodes] = _FORBIDDEN
    scores[:, 0, :] = _FORBIDDEN
    return scores


def _solve(
    scores: NDArray[Any], chunk: NDArray[np.int64], *, counts: NDArray[np.int64], single_root: bool
) -> NDArray[np.int64]:
    heads = scores.argmax(2)
    best = np.take_along_axis(scores, heads[:, :, None], 2)[:, :, 0]
    words = np.arange(scores.shape[1]) <= counts[:, None]
    words[:, 0] = False
    if not np.isfinite(best[words]).all():
        sentence = int(chunk[np.nonzero((~np.isfinite(best) & words).any(1))[0][0]])
        raise ValueError(
            f"sentence {sentence}: a word has no permitted head, or a score is NaN or +inf"
        )
    valid = _reaches_root(heads)
    if single_root:
        valid &= np.count_nonzero((heads == 0) & words, axis=1) == 1
    rest = np.nonzero(~valid)[0]
    if rest.size:
        hard = scores[rest].astype(np.float64)
        lengths = counts[rest]
        few = (lengths * lengths).sum() <= _WORTH_LOCKSTEP * lengths.max()
        grow = _grow_each if few else _grow
        solved, failed = grow(hard, words[rest], single_root=single_root)
        if failed.any():
            kind = "single-root tree" if single_root else "tree"
            sentence = int(chunk[rest[np.nonzero(failed)[0][0]]])
            raise ValueError(f"sentence {sentence}: the permitted arcs hold no {kind}")
        heads[rest] = solved
    return heads


def _reaches_root(heads: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows of heads (node 0 its own head) lead every node to node 0."""
    jumps = heads
    for _ in range(int(heads.shape[1] - 1).bit_length()):
        jumps = np.take_along_axis(jumps, jumps, 1)
    return np.equal(jumps.max(1), 0)


class _Growth:
    """Lockstep state of one path per sentence; nodes are contracted by name.

    A contracted node keeps the name of its lowest member on the path. ``place`` says where on the
    path a node stands, or that it is unseen, settled (its head chosen for good) or merged.
    """

    def __init__(self, scores: NDArray[np.float64], words: NDArray[np.bool_]) -> None:
        batch, nodes = words.shape
        self.scores = scores
        self.entry = np.empty(scores.shape, dtype=np.int32)
        self.entry[:] = np.arange(nodes, dtype=np.int32)[:, None]
        self.name = np.tile(np.arange(nodes), (batch, 1))
        self.chosen = np.zeros((batch, nodes))
        self.path = np.zeros((batch, nodes), dtype=np.int64)
        self.place = np.where(words, _UNSEEN, _SETTLED)
        self.top = np.zeros(batch, dtype=np.int64)
        self.goal = np.full(batch, -1)
        self.roots = np.zeros(batch, dtype=np.int64)
        self.failed = np.zeros(batch, dtype=np.bool_)

    def start(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Open a path at the first unseen node; return the rows which have none."""
        unseen = self.place[rows] == _UNSEEN
        first = unseen.argmax(1)
        more = unseen[np.arange(len(rows)), first]
        open_rows, nodes = rows[more], first[more]
        self.top[open_rows] = 0
        self.path[open_rows, 0] = nodes
        self.place[open_rows, nodes] = 0
        return rows[~more]

    def choose(
        self, rows: NDArray[np.int64], *, single_root: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Choose the best arc into the top of each path.

        Returns:
            The head, the dependent it enters by, and the members of the entered node.
        """
        node = self.path[rows, self.top[rows]]
        members = self.name[rows] == node[:, None]
        row = self.scores[rows, node]
        row[members] = _FORBIDDEN
        index = np.arange(len(rows))
        if single_root:
            head = row[:, 1:].argmax(1) + 1
            head[row[index, head] == _FORBIDDEN] = 0
        else:
            head = row.argmax(1)
        best = row[index, head]
        self.roots[rows] += head == 0
        self.failed[rows] |= best == _FORBIDDEN
        if single_root:
            self.failed[rows] |= self.roots[rows] > 1
        self.chosen[rows, node] = best
        return head, self.entry[rows, node, head].astype(np.int64), members

    def extend(self, rows: NDArray[np.int64], heads: NDArray[np.int64]) -> NDArray[np.int64]:
        """Lengthen, settle or begin to contract each path; return the rows that are finished."""
        node = self.name[rows, heads]
        place = self.place[rows, node]
        fresh = place == _UNSEEN
        grown, pushed = rows[fresh], node[fresh]
        self.top[grown] += 1
        self.path[grown, self.top[grown]] = pushed
        self.place[grown, pushed] = self.top[grown]
        closed = place >= 0
        self.goal[rows[closed]] = place[closed]
        settled = rows[place == _SETTLED]
        if not settled.size:
            return settled
        places = self.place[settled]
        places[places >= 0] = _SETTLED
        self.place[settled] = places
        return self.start(settled)

    def contract(self, rows: NDArray[np.int64]) -> None:
        """Merge the top of each path into the node below it."""
        top = self.top[rows]
        upper, lower = self.path[rows, top], self.path[rows, top - 1]
        above = self.scores[rows, upper] - self.chosen[rows, upper][:, None]
        below = self.scores[rows, lower] - self.chosen[rows, lower][:, None]
        better = above > below
        self.scores[rows, lower] = np.where(better, above, below)
        self.entry[rows, lower] = np.where(better, self.entry[rows, upper], self.entry[rows, lower])
        self.chosen[rows, lower] = 0.0
        names = self.name[rows]
        self.name[rows] = np.where(names == upper[:, None], lower[:, None], names)
        self.place[rows, upper] = _MERGED
        self.top[rows] = top - 1
        self.goal[rows[top - 1 == self.goal[rows]]] = -1


def _grow(
    scores: NDArray[np.float64], words: NDArray[np.bool_], *, single_root: bool
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Exact trees of sentences whose greedy heads are no tree; scores are overwritten.

    Every step lengthens, settles or shortens each unfinished path, so a batch takes at most two
    steps per node. The arcs are recorded in the order in which they are chosen. In reverse order
    an arc stands unless a later one that stands enters the same (contracted) node: this is the
    expansion of the contracted nodes from the outermost inwards.
    """
    growth = _Growth(scores, words)
    active = np.arange(len(words))
    growth.start(active)
    history = []
    while active.size:
        rows = active[growth.goal[active] < 0]
        if rows.size:
            head, entered, members = growth.choose(rows, single_root=single_root)
            history.append((rows, head, entered, members))
            finished = growth.extend(rows, head)
            if finished.size or growth.failed[rows].any():
                over = growth.failed.copy()
                over[finished] = True
                active = active[~over[active]]
        rows = active[growth.goal[active] >= 0]
        if rows.size:
            growth.contract(rows)
    heads = np.zeros(words.shape, dtype=np.int64)
    fixed = np.zeros(words.shape, dtype=np.bool_)
    for rows, head, entered, members in reversed(history):
        stands = ~(members & fixed[rows]).any(1)
        rows = rows[stands]
        heads[rows, entered[stands]] = head[stands]
        fixed[rows, entered[stands]] = True
    return heads, growth.failed


def _grow_each(
    scores: NDArray[np.float64], words: NDArray[np.bool_], *, single_root: bool
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The same trees as `_grow`, sentence by sentence in plain lists.

    A step of `_grow` costs the same for one sentence as for fifty; when few sentences are hard,
    that is more than their own arithmetic.
    """
    heads = np.zeros(words.shape, dtype=np.int64)
    failed = np.zeros(len(words), dtype=np.bool_)
    for row, count in enumerate(np.count_nonzero(words, axis=1).tolist()):
        found = _grow_alone(scores[row, : count + 1, : count + 1].tolist(), single_root)
        if found is None:
            failed[row] = True
        else:
            heads[row, : count + 1] = found
    return heads, failed


def _grow_alone(scores: list[list[float]], single_root: bool) -> list[int] | None:
    """The heads of one sentence's nodes, or `None` if it has no tree; see `_Growth` for the names.

    `scores` are overwritten.
    """
    size = len(scores)
    entry = [[node] * size for node in range(size)]
    name, members = list(range(size)), [[node] for node in range(size)]
    chosen, place = [0.0] * size, [_SETTLED] + [_UNSEEN] * (size - 1)
    history: list[tuple[int, int, list[int]]] = []
    roots = 0
    for first in range(1, size):
        if place[first] != _UNSEEN:
            continue
        path = [first]
        place[first] = 0
        while path:
            node = path[-1]
            row, own = scores[node], members[node]
            for member in own:
                row[member] = _FORBIDDEN
            head = row.index(max(row))
            if single_root and head == 0:
                # Node 0 is taken only if nothing else is left.
                root, row[0] = row[0], _FORBIDDEN
                other = max(row)
                row[0] = root
                head = row.index(other, 1) if other != _FORBIDDEN else 0
            best = row[head]
            roots += head == 0
            if best == _FORBIDDEN or (single_root and roots > 1):
                return None
            chosen[node] = best
            history.append((head, entry[node][head], own))
            target = name[head]
            goal = place[target]
            if goal == _UNSEEN:
                place[target] = len(path)
                path.append(target)
            elif goal == _SETTLED:
                for settled in path:
                    place[settled] = _SETTLED
                path = []
            else:
                while len(path) - 1 > goal:
                    upper = path.pop()
                    _merge(scores, entry, chosen, upper=upper, lower=path[-1])
                    for member in members[upper]:
                        name[member] = path[-1]
                    members[path[-1]] = members[path[-1]] + members[upper]
                    place[upper] = _MERGED
    heads = [0] * size
    fixed: set[int] = set()
    for head, entered, own in reversed(history):
        if fixed.isdisjoint(own):
            heads[entered] = head
            fixed.add(entered)
    return heads


def _merge(
    scores: list[list[float]],
    entry: list[list[int]],
    chosen: list[float],
    *,
    upper: int,
    lower: int,
) -> None:
    """The better of two nodes' arcs from each head, less what each had chosen, in `lower`."""
    above = [score - chosen[upper] for score in scores[upper]]
    below = [score - chosen[lower] for score in scores[lower]]
    entry[lower] = [
        first if high > low else second
        for high, low, first, second in zip(above, below, entry[upper], entry[lower], strict=True)
    ]
    scores[lower] = list(map(max, above, below))
    chosen[lower] = 0.0
