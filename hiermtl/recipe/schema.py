"""The recipe's JSON Schema: editors complete keys and show their descriptions."""

from typing import Any

from hiermtl.recipe.models import Recipe

_EXTENDS = {
    "type": "string",
    "minLength": 1,
    "description": "Name or path of a recipe that this one is laid over: mappings are merged, "
    "null takes a key away.",
}


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a recipe file."""
    found = Recipe.model_json_schema()
    found.pop("required", None)  # a recipe that extends another need not repeat its tasks
    found["properties"] = {"extends": _EXTENDS, **found["properties"]}
    _on_one_line(found)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hiermtl recipe",
        **{key: value for key, value in found.items() if key != "title"},
    }


def schema_keys(found: dict[str, Any] | None = None) -> set[str]:
    """Every key the schema knows, at any level, without names of tasks, corpora and labels."""
    found = schema() if found is None else found
    sections = [found, *found.get("$defs", {}).values()]
    return {key for section in sections for key in section.get("properties", {})}


def _on_one_line(node: object) -> None:
    """Takes the line breaks of the source out of descriptions."""
    if isinstance(node, dict):
        if isinstance(node.get("description"), str):
            node["description"] = " ".join(node["description"].split())
        for item in node.values():
            _on_one_line(item)
    elif isinstance(node, list):
        for item in node:
            _on_one_line(item)
