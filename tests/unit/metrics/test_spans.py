"""Span scores against seqeval."""

import random
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support
from seqeval.scheme import IOB2

from hiermtl.metrics.spans import SpanF1, read_spans

TAGS = ["O", "B-X", "I-X", "B-Y", "I-Y", "B-a-b", "I-a-b", "B", "I"]
EXAMPLE = ([["B-NP", "I-NP", "O", "B-VP"]], [["I-NP", "I-NP", "O", "B-VP"]])


def scores_of(gold: Sequence, predicted: Sequence, mode: str = "conlleval") -> dict[str, float]:
    metric = SpanF1(mode)
    return metric.score(metric.count(gold, predicted).sum(axis=0))


def seqeval_scores(gold: Sequence, predicted: Sequence, **options: object) -> list[float]:
    options = {"average": "micro", "zero_division": 0, **options}
    precision, recall, f1, _ = precision_recall_fscore_support(gold, predicted, **options)
    return [100 * precision, 100 * recall, 100 * f1]


def seqeval_strict(gold: Sequence, predicted: Sequence) -> list[float]:
    report = classification_report(
        gold, predicted, mode="strict", scheme=IOB2, output_dict=True, zero_division=0
    )
    return [100 * float(report["micro avg"][name]) for name in ("precision", "recall", "f1-score")]


def assert_equal_to_seqeval(gold: Sequence, predicted: Sequence) -> None:
    lenient, strict = scores_of(gold, predicted), scores_of(gold, predicted, "strict")
    names = ("precision", "recall", "f1")
    assert [lenient[name] for name in names] == pytest.approx(
        seqeval_scores(gold, predicted), rel=0, abs=1e-9
    )
    strict_names = ("precision", "recall", "f1_strict")
    assert [strict[name] for name in strict_names] == pytest.approx(
        seqeval_strict(gold, predicted), rel=0, abs=1e-9
    )
    assert strict["f1_strict"] == lenient["f1_strict"]


def has_spans(*sides: Sequence) -> bool:
    """Strict seqeval fails where neither side has any span."""
    return any(tag[0] == "B" for side in sides for tags in side for tag in tags)


@pytest.mark.parametrize("seed", range(10))
def test_random_tags_score_as_in_seqeval(seed):
    source = random.Random(seed)
    for _ in range(60):
        sentences = [source.randrange(1, 9) for _ in range(source.randrange(1, 5))]
        gold, predicted = (
            [source.choices(TAGS[:7], k=length) for length in sentences] for _ in range(2)
        )
        if has_spans(gold, predicted):
            assert_equal_to_seqeval(gold, predicted)


PAIRS = st.lists(
    st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=7),
    min_size=1,
    max_size=4,
)


@given(PAIRS)
def test_any_tags_score_as_in_seqeval(pairs):
    gold = [[right for right, _ in sentence] for sentence in pairs]
    predicted = [[guess for _, guess in sentence] for sentence in pairs]
    if has_spans(gold, predicted):
        assert_equal_to_seqeval(gold, predicted)


@given(PAIRS)
def test_sentences_and_types_add_up(pairs):
    gold = [[right for right, _ in sentence] for sentence in pairs]
    predicted = [[guess for _, guess in sentence] for sentence in pairs]
    rows = SpanF1().count(gold, predicted)
    alone = [SpanF1().count([g], [p])[0] for g, p in zip(gold, predicted, strict=True)]
    assert np.array_equal(rows, np.stack(alone))
    by_type = SpanF1().count_by_type(gold, predicted)
    assert np.array_equal(sum(by_type.values(), np.zeros_like(rows)), rows)
    assert list(by_type) == sorted(by_type)


def test_types_score_as_in_seqeval():
    source = random.Random(0)
    gold, predicted = ([source.choices(TAGS[:7], k=30) for _ in range(20)] for _ in range(2))
    expected = classification_report(gold, predicted, output_dict=True, zero_division=0)
    metric = SpanF1()
    for kind, rows in metric.count_by_type(gold, predicted).items():
        scores, line = metric.score(rows.sum(axis=0)), expected[kind]
        assert scores["f1"] == pytest.approx(100 * line["f1-score"], abs=1e-9)
        assert scores["precision"] == pytest.approx(100 * line["precision"], abs=1e-9)
        assert metric.items(rows.sum(axis=0)) == line["support"]


def test_a_stray_inside_tag_opens_a_span_for_the_lenient_reading_only():
    scores = scores_of(*EXAMPLE)
    assert list(scores) == ["f1", "precision", "recall", "f1_strict"]
    assert scores["f1"] == 100.0
    assert scores["f1_strict"] == pytest.approx(200 / 3)
    strict = scores_of(*EXAMPLE, "strict")
    assert list(strict) == ["f1_strict", "precision", "recall"]
    assert strict["precision"] == 100.0
    assert strict["recall"] == 50.0


def test_every_score_names_its_definition():
    assert SpanF1().scorer_of("f1") == "conlleval"
    assert SpanF1().scorer_of("f1_strict") == "seqeval-strict"
    assert SpanF1("strict").scorer_of("recall") == "seqeval-strict"


def test_spans_do_not_run_on_into_the_next_sentence():
    kinds: dict[str, int] = {}
    spans = read_spans([["O", "B-X"], ["I-X", "I-X"], [], ["I-Y", "I-X"]], kinds)
    assert spans.begin.tolist() == [1, 2, 4, 5]
    assert spans.end.tolist() == [1, 3, 4, 5]
    assert spans.strict.tolist() == [True, False, False, False]
    assert [list(kinds)[kind] for kind in spans.kind] == ["X", "X", "Y", "X"]


def test_joining_the_sentences_would_be_noticed():
    gold, predicted = [["B-X"], ["I-X"]], [["B-X"], ["B-X"]]
    assert scores_of(gold, predicted)["f1"] == 100.0
    joined = [[tag for tags in side for tag in tags] for side in (gold, predicted)]
    assert scores_of([joined[0]], [joined[1]])["f1"] == 0.0


def test_scoring_tags_instead_of_spans_would_be_noticed():
    gold, predicted = [["B-X", "I-X", "I-X", "O"]], [["B-X", "I-X", "O", "O"]]
    assert scores_of(gold, predicted)["f1"] == 0.0


def test_sentences_without_annotation_are_not_counted():
    rows = SpanF1().count([None, ["B-X"], []], [["B-X", "B-X"], ["O"], []])
    assert rows.tolist() == [[0] * 6, [1, 0, 0, 1, 0, 0], [0] * 6]


def test_no_sentences_have_no_spans():
    assert SpanF1().count([], []).shape == (0, 6)
    assert SpanF1().count_by_type([[]], [[]]) == {}


@pytest.mark.parametrize("tag", ["", "X", "E-X", "b-X", "B_X", "Begin", "O-X"])
def test_tags_that_are_not_iob2_are_refused(tag):
    with pytest.raises(ValueError, match="is no IOB2 tag"):
        SpanF1().count([[tag]], [["O"]])


def test_lengths_and_modes_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="sentence 0: 1 gold tags, but 2"):
        SpanF1().count([["O"]], [["O", "O"]])
    with pytest.raises(ValueError, match="unknown mode 'lenient'; known: conlleval, strict"):
        SpanF1("lenient")


def test_a_treebank_of_chunks_scores_as_in_seqeval_and_quickly(data_folder):
    path = data_folder / "chunks_english_ewt" / "en_ewt-chunk-dev.tsv"
    gold = [
        [line.split("\t")[3] for line in block.split("\n") if not line.startswith("#")]
        for block in path.read_text("utf-8").strip().split("\n\n")
    ]
    source = random.Random(0)
    tags = sorted({tag for sentence in gold for tag in sentence})
    predicted = [
        [tag if source.random() < 0.8 else source.choice(tags) for tag in sentence]
        for sentence in gold
    ]
    assert_equal_to_seqeval(gold, predicted)
    begin = time.perf_counter()
    SpanF1().count(gold, predicted)
    assert time.perf_counter() - begin < 2.0
