"""Blocks compiled for training, once for batches of every size.

Compiled is what a block computes of each unit by itself: products, norms, activations, dropout.
Attention, which knows of rows and their lengths, is left as it is, so that no shape but the number
of units varies, and that one the compiler is told to take as it comes. Blocks alike share code.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException
from torch._functorch import config
from torch._inductor import config as code

from hiermtl.encoders.base import Block
from hiermtl.errors import RunError


@contextmanager
def compiled(
    model: nn.Module, *, wanted: bool, again: bool = False
) -> Iterator[Callable[[], None]]:
    """Inside, blocks in training are compiled if it is wanted; what it gives adds new blocks.

    `again`: a pass may be taken backwards more than once, so that what it keeps must stay.

    Out of training, and without gradients, they compute as ever.

    Raises:
        RunError: From a block's first step, where there is no compiler.
    """

    def renew() -> None:
        for block, name in _dense(model) if wanted else ():
            held = vars(block).get(name)
            # A copy of a block holds what was made for the block it was copied from.
            if held is None or held.block is not block:
                vars(block).pop(name, None)
                setattr(block, name, _InTraining(block, getattr(block, name)))

    renew()
    try:
        with _kept() if wanted and again else nullcontext():
            yield renew
    finally:
        for block, name in _dense(model):
            vars(block).pop(name, None)


@contextmanager
def _kept() -> Iterator[None]:
    """Inside, compiled passes leave what they keep as it is, to be taken backwards once more.

    Stored code is passed over: torch finds it by what is computed, whether or not that may be
    overwritten, and so would take what was written for passes that are taken backwards once.
    """
    with (
        config.patch(donated_buffer=False, enable_autograd_cache=False),
        code.patch(fx_graph_cache=False),
    ):
        yield


def _dense(model: nn.Module) -> Iterator[tuple[Block, str]]:
    for block in model.modules():
        if isinstance(block, Block):
            for name in block.dense:
                yield block, name


class _InTraining:
    """A block's method, compiled where it trains."""

    def __init__(self, block: Block, plain: Callable[..., Any]) -> None:
        self.block, self.plain = block, plain
        self.fast = torch.compile(plain, dynamic=True)

    def __deepcopy__(self, memo: dict[int, Any]) -> "_InTraining":
        return self

    def __call__(self, *given: Any) -> Any:
        if not self.block.training or not torch.is_grad_enabled():
            return self.plain(*given)
        try:
            return self.fast(*given)
        except TorchDynamoException as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise RunError(
                f"blocks cannot be compiled ({reason}); install a C++ compiler, or set "
                "training.compile=false"
            ) from error
