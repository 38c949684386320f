"""What is counted as wrong is what the scorers count, and the worst come first."""

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hiermtl.evaluation.measures import metric_of
from hiermtl.evaluation.predictor import HeadInfo
from hiermtl.metrics.base import Tally
from hiermtl.reporting.mistakes import Judge
from hiermtl.text.sentence import (
    Frame,
    Frames,
    Layer,
    Passage,
    Relation,
    Relations,
    Sentence,
    Span,
    Spans,
    Tree,
)

TAGS = HeadInfo("tagging", "tags", ("A", "B", "C"))
BIO = HeadInfo("crf", "tags", ("O", "B-X", "I-X", "B-Y", "I-Y"), bio=True)
TREE = HeadInfo("biaffine", "tree", ("a", "b"))
Side = list[list[str]]


def words(count: int) -> tuple[str, ...]:
    return tuple(f"w{at}" for at in range(count))


def judged(head: HeadInfo, *pairs: tuple[Layer, Layer], most: int = 5) -> Any:
    judge = Judge("task", head, data="own", most=most)
    for place, (gold, predicted) in enumerate(pairs):
        count = len(gold.heads) if isinstance(gold, Tree) else 6
        count = len(gold) if isinstance(gold, tuple) else count
        judge.sentence(Sentence(words(count), sent_id=f"s{place}"), gold, predicted)
    return judge.found


def sides(labels: tuple[str, ...]) -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.lists(st.tuples(st.sampled_from(labels), st.sampled_from(labels)), min_size=1)


@given(st.lists(sides(TAGS.labels), min_size=1, max_size=4))
def test_tags_that_are_right_are_those_of_the_scorer(corpus: list[list[tuple[str, str]]]) -> None:
    pairs = [tuple(zip(*sentence, strict=True)) for sentence in corpus]
    found = judged(TAGS, *[(gold, guess) for gold, guess in pairs])
    tally = Tally(metric_of("task", TAGS))
    tally.add([list(gold) for gold, _ in pairs], [list(guess) for _, guess in pairs])
    accuracy = tally.metric.score(tally.rows.sum(axis=0))["accuracy"]
    assert abs(accuracy - 100 * (1 - found.wrong / found.items)) < 1e-9
    assert found.confusion == Counter(pair for sentence in corpus for pair in sentence)


@given(st.lists(sides(BIO.labels), min_size=1, max_size=4))
def test_spans_that_are_right_are_those_of_conlleval(corpus: list[list[tuple[str, str]]]) -> None:
    pairs = [tuple(zip(*sentence, strict=True)) for sentence in corpus]
    found = judged(BIO, *[(gold, guess) for gold, guess in pairs])
    metric = metric_of("task", BIO)
    rows = metric.count([list(gold) for gold, _ in pairs], [list(guess) for _, guess in pairs])
    gold, predicted, right = rows.sum(axis=0)[:3]
    same = sum(n for (own, other), n in found.confusion.items() if own == other)
    assert same == right
    assert sum(n for (own, _), n in found.confusion.items() if own is not None) == gold
    assert sum(n for (_, other), n in found.confusion.items() if other is not None) == predicted


def test_a_span_cut_where_gold_is_unknown_is_no_error() -> None:
    gold = ("B-X", None, "O")
    assert judged(BIO, (gold, ("B-X", "I-X", "O"))).wrong == 0
    assert judged(BIO, (gold, ("B-X", "I-X", "I-X"))).confusion == {
        ("X", "X"): 1,
        (None, "X"): 1,
    }


def test_words_without_gold_are_no_items() -> None:
    found = judged(TAGS, (("A", None), ("B", "C")))
    assert (found.items, found.wrong) == (1, 1)


def test_a_word_is_wrong_by_its_head_or_by_its_relation() -> None:
    gold = Tree((2, 0, 2, None), ("a", "root", "b:sub", None))
    right = Tree((2, 0, 2, 1), ("a", "root", "b", "a"))
    assert judged(TREE, (gold, right)).wrong == 0
    moved = Tree((3, 0, 2, 1), ("a", "root", "b", "a"))
    named = Tree((2, 0, 2, 1), ("b", "root", "b", "a"))
    for predicted in (moved, named):
        found = judged(TREE, (gold, predicted))
        assert (found.items, found.wrong, found.wrong_units) == (3, 1, 1)
    item = judged(TREE, (gold, moved)).worst[0].items[0]
    assert (item.gold, item.predicted) == ("a of w1 (2)", "a of w2 (3)")
    assert judged(TREE, (gold, moved)).confusion["a", "a"] == 1


def test_structures_are_compared_by_their_places() -> None:
    head = HeadInfo("span", "spans", ("X", "Y"))
    gold = Spans((Span(0, 2, "X"), Span(0, 2, "Y"), Span(3, 4, "X")))
    predicted = Spans((Span(0, 2, "Y"), Span(0, 2, "Z"), Span(4, 5, "X"), Span(4, 5, "X")))
    assert judged(head, (gold, predicted)).confusion == {
        ("Y", "Y"): 1,
        ("X", "Z"): 1,
        ("X", None): 1,
        (None, "X"): 1,
    }
    head = HeadInfo("relation", "relations", ("r",))
    pair = Relation((0, 1), (2, 3), "r")
    back = Relation((2, 3), (0, 1), "r")
    assert judged(head, (Relations((pair,)), Relations((back,)))).wrong == 2
    head = HeadInfo("roles", "frames", ("A0",))
    frames = [Frames((Frame(at, None, (Span(0, 1, "A0"),)),)) for at in (1, 2)]
    assert judged(head, (frames[0], frames[0])).wrong == 0
    assert judged(head, (frames[0], frames[1])).wrong == 2


def test_the_worst_are_those_with_most_errors_then_with_the_greater_share() -> None:
    pairs = [
        (("A",) * 4, ("A", "A", "A", "B")),  # 1 of 4
        (("A",) * 6, ("B", "B", "B", "A", "A", "A")),  # 3 of 6
        (("A",) * 2, ("A", "A")),
        (("A",) * 3, ("B", "B", "B")),  # 3 of 3
        (("A",) * 2, ("A", "B")),  # 1 of 2
        (("A",) * 2, ("B", "A")),  # 1 of 2, later
    ]
    found = judged(TAGS, *pairs)
    assert [bad.where for bad in found.worst] == ["s3", "s1", "s4", "s5", "s0"]
    assert [bad.where for bad in judged(TAGS, *pairs, most=2).worst] == ["s3", "s1"]
    assert judged(TAGS, *pairs, most=0).worst == []
    assert (found.units, found.wrong_units) == (6, 5)
    assert [(item.places, item.predicted) for item in found.worst[0].items] == [
        (((at, at + 1),), "B") for at in range(3)
    ]


def test_texts_are_ranked_by_how_sure_the_model_was() -> None:
    judge = Judge("topic", HeadInfo("text", "label", ("A", "B"), unit="text"), data="own")
    for name, gold, sure in (("x", "B", 0.6), ("y", "A", 0.9), ("z", "B", 0.8)):
        passage = Passage((Sentence(("w",)),), passage_id=name)
        judge.passage(passage, gold, "A", sure=sure)
    assert [(bad.where, bad.said) for bad in judge.found.worst] == [
        ("z", "80.0 % sure"),
        ("x", "60.0 % sure"),
    ]
    assert judge.found.confusion == {("B", "A"): 2, ("A", "A"): 1}


def test_numbers_are_ranked_by_how_far_off_they_are() -> None:
    judge = Judge("near", HeadInfo("pair", "number", (), unit="pair"), data="own", most=1)
    pair = (Sentence(("a",)), Sentence(("b",)))
    for name, gold, guess in (("x", 1.0, 2.0), ("y", 3.0, 1.5)):
        judge.passage(Passage(pair, pair=True, passage_id=name), gold, guess, sure=None)
    assert judge.found.numbers == [(1.0, 2.0), (3.0, 1.5)]
    assert [(bad.where, bad.said) for bad in judge.found.worst] == [("y", "off by 1.50")]
    assert not judge.found.confusion


def test_of_open_labels_only_the_wrong_ones_are_kept() -> None:
    head = HeadInfo("edits", "edits", ("keep",))
    found = judged(head, (("run", "go"), ("run", "went")))
    assert (found.open, found.confusion, found.items) == (True, {("go", "went"): 1}, 2)


def test_spans_of_tags_without_types_are_spans() -> None:
    head = HeadInfo("crf", "tags", ("B", "I", "O"), bio=True)
    found = judged(head, (("B", "I", "O", "B"), ("B", "I", "I", "O")))
    assert found.confusion == {("span", None): 2, (None, "span"): 1}
