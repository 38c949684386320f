"""One recipe laid over another, and dotted keys laid over a recipe.

Mappings are merged key by key; everything else is replaced; `null` takes a key away. A section that
is chosen by a name (`sharing`, `encoder`, a head, ...) drops the options that the new name does not
have, so `sharing=hard` works whatever the scheme was before.
"""

import os
from collections.abc import Mapping, Sequence

from hiermtl.errors import RecipeError
from hiermtl.recipe.adapters import ADAPTERS
from hiermtl.recipe.balancing import BALANCING
from hiermtl.recipe.base import OneOf
from hiermtl.recipe.corpora import CORPORA
from hiermtl.recipe.encoder import ENCODERS, PretrainedEncoder
from hiermtl.recipe.heads import HEADS
from hiermtl.recipe.loader import KeyPath
from hiermtl.recipe.sampling import SAMPLING
from hiermtl.recipe.schemes import SHARING

_NAMED: dict[KeyPath, OneOf] = {
    ("encoder",): OneOf(ENCODERS, other=PretrainedEncoder),
    ("adapter",): OneOf(ADAPTERS),
    ("sharing",): OneOf(SHARING),
    ("balancing",): OneOf(BALANCING),
    ("sampling",): OneOf(SAMPLING),
    ("tasks", "*", "head"): OneOf(HEADS),
    ("corpora", "*"): OneOf(CORPORA, key="format"),
}


def merged(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """`over` laid over `base`; neither is changed."""
    return _merged(base, over, ())


def nested(key: str, value: object) -> dict[str, object]:
    """`training.epochs` and a value as the mapping it stands for."""
    parts = key.split(".")
    if not all(parts):
        raise RecipeError(
            f"{key!r} is not a key; write the keys from the top of the recipe with dots between, "
            "such as training.epochs"
        )
    result = plain(value)
    for part in reversed(parts):
        result = {part: result}
    assert isinstance(result, dict)
    return result


def plain(value: object) -> object:
    """The value as YAML would give it: paths become text, tuples lists, keys text."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return value


def _merged(
    base: Mapping[str, object], over: Mapping[str, object], path: KeyPath
) -> dict[str, object]:
    result = dict(base)
    for key, value in over.items():
        if value is None and key in result:
            del result[key]
        else:
            result[key] = _laid(result.get(key), value, (*path, key))
    return result


def _laid(base: object, over: object, path: KeyPath) -> object:
    named = _named(path)
    if named is not None:
        base, over = named.long(base), named.long(over)
    if isinstance(base, list) and isinstance(over, Mapping):
        return _items(base, over, path)
    if not isinstance(over, Mapping):
        return over
    if not isinstance(base, Mapping):
        # Also here nulls are meant: they say that the key is not wanted.
        return dict(over)
    if named is not None and named.key in over and over[named.key] != base.get(named.key):
        # A corpus of another format has other files, even where the keys are called the same.
        model = named.model(over[named.key]) if named.short else None
        kept = model.model_fields if model is not None else ()
        base = {key: value for key, value in base.items() if key in kept}
    return _merged(base, over, path)


def _items(base: list[object], over: Mapping[str, object], path: KeyPath) -> object:
    """Items of a list laid over by their index."""
    if not all(key.isdigit() and int(key) < len(base) for key in over):
        given = next(key for key in over if not key.isdigit() or int(key) >= len(base))
        raise RecipeError(
            f"{'.'.join((*path, given))} is not a key; {'.'.join(path)} is a list with items "
            f"0 to {len(base) - 1}"
            if base
            else f"{'.'.join((*path, given))} is not a key; {'.'.join(path)} is an empty list"
        )
    result = list(base)
    for key, value in over.items():
        result[int(key)] = _laid(result[int(key)], value, (*path, key))
    return result


def _named(path: KeyPath) -> OneOf | None:
    for pattern, marker in _NAMED.items():
        if len(pattern) == len(path) and all(
            a in ("*", b) for a, b in zip(pattern, path, strict=True)
        ):
            return marker
    return None
