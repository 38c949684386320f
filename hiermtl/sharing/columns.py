"""What schemes with a stream for each task have in common: columns above blocks that all share.

No scheme of its own: those that tie the copies' weights or mix their states derive from it.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hiermtl.errors import RecipeError
from hiermtl.hierarchy import Hierarchy
from hiermtl.precision import full_precision
from hiermtl.records import Stream
from hiermtl.sharing.base import SHARED, Rate, Sharing, check_choice

if TYPE_CHECKING:
    from hiermtl.sharing.routes import Stack

STREAMS = ("all", "live")

PART, BLOCK = 1 << 16, 128
"""Numbers of a weight that are looked at while they lie in a processor's cache, and how many of
their products are added in their own type before the sum goes on in fp64."""


class Columns(Sharing):
    """A branch per task from `shared_below` on, one for all below it.

    Streams are `live`, to their own task's depth, or `all` run to the deepest task's.
    """

    def __init__(
        self,
        hierarchy: Hierarchy,
        widths: Sequence[int],
        *,
        shared_below: int,
        streams: Literal["all", "live"] = "live",
        **options: Any,
    ) -> None:
        """Raises RecipeError when no block would have copies, or there are no such streams."""
        super().__init__(hierarchy, widths, shared_below=shared_below, streams=streams, **options)
        check_choice("streams", streams, STREAMS)
        if not 0 <= shared_below <= hierarchy.top:
            raise RecipeError(
                f"sharing.shared_below is {shared_below}, but the deepest task is read at depth "
                f"{hierarchy.top}, so that no block would have copies; lower it, or use sharing: "
                "low_supervision"
            )
        self.shared_below, self.streams = shared_below, streams

    def members(self, depth: int) -> list[str]:
        """The tasks that have a branch of their own at this depth."""
        if depth < self.shared_below:
            return []
        every = self.streams == "all"
        return [task.name for task in self.hierarchy if every or task.depth >= depth]

    def branches(self, depth: int) -> Mapping[str, str | None]:
        """One branch per member; below `shared_below` one for all."""
        if depth < self.shared_below:
            return {SHARED: SHARED if depth else None}
        first = depth == self.shared_below
        return {
            name: None if not depth else SHARED if first else name for name in self.members(depth)
        }

    def branch_of(self, task: str) -> str:
        """The task's own branch, or the one of all where it is read below `shared_below`."""
        return SHARED if self.hierarchy[task].depth < self.shared_below else task

    def groups(self, depth: int) -> list[list[str]]:
        """The copies of the block at a depth, where there are two or more: one group, or none."""
        return [members] if len(members := self.members(depth)) > 1 else []

    def copied(self, stack: "Stack") -> Iterator[tuple[str, list[nn.Parameter]]]:
        """Each weight that has two copies or more and is trained, by depth and name, `3.norm`.

        The copies of one come in the order of the tasks.
        """
        for depth in range(self.shared_below, stack.depth + 1):
            copies = stack.copies(depth) if depth else stack.embeddings
            named = [dict(copies[name].named_parameters()) for name in copies]
            for name in named[0] if len(named) > 1 else ():
                weights = [own[name] for own in named]
                if all(weight.requires_grad for weight in weights):
                    yield f"{depth}.{name}", weights


class MixedColumns(Columns):
    """Columns whose states are mixed linearly after their blocks, by `alpha` of each depth.

    A scheme says how many numbers `alpha` has and how they combine states.
    """

    def __init__(
        self,
        hierarchy: Hierarchy,
        widths: Sequence[int],
        *,
        own: float,
        lr: float,
        mix_last: bool,
        **options: Any,
    ) -> None:
        """Takes the share of a stream in its own mix at the start, and `alpha`'s learning rate.

        With `mix_last` off, states are not mixed after the last block.
        """
        super().__init__(hierarchy, widths, own=own, lr=lr, mix_last=mix_last, **options)
        self.own, self.lr, self.mix_last = own, lr, mix_last
        self.alpha = nn.ParameterDict()
        self._silent: tuple[Any, frozenset[tuple[int, str, str]]] = (None, frozenset())
        for depth in range(1, hierarchy.top + 1):
            if self.mixes(depth):
                self.alpha[str(depth)] = nn.Parameter(self.start(depth))

    def mixes(self, depth: int) -> bool:
        """Whether states are mixed after the blocks of a depth."""
        last = depth == self.hierarchy.top
        return depth > 0 and len(self.members(depth)) > 1 and (self.mix_last or not last)

    @abstractmethod
    def start(self, depth: int) -> Tensor:
        """`alpha` of a depth before training, receivers first."""

    @abstractmethod
    def combined(self, alpha: Tensor, rows: Sequence[int], states: Tensor) -> Tensor:
        """(senders, units, width) to (receivers, units, width), for these rows of `alpha`."""

    def senders(self, depth: int, branch: str) -> Sequence[str]:
        """All members, where states are mixed."""
        return self.members(depth) if self.mixes(depth) else (branch,)

    def silent(self) -> frozenset[tuple[int, str, str]]:
        """Where all of `alpha` between two streams is exactly 0.

        It is looked at anew once `alpha` is another, since that waits for the device.
        """
        key = tuple(
            (alpha.data_ptr(), 0 if alpha.is_inference() else alpha._version)
            for alpha in self.alpha.values()
        )
        if key != self._silent[0]:
            found = set()
            for depth, alpha in self.alpha.items():
                members = self.members(int(depth))
                count = len(members)
                shares = alpha.detach().view(count, len(alpha) // count, count, -1)
                zeros = (shares == 0).all(3).all(1).fill_diagonal_(False)
                for receiver, sender in zeros.nonzero().tolist():
                    found.add((int(depth), members[receiver], members[sender]))
            self._silent = (key, frozenset(found))
        return self._silent[1]

    def owned(self, task: str) -> Sequence[str]:
        """`alpha` of every depth up to the task's."""
        return [
            f"alpha.{depth}" for depth in self.alpha if int(depth) <= self.hierarchy[task].depth
        ]

    def mix(
        self, depth: int, streams: Mapping[str, Stream], *, receivers: Mapping[str, np.ndarray]
    ) -> Mapping[str, Stream]:
        """Each receiver's mix of all members; receivers of the same sentences at once.

        Members that are `silent` to them need not be there.
        """
        if not self.mixes(depth):
            return streams
        members, alpha = self.members(depth), full_precision(self.alpha[str(depth)])
        alike: dict[bytes, list[str]] = {}
        for name, sentences in receivers.items():
            alike.setdefault(sentences.tobytes(), []).append(name)
        found: dict[str, Stream] = {}
        for names in alike.values():
            sentences = receivers[names[0]]
            own = streams[names[0]].narrow(sentences)
            parts = [self._states(streams.get(member), own) for member in members]
            # In half precision a share of 0.9 is another one.
            with torch.autocast(alpha.device.type, enabled=False):
                states = torch.stack([full_precision(part) for part in parts])
                rows = [members.index(name) for name in names]
                mixed = self.combined(alpha.to(states.dtype), rows, states).to(own.values.dtype)
            found |= {n: own.replace(v) for n, v in zip(names, mixed.unbind(), strict=True)}
        return found

    def _states(self, stream: Stream | None, own: Stream) -> Tensor:
        """A stream's states of a receiver's sentences.

        Zeros where nobody wanted them of all these: the receiver's share of them is 0 then, and the
        same sum is taken as with them, to the last bit.
        """
        if stream is not None and np.isin(own.sentences, stream.sentences).all():
            return stream.narrow(own.sentences).values
        assert not self.training, "a stream that is mixed is not there"
        return torch.zeros_like(own.values)

    def rates(self) -> Sequence[Rate]:
        """A rate of its own and no decay, which would pull to 0 and not to a stream's own state."""
        return (Rate("sharing.alpha", lr=self.lr, weight_decay=0.0),)

    def learnt(self) -> dict[str, Any]:
        """The mixes: by depth the streams, and `alpha` as it stands, receivers first."""
        return {
            "alpha": {
                depth: {"streams": self.members(int(depth)), "values": alpha.detach().tolist()}
                for depth, alpha in self.alpha.items()
            }
        }


def convex(members: int, own: float) -> Tensor:
    """(members, members) with `own` on the diagonal, the rest of each row shared out evenly."""
    if members == 1:
        return torch.ones(1, 1)
    other = (1 - own) / (members - 1)
    return torch.full((members, members), other) + torch.eye(members) * (own - other)


def weighed(shares: Tensor, values: Tensor) -> Tensor:
    """(receivers, senders) and (senders, ...) to (receivers, ...), each receiver by itself.

    One product for all of them would round each by how many there are, and a task asked alone would
    not answer as among others to the last bit.
    """
    flat = values.flatten(1)
    return torch.stack([row @ flat for row in shares]).view(len(shares), *values.shape[1:])


def start_of(copies: Sequence[Tensor]) -> Tensor:
    """Where one weight's copies stand: as the weight, if they are equal, else (copies, ...).

    They are not where the model that is trained was trained before.
    """
    first, *others = (copy.detach() for copy in copies)
    if all(torch.equal(first, other) for other in others):
        return first.clone()
    return torch.stack([first, *others])


def gram(copies: Sequence[Tensor], origin: Tensor | None = None) -> Tensor:
    """(copies, copies) fp64: the products of one weight's copies, counted from `origin`.

    It is one for all, or one for each, as `start_of` gives it.

    All that springs and trace norms ask of copies is in it. The distances themselves are never
    held: they are made part by part, and once more on the way back.
    """
    return _Gram.apply(origin, *copies)


class _Gram(torch.autograd.Function):
    """With D the copies less their origin, a row each: D D^T, whose gradient is (A + A^T) D.

    Without an origin they are counted from the first all the same, and the first is added in fp64:
    products of nearly equal copies in fp32 leave of what sets them apart nothing but rounding.
    """

    @staticmethod
    def forward(ctx: Any, origin: Tensor | None, *copies: Tensor) -> Tensor:
        ctx.origin = origin
        ctx.save_for_backward(*copies)
        rows = len(copies) + (origin is None)
        total = torch.zeros(rows, rows, dtype=torch.float64, device=copies[0].device)
        for away in _away(copies, origin):
            missing = -away.shape[1] % BLOCK
            whole = F.pad(away, (0, missing)) if missing else away
            blocks = whole.unflatten(1, (-1, BLOCK)).movedim(1, 0)
            total += torch.bmm(blocks, blocks.mT).sum(0, dtype=torch.float64)
        if origin is None:
            return total[0, 0] + total[0, 1:] + total[1:, :1] + total[1:, 1:]
        return total

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator's type
        ctx: Any, *outer: Tensor
    ) -> tuple[Tensor | None, ...]:
        copies, kind = ctx.saved_tensors, full_precision(ctx.saved_tensors[0]).dtype
        factors = outer[0] + outer[0].T
        if ctx.origin is None:
            factors = torch.cat([factors.sum(1, keepdim=True), factors], dim=1)
        factors = factors.to(kind)
        found = factors.new_empty(len(copies), copies[0].numel())
        done = 0
        for away in _away(copies, ctx.origin):
            torch.mm(factors, away, out=found[:, done : done + away.shape[1]])
            done += away.shape[1]
        return None, *found.to(copies[0].dtype).view(len(copies), *copies[0].shape).unbind()


def _away(copies: Sequence[Tensor], origin: Tensor | None) -> Iterator[Tensor]:
    """(copies, numbers) part by part, at least fp32.

    Without an origin the first copy, and then all counted from it: (1 + copies, numbers).
    """
    origins: Sequence[Tensor] = (copies[0] if origin is None else origin,)
    if origin is not None and origin.dim() > copies[0].dim():
        origins = origin.unbind()
    flat = [full_precision(weight.detach()).flatten() for weight in (*copies, *origins)]
    # A graphics processor has no such cache, and waits for every part.
    size = PART if flat[0].device.type == "cpu" else len(flat[0])
    for parts in zip(*(weight.split(size) for weight in flat), strict=True):
        below = parts[len(copies) :]
        away = torch.stack(parts[: len(copies)])
        away.sub_(below[0] if len(below) == 1 else torch.stack(below))
        yield torch.cat([parts[-1][None], away]) if origin is None else away
