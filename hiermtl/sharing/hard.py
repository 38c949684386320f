"""Hard parameter sharing: one encoder, every head at its top.

Source: Caruana 1993/1997, Multitask learning, section 1. Departs: the encoder is any stack of
blocks. Shapes: one stream (units, width). Limits: one task equals a single-task model.
"""

from collections.abc import Sequence
from typing import Any

from hiermtl.errors import RecipeError
from hiermtl.hierarchy import Hierarchy
from hiermtl.sharing.base import Sharing


class Hard(Sharing):
    """All heads on the same states."""

    name = "hard"
    separable = True

    def __init__(self, hierarchy: Hierarchy, widths: Sequence[int], **options: Any) -> None:
        """Raises RecipeError when the tasks stand at different depths."""
        super().__init__(hierarchy, widths, **options)
        depths = {task.name: task.depth for task in hierarchy}
        if len(set(depths.values())) > 1:
            given = ", ".join(f"tasks.{name}.depth is {depth}" for name, depth in depths.items())
            raise RecipeError(
                f"{given}; under `sharing: hard` all tasks are read at the top: leave `depth` out, "
                "or use `sharing: low_supervision`"
            )
