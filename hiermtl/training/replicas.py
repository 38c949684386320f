"""Processes that hold the same weights add up the gradients of a step.

A step's tasks say which weights it can reach; these alone are sent, in buckets of a fixed order,
each as soon as it is filled, while gradients further down are still computed. Data-parallel
wrappers send all weights, and for those that a pass does not use they search its graph, or wait for
ever. Beside its gradients a bucket carries how many processes have one for each weight: where none
has, there is none afterwards either, so that idle weights do not move.

Of a large table of vectors a step reaches few rows, and on processors these alone are sent: which
ones, and then their sums. A graphics processor would have to be waited for to know them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from hiermtl.errors import listing
from hiermtl.model import HierarchicalModel
from hiermtl.training.world import alone, waiting

if TYPE_CHECKING:
    from hiermtl.training.step import TrainingStep

BUCKET = 25 * 2**20
"""Bytes of gradients that are sent at once."""

TABLE = 2**20
"""Bytes from which on a table of vectors is sent by rows."""

_Served = tuple[frozenset[str], bool]
"""Tasks, and whether terms on weights count."""


class Replicas:
    """Weights that every process holds whole.

    In one process alone, all of it does nothing.
    """

    aligned = False
    factor = 1

    def __init__(self, trained: "TrainingStep") -> None:
        """Takes what is trained."""
        self.alone = alone()
        self.trained = trained
        self._hooks: list[Any] = []
        self._buckets: dict[_Served, list[_Bucket | _Rows]] = {}
        self._waiting: list[_Bucket | _Rows] = []
        self._place: dict[nn.Parameter, _Bucket | _Rows] = {}
        self.restructured()

    def restructured(self) -> None:
        """Follows a change of the module's weights."""
        self._buckets.clear()
        for hook in self._hooks:
            hook.remove()
        trained = [p for p in self.trained.parameters() if p.requires_grad and not self.alone]
        self._hooks = [p.register_post_accumulate_grad_hook(self._made) for p in trained]

    @contextmanager
    def adding_up(
        self, tasks: Iterable[str], *, beside: bool = True
    ) -> Iterator[Callable[[], None]]:
        """Around the backward passes of a step that serves these tasks, in every process.

        `beside`: whether terms on weights are among them.

        What it gives is called before the last of them. Afterwards gradients are the sums over
        processes, of which some may have made no pass.
        """
        if self.alone:
            yield nothing
            return
        served = (frozenset(tasks), beside)
        if served not in self._buckets:
            self._buckets[served] = self._cut(self.trained.reach(served[0], beside=beside))
        self._waiting = list(self._buckets[served])
        try:
            yield self._begin_last
        finally:
            self._place.clear()
        self._check(served)
        self._send(filled=False)
        with waiting():
            for bucket in self._buckets[served]:
                bucket.receive()

    @contextmanager
    def evaluated(self) -> Iterator[HierarchicalModel]:
        """The model with the weights as they are now."""
        yield self.trained.model

    def hand_back(self) -> None:
        """The model has the weights as they are now; nothing stays on them."""
        for hook in self._hooks:
            hook.remove()

    def whole(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The tensors in the first process, nothing in the others."""
        return tensors if self.alone or dist.get_rank() == 0 else {}

    def _check(self, served: _Served) -> None:
        """Processes would drift apart by a gradient that is not sent."""
        sent = {weight for bucket in self._buckets[served] for weight in bucket.weights}
        for name, weight in self.trained.named_parameters():
            if weight.grad is not None and weight not in sent:
                raise RuntimeError(
                    f"{name} has a gradient of {listing(sorted(served[0]))}, which by the scheme's "
                    "`reads`, `senders` and `owned` do not depend on it"
                )

    def _begin_last(self) -> None:
        """From here on an accumulated gradient is whole."""
        for bucket in self._waiting:
            bucket.missing = set(bucket.weights)
            self._place |= dict.fromkeys(bucket.weights, bucket)

    def _cut(self, reached: Mapping[str, bool]) -> list["_Bucket | _Rows"]:
        """Weights of one type together, the last of the module first; each table by itself."""
        named = [(n, p) for n, p in self.trained.named_parameters() if n in reached]
        chosen = [(reached[n], p) for n, p in reversed(named) if p.requires_grad]
        tables = {
            part.weight
            for part in self.trained.modules()
            if isinstance(part, nn.Embedding | nn.EmbeddingBag)
            and part.weight.device.type == "cpu"
            and part.weight.nbytes >= TABLE
        }
        buckets: list[_Bucket | _Rows] = []
        for (_, _, rows), alike in groupby(
            chosen, key=lambda pair: (pair[1].dtype, pair[1].device, pair[1] in tables)
        ):
            if rows:
                buckets += [_Rows(weight, sure) for sure, weight in alike]
                continue
            bucket, filled = _Bucket([], []), 0
            for sure, weight in alike:
                if filled and filled + weight.nbytes > BUCKET:
                    buckets.append(bucket)
                    bucket, filled = _Bucket([], []), 0
                if not sure:
                    bucket.unsure.append(len(bucket.weights))
                bucket.weights.append(weight)
                filled += weight.nbytes
            buckets.append(bucket)
        return buckets

    def _made(self, weight: nn.Parameter) -> None:
        """A backward pass has accumulated the gradient of a weight."""
        bucket = self._place.get(weight)
        if bucket is not None:
            bucket.missing.discard(weight)
            self._send(filled=True)

    def _send(self, *, filled: bool) -> None:
        """Sends buckets in their order, which all processes keep: those that are filled, or all."""
        while self._waiting and not (filled and self._waiting[0].missing):
            self._waiting.pop(0).send()


@dataclass(slots=True, eq=False)
class _Bucket:
    """Weights whose gradients are sent together; `unsure` the places of those that may get none."""

    weights: list[nn.Parameter]
    unsure: list[int]
    missing: set[nn.Parameter] = field(default_factory=set)
    flat: Tensor | None = None
    work: Any = None

    def send(self) -> None:
        """Begins to add up gradients, and the number of processes that have each."""
        first = self.weights[0]
        grads = [p.new_zeros(p.shape) if p.grad is None else p.grad for p in self.weights]
        there = [float(p.grad is not None) for p in self.weights]
        flat = [grad.reshape(-1) for grad in grads]
        self.flat = torch.cat([*flat, torch.tensor(there).to(first)])
        self.work = dist.all_reduce(self.flat, async_op=True)

    def receive(self) -> None:
        """Waits, and puts the sums where the gradients were."""
        assert self.flat is not None
        self.work.wait()
        sizes = [weight.numel() for weight in self.weights]
        *sums, there = self.flat.split([*sizes, len(sizes)])
        # Looking at what may be 0 makes a device wait; it is left out where nothing can be.
        idle = {place for place in self.unsure if not there[place]} if self.unsure else ()
        for place, (weight, total) in enumerate(zip(self.weights, sums, strict=True)):
            weight.grad = None if place in idle else total.view_as(weight)
        self.flat = self.work = None


@dataclass(slots=True, eq=False)
class _Rows:
    """A table of vectors, of which the rows that any process has a gradient for are sent."""

    weight: nn.Parameter
    sure: bool
    missing: set[nn.Parameter] = field(default_factory=set)
    reached: Tensor | None = None
    work: Any = None

    @property
    def weights(self) -> list[nn.Parameter]:
        """The table."""
        return [self.weight]

    def send(self) -> None:
        """Begins to add up how many processes have each row, and how many have any."""
        grad = self.weight.grad
        self.reached = torch.zeros(len(self.weight) + 1, dtype=torch.int32)
        if grad is not None:
            # Of all ways to find rows that are not 0 the fastest that is exact.
            self.reached[:-1] = (grad.amax(1) != 0) | (grad.amin(1) != 0)
            self.reached[-1] = 1
        self.work = dist.all_reduce(self.reached, async_op=True)

    def receive(self) -> None:
        """Waits, and adds up those rows; all others are 0 in every process."""
        assert self.reached is not None
        self.work.wait()
        if self.sure or self.reached[-1]:
            grad = self.weight.grad
            if grad is None:
                grad = torch.zeros_like(self.weight, requires_grad=False)
            rows = self.reached[:-1].nonzero().squeeze(1)
            sums = grad.index_select(0, rows)
            if len(rows):
                dist.all_reduce(sums)
            self.weight.grad = grad.index_copy_(0, rows, sums)
        self.reached = self.work = None


def nothing() -> None:
    """What is to be begun where nothing is sent."""
