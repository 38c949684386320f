"""Against loops over pairs of mentions, as the equation is written."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hiermtl.heads.coreference import CoreferenceHead, _step
from hiermtl.records import MISSING, Groups, HeadOutput, Tap
from tests.unit.heads.test_tagging import layout_of

COUNTS = (5, 4, 3, 2, 1)
MEMBERS = Groups(np.array([2, 0, 4, 3, 1]), np.array([3, 2]), np.array(["document", "document"]))
"""Two documents: sentences 2, 0 and 4; 3 and 1."""
SPANS = [
    (0, 1, 3, 1),
    (0, 0, 5, 0),
    (2, 2, 3, MISSING),
    (2, 0, 2, 0),
    (4, 0, 1, 1),
    (1, 0, 2, 1),
    (1, 3, 4, 0),
    (3, 0, 1, 0),
]
"""Sentence, first word, word behind the last, label; in no order."""
ORDER = [3, 2, 1, 0, 4, 7, 5, 6]
"""Places of the spans in the order of the text."""
GOLD = [
    (2, 0, 2, 0, 0),
    (0, 0, 5, 1, 0),
    (0, 1, 3, 0, 0),
    (4, 0, 1, 1, 0),
    (1, 1, 2, 5, 0),
    (3, 0, 1, 0, 0),
    (1, 3, 4, 0, 0),
]
"""Sentence, words, entity in the document, label; one is no span that is read."""


def head_of(window: int = 8) -> CoreferenceHead:
    torch.manual_seed(0)
    head = CoreferenceHead(6, ("mention",), reads={"mention": 2}, size=3, window=window)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_()
    return head.double().eval()


def scored(head: CoreferenceHead, spans: list[tuple[int, ...]] = SPANS) -> HeadOutput:
    layout = layout_of(COUNTS)
    torch.manual_seed(1)
    states = torch.randn(layout.words, 6, dtype=torch.float64)
    scores = head(Tap(states, layout, MEMBERS))
    output = HeadOutput(scores, layout, np.arange(layout.sentences), np.arange(2), MEMBERS)
    # Some words are the same: by their places modulo three.
    layout.__dict__["word_keys"] = np.arange(layout.words, dtype=np.int64) % 3 + 7
    return replace(output, read={"mention": torch.tensor(spans, dtype=torch.int64).view(-1, 4)})


def gold_of(items: list[tuple[int, ...]], *, without: tuple[int, ...] = ()) -> dict[str, Tensor]:
    """Gold, without that of some sentences."""
    kept = [item for item in items if item[0] not in without]
    annotated = [sentence not in without for sentence in range(len(COUNTS))]
    return {
        "items": torch.tensor(kept, dtype=torch.int64).view(-1, 5),
        "annotated": torch.tensor(annotated),
    }


def words_of(output: HeadOutput, span: tuple[int, ...]) -> range:
    start = int(output.layout.word_starts[span[0]])
    return range(start + span[1], start + span[2])


def vector(head: CoreferenceHead, output: HeadOutput, span: tuple[int, ...]) -> Tensor:
    words, scores = words_of(output, span), output.scores
    value = scores["first"][words[0]] + scores["last"][words[-1]]
    value = value + scores["inside"][list(words)].mean(0)
    return F.leaky_relu(value + (0 if span[3] == MISSING else head.span_label[span[3]]), 0.1)


def slow_scores(head: CoreferenceHead, output: HeadOutput) -> list[Tensor]:
    """For each mention, in the order of the text: being new, then each of its document before."""
    keys = output.layout.word_keys
    ranks = {int(sentence): rank for rank, sentence in enumerate(MEMBERS.members)}
    document = {2: 0, 0: 0, 4: 0, 3: 1, 1: 1}
    one = torch.ones(1, dtype=torch.float64)
    found = []
    ordered = [SPANS[at] for at in ORDER]
    for i, own in enumerate(ordered):
        mine = vector(head, output, own)
        tables = head.weigh(mine).split([10, 10, 32, 3])
        anaphor = torch.cat([F.leaky_relu(head.anaphor(mine), 0.1), one])
        row = [head.new(mine)[0]]
        for j, other in enumerate(ordered[:i]):
            if document[own[0]] != document[other[0]]:
                continue
            theirs = F.leaky_relu(head.antecedent(vector(head, output, other)), 0.1)
            words, others = words_of(output, own), words_of(output, other)
            same = [
                keys[words[0]] == keys[others[0]],
                keys[words[-1]] == keys[others[-1]],
                keys[list(words)].sum() == keys[list(others)].sum(),
                len(words) == 1,
                len(others) == 1,
            ]
            steps = [i - j, ranks[own[0]] - ranks[other[0]]]
            row.append(
                anaphor @ head.link @ torch.cat([theirs, one])
                + tables[0][int(_step(torch.tensor(steps[0])))]
                + tables[1][int(_step(torch.tensor(steps[1])))]
                + tables[2][int("".join(str(int(bit)) for bit in same), 2)]
                + tables[3][2 if other[3] == MISSING else other[3]]
            )
        found.append(torch.stack(row))
    return found


def slow_loss(
    head: CoreferenceHead, output: HeadOutput, *, without: tuple[int, ...] = ()
) -> Tensor:
    document = {2: 0, 0: 0, 4: 0, 3: 1, 1: 1}
    entity = {item[:3]: item[3] for item in GOLD if item[0] not in without}
    ordered = [SPANS[at] for at in ORDER]
    total = torch.zeros((), dtype=torch.float64)
    for i, (own, scores) in enumerate(zip(ordered, slow_scores(head, output), strict=True)):
        if own[0] in without:
            continue
        mine = entity.get(own[:3])
        before = [o for o in ordered[:i] if document[o[0]] == document[own[0]]]
        possible = [0]
        if mine is not None:
            right = [1 + k for k, o in enumerate(before) if entity.get(o[:3]) == mine]
            unknown = [1 + k for k, o in enumerate(before) if o[0] in without]
            possible = [*(right or [0]), *unknown]
        total = total - scores.log_softmax(0)[possible].logsumexp(0)
    return total


def test_scores_are_those_of_the_equation() -> None:
    head = head_of()
    output = scored(head)
    scores, new = head.link_scores(output, head._found(output))
    for row, fresh, slow in zip(scores, new, slow_scores(head, output), strict=True):
        there = row[row.isfinite()]
        torch.testing.assert_close(torch.cat([fresh[None], there.flip(0)]), slow)


def test_the_loss_is_that_of_the_equation() -> None:
    head = head_of()
    output = scored(head)
    torch.testing.assert_close(head.loss(output, gold_of(GOLD)), slow_loss(head, output))
    moved = [*GOLD[:2], (0, 1, 3, 1, 0), *GOLD[3:]]
    assert not torch.isclose(head.loss(output, gold_of(moved)), slow_loss(head, output))


@pytest.mark.parametrize("without", [(2,), (0,), (4,), (3, 0), tuple(range(5))])
def test_sentences_without_gold_are_neither_new_nor_wrong(without: tuple[int, ...]) -> None:
    head = head_of()
    output = scored(head)
    loss = head.loss(output, gold_of(GOLD, without=without))
    torch.testing.assert_close(loss, slow_loss(head, output, without=without))
    # The check of the check: taken as annotated with nothing, they teach something else.
    wrong = gold_of(GOLD, without=without) | {"annotated": torch.ones(5, dtype=torch.bool)}
    assert not torch.isclose(head.loss(output, wrong), loss)


def test_scores_of_mentions_without_gold_get_no_gradient_as_anaphors() -> None:
    head = head_of()
    output = scored(head)
    scores, new = head.link_scores(output, head._found(output))
    held = scores.detach().requires_grad_(), new.detach().requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head, "link_scores", lambda *_: held)
        head.loss(output, gold_of(GOLD, without=(0,))).backward()
    own = [at for at, place in enumerate(ORDER) if SPANS[place][0] == 0]
    others = [at for at in range(len(ORDER)) if at not in own]
    for gradient in (held[0].grad, held[1].grad):
        assert gradient is not None
        assert gradient[own].abs().sum() == 0
    assert held[0].grad is not None
    assert held[0].grad[others].abs().sum() > 0


@pytest.mark.parametrize("window", [1, 2, 3, 5])
def test_a_window_leaves_out_what_is_further_away(window: int) -> None:
    wide, narrow = head_of(), head_of(window)
    output = scored(wide)
    scores, new = wide.link_scores(output, wide._found(output))
    own, same = narrow.link_scores(output, narrow._found(output))
    torch.testing.assert_close(own, scores[:, :window])
    torch.testing.assert_close(same, new)


def test_links_make_clusters_that_are_numbered_as_they_begin() -> None:
    head = head_of()
    output = scored(head)
    links = []
    rows = slow_scores(head, output)
    for i, row in enumerate(rows):
        best = int(row.argmax())
        # The first mention of the second document is the sixth.
        links.append(i if not best else best - 1 + (5 if i >= 5 else 0))
    assert any(link != i for i, link in enumerate(links))
    numbers: list[int] = []
    for i, link in enumerate(links):
        begun = max(numbers[5 if i >= 5 else 0 :], default=-1)
        numbers.append(begun + 1 if link == i else numbers[link])
    places = {2: 0, 0: 1, 4: 2, 3: 0, 1: 1}
    ordered = [SPANS[at] for at in ORDER]
    expected = [
        [places[span[0]], *span[1:3], number, 0]
        for span, number in zip(ordered, numbers, strict=True)
    ]
    found = head.decode(output)
    assert [items.tolist() for items in found] == [expected[:5], expected[5:]]


def test_documents_without_mentions_have_no_clusters_and_no_loss() -> None:
    head = head_of()
    output = scored(head, [])
    loss = head.loss(output, gold_of(GOLD))
    assert loss == 0
    # Every weight has a gradient, so that all processes of a step have the same.
    loss.backward()
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())
    assert [items.shape for items in head.decode(output)] == [(0, 5), (0, 5)]
    alone = scored(head, SPANS[-1:])
    assert [len(items) for items in head.decode(alone)] == [0, 1]
    assert head.loss(alone, gold_of([])) == 0


def test_distances_are_told_apart_less_and_less() -> None:
    far = torch.tensor([0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 32, 63, 64, 1000])
    assert _step(far).tolist() == [0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9]


def test_what_stands_far_before_a_mention_does_not_change_its_vector() -> None:
    """Its words' mean is told by totals of all words, which must not grow with the document."""
    head = head_of().float()
    words, last = 100_000, 4
    torch.manual_seed(0)
    states = torch.randn(words, 6) + 1
    found = []
    for count in (words, last):
        layout = layout_of((count,))
        members = Groups(np.array([0]), np.array([1]), np.array(["document"]))
        with torch.no_grad():
            scores = head(Tap(states[-count:], layout, members))
            output = HeadOutput(scores, layout, np.arange(1), np.arange(1), members)
            spans = torch.tensor([(0, count - 3, count - 2, 0), (0, count - 3, count, 1)])
            output = replace(output, read={"mention": spans})
            found.append(head._vectors(output, head._found(output)))
    torch.testing.assert_close(*found, rtol=0, atol=1e-4)
