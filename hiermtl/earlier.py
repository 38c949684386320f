"""What files of earlier versions mean, where an option is new and its default not what was done.

Such files do not name the option, and are read as if they named what was done then.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

HEADS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "span": MappingProxyType({"inside": False}),
        "roles": MappingProxyType({"unique": False}),
    }
)
"""A kind of head -> its new options, and what was done before."""

FORMATS: Mapping[str, int] = MappingProxyType({"span": 2, "roles": 3})
"""A kind of head -> the format of model folders since which it has these options."""

KEYS: Mapping[str, Any] = MappingProxyType(
    {
        "adapter.name": "none",
        **{f"head.{option}": then for own in HEADS.values() for option, then in own.items()},
    }
)
"""The last two parts of keys of a recipe -> what was done when there was no such key."""


def task_then(task: Mapping[str, Any], version: int) -> dict[str, Any]:
    """A task of a model's config of a format, with `head` and `options`, as it is written now."""
    kind = str(task.get("head"))
    given = HEADS[kind] if version < FORMATS.get(kind, 0) else {}
    return {**task, **({"options": {**given, **task.get("options", {})}} if given else {})}


def recipe_then(plain: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved recipe as it is written now; what is no such thing stays as it is."""
    tasks = plain.get("tasks")
    if not isinstance(tasks, Mapping):
        return dict(plain)
    return {**plain, "tasks": {name: _with_head(task) for name, task in tasks.items()}}


def _with_head(task: Any) -> Any:
    head = task.get("head") if isinstance(task, Mapping) else None
    if not isinstance(head, Mapping):
        return task
    return {**task, "head": {**HEADS.get(str(head.get("name")), {}), **head}}
