"""Every transformers family, stepped block by block, has the library's own states."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    CamembertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from hiermtl.encoders import PRETRAINED, PretrainedEncoder, attention, encoder_from_config
from hiermtl.records import Batch
from hiermtl.tokens import Collator, PieceTokenizer
from tests.worlds import bert_config, make_world, piece_backend, randomise

SHAPE: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 80,
    "pad_token_id": 0,
}
DISTIL = {"vocab_size": 60, "dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 40}
DEBERTA = {**SHAPE, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
MODERN = {**SHAPE, "global_attn_every_n_layers": 2, "local_attention": 6, "attention_bias": True}
MODERN |= {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
CONFIGS: dict[str, Any] = {
    "bert": bert_config(limit=80),
    "bert relu": bert_config(limit=80).__class__(**SHAPE, hidden_act="relu"),
    "roberta": RobertaConfig(**SHAPE),
    "roberta pad 1": RobertaConfig(**{**SHAPE, "pad_token_id": 1}),
    "xlm-roberta": XLMRobertaConfig(**{**SHAPE, "pad_token_id": 1}),
    "camembert": CamembertConfig(**{**SHAPE, "pad_token_id": 1}),
    "electra": ElectraConfig(**SHAPE, embedding_size=32),
    "electra narrow": ElectraConfig(**SHAPE, embedding_size=12),
    "distilbert": DistilBertConfig(**DISTIL, max_position_embeddings=80),
    "mpnet": MPNetConfig(**{**SHAPE, "pad_token_id": 1}),
    "deberta-v2": DebertaV2Config(**DEBERTA, position_buckets=4, norm_rel_ebd="layer_norm"),
    "deberta-v2 shared": DebertaV2Config(
        **DEBERTA,
        position_buckets=8,
        max_relative_positions=20,
        share_att_key=True,
        position_biased_input=False,
        norm_rel_ebd="layer_norm",
        type_vocab_size=0,
    ),
    "deberta-v2 conv": DebertaV2Config(**DEBERTA, conv_kernel_size=3, conv_act="gelu"),
    "deberta-v2 one way": DebertaV2Config(**{**DEBERTA, "pos_att_type": ["c2p"]}),
    "deberta-v2 absolute": DebertaV2Config(**SHAPE),
    "deberta-v2 narrow": DebertaV2Config(**DEBERTA, embedding_size=12),
    "modernbert": ModernBertConfig(**MODERN),
}
NAMES = tuple(CONFIGS)
every = pytest.mark.parametrize("name", NAMES)
every_layout = pytest.mark.parametrize("flat", [True, False], ids=["flat", "padded"])
SENTENCES = (
    ("abcdefgh", "de", "f") * 6,
    ("t",),
    ("a", "b", "cd", "efgh"),
    ("lmn", "op", "q", "rrt", "s"),
    ("lmn", "op", "q", "rrt", "t"),
)


def family_of(name: str) -> type[PretrainedEncoder]:
    return PRETRAINED[name.split()[0]]


def library(name: str) -> nn.Module:
    """A model of the library with every parameter moved, those that start at zero too."""
    kind = family_of(name).library()
    pooler = "add_pooling_layer" in inspect.signature(kind.__init__).parameters
    torch.manual_seed(0)
    model = kind(CONFIGS[name], **({"add_pooling_layer": False} if pooler else {})).eval()
    randomise(model.named_parameters(), spread=0.1)
    return model


def batch_of(name: str, *, flat: bool, sentences: Sequence[Sequence[str]] = SENTENCES) -> Batch:
    limit = family_of(name).row_limit(CONFIGS[name])
    world = make_world("bert", depths={"upos": 1})
    tokenizer = PieceTokenizer(piece_backend(), limit, casing=True)
    encoded = world.examples(sentences)
    return Collator(tokenizer, {"upos": 1}, flat=flat)(encoded)


def states(encoder: PretrainedEncoder, batch: Batch) -> list[Tensor]:
    values = encoder.embedding().eval()(batch.inputs, batch.layout)
    found = [values]
    for depth in range(1, encoder.blocks + 1):
        values = encoder.block(depth).eval()(values, batch.layout)
        found.append(values)
    return found


def gradients(encoder: PretrainedEncoder, name: str) -> dict[str, Tensor | None]:
    """Those of the weights of the first block, for rows that lie end to end."""
    batch = batch_of(name, flat=True)
    embedding, block = encoder.embedding().eval(), encoder.block(1).eval()
    values = block(embedding(batch.inputs, batch.layout), batch.layout)
    count = int(batch.layout.row_lengths.sum())
    weights = torch.randn(count, 32, generator=torch.Generator().manual_seed(1))
    (values[:count] * weights).sum().backward()
    return {n: p.grad for n, p in block.named_parameters()}


def assert_alike(one: Mapping[str, Tensor | None], other: Mapping[str, Tensor | None]) -> None:
    for key, gradient in one.items():
        assert (gradient is None) == (other[key] is None), key
        if gradient is not None:
            torch.testing.assert_close(other[key], gradient, rtol=1e-4, atol=1e-4)


def librarys(model: Any, batch: Batch, name: str) -> list[list[Tensor]]:
    """The library's states of each row, by depth; each row alone, and so without any padding."""
    found: list[list[Tensor]] = []
    layout = batch.layout
    for start, length in zip(layout.row_starts, layout.row_lengths, strict=True):
        ids = batch.inputs["ids"][start : start + length][None]
        mask = torch.ones_like(ids)
        # Some families find positions by what is padding, which a real piece here may look like.
        out = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        hidden = [state[0] for state in out.hidden_states]
        found.append(hidden)
    return found


@every
@every_layout
@torch.no_grad()
def test_states_at_each_depth_equal_the_librarys(name: str, flat: bool) -> None:
    model = library(name)
    batch = batch_of(name, flat=flat)
    encoder = family_of(name)(CONFIGS[name], model)
    found = states(encoder, batch)
    assert len(found) == encoder.blocks + 1 == len(encoder.widths)
    rows = librarys(model, batch, name)
    norm = encoder.tap_norm()
    for row, (start, length) in enumerate(
        zip(batch.layout.row_starts, batch.layout.row_lengths, strict=True)
    ):
        for depth, own in enumerate(found):
            own = own[start : start + length]
            if norm is not None and depth == encoder.blocks:
                own = norm(own)
            torch.testing.assert_close(own, rows[row][depth], rtol=0, atol=2e-5)


@every
@torch.no_grad()
def test_flat_and_padded_states_agree_on_every_word(name: str) -> None:
    encoder = family_of(name)(CONFIGS[name], library(name))
    flat, padded = (batch_of(name, flat=flat) for flat in (True, False))
    for left, right in zip(states(encoder, flat), states(encoder, padded), strict=True):
        words = flat.layout.gather(left, "mean"), padded.layout.gather(right, "mean")
        torch.testing.assert_close(*words, rtol=0, atol=2e-5)


@every
@torch.no_grad()
def test_flat_rows_that_are_padded_for_attention_have_the_same_states(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a graphics processor; a mask that lets padding be read must show."""
    encoder = family_of(name)(CONFIGS[name], library(name))
    apart = states(encoder, batch_of(name, flat=True))
    monkeypatch.setattr(attention, "run_by_run", lambda values: False)
    batch = batch_of(name, flat=True)
    assert not batch.layout.padded
    assert len(set(batch.layout.row_lengths.tolist())) > 2
    count = int(batch.layout.row_lengths.sum())
    at_once = states(encoder, batch)
    for left, right in zip(apart, at_once, strict=True):
        torch.testing.assert_close(left[:count], right[:count], rtol=0, atol=2e-5)
    monkeypatch.setattr(
        attention, "_real", lambda layout, length: torch.ones(layout.rows, length, dtype=torch.bool)
    )
    wrong = states(encoder, batch_of(name, flat=True))[-1][:count]
    assert float((wrong - apart[-1][:count]).abs().max()) > 1e-3


@every
def test_flat_rows_that_are_padded_for_attention_have_the_same_gradients(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = family_of(name)(CONFIGS[name], library(name))
    found = []
    for apart in (True, False):
        monkeypatch.setattr(attention, "run_by_run", lambda values, apart=apart: apart)
        found.append(gradients(encoder, name))
    assert_alike(*found)


@every
@torch.no_grad()
def test_a_row_reads_nothing_from_other_rows_or_from_padding(name: str) -> None:
    encoder = family_of(name)(CONFIGS[name], library(name))
    for flat in (True, False):
        batch = batch_of(name, flat=flat)
        before = states(encoder, batch)[-1]
        start, length = int(batch.layout.row_starts[2]), int(batch.layout.row_lengths[2])
        other = torch.ones(batch.layout.units, dtype=torch.bool)
        other[start : start + length] = False
        batch.inputs["ids"][other] = 9
        after = states(encoder, batch)[-1]
        assert torch.equal(after[~other], before[~other])
        assert not torch.equal(after[other], before[other])


@every
def test_training_gradients_equal_those_of_the_library(name: str) -> None:
    """The products that training on a processor takes, against the library's own attention."""
    model = library(name)
    batch = batch_of(name, flat=True, sentences=SENTENCES[3:4])
    encoder = family_of(name)(CONFIGS[name], model)
    embedding, block = encoder.embedding().eval(), encoder.block(1).eval()
    length = int(batch.layout.row_lengths[0])
    weights = torch.randn(length, 32, generator=torch.Generator().manual_seed(1))
    values = block(embedding(batch.inputs, batch.layout), batch.layout)
    (values[:length] * weights).sum().backward()
    (theirs,) = librarys(model, batch, name)
    (theirs[1] * weights).sum().backward()
    own = dict(block.parts.named_parameters())
    expected = dict(family_of(name).parts(model, 1).named_parameters())
    assert own.keys() == expected.keys()
    for key, parameter in own.items():
        assert (parameter.grad is None) == (expected[key].grad is None), key
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, expected[key].grad, rtol=1e-4, atol=1e-5)
    pieces = embedding.parts["pieces"].weight.grad
    torch.testing.assert_close(
        pieces, model.get_input_embeddings().weight.grad, rtol=1e-4, atol=1e-5
    )


@every
def test_a_config_makes_the_same_encoder_again(name: str) -> None:
    encoder = family_of(name)(CONFIGS[name], casing=True, word_dropout=0.1, mask=4)
    again = encoder_from_config(encoder.config())
    assert type(again) is type(encoder)
    assert (again.widths, again.limit) == (encoder.widths, encoder.limit)
    assert again.config() == encoder.config()
    for depth in range(encoder.blocks + 1):
        parts = [e.block(depth) if depth else e.embedding() for e in (encoder, again)]
        shapes: list[Mapping[str, Any]] = [
            {n: p.shape for n, p in part.named_parameters()} for part in parts
        ]
        assert shapes[0] == shapes[1]


@every
def test_weights_from_scratch_are_drawn_as_the_library_draws_them(name: str) -> None:
    """And by torch's seed alone."""
    encoder = family_of(name)(CONFIGS[name])
    kind = family_of(name).library()
    torch.manual_seed(3)
    drawn = kind._from_config(CONFIGS[name])
    theirs = dict(family_of(name).parts(drawn, 1).named_parameters())
    blocks = []
    for _ in range(2):
        torch.manual_seed(7)
        blocks.append(dict(encoder.block(1).parts.named_parameters()))
    for key, parameter in blocks[0].items():
        assert torch.equal(parameter, blocks[1][key])
        own, other = (values.detach().flatten() for values in (parameter, theirs[key]))
        assert own.std().item() == pytest.approx(other.std().item(), rel=0.3, abs=1e-4)
        assert own.mean().item() == pytest.approx(other.mean().item(), abs=0.02)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("bert", 80),
        ("roberta", 79),
        ("roberta pad 1", 78),
        ("electra", 80),
        ("distilbert", 80),
        ("mpnet", 78),
        ("deberta-v2", 80),
        ("modernbert", 80),
    ],
)
def test_a_row_may_be_as_long_as_there_are_positions(name: str, limit: int) -> None:
    """One unit more would have no position."""
    encoder = family_of(name)(CONFIGS[name])
    assert encoder.limit == limit
    batch = batch_of(name, flat=True, sentences=[("ab",) * 200])
    assert int(batch.layout.row_lengths.max()) == limit
    assert torch.isfinite(states(encoder, batch)[-1]).all()
    if name not in ("deberta-v2", "modernbert"):
        positions = encoder.embedding().parts["positions"].weight
        last = int(batch.inputs["positions"].max()) + encoder.embedding().first_position
        assert last == len(positions) - 1


@every
def test_dropout_rates_are_those_the_family_names(name: str) -> None:
    config = CONFIGS[name].__class__(**CONFIGS[name].to_dict())
    for rate in family_of(name).dropouts:
        assert hasattr(config, rate)
        setattr(config, rate, 0.0)
    encoder = family_of(name)(config, library(name).__class__(config))
    batch = batch_of(name, flat=True)
    embedding, block = encoder.embedding().train(), encoder.block(2).train()
    runs = [block(embedding(batch.inputs, batch.layout), batch.layout) for _ in range(2)]
    assert torch.equal(*runs)
