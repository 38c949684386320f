"""States are those the model itself computes, and reading them changes nothing."""

import numpy as np
import pytest
import torch

from hiermtl.errors import ModelError
from hiermtl.probing import FrozenEncoder, read_states
from hiermtl.records import Example, Group
from tests.worlds import FAMILIES, SENTENCES, World, make_world


def world_of(family: str, sharing: str = "low_supervision") -> World:
    world = make_world(family, sharing, dtype=torch.float32)
    world.model.eval()
    return world


@pytest.mark.parametrize("family", FAMILIES)
def test_states_of_a_model_are_those_its_heads_read(family: str) -> None:
    world = world_of(family)
    model = world.model
    heard: dict[str, torch.Tensor] = {}
    for task in model.hierarchy.names:
        model.head(task).register_forward_pre_hook(
            lambda _, given, task=task: heard.__setitem__(task, given[0].values)
        )
    examples = world.examples()
    for number, example in enumerate(examples):
        with torch.no_grad():
            model(world.batch([example], model.hierarchy.names), model.hierarchy.names)
        states = read_states(FrozenEncoder.of_model(model), world.tokenizer, examples)
        first, last = states.starts[number : number + 2]
        # Where each head has a norm of its own, states are read through that of the deepest.
        for task in model.hierarchy.names[-1:] if model.taps else heard:
            values = heard[task]
            depth = model.hierarchy[task].depth
            own = states.values[depth, first:last, : values.shape[1]]
            torch.testing.assert_close(own, values, rtol=1e-4, atol=1e-5)


def test_states_of_an_encoder_are_those_of_a_model_that_starts_from_it() -> None:
    world = world_of("bert")
    encoder = world.model.stack
    plain = FrozenEncoder.of_model(world.model)
    assert [block is encoder.block(d, "shared") for d, block in enumerate(plain.blocks, 1)] == [
        True
    ] * 3
    assert encoder.depth == len(plain.blocks)


@pytest.mark.parametrize("family", FAMILIES)
def test_reading_states_changes_no_weight_and_keeps_no_graph(family: str) -> None:
    world = world_of(family)
    before = {name: value.clone() for name, value in world.model.state_dict().items()}
    states = read_states(FrozenEncoder.of_model(world.model), world.tokenizer, world.examples())
    assert not states.values.requires_grad
    after = world.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_how_sentences_are_batched_changes_nothing() -> None:
    world = world_of("bert")
    encoder = FrozenEncoder.of_model(world.model)
    whole, each = (
        read_states(encoder, world.tokenizer, world.examples(), tokens_per_batch=size)
        for size in (10_000, 1)
    )
    torch.testing.assert_close(whole.values, each.values, rtol=1e-4, atol=1e-5)
    assert whole.keys.tolist() == each.keys.tolist()


def test_words_of_the_same_pieces_have_the_same_key() -> None:
    world = world_of("bert")
    states = read_states(FrozenEncoder.of_model(world.model), world.tokenizer, world.examples())
    words = [word for sentence in SENTENCES for word in sentence]
    keys = dict(zip(words, states.keys.tolist(), strict=True))
    assert [keys[word] for word in words] == states.keys.tolist()
    assert len(set(keys.values())) == len(keys)


def test_groups_are_known_by_their_sentences_and_documents_are_not_groups() -> None:
    world = world_of("bilstm")
    one, two, three, four, *_ = world.examples()
    entries: list[Example | Group] = [
        Group((one, two), {"same": 1}),
        three,
        Group((four,), {"coref": 1}, document=True),
    ]
    states = read_states(FrozenEncoder.of_model(world.model), world.tokenizer, entries)
    assert states.groups == [(range(2), {"same": 1})]
    assert states.entries.tolist() == [0, 0, 1, 2]
    first, second = states.starts[1:3]
    mean = states.values[:, first:second].mean(1)
    torch.testing.assert_close(states.pooled()[:, 1], mean)
    assert np.diff(states.starts).tolist() == [5, 1, 3, 7]


@pytest.mark.parametrize(
    ("sharing", "reason"),
    [
        ("cross_stitch", "'cross_stitch' has 3 copies of block 1"),
        ("joint_many", "'joint_many' has a block 2 that reads more than the states below"),
    ],
)
def test_where_a_word_has_no_one_state_the_model_is_refused(sharing: str, reason: str) -> None:
    world = make_world("bert", sharing, depths={"upos": 1, "ner": 2, "dep": 3})
    with pytest.raises(ModelError, match=f"sharing {reason}.*give the recipe's file"):
        FrozenEncoder.of_model(world.model)
