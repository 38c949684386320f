"""What holds for each row of the table of heads."""

from pathlib import Path

import numpy as np
import pytest
import torch

import hiermtl.heads
from hiermtl.corpus.names import PLACES
from hiermtl.heads import HEADS, Head
from hiermtl.records import MISSING, HeadOutput, Tap
from tests.unit.heads.test_tagging import layout_of
from tests.worlds import GOLD, LABELS, assert_same, labels_of, randomise

WORDS = [k for k, head in HEADS.items() if head.unit == "word" and head.layer not in PLACES]
every_head = pytest.mark.parametrize("kind", WORDS)
"""Those that give words a label each; the others have files of their own."""
COUNTS = (4, 3, 1)


def head_of(kind: str) -> Head:
    head = HEADS[kind](5, labels_of(kind)).double().eval()
    randomise(head.named_parameters())
    return head


def scored(head: Head, counts: tuple[int, ...] = COUNTS) -> HeadOutput:
    layout = layout_of(counts)
    states = torch.randn(layout.words, 5, dtype=torch.float64)
    return HeadOutput(head(Tap(states, layout)), layout, np.arange(layout.sentences))


def gold_of(head: Head, counts: tuple[int, ...] = COUNTS) -> dict[str, torch.Tensor]:
    random = np.random.default_rng(0)
    parts = [GOLD[head.layer](count, len(head.labels), random) for count in counts]
    return {name: torch.from_numpy(np.concatenate([p[name] for p in parts])) for name in parts[0]}


def test_every_file_is_a_row_and_every_row_a_file() -> None:
    folder = Path(hiermtl.heads.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "base", "pairs", "reading"}
    assert files == set(HEADS) == {head.kind for head in HEADS.values()}
    assert {head.layer for head in HEADS.values() if head.unit == "word"} <= set(LABELS)


@every_head
def test_options_make_the_same_head_again(kind: str) -> None:
    head = head_of(kind)
    again = HEADS[kind](5, head.labels, **head.options()).double().eval()
    assert again.options() == head.options()
    again.load_state_dict(head.state_dict())
    torch.manual_seed(1)
    left = scored(head)
    torch.manual_seed(1)
    right = scored(again)
    assert_same(dict(left.scores), dict(right.scores))
    assert again.loss(right, gold_of(head)) == head.loss(left, gold_of(head))


@every_head
def test_scores_have_words_first_but_for_those_of_the_root(kind: str) -> None:
    output = scored(head_of(kind))
    for name, scores in output.scores.items():
        assert len(scores) == (1 if name.startswith("root_") else output.layout.words)


@every_head
def test_the_loss_is_one_number_summed_over_sentences(kind: str) -> None:
    head = head_of(kind)
    output, gold = scored(head), gold_of(head)
    loss = head.loss(output, gold)
    assert loss.shape == ()
    assert loss > 0
    total, start = torch.zeros(()).double(), 0
    for count in COUNTS:
        words = slice(start, start + count)
        scores = {n: s if n.startswith("root_") else s[words] for n, s in output.scores.items()}
        alone = HeadOutput(scores, layout_of((count,)), np.arange(1))
        total = total + head.loss(alone, {name: values[words] for name, values in gold.items()})
        start += count
    torch.testing.assert_close(loss, total)


@every_head
def test_half_precision_scores_give_a_full_precision_loss(kind: str) -> None:
    head = HEADS[kind](5, labels_of(kind)).eval()
    layout = layout_of(COUNTS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = head(Tap(torch.randn(layout.words, 5), layout))
        loss = head.loss(HeadOutput(scores, layout, np.arange(3)), gold_of(head))
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@every_head
def test_decoding_gives_one_annotation_a_sentence(kind: str) -> None:
    head = head_of(kind)
    found = head.decode(scored(head))
    for labels, count in zip(found, COUNTS, strict=True):
        parts = labels if head.layer == "tree" else (labels,)
        assert all(part.shape == (count,) and part.dtype == np.int64 for part in parts)
        assert 0 <= parts[-1].min() <= parts[-1].max() < len(head.labels)


@every_head
def test_probabilities_are_a_distribution_or_refused(kind: str) -> None:
    head = head_of(kind)
    output = scored(head)
    if HEADS[kind].probabilities is Head.probabilities:
        with pytest.raises(
            NotImplementedError, match=f"the {kind} head gives no label distribution"
        ):
            head.probabilities(output)
        return
    probabilities = head.probabilities(output)
    assert probabilities.shape == (output.layout.words, len(head.labels))
    assert (probabilities >= 0).all()
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(output.layout.words).double())


@every_head
def test_gold_of_words_left_out_is_never_looked_at(kind: str) -> None:
    head = head_of(kind)
    output, gold = scored(head), gold_of(head)
    for values in gold.values():
        values[:4] = MISSING
    layout = output.layout
    rest = layout.select(np.array([1, 2]))
    scores = {
        n: s if n.startswith("root_") else rest.take_words(s) for n, s in output.scores.items()
    }
    expected = head.loss(
        HeadOutput(scores, rest.layout, rest.sentences), {n: v[4:] for n, v in gold.items()}
    )
    torch.testing.assert_close(head.loss(output, gold), expected)
