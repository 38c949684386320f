"""Learned depth: the mix, its price, and what is left when it is fixed."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hiermtl.errors import RecipeError
from hiermtl.hierarchy import Hierarchy, Task
from hiermtl.sharing.learned import Learned
from hiermtl.training import Evaluation
from tests.unit.training.runs import Broken, EveryStep, fresh, train, weights
from tests.worlds import FAMILIES, Calls, World, assert_same, make_world, same, save_and_load

everywhere = pytest.mark.parametrize("family", FAMILIES)
NAMES = ("upos", "ner", "dep")
TOP = dict.fromkeys(NAMES, 3)
CHOSEN = {"upos": 1, "ner": 3, "dep": 2}


def learning(family: str = "bert", **options: Any) -> World:
    return make_world(family, {"name": "learned", **options}, depths=TOP)


def scheme(world: World) -> Learned:
    assert isinstance(world.model.sharing, Learned)
    return world.model.sharing


def scores(world: World) -> dict[str, Tensor]:
    with torch.no_grad():
        outputs = world.model(world.batch(world.examples(), NAMES), NAMES)
    return {f"{task} {n}": s for task, out in outputs.items() for n, s in out.scores.items()}


def low(world: World, family: str, depths: dict[str, int]) -> World:
    """Low supervision at these depths with the same weights."""
    other = make_world(family, "low_supervision", depths=depths)
    known = world.model.state_dict()
    other.model.load_state_dict({n: known[n] for n in other.model.state_dict()})
    return other


def choose(world: World, depths: dict[str, int], *, weight: float = 1e3) -> None:
    with torch.no_grad():
        for task, depth in depths.items():
            scheme(world).mix_weights[task].copy_(weight * torch.eye(3)[depth - 1])


@everywhere
def test_all_weight_on_one_depth_is_low_supervision(family: str) -> None:
    world = learning(family)
    choose(world, CHOSEN)
    assert_same(scores(world), scores(low(world, family, CHOSEN)), atol=1e-12)


@everywhere
def test_a_mix_of_nothing_is_the_mean_and_adds_up(family: str) -> None:
    world = learning(family)
    choose(world, dict.fromkeys(NAMES, 1), weight=0.0)
    assert torch.allclose(scheme(world).shares("ner"), torch.full((3,), 1 / 3).double())
    assert float(scheme(world).centre("ner").detach()) == pytest.approx(2.0)
    values = [torch.randn(4, 5, dtype=torch.float64) for _ in range(3)]
    assert torch.allclose(scheme(world).read("ner", values), torch.stack(values).mean(0))
    scheme(world).mix_weights["ner"].data[:] = torch.tensor([3.0, -1.0, 0.2])
    assert float(scheme(world).shares("ner").sum().detach()) == pytest.approx(1.0)
    assert 1 <= float(scheme(world).centre("ner").detach()) <= 3


@everywhere
def test_fixed_depths_are_low_supervision_to_the_last_bit_and_exit_there(
    family: str, tmp_path: Path
) -> None:
    world = learning(family)
    choose(world, {"upos": 1, "ner": 2, "dep": 2}, weight=1.0)
    edit = scheme(world).propose(world.model.stack, 5, done=0.5)
    assert edit is not None
    assert edit.another
    world.model.restructured()
    assert scheme(world).propose(world.model.stack, 6, done=0.9) is None
    plain = low(world, family, {"upos": 1, "ner": 2, "dep": 2})
    assert_same(scores(world), scores(plain))
    simple = World(world.model.simplified(), world.tokenizer)
    assert simple.model.config.sharing == {"name": "low_supervision"}
    told = simple.model.described()
    assert (told["scheme"], told["learnt"]["depths"]) == ("learned", scheme(world).depths())
    shares = torch.tensor(told["learnt"]["shares"]["ner"], dtype=torch.float64)
    assert torch.allclose(shares, scheme(world).shares("ner").detach(), atol=5.1e-5)
    assert save_and_load(simple, tmp_path / "simple").model.described() == told
    assert simple.model.stack.depth == 2, "the block above the deepest task is gone"
    assert_same(scores(simple), scores(plain))
    with Calls(simple.model) as calls:
        simple.model(simple.batch(simple.examples(), ["upos"]), ["upos"])
    assert set(calls.units) == {(1, "shared")}
    gradients = world.gradients(world.losses(world.batch(world.examples()))["ner"])
    assert all(g is None for n, g in gradients.items() if ".blocks.3." in n or "mix" in n)


def test_before_depths_are_fixed_the_model_stays_what_it_is() -> None:
    world = learning()
    assert world.model.simplified() is world.model
    assert world.model.described()["scheme"] == "learned"
    assert world.model.config.learnt == {}
    assert scheme(world).propose(world.model.stack, 5, done=0.49) is None
    assert scheme(world).depths() is None


def test_of_equal_shares_the_lower_depth_is_kept() -> None:
    world = learning()
    choose(world, TOP, weight=0.0)
    scheme(world).propose(world.model.stack, 0, done=1.0)
    assert scheme(world).depths() == dict.fromkeys(NAMES, 1)


def test_the_price_is_that_of_the_centres_and_pulls_down() -> None:
    world = learning(budget=0.3)
    model = world.model
    found = model.sharing.penalties(model.stack, model.heads)["depth"]
    centres = torch.stack([scheme(world).centre(task) for task in NAMES])
    assert torch.allclose(found, 0.3 * centres.sum())
    (gradient,) = torch.autograd.grad(found, scheme(world).mix_weights["dep"])
    shares, centre = scheme(world).shares("dep").detach(), scheme(world).centre("dep").detach()
    places = torch.arange(1, 4)
    assert torch.allclose(gradient, 0.3 * shares * (places - centre))
    free = learning(budget=0.0).model
    assert free.sharing.penalties(free.stack, free.heads) == {}


@everywhere
def test_a_model_with_fixed_depths_is_saved_and_loaded(family: str, tmp_path: Path) -> None:
    world = learning(family)
    choose(world, CHOSEN, weight=1.0)
    scheme(world).propose(world.model.stack, 0, done=1.0)
    world.model.restructured()
    again = save_and_load(world, tmp_path / "whole")
    assert scheme(again).depths() == CHOSEN
    assert_same(scores(again), scores(world))


def learns(budget: float = 0.0) -> World:
    given = {"name": "learned", "budget": budget, "lr": 0.3, "harden_at": 0.6}
    return fresh(sharing=given, depths=TOP)


def test_patience_does_not_end_it_before_depths_are_fixed(tmp_path: Path) -> None:
    mains = iter(range(9, 0, -1))
    world, history = train(
        tmp_path,
        world=learns(),
        epochs=5,
        patience=1,
        evaluate=lambda model: Evaluation(float(next(mains)), [], ""),
    )
    assert scheme(world).depths() is not None
    assert history.finished


def test_a_high_price_makes_tasks_low(tmp_path: Path) -> None:
    cheap, dear = (
        scheme(train(tmp_path / f"{budget}", world=learns(budget), epochs=2)[0]).depths()
        for budget in (0.0, 50.0)
    )
    assert cheap is not None
    assert dear == dict.fromkeys(NAMES, 1)


@pytest.mark.parametrize("budget", [0.0, 50.0])
def test_a_run_goes_on_on_either_side_of_the_change(tmp_path: Path, budget: float) -> None:
    """Also where blocks above the deepest task go."""
    options: dict[str, Any] = {"checkpoint_every": 1, "epochs": 2, "layer_decay": 0.9}
    world, history = train(tmp_path / "whole", world=learns(budget), **options)
    if budget:
        assert world.model.stack.depth < 3
    whole = weights(world)
    change = int(0.6 * history.step)
    for until in (change - 2, change + 2):
        folder = tmp_path / f"{until}"
        with pytest.raises(Broken):
            train(folder, world=learns(budget), progress=partial(EveryStep, until=until), **options)
        again = train(folder, world=learns(budget), resume=True, **options)[0]
        assert_same(weights(again), whole)
        assert scheme(again).depths() == scheme(world).depths()


def test_shares_stay_as_they_were_when_depths_were_fixed(tmp_path: Path) -> None:
    """What is told at the end is what the depths were chosen by."""
    world = learns()
    seen: list[dict[str, Any]] = []
    propose = Learned.propose

    def watched(own: Learned, *given: Any, **options: Any) -> Any:
        edit = propose(own, *given, **options)
        seen.extend([own.learnt()] if edit else [])
        return edit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learned, "propose", watched)
        trained, history = train(tmp_path, world=world, epochs=3)
    assert history.step > int(0.6 * history.step) + 1
    assert seen == [scheme(trained).learnt()]
    assert seen[0]["shares"]["upos"] != [1 / 3] * 3


def test_weights_from_before_the_change_are_not_the_best(tmp_path: Path) -> None:
    """Scores fall from evaluation to evaluation; without the change the first would be best."""
    mains = iter([9.0, 8.0, 7.0, 6.0])

    def judge(model: object) -> Evaluation:
        return Evaluation(next(mains), [], "")

    world, history = train(tmp_path, world=learns(), epochs=4, evaluate=judge)
    steps = [e["step"] for e in history.evaluations]
    assert history.best == steps[2], "the first after 0.6 of training"
    assert scheme(world).depths() is not None
    plain = iter([9.0, 8.0, 7.0, 6.0])
    _, other = train(
        tmp_path / "plain", epochs=4, evaluate=lambda model: Evaluation(next(plain), [], "")
    )
    assert other.best == other.evaluations[0]["step"]


def test_tasks_learn_different_shares(tmp_path: Path) -> None:
    given = {"name": "learned", "lr": 0.1, "harden_at": 0.99}
    world = train(tmp_path, world=fresh(sharing=given, depths=TOP), epochs=2)[0]
    shares = {task: scheme(world).shares(task) for task in NAMES}
    assert not same({"s": shares["upos"]}, {"s": shares["dep"]}, atol=1e-3)
    assert set(scheme(world).learnt()) == {"shares", "centres", "depths"}


def test_depths_of_different_width_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"widths \[8, 6\], which sharing: learned cannot mix"):
        Learned(Hierarchy([Task("a", 2)]), (4, 8, 6))


def test_no_reader_keeps_a_depth_below_that_of_what_it_reads() -> None:
    """There is nothing yet that it could read there, and no model may be so."""
    world = make_world("bilstm", {"name": "learned"}, depths={"upos": 1, "span": 3, "relation": 3})
    with torch.no_grad():
        scheme(world).mix_weights["span"].copy_(torch.tensor([0.0, 3.0, 1.0]))
        scheme(world).mix_weights["relation"].copy_(torch.tensor([5.0, 1.0, 2.0]))
    assert scheme(world).propose(world.model.stack, 0, done=0.5) is not None
    assert scheme(world).taps == {"upos": 1, "span": 2, "relation": 3}
    world.model.restructured()
    assert world.model.simplified().config.sharing["name"] == "low_supervision"
