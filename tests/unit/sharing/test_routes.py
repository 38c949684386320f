"""What each task depends on, from the structure alone."""

from pathlib import Path

import pytest
import torch

import hiermtl.sharing
from hiermtl.errors import RecipeError
from hiermtl.hierarchy import Hierarchy, Task
from hiermtl.sharing import SHARED, SHARING, Hard, LowSupervision, Routes, Sharing, Single, Stack
from tests.property.contract_schemes import (
    Columns,
    LabelEmbeddings,
    LabelsAcrossBranches,
    SeparateColumns,
    Splitting,
)
from tests.worlds import assert_same, make_encoder

DEPTHS = {"upos": 1, "ner": 2, "dep": 3}
WIDTHS = (11, 16, 16, 16)


def hierarchy(**depths: int) -> Hierarchy:
    return Hierarchy(Task(name, depth) for name, depth in (depths or DEPTHS).items())


def column(branch: str, top: int) -> set[tuple[int, str]]:
    return {(depth, branch) for depth in range(top + 1)}


def test_under_low_supervision_a_task_depends_on_the_blocks_up_to_its_depth() -> None:
    routes = Routes(LowSupervision(hierarchy(), WIDTHS))
    for task, depth in DEPTHS.items():
        assert routes[task].raw == routes[task].mixed == column(SHARED, depth)
        assert routes[task].tasks == {task}
        assert routes[task].depth == depth
    assert routes.depths() == DEPTHS


def test_under_single_a_task_depends_on_its_own_branch() -> None:
    scheme = Single(hierarchy(), WIDTHS)
    routes = Routes(scheme)
    for task, depth in DEPTHS.items():
        assert routes[task].raw == column(task, depth)
    assert dict(scheme.branches(0)) == {"upos": None, "ner": None, "dep": None}
    assert dict(scheme.branches(2)) == {"ner": "ner", "dep": "dep"}


def test_under_columns_a_task_depends_on_every_stream_it_mixes() -> None:
    everyone = Routes(Columns(hierarchy(), WIDTHS, streams="all"))
    assert everyone["ner"].raw == {(depth, task) for depth in range(3) for task in DEPTHS}
    assert everyone["ner"].mixed == {(2, "ner")} | {(d, task) for d in range(2) for task in DEPTHS}
    live = Routes(Columns(hierarchy(), WIDTHS, streams="live"))
    assert live["dep"].raw == column("dep", 3) | column("ner", 2) | column("upos", 1)
    assert everyone["dep"].raw > live["dep"].raw
    apart = Routes(SeparateColumns(hierarchy(), WIDTHS))
    assert apart["dep"].raw == column("dep", 3)


def test_a_fed_task_is_part_of_what_the_upper_one_depends_on() -> None:
    scheme = LabelEmbeddings(hierarchy(), WIDTHS, labels={"upos": 5}, tasks=["upos"])
    routes = Routes(scheme)
    assert routes["dep"].tasks == {"dep", "upos"}
    assert routes["upos"].tasks == {"upos"}
    assert routes["dep"].raw == column(SHARED, 3)


def test_a_fed_task_brings_the_branch_it_is_read_from() -> None:
    scheme = LabelsAcrossBranches(hierarchy(), WIDTHS, labels={"upos": 5}, tasks=["upos"])
    assert Routes(scheme)["dep"].raw == column("dep", 3) | column("upos", 1)


def test_tasks_are_fed_through_other_tasks() -> None:
    scheme = LabelEmbeddings(
        hierarchy(), WIDTHS, labels=dict.fromkeys(DEPTHS, 5), tasks=["upos", "ner"]
    )
    assert Routes(scheme)["dep"].tasks == set(DEPTHS)
    assert Routes(scheme)["ner"].tasks == {"upos", "ner"}


def test_a_forked_branch_depends_on_its_own_part_and_the_common_one() -> None:
    groups = {"3": {SHARED: ["upos", "dep"], "ner": ["ner"]}}
    scheme = Splitting(hierarchy(upos=3, ner=3, dep=3), WIDTHS, groups=groups)
    assert Routes(scheme)["ner"].raw == {(0, SHARED), (1, SHARED), (2, SHARED), (3, "ner")}
    assert Routes(scheme)["dep"].raw == column(SHARED, 3)


def test_only_blocks_that_some_task_depends_on_are_built() -> None:
    encoder = make_encoder("bilstm", blocks=5)
    stack = Stack(encoder, LowSupervision(hierarchy(upos=1, ner=2), encoder.widths))
    assert stack.depth == 2
    single = Stack(encoder, Single(hierarchy(), encoder.widths))
    built = {(int(d), b) for d, copies in single.blocks.items() for b, _ in copies.named_children()}
    assert built == {(1, "upos"), (1, "ner"), (2, "ner"), (1, "dep"), (2, "dep"), (3, "dep")}


def test_copies_of_a_block_start_equal_and_depths_differ() -> None:
    encoder = make_encoder("bilstm")
    stack = Stack(encoder, Single(hierarchy(upos=3, ner=3), encoder.widths))
    for depth in (1, 2, 3):
        one, two = (dict(stack.block(depth, b).named_parameters()) for b in ("upos", "ner"))
        assert_same(one, two)
        assert all(one[name] is not two[name] for name in one)
    two, three = (
        stack.block(d, "upos").get_parameter("left_to_right.weight_hh_l0") for d in (2, 3)
    )
    assert not torch.equal(two, three)


def test_how_many_blocks_are_built_changes_none_of_them() -> None:
    encoder = make_encoder("bert")
    low = Stack(encoder, LowSupervision(hierarchy(upos=1), encoder.widths), seed=3)
    high = Stack(encoder, LowSupervision(hierarchy(dep=3), encoder.widths), seed=3)
    assert_same(
        low.state_dict(), {n: v for n, v in high.state_dict().items() if n in low.state_dict()}
    )


def test_hard_sharing_refuses_tasks_at_different_depths() -> None:
    with pytest.raises(
        RecipeError, match=r"tasks\.upos\.depth is 1, tasks\.ner\.depth is 2, .*low_supervision"
    ):
        Hard(hierarchy(), WIDTHS)
    assert Routes(Hard(hierarchy(upos=2, ner=2), WIDTHS)).depths() == {"upos": 2, "ner": 2}


@pytest.mark.parametrize("name", SHARING)
def test_structure_given_back_as_options_makes_the_same_structure(name: str) -> None:
    one = SHARING[name](hierarchy(upos=2, ner=2), WIDTHS, labels={"upos": 3, "ner": 3})
    two = SHARING[name](
        hierarchy(upos=2, ner=2), WIDTHS, labels={"upos": 3, "ner": 3}, **one.structure()
    )
    assert one.structure() == two.structure()
    assert [dict(one.branches(d)) for d in range(3)] == [dict(two.branches(d)) for d in range(3)]
    assert "labels" not in one.structure()


def test_every_file_is_a_row_and_every_row_a_file() -> None:
    folder = Path(hiermtl.sharing.__file__).parent
    rows = {scheme.__module__.rpartition(".")[2] for scheme in SHARING.values()}
    assert rows <= {path.stem for path in folder.glob("*.py")}
    assert {name: scheme.name for name, scheme in SHARING.items()} == {
        name: name for name in SHARING
    }
    assert all(issubclass(scheme, Sharing) for scheme in SHARING.values())
