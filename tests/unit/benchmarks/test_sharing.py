"""The formulas and variants of the page on sharing schemes, against the models they stand for."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from transformers import BertConfig

from benchmarks.sharing import report
from benchmarks.sharing.activations import Facts, kept
from benchmarks.sharing.arms import ARMS, COLUMNS, REFERENCES
from benchmarks.sharing.formulas import HEADS, SCHEMES, case_of, size
from benchmarks.sharing.measure import in_training, saved
from benchmarks.sharing.stacked import Loop, stacked
from hiermtl.encoders import BertEncoder, BiLstmEncoder
from hiermtl.encoders.bilstm import autocasts
from hiermtl.model import HierarchicalModel
from hiermtl.sharing import SHARING
from hiermtl.training.step import TrainingStep
from tests.unit.benchmarks.test_reports import MADE
from tests.worlds import TASKS, World, make_config, make_tokenizer, make_world, randomise

DEPTHS = {"upos": 1, "ner": 2, "dep": 3}
TOP = dict.fromkeys(DEPTHS, 3)

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "adaptive": [{"tree": {"3": [["dep"]], "2": [["ner"], ["dep"]]}}],
    "cross_stitch": [
        {"per": "channel", "shared_below": 2},
        {"streams": "live"},
        {"mix_last": False, "shared_below": 0},
    ],
    "hmtl": [{"shortcuts": False}, {"tree": {"ner": "upos", "dep": "upos"}}, {"trunk": 1}],
    "joint_many": [{"shortcuts": False, "label_width": 7}, {"label_embeddings": False}],
    "relationship": [{"units": 5}],
    "sluice": [{"subspaces": 4, "betas": "off"}, {"streams": "live"}, {"mix_last": False}],
    "soft_l2": [{"shared_below": 0}, {"shared_below": 3}],
}
"""Further options of schemes beside their defaults."""

CASES = [(name, options) for name in SHARING for options in ({}, *OPTIONS.get(name, []))]
small = pytest.mark.parametrize(("name", "options"), CASES)
families = pytest.mark.parametrize("family", ["bert", "bilstm"])


def depths_of(name: str) -> dict[str, int]:
    return TOP if name == "hard" else DEPTHS


def test_every_scheme_is_measured_and_has_a_formula() -> None:
    assert set(ARMS) == set(SCHEMES) == set(SHARING)
    assert set(COLUMNS) <= set(ARMS)
    assert set(REFERENCES) == {arm.depths for arm in ARMS.values()}
    assert set(HEADS) == {TASKS[task][0] for task in DEPTHS}


@families
@small
def test_copies_weights_and_tensors_are_those_of_the_model(
    family: str, name: str, options: Mapping[str, Any]
) -> None:
    model = make_world(family, {"name": name, **options}, depths=depths_of(name)).model
    found, (_, shape) = size(model.config), case_of(model.config)
    stack = model.stack
    assert list(shape.copies) == [
        len(stack.copies(depth) if depth else stack.embeddings) for depth in range(4)
    ]
    assert found.weights == sum(weight.numel() for weight in model.parameters())
    assert found.tensors == len(list(model.parameters()))


@families
@pytest.mark.parametrize("name", SHARING)
def test_bytes_of_a_training_are_those_that_it_holds(family: str, name: str) -> None:
    world = make_world(family, name, depths=depths_of(name), dtype=torch.float32)
    model = world.model
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    batch = world.batch(world.examples(annotated=[tuple(DEPTHS)]))
    torch.stack(list(world.losses(batch).values())).sum().backward()
    optimizer.step()
    assert in_training(model, optimizer) == size(model.config).bytes()


def wide(family: str, sharing: str) -> World:
    """Of a width at which states weigh more than what counts them."""
    if family == "bert":
        config = BertConfig(
            vocab_size=60,
            hidden_size=192,
            num_hidden_layers=3,
            num_attention_heads=6,
            intermediate_size=500,
        )
        encoder = BertEncoder(config, casing=True)
    else:
        encoder = BiLstmEncoder(layers=3, hidden=256, vocabulary=20, buckets=50)
    config = make_config(encoder, sharing, depths=depths_of(sharing), dropout=0.1)
    return World(HierarchicalModel(config, encoder), make_tokenizer(family))


@pytest.mark.parametrize("half", [False, True])
@families
@pytest.mark.parametrize("name", SHARING)
def test_what_a_pass_keeps_is_what_the_formula_says(family: str, name: str, half: bool) -> None:
    if family == "bilstm" and half and not autocasts():
        pytest.skip("LSTMs have no bf16 here")
    world = wide(family, name)
    world.model.sharing.begin(world.model.stack, world.model.heads)
    batch = world.batch(8 * world.examples(annotated=[tuple(DEPTHS)]))
    found = saved(TrainingStep(world.model), batch, half=half)
    expected = kept(world.model.config, Facts.of(batch), half=half)
    assert expected == pytest.approx(found, rel=0.05)
    # The control: a batch of an eighth.
    fewer = world.batch(world.examples(annotated=[tuple(DEPTHS)]))
    assert kept(world.model.config, Facts.of(fewer), half=half) < 0.5 * found


@pytest.mark.parametrize("flat", [True, False])
@families
def test_stacked_products_are_those_of_a_loop(family: str, flat: bool) -> None:
    world = make_world(family, "single", depths=TOP)
    blocks = [copy.deepcopy(block) for block in world.model.stack.copies(2).values()]
    randomise((f"{n}", p) for block in blocks for n, p in block.named_parameters())
    batch = world.batch(world.examples(), flat=flat)
    units = int(batch.layout.row_lengths.sum()) if flat else batch.layout.units
    real = slice(0, units)  # behind the last row there is nothing to agree on
    values = torch.randn(3, batch.layout.units, world.model.sharing.widths[1]).double()
    outputs, gradients = [], []
    for columns in (Loop(blocks), stacked(blocks).double()):
        given = values.clone().requires_grad_()
        made = torch.stack(list(columns(given, batch.layout)))[:, real]
        made.square().sum().backward()
        outputs.append(made)
        assert given.grad is not None
        gradients.append(given.grad[:, real])
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-6, atol=1e-12)


def arm(depths: str, seconds: float, **more: Any) -> dict[str, Any]:
    size = {"weights": 1_000_000, "gradients": 1_000_000, "optimizer": 2_000_004}
    return {
        "depths": depths,
        "seconds": [seconds, 2 * seconds, seconds],
        "alone": [0.25, 0.25, 0.25],
        "terms": None,
        "bytes": {"measured": size, "formula": size},
        "kept": {"measured": 2_000_000, "formula": 2_020_000},
        **more,
    }


def test_a_report_holds_each_scheme_against_what_it_is_to_cost() -> None:
    arms = {
        "low_supervision": arm("own", 0.5),
        "joint_many": arm("own", 0.6),
        "hard": arm("top", 1.0),
        "soft_l2": arm("top", 4.0, terms=[0.2, 0.2, 0.2], alone=[0.3, 0.25, 0.3]),
    }
    other = {"weights": 1, "gradients": 1, "optimizer": 1}
    arms["joint_many"]["bytes"] = {**arms["joint_many"]["bytes"], "formula": other}
    ways = [
        {"pieces": 1024, "precision": "fp32", "way": way, "seconds": [seconds] * 3}
        for way, seconds in (("one by one", 2.0), ("stacked", 1.0))
    ]
    encoder = {
        "encoder": "MiniLM",
        "tasks": {"upos": 3, "dep": 6},
        "arms": arms,
        "columns": {"upos": [1.0, 2.0, 1.0], "dep": [3.0, 6.0, 3.0]},
        "both_ways": ways,
    }
    result = {**MADE, "precision": "bf16", "steps": 4, "encoders": [encoder]}
    low, joint, hard, soft = report.times(result)
    one, same = "1.00 (1.00 to 1.00)", ""
    assert low == ("MiniLM", "low_supervision", "own", "500", one, same, one, "", "")
    assert joint[4] == "1.20 (1.20 to 1.20)"
    assert joint[-1] == "one stream"
    assert hard[4] == one
    assert soft[3:] == (
        "4000",
        "4.00 (4.00 to 4.00)",
        one,
        "1.20 (1.00 to 1.20)",
        "5.0%",
        "one task, terms",
    )
    first, second, *_ = report.memory(result)
    assert first[2:] == ("1.0 MB", "1.0 MB", "2.0 MB", "equal", "2.0 MB", "1.010")
    assert second[5] == "other"
    assert list(report.both_ways(result)) == [
        ("MiniLM", "1,024", "fp32", "2000", "1000", "0.50 (0.50 to 0.50)")
    ]
    page = report.markdown(result)
    assert "bf16, 4 steps a round, 3 rounds; depths of their own: MiniLM: upos 3, dep 6" in page
    assert "| MiniLM | 1,024 | fp32 | 2000 | 1000 | 0.50 (0.50 to 0.50) |" in report.markdown(
        result
    )
