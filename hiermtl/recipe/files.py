"""Field types shared by sections: one name or several, one file or several."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema

from hiermtl.recipe.base import problem, shown


def _texts_or_none(value: object) -> tuple[str, ...]:
    return () if isinstance(value, list | tuple) and not value else _texts(value)


def _texts(value: object) -> tuple[str, ...]:
    found = (value,) if isinstance(value, str) else value
    if not isinstance(found, Sequence) or not found:
        raise problem(f"is {shown(value)}, but a text or a list of texts is needed")
    for item in found:
        if not isinstance(item, str) or not item:
            raise problem(f"holds {shown(item)}, but a text or a list of texts is needed")
    if len(set(found)) < len(found):
        twice = next(item for item in found if list(found).count(item) > 1)
        raise problem(f"holds {twice!r} twice; name it once")
    return tuple(found)


_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
    ]
}

Names: TypeAlias = Annotated[
    tuple[str, ...], BeforeValidator(_texts), Field(strict=False), WithJsonSchema(_SCHEMA)
]
"""One name or a list of names."""

NamesOrNone: TypeAlias = Annotated[
    tuple[str, ...],
    BeforeValidator(_texts_or_none),
    Field(strict=False),
    WithJsonSchema({"anyOf": [_SCHEMA, {"type": "array", "maxItems": 0}]}),
]
"""One name, a list of names, or an empty list."""

Files: TypeAlias = Annotated[
    tuple[str, ...], BeforeValidator(_texts), Field(strict=False), WithJsonSchema(_SCHEMA)
]
"""One file or a list of files."""
