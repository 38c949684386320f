"""What a sharing scheme answers: which copies exist, what flows between them, what a task reads.

The states at one depth are held by *branches*: columns of states with a block of their own. A
branch at depth k reads one branch at depth k - 1, its parent, so that the branches form a forest
rooted in the embeddings; mixing between branches of one depth happens after their blocks. As it
stands the class is one stream of states: one branch at each depth, read by every task.

Structure is plain data (`branches`, `branch_of`, `reads`, `senders`, `feeds`, `sees`,
`extra_width`), from which `Routes` knows, before any computation, which blocks a task depends on;
`owned` names what else of the scheme it depends on. `ties` says which copies are held together, and
`prior` what holds layers of the tasks' own, for `describe`, which tells a structure as plain data.
Computation is `extra`, `mix` and `read`. Training is `check_examples`, `check_steps`, `begin`,
`penalties`, `observe`, `after_step`, `propose` and `rates`. What is observed is added up over
passes and processes, in `pending`, before `after_step`.

Source: the interface of sharing schemes worked out for this project; each scheme's file names its
paper.
"""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from hiermtl.errors import RecipeError, listing, nearest
from hiermtl.hierarchy import Hierarchy
from hiermtl.precision import full_precision
from hiermtl.records import Stream

if TYPE_CHECKING:
    from hiermtl.sharing.routes import Stack

SHARED = "shared"
"""The branch of schemes with a single stream."""


GIVEN = ("labels", "directions", "lower")
"""What a scheme is told of the model, beside its options."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of structure: each new parameter's name, and whose copy it is.

    Names are the whole model's: what `propose` adds to its stack begins with `stack.`. `another`
    says that tasks have another function from here on, so that weights from before are no longer
    compared for the best.
    """

    born: Mapping[str, str] = field(default_factory=dict)
    another: bool = False


@dataclass(frozen=True, slots=True)
class Rate:
    """An own rate and weight decay for parameters of the model that begin with `prefix`.

    `None` is the rate of heads.
    """

    prefix: str
    lr: float | None
    weight_decay: float


def check_choice(key: str, value: str, allowed: Collection[str]) -> None:
    """Raises RecipeError when an option of a scheme is none of the values it may have."""
    if value not in allowed:
        raise RecipeError(
            f"sharing.{key} is {value!r}; allowed are {listing(allowed)}{nearest(value, allowed)}"
        )


def check_every(every: int, total: int, *, what: str) -> None:
    """Raises RecipeError when a run is over before `what` is done for the first time.

    Done behind the last step it would serve none.
    """
    if every < total:
        return
    allowed = f"allowed is 1 to {total - 1:,}: lower it, or " if total > 1 else ""
    raise RecipeError(
        f"sharing.every is {every:,}, but the run has {total:,} step{'' if total == 1 else 's'}, "
        f"so that {what} would never be; {allowed}train for more than {every:,} steps "
        "(training.epochs, training.max_steps)"
    )


def weighed_sum(shares: Tensor, values: Sequence[Tensor]) -> Tensor:
    """The sum of values, each times its share, in the type of the values.

    Computed in fp32 at least: in half precision a share of 0.9 is another one.
    """
    with torch.autocast(shares.device.type, enabled=False):
        parts = [s * full_precision(v) for s, v in zip(shares.unbind(), values, strict=True)]
        return torch.stack(parts).sum(0).to(values[0].dtype)


class Sharing(nn.Module):
    """One stream of states for all tasks."""

    name: ClassVar[str]

    grows: ClassVar[bool] = True
    """Whether a trained model can have tasks added or taken away: not where weights or structure
    are those of all tasks together."""

    separable: ClassVar[bool] = False
    """Whether the scheme made for some of the tasks has the structure it has for them among all. If
    not, a model without some of its tasks still tells the scheme of them."""

    remedies: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """What helps where a term of `penalties`, by its name, is no number."""

    even_start: bool = False
    """Whether heads start by finding all choices equally probable."""

    detach_labels: bool = False
    """Whether what reads a task's predictions leaves that task's head alone."""

    def __init__(
        self,
        hierarchy: Hierarchy,
        widths: Sequence[int],
        *,
        labels: Mapping[str, int] | None = None,
        directions: int = 1,
        lower: Mapping[str, Sequence[str]] | None = None,
        **options: Any,
    ) -> None:
        """Takes hierarchy, widths of states by depth, label counts by task, and options.

        Only tasks with a label count may be fed to others: those that give words a label each, and
        are not auxiliary.

        States consist of `directions` equal parts, one for each way a block reads. `lower` are the
        tasks whose predictions a task's head reads, none of them read above it.

        Raises RecipeError when the scheme cannot serve this hierarchy or encoder.
        """
        super().__init__()
        self.hierarchy, self.widths, self.options = hierarchy, tuple(widths), options
        self.labels, self.directions = dict(labels or {}), directions
        self.lower = dict(lower or {})
        self.anchors: dict[str, Tensor] = {}
        self.pending: Tensor | None = None

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """What a config may say of the scheme: the named arguments of its `__init__`."""
        given = inspect.signature(cls.__init__).parameters.values()
        return tuple(p.name for p in given if p.kind is p.KEYWORD_ONLY and p.name not in GIVEN)

    def branches(self, depth: int) -> Mapping[str, str | None]:
        """The branches at a depth, each with its parent at the depth below (`None` at depth 0)."""
        return {SHARED: SHARED if depth else None}

    def branch_of(self, task: str) -> str:
        """The branch whose states the task reads at its depth."""
        return SHARED

    def reads(self, task: str) -> Sequence[tuple[int, str]]:
        """Every (depth, branch) the task's head reads from, none above its own depth."""
        return ((self.hierarchy[task].depth, self.branch_of(task)),)

    def senders(self, depth: int, branch: str) -> Sequence[str]:
        """The branches mixed into this one after the blocks of `depth`, itself included."""
        return (branch,)

    def silent(self) -> Collection[tuple[int, str, str]]:
        """Each (depth, receiver, sender) of `senders` that adds nothing, as weights stand.

        Asked in evaluation alone: a pass that needs no gradient leaves such senders out. `mix` then
        may lack them, or have them of other sentences. No branch is silent to itself.
        """
        return ()

    def feeds(self, depth: int) -> Sequence[str]:
        """The tasks whose predictions enter the blocks of `depth`; each must be read below it."""
        return ()

    def sees(self, depth: int) -> Sequence[tuple[int, str]]:
        """Every (depth, branch) further down whose states the blocks of `depth` read too."""
        return ()

    def ties(self, depth: int) -> Sequence[Sequence[str]]:
        """Groups of branches whose copies of a block `penalties` or `after_step` hold together."""
        return ()

    def prior(self) -> Sequence[str]:
        """Where each head reads a layer of its own, the axes of them that a prior relates."""
        return ()

    def extra_width(self, depth: int) -> int:
        """How many further values per unit the blocks of `depth` read."""
        return 0

    def extra(
        self,
        depth: int,
        stream: Stream,
        *,
        fed: Mapping[str, Tensor],
        seen: Sequence[Tensor],
    ) -> Tensor | None:
        """(units, extra width) for a block of `depth` that is about to read `stream`.

        `fed` holds for each task of `feeds(depth)` how probable its labels are, (words, labels),
        for the words of `stream` and in their order; `seen` the states of `sees(depth)`, (units,
        width) each.
        """
        return None

    def owned(self, task: str) -> Sequence[str]:
        """Names of the scheme's own parameters that a task depends on."""
        return ()

    def mix(
        self, depth: int, streams: Mapping[str, Stream], *, receivers: Mapping[str, np.ndarray]
    ) -> Mapping[str, Stream]:
        """The states after mixing, for each receiving branch and the sentences it is wanted for."""
        return streams

    def head_width(self, task: str) -> int:
        """The width of what `read` gives the task's head."""
        return self.widths[self.hierarchy[task].depth]

    def read(self, task: str, values: Sequence[Tensor]) -> Tensor:
        """(words, width) for the task's head, from the word states of each of its `reads`."""
        return values[0]

    def penalties(self, stack: "Stack", heads: nn.ModuleDict) -> dict[str, Tensor]:
        """Terms on the weights of blocks and heads (by task), once per optimizer step; fp32."""
        return {}

    @property
    def observes(self) -> bool:
        """Whether it wants to see how hard the examples of each step are."""
        return False

    @property
    def needs_gold(self) -> bool:
        """Whether only examples that carry a task say how hard it finds them."""
        return True

    def observe(self, margins: Mapping[str, tuple[np.ndarray, Tensor]]) -> None:
        """Sees a pass of a step, and adds it to `pending`; called where it `observes`.

        `margins` are those of `HierarchicalModel.margins`, or, where it needs no gold, of `doubts`:
        task to sentences of the batch, ascending, and a number for each.
        """

    def unseen(self) -> Tensor:
        """What is `pending` of a process that had no pass."""
        raise NotImplementedError

    def check_examples(
        self, items: Mapping[str, np.ndarray], *, units: Mapping[str, str | None]
    ) -> None:
        """Raises RecipeError when the scheme cannot train on these examples.

        `items` are the labelled items of each, by task; `units` what a task judges, `word`, `text`
        or `pair`, or `None` where what it says has no probability.
        """

    def check_steps(self, total: int) -> None:
        """Raises RecipeError when in a training of so many steps the scheme would do nothing."""

    def begin(self, stack: "Stack", heads: nn.ModuleDict) -> None:
        """Before the first step of a training: what must be remembered of it goes to `anchors`.

        Checkpoints hold `anchors`, so that a run that goes on has them; models do not.
        """

    def after_step(
        self,
        stack: "Stack",
        heads: nn.ModuleDict,
        step: int,
        *,
        rates: Callable[[nn.Parameter], float],
    ) -> None:
        """Closed-form updates, of the scheme's own buffers or of weights, after a step that moved.

        `rates` gives the learning rate that a weight had in it.
        """

    def propose(self, stack: "Stack", step: int, *, done: float = 0.0) -> Edit | None:
        """May change the structure between two steps; `done` is the share of all steps that are.

        No task's function in evaluation may change by it, unless the edit says so.
        """
        return None

    def rates(self) -> Sequence[Rate]:
        """Parameters of the scheme that need a rate of their own."""
        return ()

    def learnt(self) -> dict[str, Any]:
        """What training has taught the scheme, as plain data that can be read and drawn."""
        return {}

    @property
    def settled(self) -> bool:
        """Whether training may end early; not before a change that is sure to come."""
        return True

    def depths(self) -> Mapping[str, int] | None:
        """Task to depth, where the scheme has become low supervision with these depths."""
        return None

    def structure(self) -> dict[str, Any]:
        """Plain data that, given to the constructor as options, makes the same structure again."""
        return dict(self.options)
