import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hiermtl.heads import TaggingHead
from hiermtl.records import MISSING, HeadOutput, Layout, Tap
from hiermtl.tokens import Collator
from tests.worlds import make_world

COUNTS = (3, 1, 4)
LABELS = ("O", "B-A", "I-A", "B-B")


def layout_of(counts: tuple[int, ...]) -> Layout:
    """Sentences of so many words, in this order."""
    world = make_world("bilstm", depths={"upos": 1})
    examples = world.examples([["a"] * count for count in counts], [()])
    layout = Collator(world.tokenizer, {"upos": 1})(examples, ["upos"]).layout
    assert layout.word_counts.tolist() == sorted(counts, reverse=True)
    return layout


def scored(head: TaggingHead, counts: tuple[int, ...] = COUNTS) -> tuple[HeadOutput, torch.Tensor]:
    layout = layout_of(counts)
    states = torch.randn(layout.words, 5)
    scores = head.eval()(Tap(states, layout))
    return HeadOutput(scores, layout, np.arange(layout.sentences)), states


def test_the_loss_is_torchs_cross_entropy_summed_over_labelled_words() -> None:
    head = TaggingHead(5, LABELS)
    output, states = scored(head)
    labels = torch.tensor([0, 1, MISSING, 3, 2, MISSING, 0, 0])
    logits = head.output(states)
    kept = labels != MISSING
    expected = F.cross_entropy(logits[kept], labels[kept], reduction="sum")
    torch.testing.assert_close(head.loss(output, {"labels": labels}), expected)
    nothing = head.loss(output, {"labels": torch.full_like(labels, MISSING)})
    assert nothing == 0


def test_class_weights_multiply_each_words_loss() -> None:
    weights = [0.5, 2.0, 0.0, 1.0]
    head = TaggingHead(5, LABELS, class_weights=weights)
    output, states = scored(head)
    labels = torch.tensor([0, 1, MISSING, 3, 2, 2, 0, 0])
    each = F.cross_entropy(head.output(states), labels.clamp(min=0), reduction="none")
    expected = (each * torch.tensor(weights)[labels.clamp(min=0)] * (labels != MISSING)).sum()
    torch.testing.assert_close(head.loss(output, {"labels": labels}), expected)
    head.double()
    assert (
        head.loss(
            HeadOutput(
                {"labels": output.scores["labels"].double()}, output.layout, output.sentences
            ),
            {"labels": labels},
        ).dtype
        == torch.float64
    )


def test_half_precision_scores_give_a_full_precision_loss() -> None:
    head = TaggingHead(5, LABELS, class_weights=[1.0, 2.0, 1.0, 1.0])
    output, _ = scored(head)
    half = HeadOutput(
        {"labels": output.scores["labels"].bfloat16()}, output.layout, output.sentences
    )
    assert head.loss(half, {"labels": torch.zeros(8, dtype=torch.long)}).dtype == torch.float32


def test_decoding_takes_the_best_label_of_each_word_sentence_by_sentence() -> None:
    head = TaggingHead(5, LABELS)
    output, states = scored(head)
    best = head.output(states).argmax(-1)
    found = head.decode(output)
    assert [len(labels) for labels in found] == [4, 3, 1]
    assert np.concatenate(found).tolist() == best.tolist()
    assert all(labels.dtype == np.int64 for labels in found)


def test_probabilities_are_the_softmax_of_the_scores() -> None:
    head = TaggingHead(5, LABELS)
    output, states = scored(head)
    torch.testing.assert_close(head.probabilities(output), F.softmax(head.output(states), -1))


@pytest.mark.parametrize("dropout", [0.0, 0.7])
def test_dropout_falls_on_the_states_in_training_only(dropout: float) -> None:
    head = TaggingHead(5, LABELS, dropout=dropout)
    tap = Tap(torch.randn(8, 5), layout_of(COUNTS))
    head.eval()
    quiet = head(tap)["labels"]
    assert torch.equal(quiet, head(tap)["labels"])
    head.train()
    assert torch.equal(quiet, head(tap)["labels"]) == (dropout == 0)
