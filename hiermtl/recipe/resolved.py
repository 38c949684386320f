"""A recipe as plain data: saved with a run, compared on --resume."""

from collections.abc import Iterator, Mapping
from typing import Any

from hiermtl.earlier import KEYS
from hiermtl.recipe.models import Recipe

RESUMABLE = frozenset({"training.processes", "training.output"})
"""Keys that may differ between a run and its continuation: they change no number of the result."""

NAMING = frozenset({"name", "format"})
"""Keys that say which of several kinds a part is; of each kind they are the default."""


def resolved(recipe: Recipe) -> dict[str, Any]:
    """Every key with its value, defaults included, as plain data that `load_recipe` reads back."""
    return recipe.model_dump(mode="json")


def differences(first: Recipe | Mapping[str, Any], second: Recipe | Mapping[str, Any]) -> list[str]:
    """Dotted keys in which two resolved recipes differ, sorted; name and `RESUMABLE` keys aside."""
    left, right = (
        flattened(resolved(item) if isinstance(item, Recipe) else item) for item in (first, second)
    )
    absent = object()
    keys = {key for key in {*left, *right} if left.get(key, absent) != right.get(key, absent)}
    return sorted(keys - RESUMABLE - {"name"})


def chosen(recipe: Recipe) -> dict[str, Any]:
    """Dotted keys whose value is not the default, and the name of each part: what makes a recipe.

    A key that a later version adds is not among them, unless it is set to something else than was
    done before.
    """
    told = flattened(recipe.model_dump(mode="json", exclude_defaults=True))
    return {
        key: value
        for key, value in flattened(resolved(recipe)).items()
        if _changes(key, value, told)
    }


def _changes(key: str, value: Any, told: Mapping[str, Any]) -> bool:
    """Whether a recipe that had not said this would have been another one, in any version."""
    parts = key.split(".")
    end = ".".join(parts[-2:])
    if end in KEYS:
        return value != KEYS[end]
    return key in told or parts[-1] in NAMING


def flattened(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys and their values."""
    return dict(_leaves(plain, ()))


def default_output(recipe: Recipe) -> str:
    """The run folder of a recipe that names none: `runs/<name with / as ->`."""
    return f"runs/{(recipe.name or 'recipe').replace('/', '-')}"


def _leaves(value: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _leaves(item, (*path, str(key)))
        else:
            yield ".".join((*path, str(key))), item
