"""The JSON Schema, and the page that explains its keys."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hiermtl.recipe import recipe_names, recipe_path, schema
from hiermtl.recipe.loader import read_file
from hiermtl.recipe.schema import schema_keys

PAGE = Path(__file__).parents[3] / "docs" / "recipes.md"


def properties() -> list[tuple[str, str, dict[str, Any]]]:
    found = schema()
    sections = {"Recipe": found, **found["$defs"]}
    return [
        (name, key, value)
        for name, section in sections.items()
        for key, value in section.get("properties", {}).items()
    ]


def test_every_key_is_described_on_one_line() -> None:
    for section, key, value in properties():
        assert value.get("description"), f"{section}.{key}"
        assert "\n" not in value["description"]


def test_every_default_names_its_source() -> None:
    described = {"name", "description", "join"}  # a constant, or nothing by default
    for section, key, value in properties():
        if key in described or value.get("default") is None or "$ref" in value:
            continue
        assert "Default: " in value["description"], f"{section}.{key}: {value['description']}"


def test_the_schema_is_plain_json_and_knows_the_tables() -> None:
    found = json.loads(json.dumps(schema()))
    assert found["$schema"].endswith("2020-12/schema")
    assert found["properties"]["sharing"]["anyOf"][0]["enum"] == [
        "single",
        "hard",
        "low_supervision",
        "joint_many",
        "hmtl",
        "learned",
        "relationship",
        "adaptive",
        "soft_l2",
        "soft_trace",
        "cross_stitch",
        "sluice",
    ]
    assert found["additionalProperties"] is False
    assert "required" not in found["$defs"]["TaskOptions"]
    assert found["$defs"]["SampleCorpus"]["required"] == ["format"]


def test_every_key_of_the_schema_occurs_in_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    missing = {key for key in schema_keys() if f"`{key}`" not in text}
    assert missing == set()


@cache
def validator() -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    found = schema()
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


@pytest.mark.parametrize("name", sorted(recipe_names()))
def test_every_shipped_recipe_fits_the_schema(name: str) -> None:
    validator().validate(read_file(recipe_path(name)).data)
