"""Evaluation from plain text: the text of documents, alignment, and which documents count."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from hiermtl.errors import DataError, RunError
from hiermtl.evaluation import HeadInfo, evaluate_raw
from hiermtl.evaluation.measures import counted_by
from hiermtl.text.conllu import parse_conllu
from hiermtl.text.documents import by_document, conllu_rows, raw_text
from hiermtl.text.sentence import Layer, Relation, Relations, Sentence, Span, Spans, Tree

GOLD = """# newdoc id = one
# newpar
# text = Ada can't  stop.
1\tAda\tAda\tNOUN\tNN\t_\t2\tnsubj\t_\tNER=B-PER
2-3\tcan't\t_\t_\t_\t_\t_\t_\t_\t_
2\tca\tcan\tVERB\tVB\t_\t0\troot\t_\tNER=O
3\tn't\tnot\tDET\tDT\t_\t2\tdet\t_\tNER=O
4\tstop\tstop\tVERB\tVB\t_\t2\tobj\t_\tNER=O|SpaceAfter=No
5\t.\t.\tDET\tDT\t_\t2\tpunct\t_\tNER=O|SpaceAfter=No

# text = Go
1\tGo\tgo\tVERB\tVB\t_\t0\troot\t_\tNER=O

# newpar id = p2
1\tNew\tnew\tNOUN\tNN\t_\t2\tdet\t_\tNER=B-LOC
2\tYork\tyork\tNOUN\tNN\t_\t0\troot\t_\tNER=I-LOC

# newdoc id = two
1\tBye\tbye\tNOUN\t_\t_\t0\troot\t_\t_

"""


def gold_sentences(text: str = GOLD) -> list[Sentence]:
    return list(parse_conllu(text.encode().splitlines(keepends=True), "gold.conllu"))


def found(words: str, **layers: Layer) -> Sentence:
    return Sentence(tuple(words.split()), layers)


SYSTEM = [
    [
        found(
            "Ada can't stop .",
            upos=("NOUN", "VERB", "VERB", "DET"),
            xpos=("NN", "VB", "NN", "DT"),
            ner=("B-PER", "O", "O", "O"),
            dep=Tree((2, 0, 2, 2), ("nsubj", "root", "obj", "punct")),
        ),
        found(
            "Go New York",
            upos=("VERB", "NOUN", "NOUN"),
            xpos=("VB", "NN", "NN"),
            ner=("O", "B-LOC", "I-LOC"),
            dep=Tree((0, 1, 1), ("root", "obj", "obj")),
        ),
    ],
    [
        found(
            "Bye",
            upos=("VERB",),
            xpos=("VB",),
            ner=("O",),
            dep=Tree((0,), ("root",)),
        )
    ],
]


def test_the_text_of_a_document_follows_its_comments_and_spacing() -> None:
    documents = list(by_document(gold_sentences()))
    assert [raw_text(sentences) for sentences in documents] == [
        "Ada can't  stop.Go\n\nNew York",
        "Bye",
    ]


def test_a_text_that_writes_other_characters_gives_way_to_the_tokens() -> None:
    text = GOLD.replace("# text = Ada can't  stop.", "# text = Ada cannot stop.")
    assert raw_text(gold_sentences(text)[:1]) == "Ada can't stop."


def test_sentences_without_lines_have_a_text_too() -> None:
    spaced = Sentence(("Stop", "!"), space_after=(False, False))
    assert raw_text([spaced, Sentence(("Go", "on")), Sentence(())]) == "Stop!Go on"


def test_rows_keep_multiword_tokens_and_only_the_layers_given() -> None:
    rows = conllu_rows(gold_sentences()[0], {"upos": ("X", None, "Y", "Z", "X")})
    assert [row[0] for row in rows] == ["1", "2-3", "2", "3", "4", "5"]
    assert [row[3] for row in rows] == ["X", "_", "_", "Y", "Z", "X"]
    assert {cell for row in rows for cell in (*row[4:], row[2])} == {"_"}


def test_words_and_sentences_are_scored_beside_the_tasks(answers: Callable[..., Any]) -> None:
    nlp = answers(system=SYSTEM)
    scores = evaluate_raw(nlp, iter(gold_sentences()), data="toy", seed=1)
    assert nlp.texts == ["Ada can't  stop.Go\n\nNew York", "Bye"]
    assert [(row.level, row.depth, row.task, row.metric, row.items) for row in scores] == [
        (0, 0, "segment", "words", 9),
        (0, 0, "segment", "tokens", 8),
        (0, 0, "segment", "sentences", 4),
        (1, 1, "upos", "f1", 9),
        (1, 1, "xpos", "f1", 8),
        (2, 2, "ner", "f1", 2),
        (2, 2, "ner", "precision", 2),
        (2, 2, "ner", "recall", 2),
        (2, 2, "ner", "f1_strict", 2),
        (3, 4, "dep", "las", 9),
        (3, 4, "dep", "uas", 9),
        (3, 4, "dep", "clas", 9),
    ]
    score = {(row.task, row.metric): row.score for row in scores}
    # Gold has 8 tokens and 9 words; the system 8 of each, of which it shares 8 and 7.
    assert score["segment", "tokens"] == 100
    assert score["segment", "words"] == pytest.approx(200 * 7 / 17)
    assert score["segment", "sentences"] == pytest.approx(200 * 2 / 7)
    # Wrong: `Bye`, and the two words of `can't`.
    assert score["upos", "f1"] == pytest.approx(200 * 6 / 17)
    # The second document has no gold: 8 words against 7, wrong are `stop` and `can't`.
    assert score["xpos", "f1"] == pytest.approx(200 * 5 / 15)
    assert score["ner", "f1"] == 100
    assert {row.scorer for row in scores.filter(task=("segment", "upos", "xpos", "dep"))} == {
        "conll18"
    }
    assert [row.scorer for row in scores.filter(task="ner")] == [
        *["conll18+conlleval"] * 3,
        "conll18+seqeval-strict",
    ]
    assert scores.notes == ()


def test_counts_from_plain_text_give_the_scores_again(answers: Callable[..., Any]) -> None:
    scores = evaluate_raw(answers(system=SYSTEM), gold_sentences(), data="toy")
    for task, counts in scores.counts.items():
        again = counted_by(counts).score_rows(counts.rows)
        assert again == {row.metric: row.score for row in scores.filter(task=task)}
    assert scores.counts["xpos"].sentences.tolist() == [0, 1, 2]
    assert scores.counts["upos"].documents.tolist() == ["one", "one", "one", "two"]


def test_documents_annotated_in_part_are_left_out_and_counted(answers: Callable[..., Any]) -> None:
    text = GOLD.replace("1\tGo\tgo\tVERB\tVB", "1\tGo\tgo\t_\tVB")
    scores = evaluate_raw(answers(system=SYSTEM), gold_sentences(text), data="toy")
    assert scores.main("upos").items == 1
    assert scores.notes == ("upos: 1 of 2 documents is annotated in part and left out",)
    text = text.replace("1\tBye\tbye\tNOUN", "1\tBye\tbye\t_")
    scores = evaluate_raw(answers(system=SYSTEM), gold_sentences(text), data="toy")
    assert "upos" not in scores.tasks
    assert scores.notes == (
        "upos: no document of toy is annotated throughout, so it is not scored",
    )


def test_a_task_of_its_own_name_is_scored_like_a_column_of_conllu(
    answers: Callable[..., Any],
) -> None:
    heads = {
        "upos": HeadInfo("tagging", "tags", ("DET", "NOUN", "VERB")),
        "pos": HeadInfo("tagging", "tags", ("DET", "NOUN", "VERB"), column="upos"),
        "tree": HeadInfo("biaffine", "tree", ("root",), column="dep"),
        "dep": HeadInfo("biaffine", "tree", ("root",)),
    }
    system = [
        [
            sentence.with_layers(
                {
                    "pos": ("NOUN",) * len(sentence.words),
                    "tree": sentence.layers["dep"],
                }
            )
            for sentence in document
        ]
        for document in SYSTEM
    ]
    nlp = answers(system=system, heads=heads, depths=dict.fromkeys(heads, 1))
    scores = evaluate_raw(nlp, gold_sentences(), data="toy")
    assert scores.main("upos").score == pytest.approx(200 * 6 / 17)
    assert scores.main("pos").score == pytest.approx(200 * 4 / 17)
    assert [row.score for row in scores.filter(task="tree")] == [
        row.score for row in scores.filter(task="dep")
    ]


def test_a_segment_task_of_the_model_gives_the_rows_its_level(answers: Callable[..., Any]) -> None:
    heads = {
        "segment": HeadInfo("segmenter", "tags", ("B", "I")),
        "upos": HeadInfo("tagging", "tags", ("DET", "NOUN", "VERB")),
    }
    nlp = answers(system=SYSTEM, heads=heads, depths={"segment": 2, "upos": 3})
    scores = evaluate_raw(nlp, gold_sentences(), tasks=["segment", "upos"], data="toy")
    assert nlp.tasks == ("upos",)
    assert (scores.main("segment").level, scores.main("segment").depth) == (1, 2)
    nlp = answers(system=SYSTEM, heads=heads, depths={"segment": 2, "upos": 1})
    scores = evaluate_raw(nlp, gold_sentences(), data="toy")
    assert scores.tasks == ("upos", "segment")
    assert scores.notes == ()


def test_mlas_needs_features_in_every_document_with_trees(answers: Callable[..., Any]) -> None:
    heads = {
        "upos": HeadInfo("tagging", "tags", ("DET", "NOUN", "VERB")),
        "feats": HeadInfo("tagging", "tags", ("_",)),
        "dep": HeadInfo("biaffine", "tree", ("root", "det", "nsubj", "obj", "punct")),
    }
    system = [
        [s.with_layers({"feats": ("_",) * len(s.words)}) for s in document] for document in SYSTEM
    ]
    text = GOLD.replace("1\tBye\tbye\tNOUN", "1\tBye\tbye\t_")
    for gold, metrics in ((GOLD, ["las", "uas", "clas", "mlas"]), (text, ["las", "uas", "clas"])):
        nlp = answers(system=system, heads=heads, depths=dict.fromkeys(heads, 1))
        scores = evaluate_raw(nlp, gold_sentences(gold), data="toy")
        assert [row.metric for row in scores.filter(task="dep")] == metrics


def test_gold_spans_in_another_scheme_are_an_error(answers: Callable[..., Any]) -> None:
    text = GOLD.replace("NER=B-PER", "NER=S-PER")
    with pytest.raises(DataError, match=r"gold.conllu:1: layer 'ner' tags word 1, 'Ada', with 'S"):
        evaluate_raw(answers(system=SYSTEM), gold_sentences(text), data="toy")


def test_a_system_that_changes_the_text_is_an_error_that_names_the_document(
    answers: Callable[..., Any],
) -> None:
    with pytest.raises(DataError) as caught:
        evaluate_raw(
            answers(system=[SYSTEM[0], [found("Bya")]]),
            gold_sentences(),
            tasks=[],
            data="toy",
        )
    assert str(caught.value) == (
        "gold.conllu:18: in document 'two': gold and system write different text: from character "
        "2 on (white space not counted) gold has 'e' and the system has 'a'; score the system on "
        "the text of the gold file"
    )


def test_a_layer_the_system_lacks_is_an_error(answers: Callable[..., Any]) -> None:
    with pytest.raises(RunError, match="there is no prediction of 'upos' for the sentence 'Bye'"):
        evaluate_raw(answers(system=[SYSTEM[0], [found("Bye")]]), gold_sentences(), data="toy")


def test_data_without_sentences_or_gold_is_an_error(answers: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match="toy has no sentences; name data that has some"):
        evaluate_raw(answers(), [], data="toy")
    text = GOLD.replace("NER=", "X=")
    with pytest.raises(DataError, match=r"toy has no gold for ner; .* upos, xpos and dep: ask"):
        evaluate_raw(answers(system=SYSTEM), gold_sentences(text), tasks=["ner"], data="toy")


def test_words_known_to_have_no_lemma_are_no_gold_by_themselves(answers: Any) -> None:
    """A corpus without the layer has neither rows of lemmas nor `blex`."""
    words = ("Ada", "slept")
    tree = Tree((2, 0), ("nsubj", "root"))
    gold = [Sentence(words, {"upos": ("PROPN", "VERB"), "dep": tree}, text="Ada slept")]
    heads = {
        "upos": HeadInfo("tagging", "tags", ("PROPN", "VERB")),
        "lemma": HeadInfo("edits", "edits", ("l||",)),
        "dep": HeadInfo("biaffine", "tree", ("nsubj", "root")),
    }
    predicted = {"upos": ("PROPN", "VERB"), "lemma": ("x", "y"), "dep": tree}
    system = [[Sentence(words, predicted, text="Ada slept", space_after=(True, False))]]
    nlp = answers(system=system, heads=heads, depths=dict.fromkeys(heads, 1))
    scores = evaluate_raw(nlp, gold, data="a")
    assert "lemma" not in scores.tasks
    assert {row.metric for row in scores.filter(task="dep")} == {"las", "uas", "clas"}


@pytest.mark.parametrize("tasks", [None, ["relation"]])
@pytest.mark.parametrize("told", [True, False])
def test_types_of_arguments_are_compared_where_gold_tells_them(
    answers: Callable[..., Any], told: bool, tasks: list[str] | None
) -> None:
    """Whether or not entities are asked for as well, by a model that says what it is asked."""

    class Obedient(answers):  # type: ignore[misc]
        def annotate_texts(self, texts: Any, tasks: Sequence[str]) -> Iterator[Any]:
            for document in super().annotate_texts(texts, tasks):
                for one in document:
                    own = {task: one.layers[task] for task in tasks}
                    yield [Sentence(one.words, own)]

    def strict(kind: str) -> float:
        met = Relations((Relation((0, 1), (2, 3), "met"),))
        gold: dict[str, Layer] = {"relation": met}
        if told:
            gold["entity"] = Spans((Span(0, 1, "PER"), Span(2, 3, "PER")))
        own = Spans((Span(0, 1, "PER"), Span(2, 3, kind)))
        nlp = Obedient(
            system=[[found("Ada met Max", relation=met, entity=own)]],
            heads={
                "entity": HeadInfo("span", "spans", ("PER",)),
                "relation": HeadInfo("relation", "relations", ("met",), reads=("entity",)),
            },
            depths={"entity": 1, "relation": 2},
        )
        sentences = [Sentence(("Ada", "met", "Max"), gold)]
        rows = evaluate_raw(nlp, sentences, tasks=tasks, data="toy")
        return next(row.score for row in rows if row.metric == "f1_strict")

    assert strict("PER") == 100
    assert strict("LOC") == (0 if told else 100)
