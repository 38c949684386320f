import pytest

from hiermtl.errors import ModelError, RecipeError
from hiermtl.hierarchy import Hierarchy, Task

TASKS = (Task("ner", 4), Task("upos", 2), Task("dep", 4), Task("feats", 2), Task("srl", 9))


def test_tasks_stand_in_order_of_depth_then_of_name() -> None:
    hierarchy = Hierarchy(TASKS)
    assert hierarchy.names == ("feats", "upos", "dep", "ner", "srl")
    assert [task.name for task in hierarchy] == list(hierarchy.names)
    assert Hierarchy(reversed(TASKS)).tasks == hierarchy.tasks


def test_levels_are_ranks_of_the_depths_in_use() -> None:
    hierarchy = Hierarchy(TASKS)
    levels = {name: hierarchy.level(name) for name in hierarchy.names}
    assert levels == {"feats": 1, "upos": 1, "dep": 2, "ner": 2, "srl": 3}
    assert hierarchy.top == 9


def test_tasks_are_found_by_name() -> None:
    hierarchy = Hierarchy(TASKS)
    assert hierarchy["ner"] == Task("ner", 4)
    assert "ner" in hierarchy
    assert "pos" not in hierarchy
    assert len(hierarchy) == 5


def test_a_hierarchy_without_a_task_is_refused() -> None:
    with pytest.raises(RecipeError, match="no task; name at least one under `tasks`"):
        Hierarchy([])


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(RecipeError, match="task names are ner, ner, upos; give each"):
        Hierarchy([Task("upos", 1), Task("ner", 1), Task("ner", 2)])


@pytest.mark.parametrize("depth", [0, -1])
def test_a_task_below_depth_one_is_refused(depth: int) -> None:
    with pytest.raises(RecipeError, match=rf"tasks\.upos\.depth is {depth}; .* depth 1 or above"):
        Hierarchy([Task("upos", depth)])


def test_tasks_are_selected_in_order_of_depth() -> None:
    hierarchy = Hierarchy([Task("dep", 3), Task("upos", 1), Task("ner", 2)])
    assert hierarchy.select() == ("upos", "ner", "dep")
    assert hierarchy.select(["dep", "upos", "dep"]) == ("upos", "dep")
    assert hierarchy.select("ner") == ("ner",)
    with pytest.raises(ModelError, match=r"no task 'nre'; it has upos, ner and dep; did you mean"):
        hierarchy.select(["nre"])
    with pytest.raises(ModelError, match=r"no task 3; it has upos, ner and dep"):
        hierarchy.select([3])  # type: ignore[list-item]
    with pytest.raises(ModelError, match=r"tasks is 3; pass names of upos, ner and dep, or None"):
        hierarchy.select(3)  # type: ignore[arg-type]
