"""The aggregators of torchjd by the names they have in recipes, each with its memory.

torchjd is imported when the first one is made, and nowhere else.

Those whose answer grows with the gradients are given gradients whose largest number is between 1
and 2. What torchjd takes to be zero is fixed: in UPGrad a squared length of 1e-4, below which no
conflict is seen any more, while gradients of losses per item become that short as training goes on.
The factor is a power of two, so that nothing is rounded.
"""

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from hiermtl.errors import RecipeError

SERIES = "0.18"
"""The versions of torchjd whose interface this is; minor versions change it."""

INSTALL = "pip install 'hiermtl[torchjd]'"


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of `torchjd.aggregation`.

    `arguments` makes its arguments of the module, the recipe's options and the number of rows.
    `scaled` says that gradients twice as long give an answer twice as long.
    """

    name: str
    arguments: Callable[[Any, Mapping[str, Any], int], Mapping[str, Any]]
    scaled: bool = True


def _plain(torchjd: Any, options: Mapping[str, Any], rows: int) -> Mapping[str, Any]:
    return options


def _projecting(torchjd: Any, options: Mapping[str, Any], rows: int) -> Mapping[str, Any]:
    return {"projector": torchjd.linalg.QuadprogProjector(**options)}


def _leaking(torchjd: Any, options: Mapping[str, Any], rows: int) -> Mapping[str, Any]:
    return {"leak": torch.full((rows,), options["leak"])}


KINDS: Mapping[str, Kind] = {
    "sum": Kind("Sum", _plain),
    "mean": Kind("Mean", _plain),
    "random": Kind("Random", _plain),
    "pcgrad": Kind("PCGrad", _plain),
    "gradvac": Kind("GradVac", _plain),
    "graddrop": Kind("GradDrop", _leaking),
    "mgda": Kind("MGDA", _plain),
    "cagrad": Kind("CAGrad", _plain),
    "upgrad": Kind("UPGrad", _projecting),
    "dualproj": Kind("DualProj", _projecting),
    "imtlg": Kind("IMTLG", _plain),
    "aligned_mtl": Kind("AlignedMTL", _plain),
    "config": Kind("ConFIG", _plain),
    "fairgrad": Kind("FairGrad", _plain, scaled=False),
    "pcd": Kind("PCD", _plain, scaled=False),
}
"""Name in recipes, behind `torchjd.`, to what makes it."""


class Aggregators:
    """An aggregator for each set of tasks that share weights."""

    def __init__(self, kind: str, options: Mapping[str, Any]) -> None:
        """Takes a key of `KINDS` and the options that a recipe has for it.

        Raises:
            RecipeError: torchjd, or what the aggregator needs besides, is not installed.
        """
        self._kind, self._options = KINDS[kind], options
        self._torchjd = _torchjd(kind)
        self._made: dict[tuple[str, ...], Any] = {}
        try:
            self._make(2)
        except ImportError as error:
            raise RecipeError(
                f"balancing.name is 'torchjd.{kind}', which needs packages that are not installed: "
                f"{error}; or take another balancing"
            ) from None

    def __call__(self, rows: Tensor, tasks: Sequence[str]) -> Tensor:
        """(weights,) from the gradients of these tasks, (tasks, weights), which it overwrites."""
        group = tuple(tasks)
        if group not in self._made:
            self._made[group] = self._make(len(rows))
        scale = 1.0
        if self._kind.scaled:
            _, exponent = math.frexp(float(torch.linalg.vector_norm(rows, math.inf)))
            scale = math.ldexp(1.0, exponent - 1)
        with torch.no_grad():
            return self._made[group](rows.div_(scale)) * scale

    def state(self) -> dict[str, Tensor]:
        """`tasks::quantity` to what is remembered of earlier steps."""
        return {
            # The same memory may have two names.
            f"{','.join(group)}::{name}": value.clone()
            for group, aggregator in self._made.items()
            for name, value in aggregator.state_dict().items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from what `state` gave."""
        found: dict[tuple[str, ...], dict[str, Tensor]] = {}
        for key, value in state.items():
            tasks, _, name = key.rpartition("::")
            found.setdefault(tuple(tasks.split(",")), {})[name] = value
        for group, own in found.items():
            aggregator = self._made[group] = self._make(len(group))
            # Only what has seen a step has places for what it remembers.
            wide = [value.dtype for value in own.values() if value.is_floating_point()]
            with torch.no_grad():
                aggregator(torch.eye(len(group), dtype=wide[0]))
            aggregator.load_state_dict(own)

    def _make(self, rows: int) -> Any:
        given = self._kind.arguments(self._torchjd, self._options, rows)
        return getattr(self._torchjd.aggregation, self._kind.name)(**given)


def _torchjd(kind: str) -> Any:
    """The package, where it is there in a version whose interface is known.

    Raises:
        RecipeError: It is not.
    """
    place = f"balancing.name is 'torchjd.{kind}'"
    try:
        torchjd = importlib.import_module("torchjd")
        for part in ("aggregation", "linalg"):
            importlib.import_module(f"torchjd.{part}")
        found = version("torchjd")
    except ImportError as error:
        raise RecipeError(
            f"{place}, which needs torchjd ({error}); install it with `{INSTALL}`, or take another "
            "balancing"
        ) from None
    if not found.startswith(f"{SERIES}."):
        raise RecipeError(
            f"{place}, but torchjd {found} is installed, whose interface may be another one; "
            f"allowed is {SERIES}: `{INSTALL}`"
        )
    return torchjd
