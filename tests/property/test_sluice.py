"""What the equations of sluice networks say of beta, of the penalty, and of the words' order.

Each with a wrong version of the scheme that does not keep to it.
"""

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn

from hiermtl.records import Stream
from hiermtl.sharing import SHARING, Sluice, Stack
from hiermtl.training.gradients import WHOLE
from hiermtl.training.step import TrainingStep
from tests.worlds import SENTENCES, World, make_world

DEPTHS = {"upos": 1, "ner": 2, "dep": 3}
KINDS = ("plain", "softmax")


def world_of(
    kind: type[Sluice], patch: pytest.MonkeyPatch, family: str = "bilstm", **options: object
) -> World:
    patch.setitem(SHARING, kind.name, kind)
    return make_world(family, {"name": kind.name, **options}, depths=DEPTHS)


def sluice(world: World) -> Sluice:
    assert isinstance(world.model.sharing, Sluice)
    return world.model.sharing


# Beta.


class Upended(Sluice):
    """Wrong: the first share is the top's."""

    def read(self, task: str, values: Sequence[Tensor]) -> Tensor:
        return super().read(task, values[::-1])


def products(world: World, task: str, patch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor]:
    """The gradient of a task's loss by its beta, and what the equation says it is.

    That is, the product of what the head's input gets with the states at each depth.
    """
    scheme, read = sluice(world), sluice(world).read
    seen: list[tuple[Sequence[Tensor], Tensor]] = []

    def watched(name: str, values: Sequence[Tensor]) -> Tensor:
        found = read(name, values)
        if name == task:
            found.retain_grad()
            seen.append((values, found))
        return found

    patch.setattr(scheme, "read", watched)
    losses = world.losses(world.batch(world.examples()))
    gradients = world.gradients(losses[task])
    ((values, found),) = seen
    assert found.grad is not None
    by_depth = torch.stack([(found.grad * value).sum() for value in values]).detach()
    if scheme.betas == "softmax":
        shares = scheme.shares(task).detach()
        by_depth = shares * (by_depth - (shares * by_depth).sum())
    gradient = gradients[f"sharing.beta.{task}"]
    assert gradient is not None
    return gradient, by_depth


@pytest.mark.parametrize("family", ["bilstm", "modernbert"])
@pytest.mark.parametrize("betas", KINDS)
@pytest.mark.parametrize("task", ["ner", "dep"])
def test_the_gradient_of_beta_is_the_product_of_states_with_what_the_head_gets(
    family: str, betas: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(Sluice, monkeypatch, family, betas=betas)
    torch.testing.assert_close(*products(world, task, monkeypatch), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("betas", KINDS)
def test_that_of_a_beta_for_other_depths_is_not(
    betas: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradient, expected = products(world_of(Upended, monkeypatch, betas=betas), "dep", monkeypatch)
    assert not torch.allclose(gradient, expected, rtol=0.1, atol=0)
    if betas == "plain":
        torch.testing.assert_close(gradient.flip(0), expected)


@pytest.mark.parametrize("task", ["ner", "dep"])
def test_a_softmax_of_shares_adds_up_to_one_wherever_they_are(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for betas, adds_up in (("softmax", True), ("plain", False)):
        total = sluice(world_of(Sluice, monkeypatch, betas=betas)).shares(task).sum()
        assert torch.isclose(total, torch.ones_like(total)) == adds_up


# The penalty.


class OfStates(Sluice):
    """Wrong: parts of the states are held apart, not those of the weights that make them."""

    def mix(
        self, depth: int, streams: Mapping[str, Stream], **given: object
    ) -> Mapping[str, Stream]:
        self.size = torch.stack([s.values.detach().square().mean() for s in streams.values()]).sum()
        return super().mix(depth, streams, **given)  # type: ignore[arg-type]

    def penalties(self, stack: Stack, heads: nn.ModuleDict) -> dict[str, Tensor]:
        return {n: self.size * term for n, term in super().penalties(stack, heads).items()}


class WithEachLoss(Sluice):
    """Wrong: a term for each task that is trained."""

    def mix(
        self, depth: int, streams: Mapping[str, Stream], **given: object
    ) -> Mapping[str, Stream]:
        if depth == 1:
            self.readers: set[str] = set()
        return super().mix(depth, streams, **given)  # type: ignore[arg-type]

    def read(self, task: str, values: Sequence[Tensor]) -> Tensor:
        self.readers.add(task)
        return super().read(task, values)

    def penalties(self, stack: Stack, heads: nn.ModuleDict) -> dict[str, Tensor]:
        count = len(self.readers)
        return {n: count * term for n, term in super().penalties(stack, heads).items()}


BATCHES: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (0, 3, ("upos",)),
    (3, 6, ("upos",)),
    (0, 6, ("dep",)),
    (0, 6, ("upos", "ner", "dep")),
)
"""The first sentence, the one behind the last, and the tasks that they carry."""


def added(world: World) -> list[dict[str, Tensor]]:
    """What stands beside tasks in the gradient, for each of `BATCHES`: with it, less without."""
    trained, found = TrainingStep(world.model).train(), []
    for start, end, tasks in BATCHES:
        examples = world.examples(SENTENCES[start:end], [tasks])
        batch, gradients = world.batch(examples), []
        for once in (False, True):
            parts, _ = trained(batch, dict.fromkeys(tasks, 7), step=0, once=once)
            gradients.append(world.gradients(parts[WHOLE]))
        without, beside = (
            {n: torch.zeros((), dtype=torch.float64) if g is None else g for n, g in g.items()}
            for g in gradients
        )
        found.append({n: beside[n] - without[n] for n in beside})
    return found


def alike(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return all(
        torch.allclose(*torch.broadcast_tensors(one[n], other[n]), rtol=1e-6, atol=1e-10)
        for n in one
    )


def test_the_penalty_is_one_whatever_is_read_and_whichever_task_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = world_of(Sluice, monkeypatch, orthogonality=5.0)
    terms = world.model.sharing.penalties(world.model.stack, world.model.heads)
    expected = world.gradients(terms["orthogonality"])
    own = {n: torch.zeros((), dtype=torch.float64) if g is None else g for n, g in expected.items()}
    assert any(g.any() for g in own.values())
    assert all(alike(found, own) for found in added(world))


@pytest.mark.parametrize(
    ("wrong", "same"), [(OfStates, [(2, 3)]), (WithEachLoss, [(0, 1), (0, 2), (1, 2)])]
)
def test_one_of_states_or_of_each_loss_is_not(
    wrong: type[Sluice], same: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = added(world_of(wrong, monkeypatch, orthogonality=5.0))
    places = range(len(found))
    pairs = [(i, j) for i in places for j in places if i < j]
    assert [pair for pair in pairs if alike(*(found[place] for place in pair))] == same


# Words keep their places.


class MixedBackwards(Sluice):
    """Wrong: of every second stream the words come from the last to the first."""

    def combined(self, alpha: Tensor, rows: Sequence[int], states: Tensor) -> Tensor:
        turned = [own.flip(0) if place % 2 else own for place, own in enumerate(states)]
        return super().combined(alpha, rows, torch.stack(turned))


class ReadBackwards(Sluice):
    """Wrong as the released code is: so do those of every second depth that a head reads."""

    def read(self, task: str, values: Sequence[Tensor]) -> Tensor:
        turned = [own.flip(0) if place % 2 else own for place, own in enumerate(values)]
        return super().read(task, turned)


def reaching(world: World, silent: str, patch: pytest.MonkeyPatch) -> set[str]:
    """Where a word reaches another that it must not, with one direction of all blocks silent.

    With the forward weights at zero, word j may change words i <= j alone: in what is mixed at a
    depth (`depth 2`), and in what a task's head reads (`dep`).
    """
    scheme = sluice(world)
    with torch.no_grad():
        for name, weight in world.model.stack.named_parameters():
            if f".{silent}." in name:
                weight.zero_()
    words = ("abc", "de", "f", "ghij", "k")
    mix, read = scheme.mix, scheme.read
    seen: dict[str, list[Tensor]] = {}

    def mixing(depth: int, streams: Mapping[str, Stream], **given: object) -> Mapping[str, Stream]:
        found = mix(depth, streams, **given)  # type: ignore[arg-type]
        joined = torch.cat([stream.values for stream in found.values()], dim=-1)
        seen.setdefault(f"depth {depth}", []).append(joined)
        return found

    def reading(task: str, values: Sequence[Tensor]) -> Tensor:
        found = read(task, values)
        seen.setdefault(task, []).append(found)
        return found

    patch.setattr(scheme, "mix", mixing)
    patch.setattr(scheme, "read", reading)
    with torch.no_grad():
        for other in range(-1, len(words)):
            said = [word if place != other else "Zed" for place, word in enumerate(words)]
            world.model(world.batch(world.examples([said], [DEPTHS]), DEPTHS), DEPTHS)
    wrong = set()
    for where, (plain, *changed) in seen.items():
        moved = [(plain != own).any(-1)[: len(words)].tolist() for own in changed]
        assert all(row[j] for j, row in enumerate(moved))
        wrong |= {
            where
            for j, row in enumerate(moved)
            for i, differs in enumerate(row)
            if differs and (i > j if silent == "left_to_right" else i < j)
        }
    return wrong


@pytest.mark.parametrize("silent", ["left_to_right", "right_to_left"])
@pytest.mark.parametrize("betas", KINDS)
def test_words_stay_aligned_in_all_that_is_mixed_and_read(
    silent: str, betas: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(Sluice, monkeypatch, betas=betas)
    assert reaching(world, silent, monkeypatch) == set()


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        (MixedBackwards, {"depth 1", "depth 2", "depth 3", *DEPTHS}),
        (ReadBackwards, {"ner", "dep"}),
    ],
)
def test_words_in_another_order_would_be_seen(
    wrong: type[Sluice], where: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reaching(world_of(wrong, monkeypatch), "left_to_right", monkeypatch) == where
