"""Blocks compiled for training, once for batches of every size.

Compiled is what a block computes of each unit by itself: products, norms, activations, dropout.
Attention, which knows of rows and their lengths, is left as it is, so that no shape but the number
of units varies, and that one the compiler is told to take as it comes. Blocks alike share code.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException

from hiermtl.encoders.base import Block
from hiermtl.errors import RunError


@contextmanager
def compiled(model: nn.Module, *, wanted: bool) -> Iterator[Callable[[], None]]:
    """Inside, blocks in training are compiled if it is wanted; what it gives adds new blocks.

    Out of training, and without gradients, they compute as ever.

    Raises:
        RunError: From a block's first step, where there is no compiler.
    """

    def renew() -> None:
        for block, name in _dense(model) if wanted else ():
            if name not in vars(block):
                setattr(block, name, _in_training(block, getattr(block, name)))

    renew()
    try:
        yield renew
    finally:
        for block, name in _dense(model):
            vars(block).pop(name, None)


def _dense(model: nn.Module) -> Iterator[tuple[Block, str]]:
    for block in model.modules():
        if isinstance(block, Block):
            for name in block.dense:
                yield block, name


def _in_training(block: Block, plain: Callable[..., Any]) -> Callable[..., Any]:
    fast = torch.compile(plain, dynamic=True)

    def call(*given: Any) -> Any:
        if not block.training or not torch.is_grad_enabled():
            return plain(*given)
        try:
            return fast(*given)
        except TorchDynamoException as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise RunError(
                f"blocks cannot be compiled ({reason}); install a C++ compiler, or set "
                "training.compile=false"
            ) from error

    return call
