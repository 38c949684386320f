"""One encoder, many tasks, each read at the depth where it belongs.

Names are imported when they are first used, so that `import hiermtl` needs neither torch nor spaCy.
"""

import importlib
from typing import TYPE_CHECKING, Any

from hiermtl._version import __version__
from hiermtl.shapes import ANNOTATING, keep_shapes

if TYPE_CHECKING:
    from hiermtl.annotation import Annotator, Pair, load
    from hiermtl.commands import (
        annotate,
        benchmark,
        check,
        compare,
        evaluate,
        exits,
        export,
        extend,
        grid,
        probe,
        report,
        train,
    )
    from hiermtl.config import HierarchicalConfig
    from hiermtl.document import Document
    from hiermtl.errors import DataError, HiermtlError, ModelError, RecipeError, RunError
    from hiermtl.hierarchy import Hierarchy, Task
    from hiermtl.model import HierarchicalModel
    from hiermtl.recipe import load_recipe

keep_shapes(ANNOTATING)

_HOMES = {
    "hiermtl.annotation": ("Annotator", "Pair", "load"),
    "hiermtl.commands": (
        "annotate",
        "benchmark",
        "check",
        "compare",
        "evaluate",
        "exits",
        "export",
        "extend",
        "grid",
        "probe",
        "report",
        "train",
    ),
    "hiermtl.document": ("Document",),
    "hiermtl.errors": ("DataError", "HiermtlError", "ModelError", "RecipeError", "RunError"),
    "hiermtl.hierarchy": ("Hierarchy", "Task"),
    "hiermtl.config": ("HierarchicalConfig",),
    "hiermtl.model": ("HierarchicalModel",),
    "hiermtl.recipe": ("load_recipe",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Annotator",
    "DataError",
    "Document",
    "HierarchicalConfig",
    "HierarchicalModel",
    "Hierarchy",
    "HiermtlError",
    "ModelError",
    "Pair",
    "RecipeError",
    "RunError",
    "Task",
    "__version__",
    "annotate",
    "benchmark",
    "check",
    "compare",
    "evaluate",
    "exits",
    "export",
    "extend",
    "grid",
    "load",
    "load_recipe",
    "probe",
    "report",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'hiermtl' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
