"""The prior over tasks' own layers, against its definition, and what its estimates hold to."""

import copy
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hiermtl.errors import RecipeError, RunError
from hiermtl.hierarchy import Hierarchy, Task
from hiermtl.sharing.relationship import AXES, Relationship, along
from tests.unit.training.runs import fresh, train
from tests.worlds import make_world

NAMES = ("upos", "ner", "dep")
HEADS = nn.ModuleDict()


def prior(
    *, width: int = 5, units: int = 4, depths: tuple[int, ...] = (2, 2, 2), **options: Any
) -> Relationship:
    hierarchy = Hierarchy(Task(name, depth) for name, depth in zip(NAMES, depths, strict=True))
    torch.manual_seed(0)
    return Relationship(hierarchy, (3, width, width, width), units=units, **options).double()


def spread(scheme: Relationship, *, seed: int = 1) -> Tensor:
    """Gives every layer other weights, and returns their stack."""
    random = torch.Generator().manual_seed(seed)
    for layer in scheme.layers.values():
        weight = layer.get_parameter("weight")
        weight.data = torch.randn(weight.shape, dtype=weight.dtype, generator=random)
    return scheme.stacked().detach()


def covariance(size: int, *, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    root = torch.randn(size, size, dtype=torch.float64, generator=random)
    return root @ root.T + 0.3 * torch.eye(size, dtype=torch.float64)


def give(scheme: Relationship) -> list[Tensor]:
    """Covariances at random."""
    found = []
    for place, name in enumerate(AXES):
        own = covariance(len(scheme.get_buffer(name)), seed=place)
        scheme.get_buffer(name).copy_(own)
        found.append(own)
    return found


def objective(whole: Tensor, covariances: list[Tensor]) -> float:
    """The negative logarithm of the prior's density but for its constant, by its definition."""
    product, vector = reduce(torch.kron, covariances), whole.reshape(-1)
    return float(0.5 * vector @ torch.linalg.solve(product, vector) + 0.5 * torch.logdet(product))


def penalty(scheme: Relationship) -> Tensor:
    return scheme.penalties(None, HEADS)["prior"]  # type: ignore[arg-type]


def test_with_identities_it_is_half_the_squared_norm() -> None:
    scheme = prior(strength=1.0)
    whole = spread(scheme)
    found = penalty(scheme)
    assert torch.allclose(found, 0.5 * whole.square().sum())
    weights = [layer.get_parameter("weight") for layer in scheme.layers.values()]
    for weight, gradient in zip(weights, torch.autograd.grad(found, weights), strict=True):
        assert torch.allclose(gradient, weight)


def test_it_is_the_quadratic_form_of_the_kronecker_product() -> None:
    """Row-major vectors: features vary slowest, tasks fastest. The other order is another form."""
    scheme = prior(strength=1.0)
    whole, covariances = spread(scheme), give(scheme)
    vector = whole.reshape(-1)
    product = reduce(torch.kron, covariances)
    expected = 0.5 * vector @ torch.linalg.solve(product, vector)
    assert torch.allclose(penalty(scheme), expected)
    swapped = reduce(torch.kron, reversed(covariances))
    assert not torch.allclose(penalty(scheme), 0.5 * vector @ torch.linalg.solve(swapped, vector))


def test_its_gradient_is_the_products_along_all_axes() -> None:
    scheme = prior(strength=0.3)
    whole, covariances = spread(scheme), give(scheme)
    expected = whole
    for axis, own in enumerate(covariances):
        expected = along(expected, torch.linalg.inv(own), axis)
    for place, layer in enumerate(scheme.layers.values()):
        (gradient,) = torch.autograd.grad(penalty(scheme), layer.get_parameter("weight"))
        assert torch.allclose(gradient, 0.3 * expected[..., place].T)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_product_along_an_axis(axis: int) -> None:
    tensor = torch.randn(3, 4, 2, dtype=torch.float64)
    matrix = torch.randn(tensor.shape[axis], tensor.shape[axis], dtype=torch.float64)
    letters = "abc"
    one = letters[axis]
    expected = torch.einsum(f"z{one},abc->{letters.replace(one, 'z')}", matrix, tensor)
    assert torch.allclose(along(tensor, matrix, axis), expected)


def test_exact_estimates_never_raise_the_objective() -> None:
    """The paper's alternation: each covariance by its formula, given the others."""
    scheme = prior(estimator="mle", eps=1e-12, width=4, units=3)
    whole = spread(scheme)
    before = objective(whole, [scheme.get_buffer(name) for name in AXES])
    for _ in range(5):
        scheme.sweep()
        covariances = [scheme.get_buffer(name).clone() for name in AXES]
        after = objective(whole, covariances)
        assert after <= before + 1e-9
        before = after
        form = whole
        for axis, own in enumerate(covariances):
            form = along(form, torch.linalg.inv(own), axis)
        assert float((whole * form).sum()) == pytest.approx(whole.numel()), "whatever W is"


@pytest.mark.parametrize("width", [5, 40])
def test_shrunk_estimates_are_bounded_whatever_is_estimated(width: int) -> None:
    """Also where there are fewer columns than rows, of which the paper's has no inverse."""
    scheme = prior(width=width, shrink=0.05)
    spread(scheme)
    for _ in range(3):
        scheme.sweep()
    for name in AXES:
        own = scheme.get_buffer(name)
        size = len(own)
        values = torch.linalg.eigvalsh(own)
        assert float(own.trace()) == pytest.approx(size)
        assert torch.allclose(own, own.T)
        assert float(values.min()) >= 0.05 - 1e-9
        assert float(values.max() / values.min()) <= (0.95 * size + 0.05) / 0.05 + 1e-6
    assert torch.isfinite(penalty(scheme))


def test_the_scale_of_weights_changes_no_estimate_and_the_order_only_permutes() -> None:
    scheme = prior()
    spread(scheme)
    scheme.sweep()
    found = {name: scheme.get_buffer(name).clone() for name in AXES}
    other = prior()
    spread(other)
    for layer in other.layers.values():
        layer.get_parameter("weight").data *= 7
    other.sweep()
    for name in AXES:
        assert torch.allclose(other.get_buffer(name), found[name])
    turned = prior()
    spread(turned)
    state = [copy.deepcopy(layer.state_dict()) for layer in turned.layers.values()]
    for layer, own in zip(turned.layers.values(), [state[2], state[0], state[1]], strict=True):
        layer.load_state_dict(own)
    order = [2, 0, 1]
    scheme_one, turned_one = prior(modes="task"), prior(modes="task")
    for target, source in ((scheme_one, scheme), (turned_one, turned)):
        target.layers.load_state_dict(source.layers.state_dict())
        target.sweep()
    expected = scheme_one.get_buffer("task")[order][:, order]
    assert torch.allclose(turned_one.get_buffer("task"), expected)


def correlations(scheme: Relationship) -> Tensor:
    return torch.tensor(scheme.learnt()["correlations"])


def test_equal_tasks_are_as_alike_as_shrinking_allows_and_random_ones_are_not() -> None:
    same = prior(width=40, units=30, modes="task")
    same.sweep()
    assert torch.allclose(correlations(same), 0.95 + 0.05 * torch.eye(3), atol=1e-6)
    apart = prior(width=40, units=30, modes="task")
    spread(apart)
    apart.sweep()
    off = correlations(apart) - torch.eye(3)
    assert float(off.abs().max()) < 4 / (40 * 30) ** 0.5


def test_a_planted_relation_is_found() -> None:
    scheme = prior(width=64, units=32, modes="task")
    planted = torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]]).double()
    root = torch.linalg.cholesky(planted)
    noise = torch.randn(64, 32, 3, dtype=torch.float64) @ root.T
    for place, layer in enumerate(scheme.layers.values()):
        layer.get_parameter("weight").data = noise[..., place].T.contiguous()
    scheme.sweep()
    found = correlations(scheme)
    assert 0.8 < float(found[0, 1]) < 0.9
    assert abs(float(found[0, 2])) < 0.1


def test_covariances_are_no_weights_and_are_saved() -> None:
    scheme = prior()
    assert not any(name in AXES for name, _ in scheme.named_parameters())
    assert set(AXES) <= set(scheme.state_dict())
    rates = {rate.prefix: (rate.lr, rate.weight_decay) for rate in scheme.rates()}
    assert rates == {"sharing.layers": (None, 0.0)}


def test_layers_start_equal_and_heads_read_them() -> None:
    world = make_world("bert", {"name": "relationship", "units": 6}, spread=0.0)
    scheme = world.model.sharing
    assert isinstance(scheme, Relationship)
    first, *others = (layer.state_dict() for layer in scheme.layers.values())
    for other in others:
        assert all(torch.equal(first[name], other[name]) for name in first)
    assert world.model.head("upos").get_parameter("output.weight").shape[1] == 6
    state = torch.randn(3, 32, dtype=torch.float64)
    expected = scheme.layers["ner"](state).tanh()
    assert torch.equal(scheme.read("ner", [state]), expected)


@pytest.mark.parametrize(
    ("depths", "modes", "axes"),
    [
        ((2, 2, 2), "auto", (0, 1, 2)),
        ((1, 2, 2), "auto", (1, 2)),
        ((1, 2, 2), "task", (2,)),
        ((2, 2, 2), "unit_task", (1, 2)),
    ],
)
def test_which_axes_are_learned(depths: tuple[int, ...], modes: str, axes: tuple[int, ...]) -> None:
    scheme = prior(depths=depths, modes=modes)
    assert scheme.axes == axes
    spread(scheme)
    scheme.sweep()
    for place, name in enumerate(AXES):
        own = scheme.get_buffer(name)
        assert torch.equal(own, torch.eye(len(own)).double()) is (place not in axes)


def test_estimates_come_every_so_many_steps(tmp_path: Path) -> None:
    given = {"name": "relationship", "units": 6, "every": 4}
    found = []
    for steps in (3, 4):
        world, _ = train(tmp_path / f"{steps}", world=fresh(sharing=given), max_steps=steps)
        task = world.model.sharing.get_buffer("task")
        found.append(torch.equal(task, torch.eye(len(task))))
    assert found == [True, False]


def test_what_cannot_be_inverted_stops_with_its_name() -> None:
    scheme = prior(estimator="mle", eps=1e-300, width=40)
    spread(scheme)
    with pytest.raises(RunError, match=r"at step 8 the covariance of features cannot be inverted"):
        scheme.sweep(7)
    # An option of the other estimator would be refused.
    shrunk = prior(shrink=1e-300, width=40)
    spread(shrunk)
    with pytest.raises(RunError, match=r"; raise sharing\.shrink above 1e-300, and train anew"):
        shrunk.sweep(7)
    broken = prior()
    spread(broken)
    next(iter(broken.layers.values())).get_parameter("weight").data.fill_(torch.nan)
    with pytest.raises(RunError, match=r"at step 3 the covariance of features is not a number"):
        broken.sweep(2)


def test_the_layer_of_a_frozen_task_is_frozen_with_it(tmp_path: Path) -> None:
    """Else its head would read something else."""
    world = fresh(sharing={"name": "relationship", "units": 6, "strength": 1.0})
    world.model.config.tasks["upos"]["frozen"] = True
    world.model.hierarchy = world.model.config.hierarchy()
    layers = world.model.sharing.get_submodule("layers")
    before = copy.deepcopy(layers.state_dict())
    train(tmp_path, world=world, epochs=1)
    moved = {name for name, value in layers.state_dict().items() if not value.equal(before[name])}
    names = set(world.model.hierarchy.names)
    assert {name.split(".")[0] for name in moved} == names - {"upos"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modes": "al"}, "sharing.modes is 'al'; allowed are auto, all"),
        ({"estimator": "shrink"}, "did you mean 'shrunk'"),
        ({"modes": "all", "depths": (1, 2, 2)}, "are read at the depths 1 and 2, whose features"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        prior(**options)


def test_depths_of_different_width_are_refused() -> None:
    with pytest.raises(RecipeError, match="of the widths 6 and 8, whose layers make no tensor"):
        Relationship(Hierarchy([Task("a", 1), Task("b", 2)]), (4, 8, 6))
