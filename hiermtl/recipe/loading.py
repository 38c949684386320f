"""A recipe by name, path or mapping, with overrides, as a validated record."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from hiermtl.errors import RecipeError
from hiermtl.recipe.catalogue import recipe_path, recipes_folder
from hiermtl.recipe.checks import cross_checks
from hiermtl.recipe.layers import merged, nested, plain
from hiermtl.recipe.loader import KeyPath, read_file, read_value
from hiermtl.recipe.messages import Problem, problems, recipe_error
from hiermtl.recipe.models import Recipe
from hiermtl.recipe.resolved import resolved

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class _Source:
    """Raw keys of a recipe, its name, and where each key was written."""

    name: str | None
    label: str
    data: dict[str, object]
    folders: tuple[Path, ...] = ()
    places: dict[KeyPath, str] = field(default_factory=dict)


def load_recipe(
    recipe: str | os.PathLike[str] | Mapping[str, object] | Recipe,
    overrides: Mapping[str, object] | None = None,
    *,
    under: Mapping[str, object] | None = None,
) -> Recipe:
    """The recipe, checked as far as that needs neither files nor encoder.

    `recipe` is a shipped name (`low_supervision/ewt`), the path of a YAML file, or a mapping.
    `overrides` are dotted keys and values (`training.epochs`: 2), applied in order; `None` takes a
    key away. The recipe is laid over the mapping `under`. Raises RecipeError that lists every
    error, one per line.
    """
    source = _read(recipe)
    data, places = merged(under or {}, source.data), dict(source.places)
    for key, value in (overrides or {}).items():
        data = merged(data, nested(key, value))
        _forget(places, tuple(key.split(".")))
    if source.name is not None:
        data = {"name": source.name, **data}
    checked, found = _validated(data)
    if found and overrides:
        # Text is kept as it is unless a number is needed: then it is read as YAML would read it.
        data, changed = _with_numbers(data, found, overrides)
        if changed:
            checked, found = _validated(data)
    if checked is not None and not found:
        found = cross_checks(checked)
    if checked is None or found:
        raise recipe_error(found, places, source=source.label)
    return checked.located(source.label or "a mapping", source.folders)


def _validated(data: Mapping[str, object]) -> tuple[Recipe | None, list[Problem]]:
    try:
        return Recipe.model_validate(data), []
    except ValidationError as error:
        return None, problems(error)


def _read(recipe: str | os.PathLike[str] | Mapping[str, object] | Recipe) -> _Source:
    if isinstance(recipe, Recipe):
        return _Source(recipe.name, recipe.source, resolved(recipe), recipe.folders)
    if isinstance(recipe, Mapping):
        data = plain(recipe)
        assert isinstance(data, dict)
        return _extended(_Source(None, "", data))
    if not isinstance(recipe, str | os.PathLike):
        raise RecipeError(
            f"{recipe!r} is no recipe; pass a shipped name, the path of a YAML file, or a mapping"
        )
    return _extended(_from_file(recipe, Path()))


def _from_file(recipe: str | os.PathLike[str], folder: Path) -> _Source:
    """The file as it stands; a relative path is looked up in `folder`."""
    text = os.fspath(recipe)
    if not isinstance(recipe, str) or text.endswith(_SUFFIXES):
        path = folder / text
        if not os.path.exists(path):
            raise RecipeError(
                f"there is no file {str(path)!r}; give an existing file, or the name of a shipped "
                "recipe (`hiermtl recipes list` shows them)"
            )
        name = path.stem
    else:
        path, name = recipe_path(text), text
    document = read_file(path)
    shipped = recipes_folder().resolve()
    if path.resolve().is_relative_to(shipped):
        name = path.resolve().relative_to(shipped).with_suffix("").as_posix()
    places = {key: f"{path}:{line}" for key, line in document.lines.items()}
    return _Source(name, str(path), document.data, (path.parent,), places)


def _extended(source: _Source) -> _Source:
    """The source laid over the recipe it extends, if it does."""
    if "extends" not in source.data:
        return source
    data = dict(source.data)
    wanted = data.pop("extends")
    place = source.places.get(("extends",), source.label or "the recipe")
    if not isinstance(wanted, str) or not wanted:
        raise RecipeError(
            f"{place}: extends is {wanted!r}, but the name or path of a recipe is needed"
        )
    try:
        base = _from_file(wanted, source.folders[0] if source.folders else Path())
    except RecipeError as error:
        raise RecipeError(f"{place}: extends is {wanted!r}: {error}") from error
    if "extends" in base.data:
        raise RecipeError(
            f"{place}: extends is {wanted!r}, which itself extends {base.data['extends']!r}; a "
            "recipe is extended once, so that it can be read: extend that one and write the "
            "differences here"
        )
    below = {key: value for key, value in base.data.items() if key not in ("name", "description")}
    return _Source(
        source.name,
        source.label,
        merged(below, data),
        (*source.folders, *base.folders),
        {**base.places, **source.places},
    )


def _forget(places: dict[KeyPath, str], path: KeyPath) -> None:
    """A key given as an override has no line in a file."""
    for known in [known for known in places if known[: len(path)] == path]:
        del places[known]
    places[path] = "override"


def _with_numbers(
    data: Mapping[str, object], found: list[Problem], overrides: Mapping[str, object]
) -> tuple[dict[str, object], bool]:
    given = [tuple(key.split(".")) for key in overrides]
    result, changed = dict(data), False
    for item in found:
        own = any(item.path[: len(path)] == path for path in given)
        if own and item.wants_number and isinstance(item.given, str):
            value = read_value(item.given, source=".".join(item.path))
            if not isinstance(value, str):
                result = merged(result, nested(".".join(item.path), value))
                changed = True
    return result, changed
