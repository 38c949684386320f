"""AdamW over named parameters: rates per depth and part, a schedule, state by name.

State is kept by name, never by position: after a change of structure the order of parameters is
another one.
"""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from hiermtl.model import HierarchicalModel
from hiermtl.sharing import Edit
from hiermtl.training.settings import Settings

PEAK = "peak_lr"


def freeze(model: HierarchicalModel, first: int, below: int) -> None:
    """Takes the depths `first` to `below` - 1, frozen heads and what is held out of training.

    Where no depth is left, nothing that a frozen task depends on is trained.
    """
    model.stack.hold()
    for depth in range(first, min(below, model.stack.depth + 1)):
        part = model.stack.copies(depth) if depth else model.stack.embeddings
        part.requires_grad_(False)
    for task in model.hierarchy:
        model.head(task.name).requires_grad_(not task.frozen)
        if task.name in model.taps:
            model.taps[task.name].requires_grad_(not task.frozen)
    # What the scheme has for frozen tasks is part of what they compute. What it has for others too
    # may move them where blocks do.
    owned = {task: set(model.sharing.owned(task.name)) for task in model.hierarchy}
    still = set().union(*(own for task, own in owned.items() if task.frozen))
    if first or below <= model.stack.depth:
        still -= set().union(*(own for task, own in owned.items() if not task.frozen))
    for name, weight in model.sharing.named_parameters():
        if name in still:
            weight.requires_grad_(False)


def make_optimizer(
    model: HierarchicalModel, settings: Settings, balancer: nn.Module | None = None
) -> torch.optim.AdamW:
    """AdamW with one group per rate and decay. Biases, norms and vectors are not decayed.

    Nor is what a balancer learns, at the rate of heads.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(
                _rate(model, name, parameter=parameter, settings=settings), []
            ).append(parameter)
    learnt = [] if balancer is None else list(balancer.parameters())
    if learnt:
        groups.setdefault((settings.lr_heads, 0.0), []).extend(learnt)
    parameters = [
        {"params": members, "lr": lr, PEAK: lr, "weight_decay": decay}
        for (lr, decay), members in groups.items()
    ]
    fused = next(model.parameters()).device.type in {"cpu", "cuda"}
    return torch.optim.AdamW(parameters, lr=settings.lr, fused=fused)


def _rate(
    model: HierarchicalModel, name: str, *, parameter: nn.Parameter, settings: Settings
) -> tuple[float, float]:
    for own in model.sharing.rates():
        if name.startswith(own.prefix):
            return settings.lr_heads if own.lr is None else own.lr, own.weight_decay
    decay = settings.weight_decay if parameter.dim() > 1 else 0.0
    part, kind, place, *_ = [*name.split("."), ""]
    if part == "taps":
        depth = model.hierarchy[kind].depth
    elif part == "stack":
        depth = 0 if kind == "embeddings" else int(place)
    else:
        return settings.lr_heads, decay
    return settings.lr * settings.layer_decay ** (model.hierarchy.top - depth), decay


def set_rates(
    optimizer: torch.optim.Optimizer,
    step: int,
    *,
    total: int,
    warmup: int | float,
    decay: float | None = None,
    epoch: int = 0,
) -> float:
    """Linear warm-up to the peak and decay to 0 at `total`; returns the share of the peak.

    `step` counts from 0; `warmup` is as `warm_steps` takes it. With `decay` the share is
    1 / (1 + decay * epoch) instead.
    """
    warm = warm_steps(warmup, total)
    share = min((step + 1) / max(warm, 1), max(0.0, (total - step) / max(1.0, total - warm)), 1.0)
    if decay is not None:
        share = 1 / (1 + decay * epoch)
    for group in optimizer.param_groups:
        group["lr"] = group[PEAK] * share
    return share


def warm_steps(warmup: int | float, total: int) -> float:
    """In how many of `total` steps the rate grows: so many, or, as a float up to 1, a share."""
    return warmup * total if isinstance(warmup, float) and warmup <= 1 else warmup


def rates_of(optimizer: torch.optim.Optimizer) -> Callable[[nn.Parameter], float]:
    """Gives each weight's learning rate as it stands; 0 for those that are not trained."""
    found = {
        id(weight): group["lr"] for group in optimizer.param_groups for weight in group["params"]
    }
    return lambda weight: found.get(id(weight), 0.0)


def optimizer_state(trained: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """`name::quantity` to tensor, for everything the optimizer remembers of weights by name."""
    return {
        f"{name}::{quantity}": value
        for name, parameter in trained.named_parameters()
        for quantity, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    trained: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Puts saved state back by parameter name."""
    named = dict(trained.named_parameters())
    for key, value in tensors.items():
        name, _, quantity = key.rpartition("::")
        # AdamW keeps even the step count beside the parameter when it is fused, as ours is.
        optimizer.state[named[name]][quantity] = like(named[name], value)


def like(weight: Tensor, value: Tensor) -> Tensor:
    """A copy of a whole value where the weight is, or of its part that belongs to the weight's."""
    value = value.to(weight.device)
    if not isinstance(weight, DTensor) or not value.dim():
        return value.clone()
    return distribute_tensor(value, weight.device_mesh, weight.placements)


def carry(
    optimizer: torch.optim.Optimizer,
    model: nn.Module,
    edit: Edit,
    *,
    beside: Iterable[nn.Parameter] = (),
) -> None:
    """Lets new parameters join their parent's group, with a copy of its state; forgets others.

    Without the copy the first step of an Adam on the new parameter alone would be several times too
    long. Forgotten is what neither the model has any more nor stands `beside` it.
    """
    named = dict(model.named_parameters())
    for child_name, parent_name in edit.born.items():
        child, parent = named[child_name], named[parent_name]
        child.grad = None
        child.requires_grad_(parent.requires_grad)
        if not parent.requires_grad:
            continue
        group = next(g for g in optimizer.param_groups if any(p is parent for p in g["params"]))
        group["params"].append(child)
        if parent in optimizer.state:
            state = optimizer.state[parent].items()
            optimizer.state[child] = {
                k: v.clone() if isinstance(v, Tensor) else v for k, v in state
            }
    there = {id(weight) for weight in (*named.values(), *beside)}
    for group in optimizer.param_groups:
        group["params"] = [weight for weight in group["params"] if id(weight) in there]
    for weight in [weight for weight in optimizer.state if id(weight) not in there]:
        del optimizer.state[weight]
