"""Aggregators of torchjd under the names of recipes: which there are, their options and memory."""

import importlib
import inspect
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from hiermtl.errors import RecipeError, RunError
from hiermtl.recipe.aggregators import AGGREGATORS
from hiermtl.seeding import seeded
from hiermtl.training import Settings, aggregators
from hiermtl.training.aggregators import KINDS, Aggregators
from hiermtl.training.balancing import AggregatingBalancer, make_balancer

aggregation = pytest.importorskip("torchjd.aggregation")

LEFT_OUT = {
    "Constant": "weights of tasks do it",
    "Krum": "made against adversaries, of whom a row may be dropped",
    "TrimmedMean": "likewise",
    "ExcessMTL": "it counts steps in no buffer, which a checkpoint could hold",
    "NashMTL": "it remembers a solver's problem, likewise",
}
BASES = {"Aggregator", "WeightedAggregator", "GramianWeightedAggregator"}
REQUIRED = {"pcd": {"primary": "a"}}
TASKS = ("a", "b", "c")


def options_of(kind: str) -> dict[str, Any]:
    """The defaults of a recipe."""
    model = AGGREGATORS[f"torchjd.{kind}"]
    return model.model_validate(REQUIRED.get(kind, {})).model_dump(exclude={"name"})


def there(kind: str) -> bool:
    """Whether all that it needs is installed."""
    needed = importlib.util.find_spec("cvxpy") is not None
    return kind != "cagrad" or needed


INSTALLED = [kind for kind in KINDS if there(kind)]


def balancer(kind: str, *, seed: int = 0, **options: Any) -> AggregatingBalancer:
    given = {**options_of(kind), **options}
    return AggregatingBalancer(kind, dict.fromkeys(TASKS, 1.0), seed=seed, **given)


def rows_of(count: int = 3, width: int = 7, *, seed: int = 0, kind: Any = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator, dtype=torch.float64).to(kind)


def combined(
    kind: str, rows: Tensor, *, step: int = 0, tasks: Sequence[str] = TASKS, **options: Any
) -> Tensor:
    return balancer(kind, **options).combine(rows.clone(), tasks[: len(rows)], step=step)


def test_all_aggregators_of_the_package_are_there_or_left_out() -> None:
    found = {
        name
        for name in aggregation.__all__
        if issubclass(getattr(aggregation, name), aggregation.Aggregator)
    }
    known = {kind.name for kind in KINDS.values()}
    assert known | LEFT_OUT.keys() | BASES == found
    assert not known & LEFT_OUT.keys()
    assert {f"torchjd.{kind}" for kind in KINDS} == set(AGGREGATORS)


@pytest.mark.parametrize("kind", KINDS)
def test_options_and_their_defaults_are_those_of_the_package(kind: str) -> None:
    made = getattr(aggregation, KINDS[kind].name)
    if KINDS[kind].arguments is aggregators._projecting:
        made = importlib.import_module("torchjd.linalg").QuadprogProjector
    known = inspect.signature(made.__init__).parameters
    ours = {"c": 0.4, "alpha": 1.0, "leak": 0.0}
    for name, value in options_of(kind).items():
        if name == "primary":
            continue
        assert name in known
        assert value == ours.get(name, known[name].default), name


@pytest.mark.parametrize("kind", INSTALLED)
def test_each_gives_what_the_package_gives(kind: str) -> None:
    rows = rows_of()
    # What is added to lengths would be a share of them.
    exact = {"eps": 0.0} if kind == "gradvac" else {}
    given = {k: v for k, v in options_of(kind).items() if k != "primary"} | exact
    arguments = KINDS[kind].arguments(importlib.import_module("torchjd"), given, 3)
    with seeded(0, "balancing", 4, *TASKS):
        expected = getattr(aggregation, KINDS[kind].name)(**arguments)(rows)
    found = combined(kind, rows, step=4, **exact)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [kind for kind in INSTALLED if KINDS[kind].scaled])
@pytest.mark.parametrize("size", [1e-12, 1e-3, 1e9])
def test_short_gradients_are_treated_as_long_ones(kind: str, size: float) -> None:
    rows = rows_of()
    torch.testing.assert_close(
        combined(kind, size * rows) / size, combined(kind, rows), rtol=1e-9, atol=1e-12
    )


def test_the_package_alone_sees_no_conflict_between_short_gradients() -> None:
    """The control."""
    rows = rows_of()
    plain = aggregation.UPGrad()
    assert float((plain(1e-3 * rows) / 1e-3 - plain(rows)).norm()) > 0.1
    torch.testing.assert_close(plain(1e-3 * rows), 1e-3 * rows.mean(0))


def test_which_aggregators_grow_with_the_gradients() -> None:
    """Those that do not are given gradients as they are."""
    rows = rows_of()
    for kind in ("fairgrad", "pcd"):
        eager = {"tau": 0.9, "eps": 1.0} if kind == "pcd" else {}
        longer = combined(kind, 100 * rows, **eager) / 100
        assert float((longer - combined(kind, rows, **eager)).norm()) > 1e-3, kind
        assert not KINDS[kind].scaled


@pytest.mark.parametrize("seed", range(5))
def test_without_conflict_pcgrad_is_the_sum(seed: int) -> None:
    rows = rows_of(seed=seed).abs()
    torch.testing.assert_close(combined("pcgrad", rows), rows.sum(0), rtol=1e-12, atol=0)
    rows[0] = -rows[0]
    assert float((combined("pcgrad", rows) - rows.sum(0)).norm()) > 0.1


def test_a_row_of_zeros_would_make_mgda_stand_still() -> None:
    """Why rows of zeros are dropped before."""
    rows = rows_of().abs()
    assert float(combined("mgda", rows).norm()) > 0.1
    rows[1] = 0
    assert float(combined("mgda", rows).norm()) == 0
    alive = rows[[0, 2]]
    assert float(combined("aligned_mtl", rows).norm()) < 0.7 * float(
        combined("aligned_mtl", alive).norm()
    )


@pytest.mark.parametrize("kind", ["pcgrad", "gradvac", "graddrop", "random"])
def test_what_is_drawn_depends_on_seed_and_step_alone(kind: str) -> None:
    rows = rows_of(6, 9, seed=3)
    tasks = list("abcdef")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = combined(kind, rows, tasks=tasks)
    assert torch.equal(torch.get_rng_state(), before), "dropout would be another one"
    torch.manual_seed(2)
    assert torch.equal(combined(kind, rows, tasks=tasks), first)
    others = [combined(kind, rows, step=step, tasks=tasks) for step in range(1, 9)]
    others += [combined(kind, rows, seed=seed, tasks=tasks) for seed in range(1, 9)]
    assert any(not torch.equal(other, first) for other in others[:8])
    assert any(not torch.equal(other, first) for other in others[8:])


def test_the_main_task_comes_first_whatever_the_order() -> None:
    rows = rows_of()
    for place, task in enumerate(TASKS):
        order = [place, *(other for other in range(3) if other != place)]
        expected = aggregation.PCD()(rows[order])
        torch.testing.assert_close(combined("pcd", rows, primary=task), expected)
    assert not torch.allclose(combined("pcd", rows), combined("pcd", rows, primary="b"))


def test_what_the_main_task_does_not_reach_has_the_sum() -> None:
    rows = rows_of()
    assert torch.equal(combined("pcd", rows, primary="z"), rows.sum(0))


def test_leaks_are_shares_that_are_not_dropped() -> None:
    rows = rows_of()
    torch.testing.assert_close(combined("graddrop", rows, leak=1.0), rows.sum(0))
    assert not torch.allclose(combined("graddrop", rows), rows.sum(0))


@pytest.mark.parametrize("kind", ["gradvac", "pcd"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_memory_is_kept_by_tasks_and_goes_through_a_checkpoint(kind: str, dtype: Any) -> None:
    options = {"tau": 0.5} if kind == "pcd" else {}
    one = balancer(kind, **options)

    def step(of: AggregatingBalancer, number: int, tasks: Sequence[str] = TASKS) -> Tensor:
        rows = rows_of(len(tasks), seed=number, kind=dtype)
        return of.combine(rows, tasks, step=number)

    for number in range(3):
        step(one, number)
        step(one, number, ("a", "c"))
    state = one.state_dict()
    assert {key.partition("::")[0] for key in state} == {"a,b,c", "a,c"}
    storages = [value.data_ptr() for value in state.values()]
    assert len(storages) == len(set(storages)), "safetensors writes no memory twice"
    again, empty = balancer(kind, **options), balancer(kind, **options)
    again.load_state_dict(state)
    other = []
    for number in range(3, 9):
        for tasks in (TASKS, ("a", "c")):
            expected = step(one, number, tasks)
            assert torch.equal(step(again, number, tasks), expected)
            other.append(not torch.equal(step(empty, number, tasks), expected))
    assert any(other), "the control: nothing is kept"


@pytest.mark.parametrize("kind", [kind for kind in INSTALLED if kind not in ("gradvac", "pcd")])
def test_the_others_remember_nothing(kind: str) -> None:
    one = balancer(kind)
    first = one.combine(rows_of(), TASKS, step=0)
    one.combine(rows_of(seed=1), TASKS, step=0)
    assert torch.equal(one.combine(rows_of(), TASKS, step=0), first)
    assert one.state_dict() == {}


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = importlib.import_module

    def without(name: str) -> Any:
        if name.startswith("torchjd"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return right(name)

    monkeypatch.setattr(aggregators.importlib, "import_module", without)
    with pytest.raises(RecipeError, match=r"balancing\.name is 'torchjd\.mgda', which needs") as e:
        Aggregators("mgda", {})
    assert "No module named 'torchjd'" in str(e.value)
    assert "pip install 'hiermtl[torchjd]'" in str(e.value)


def test_another_version_of_the_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregators, "version", lambda name: "0.20.1")
    with pytest.raises(RecipeError, match=r"torchjd 0\.20\.1 is installed.*allowed is 0\.18"):
        Aggregators("mgda", {})


def test_a_solver_that_is_not_there_is_named_before_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = importlib.util.find_spec
    mixin = importlib.import_module("torchjd._mixins")
    monkeypatch.setattr(mixin, "find_spec", lambda name: None if name == "cvxpy" else right(name))
    settings = Settings(balancing="torchjd.cagrad", balancing_options=options_of("cagrad"))
    with pytest.raises(RecipeError, match=r"'torchjd\.cagrad', which needs packages that") as e:
        make_balancer(settings, {})
    assert "cvxpy" in str(e.value)
    assert 'pip install "torchjd[cagrad]"' in str(e.value)


def test_an_aggregator_without_an_answer_ends_the_run_with_a_sentence() -> None:
    of = balancer("upgrad", reg_eps=0.0)
    of.combine(rows_of(), TASKS, step=0)
    same = rows_of(1).expand(3, -1).clone()
    with pytest.raises(RunError, match=r"'torchjd\.upgrad' finds no answer") as error:
        of.combine(same, TASKS, step=6)
    for part in ("a, b and c", "step 7", "training.lr"):
        assert part in str(error.value)


def test_memory_that_runs_out_is_no_answer_of_the_aggregator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of = balancer("mean")

    def full(*given: Any) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(of, "_aggregators", full)
    with pytest.raises(torch.OutOfMemoryError):
        of.combine(rows_of(), TASKS, step=0)
