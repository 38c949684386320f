"""What an encoder family owes the model.

Fresh embedding and blocks, and the width of states at each depth.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from hiermtl.records import Layout


class Part(nn.Module):
    """What there is a copy of for each branch of a depth: an embedding or a block.

    `held` names the modules in it that no training moves, so that copies have them in common.
    """

    held: tuple[str, ...] = ()

    def hold(self) -> None:
        """Takes what is held out of training."""
        for name in self.held:
            self.get_submodule(name).requires_grad_(False)

    def lean_on(self, other: "Part") -> None:
        """Takes what is held from another copy, by reference."""
        for name in self.held:
            self.set_submodule(name, other.get_submodule(name))


class Embedding(Part, ABC):
    """Depth 0: a batch's inputs to states (units, width)."""

    @abstractmethod
    def forward(self, inputs: Mapping[str, Tensor], layout: Layout) -> Tensor:
        """Shapes: inputs as the tokenizer makes them; returns (units, width at depth 0)."""

    if TYPE_CHECKING:

        def __call__(self, inputs: Mapping[str, Tensor], layout: Layout) -> Tensor:
            """As `forward`."""
            ...


class Block(Part, ABC):
    """One step up: states at depth k - 1 to states at depth k.

    `dense` names methods from tensors (units, ...) to such tensors that look at each unit by
    itself, and so can be compiled.
    """

    dense: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def forward(self, values: Tensor, layout: Layout, extra: Tensor | None = None) -> Tensor:
        """Shapes: values (units, width at k - 1).

        Extra (units, extra width) or None; returns (units, width at k).
        """

    @abstractmethod
    def writes(self) -> Sequence[Tensor]:
        """The matrices that make its states, (units of a direction, inputs) each, row by row."""

    if TYPE_CHECKING:

        def __call__(self, values: Tensor, layout: Layout, extra: Tensor | None = None) -> Tensor:
            """As `forward`."""
            ...


class Encoder(ABC):
    """A stack that can be built block by block, as often as a sharing scheme wants copies.

    `widths[k]` is the width of states at depth k; `limit` the most units a row may have (`None`: no
    limit). States consist of `directions` equal parts, one for each way a block reads.
    `side_by_side` says that rows are computed side by side, each for as long as the longest takes,
    even where they lie end to end.
    """

    family: ClassVar[str]
    side_by_side: ClassVar[bool] = False
    directions: ClassVar[int] = 1
    widths: tuple[int, ...]
    limit: int | None = None

    @property
    def blocks(self) -> int:
        """The number of blocks; depths run from 0 to this."""
        return len(self.widths) - 1

    @abstractmethod
    def embedding(self) -> Embedding:
        """A new embedding; copies start equal."""

    @abstractmethod
    def block(self, depth: int, extra_width: int = 0) -> Block:
        """A new block for `depth` (1 to `blocks`); copies start equal.

        With `extra_width` the block reads that many further values per unit beside the states
        below.
        """

    def tap_norm(self) -> nn.Module | None:
        """A new norm for what a head reads; copies start equal.

        `None`, where each block ends in a norm.
        """
        return None

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Plain data from which `from_config` makes the same encoder, `family` among them."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Encoder":
        """The encoder with weights from scratch."""
