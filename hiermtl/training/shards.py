"""Processes that hold a part of each weight: torch's `fully_shard`, block by block.

For encoders whose weights, gradients and moments do not fit into one device (Zhao et al. 2023,
PyTorch FSDP). A block's weights are put together when it is read and taken apart again, in all
processes at the same time: so all must make equally many passes, through the same blocks and heads.
A process lacking a task that another has in a pass borrows an example, which counts nothing.
"""

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.distributed as dist
from accelerate.utils import FullyShardedDataParallelPlugin
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor

from hiermtl.errors import RecipeError
from hiermtl.model import HierarchicalModel
from hiermtl.sharing import Sharing
from hiermtl.training.settings import AUTO, Settings
from hiermtl.training.step import TrainingStep
from hiermtl.training.world import alone

NEWER = 2
"""The version of FSDP that `fully_shard` is."""


class Shards:
    """Weights of which every process holds a part."""

    aligned = True

    def __init__(
        self,
        whole: TrainingStep,
        *,
        reshard: bool | None = None,
        offload: bool = False,
    ) -> None:
        """Takes what is trained; its model is kept whole, for evaluation.

        `reshard`: whether blocks are taken apart between forward and backward; torch's default.
        `offload`: whether parts lie in the processor's memory while they are not computed with.

        Raises RecipeError for schemes whose terms or changes concern weights as a whole, and for
        copies of blocks that have weights in common.
        """
        if alone():
            raise RecipeError(
                "training.shard is true, but there is one process; start several (--processes N), "
                "or leave it out"
            )
        if whole.balancer.apart:
            raise RecipeError(
                "weights are to be held in parts (training.shard, or a configuration of accelerate "
                "with FSDP), but balancing by gradients compares those of whole weights; leave one "
                "of the two out"
            )
        model = whole.model
        check_scheme(type(model.sharing))
        check_copies(model)
        self.factor = dist.get_world_size()
        self._whole, self._device = model, model.device
        parts = copy.deepcopy(model)
        mesh = init_device_mesh(self._device.type, (self.factor,))
        policy = CPUOffloadPolicy() if offload else OffloadPolicy()
        for copies in parts.stack.blocks.values():
            for block in copies.children():
                fully_shard(block, mesh=mesh, reshard_after_forward=reshard, offload_policy=policy)
        fully_shard(parts, mesh=mesh, reshard_after_forward=reshard, offload_policy=policy)
        self.trained = TrainingStep(parts, whole.balancer)
        _put(model, "cpu")

    def restructured(self) -> None:
        """Weights that are parts do not change in number."""

    @contextmanager
    def adding_up(
        self, tasks: Iterable[str], *, beside: bool = True
    ) -> Iterator[Callable[[], None]]:
        """Around the passes of a step: gradients of parts are added up in each of them."""
        del tasks, beside
        yield lambda: None
        for weight in self.trained.balancer.parameters():
            if weight.grad is not None:
                dist.all_reduce(weight.grad)
                weight.grad /= self.factor

    @contextmanager
    def evaluated(self) -> Iterator[HierarchicalModel]:
        """The whole model with the weights as they are now."""
        self.hand_back()
        try:
            yield self._whole
        finally:
            _put(self._whole, "cpu")

    def hand_back(self) -> None:
        """Gives the whole model the weights as they are now, on its device."""
        state = _put_together(self.trained.model.state_dict(), everywhere=True)
        self._whole.load_state_dict(state)
        _put(self._whole, self._device)

    def whole(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors on the processor in the first process, nothing in the others."""
        return _put_together(tensors, everywhere=False)


def check_scheme(kind: type[Sharing]) -> None:
    """Raises RecipeError for a scheme whose terms or changes concern weights as a whole."""
    if kind.penalties is not Sharing.penalties or kind.propose is not Sharing.propose:
        raise RecipeError(
            f"training.shard is true, and sharing {kind.name!r} has terms on whole weights or "
            "changes them as it trains, which parts of weights cannot; leave it out"
        )


def check_copies(model: HierarchicalModel) -> None:
    """Raises RecipeError where copies of blocks have weights in common."""
    if model.stack.repeated():
        raise RecipeError(
            f"training.shard is true, and copies of a block under sharing {model.sharing.name!r} "
            "have the weights in common that their adapters stand on, which cannot be parted with "
            "each; leave it out, or use a scheme with one copy, such as low_supervision"
        )


def make_shards(whole: TrainingStep, settings: Settings) -> Shards | None:
    """Parts, where the settings or a configuration of `accelerate launch` ask for them.

    Raises RecipeError for what cannot be done with parts.
    """
    # Of a machine without graphics processors accelerate itself passes its configuration over.
    configured = os.environ.get("ACCELERATE_USE_FSDP", "false") == "true"
    if not settings.shard and not configured:
        return None
    if settings.accumulation == AUTO:
        raise RecipeError(
            "training.accumulation is auto, but processes that hold parts of weights must cut "
            "batches alike; give a number"
        )
    if not configured:
        return Shards(whole)
    plugin = FullyShardedDataParallelPlugin()
    if plugin.fsdp_version != NEWER:
        raise RecipeError(
            f"accelerate's configuration has fsdp_version {plugin.fsdp_version}; allowed is "
            f"{NEWER}: change it, or leave FSDP out and set training.shard=true"
        )
    reshard = plugin.reshard_after_forward
    assert isinstance(reshard, bool)
    offload = isinstance(plugin.cpu_offload, CPUOffloadPolicy)
    return Shards(whole, reshard=reshard, offload=offload)


def _put(model: HierarchicalModel, device: torch.device | str) -> None:
    model.to(device)  # pyright: ignore[reportArgumentType] - transformers wraps `to`


def _put_together(tensors: Mapping[str, Tensor], *, everywhere: bool) -> dict[str, Tensor]:
    """One after the other, so that no device holds more than one of them."""
    found = {}
    kept = everywhere or dist.get_rank() == 0
    for name, tensor in tensors.items():
        value = tensor.detach()
        value = value.full_tensor() if isinstance(value, DTensor) else value
        if kept:
            found[name] = value.cpu()
    return found
