"""Slices, intervals, calibration and confusions against counts by hand and by brute force."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hiermtl.errors import RecipeError
from hiermtl.evaluation import KEYS, HeadInfo, evaluate, evaluate_passages
from hiermtl.evaluation.calibration import calibrated
from hiermtl.evaluation.counts import Counts
from hiermtl.evaluation.details import Details, genre_of, length_of, read_kinds
from hiermtl.evaluation.intervals import Part, Sampler
from hiermtl.evaluation.measures import counted_by
from hiermtl.evaluation.scores import ScoreRow, Scores
from hiermtl.hierarchy import Hierarchy, Task
from hiermtl.metrics.correlation import Correlation
from hiermtl.text.sentence import (
    Frame,
    Frames,
    Layer,
    Mentions,
    Passage,
    Relation,
    Relations,
    Sentence,
    Span,
    Spans,
    Tree,
)

ROW = ScoreRow(1, 1, "upos", "accuracy", 80.0, 5, "toy", "dev", "accuracy", "fp32", 7)

SENTENCES: list[tuple[str, str, Sequence[str], Sequence[str], Sequence[str], Sequence[str]]] = [
    # document, words, gold tags, predicted tags, gold spans, predicted spans
    ("reviews-1", "the dog barks", "DNV", "DNN", "OBO", "OBO"),
    ("reviews-1", "Ada Lovelace wrote", "NNV", "NVV", "BIO", "BOO"),
    ("email-a", "she saw the old dog", "NVDNN", "NVDNN", "OOOOO", "OOBOO"),
    ("email-b", "a b c d e f g h i j k", "NNNNNNNNNNN", "NNNNNNNNNNV", "O" * 11, "O" * 11),
]
NAMES = {"D": "DET", "N": "NOUN", "V": "VERB", "O": "O", "B": "B-PER", "I": "I-PER"}
KNOWN = frozenset({"the", "dog", "she", "saw", "Ada"})


def chain(count: int, relation: str = "dep") -> Tree:
    """Each word the dependent of the one before it."""
    return Tree(tuple(range(count)), ("root", *[relation] * (count - 1)))


def toy(answers: Callable[..., Any], sure: float = 0.9) -> tuple[Any, list[Sentence]]:
    """A model with its answers, and the gold."""
    gold, found = [], []
    for document, text, tags, guessed, spans, own in SENTENCES:
        words = tuple(text.split())
        layers: dict[str, Layer] = {
            "upos": tuple(NAMES[tag] for tag in tags),
            "ner": tuple(NAMES[tag] for tag in spans),
            "dep": chain(len(words)),
        }
        gold.append(Sentence(words, layers, doc_id=document))
        found.append(
            {
                "upos": tuple(NAMES[tag] for tag in guessed),
                "ner": tuple(NAMES[tag] for tag in own),
                "dep": chain(len(words), "obj" if len(words) > 10 else "dep"),
            }
        )

    class Sure(answers):  # type: ignore[misc, valid-type]
        def predict_with_scores(
            self, sentences: Any, tasks: Sequence[str]
        ) -> Iterator[tuple[Mapping[str, Layer], Mapping[str, Sequence[float]]]]:
            given = list(sentences)
            for sentence, layers in zip(given, self.layers, strict=True):
                yield layers, {"upos": [sure] * len(sentence.words)}

    return Sure(found), gold


def sliced(answers: Callable[..., Any], *by: str, **more: Any) -> Scores:
    nlp, gold = toy(answers)
    known = dict.fromkeys(nlp.heads, KNOWN)
    return evaluate(nlp, gold, data="toy", details=Details(by, known=known, **more))


def found_in(scores: Scores, task: str, metric: str) -> dict[str | None, tuple[float, int]]:
    rows = [row for row in scores.slices if (row.task, row.metric) == (task, metric)]
    return {row.slice: (round(row.score, 2), row.items) for row in rows}


def test_without_asking_there_is_nothing_beside_rows_and_their_keys_are_those_of_before(
    answers: Callable[..., Any],
) -> None:
    nlp, gold = toy(answers)
    scores = evaluate(nlp, gold, data="toy")
    assert (scores.slices, scores.calibration, scores.confusion) == ((), (), ())
    assert all(list(row) == list(KEYS) for row in json.loads(scores.to_json()))
    assert scores.details() == {}


def test_slices_are_further_rows_with_a_further_key(answers: Callable[..., Any]) -> None:
    scores = sliced(answers, "length", "genre")
    rows = json.loads(scores.to_json())
    assert [list(row) for row in rows[: len(scores)]] == [list(KEYS)] * len(scores)
    assert [list(row) for row in rows[len(scores) :]] == [[*KEYS, "slice"]] * len(scores.slices)
    assert scores.main("upos").score == pytest.approx(100 * 19 / 22)
    assert scores.filter(slice="genre email", metric="accuracy").slices[0].items == 16


def test_sentences_fall_into_classes_of_length_and_genre(answers: Callable[..., Any]) -> None:
    scores = sliced(answers, "length", "genre")
    assert found_in(scores, "upos", "accuracy") == {
        "length 1-10": (81.82, 11),
        "length 11-20": (90.91, 11),
        "genre email": (93.75, 16),
        "genre reviews": (66.67, 6),
    }
    assert "by length:" in scores.to_text()
    assert "| 1 | upos | reviews | accuracy | 66.67 | 6 |" in scores.to_markdown()


def test_a_slice_scores_as_its_sentences_alone_would(answers: Callable[..., Any]) -> None:
    scores = sliced(answers, "genre")
    nlp, gold = toy(answers)
    own = [place for place, one in enumerate(gold) if (one.doc_id or "").startswith("email")]
    nlp.layers = [nlp.layers[place] for place in own]
    alone = evaluate(nlp, [gold[place] for place in own], data="toy")
    sliced_rows = [row for row in scores.slices if row.slice == "genre email"]
    assert [(r.task, r.metric, r.score, r.items) for r in sliced_rows] == [
        (r.task, r.metric, r.score, r.items) for r in alone.rows
    ]


def test_words_are_told_apart_by_whether_training_had_them(answers: Callable[..., Any]) -> None:
    scores = sliced(answers, "seen")
    assert found_in(scores, "upos", "accuracy") == {
        "words seen": (100.0, 7),
        "words unseen": (80.0, 15),
    }
    assert found_in(scores, "dep", "las") == {"words seen": (100.0, 7), "words unseen": (33.33, 15)}
    # `dog` is of known words, `Ada Lovelace` is not; of what is predicted `the` and `Ada` are.
    assert found_in(scores, "ner", "precision") == {
        "words seen": (33.33, 1),
        "words unseen": (0.0, 1),
    }
    unknown = evaluate(*toy(answers), data="toy", details=Details(("seen",)))
    assert not unknown.slices
    assert any("of unknown training data, so not by seen" in note for note in unknown.notes)


def test_labels_have_a_precision_and_a_recall(answers: Callable[..., Any]) -> None:
    scores = sliced(answers, "label")
    assert found_in(scores, "upos", "precision")["label VERB"] == (50.0, 3)
    assert found_in(scores, "upos", "recall")["label VERB"] == (66.67, 3)
    assert found_in(scores, "dep", "f1")["label root"] == (100.0, 4)
    assert found_in(scores, "dep", "recall")["label dep"] == (44.44, 18)
    assert found_in(scores, "ner", "recall") == {"label PER": (50.0, 2)}
    assert found_in(scores, "ner", "precision") == {"label PER": (33.33, 2)}


def test_confusions_count_what_each_label_was_taken_for(answers: Callable[..., Any]) -> None:
    scores = sliced(answers, confusion=True)
    cells = {one.task: {cell[:2]: cell[2] for cell in one.cells} for one in scores.confusion}
    assert cells["upos"][("NOUN", "VERB")] == 2
    assert cells["upos"][("VERB", "NOUN")] == 1
    assert sum(cells["upos"].values()) == 22
    assert cells["dep"][("dep", "obj")] == 10
    assert cells["ner"] == {("PER", "PER"): 1, ("PER", None): 1, (None, "PER"): 2}
    assert json.loads(json.dumps(scores.details()))["confusion"][0]["task"] == "upos"
    assert "(nothing)  PER" in scores.to_text()


def test_calibration_is_the_mean_distance_of_confidence_and_accuracy() -> None:
    found = calibrated(ROW, [0.95, 0.91, 0.55, 1.0], [True, False, True, True])
    assert [(one.low, one.items, round(one.accuracy, 2)) for one in found.bins] == [
        (50, 1, 100.0),
        (90, 3, 66.67),
    ]
    expected = (3 * abs(95.3333 - 66.6667) + 1 * 45) / 4
    assert found.ece == pytest.approx(expected, abs=1e-3)
    even = calibrated(ROW, [0.75] * 4, [True, True, True, False])
    assert even.ece == pytest.approx(0)


def test_confidence_is_set_against_what_was_right(answers: Callable[..., Any]) -> None:
    scores = sliced(answers, calibration=True)
    (found,) = scores.calibration
    assert (found.task, found.items) == ("upos", 22)
    assert found.ece == pytest.approx(abs(90 - 100 * 19 / 22))
    assert "dep, ner: no probabilities, so not calibrated" in " ".join(
        note.replace("ner, dep", "dep, ner") for note in scores.notes
    )
    assert "80 and 90" in scores.to_text()


def counts(rows: np.ndarray, documents: list[str], metric: str, columns: Sequence[str]) -> Counts:
    about = {"data": "toy", "split": "dev", "scorer": metric, "dtype": "fp32", "seed": 1}
    places = np.arange(len(rows))
    names = np.array(documents, dtype=np.str_)
    return Counts("t", rows, places, names, metric=metric, columns=tuple(columns), **about)


def test_intervals_are_percentiles_over_documents_drawn_again() -> None:
    random = np.random.default_rng(0)
    items = random.integers(1, 9, 60).astype(float)
    rows = np.stack([random.binomial(items.astype(int), 0.7), items], axis=1).astype(float)
    documents = [f"d{place // 3}" for place in range(60)]
    own = counts(rows, documents, "accuracy", ("correct", "items"))
    like = [replace(ROW, score=float(100 * rows[:, 0].sum() / items.sum()))]
    part = Part(counted_by(own), own.rows, own.documents, like)
    (row,) = Sampler(4000).rows_of(part, intervals=True)
    scores = []
    for _ in range(4000):
        chosen = random.integers(0, 20, 20)
        drawn = np.concatenate([rows[3 * one : 3 * one + 3] for one in chosen])
        scores.append(100 * drawn[:, 0].sum() / drawn[:, 1].sum())
    assert (row.low, row.high) == pytest.approx(np.percentile(scores, (2.5, 97.5)), abs=0.5)
    assert (row.low or 0) < row.score < (row.high or 0)
    (again,) = Sampler(4000).rows_of(part, intervals=True)
    assert again == row
    # Sentences that are no document of their own would give another one.
    alone = replace(part, documents=np.array([""] * 60, dtype=np.str_))
    assert Sampler(4000).rows_of(alone, intervals=True) != [row]
    few = Part(counted_by(own), own.rows[:12], own.documents[:12], like)
    assert Sampler().rows_of(few, intervals=True)[0].low is None


def test_ranks_are_made_again_for_every_draw() -> None:
    random = np.random.default_rng(0)
    gold = random.normal(0, 1, 80)
    rows = Correlation().count(gold.tolist(), (gold + random.normal(0, 1, 80)).tolist())
    own = counts(rows, [""] * 80, "correlation", Correlation().columns)
    found = Correlation().score_rows(rows)
    like = [replace(ROW, metric=name, score=score) for name, score in found.items()]
    part = Part(counted_by(own), rows, own.documents, like)
    edges = {row.metric: row for row in Sampler(300).rows_of(part, intervals=True)}
    assert set(edges) == {"pearson", "spearman", "mse"}
    for row in edges.values():
        assert row.low is not None
        assert row.high is not None
        assert row.low < row.score < row.high


def test_rows_have_their_intervals(answers: Callable[..., Any]) -> None:
    nlp, gold = toy(answers)
    nlp.layers = nlp.layers * 2
    twice = [*gold, *(replace(one, doc_id=f"weblog-{place}") for place, one in enumerate(gold))]
    scores = evaluate(nlp, twice, data="toy", details=Details(intervals=True))
    keys = {tuple(row) for row in json.loads(scores.to_json())}
    assert keys == {(*KEYS, "low", "high")}
    assert "95 % interval" in scores.to_text()
    assert scores.main("upos").score == pytest.approx(100 * 19 / 22)


def test_labels_of_texts_have_slices_and_confusions() -> None:
    known = {"topic": HeadInfo("text_classification", "label", ("A", "B"), unit="text")}
    passages = [
        Passage((Sentence(("x",) * size),), {"topic": gold})
        for size, gold in ((3, "A"), (3, "B"), (12, "A"), (12, "A"))
    ]

    class Judge:
        heads, precision = known, "fp32"
        hierarchy = Hierarchy([Task("topic", 1)])

        def predict_labels_with_scores(self, given: Any, tasks: Any) -> Any:
            for _, said in zip(given, "AAAB", strict=True):
                yield {"topic": said}, {"topic": 0.75}

    judge: Any = Judge()
    scores = evaluate_passages(
        judge,
        passages,
        data="toy",
        details=Details(("length", "label"), calibration=True, confusion=True),
    )
    assert found_in(scores, "topic", "accuracy") == {
        "length 1-10": (50.0, 2),
        "length 11-20": (50.0, 2),
    }
    assert found_in(scores, "topic", "recall") == {"label A": (66.67, 3), "label B": (0.0, 1)}
    assert scores.confusion[0].cells == (("A", "A", 2), ("A", "B", 1), ("B", "A", 1))
    assert scores.calibration[0].ece == pytest.approx(25)


@pytest.mark.parametrize(
    ("document", "genre"),
    [
        ("reviews-122564-0001", "genre reviews"),
        ("weblog-blogspot.com_marketview_20050511222700", "genre weblog"),
        ("GUM_academic_art", "genre academic"),
        ("GUM_academic", None),
        ("wsj_0001", None),
        ("", None),
        ("2004-11", None),
    ],
)
def test_genres_are_read_off_document_ids(document: str, genre: str | None) -> None:
    assert genre_of(document) == genre


def test_lengths_and_kinds_have_names() -> None:
    assert [length_of(words) for words in (1, 10, 11, 40, 41, 300)] == [
        *("length 1-10", "length 1-10", "length 11-20", "length 31-40"),
        *("length 41-", "length 41-"),
    ]
    assert read_kinds("length, genre") == ("length", "genre")
    assert read_kinds(["label,seen", "label"]) == ("label", "seen")
    assert read_kinds(()) == ()
    with pytest.raises(RecipeError, match=r"'lenght'; scores are sliced by .* mean 'length'"):
        read_kinds("lenght")


def test_data_without_genres_says_so(answers: Callable[..., Any]) -> None:
    nlp, gold = toy(answers)
    bare = [replace(one, doc_id=None) for one in gold]
    scores = evaluate(nlp, bare, data="toy", details=Details(("genre",)))
    assert not scores.slices
    assert any("no document ids that begin with different" in note for note in scores.notes)
    alike = [replace(one, doc_id=f"dev-{place}") for place, one in enumerate(gold)]
    assert not evaluate(nlp, alike, data="toy", details=Details(("genre",))).slices


def test_spans_relations_and_roles_have_labels_and_mentions_no_lengths(
    answers: Callable[..., Any],
) -> None:
    words = ("Ada", "wrote", "Babbage", "a", "letter")
    ada, babbage, letter = Span(0, 1, "PER"), Span(2, 3, "PER"), Span(3, 5, "THING")
    gold = {
        "entity": Spans((ada, babbage, letter)),
        "relation": Relations((Relation((0, 1), (2, 3), "knows"),)),
        "srl": Frames((Frame(1, None, (Span(0, 1, "A0"), Span(3, 5, "A1"))),)),
        "coref": Mentions((Span(0, 1, "1"), Span(2, 3, "2"))),
    }
    own = {
        "entity": Spans((ada, Span(2, 3, "LOC"), Span(4, 5, "THING"))),
        "relation": Relations((Relation((0, 1), (2, 3), "wrote"),)),
        "srl": Frames((Frame(1, None, (Span(0, 1, "A0"), Span(2, 3, "A2"))),)),
        "coref": gold["coref"],
    }
    heads = {
        "entity": HeadInfo("span", "spans", ("PER", "THING", "LOC")),
        "relation": HeadInfo("relation", "relations", ("knows", "wrote"), reads=("entity",)),
        "srl": HeadInfo("roles", "frames", ("A0", "A1", "A2")),
        "coref": HeadInfo("coreference", "mentions", ()),
    }
    nlp = answers([own], heads=heads, depths={"entity": 1, "relation": 2, "srl": 2, "coref": 3})
    known = dict.fromkeys(heads, frozenset({"Ada", "a", "letter"}))
    details = Details(("label", "seen", "length"), confusion=True, known=known)
    scores = evaluate(nlp, [Sentence(words, gold, doc_id="x")], data="toy", details=details)
    cells = {one.task: {cell[:2]: cell[2] for cell in one.cells} for one in scores.confusion}
    assert cells["entity"] == {
        ("PER", "PER"): 1,
        ("PER", "LOC"): 1,
        ("THING", None): 1,
        (None, "THING"): 1,
    }
    assert cells["relation"] == {("knows", "wrote"): 1}
    assert cells["srl"] == {("A0", "A0"): 1, ("A1", None): 1, (None, "A2"): 1}
    assert found_in(scores, "entity", "recall")["label PER"] == (50.0, 2)
    assert found_in(scores, "entity", "recall")["words seen"] == (50.0, 2)
    assert found_in(scores, "entity", "recall")["words unseen"] == (0.0, 1)
    assert "length 1-10" in found_in(scores, "srl", "f1")
    assert any("coref: scored by document, so not by length" in note for note in scores.notes)
    assert any("so not by seen" in n and "relation" in n and "srl" in n for n in scores.notes)
