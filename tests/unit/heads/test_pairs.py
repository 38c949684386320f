"""Heads of pairs: features, targets, losses."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from hiermtl.heads import PairClassificationHead, PairRegressionHead, TextHead
from hiermtl.heads.pairs import Maxout
from hiermtl.heads.text_classification import vectors_of
from hiermtl.records import MISSING, Groups, HeadOutput, Tap
from tests.unit.heads.test_tagging import layout_of

SCALE = ("1", "2", "3", "4", "5")
PAIR = Groups(np.array([0, 2, 1, 1]), np.array([2, 2]), np.array(["pair", "pair"]))


def states() -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Words of three sentences, and the largest value of each over its words."""
    layout = layout_of((4, 3, 1))
    values = torch.randn(layout.words, 5)
    return values, [part.amax(0) for part in values.split(layout.word_counts.tolist())]


def test_a_sentence_is_the_largest_value_over_its_words() -> None:
    values, largest = states()
    first, second = vectors_of(values, layout_of((4, 3, 1)), PAIR, size=2)
    assert torch.equal(first, torch.stack([largest[0], largest[1]]))
    assert torch.equal(second, torch.stack([largest[2], largest[1]]))


def test_or_the_mean_of_them() -> None:
    layout = layout_of((4, 3, 1))
    values = torch.randn(layout.words, 5)
    means = [part.mean(0) for part in values.split(layout.word_counts.tolist())]
    first, second = vectors_of(values, layout, PAIR, size=2, pooling="mean")
    torch.testing.assert_close(first, torch.stack([means[0], means[1]]))
    torch.testing.assert_close(second, torch.stack([means[2], means[1]]))
    torch.manual_seed(0)
    head = PairClassificationHead(5, SCALE, dropout=0.0, pooling="mean")
    turned = PairClassificationHead(5, SCALE, **{**head.options(), "pooling": "max"})
    turned.load_state_dict(head.state_dict())
    tap = Tap(values, layout, PAIR)
    assert head.options()["pooling"] == "mean"
    assert not torch.allclose(head(tap)["labels"], turned(tap)["labels"])


def test_no_pair_is_no_vector_and_no_error() -> None:
    values, _ = states()
    nothing = np.zeros(0, dtype=np.int64)
    none = Groups(nothing, nothing, nothing.astype(np.str_))
    found = vectors_of(values, layout_of((4, 3, 1)), none, size=2)
    assert [vector.shape for vector in found] == [(0, 5), (0, 5)]


@pytest.mark.parametrize("kind", [PairClassificationHead, PairRegressionHead])
def test_a_pair_is_read_as_the_paper_says(kind: type) -> None:
    values, largest = states()
    head = kind(5, SCALE, hidden=3, pool=2, layers=1).eval()
    found = head(Tap(values, layout_of((4, 3, 1)), PAIR))["labels"][0]
    one, other = largest[0], largest[2]
    apart = one - other if kind is PairClassificationHead else (one - other).abs()
    read = torch.cat([apart, one * other])
    maps = head.maxout[0].maps(read).view(3, 2)
    torch.testing.assert_close(found, head.output(maps.amax(-1)))


def test_maxout_takes_the_largest_of_its_maps() -> None:
    layer = Maxout(4, 3, 2)
    values = torch.randn(5, 4)
    assert layer(values).shape == (5, 3)
    every = layer.maps(values).view(5, 3, 2)
    assert torch.equal(layer(values), torch.maximum(every[..., 0], every[..., 1]))


def test_gold_lies_on_the_two_whole_numbers_around_it() -> None:
    head = PairRegressionHead(5, SCALE)
    numbers = torch.tensor([3.6, 1.0, 5.0, 2.5], dtype=torch.float64)
    target = head.target(numbers)
    torch.testing.assert_close(target[0], torch.tensor([0, 0, 0.4, 0.6, 0], dtype=torch.float64))
    torch.testing.assert_close(target.sum(-1), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(target @ head.numbers.double(), numbers)


def output_of(scores: torch.Tensor) -> HeadOutput:
    return HeadOutput(
        {"labels": scores}, layout_of((4, 3, 1)), np.arange(3), np.arange(len(scores))
    )


def test_the_loss_of_numbers_is_the_divergence_and_zero_for_the_target_itself() -> None:
    head = PairRegressionHead(5, SCALE)
    scores = torch.randn(3, 5, requires_grad=True)
    numbers = torch.tensor([3.6, float("nan"), 2.0])
    loss = head.loss(output_of(scores), {"numbers": numbers})
    kept = torch.tensor([0, 2])
    expected = F.kl_div(scores[kept].log_softmax(-1), head.target(numbers[kept]), reduction="sum")
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert scores.grad is not None
    assert not scores.grad[1].any()
    perfect = head.target(numbers[kept]).clamp(min=1e-30).log()
    assert head.loss(output_of(perfect), {"numbers": numbers[kept]}).abs() < 1e-5


@given(
    gold=st.floats(1, 5),
    scores=st.lists(st.floats(-50, 50), min_size=5, max_size=5),
)
def test_divergence_is_never_negative_and_numbers_stay_on_the_scale(
    gold: float, scores: list[float]
) -> None:
    head = PairRegressionHead(3, SCALE).double()
    output = output_of(torch.tensor([scores], dtype=torch.float64))
    numbers = torch.tensor([gold], dtype=torch.float64)
    (target,) = head.target(numbers)
    assert float(target.sum()) == pytest.approx(1, abs=1e-12)
    assert float(target @ torch.arange(1.0, 6.0, dtype=torch.float64)) == pytest.approx(gold)
    assert float(head.loss(output, {"numbers": numbers})) >= -1e-12
    (found,) = head.decode(output)
    assert 1 - 1e-12 <= found <= 5 + 1e-12


def test_a_number_is_the_mean_of_the_softmax() -> None:
    head = PairRegressionHead(5, SCALE)
    scores = torch.tensor([[0.0, 0, 0, 0, 0], [-99, -99, 0, 0, -99]])
    assert head.decode(output_of(scores)) == pytest.approx([3.0, 3.5])
    assert head.confidence(output_of(scores), [3.0, 3.5]) is None


@pytest.mark.parametrize("kind", [PairClassificationHead, TextHead])
def test_labels_are_chosen_and_weighed_by_softmax(kind: type) -> None:
    head = kind(5, ["a", "b"])
    scores = torch.tensor([[1.0, 3.0], [2.0, 0.0], [0.0, 0.0]])
    gold = torch.tensor([1, MISSING, 0])
    output = output_of(scores)
    expected = F.cross_entropy(scores[[0, 2]], gold[[0, 2]], reduction="sum")
    torch.testing.assert_close(head.loss(output, {"labels": gold}), expected)
    assert head.decode(output) == [1, 0, 0]
    confidence = head.confidence(output, [1, 0, 0])
    torch.testing.assert_close(confidence, scores.softmax(-1)[[0, 1, 2], [1, 0, 0]])


def test_a_certain_prediction_below_reads_as_one_row_of_its_table() -> None:
    values, _ = states()
    head = PairClassificationHead(5, ["a", "b"], hidden=3, reads={"related": 5}, label_width=4)
    layout = layout_of((4, 3, 1))
    seen: list[torch.Tensor] = []
    head.maxout.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    for lower in (torch.eye(5)[[2, 4]], torch.full((2, 5), 0.2)):
        head(Tap(values, layout, PAIR, {"related": lower}))
    table = head.embeddings["related"]
    torch.testing.assert_close(seen[0][:, -4:], table[[2, 4]])
    torch.testing.assert_close(seen[1][:, -4:], table.mean(0).expand(2, 4))
    assert head.options()["reads"] == {"related": 5}
