"""A small recipe that every test may change."""

from typing import Any

import pytest


@pytest.fixture
def small() -> dict[str, Any]:
    return {
        "tasks": {"upos": {"depth": 1}, "ner": {"depth": 2}, "dep": {"depth": 3}},
        "corpora": {"sample": {"format": "sample"}},
    }
