"""Small stacks of column schemes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hiermtl.hierarchy import Hierarchy, Task
from hiermtl.sharing import SHARING, Sharing, Stack
from tests.worlds import make_encoder, randomise

DEPTHS = {"upos": 1, "ner": 2, "dep": 3}
HEADS = nn.ModuleDict()


def make(
    name: str,
    *,
    depths: Mapping[str, int] | None = None,
    spread: float = 0.2,
    family: str = "bert",
    **options: Any,
) -> tuple[Sharing, Stack]:
    """A scheme and its stack, begun; copies start equal, and are then moved apart by `spread`."""
    hierarchy = Hierarchy(Task(task, depth) for task, depth in (depths or DEPTHS).items())
    encoder = make_encoder(family)
    labels = dict.fromkeys(hierarchy.names, 3)
    scheme = SHARING[name](hierarchy, encoder.widths, labels=labels, **options).double()
    stack = Stack(encoder, scheme).double()
    scheme.begin(stack, HEADS)
    if spread:
        randomise(stack.named_parameters(), spread=spread)
    return scheme, stack


def penalty(scheme: Sharing, stack: Stack) -> Tensor:
    """All terms together."""
    terms = list(scheme.penalties(stack, HEADS).values())
    return torch.stack(terms).sum() if terms else torch.zeros((), dtype=torch.float64)


def gradients(scheme: Sharing, stack: Stack) -> dict[str, Tensor]:
    """Of the penalty, for the weights it reaches."""
    stack.zero_grad(set_to_none=True)
    penalty(scheme, stack).backward()
    return {n: p.grad for n, p in stack.named_parameters() if p.grad is not None}
