"""How sentences form batches changes nothing: companions, order, padding, cuts, missing gold."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hiermtl.heads import HEADS, TaggingHead
from hiermtl.records import MISSING, Example, HeadOutput
from hiermtl.sharing import SHARING
from tests.worlds import (
    ALL,
    FAMILIES,
    RAGGED,
    SENTENCES,
    TASKS,
    World,
    assert_same,
    make_world,
    per_sentence,
    same,
)

everywhere = pytest.mark.parametrize("family", FAMILIES)
every_scheme = pytest.mark.parametrize("sharing", SHARING)
every_layout = pytest.mark.parametrize("flat", [True, False], ids=["flat", "padded"])
TIGHT = {"rtol": 1e-9, "atol": 1e-9}


def one_by_one(world: World, examples: Sequence[Example]) -> dict[str, Tensor]:
    """Each task's loss, summed over batches of one sentence."""
    losses: dict[str, list[Tensor]] = {}
    for example in examples:
        for task, loss in world.losses(world.batch([example])).items():
            losses.setdefault(task, []).append(loss)
    return {task: torch.stack(parts).sum() for task, parts in losses.items()}


def decoded(
    world: World, examples: Sequence[Example], *, flat: bool
) -> dict[tuple[str, int], list]:
    batch = world.batch(examples, ALL, flat=flat)
    outputs = world.model(batch, ALL)
    return {
        (task, int(batch.order[sentence])): np.asarray(label).tolist()
        for task, labels in world.model.decode(outputs, ALL).items()
        for sentence, label in zip(outputs[task].sentences, labels, strict=True)
    }


@everywhere
@every_scheme
@every_layout
@torch.no_grad()
def test_scores_and_labels_do_not_depend_on_companions(
    family: str, sharing: str, flat: bool
) -> None:
    world = make_world(family, sharing)
    examples = world.examples()
    batch = world.batch(examples, ALL, flat=flat)
    outputs = world.model(batch, ALL)
    together = {task: per_sentence(batch, outputs[task]) for task in ALL}
    labels = decoded(world, examples, flat=flat)
    assert len(labels) == len(ALL) * len(examples)
    for place, example in enumerate(examples):
        alone = world.batch([example], ALL)
        for task, output in world.model(alone, ALL).items():
            assert_same(per_sentence(alone, output)[0], together[task][place], atol=1e-12)
            assert labels[task, place] == decoded(world, [example], flat=True)[task, 0]


@everywhere
@every_scheme
@every_layout
def test_losses_are_those_of_the_sentences_one_by_one(
    family: str, sharing: str, flat: bool
) -> None:
    world = make_world(family, sharing)
    examples = world.examples(missing=0.3)
    losses = world.losses(world.batch(examples, flat=flat))
    expected = one_by_one(world, examples)
    assert losses.keys() == expected.keys() == set(TASKS)
    for task in losses:
        torch.testing.assert_close(losses[task], expected[task], **TIGHT)


class MeanOverPadding(TaggingHead):
    """What must not be: the sentences are padded and the loss is the mean over all cells."""

    def loss(self, output: HeadOutput, gold: Mapping[str, Tensor]) -> Tensor:
        counts = output.layout.word_counts.tolist()
        scores, labels = (
            torch.nn.utils.rnn.pad_sequence(list(part.split(counts)), batch_first=True)
            for part in (output.scores["labels"], gold["labels"])
        )
        return F.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="mean")


def test_a_mean_over_padding_would_be_caught() -> None:
    world = make_world("bilstm", depths={"upos": 1})
    world.model.head("upos").__class__ = MeanOverPadding
    short, long = (world.examples(annotated=[ALL])[place] for place in (1, 3))
    alone = world.losses(world.batch([short]))["upos"]
    beside = world.losses(world.batch([short, long]))["upos"]
    assert not torch.allclose(beside, alone + world.losses(world.batch([long]))["upos"], atol=1e-3)
    again = world.losses(world.batch([short, short]))["upos"]
    assert not torch.allclose(again, 2 * alone, atol=1e-3)


@everywhere
def test_flat_and_padded_layouts_give_the_same_losses_and_gradients(family: str) -> None:
    world = make_world(family)
    found = []
    for flat in (True, False):
        losses = world.losses(world.batch(world.examples(), flat=flat))
        found.append((losses, world.gradients(torch.stack(list(losses.values())).sum())))
    assert_same(found[0][0], found[1][0], atol=1e-10)
    assert_same(found[0][1], found[1][1], atol=1e-10)


@settings(max_examples=12)
@given(order=st.permutations(range(len(SENTENCES))), flat=st.booleans())
@pytest.mark.parametrize("family", FAMILIES)
def test_the_order_of_examples_changes_nothing(family: str, order: list[int], flat: bool) -> None:
    world = make_world(family)
    examples = world.examples()
    straight = world.losses(world.batch(examples))
    shuffled = [examples[place] for place in order]
    losses = world.losses(world.batch(shuffled, flat=flat))
    assert_same(losses, straight, atol=1e-10)
    with torch.no_grad():
        labels = decoded(world, shuffled, flat=flat)
        plain = decoded(world, examples, flat=True)
    assert labels == {
        (task, at): plain[task, place] for task in ALL for at, place in enumerate(order)
    }


@settings(max_examples=12)
@given(cut=st.integers(1, len(SENTENCES) - 1), missing=st.sampled_from([0.0, 0.4]))
@pytest.mark.parametrize("family", FAMILIES)
def test_cutting_a_batch_changes_no_gradient_of_summed_losses(
    family: str, cut: int, missing: float
) -> None:
    world = make_world(family)
    examples = world.examples(missing=missing)
    whole = world.gradients(torch.stack(list(world.losses(world.batch(examples)).values())).sum())
    terms = []
    for part in (examples[:cut], examples[cut:]):
        terms += list(world.losses(world.batch(part)).values())
    pieces = world.gradients(torch.stack(terms).sum())
    for name, gradient in whole.items():
        other = pieces[name]
        if gradient is None or other is None:
            assert gradient is other is None
        else:
            torch.testing.assert_close(gradient, other, **TIGHT)


@everywhere
@pytest.mark.parametrize("task", TASKS)
def test_a_word_without_gold_adds_nothing(family: str, task: str) -> None:
    world = make_world(family)
    examples = world.examples(annotated=[ALL])
    for example in examples:
        for values in example.gold[task].values():
            values[:] = MISSING
    batch = world.batch(examples)
    losses = world.losses(batch)
    assert losses[task] == 0
    full = world.losses(world.batch(world.examples(annotated=[ALL])))
    for other in set(TASKS) - {task}:
        assert torch.equal(losses[other], full[other])
    for name, gradient in (
        world.gradients(losses[task]).items() if losses[task].requires_grad else ()
    ):
        assert gradient is None or not gradient.any(), name


@everywhere
@every_scheme
def test_a_sentence_without_gold_adds_nothing(family: str, sharing: str) -> None:
    world = make_world(family, sharing)
    examples = world.examples()
    assert RAGGED[2] == ()
    others = [e for e in examples if e.gold]
    with_it = world.losses(world.batch(examples))
    without = world.losses(world.batch(others))
    assert_same(with_it, without, atol=1e-12)


@everywhere
def test_a_task_without_gold_in_the_batch_has_no_loss_and_is_not_run(family: str) -> None:
    world = make_world(family)
    batch = world.batch(world.examples(annotated=[("ner",)]))
    outputs = world.model(batch)
    assert set(outputs) == {"ner"}
    assert set(world.model.losses(batch, outputs)) == {"ner"}


@everywhere
def test_a_batch_without_any_gold_has_no_output(family: str) -> None:
    world = make_world(family)
    batch = world.batch(world.examples(annotated=[()]))
    assert world.model(batch) == {}


@everywhere
@every_layout
@pytest.mark.parametrize("sentences", [[[]], [["abc"], []], [[], ["a", "b"], []]], ids=len)
def test_an_empty_sentence_is_no_obstacle(
    family: str, flat: bool, sentences: list[list[str]]
) -> None:
    world = make_world(family)
    batch = world.batch(world.examples(sentences, [ALL]), ALL, flat=flat)
    outputs = world.model(batch, ALL)
    for task, labels in world.model.decode(outputs, ALL).items():
        found = {int(batch.order[s]): label for s, label in enumerate(labels)}
        for place, words in enumerate(sentences):
            label = found[place]
            parts = label if HEADS[TASKS[task][0]].layer == "tree" else (label,)
            assert all(len(part) == len(words) for part in parts)
    losses = world.model.losses(batch, outputs)
    kept = [s for s in sentences if s]
    if kept:
        places = [i for i, s in enumerate(sentences) if s]
        examples = [world.examples(sentences, [ALL])[i] for i in places]
        assert_same(losses, world.losses(world.batch(examples)), atol=1e-10)
    else:
        assert not any(loss.detach().any() for loss in losses.values())


@everywhere
@torch.no_grad()
def test_two_passes_in_evaluation_are_identical(family: str) -> None:
    world = make_world(family, dropout=0.5, dtype=torch.float32)
    batch = world.batch(world.examples(), ALL)
    first, second = (world.model(batch, ALL) for _ in range(2))
    for task in ALL:
        assert_same(first[task].scores, second[task].scores)
    world.model.train()
    first, second = (world.model(batch, ALL) for _ in range(2))
    for task in ALL:
        assert not same(first[task].scores, second[task].scores)
