"""One encoder, many tasks, each read at the depth where it belongs.

Names are imported when they are first used, so that `import hiermtl` needs neither torch nor spaCy.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from hiermtl._version import __version__

if TYPE_CHECKING:
    from hiermtl.annotation import Annotator, Pair, load
    from hiermtl.commands import (
        annotate,
        check,
        evaluate,
        exits,
        export,
        extend,
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

# For each shape of a product oneDNN keeps the code it wrote, and torch what it prepared: 1,024 of
# each, unless they are told otherwise before the first. Text brings ever new shapes; those that
# recur fit into 64.
for _cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_cache, "64")

_HOMES = {
    "hiermtl.annotation": ("Annotator", "Pair", "load"),
    "hiermtl.commands": (
        "annotate",
        "check",
        "evaluate",
        "exits",
        "export",
        "extend",
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
    "check",
    "evaluate",
    "exits",
    "export",
    "extend",
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
