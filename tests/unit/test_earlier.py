"""What was written before an option was there means what was done then."""

import json
from pathlib import Path
from typing import Any

import pytest

from hiermtl.commands.run_folder import check_folder, keys_of
from hiermtl.config import FORMAT_VERSION, HierarchicalConfig
from hiermtl.earlier import recipe_then, task_then
from hiermtl.errors import ModelError, RecipeError
from hiermtl.folders import RECIPE
from hiermtl.model import HierarchicalModel
from hiermtl.recipe import load_recipe, resolved
from hiermtl.recipe.resolved import chosen
from hiermtl.reporting import gather

RECIPE_OF_SPANS = "low_supervision/gum"


def spans(**head: Any) -> Any:
    """A recipe with a task of spans."""
    return load_recipe(RECIPE_OF_SPANS, {"tasks.entity.head": {"name": "span", **head}})


def of_before() -> dict[str, Any]:
    """The same recipe as it was saved when there was no `inside`."""
    plain = resolved(spans(inside=False))
    del plain["tasks"]["entity"]["head"]["inside"]
    return plain


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ({"head": "span"}, {"inside": False}),
        ({"head": "span", "options": {"size": 4}}, {"inside": False, "size": 4}),
        ({"head": "span", "options": {"inside": True}}, {"inside": True}),
        ({"head": "tagging", "options": {"dropout": 0.0}}, {"dropout": 0.0}),
        ({"head": "roles", "options": {"size": 4}}, {"unique": False, "size": 4}),
        ({"head": "roles", "options": {"unique": True}}, {"unique": True}),
        ({"head": "tagging"}, None),
    ],
)
def test_a_task_of_a_model(task: dict[str, Any], options: dict[str, Any] | None) -> None:
    before = json.dumps(task)
    assert task_then(task, 1).get("options") == options
    assert task_then(task, 1)["head"] == task["head"]
    assert task_then(task, FORMAT_VERSION) == task
    assert json.dumps(task) == before


def test_a_resolved_recipe() -> None:
    assert recipe_then(of_before()) == resolved(spans(inside=False))
    for plain in (resolved(spans()), resolved(load_recipe("hard/sample"))):
        assert recipe_then(plain) == plain
    for strange in ({}, {"tasks": 3}, {"tasks": {"a": 3}}, {"tasks": {"a": {"head": "span"}}}):
        assert recipe_then(strange) == strange


def test_what_makes_a_recipe_is_what_made_it_then() -> None:
    key = "tasks.entity.head.inside"
    assert key not in chosen(spans(inside=False))
    assert chosen(spans()) == {**chosen(spans(inside=False)), key: True}


def test_a_run_is_gone_on_with_as_what_it_was(tmp_path: Path) -> None:
    (tmp_path / RECIPE).write_text(json.dumps(of_before()), encoding="utf-8")
    assert keys_of(tmp_path) == resolved(spans(inside=False))
    check_folder(tmp_path, spans(inside=False), resume=True)
    with pytest.raises(RecipeError, match=r"other values of tasks\.entity\.head\.inside;"):
        check_folder(tmp_path, spans(), resume=True)


def test_a_report_tells_of_a_run_what_it_was(tmp_path: Path) -> None:
    (tmp_path / RECIPE).write_text(json.dumps(of_before()), encoding="utf-8")
    assert gather(tmp_path).recipe == resolved(spans(inside=False))


def test_a_model_remembers_what_it_was_trained_by() -> None:
    tasks = {"entity": {"depth": 1, "head": "span", "labels": ["a"], "options": {}}}
    old = HierarchicalConfig(tasks=tasks, recipe=of_before(), format_version=1)
    assert old.tasks["entity"]["options"] == {"inside": False}
    assert old.recipe == resolved(spans(inside=False))
    assert HierarchicalConfig(tasks=tasks, format_version=2).tasks == tasks
    roles = {"srl": {"depth": 1, "head": "roles", "labels": ["a"], "options": {}}}
    assert HierarchicalConfig(tasks=roles, format_version=2).tasks["srl"]["options"] == {
        "unique": False
    }
    new = HierarchicalConfig(tasks=tasks)
    assert new.tasks["entity"]["options"] == {}
    newer = HierarchicalConfig(tasks=tasks, format_version=new.format_version + 1)
    with pytest.raises(ModelError, match=f"has format version {newer.format_version}"):
        HierarchicalModel(newer)
