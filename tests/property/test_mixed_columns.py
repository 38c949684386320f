"""Cross-stitch and sluice networks at their limits, and what the equations say of their shares."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hiermtl.errors import RecipeError
from hiermtl.hierarchy import Hierarchy, Task
from hiermtl.records import Stream
from hiermtl.sharing.columns import MixedColumns
from hiermtl.sharing.cross_stitch import CrossStitch
from hiermtl.sharing.sluice import Sluice, overlaps
from tests.worlds import FAMILIES, World, assert_same, make_encoder, make_world, same

everywhere = pytest.mark.parametrize("family", FAMILIES)
mixing = pytest.mark.parametrize("name", ["cross_stitch", "sluice"])
DEPTHS = {"upos": 1, "ner": 2, "dep": 3}
TOP = dict.fromkeys(DEPTHS, 3)
NAMES = tuple(DEPTHS)


def mixed(
    family: str,
    name: str,
    *,
    depths: Mapping[str, int] = DEPTHS,
    spread: float = 0.2,
    start: bool = True,
    **options: Any,
) -> World:
    """With the shares as they start, whatever moved the other weights."""
    world = make_world(
        family, {"name": name, "shared_below": 0, **options}, depths=depths, spread=spread
    )
    scheme = sharing(world)
    if start:
        with torch.no_grad():
            for depth, alpha in scheme.alpha.items():
                alpha.copy_(scheme.start(int(depth)))
            if isinstance(scheme, Sluice):
                for task, beta in scheme.beta.items():
                    beta.copy_(torch.eye(DEPTHS[task] if depths is DEPTHS else 3)[-1])
    return world


def sharing(world: World) -> MixedColumns:
    found = world.model.sharing
    assert isinstance(found, MixedColumns)
    return found


def scores(world: World, tasks: tuple[str, ...] = NAMES) -> dict[str, Tensor]:
    with torch.no_grad():
        outputs = world.model(world.batch(world.examples(), NAMES), tasks)
    return {f"{t} {n}": s for t in tasks for n, s in outputs[t].scores.items()}


def like(world: World, name: str, family: str, depths: Mapping[str, int]) -> World:
    """Another scheme's model with the same weights where it has them."""
    other = make_world(family, name, depths=depths)
    known = world.model.state_dict()
    other.model.load_state_dict({n: known[n] for n in other.model.state_dict()})
    return other


@everywhere
@mixing
@pytest.mark.parametrize("streams", ["all", "live"])
def test_own_states_alone_are_independent_encoders(family: str, name: str, streams: str) -> None:
    world = mixed(family, name, own=1.0, streams=streams)
    assert_same(scores(world), scores(like(world, "single", family, DEPTHS)), atol=1e-12)


@everywhere
@mixing
@pytest.mark.parametrize("own", [0.9, 0.5])
def test_equal_copies_and_shares_that_add_up_are_one_encoder(
    family: str, name: str, own: float
) -> None:
    """Of sluice networks parts have to stay where they are: alpha of tasks, times the identity."""
    world = mixed(family, name, own=own, spread=0.0)
    scheme = sharing(world)
    if isinstance(scheme, Sluice):
        with torch.no_grad():
            for depth, alpha in scheme.alpha.items():
                count = len(scheme.members(int(depth)))
                tasks = torch.softmax(torch.arange(count * count).view(count, count) / 3, -1)
                alpha.copy_(torch.kron(tasks, torch.eye(scheme.subspaces)))
    whole = make_world(family, "low_supervision", depths=DEPTHS, spread=0.0)
    assert_same(scores(world), scores(whole), atol=1e-5)


@everywhere
@mixing
def test_one_asked_alone_is_as_among_all(family: str, name: str) -> None:
    world = mixed(family, name, own=0.7)
    everything = scores(world)
    for task in NAMES:
        alone = scores(world, (task,))
        assert_same(alone, {n: everything[n] for n in alone})


@everywhere
def test_channels_with_one_share_are_a_layer_with_it(family: str) -> None:
    by_layer = mixed(family, "cross_stitch", own=0.7)
    by_channel = mixed(family, "cross_stitch", own=0.7, per="channel")
    known = by_layer.model.state_dict()
    own = by_channel.model.state_dict()
    by_channel.model.load_state_dict(
        {n: v if n.startswith("sharing.alpha") else known[n] for n, v in own.items()}
    )
    assert_same(scores(by_layer), scores(by_channel), atol=1e-12)


@everywhere
@pytest.mark.parametrize("betas", ["off", "plain"])
def test_one_subspace_is_cross_stitch(family: str, betas: str) -> None:
    sluice = mixed(family, "sluice", subspaces=1, own=0.6, betas=betas)
    other = mixed(family, "cross_stitch", own=0.6)
    known = sluice.model.state_dict()
    other.model.load_state_dict({n: known[n] for n in other.model.state_dict()})
    assert_same(scores(sluice), scores(other), atol=1e-12)


@everywhere
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_head_that_reads_one_depth_is_that_depths(family: str, depth: int) -> None:
    """On encoders of their own, low supervision at that depth; what lies above gets zeros."""
    world = mixed(family, "sluice", own=1.0, depths=TOP)
    scheme = sharing(world)
    assert isinstance(scheme, Sluice)
    with torch.no_grad():
        scheme.beta["ner"].copy_(torch.eye(3)[depth - 1])
    low = make_world(family, "single", depths={**TOP, "ner": depth})
    known = world.model.state_dict()
    low.model.load_state_dict({n: known[n] for n in low.model.state_dict()})
    found, expected = scores(world, ("ner",)), scores(low, ("ner",))
    assert_same(found, expected, atol=1e-12)
    gradients = world.gradients(world.losses(world.batch(world.examples()))["ner"])
    for name, gradient in gradients.items():
        if name.startswith(f"stack.blocks.{depth + 1}.ner.") and gradient is not None:
            assert not gradient.any()


def streams_of(scheme: MixedColumns, depth: int, *, units: int = 7) -> dict[str, Stream]:
    """States of one sentence, made by hand; the layout is not looked at."""
    random = torch.Generator().manual_seed(5)
    found = {}
    for member in scheme.members(depth):
        values = torch.randn(units, scheme.widths[depth], dtype=torch.float64, generator=random)
        found[member] = Stream(values, None, np.zeros(1, dtype=np.int64))  # type: ignore[arg-type]
    return found


def scheme_alone(
    name: str | type[MixedColumns], *, directions: int = 1, **options: Any
) -> MixedColumns:
    hierarchy = Hierarchy(Task(task, 2) for task in NAMES)
    known: dict[str, type[MixedColumns]] = {"cross_stitch": CrossStitch, "sluice": Sluice}
    kind = known[name] if isinstance(name, str) else name
    return kind(hierarchy, (8, 8, 8), directions=directions, **options).double()


class Interleaved(Sluice):
    """Wrong: every other unit of a task makes a part."""

    def combined(self, alpha: Tensor, rows: Sequence[int], states: Tensor) -> Tensor:
        parts = self.subspaces

        def shuffled(values: Tensor, *shape: int) -> Tensor:
            cut = values.view(*values.shape[:2], self.directions, *shape)
            return cut.transpose(-1, -2).reshape(values.shape)

        mixed = super().combined(alpha, rows, shuffled(states, -1, parts))
        return shuffled(mixed, parts, -1)


class AcrossDirections(Sluice):
    """Wrong: a part is one way of reading, and not some of either."""

    def combined(self, alpha: Tensor, rows: Sequence[int], states: Tensor) -> Tensor:
        directions, self.directions = self.directions, 1
        mixed = super().combined(alpha, rows, states)
        self.directions = directions
        return mixed


class Scrambled(Sluice):
    """Wrong as the released code is: all parts in a row, reshaped as if it went by columns.

    What is read of depths is scrambled in the same way.
    """

    def combined(self, alpha: Tensor, rows: Sequence[int], states: Tensor) -> Tensor:
        row = states.transpose(0, 1).flatten(1)
        mixed = alpha.view(len(alpha), -1) @ by_columns(row, alpha.shape[-1])
        mixed = mixed.transpose(0, 1).reshape(len(states), self.subspaces, states.shape[1], -1)
        return mixed.transpose(1, 2).flatten(2)[list(rows)]

    def read(self, task: str, values: Sequence[Tensor]) -> Tensor:
        rows = by_columns(torch.cat(list(values), dim=-1), len(values))
        return torch.einsum("k,wkd->wd", self.shares(task).to(rows.dtype), rows)


def by_columns(row: Tensor, count: int) -> Tensor:
    """(units, count * width) to (units, count, width): every count-th number goes to one row."""
    return row.view(len(row), -1, count).transpose(1, 2)


def copies_unit_for_unit(scheme: MixedColumns) -> bool:
    """Whether a 1 in alpha alone copies its sender's part to its receiver's, and nothing else."""
    assert isinstance(scheme, Sluice)
    order, subspaces = scheme.members(1), scheme.subspaces
    streams = streams_of(scheme, 1)
    cut = {
        n: s.values.view(7, scheme.directions, subspaces, 8 // (scheme.directions * subspaces))
        for n, s in streams.items()
    }
    everyone = dict.fromkeys(order, np.zeros(1, dtype=np.int64))
    right = []
    for receiver, part in ((0, 0), (2, subspaces - 1)):
        for sender, other in ((1, 0), (2, subspaces - 1)):
            with torch.no_grad():
                scheme.alpha["1"].zero_()
                scheme.alpha["1"][receiver * subspaces + part, sender * subspaces + other] = 1
            found = scheme.mix(1, streams, receivers=everyone)
            for place, name in enumerate(order):
                own = found[name].values.view_as(cut[name])
                expected = torch.zeros_like(own)
                if place == receiver:
                    expected[:, :, part] = cut[order[sender]][:, :, other]
                right.append(torch.equal(own, expected))
    return all(right)


@pytest.mark.parametrize("subspaces", [1, 2, 4])
@pytest.mark.parametrize("directions", [1, 2])
def test_a_share_copies_its_own_part_unit_for_unit(subspaces: int, directions: int) -> None:
    assert copies_unit_for_unit(scheme_alone("sluice", subspaces=subspaces, directions=directions))


@pytest.mark.parametrize(
    ("wrong", "directions"),
    [(Interleaved, 1), (Interleaved, 2), (Scrambled, 1), (AcrossDirections, 2)],
)
def test_a_reshape_that_mixes_units_does_not(wrong: type[Sluice], directions: int) -> None:
    """The control: what the test above is there to find."""
    assert not copies_unit_for_unit(scheme_alone(wrong, subspaces=2, directions=directions))


def test_a_reshape_that_mixes_units_joins_encoders_that_are_independent() -> None:
    """The control of alpha the identity, and of a head that reads one depth."""
    right, wrong = (scheme_alone(kind, own=1.0) for kind in (Sluice, Scrambled))
    streams = streams_of(right, 1)
    everyone = dict.fromkeys(streams, np.zeros(1, dtype=np.int64))
    for scheme, own in ((right, True), (wrong, False)):
        assert isinstance(scheme, Sluice)
        found = scheme.mix(1, streams, receivers=everyone)
        assert all(torch.equal(found[n].values, streams[n].values) for n in streams) is own
        with torch.no_grad():
            scheme.beta["ner"].copy_(torch.tensor([0.0, 1.0]))
        values = [streams[name].values for name in ("upos", "ner")]
        assert torch.equal(scheme.read("ner", values), values[1]) is own


@mixing
def test_the_gradient_of_a_share_is_the_product_of_sender_and_receiver(name: str) -> None:
    options = {"subspaces": 1} if name == "sluice" else {}
    scheme = scheme_alone(name, **options)
    streams, order = streams_of(scheme, 1), scheme.members(1)
    everyone = dict.fromkeys(order, np.zeros(1, dtype=np.int64))
    found = scheme.mix(1, streams, receivers=everyone)
    wanted = {n: torch.randn_like(s.values) for n, s in found.items()}
    total = torch.stack([(wanted[n] * found[n].values).sum() for n in order]).sum()
    (gradient,) = torch.autograd.grad(total, scheme.alpha["1"])
    for i, receiver in enumerate(order):
        for j, sender in enumerate(order):
            expected = (wanted[receiver] * streams[sender].values).sum()
            assert torch.allclose(gradient[i, j], expected)
    # The control: the derivative with its tasks swapped.
    assert not torch.allclose(gradient.T, gradient)


@everywhere
@mixing
def test_a_share_of_zero_everywhere_sends_no_gradient(family: str, name: str) -> None:
    world = mixed(family, name, own=1.0)
    gradients = world.gradients(world.losses(world.batch(world.examples()))["dep"])
    others = [g for n, g in gradients.items() if n.startswith("stack.blocks.1.upos.")]
    assert others
    assert all(g is not None and not g.any() for g in others)
    assert any(g is not None and g.any() for n, g in gradients.items() if ".1.dep." in n)


def test_receivers_come_in_the_order_of_branches(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a set of names is another in each process, and sums with it."""
    seen = []
    mix = CrossStitch.mix

    def noted(self: CrossStitch, depth: int, streams: Any, *, receivers: Any) -> Any:
        seen.append((depth, list(receivers)))
        return mix(self, depth, streams, receivers=receivers)

    monkeypatch.setattr(CrossStitch, "mix", noted)
    world = make_world("bilstm", "cross_stitch")
    world.model(world.batch(world.examples()))
    assert max(len(names) for _, names in seen) > 2
    for depth, names in seen:
        assert names == [b for b in world.model.sharing.branches(depth) if b in names]


@mixing
@pytest.mark.parametrize("mix_last", [True, False])
def test_the_last_states_are_mixed_if_it_is_asked(name: str, mix_last: bool) -> None:
    scheme = scheme_alone(name, mix_last=mix_last)
    assert scheme.mixes(2) is mix_last
    assert set(scheme.alpha) == ({"1", "2"} if mix_last else {"1"})


@mixing
def test_shares_have_a_rate_of_their_own_and_no_decay(name: str) -> None:
    scheme = scheme_alone(name, lr=0.05)
    prefixes = {rate.prefix: (rate.lr, rate.weight_decay) for rate in scheme.rates()}
    assert prefixes["sharing.alpha"] == (0.05, 0.0)
    own = {f"sharing.{n}" for n, _ in scheme.named_parameters()}
    assert all(name.startswith(tuple(prefixes)) for name in own)


def test_the_number_of_shares_is_the_papers() -> None:
    scheme = scheme_alone("sluice", subspaces=2)
    tasks, depths = 3, 2
    found = sum(p.numel() for p in scheme.parameters())
    assert found == depths * (2 * tasks) ** 2 + tasks * depths


def test_the_start_adds_up_to_one_and_is_near_the_identity() -> None:
    for scheme in (scheme_alone("sluice"), scheme_alone("cross_stitch")):
        for alpha in scheme.alpha.values():
            assert torch.allclose(alpha.sum(1), torch.ones(len(alpha), dtype=alpha.dtype))
            assert torch.allclose(alpha.diagonal(), torch.full_like(alpha.diagonal(), 0.9))
    for betas in ("plain", "softmax"):
        sluice = scheme_alone("sluice", betas=betas)
        assert isinstance(sluice, Sluice)
        shares = sluice.shares("ner")
        assert torch.allclose(shares, torch.tensor([0.1, 0.9], dtype=shares.dtype))


# What holds parts apart, and shares at zero.


def test_the_overlap_of_parts_is_zero_for_orthogonal_ones_and_one_for_lines() -> None:
    rows, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
    assert all(float(term) < 1e-20 for term in overlaps(rows, 3))
    line = torch.randn(1, 6, dtype=torch.float64)
    (same_line,) = overlaps(torch.cat([line, 3 * line]), 2)
    assert torch.allclose(same_line, torch.ones_like(same_line))
    random = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: overlaps(w, 2)[0], random)
    first, second = random.detach().chunk(2)
    expected = (first @ second.T).square().sum() / (first.norm() * second.norm()) ** 2
    assert torch.allclose(overlaps(random, 2)[0].detach(), expected)


@everywhere
def test_the_penalty_is_over_all_copies_and_none_without_strength(family: str) -> None:
    world = mixed(family, "sluice", orthogonality=0.5)
    found = world.model.sharing.penalties(world.model.stack, world.model.heads)
    terms = [
        term
        for depth in range(1, 4)
        for branch in world.model.stack.copies(depth)
        for weight in world.model.stack.block(depth, branch).writes()
        for term in overlaps(weight, 2)
    ]
    per_block = {"bilstm": 16}.get(family, 2)
    assert len(terms) == 9 * per_block
    assert torch.allclose(found["orthogonality"], 0.5 * torch.stack(terms).sum())
    # Without a mix after the last block, its parts are no parts of anything.
    fewer = mixed(family, "sluice", orthogonality=0.5, mix_last=False)
    found = fewer.model.sharing.penalties(fewer.model.stack, fewer.model.heads)
    below = [
        term
        for depth in (1, 2)
        for branch in fewer.model.stack.copies(depth)
        for weight in fewer.model.stack.block(depth, branch).writes()
        for term in overlaps(weight, 2)
    ]
    assert torch.allclose(found["orthogonality"], 0.5 * torch.stack(below).sum())
    alone = mixed(family, "sluice", depths={"dep": 3})
    assert alone.model.sharing.penalties(alone.model.stack, alone.model.heads) == {}
    for options in ({"orthogonality": 0.0}, {"subspaces": 1}):
        without = mixed(family, "sluice", **options)
        assert without.model.sharing.penalties(without.model.stack, without.model.heads) == {}


@everywhere
def test_the_rows_of_what_a_block_writes_are_its_units(family: str) -> None:
    """Zeroing a part's rows of all that is written leaves the other part as it was."""
    encoder = make_encoder(family)
    width = encoder.widths[1] // encoder.directions
    for weight in encoder.block(1).writes():
        assert weight.shape[0] == width


def test_the_lasso_makes_whole_blocks_zero_and_leaves_own_shares() -> None:
    scheme = scheme_alone("sluice", own=0.5, sparsity=1.0)
    before = {depth: alpha.detach().clone() for depth, alpha in scheme.alpha.items()}
    scheme.after_step(None, None, 0, rates=lambda _: 0.01)  # type: ignore[arg-type]
    for depth, alpha in scheme.alpha.items():
        blocks, was = alpha.view(3, 2, 3, 2), before[depth].view(3, 2, 3, 2)
        for one, other in combinations(range(3), 2):
            size = was[one, :, other].norm()
            assert torch.allclose(blocks[one, :, other], was[one, :, other] * (1 - 0.01 / size))
            assert torch.equal(blocks[one, :, one], was[one, :, one])
    assert set(scheme.learnt()["zeros"].values()) == {0}
    scheme.after_step(None, None, 0, rates=lambda _: 1.0)  # type: ignore[arg-type]
    assert set(scheme.learnt()["zeros"].values()) == {6}
    assert all(alpha.diagonal().all() for alpha in scheme.alpha.values())


def test_equal_streams_with_equal_shares_never_part() -> None:
    """Why shares start near the identity."""
    for own, parts in ((1 / 3, False), (0.9, True)):
        world = mixed("bert", "cross_stitch", own=own, spread=0.0, depths=TOP)
        optimizer = torch.optim.SGD(world.model.stack.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            torch.stack(list(world.losses(world.batch(world.examples())).values())).sum().backward()
            optimizer.step()
        left, right = (
            dict(world.model.stack.block(2, task).named_parameters()) for task in ("upos", "dep")
        )
        assert same(left, right, atol=1e-6) is not parts


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cross_stitch", {"per": "chanel"}, "is 'chanel'; allowed .* did you mean 'channel'"),
        ("sluice", {"betas": "plian"}, "is 'plian'; allowed .* did you mean 'plain'"),
        ("sluice", {"subspaces": 3}, "subspaces is 3, which does not divide the 8 units"),
        (
            "sluice",
            {"subspaces": 8, "directions": 2},
            "which does not divide the 4 units of a block in each of 2 directions",
        ),
    ],
)
def test_options_that_cannot_be_are_refused(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        scheme_alone(name, **options)


def test_depths_of_different_width_cannot_be_added_up() -> None:
    hierarchy = Hierarchy([Task("a", 1), Task("b", 2)])
    with pytest.raises(RecipeError, match=r"widths \[8, 6\], which cannot be added up"):
        Sluice(hierarchy, (4, 8, 6))
    Sluice(hierarchy, (4, 8, 6), betas="off")
