"""Each layer equals torch's bidirectional LSTM, and both directions stay aligned at every depth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from hiermtl.encoders import BiLstmEncoder, encoder_from_config
from hiermtl.encoders.bilstm import BiLstmBlock, TimeSteps, WordEmbedding, autocasts
from hiermtl.records import Batch, Example, Layout, recurring
from hiermtl.tokens import Collator, WordTokenizer
from hiermtl.tokens.words import word_code
from tests.worlds import make_encoder, make_world, randomise

every_layout = pytest.mark.parametrize("flat", [True, False], ids=["flat", "padded"])
LENGTHS = (4, 1, 6, 4)


def layout_of(lengths: Sequence[int], *, flat: bool = True) -> Layout:
    sentences = [[f"w{i}" for i in range(length)] for length in lengths]
    world = make_world("bilstm", depths={"upos": 1})
    return Collator(world.tokenizer, {"upos": 1}, flat=flat)(world.examples(sentences)).layout


def rows_of(values: Tensor, layout: Layout) -> list[Tensor]:
    rows = zip(layout.row_starts, layout.row_lengths, strict=True)
    return [values[start : start + length] for start, length in rows]


def library_layer(block: BiLstmBlock, width: int) -> nn.LSTM:
    """torch's own bidirectional layer with the block's weights."""
    lstm = nn.LSTM(width, block.left_to_right.hidden_size, bidirectional=True)
    with torch.no_grad():
        for suffix, part in (("", block.left_to_right), ("_reverse", block.right_to_left)):
            for name, weight in part.named_parameters():
                lstm.get_parameter(name + suffix).copy_(weight)
    return lstm.double()


@every_layout
@torch.no_grad()
def test_every_layer_equals_torchs_packed_bidirectional_one(flat: bool) -> None:
    layout = layout_of(LENGTHS, flat=flat)
    encoder = make_encoder("bilstm")
    values = torch.randn(layout.units, encoder.widths[0], dtype=torch.float64)
    theirs = rows_of(values, layout)
    for depth in range(1, encoder.blocks + 1):
        block = encoder.block(depth)
        assert isinstance(block, BiLstmBlock)
        randomise(block.named_parameters())
        values = block.double().eval()(values, layout)
        lstm = library_layer(block, encoder.widths[depth - 1])
        packed, _ = lstm(pack_sequence(theirs, enforce_sorted=False))
        padded, lengths = pad_packed_sequence(packed)
        theirs = [padded[:length, row] for row, length in enumerate(lengths)]
        for own, expected in zip(rows_of(values, layout), theirs, strict=True):
            torch.testing.assert_close(own, expected, rtol=0, atol=1e-10)


def test_steps_and_rows_are_rounded_to_sizes_of_which_few_occur() -> None:
    lengths = {TimeSteps.of(layout_of([length] * 21)).length for length in range(20, 60)}
    rows = {TimeSteps.of(layout_of([21] * count)).rows for count in range(20, 60)}
    assert len(lengths) * len(rows) < 150
    assert all(recurring(length, steps=8, grain=1) == length for length in lengths)
    assert all(recurring(count, steps=4, grain=1) == count for count in rows)


class ReReversed(BiLstmBlock):
    """What must not be: the backward states stay in reading order, as in a known implementation."""

    def forward(self, values: Tensor, layout: Layout, extra: Tensor | None = None) -> Tensor:
        steps = TimeSteps.of(layout)
        shape = (steps.length, steps.rows, -1)
        forward, _ = self.left_to_right(values.index_select(0, steps.units).view(shape))
        backward, _ = self.right_to_left(values.index_select(0, steps.reversed_units).view(shape))
        out = [
            x.reshape(-1, x.shape[-1]).index_select(0, steps.places) for x in (forward, backward)
        ]
        return torch.cat(out, dim=-1)


def misaligned_depths(kind: type[BiLstmBlock], zeroed: str, *, flat: bool = True) -> set[int]:
    """The depths where, with one direction silent, a state depends on a word it must not see.

    With the forward weights at zero, word j may change the states of words i <= j only.
    """
    words = 5
    layout = layout_of([words, 3], flat=flat)
    start = int(layout.row_starts[int(np.argmax(layout.row_lengths))])
    encoder = make_encoder("bilstm")
    values = torch.randn(layout.units, encoder.widths[0])
    changed = [values.clone() for _ in range(words)]
    for j in range(words):
        changed[j][start + j] += 1
    wrong = set()
    for depth in range(1, encoder.blocks + 1):
        width = encoder.widths[depth - 1]
        block = kind(width, 8, dropout=0.0, extra_width=0)
        randomise(block.named_parameters(), spread=0.5)
        for weight in getattr(block, zeroed).parameters():
            weight.zero_()
        values, changed = block(values, layout), [block(other, layout) for other in changed]
        for j in range(words):
            for i in range(words):
                differs = not torch.equal(values[start + i], changed[j][start + i])
                allowed = i <= j if zeroed == "left_to_right" else i >= j
                if differs and not allowed:
                    wrong.add(depth)
        assert any(not torch.equal(values, other) for other in changed)
    return wrong


@every_layout
@pytest.mark.parametrize("zeroed", ["left_to_right", "right_to_left"])
@torch.no_grad()
def test_each_direction_stays_aligned_at_every_depth(zeroed: str, flat: bool) -> None:
    assert misaligned_depths(BiLstmBlock, zeroed, flat=flat) == set()


@torch.no_grad()
def test_a_re_reversed_stack_would_be_caught() -> None:
    assert misaligned_depths(ReReversed, "left_to_right") == {1, 2, 3}


@torch.no_grad()
def test_padding_units_never_reach_a_word() -> None:
    layout = layout_of(LENGTHS, flat=False)
    block = make_encoder("bilstm").block(1).eval()
    values = torch.randn(layout.units, 11)
    real = np.zeros(layout.units, dtype=bool)
    real[layout.word_units] = True
    assert not real.all()
    before = block(values, layout)[real]
    values[~torch.from_numpy(real)] = 1e3
    assert torch.equal(block(values, layout)[real], before)


@pytest.mark.parametrize("lengths", [(0,), (2, 0), (0, 0, 3)])
@every_layout
@torch.no_grad()
def test_rows_without_units_give_nothing_and_disturb_nobody(
    lengths: tuple[int, ...], flat: bool
) -> None:
    layout = layout_of(lengths, flat=flat)
    block = make_encoder("bilstm").block(1).eval()
    values = torch.randn(layout.units, 11)
    out = block(values, layout)
    assert out.shape == (layout.units, 16)
    if max(lengths):
        start = int(layout.row_starts[int(np.argmax(layout.row_lengths))])
        words = slice(start, start + max(lengths))
        own = layout_of([max(lengths)])
        given = values.new_zeros(own.units, 11)
        given[: max(lengths)] = values[words]
        torch.testing.assert_close(out[words], block(given, own)[: max(lengths)])


@torch.no_grad()
def test_further_inputs_are_concatenated_to_the_states_below() -> None:
    layout = layout_of(LENGTHS)
    encoder = make_encoder("bilstm")
    values, extra = torch.randn(layout.units, 16), torch.randn(layout.units, 3)
    wide = encoder.block(2, 3).eval()
    plain = BiLstmBlock(19, 8, dropout=0.0, extra_width=0)
    plain.load_state_dict(wide.state_dict())
    joined = plain(torch.cat([values, extra], -1), layout)
    assert torch.equal(wide(values, layout, extra), joined)


def embedded(words: Sequence[Sequence[str]], embedding: WordEmbedding) -> tuple[Tensor, Batch]:
    world = make_world("bilstm", depths={"upos": 1})
    batch = Collator(world.tokenizer, {"upos": 1})(world.examples(words))
    return embedding(batch.inputs, batch.layout), batch


@torch.no_grad()
def test_a_word_is_its_vector_beside_the_mean_of_its_ngrams() -> None:
    embedding = make_encoder("bilstm").embedding().eval()
    assert isinstance(embedding, WordEmbedding)
    tokenizer = make_world("bilstm", depths={"upos": 1}).tokenizer
    assert isinstance(tokenizer, WordTokenizer)
    words = [["de", "unseen", "k"], ["zz"]]
    found, batch = embedded(words, embedding)
    ids = {code: i for i, code in enumerate(tokenizer.vocabulary, start=1)}
    for place, word in enumerate(word for i in batch.order for word in words[i]):
        expected = torch.cat(
            [
                embedding.words.weight[ids.get(word_code(word), 0)],
                embedding.ngrams.weight[torch.from_numpy(tokenizer.ngrams(word)).long()].mean(0),
            ]
        )
        torch.testing.assert_close(found[batch.layout.word_units[place]], expected)
    assert found.isfinite().all()


def test_word_dropout_replaces_the_vector_and_keeps_the_ngrams() -> None:
    encoder = BiLstmEncoder(
        layers=1,
        hidden=8,
        word_width=6,
        ngram_width=5,
        vocabulary=2,
        buckets=50,
        word_dropout=0.5,
        dropout=0.0,
    )
    embedding = encoder.embedding()
    assert isinstance(embedding, WordEmbedding)
    words = [["de"] * 400]
    noisy, _ = embedded(words, embedding)
    embedding.eval()
    quiet, _ = embedded(words, embedding)
    assert torch.equal(noisy[:, 6:], quiet[:, 6:])
    replaced = (noisy[:, :6] == embedding.words.weight[0]).all(-1)
    kept = (noisy[:, :6] == quiet[:, :6]).all(-1)
    assert (replaced ^ kept).all()
    assert 150 < replaced.sum() < 250


def test_the_forget_gate_starts_open_and_other_biases_at_zero() -> None:
    block = make_encoder("bilstm").block(1)
    assert isinstance(block, BiLstmBlock)
    for lstm in (block.left_to_right, block.right_to_left):
        bias = (lstm.bias_ih_l0 + lstm.bias_hh_l0).view(4, 8)
        assert bias.tolist() == [[0] * 8, [1] * 8, [0] * 8, [0] * 8]
        for gate in lstm.weight_hh_l0.chunk(4):
            torch.testing.assert_close(gate @ gate.T, torch.eye(8))


def test_a_config_makes_the_same_encoder_again() -> None:
    encoder = BiLstmEncoder(layers=2, hidden=4, word_width=3, ngram_width=2, buckets=9)
    again = encoder_from_config(encoder.config())
    assert again.config() == encoder.config()
    assert again.widths == encoder.widths == (5, 8, 8)
    assert again.limit is None


def test_without_word_vectors_there_are_ngrams_alone() -> None:
    """And hiding a word hides its n-grams; no word form is kept."""
    tokenizer = WordTokenizer((), 50, sizes=(2,))
    encoder = BiLstmEncoder(
        layers=1, hidden=4, word_width=0, ngram_width=5, buckets=50, word_dropout=0.5, dropout=0.0
    )
    assert encoder.widths == (5, 8)
    encoded = tokenizer.encode([["abc", "de"] * 20])
    arrays = {name: encoded[name][0] for name in tokenizer.features}
    example = Example(arrays.pop("pieces"), arrays.pop("piece_counts"), arrays)
    batch = Collator(tokenizer, {})([example], [])
    embedding = encoder.embedding()
    assert isinstance(embedding, WordEmbedding)
    assert embedding.words is None
    whole = embedding.eval()(batch.inputs, batch.layout)
    assert whole.abs().sum(-1).min() > 0
    torch.manual_seed(0)
    hidden = embedding.train()(batch.inputs, batch.layout)
    gone = hidden.abs().sum(-1) == 0
    assert 8 < int(gone.sum()) < 32
    assert torch.equal(hidden[~gone], whole[~gone])
    again = encoder_from_config(encoder.config()).embedding()
    assert isinstance(again, WordEmbedding)
    assert again.words is None


def test_where_autocast_refuses_lstms_they_compute_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on processors with AVX2 alone."""
    layout = layout_of(LENGTHS)
    encoder = make_encoder("bilstm")
    block = encoder.block(1).eval()
    values = torch.randn(layout.units, encoder.widths[0])
    exact = block(values, layout)
    forward = nn.LSTM.forward

    def refuse(self: nn.LSTM, *given: Any) -> Any:
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("no LSTM in bf16")
        return forward(self, *given)

    monkeypatch.setattr(nn.LSTM, "forward", refuse)
    autocasts.cache_clear()
    state = torch.get_rng_state()
    assert not autocasts()
    assert torch.equal(torch.get_rng_state(), state), "looking must not shift what training draws"
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(block(values, layout), exact)
    finally:
        autocasts.cache_clear()
