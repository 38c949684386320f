"""What the upper levels are set beside, rules and spaCy, on sentences made by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.upper import report, spancat
from benchmarks.upper.baselines import scored
from benchmarks.upper.rules import (
    LookUp,
    Pairs,
    Roles,
    all_new,
    by_space,
    each,
    mentions_of,
    nearest,
    same_head,
    with_clusters,
)
from hiermtl.evaluation import HeadInfo
from hiermtl.evaluation.predictor import INFORMED
from hiermtl.text.sentence import (
    Frame,
    Frames,
    Layer,
    Mentions,
    Relation,
    Relations,
    Sentence,
    Span,
    Spans,
    Tree,
)


def sentence(words: str, **layers: Layer) -> Sentence:
    return Sentence(tuple(words.split()), layers)


def test_spans_are_looked_up_by_their_words_the_longest_first() -> None:
    train = [
        sentence("New York Times", e=Spans((Span(0, 2, "place"), Span(0, 3, "paper")))),
        sentence("new york", e=Spans((Span(0, 2, "place"),))),
        sentence("the times of York", e=Spans((Span(3, 4, "place"),))),
        sentence("the the times .", e=Spans((Span(0, 1, "x"),))),
    ]
    found = LookUp.of(train, "e")
    assert found.most == "place"
    # `the` was a span once in three times, `times` never, and `york` in one of three.
    assert found.known == {"new york", "new york times"}
    spans = found.spans(["in", "the", "NEW", "York", "Times"])
    assert spans == Spans((Span(2, 4, "place"), Span(2, 5, "paper")))
    assert {span.label for span in found.spans(["new", "york", "times"], same=True).spans} == {
        "place"
    }


def test_the_nearest_noun_phrases_are_arguments() -> None:
    gold = Frames((Frame(2, "see.01", (Span(0, 2, "ARG0"),)),))
    train = sentence("the man saw her", srl=gold, xpos=("DT", "NN", "VBD", "PRP"))
    other = sentence(
        "the old man saw a big dog there",
        srl=Frames(()),
        xpos=("DT", "JJ", "NN", "VBD", "DT", "JJ", "NN", "RB"),
    )
    found = Roles.of([train]).layers(other)["srl"]
    assert found == Frames((Frame(3, "see.01", (Span(0, 3, "ARG0"), Span(4, 7, "ARG1"))),))
    told = Roles.of([train]).layers(train)["srl" + INFORMED]
    assert told == Frames((Frame(2, "see.01", (Span(0, 2, "ARG0"), Span(3, 4, "ARG1"))),))


def test_pairs_have_the_relation_of_their_types() -> None:
    spans = Spans((Span(0, 1, "person"), Span(2, 3, "place"), Span(4, 5, "person")))
    relation = Relations((Relation((0, 1), (2, 3), "in"),))
    train = [sentence("a b c d e", entity=spans, relation=relation)]
    found = Pairs.of(train)
    assert (found.label, found.forward) == ("in", True)
    assert found.by_types(spans) == relation
    assert found.neighbours(spans, forward=False) == Relations(
        (Relation((2, 3), (0, 1), "in"), Relation((4, 5), (2, 3), "in"))
    )


DOCUMENT = [
    sentence(
        "the dog of Ada",
        dep=Tree((2, 0, 4, 2), ("det", "root", "case", "nmod")),
        coref=Mentions((Span(0, 4, "7"), Span(3, 4, "2"))),
    ),
    sentence(
        "a big Dog",
        dep=Tree((3, 3, 0), ("det", "amod", "root")),
        coref=Mentions((Span(0, 3, "7"),)),
    ),
]


def test_mentions_with_the_same_head_word_are_one_entity() -> None:
    places = mentions_of(DOCUMENT)
    assert places == [(0, 0, 4), (0, 3, 4), (1, 0, 3)]
    assert same_head(DOCUMENT, places) == [0, 1, 0]
    assert all_new(DOCUMENT, places) == [0, 1, 2]
    assert len(set(nearest(DOCUMENT, places))) == 1


@pytest.mark.parametrize(("rule", "b3"), [(same_head, 100.0), (all_new, 80.0)])
def test_rules_are_scored_by_the_metrics_of_models(rule: Any, b3: float) -> None:
    heads = {"coref": HeadInfo("rule", "mentions", ("mention",), unit="document")}

    def clusters(document: Any) -> Any:
        places = mentions_of(document)
        return with_clusters(document, places, rule(document, places))

    scores = scored(clusters, DOCUMENT, heads, data="x", split="test")
    (row,) = scores.filter(task="coref", metric=("b3",))
    assert row.score == pytest.approx(b3)


def test_text_is_split_at_white_space_and_before_final_punctuation() -> None:
    found = by_space('Dr. Who came, "at last." Yes')
    assert [" ".join(one.words) for one in found] == ["Dr .", 'Who came , "at last ."', "Yes"]


COST: dict[str, Any] = {
    "machine": {"processor": "Abacus", "threads": 2, "cores": 4, "versions": {}},
    "commit": None,
    "load": [None, None],
    "precision": "bf16",
    "trained": "9 steps",
    "documents": 2,
    "words": 2000,
    "base": "upos dep",
    "seconds": {
        "upos dep": [2.0, 4.0, 2.0],
        "upos dep ner": [2.2, 4.0, 2.2],
        "upos dep ner rel": [2.4, 4.8, 2.6],
    },
    "levels": [
        {
            "level": "relations",
            "without": "upos dep ner",
            "with": "upos dep ner rel",
            "goal": 0.12,
            "found": 1234,
        }
    ],
}


def test_what_a_level_adds_is_the_median_over_rounds_of_the_share_of_the_base() -> None:
    first, second = report.cost_rows(COST)
    assert first == ("none (upos dep)", "1000", "", "", "")
    assert second == ("relations", "1300", "20.0 %", "12 %", "1,234")
    assert "2 documents of 2,000 words, 3 rounds" in report.cost_markdown(COST)


def test_a_rule_has_a_row_with_its_scores() -> None:
    rule = {"task": "coref", "data": "gum", "told": "gold mentions", "rule": "all", "scores": {}}
    rule["scores"] = {"conll": 12.34, "muc": 1.0}
    (row,) = report.baselines_rows({"rules": [rule]})
    assert row == ("coref", "gum", "all (gold mentions)", "conll 12.3")
    assert report.baselines_markdown({"rules": [rule]}).splitlines()[0].startswith("| task | data")


def test_each_makes_a_rule_of_sentences_one_of_documents() -> None:
    assert each(lambda one: {"n": one.words})(DOCUMENT)[1] == {"n": ("a", "big", "Dog")}


NAMED = {
    "train": [sentence("Ada met Bo", entity=Spans((Span(0, 1, "person"), Span(2, 3, "person"))))],
    "dev": [sentence("see Ada", entity=Spans((Span(1, 2, "person"),)))],
    "test": [sentence("Not annotated"), sentence("Bo left", entity=Spans((Span(0, 1, "person"),)))],
}


def test_spacys_spans_are_scored_on_test_with_the_weight_that_is_best_on_dev(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A weight of 0.2 stands for a model that finds every name in capitals, another for none."""
    trained: list[dict[str, Any]] = []

    def train(sentences: Any, **given: Any) -> tuple[float, float]:
        assert sentences == NAMED["train"]
        score = given.pop("judge")(given["weight"])
        trained.append(given)
        return given["weight"], score

    def spans(model: float, sentences: Any) -> Any:
        for one in sentences:
            places = [at for at, word in enumerate(one.words) if word.istitle() and model == 0.2]
            yield Spans(tuple(Span(at, at + 1, "person") for at in places))

    monkeypatch.setattr(spancat, "train", train)
    monkeypatch.setattr(spancat, "spans", spans)
    monkeypatch.setattr(spancat, "read", lambda _, __, split: list(NAMED[split]))
    file = tmp_path / "spancat.json"
    asked = ["--data-dir", str(tmp_path), "--corpus", "gum", "--weights", "0.2", "0.1"]
    spancat.main([*asked, "--json", str(file)])
    result = json.loads(file.read_text())
    assert trained == [
        {"longest": 1, "weight": weight, "epochs": 10, "every": 1, "seed": 0}
        for weight in (0.2, 0.1)
    ]
    assert result["systems"][0]["dev"] == {"0.2": 100.0, "0.1": 0.0}
    (row,) = report.spancat_rows(result)
    assert row[:3] == ("mention", "gum", "100.0")
    assert "10 epochs, no span longer than 1 words" in report.spancat_markdown(result)
    assert capsys.readouterr().out == report.spancat_text(result)


def test_spacy_learns_the_spans_it_is_given() -> None:
    sentences = NAMED["train"] * 8
    given: Any = {"longest": 2, "weight": 1.0, "epochs": 15, "seed": 0}
    nlp, _ = spancat.train(sentences, **given, every=15, judge=lambda _: 0.0)
    assert next(spancat.spans(nlp, sentences)) == sentences[0].layers["entity"]
    seen: list[bytes] = []

    def judge(trained: Any) -> float:
        """The second of three is the best."""
        seen.append(trained.get_pipe("spancat_singlelabel").model.to_bytes())
        return (0.0, 2.0, 1.0)[len(seen) - 1]

    nlp, score = spancat.train(sentences, **given, every=5, judge=judge)
    assert score == 2.0
    found = nlp.get_pipe("spancat_singlelabel").model.to_bytes()
    assert [found == one for one in seen] == [False, True, False]
