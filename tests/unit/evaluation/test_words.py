"""Evaluation on gold words: what a model is asked, and what becomes of its answers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, ClassVar

import pytest

from hiermtl.errors import DataError, ModelError, RunError
from hiermtl.evaluation import HeadInfo, evaluate
from hiermtl.hierarchy import Hierarchy, Task
from hiermtl.text.sentence import (
    Layer,
    Mentions,
    Relation,
    Relations,
    Sentence,
    Span,
    Spans,
    Tree,
)

DOG: dict[str, Layer] = {"upos": ("DET", "NOUN"), "dep": Tree((2, 0), ("det", "root"))}
GOLD = [
    Sentence(("the", "dog"), DOG),
    Sentence(("no", "gold")),
    Sentence(("barks",), {"upos": ("VERB",)}),
    Sentence(("a", "cat"), DOG),
    Sentence(("no", "gold", "either")),
]
LAYERS: list[dict[str, Layer]] = [
    {**DOG, "xpos": ("DT", "NN"), "ner": ("O", "O")},
    {"upos": ("NOUN",), "dep": Tree((0,), ("root",)), "xpos": ("VB",), "ner": ("O",)},
    {**DOG, "dep": Tree((0, 1), ("root", "det")), "xpos": ("DT", "NN"), "ner": ("O", "O")},
]


def test_a_model_is_scored_on_what_the_data_has(answers: Callable[..., Any]) -> None:
    nlp = answers(LAYERS, precision="bf16")
    scores = evaluate(nlp, GOLD, data="toy", seed=7)
    assert [(row.task, row.metric, row.score) for row in scores] == [
        ("upos", "accuracy", 80.0),
        ("dep", "las", 50.0),
        ("dep", "uas", 50.0),
        ("dep", "clas", 50.0),
    ]
    assert {(row.data, row.split, row.dtype, row.seed) for row in scores} == {
        ("toy", "dev", "bf16", 7)
    }
    assert [(row.level, row.depth) for row in scores] == [(1, 1), (3, 4), (3, 4), (3, 4)]


@pytest.mark.parametrize("window", [1, 2, 3, 10])
def test_only_sentences_with_gold_are_predicted_however_the_model_reads_ahead(
    answers: Callable[..., Any], window: int
) -> None:
    nlp = answers(LAYERS, window=window)
    scores = evaluate(nlp, iter(GOLD), data="toy")
    assert nlp.asked == [("the", "dog"), ("barks",), ("a", "cat")]
    assert scores.counts["upos"].sentences.tolist() == [0, 2, 3]
    assert scores.main("upos").score == 80


def test_a_list_is_looked_through_so_that_tasks_without_gold_are_not_predicted(
    answers: Callable[..., Any],
) -> None:
    nlp = answers(LAYERS)
    evaluate(nlp, GOLD, data="toy")
    assert nlp.tasks == ("upos", "dep")
    nlp = answers(LAYERS)
    evaluate(nlp, iter(GOLD), data="toy")
    assert nlp.tasks == ("upos", "xpos", "ner", "dep")


def test_a_list_and_a_stream_give_the_same_scores(answers: Callable[..., Any]) -> None:
    listed = evaluate(answers(LAYERS), GOLD, data="toy")
    streamed = evaluate(answers(LAYERS), iter(GOLD), data="toy")
    assert listed.rows == streamed.rows
    assert listed.notes == streamed.notes


def test_a_stream_is_not_read_further_than_the_model_works(answers: Callable[..., Any]) -> None:
    read = 0

    def stream() -> Iterator[Sentence]:
        nonlocal read
        for gold in [GOLD[0]] * 100:
            read += 1
            yield gold
            assert read - len(taken) <= 3

    taken: list[int] = []

    def layers() -> Iterator[dict[str, Layer]]:
        for _ in range(100):
            taken.append(1)
            yield LAYERS[0]

    scores = evaluate(answers(layers(), window=2), stream(), data="toy")
    assert scores.main("upos").items == 200


def test_tasks_that_were_not_asked_for_are_neither_predicted_nor_scored(
    answers: Callable[..., Any],
) -> None:
    nlp = answers(LAYERS[:1] + LAYERS[2:])
    scores = evaluate(nlp, GOLD, tasks=["dep"], data="toy")
    assert nlp.tasks == ("dep",)
    assert nlp.asked == [("the", "dog"), ("a", "cat")]
    assert scores.tasks == ("dep",)
    assert scores.notes == ()


def test_in_a_list_a_task_without_gold_is_found_before_any_work(
    answers: Callable[..., Any],
) -> None:
    nlp = answers(LAYERS)
    with pytest.raises(DataError) as caught:
        evaluate(nlp, GOLD, tasks=["ner", "xpos", "dep"], data="toy")
    assert str(caught.value) == (
        "toy has no gold for ner and xpos; of the model's tasks it has gold for upos and dep: ask "
        "for those, or name other data"
    )
    assert nlp.asked == []


def test_in_a_stream_a_task_without_gold_is_the_same_error(answers: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match=r"toy has no gold for ner; of the model's tasks it has "):
        evaluate(answers(LAYERS), iter(GOLD), tasks=["ner", "upos"], data="toy")


def test_no_sentences_are_an_error(answers: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match="toy has no gold for any task of the model"):
        evaluate(answers(), [], data="toy")


def test_an_unknown_task_is_an_error(answers: Callable[..., Any]) -> None:
    with pytest.raises(ModelError, match="the model has no task 'lemma'; it has upos, xpos, ner"):
        evaluate(answers(LAYERS), GOLD, tasks=["lemma"], data="toy")


@pytest.mark.parametrize(("layers", "given"), [(LAYERS[:2], 2), ([*LAYERS, LAYERS[0]], 4), ([], 0)])
def test_a_model_that_drops_or_adds_a_sentence_is_an_error(
    answers: Callable[..., Any], layers: list[dict[str, Layer]], given: int
) -> None:
    with pytest.raises(RunError) as caught:
        evaluate(answers(layers, window=10), GOLD, data="toy")
    assert str(caught.value) == (
        f"the model gave {given} results for 3 sentences; it must give one for each"
    )


def test_a_model_that_stops_reading_is_an_error(
    answers: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp = answers(LAYERS)
    first = lambda sentences, tasks: (LAYERS[0] for _ in islice(sentences, 1))  # noqa: E731
    monkeypatch.setattr(nlp, "predict_layers", first)
    with pytest.raises(RunError, match="the model gave 1 results for 3 sentences"):
        evaluate(nlp, iter(GOLD), data="toy")


def test_a_document_is_read_whole_and_scored_where_it_has_gold() -> None:
    """What lies between has mentions too, and may be what others link to."""
    one, two = Mentions((Span(0, 1, "a"),)), Mentions((Span(0, 1, "b"),))
    gold = [
        Sentence(("Ada",), {"coref": one}),
        Sentence(("She",)),
        Sentence(("her",), {"coref": one}),
        Sentence(("Bob",), {"coref": two}, doc_id="d"),
    ]
    asked: list[Sentence] = []

    class Model:
        heads: ClassVar = {"coref": HeadInfo("c", "mentions", ("mention",), unit="document")}
        hierarchy = Hierarchy([Task("coref", 1)])
        precision = "fp32"

        def predict_sentences(
            self, sentences: Iterable[Sentence], tasks: Sequence[str]
        ) -> Iterator[dict[str, Layer]]:
            for sentence in sentences:
                asked.append(sentence)
                yield {"coref": one}

        predict_layers = predict_sentences

    scores = evaluate(Model(), iter(gold), data="toy")
    assert asked == gold
    assert scores.main("coref").score == 100
    assert scores.main("coref").items == 3
    assert scores.notes == (
        "coref: 2 sentences name no document; those that follow each other are scored as one",
    )


TYPED = Spans((Span(0, 1, "PER"), Span(2, 3, "PER")))
MET: dict[str, Layer] = {
    "entity": TYPED,
    "relation": Relations((Relation((0, 1), (2, 3), "met"),)),
}
BETWEEN = {
    "entity": HeadInfo("span", "spans", ("PER",)),
    "relation": HeadInfo("relation", "relations", ("met",), reads=("entity",)),
}


def strict(answers: Callable[..., Any], gold: Sentence, own: dict[str, Layer], **how: Any) -> float:
    """The strict F1 of relations, by a model that says what it is asked and nothing else."""
    given = evaluate_with(answers, own, gold, **how)
    return next(row.score for row in given if row.metric == "f1_strict")


def evaluate_with(
    answers: Callable[..., Any], own: dict[str, Layer], gold: Sentence, *, listed: bool, **how: Any
) -> Any:
    class Obedient(answers):  # type: ignore[misc]
        def predict_layers(self, sentences: Any, tasks: Sequence[str]) -> Iterator[Any]:
            for layers in super().predict_layers(sentences, tasks):
                yield {task: layer for task, layer in layers.items() if task in tasks}

    nlp = Obedient([own], heads=BETWEEN, depths={"entity": 1, "relation": 2})
    return evaluate(nlp, [gold] if listed else iter([gold]), data="toy", **how)


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("tasks", [None, ["relation"]])
def test_types_of_arguments_are_compared_also_where_relations_are_asked_for_alone(
    answers: Callable[..., Any], tasks: list[str] | None, listed: bool
) -> None:
    gold = Sentence(("Ada", "met", "Max"), MET)
    how = {"tasks": tasks, "listed": listed}
    assert strict(answers, gold, MET, **how) == 100
    other = {**MET, "entity": Spans((Span(0, 1, "PER"), Span(2, 3, "LOC")))}
    assert strict(answers, gold, other, **how) == 0
    rows = evaluate_with(answers, MET, gold, **how)
    assert rows.tasks == (("entity", "relation") if tasks is None else ("relation",))


@pytest.mark.parametrize("listed", [True, False])
def test_types_of_arguments_that_gold_does_not_tell_are_not_compared(
    answers: Callable[..., Any], listed: bool
) -> None:
    gold = Sentence(("Ada", "met", "Max"), {"relation": MET["relation"]})
    assert strict(answers, gold, MET, listed=listed) == 100
    # That there is no entity is something else than not knowing.
    none = Sentence(("Ada", "met", "Max"), {**MET, "entity": Spans(())})
    assert strict(answers, none, MET, listed=listed) == 0


def test_a_model_is_told_gold_only_where_there_is_some(answers: Callable[..., Any]) -> None:
    """It says nothing of a sentence without words, and reads predictions where gold is silent."""

    class Told(answers):  # type: ignore[misc]
        def predict_sentences(
            self, sentences: Iterable[Sentence], tasks: Sequence[str]
        ) -> Iterator[Any]:
            for sentence in sentences:
                none = {"entity": Spans(()), "relation": Relations(())}
                found = dict(MET) if sentence.words else none
                if "entity" in sentence.layers and sentence.words:
                    found["relation.informed"] = Relations(())
                yield found

    nlp = Told(
        heads={**BETWEEN, "relation": replace(BETWEEN["relation"], informed=True)},
        depths={"entity": 1, "relation": 2},
    )
    words = ("Ada", "met", "Max")
    bare = Sentence(words, {"relation": MET["relation"]})
    none = Sentence((), {"entity": Spans(()), "relation": Relations(())})
    scores = evaluate(nlp, [Sentence(words, MET), none], data="toy")
    of_relations = {row.metric: row.score for row in scores if row.task == "relation"}
    assert (of_relations["f1"], of_relations["f1_given"]) == (100, 0)
    assert not scores.notes
    scores = evaluate(nlp, [bare, none, bare], data="toy")
    of_relations = {row.metric: row.score for row in scores if row.task == "relation"}
    assert (of_relations["f1"], of_relations["f1_given"]) == (100, 100)
    assert (
        "relation: 2 sentences have no gold of 'entity', so f1_given is there of predicted ones"
        in scores.notes
    )
