"""Probes trained together are what each would be alone; what is planted is found where it is."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hiermtl.probing.items import Arcs, Items
from hiermtl.probing.probes import (
    Budget,
    LabelProbes,
    Probes,
    cumulative,
    padded,
    read_arcs,
    read_labels,
    single,
    standardised,
    train_arcs,
    train_labels,
)
from hiermtl.probing.run import Wanted, probe_task
from tests.unit.probing.planted import DEPTHS, LABELS, WIDTH, planted, planted_trees

TAGS = Wanted("tag", "tags", ("a", "b", "c"))
SHORT = Budget(steps=20, batch=16)


def items_of(seed: int = 0) -> tuple[Tensor, Items]:
    states = planted(seed, sentences=30)
    gold = np.concatenate([example.gold["tag"]["labels"] for example in states.examples])
    owners = np.repeat(np.arange(30), np.diff(states.starts))
    (values,) = standardised(states.values)
    return values, Items(np.arange(len(gold))[:, None], gold, owners)


def test_probes_of_all_depths_equal_probes_trained_one_at_a_time() -> None:
    values, items = items_of()
    masks = torch.cat([single(DEPTHS), cumulative(DEPTHS)])
    together = train_labels(values, items, masks, labels=3, seeds=(0, 4), budget=SHORT)
    for place, mask in enumerate(masks):
        for at, seed in enumerate((0, 4)):
            alone = train_labels(values, items, mask[None], labels=3, seeds=(seed,), budget=SHORT)
            for name, own in alone.named_parameters():
                whole = dict(together.named_parameters())[name]
                torch.testing.assert_close(whole[place, at], own[0, 0], rtol=1e-4, atol=1e-5)
    # Seeds and depths do differ.
    assert not torch.allclose(together.weight[0, 0], together.weight[0, 1], atol=1e-3)
    assert not torch.allclose(together.weight[0, 0], together.weight[1, 0], atol=1e-3)


def test_probes_of_heads_equal_probes_trained_one_at_a_time() -> None:
    values, arcs = planted_trees(0, sentences=20)
    masks = torch.cat([single(DEPTHS), cumulative(DEPTHS)])
    together = train_arcs(values, arcs, masks, seeds=(0, 4), budget=SHORT)
    for place in (0, 3, 6):
        alone = train_arcs(values, arcs, masks[place : place + 1], seeds=(4,), budget=SHORT)
        for name, own in alone.named_parameters():
            whole = dict(together.named_parameters())[name]
            torch.testing.assert_close(whole[place, 1], own[0, 0], rtol=1e-3, atol=1e-4)


def test_the_first_depth_at_which_labels_are_planted_is_proposed() -> None:
    for first in (1, 2, 4):
        train, dev = (planted(seed, readable_from=first) for seed in (0, 1))
        curve = probe_task(TAGS, train, dev, seeds=(0, 1, 2))
        assert curve is not None
        assert curve.depth == first
        assert curve.expected == pytest.approx(first, abs=0.3)
        assert min(curve.means[first:]) > 95
        assert max(curve.means[:first]) < 50
        assert curve.baseline == pytest.approx(100 / 3, abs=5)
        # No depth tells what is drawn for each kind of word, for states do not know the word.
        assert max(map(np.mean, curve.control)) < 50
        assert int(np.argmin(curve.variability)) >= first


def test_of_shuffled_labels_nothing_is_read_and_nothing_proposed() -> None:
    for seed in range(3):
        train, dev = (planted(seed + at, shuffled=True) for at in (0, 10))
        curve = probe_task(TAGS, train, dev, seeds=(0, 1, 2), mixes=False, control=False)
        assert curve is not None
        assert curve.depth is None
        assert max(curve.means) < curve.baseline + 8
        assert (curve.expected, curve.centre, curve.control) == (None, None, ())


def test_the_same_seeds_give_the_same_scores_and_others_do_not() -> None:
    train, dev = planted(0, noise=3.0), planted(1, noise=3.0)
    first, again, other = (
        probe_task(TAGS, train, dev, seeds=seeds, control=False)
        for seeds in ((0, 1), (0, 1), (2, 3))
    )
    assert first == again
    assert first is not None
    assert other is not None
    assert first.scores != other.scores


def test_the_mix_finds_the_only_depth_that_is_readable() -> None:
    train, dev = planted(0), planted(1)
    for states in (train, dev):
        for depth in (0, 1, 2, 4):
            states.values[depth] = torch.randn_like(states.values[depth])
    curve = probe_task(TAGS, train, dev, seeds=(0,), control=False)
    assert curve is not None
    assert curve.centre == pytest.approx(3, abs=0.3)
    assert curve.depth == 3


def test_a_mix_of_one_depth_has_its_centre_there() -> None:
    probes = LabelProbes(cumulative(DEPTHS), 2, inputs=WIDTH, labels=3)
    assert torch.allclose(probes.centres()[:, 0], torch.tensor([0.5, 1.0, 1.5, 2.0]))
    with torch.no_grad():
        probes.mix_weights[-1, :, 3] = 100.0
    assert probes.centres()[-1].tolist() == [3.0, 3.0]
    states = torch.randn(DEPTHS, 1, 7, 1, WIDTH)
    assert torch.equal(probes.mixed(states)[-1, 0], states[3, 0])


def test_mixes_are_shares_of_what_the_mask_allows() -> None:
    probes: Probes = LabelProbes(cumulative(DEPTHS), 1, inputs=WIDTH, labels=3)
    with torch.no_grad():
        probes.mix_weights.normal_()
    shares = probes.shares()
    assert torch.allclose(shares.sum(-1), torch.ones(4, 1))
    assert (shares[~probes.masks[:, None]] == 0).all()
    assert (shares[probes.masks[:, None]] > 0).all()


def test_one_depth_is_read_as_a_mix_of_it_alone_would_be() -> None:
    states = torch.randn(DEPTHS, 2, 7, 1, WIDTH)
    alone = LabelProbes(single(DEPTHS), 2, inputs=WIDTH, labels=3)
    mixed = LabelProbes(torch.cat([single(DEPTHS), cumulative(DEPTHS)]), 2, inputs=WIDTH, labels=3)
    assert torch.allclose(alone.mixed(states), mixed.mixed(states)[:DEPTHS])


def test_states_are_standardised_by_train_and_what_is_constant_becomes_zero() -> None:
    train, dev = torch.randn(2, 50, 3) * 4 + 2, torch.randn(2, 9, 3)
    train[:, :, 2] = dev[:, :, 2] = 7.0
    made, other = standardised(train, dev)
    assert torch.allclose(made[:, :-1].mean(1), torch.zeros(2, 3), atol=1e-5)
    assert torch.allclose(made[:, :-1, :2].std(1, correction=0), torch.ones(2, 2), atol=1e-5)
    assert (made[..., 2] == 0).all()
    assert (other[..., 2] == 0).all()
    assert (made[:, -1] == 0).all()
    assert made.shape[1] == 51


def test_pairs_are_read_by_both_their_difference_and_their_product() -> None:
    probes = LabelProbes(single(1), 1, inputs=4 * WIDTH, labels=1, combine="pair")
    with torch.no_grad():
        probes.weight.normal_()
    first, second = torch.randn(2, WIDTH)
    scores = probes(torch.stack([first, second])[None, None, None])
    wanted = torch.cat([first, second, (first - second).abs(), first * second])
    assert scores.shape == (1, 1, 1, 1)
    assert torch.allclose(scores.flatten(), wanted @ probes.weight[0, 0], atol=1e-5)


def test_heads_that_are_planted_are_found_from_their_depth_on() -> None:
    values, arcs = planted_trees(0)
    others, gold = planted_trees(1)
    probes = train_arcs(values, arcs, single(DEPTHS), seeds=(0, 1))
    found = read_arcs(probes, others, gold).numpy()
    right = (found == gold.heads).mean(-1).mean(-1)
    assert (right[:2] < 0.6).all()
    assert (right[2:] > 0.9).all()


def test_padding_changes_no_head() -> None:
    values, arcs = planted_trees(0, sentences=12)
    probes = train_arcs(values, arcs, single(DEPTHS), seeds=(0,), budget=SHORT)
    whole = read_arcs(probes, values, arcs, batch=12)
    assert torch.equal(whole, read_arcs(probes, values, arcs, batch=1))
    counts = torch.from_numpy(np.repeat(arcs.counts, arcs.counts))
    assert (whole <= counts).all()
    assert (whole >= 0).all()


def test_padded_rows_are_those_of_the_sentences() -> None:
    arcs = Arcs(np.array([0, 2]), np.array([2, 3]), np.array([0, 1, 2, 0, 2]), np.array([0, 1]))
    rows, there, heads = padded(arcs, np.array([[1, 0]]))
    assert rows.tolist() == [[[2, 3, 4], [0, 1, -1]]]
    assert there.tolist() == [[[True, True, True], [True, True, False]]]
    assert heads.tolist() == [[[2, 0, 2], [0, 1, -100]]]


@pytest.mark.parametrize(
    ("items", "steps"), [(10, 100), (640, 200), (10_000, 400)], ids=["least", "passes", "most"]
)
def test_few_items_are_not_seen_for_ever(items: int, steps: int) -> None:
    assert Budget().for_items(items) == steps


def test_numbers_are_read_as_numbers() -> None:
    states = torch.randn(2, 400, 6)
    numbers = (states[1, :, 0] * 2 + 3).numpy().astype(np.float64)
    items = Items(np.arange(400)[:, None], (numbers - 3) / 2, np.arange(400))
    (values,) = standardised(states)
    probes = train_labels(
        values, items, single(2), labels=None, seeds=(0,), budget=Budget(passes=64)
    )
    read = read_labels(probes, values, items.ends).numpy()[:, 0]
    matched: list[Any] = [np.corrcoef(own, numbers)[0, 1] for own in read]
    assert abs(matched[0]) < 0.5
    assert matched[1] > 0.99


def test_labels_start_as_probable_as_they_are_frequent() -> None:
    probes = LabelProbes(single(1), 1, inputs=2, labels=LABELS)
    probes.start_at(np.array([0] * 60 + [1] * 30))
    odds = probes(torch.zeros(1, 1, 1, 1, 2)).softmax(-1).flatten()
    assert odds.tolist() == pytest.approx([2 / 3, 1 / 3, 0], abs=0.01)
