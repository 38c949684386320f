"""The formulas of the page on many graphics processors, against what they stand for."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel

from benchmarks.scale.__main__ import kept
from benchmarks.scale.formulas import FP32, Cluster, Encoder, step

SMALL = Encoder(blocks=3, width=32, inner=48, vocabulary=50, positions=20)


def library(encoder: Encoder) -> BertModel:
    return BertModel(
        BertConfig(
            vocab_size=encoder.vocabulary,
            max_position_embeddings=encoder.positions,
            hidden_size=encoder.width,
            intermediate_size=encoder.inner,
            num_hidden_layers=encoder.blocks,
            num_attention_heads=4,
            attn_implementation="eager",
        ),
        add_pooling_layer=False,
    )


def test_weights_are_those_of_the_library() -> None:
    model = library(SMALL)
    blocks = sum(weight.numel() for weight in model.encoder.parameters())
    assert blocks == SMALL.blocks * SMALL.block_weights
    found = sum(weight.numel() for weight in model.parameters())
    # Without segments and the embedding's norm.
    assert found == SMALL.weights + 4 * SMALL.width


def test_operations_are_those_that_are_counted() -> None:
    model = library(SMALL)
    rows, length = 2, 7
    with FlopCounterMode(display=False) as counter:
        made = model(inputs_embeds=torch.randn(rows, length, SMALL.width, requires_grad=True))
        made.last_hidden_state.sum().backward()
    assert counter.get_total_flops() == pytest.approx(SMALL.operations(rows * length, length))


def ring(sizes: np.ndarray) -> tuple[np.ndarray, int]:
    """The sum of everyone's array, in one round of a ring, and how many numbers each sends."""
    count = len(sizes)
    parts = [np.array_split(row.astype(float), count) for row in sizes]
    sent = 0
    for turn in range(count - 1):
        moving = [
            (who, (who - turn) % count, parts[who][(who - turn) % count].copy())
            for who in range(count)
        ]
        for who, part, values in moving:
            parts[(who + 1) % count][part] += values
        sent += len(moving[0][2])
    whole = [parts[(part - 1) % count][part] for part in range(count)]
    return np.concatenate(whole), sent


@pytest.mark.parametrize("processors", [2, 4, 8])
def test_a_ring_sends_what_the_formula_says(processors: int) -> None:
    numbers = np.random.default_rng(0).normal(size=(processors, 16 * processors))
    added, sent = ring(numbers)
    assert np.allclose(added, numbers.sum(0))
    cluster = Cluster(processors, within=1.0, wire=1.0)
    assert cluster.around(16 * processors) == sent


def test_lower_tasks_cost_less_and_parts_hold_less() -> None:
    options = {"pieces": 1000, "length": 20.0, "per_piece": 100.0}
    whole = step(Encoder(), Cluster(64), shard=False, **options)
    low = step(Encoder(), Cluster(64), shard=False, depth=6, **options)
    parts = step(Encoder(), Cluster(64), shard=True, **options)
    assert low.compute == pytest.approx(whole.compute / 4)
    assert low.hidden + low.shown < whole.hidden + whole.shown
    assert parts.state < whole.state / 10
    assert whole.state == 5 * Encoder().weights * FP32
    assert step(Encoder(), Cluster(1), shard=False, **options).shown == 0


def test_recomputing_keeps_only_what_a_block_reads() -> None:
    width = Encoder().width
    assert kept(recompute=True) == FP32 * width
    assert kept(recompute=False) > 20 * width
