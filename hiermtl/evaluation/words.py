"""Evaluation on gold words: a model predicts, its predictions are scored."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

from hiermtl.errors import RunError
from hiermtl.evaluation.details import Details
from hiermtl.evaluation.measures import gold_layer, predicted_for
from hiermtl.evaluation.predictor import HeadInfo, Predictor
from hiermtl.evaluation.score import check_gold, chosen_tasks, score_layers
from hiermtl.evaluation.scores import Scores
from hiermtl.evaluation.watching import Watch
from hiermtl.text.sentence import Layer, Sentence


def evaluate(
    nlp: Predictor,
    sentences: Iterable[Sentence],
    *,
    tasks: Iterable[str] | None = None,
    data: str,
    split: str = "dev",
    seed: int | None = None,
    details: Details | None = None,
) -> Scores:
    """Scores a model on the gold words of sentences.

    The sentences are read once and not kept, but for those the model is at work on. Given as a
    list or another sequence they are looked through first: then tasks that have no gold are not
    predicted, and a task that was asked for and has none is found before any work.

    Args:
        nlp: The model.
        sentences: Gold sentences; those without gold for any of the tasks are not predicted.
        tasks: Tasks to score; by default all tasks of the model that have gold.
        data: Name of the data, for the rows.
        split: Its split, for the rows.
        seed: Seed of the model's training, for the rows.
        details: What is told beside scores.

    Returns:
        The scores; see `hiermtl.evaluation.score.score_layers`.

    Raises:
        ModelError: A task is none of the model's.
        DataError: The sentences have no gold for a task that was asked for, or none at all.
        RunError: The model did not predict one result per sentence.
    """
    hierarchy, heads = nlp.hierarchy, nlp.heads
    tasks = None if tasks is None else list(tasks)
    predicted = {task: heads[task] for task in chosen_tasks(hierarchy, tasks)}
    if isinstance(sentences, Sequence):
        has_gold = {
            task
            for task in hierarchy.names
            if any(_annotated(sentence, {task: heads[task]}) for sentence in sentences)
        }
        check_gold(hierarchy, tasks, has_gold=has_gold, data=data)
        predicted = {task: head for task, head in predicted.items() if task in has_gold}
    watch = Watch(details or Details(), nlp)
    sure = details is not None and details.calibration
    found = _predictions(nlp, sentences, predicted, with_scores=sure)
    scores = score_layers(
        watch.watched(found),
        hierarchy,
        heads=heads,
        tasks=tasks,
        data=data,
        split=split,
        dtype=nlp.precision,
        seed=seed,
    )
    return watch.finish(scores) if details else scores


def _annotated(sentence: Sentence, tasks: Mapping[str, HeadInfo]) -> bool:
    return any(gold_layer(sentence, task, head=head) is not None for task, head in tasks.items())


def _predictions(
    nlp: Predictor,
    sentences: Iterable[Sentence],
    tasks: Mapping[str, HeadInfo],
    *,
    with_scores: bool,
) -> Iterator[tuple[Sentence, Mapping[str, Layer], Mapping[str, Sequence[float]]]]:
    """Each sentence with its predictions, in order; sentences not predicted with none.

    A document is read whole, also where some of its sentences have no gold. Probabilities are
    empty unless asked for.
    """
    waiting: deque[tuple[Sentence, bool]] = deque()
    given = 0
    whole = any(head.unit == "document" for head in tasks.values())
    wanted = predicted_for(tasks, nlp.heads)
    names = [task for task in nlp.hierarchy.names if task in wanted]

    def asked_for() -> Iterator[Sentence]:
        nonlocal given
        for sentence in sentences:
            asked = whole or _annotated(sentence, tasks)
            waiting.append((sentence, asked))
            if asked:
                given += 1
                yield sentence

    taken, feed = 0, asked_for()
    if with_scores:
        found = nlp.predict_with_scores(feed, names)
    else:
        bare = (
            nlp.predict_sentences(feed, names)
            if whole or any(head.informed for head in tasks.values())
            else nlp.predict_layers((sentence.words for sentence in feed), names)
        )
        found = ((layers, {}) for layers in bare)
    for layers, scores in found:
        taken += 1
        while waiting and not waiting[0][1]:
            yield waiting.popleft()[0], {}, {}
        if not waiting:
            raise RunError(
                f"the model gave {taken} results for {given} sentences; it must give one for each"
            )
        yield waiting.popleft()[0], layers, scores
    for _ in feed:
        pass  # Sentences the model never took must be missed below.
    if taken != given:
        raise RunError(
            f"the model gave {taken} results for {given} sentences; it must give one for each"
        )
    for sentence, _ in waiting:
        yield sentence, {}, {}
