"""What blocks read is counted where they read it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn

from hiermtl.model import HierarchicalModel


@contextmanager
def block_rows(model: HierarchicalModel) -> Iterator[Counter[int]]:
    """Inside, counts the pieces that the blocks of each depth read, special ones included."""
    found: Counter[int] = Counter()

    def count(depth: int, block: nn.Module, given: tuple[Any, ...]) -> None:
        del block
        found[depth] += int(given[1].row_lengths.sum())

    hooks = [
        block.register_forward_pre_hook(partial(count, depth))
        for depth in range(1, model.stack.depth + 1)
        for block in model.stack.copies(depth).values()
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
