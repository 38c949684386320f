"""Stepping the blocks equals the library's own pass, padded or not; copies start as the source."""

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import BertModel

from hiermtl.encoders import BertEncoder, encoder_from_config
from hiermtl.encoders.pretrained import PieceEmbedding, PostNormBlock
from hiermtl.errors import ModelError
from hiermtl.records import Batch, Example
from hiermtl.tokens import Collator
from tests.worlds import (
    BLOCKS,
    assert_same,
    bert_config,
    make_tokenizer,
    make_world,
    piece_backend,
    randomise,
)

every_layout = pytest.mark.parametrize("flat", [True, False], ids=["flat", "padded"])
WORDS = (("abc", "de", "f"), ("t",), ("a", "b", "cd", "efgh"), ("lmn", "op", "q", "r"))


@pytest.fixture(scope="module")
def source() -> BertModel:
    model = BertModel(bert_config(dropout=0.3)).eval()
    randomise(model.named_parameters(), spread=0.1)
    return model


def batch_of(*, flat: bool) -> Batch:
    world = make_world("bert", depths={"upos": 1})
    return Collator(make_tokenizer("bert"), {"upos": 1}, flat=flat)(world.examples(WORDS))


def states(encoder: BertEncoder, batch: Batch) -> list[Tensor]:
    values = encoder.embedding().eval()(batch.inputs, batch.layout)
    found = [values]
    for depth in range(1, encoder.blocks + 1):
        values = encoder.block(depth).eval()(values, batch.layout)
        found.append(values)
    return found


@every_layout
@torch.no_grad()
def test_states_at_each_depth_equal_the_librarys(source: BertModel, flat: bool) -> None:
    batch = batch_of(flat=flat)
    ordered = [list(WORDS[place]) for place in batch.order]
    inputs = piece_backend()(ordered, is_split_into_words=True, padding=True, return_tensors="pt")
    expected = source(**inputs, output_hidden_states=True).hidden_states
    found = states(BertEncoder(source.config, source), batch)
    assert len(found) == len(expected) == BLOCKS + 1
    for own, theirs in zip(found, expected, strict=True):
        for row, (start, length) in enumerate(
            zip(batch.layout.row_starts, batch.layout.row_lengths, strict=True)
        ):
            kept = theirs[row, :length]
            torch.testing.assert_close(own[start : start + length], kept, rtol=0, atol=3e-6)


@torch.no_grad()
def test_flat_and_padded_states_agree_on_every_word(source: BertModel) -> None:
    encoder = BertEncoder(source.config, source)
    flat, padded = (batch_of(flat=flat) for flat in (True, False))
    for left, right in zip(states(encoder, flat), states(encoder, padded), strict=True):
        words = flat.layout.gather(left, "mean"), padded.layout.gather(right, "mean")
        torch.testing.assert_close(*words, rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_padded_batch_reads_nothing_from_its_padding(source: BertModel) -> None:
    batch = batch_of(flat=False)
    encoder = BertEncoder(source.config, source)
    real = np.zeros(batch.layout.units, dtype=bool)
    for start, length in zip(batch.layout.row_starts, batch.layout.row_lengths, strict=True):
        real[start : start + length] = True
    assert not real.all()
    before = states(encoder, batch)[-1][real]
    batch.inputs["ids"][~real] = 7
    assert torch.equal(states(encoder, batch)[-1][real], before)


def test_copies_of_a_block_are_equal_and_apart(source: BertModel) -> None:
    encoder = BertEncoder(source.config, source)
    one, two = (dict(encoder.block(2).named_parameters()) for _ in range(2))
    assert_same(one, two)
    assert all(one[name].data_ptr() != two[name].data_ptr() for name in one)
    theirs = source.get_parameter("encoder.layer.1.attention.self.query.weight")
    assert torch.equal(one["parts.query.weight"], theirs)
    assert one["parts.query.weight"].data_ptr() != theirs.data_ptr()


@torch.no_grad()
def test_a_block_with_further_inputs_starts_as_the_pretrained_one_bit_for_bit(
    source: BertModel,
) -> None:
    batch = batch_of(flat=True)
    encoder = BertEncoder(source.config, source)
    values = encoder.embedding().eval()(batch.inputs, batch.layout)
    plain, wide = encoder.block(1).eval(), encoder.block(1, 5).eval()
    extra = torch.randn(batch.layout.units, 5)
    assert torch.equal(plain(values, batch.layout), wide(values, batch.layout, extra))
    assert isinstance(wide.extra, torch.nn.Linear)
    wide.extra.weight.fill_(0.1)
    assert not torch.allclose(plain(values, batch.layout), wide(values, batch.layout, extra))


def test_a_zero_projection_still_learns(source: BertModel) -> None:
    batch = batch_of(flat=True)
    encoder = BertEncoder(source.config, source)
    block = encoder.block(1, 5).eval()
    values = encoder.embedding().eval()(batch.inputs, batch.layout)
    block(values, batch.layout, torch.ones(batch.layout.units, 5)).pow(3).sum().backward()
    assert isinstance(block, PostNormBlock)
    assert block.extra is not None
    assert block.extra.weight.grad is not None
    assert block.extra.weight.grad.any()


def test_dropout_falls_on_attention_too(source: BertModel) -> None:
    config = bert_config(dropout=0.0)
    config.attention_probs_dropout_prob = 0.5
    batch = batch_of(flat=True)
    block = BertEncoder(config).block(1)
    values = torch.randn(batch.layout.units, config.hidden_size)
    assert not torch.equal(block(values, batch.layout), block(values, batch.layout))
    block.eval()
    assert torch.equal(block(values, batch.layout), block(values, batch.layout))


def test_weights_from_scratch_are_drawn_as_the_library_draws_them() -> None:
    encoder = BertEncoder(bert_config())
    block, embedding = encoder.block(1), encoder.embedding()
    weight = block.get_parameter("parts.inner.weight")
    assert weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not block.get_parameter("parts.inner.bias").any()
    assert (block.get_parameter("parts.norm.weight") == 1).all()
    assert not embedding.get_parameter("parts.pieces.weight")[0].any()
    assert embedding.get_parameter("parts.pieces.weight")[1:].std().item() == pytest.approx(
        0.02, rel=0.1
    )


def test_a_config_makes_the_same_encoder_again() -> None:
    encoder = BertEncoder(bert_config(blocks=4, limit=17))
    again = encoder_from_config(encoder.config())
    assert isinstance(again, BertEncoder)
    assert (again.widths, again.limit) == (encoder.widths, encoder.limit) == ((32,) * 5, 17)
    assert again.config() == encoder.config()
    shapes = [{n: p.shape for n, p in e.block(1).named_parameters()} for e in (encoder, again)]
    assert shapes[0] == shapes[1]


def test_an_unknown_family_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"family 'birt' is not supported; .* did you mean 'bert'"):
        encoder_from_config({"family": "birt"})


@every_layout
@torch.no_grad()
def test_casing_vectors_start_at_zero_and_are_read_where_asked_for(
    source: BertModel, flat: bool
) -> None:
    batch = batch_of(flat=flat)
    encoder = BertEncoder(source.config, source, casing=True)
    plain = states(BertEncoder(source.config, source), batch)
    for own, theirs in zip(states(encoder, batch), plain, strict=True):
        assert torch.equal(own, theirs)
    embedding = encoder.embedding().eval()
    assert embedding.casing is not None
    before = embedding(batch.inputs, batch.layout)
    embedding.casing.weight[1].normal_()
    changed = (embedding(batch.inputs, batch.layout) != before).any(-1)
    assert torch.equal(changed, batch.inputs["casing"] == 1)
    again = encoder_from_config(encoder.config()).embedding()
    assert isinstance(again, PieceEmbedding)
    assert again.casing is not None
    bare = encoder_from_config(BertEncoder(source.config).config()).embedding()
    assert isinstance(bare, PieceEmbedding)
    assert bare.casing is None


@every_layout
@torch.no_grad()
def test_hidden_words_are_read_as_the_mask_in_training_alone(flat: bool) -> None:
    """All pieces of a word, in each window; never a special piece."""
    limit, mask = 10, 4
    tokenizer = make_tokenizer("bert", limit=limit)
    encoded = tokenizer.encode([["abcdefgh"] * 40, ["a", "bc"]])
    examples = [
        Example(
            encoded["pieces"][i],
            encoded["piece_counts"][i],
            {"casing": encoded["casing"][i]},
            index=i,
        )
        for i in range(2)
    ]
    batch = Collator(tokenizer, {}, flat=flat)(examples, [])
    layout = batch.layout
    assert layout.rows > 10
    encoder = BertEncoder(bert_config(limit=limit), word_dropout=0.3, mask=mask)
    embedding = encoder.embedding()
    seen: list[Tensor] = []
    embedding.parts["pieces"].register_forward_hook(lambda _, given, __: seen.append(given[0]))
    torch.manual_seed(0)
    embedding.train()(batch.inputs, layout)
    embedding.eval()(batch.inputs, layout)
    hidden, plain = seen
    assert torch.equal(plain, batch.inputs["ids"])
    words = torch.zeros(layout.words, dtype=torch.bool)
    units = torch.from_numpy(layout.scatter_units)
    of_unit = torch.from_numpy(layout.scatter_words)
    words[of_unit[hidden[units] == mask]] = True
    assert 5 <= int(words.sum()) <= 20
    expected = plain.clone()
    expected[units[words[of_unit]]] = mask
    assert torch.equal(hidden, expected)


def test_no_word_is_hidden_unless_it_is_asked_for() -> None:
    batch = batch_of(flat=True)
    embedding = BertEncoder(bert_config(), mask=4).embedding().train()
    found: list[Tensor] = []
    embedding.parts["pieces"].register_forward_hook(lambda _, given, __: found.append(given[0]))
    embedding(batch.inputs, batch.layout)
    assert found[0] is batch.inputs["ids"]
