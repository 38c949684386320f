"""Low-rank deltas: nothing at the start, what the formula says later, and gone when merged."""

import sys
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hiermtl.dropout import Dropout
from hiermtl.encoders import Encoder, PretrainedEncoder, encoder_from_config
from hiermtl.encoders.lora import Lora, adapter_from_config, merge, weight_of
from hiermtl.errors import ModelError
from tests.unit.encoders.test_families import CONFIGS, NAMES, batch_of, family_of, library, states
from tests.worlds import make_encoder, randomise

LORA: dict[str, Any] = {"name": "lora", "rank": 3, "alpha": 6.0}
every = pytest.mark.parametrize("name", NAMES)
both = pytest.mark.parametrize("family", ["bert", "modernbert"])


def encoders(name: str) -> tuple[PretrainedEncoder, PretrainedEncoder]:
    """Of one pretrained model, without an adapter and with one."""
    kind, model = family_of(name), library(name)
    return kind(CONFIGS[name], model), kind(CONFIGS[name], model, adapter=LORA)


def deltas(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in module.named_parameters() if ".lora_" in name}


@every
@torch.no_grad()
def test_at_the_start_states_are_those_without_adapter_bit_for_bit(name: str) -> None:
    plain, adapted = encoders(name)
    batch = batch_of(name, flat=True)
    expected, found = states(plain, batch), states(adapted, batch)
    assert all(map(torch.equal, found, expected))
    block = adapted.block(1).eval()
    randomise(deltas(block).items())
    assert not torch.equal(block(expected[0], batch.layout), expected[1])


@every
def test_what_is_trained_of_a_block_has_two_matrices_for_each_linear_layer(name: str) -> None:
    plain, adapted = encoders(name)
    for depth in range(1, plain.blocks + 1):
        parts = plain.block(depth).get_submodule("parts").children()
        linear = [part for part in parts if isinstance(part, nn.Linear)]
        trained = {n: p for n, p in adapted.block(depth).named_parameters() if p.requires_grad}
        assert trained.keys() == deltas(adapted.block(depth)).keys()
        assert len(trained) == 2 * len(linear)
        rank = LORA["rank"]
        expected = sum(rank * (part.in_features + part.out_features) for part in linear)
        assert sum(p.numel() for p in trained.values()) == expected
    assert not any(p.requires_grad for p in adapted.embedding().parameters())


def test_a_block_of_bert_trains_what_the_page_says() -> None:
    block = make_encoder("bert", adapter={"name": "lora"}).block(1)
    rank, width, inner = 8, 32, 40
    trained = sum(p.numel() for p in block.parameters() if p.requires_grad)
    assert trained == 4 * 2 * rank * width + 2 * rank * (width + inner)


@both
def test_what_a_block_begins_with_is_held_and_what_is_new_is_not(family: str) -> None:
    encoder = make_encoder(family, adapter=LORA)
    block, embedding = encoder.block(2, 5), encoder.embedding()
    plain = make_encoder(family).block(2, 5)
    begun = {name for name, _ in plain.named_parameters() if name.startswith("parts.")}
    held = {
        n.replace(".base_layer", "") for n, p in block.named_parameters() if not p.requires_grad
    }
    assert held == begun
    assert block.get_parameter("extra.weight").requires_grad
    trained = {name for name, p in embedding.named_parameters() if p.requires_grad}
    assert trained == {"casing.weight"}
    asked = make_encoder(family, adapter={**LORA, "embeddings": True}).embedding()
    assert all(p.requires_grad for p in asked.parameters())
    assert asked.held == ()


def by_hand(encoder: Encoder, adapted: nn.Module, *, factor: float) -> nn.Module:
    """A block without an adapter, to whose matrices W the products are added: W + factor B A."""
    block = encoder.block(2).double().eval()
    known = dict(adapted.named_parameters())
    with torch.no_grad():
        for name, weight in block.named_parameters():
            layer, _, kind = name.rpartition(".")
            weight.copy_(known.get(name, known.get(f"{layer}.base_layer.{kind}")))
            if f"{layer}.lora_B.default.weight" in known and kind == "weight":
                down, up = (known[f"{layer}.lora_{x}.default.weight"] for x in "AB")
                weight += factor * up @ down
    return block


def adapted_block(family: str) -> nn.Module:
    block = make_encoder(family, adapter=LORA).block(2).double().eval()
    randomise(deltas(block).items())
    return block


@both
@torch.no_grad()
def test_a_delta_adds_alpha_over_rank_times_b_a(family: str) -> None:
    block = adapted_block(family)
    batch = batch_of(family, flat=True)
    values = torch.randn(batch.layout.units, 32, dtype=torch.float64)
    found = block(values, batch.layout)
    right = by_hand(make_encoder(family), block, factor=6.0 / 3)
    torch.testing.assert_close(found, right(values, batch.layout), rtol=0, atol=1e-12)
    wrong = by_hand(make_encoder(family), block, factor=6.0)
    assert not torch.allclose(found, wrong(values, batch.layout), rtol=0, atol=1e-6)


@both
@torch.no_grad()
def test_a_merged_block_is_a_plain_one_of_the_same_function(family: str) -> None:
    block = adapted_block(family)
    batch = batch_of(family, flat=True)
    values = torch.randn(batch.layout.units, 32, dtype=torch.float64)
    before = block(values, batch.layout)
    written = [weight.clone() for weight in block.writes()]
    merge(block)
    plain = make_encoder(family).block(2)
    assert [n for n, _ in block.named_parameters()] == [n for n, _ in plain.named_parameters()]
    assert all(p.requires_grad for p in block.parameters())
    torch.testing.assert_close(block(values, batch.layout), before, rtol=0, atol=1e-12)
    assert block.held == ()
    for weight, other in zip(block.writes(), written, strict=True):
        torch.testing.assert_close(weight, other, rtol=0, atol=1e-14)


def test_the_matrices_that_write_states_have_their_deltas() -> None:
    block = adapted_block("bert")
    out = block.get_submodule("parts.out")
    expected = out.base_layer.weight + 2.0 * out.lora_B.default.weight @ out.lora_A.default.weight
    found = block.writes()[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
    found.sum().backward()
    assert out.lora_A.default.weight.grad.any()
    assert out.base_layer.weight.grad is None
    plain = nn.Linear(2, 3)
    assert weight_of(plain) is plain.weight


def test_targets_say_which_layers_are_adapted() -> None:
    block = make_encoder("bert", adapter={**LORA, "targets": ["query", "value"]}).block(1)
    assert {name.split(".")[1] for name in deltas(block)} == {"query", "value"}
    assert len(deltas(block)) == 4
    assert not block.get_parameter("parts.key.weight").requires_grad


def test_a_target_that_blocks_do_not_have_is_refused_with_those_they_have() -> None:
    encoder = make_encoder("modernbert", adapter={**LORA, "targets": ["iner"]})
    with pytest.raises(
        ModelError,
        match=r"adapter\.targets names 'iner', but the linear layers in blocks of encoder family "
        "'modernbert' are qkv, out, inner and outer; did you mean 'inner'",
    ):
        encoder.block(1)


def test_dropout_is_the_packages_own() -> None:
    block = make_encoder("bert", adapter={**LORA, "dropout": 0.25}).block(1)
    dropped = [m for n, m in block.named_modules() if n.endswith("lora_dropout.default")]
    assert len(dropped) == 6
    assert all(type(module) is Dropout and module.p == 0.25 for module in dropped)


def test_copies_have_what_is_held_in_common_and_nothing_else() -> None:
    encoder = make_encoder("bert", adapter=LORA)
    torch.manual_seed(0)
    first = encoder.block(1)
    torch.manual_seed(0)
    second = encoder.block(1)
    second.lean_on(first)
    one, other = dict(first.named_parameters()), dict(second.named_parameters())
    assert one.keys() == other.keys()
    for name, weight in one.items():
        assert (other[name] is weight) == (".lora_" not in name), name
        assert torch.equal(other[name], weight)


def test_an_adapter_is_in_the_config_of_its_encoder() -> None:
    encoder = make_encoder("bert", adapter={**LORA, "targets": ("out",)})
    config = encoder.config()
    assert config["adapter"] == {
        "name": "lora",
        "rank": 3,
        "alpha": 6.0,
        "dropout": 0.0,
        "targets": ["out"],
        "embeddings": False,
    }
    again = encoder_from_config(config)
    assert again.config() == config
    assert deltas(again.block(1)).keys() == deltas(encoder.block(1)).keys()
    assert "adapter" not in make_encoder("bert").config()


def test_defaults_are_those_of_the_recipe() -> None:
    from hiermtl.recipe.adapters import LoraAdapter

    assert LoraAdapter().model_dump() == {**Lora().config(), "targets": ()}


def test_an_adapter_of_another_name_is_refused() -> None:
    with pytest.raises(ModelError, match="adapter 'lorra' is not known; known is 'lora'"):
        adapter_from_config({"name": "lorra"})


def test_without_peft_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = make_encoder("bert", adapter=LORA)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ModelError, match=r"adapter 'lora' is made with .* peft.*hiermtl\[lora\]"):
        encoder.block(1)


def test_a_delta_draws_after_its_block_so_that_the_block_is_the_same() -> None:
    """Of an encoder from scratch."""

    def drawn(adapter: Mapping[str, Any] | None) -> dict[str, Tensor]:
        torch.manual_seed(0)
        return make_encoder("bert", adapter=adapter).block(1).state_dict()

    plain = drawn(None)
    adapted = {n.replace(".base_layer", ""): v for n, v in drawn(LORA).items()}
    assert all(torch.equal(adapted[name], value) for name, value in plain.items())
