"""Validation errors as lines for people: place, dotted path, value, what is allowed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from hiermtl.errors import RecipeError, listing, nearest
from hiermtl.recipe.base import NUMBER, PROBLEM, shown
from hiermtl.recipe.loader import KeyPath


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: the key's path, what is said after it, and whether a number is wanted."""

    path: KeyPath
    message: str
    wants_number: bool = False
    given: object = None


_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "finite_number": "a finite number",
}
_NUMBER_KINDS = frozenset({"int_type", "int_from_float", "float_type", "bool_type", NUMBER})
_LIMITS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}


def problems(error: ValidationError) -> list[Problem]:
    """What pydantic found, in our words and in the order of the recipe."""
    found = error.errors(include_url=False)
    return [
        Problem(
            path=tuple(str(part) for part in item["loc"] if part != "[key]"),
            message=_message(item),
            wants_number=item["type"] in _NUMBER_KINDS,
            given=item["input"],
        )
        for item in found
    ]


def _message(item: Mapping[str, Any]) -> str:
    kind, given, context = item["type"], item["input"], item.get("ctx", {})
    if kind in (PROBLEM, NUMBER):
        return item["msg"]
    if kind == "missing":
        return "is missing; a value is needed"
    if kind in _LIMITS:
        words, key = _LIMITS[kind]
        return f"is {shown(given)}, but it must be {words} {context[key]:g}"
    if kind == "literal_error":
        allowed = [
            part.strip("'") for part in context["expected"].replace(" or ", ", ").split(", ")
        ]
        near = nearest(given, allowed) if isinstance(given, str) else ""
        return f"is {shown(given)}, but allowed are {listing(allowed)}{near}"
    if kind == "string_pattern_mismatch":
        return "is not a name; a name is a letter followed by letters, digits, _ or -"
    if kind in ("too_short", "string_too_short"):
        return (
            f"is {'empty' if not given else shown(given)}; at least {context['min_length']} needed"
        )
    if kind in _KINDS:
        return f"is {shown(given)}, but {_KINDS[kind]} is needed"
    return f"is {shown(given)}: {item['msg']}"


def recipe_error(
    found: Iterable[Problem], places: Mapping[KeyPath, str], *, source: str
) -> RecipeError:
    """All problems as one error, one line each; a line begins with `file:line:` where known."""
    lines = []
    for item in found:
        place = _place(item.path, places) or source
        dotted = ".".join(item.path) or "the recipe"
        lines.append(f"{place}: {dotted} {item.message}" if place else f"{dotted} {item.message}")
    if len(lines) == 1:
        return RecipeError(lines[0])
    return RecipeError("\n".join([f"{source or 'the recipe'} has {len(lines)} errors", *lines]))


def _place(path: KeyPath, places: Mapping[KeyPath, str]) -> str:
    """Place of the key, or of the nearest section around it."""
    for end in range(len(path), 0, -1):
        if path[:end] in places:
            return places[path[:end]]
    return ""
