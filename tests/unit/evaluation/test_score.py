"""Scores of predicted layers, worked by hand."""

from collections.abc import Mapping

import numpy as np
import pytest

from hiermtl.errors import DataError, ModelError, RunError
from hiermtl.evaluation import HeadInfo, Scores, score_layers
from hiermtl.hierarchy import Hierarchy, Task
from hiermtl.metrics.accuracy import Accuracy
from hiermtl.metrics.spans import SpanF1
from hiermtl.text.sentence import Layer, Origin, Sentence, Tree

TAGS = HeadInfo("tagging", "tags", ("DET", "NOUN", "VERB"))
SPANS = HeadInfo("crf", "tags", ("O", "B-PER", "I-PER", "B-LOC", "I-LOC"), bio=True)
TREES = HeadInfo("biaffine", "tree", ("det", "nsubj", "obj", "root", "punct"))
KINDS = {"upos": TAGS, "ner": SPANS, "dep": TREES}


def sentence(words: str, doc_id: str | None = None, **layers: Layer) -> Sentence:
    return Sentence(tuple(words.split()), layers, doc_id=doc_id, origin=Origin("dev.conllu", 7))


def scores_of(
    *pairs: tuple[Sentence, Mapping[str, Layer]],
    heads: dict[str, HeadInfo] | None = None,
    tasks: list[str] | None = None,
) -> Scores:
    heads = heads or KINDS
    hierarchy = Hierarchy(Task(name, 2 * at) for at, name in enumerate(heads, start=1))
    return score_layers(
        pairs, hierarchy, heads=heads, tasks=tasks, data="toy", split="dev", dtype="fp32", seed=3
    )


def values(scores: Scores) -> dict[tuple[str, str], float]:
    return {(row.task, row.metric): row.score for row in scores}


def test_accuracy_is_the_share_of_right_labels() -> None:
    gold = sentence("the dog barks loudly", upos=("DET", "NOUN", "VERB", "NOUN"))
    scores = scores_of((gold, {"upos": ("DET", "NOUN", "VERB", "VERB")}))
    assert values(scores) == {("upos", "accuracy"): 75.0}
    assert scores.main("upos").items == 4


def test_a_tree_gives_las_then_uas_then_clas() -> None:
    gold = sentence("the dog barks", dep=Tree((2, 3, 0), ("det", "nsubj", "root")))
    guess = Tree((2, 3, 0), ("det", "obj", "root"))
    scores = scores_of((gold, {"dep": guess}))
    assert [row.metric for row in scores] == ["las", "uas", "clas"]
    # Content words are `dog` and `barks`, on both sides; one of them is right.
    assert [row.score for row in scores] == pytest.approx([200 / 3, 100, 50])
    assert {row.scorer for row in scores} == {"conll18"}


def test_spans_give_f1_precision_recall_and_strict_f1() -> None:
    gold = sentence("Ada Lovelace saw London", ner=("B-PER", "I-PER", "O", "B-LOC"))
    scores = scores_of((gold, {"ner": ("B-PER", "I-PER", "B-LOC", "B-LOC")}))
    assert [row.metric for row in scores] == ["f1", "precision", "recall", "f1_strict"]
    assert [row.score for row in scores] == pytest.approx([80, 200 / 3, 100, 80])
    assert [row.scorer for row in scores] == ["conlleval"] * 3 + ["seqeval-strict"]
    assert scores.main("ner").items == 2


@pytest.mark.parametrize(
    ("head", "metric"),
    [
        (SPANS, SpanF1),
        (HeadInfo("tagging", "tags", ("O", "B-NP", "I-NP")), SpanF1),
        (HeadInfo("crf", "tags", ("O", "B-NP", "_"), bio=True), SpanF1),
        (HeadInfo("crf", "tags", ("O", "B-NP", "_"), bio=False), Accuracy),
        (HeadInfo("crf", "tags", ("NOUN", "VERB"), bio=True), Accuracy),
        (HeadInfo("tagging", "tags", ("B", "BE", "INTJ")), Accuracy),
        (HeadInfo("tagging", "tags", ()), Accuracy),
    ],
)
def test_the_labels_and_the_head_decide_between_spans_and_accuracy(
    head: HeadInfo, metric: type
) -> None:
    tag = head.labels[0] if head.labels else "X"
    scores = scores_of((sentence("a", t=(tag,)), {"t": (tag,)}), heads={"t": head})
    assert scores.counts["t"].metric == metric.name


def test_words_without_gold_are_not_counted() -> None:
    gold = sentence("the dog barks", upos=("DET", None, "VERB"))
    scores = scores_of((gold, {"upos": ("DET", "VERB", "VERB")}))
    assert values(scores) == {("upos", "accuracy"): 100.0}
    assert scores.main("upos").items == 2


def test_counting_words_without_gold_would_change_the_figure() -> None:
    predicted = {"upos": ("DET", "VERB", "VERB")}
    partial = scores_of((sentence("the dog barks", upos=("DET", None, "VERB")), predicted))
    filled = scores_of((sentence("the dog barks", upos=("DET", "_", "VERB")), predicted))
    assert filled.main("upos").score == pytest.approx(200 / 3)
    assert filled.main("upos").score != partial.main("upos").score


def test_arcs_without_gold_are_not_counted() -> None:
    gold = sentence("the dog barks .", dep=Tree((2, None, 0, 3), ("det", None, "root", None)))
    guess = Tree((2, 3, 0, 2), ("det", "nsubj", "root", "punct"))
    scores = scores_of((gold, {"dep": guess}))
    assert values(scores) == {("dep", "las"): 100, ("dep", "uas"): 100, ("dep", "clas"): 100}
    assert scores.main("dep").items == 2
    assert scores.notes[-1] == (
        "dep: 1 word has a gold head without a relation or a relation without a head, not scored"
    )


def test_a_span_is_cut_where_words_without_gold_begin() -> None:
    gold = sentence("Ada Lovelace saw her", ner=(None, "I-PER", "O", None))
    exact = scores_of((gold, {"ner": ("B-PER", "I-PER", "O", "B-PER")}))
    assert [row.score for row in exact] == [100, 100, 100, 100]
    other = scores_of((gold, {"ner": ("B-LOC", "I-LOC", "O", "O")}))
    assert [row.score for row in other] == [0, 0, 0, 0]


def test_a_sentence_whose_layer_is_empty_is_not_annotated() -> None:
    whole = sentence("the dog", upos=("DET", "NOUN"))
    empty = sentence("a cat", upos=(None, None), dep=Tree((None, None), (None, None)))
    scores = scores_of((whole, {"upos": ("DET", "NOUN")}), (empty, {}))
    assert scores.main("upos").items == 2
    assert scores.counts["upos"].sentences.tolist() == [0]
    assert "dep: toy has no gold for it, so it is not scored" in scores.notes


def test_gold_labels_never_seen_are_errors_and_noted() -> None:
    gold = sentence("oh my the dog", upos=("INTJ", "PRON", "DET", "NOUN"))
    second = sentence("oh", upos=("INTJ",))
    scores = scores_of(
        (gold, {"upos": ("NOUN", "DET", "DET", "NOUN")}), (second, {"upos": ("NOUN",)})
    )
    assert scores.main("upos").score == pytest.approx(40)
    assert scores.notes[0] == (
        "upos: 3 items carry labels never seen in training: 'INTJ', 'PRON', scored as errors"
    )


def test_dropping_labels_never_seen_would_change_the_figure() -> None:
    predicted = {"upos": ("NOUN", "DET", "NOUN")}
    kept = scores_of((sentence("oh the dog", upos=("INTJ", "DET", "NOUN")), predicted))
    dropped = scores_of((sentence("oh the dog", upos=(None, "DET", "NOUN")), predicted))
    assert kept.main("upos").score == pytest.approx(200 / 3)
    assert dropped.main("upos").score == 100


def test_a_long_list_of_labels_never_seen_is_cut() -> None:
    names = tuple("ABCDEFG")
    gold = sentence("a b c d e f g", upos=names)
    scores = scores_of((gold, {"upos": ("DET",) * 7}))
    assert scores.notes[0] == (
        "upos: 7 items carry labels never seen in training: 'A', 'B', 'C', 'D', 'E' and 2 more, "
        "scored as errors"
    )


def test_labels_of_spans_never_seen_are_counted_in_words() -> None:
    gold = sentence("Acme barks", ner=("B-ORG", "O"))
    scores = scores_of((gold, {"ner": ("B-PER", "O")}))
    assert scores.main("ner").score == 0
    assert scores.notes == (
        "upos: toy has no gold for it, so it is not scored",
        "ner: 1 word carries a label never seen in training: 'B-ORG', scored as an error",
        "dep: toy has no gold for it, so it is not scored",
    )


def test_a_relation_is_seen_if_its_universal_part_is() -> None:
    gold = sentence("the dog", dep=Tree((2, 0), ("det:x", "root")))
    scores = scores_of((gold, {"dep": Tree((2, 0), ("det", "root"))}), tasks=["dep"])
    assert scores.main("dep").score == 100
    assert not scores.notes
    subtypes = {"dep": HeadInfo("biaffine", "tree", ("det:y", "root"))}
    scores = scores_of((gold, {"dep": Tree((2, 0), ("det:y", "root"))}), heads=subtypes)
    assert scores.main("dep").score == 100
    assert not scores.notes
    gold = sentence("the dog", dep=Tree((2, 0), ("amod", "root")))
    scores = scores_of((gold, {"dep": Tree((2, 0), ("det", "root"))}), tasks=["dep"])
    assert scores.notes == (
        "dep: 1 item carries a label never seen in training: 'amod', scored as an error in las and "
        "clas",
    )


def test_a_task_without_spans_has_a_note_and_no_row() -> None:
    scores = scores_of((sentence("a dog", ner=("O", "O")), {"ner": ("O", "O")}))
    assert len(scores) == 0
    assert "ner: the gold of toy has no spans, so it is not scored" in scores.notes


def test_rows_go_from_the_lowest_level_up() -> None:
    gold = sentence(
        "the dog", upos=("DET", "NOUN"), ner=("B-PER", "O"), dep=Tree((2, 0), ("det", "root"))
    )
    scores = scores_of((gold, dict(gold.layers)))
    assert scores.tasks == ("upos", "ner", "dep")
    assert [scores.main(task).level for task in scores.tasks] == [1, 2, 3]
    assert [scores.main(task).depth for task in scores.tasks] == [2, 4, 6]


def test_counts_keep_the_place_and_the_document_of_each_sentence() -> None:
    first = sentence("the dog", "one", upos=("DET", "NOUN"))
    second = sentence("barks", "one", ner=("O",))
    third = sentence("a cat", None, upos=("DET", "NOUN"))
    scores = scores_of(
        (first, {"upos": ("DET", "NOUN")}),
        (second, {"ner": ("O",)}),
        (third, {"upos": ("NOUN", "NOUN")}),
    )
    counts = scores.counts["upos"]
    assert counts.columns == ("correct", "items")
    assert counts.rows.tolist() == [[2, 2], [1, 2]]
    assert counts.sentences.tolist() == [0, 2]
    assert counts.documents.tolist() == ["one", ""]
    assert (counts.data, counts.split, counts.dtype, counts.seed) == ("toy", "dev", "fp32", 3)


def test_many_sentences_give_the_same_as_few_at_a_time() -> None:
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(600):
        gold, guess = (tuple(rng.choice(["DET", "NOUN"], 3)) for _ in range(2))
        pairs.append((sentence("a b c", upos=gold), {"upos": guess}))
    right = sum(
        g == p for s, layers in pairs for g, p in zip(s.layers["upos"], layers["upos"], strict=True)
    )
    scores = scores_of(*pairs)
    assert scores.main("upos").score == pytest.approx(100 * right / 1800)
    assert len(scores.counts["upos"].rows) == 600


def test_a_column_names_the_layer_that_holds_the_gold() -> None:
    head = HeadInfo("tagging", "tags", ("DET", "NOUN"), column="upos")
    gold = sentence("the dog", upos=("DET", "NOUN"))
    scores = scores_of((gold, {"pos": ("DET", "DET")}), heads={"pos": head})
    assert values(scores) == {("pos", "accuracy"): 50.0}


def test_a_task_asked_for_without_gold_is_an_error_that_lists_those_with_gold() -> None:
    gold = sentence("the dog", upos=("DET", "NOUN"), dep=Tree((2, 0), ("det", "root")))
    with pytest.raises(DataError) as caught:
        scores_of((gold, {"upos": ("DET", "NOUN")}), tasks=["ner", "upos"])
    assert str(caught.value) == (
        "toy has no gold for ner; of the model's tasks it has gold for upos and dep: ask for "
        "those, or name other data"
    )


def test_data_without_any_gold_is_an_error() -> None:
    with pytest.raises(DataError) as caught:
        scores_of((sentence("the dog", chunk=("O", "O")), {}))
    assert str(caught.value) == (
        "toy has no gold for any task of the model, which are upos, ner and dep; score it on data "
        "that is annotated for one of them"
    )


def test_an_unknown_task_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(ModelError) as caught:
        scores_of(tasks=["upoz"])
    assert str(caught.value) == (
        "the model has no task 'upoz'; it has upos, ner and dep; did you mean 'upos'?"
    )


def test_a_layer_nobody_scores_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"task 'sim' predicts a layer of kind 'graph'"):
        scores_of(heads={"sim": HeadInfo("graphs", "graph", ())})


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({}, "there is no prediction of 'upos' for the sentence at dev.conllu:7"),
        (
            {"upos": ("DET",)},
            "task 'upos' predicted 1 values for 2 words for the sentence at dev.conllu:7",
        ),
        (
            {"upos": Tree((0, 1), ("root", "det"))},
            "task 'upos' predicted a tree instead of tags for the sentence at dev.conllu:7",
        ),
    ],
)
def test_a_prediction_that_does_not_fit_is_an_error(layers: dict[str, Layer], message: str) -> None:
    with pytest.raises(RunError) as caught:
        scores_of((sentence("the dog", upos=("DET", "NOUN")), layers))
    assert str(caught.value) == message


def test_gold_of_the_wrong_kind_is_an_error_at_its_line() -> None:
    with pytest.raises(DataError) as caught:
        scores_of((sentence("dog", dep=("NOUN",)), {}))
    assert str(caught.value) == (
        "dev.conllu:7: layer 'dep' holds tags, but task 'dep' predicts tree; score it on data "
        "that has them"
    )


def test_gold_spans_in_another_scheme_are_an_error_at_their_line() -> None:
    with pytest.raises(DataError) as caught:
        scores_of((sentence("Ada", ner=("S-PER",)), {"ner": ("B-PER",)}))
    assert str(caught.value) == (
        "dev.conllu:7: layer 'ner' tags word 1, 'Ada', with 'S-PER', which is not IOB2; write O, "
        "or B- and I- with a type"
    )
