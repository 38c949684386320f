"""Fully-adaptive feature sharing: one encoder at first, split from the top where tasks differ.

Source: Lu et al. 2017 (Fully-Adaptive Feature Sharing in Multi-Task Networks), sections 3.2 and
3.3, with what the paper leaves open from the authors' code. While it trains, two tasks are alike as
far as they find the same examples hard. With m the margin 1 - p(gold), e_i = 1 where task i's
margin is at least its running mean,

    A(i, j) = P(e_i = 1, e_j = 1) + P(e_i = 0, e_j = 0)

over examples that carry both, in counts that decay by `decay` a step. Every `every` steps the
lowest junction is looked at: the copy of a block and what leaves it, heads that read it and copies
above it, which are sets of tasks with the affinity

    A_b(k, l) = 1/2 (mean over i in k of min over j in l of A(i, j), and the same of l and k)

Of all ways to part the b edges into c groups it takes the one with the least

    (c - 1) * cost + alpha / c * sum over groups of (1 - mean over k of min over l of A_b(k, l))

Each group but the first gets a copy of the block; then the junction is one block lower. Where one
group is best it is looked at again later.

Departs: an example is a sentence, whose margin is the mean over its labelled words, or over the
texts or pairs it belongs to; an example without a task is not observed, where the authors' code
takes it for easy. With `margin` `uncertainty` m is 1 - p of what a task's head finds most probable,
whether or not there is gold: how sure a task is, not how right, of every sentence of a step (tasks
of texts or pairs: of those in texts or pairs), so that tasks of different corpora can be compared.
The network is not thinned first: the encoder is pretrained, or small. All
partitions are tried, up to eight edges, beyond them those of average linkage. Copies keep their
parent's optimizer state. The embeddings are never split. `tree` gives the groups of tasks by depth
by hand, and then nothing is observed; `affinity` gives A, which tasks that share no example need.
Shapes: a stream (units, width) per branch. Limits: before the first split, low supervision; a split
changes no task's function.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from hiermtl.arrays import parts
from hiermtl.errors import RecipeError, listing, nearest
from hiermtl.hierarchy import Hierarchy
from hiermtl.sharing.base import SHARED, Edit, Sharing, check_every

if TYPE_CHECKING:
    from hiermtl.sharing.routes import Stack

MOST_TRIED = 8
"""Edges of which all partitions are tried."""

Groups = dict[str, dict[str, list[str]]]


class Adaptive(Sharing):
    """A stream that forks, from the top downwards, where affinities pay for it."""

    name = "adaptive"
    grows = False

    def __init__(
        self,
        hierarchy: Hierarchy,
        widths: Sequence[int],
        *,
        alpha: float = 1.0,
        cost: float = 0.1,
        every: int = 200,
        decay: float = 0.99,
        least: int = 200,
        margin: str = "gold",
        affinity: Mapping[str, Mapping[str, float]] | None = None,
        tree: Mapping[str, Sequence[Sequence[str]]] | None = None,
        groups: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
        junction: int | None = None,
        **options: Any,
    ) -> None:
        """Takes the weight of unlike tasks, a copy's cost, and when and on what it is decided.

        `least` are the examples two tasks must have in common. `groups` and `junction` are the
        structure as it stands. Raises RecipeError for a tree, affinities or the name of a task that
        cannot be.
        """
        if SHARED in hierarchy:
            raise RecipeError(
                f"a task cannot be named {SHARED!r} under sharing: adaptive, where the first copy "
                "of each block has that name; give it another name, with its `column`"
            )
        super().__init__(
            hierarchy,
            widths,
            alpha=alpha,
            cost=cost,
            every=every,
            decay=decay,
            least=least,
            margin=margin,
            affinity=None if affinity is None else {k: dict(v) for k, v in affinity.items()},
            tree=None if tree is None else {k: [list(g) for g in v] for k, v in tree.items()},
            **options,
        )
        self.alpha, self.cost, self.every = alpha, cost, every
        self.decay, self.least, self.margin = decay, least, margin
        self.given = None if affinity is None else _symmetric(hierarchy, affinity)
        self.fixed = tree is not None
        self.groups: Groups = {}
        for depth in range(hierarchy.top + 1):
            above = [task.name for task in hierarchy if task.depth >= depth]
            self.groups[str(depth)] = {SHARED: above}
        if groups is not None:
            self.groups = {d: {b: list(t) for b, t in own.items()} for d, own in groups.items()}
        elif tree is not None:
            self._plant(tree)
        self.junction = hierarchy.top if junction is None else junction
        count = len(hierarchy.names)
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("weight", torch.zeros(count))
        self.register_buffer("alike", torch.zeros(count, count))
        self.register_buffer("both", torch.zeros(count, count))
        self.register_buffer("seen", torch.zeros(count, count))

    def branches(self, depth: int) -> Mapping[str, str | None]:
        """The copies of a block, each over the one whose tasks it has."""
        return {
            branch: self._branch(depth - 1, tasks[0]) if depth else None
            for branch, tasks in self.groups[str(depth)].items()
        }

    def branch_of(self, task: str) -> str:
        """The copy at the task's depth that has it."""
        return self._branch(self.hierarchy[task].depth, task)

    @property
    def observes(self) -> bool:
        """Whether margins are wanted: of several tasks, with a junction, and nothing given."""
        several = len(self.hierarchy) > 1
        return several and not self.fixed and self.given is None and self.junction > 0

    @property
    def needs_gold(self) -> bool:
        """Whether margins are those of the gold."""
        return self.margin == "gold"

    def observe(self, margins: Mapping[str, tuple[np.ndarray, Tensor]]) -> None:
        """Takes in the margins of a pass: task to sentences of the batch and a number for each."""
        names = self.hierarchy.names
        count = len(names)
        device = self.get_buffer("mean").device
        where = {int(s) for sentences, _ in margins.values() for s in sentences}
        place = {sentence: at for at, sentence in enumerate(sorted(where))}
        values = torch.full((count, len(place)), torch.nan, dtype=torch.float64, device=device)
        for task, (sentences, own) in margins.items():
            at = torch.tensor([place[int(s)] for s in sentences], device=device)
            values[names.index(task), at] = own.double()
        there = ~values.isnan()
        hard = there & (values >= self.get_buffer("mean").double().unsqueeze(1))
        easy = there & ~hard
        known = (self.get_buffer("weight") > 0).double()
        known = known[:, None] * known
        both = there.double() @ there.double().T * known
        alike = (hard.double() @ hard.double().T + easy.double() @ easy.double().T) * known
        sums = torch.stack([values.nan_to_num().sum(1), there.double().sum(1)])
        found = torch.cat([sums, alike, both])
        self.pending = found if self.pending is None else self.pending + found

    def unseen(self) -> Tensor:
        """What is pending where nothing was observed."""
        count = len(self.hierarchy.names)
        device = self.get_buffer("mean").device
        return torch.zeros(2 + 2 * count, count, dtype=torch.float64, device=device)

    def after_step(
        self,
        stack: "Stack",
        heads: nn.ModuleDict,
        step: int,
        *,
        rates: Callable[[nn.Parameter], float],
    ) -> None:
        """Adds what was observed, over all processes, to the running means and counts."""
        found, self.pending = self.pending, None
        if found is None:
            return
        count = len(self.hierarchy.names)
        total, number = found[0], found[1]
        alike, both = found[2 : 2 + count], found[2 + count :]
        for name, own in (("alike", alike), ("both", both)):
            buffer = self.get_buffer(name)
            buffer.copy_(self.decay * buffer + own)
        self.get_buffer("seen").add_(both.to(self.get_buffer("seen").dtype))
        mean, weight = self.get_buffer("mean"), self.get_buffer("weight")
        there = number > 0
        kept = self.decay * weight.double()
        fresh = (kept * mean + total / number.clamp(min=1)) / (kept + 1)
        mean.copy_(torch.where(there, fresh, mean.double()))
        weight.copy_(torch.where(there, kept + 1, weight.double()))

    def affinities(self) -> np.ndarray:
        """A, (tasks, tasks), in the order of the hierarchy; NaN where too little was seen."""
        if self.given is not None:
            return self.given
        both = self.get_buffer("both").double().cpu().numpy()
        seen = self.get_buffer("seen").double().cpu().numpy()
        alike = self.get_buffer("alike").double().cpu().numpy()
        found = np.where(seen >= self.least, alike / np.maximum(both, 1e-12), np.nan)
        np.fill_diagonal(found, 1.0)
        return found

    def propose(self, stack: "Stack", step: int, *, done: float = 0.0) -> Edit | None:
        """Splits the block at the junction, if that pays."""
        if self.fixed or not self.junction or (step + 1) % self.every:
            return None
        edges = self._edges(self.junction)
        while len(edges) < 2 and self.junction > 1:
            self.junction -= 1
            edges = self._edges(self.junction)
        if len(edges) < 2:
            self.junction = 0
            return None
        between = edge_affinities(self.affinities(), self._places(edges))
        if np.isnan(between).any():
            return None
        groups = best_partition(between, alpha=self.alpha, cost=self.cost)
        return None if len(groups) == 1 else self._split(stack, edges, groups)

    def check_examples(
        self, items: Mapping[str, np.ndarray], *, units: Mapping[str, str | None]
    ) -> None:
        """Raises RecipeError where two tasks can never be compared, or on too few examples."""
        if self.fixed or self.given is not None:
            return
        names = self.hierarchy.names
        for name in names:
            if units[name] is None:
                raise RecipeError(
                    f"the head of task {name!r} gives a number and no probability, but sharing: "
                    "adaptive compares tasks by how probable labels are; give sharing.affinity, or "
                    "sharing.tree"
                )
        if not self.needs_gold:
            wholes = [name for name in names if units[name] != "word"]
            for one, other in combinations(wholes, 2):
                if units[one] != units[other]:
                    raise RecipeError(
                        f"task {one!r} judges {units[one]}s and {other!r} {units[other]}s, so that "
                        "neither says anything of the other's examples; give sharing.affinity, or "
                        "sharing.tree"
                    )
            return
        for place, one in enumerate(names):
            for other in names[place + 1 :]:
                left, right = items[one], items[other]
                common = sum(
                    np.count_nonzero((left[part] != 0) & (right[part] != 0))
                    for part in parts(len(left))
                )
                if common < self.least:
                    raise RecipeError(
                        f"tasks {one!r} and {other!r} share {common} training examples, and "
                        f"sharing: adaptive compares tasks on {self.least} or more "
                        "(sharing.least); set sharing.margin=uncertainty, which needs no example "
                        "of both, or give sharing.affinity or sharing.tree"
                    )

    def check_steps(self, total: int) -> None:
        """Raises RecipeError where no junction would be looked at."""
        if not self.fixed:
            check_every(self.every, total, what="a split")

    def learnt(self) -> dict[str, Any]:
        """The tree, copies of each depth with their tasks, and the affinities."""
        found = self.affinities()
        return {
            "tree": {depth: list(own.values()) for depth, own in self.groups.items()},
            "tasks": list(self.hierarchy.names),
            "affinities": [[None if np.isnan(v) else float(v) for v in row] for row in found],
        }

    def structure(self) -> dict[str, Any]:
        """The options, with the tree and the junction as they stand."""
        groups = {d: {b: list(t) for b, t in own.items()} for d, own in self.groups.items()}
        return {**super().structure(), "groups": groups, "junction": self.junction}

    def _branch(self, depth: int, task: str) -> str:
        return next(b for b, tasks in self.groups[str(depth)].items() if task in tasks)

    def _edges(self, depth: int) -> list[list[str]]:
        """What leaves the copy at a depth: the tasks of each copy above, and each head."""
        above = self.groups.get(str(depth + 1), {})
        heads = [[task.name] for task in self.hierarchy if task.depth == depth]
        return [*map(list, above.values()), *heads]

    def _places(self, edges: Sequence[Sequence[str]]) -> list[list[int]]:
        names = self.hierarchy.names
        return [[names.index(task) for task in edge] for edge in edges]

    def _split(
        self, stack: "Stack", edges: Sequence[Sequence[str]], chosen: Sequence[Sequence[int]]
    ) -> Edit:
        depth, born = self.junction, {}
        groups = {SHARED: [task for edge in chosen[0] for task in edges[edge]]}
        for part in chosen[1:]:
            tasks = [task for edge in part for task in edges[edge]]
            groups[tasks[0]] = tasks
            born |= stack.fork(depth, SHARED, tasks[0])
        self.groups[str(depth)] = groups
        self.junction = depth - 1
        return Edit(born)

    def _plant(self, tree: Mapping[str, Sequence[Sequence[str]]]) -> None:
        """Takes the groups that are given, from the top down.

        Raises RecipeError when they name what is no task or depth, or are no tree.
        """
        names = self.hierarchy.names
        for depth in sorted(map(str, tree), key=_number, reverse=True):
            if not 1 <= _number(depth) <= self.hierarchy.top:
                raise RecipeError(
                    f"sharing.tree names depth {depth!r}; allowed are 1 to {self.hierarchy.top}"
                )
            own = [list(group) for group in tree[depth]]
            if not all(own):
                raise RecipeError(
                    f"sharing.tree at depth {depth} has a group without a task; leave it out"
                )
            there = [task for group in own for task in group]
            for task in there:
                if task not in names:
                    raise RecipeError(
                        f"sharing.tree names {task!r}, which is no task; tasks are "
                        f"{listing(names)}{nearest(task, names)}"
                    )
            needed = self.groups[depth][SHARED]
            if sorted(there) != sorted(needed):
                raise RecipeError(
                    f"sharing.tree at depth {depth} has the tasks {listing(there)}; it needs each "
                    f"task read there or above once: {listing(needed)}"
                )
            self.groups[depth] = {SHARED if n == 0 else g[0]: g for n, g in enumerate(own)}
        for depth in range(1, self.hierarchy.top):
            for above in self.groups[str(depth + 1)].values():
                homes = {self._branch(depth, task) for task in above}
                if len(homes) > 1:
                    raise RecipeError(
                        f"sharing.tree has {listing(above)} together at depth {depth + 1} and "
                        f"apart at depth {depth}; what is apart stays apart above: change one of "
                        "the two"
                    )


def _number(depth: str) -> int:
    """0 for what is no depth, or written otherwise than it is here."""
    return int(depth) if depth.isdecimal() and str(int(depth)) == depth else 0


def _symmetric(hierarchy: Hierarchy, affinity: Mapping[str, Mapping[str, float]]) -> np.ndarray:
    """A as it is given, each pair once or twice.

    Raises RecipeError for a name that is no task, a number that is no share, a pair that is missing
    or has two numbers.
    """
    names = hierarchy.names
    found = np.full((len(names), len(names)), np.nan)
    np.fill_diagonal(found, 1.0)
    for one, row in affinity.items():
        for other, value in row.items():
            for name in (one, other):
                if name not in names:
                    raise RecipeError(
                        f"sharing.affinity names {name!r}, which is no task; tasks are "
                        f"{listing(names)}{nearest(name, names)}"
                    )
            if not 0 <= value <= 1:
                raise RecipeError(
                    f"sharing.affinity of {one!r} and {other!r} is {value}; allowed is 0 to 1"
                )
            i, j = names.index(one), names.index(other)
            if i == j and value != 1:
                raise RecipeError(
                    f"sharing.affinity of {one!r} and itself is {value}; it is 1: leave it out"
                )
            if not np.isnan(found[i, j]) and found[i, j] != value:
                raise RecipeError(
                    f"sharing.affinity of {one!r} and {other!r} is {value}, but {found[i, j]} in "
                    "the other order; give it once"
                )
            found[i, j] = found[j, i] = value
    missing = np.argwhere(np.isnan(found))
    if len(missing):
        i, j = missing[0]
        raise RecipeError(f"sharing.affinity lacks {names[i]!r} and {names[j]!r}; give every pair")
    return found


def edge_affinities(tasks: np.ndarray, edges: Sequence[Sequence[int]]) -> np.ndarray:
    """A_b, (edges, edges), from A (tasks, tasks) and the tasks of each edge."""
    one_way = np.array(
        [[np.mean(tasks[np.ix_(k, l)].min(1)) for l in edges] for k in edges]  # noqa: E741
    )
    return (one_way + one_way.T) / 2


def loss(
    between: np.ndarray, groups: Sequence[Sequence[int]], *, alpha: float, cost: float
) -> float:
    """What a partition of the edges costs, see above."""
    apart = [1 - float(np.mean(between[np.ix_(group, group)].min(1))) for group in groups]
    return (len(groups) - 1) * cost + alpha * sum(apart) / len(groups)


def best_partition(between: np.ndarray, *, alpha: float, cost: float) -> list[list[int]]:
    """The groups with the least loss, the fewest of equals; the first has the first edge."""
    count = len(between)
    tried = partitions(count) if count <= MOST_TRIED else _linked(between)
    # Rounding must not split what is alike.
    return min(tried, key=lambda p: (round(loss(between, p, alpha=alpha, cost=cost), 12), len(p)))


def partitions(count: int) -> Iterator[list[list[int]]]:
    """All ways to part so many things into groups."""
    if not count:
        yield []
        return
    last = count - 1
    for smaller in partitions(last):
        for place in range(len(smaller)):
            yield [[*group, last] if n == place else group for n, group in enumerate(smaller)]
        yield [*smaller, [last]]


def _linked(between: np.ndarray) -> Iterator[list[list[int]]]:
    """A partition for each number of groups, by average linkage."""
    from scipy.cluster.hierarchy import fcluster, linkage

    distances = 1 - between[np.triu_indices(len(between), 1)]
    tree = linkage(distances, "average")
    for count in range(1, len(between) + 1):
        labels = fcluster(tree, count, "maxclust")
        groups = [np.flatnonzero(labels == label).tolist() for label in dict.fromkeys(labels)]
        yield groups
