"""Labels and numbers of whole texts and pairs, scored against gold."""

from collections import Counter
from collections.abc import Iterable, Sequence

from hiermtl.evaluation.counts import GoldName
from hiermtl.evaluation.details import Details
from hiermtl.evaluation.measures import metric_of
from hiermtl.evaluation.predictor import PassagePredictor
from hiermtl.evaluation.score import RowMaker, check_gold, chosen_tasks, unseen_note
from hiermtl.evaluation.scores import Scores
from hiermtl.evaluation.watching import Watch
from hiermtl.text.sentence import Passage


def evaluate_passages(
    predictor: PassagePredictor,
    passages: Sequence[Passage],
    *,
    tasks: Iterable[str] | None = None,
    data: str,
    split: str = "dev",
    seed: int | None = None,
    details: Details | None = None,
) -> Scores:
    """Scores of what a model says of passages.

    A gold label that the head has never seen is an error of the model, and a note says how many
    there are. Arguments are those of `evaluate`.

    Raises:
        ModelError: A task is none of the model's.
        DataError: The passages have no gold for a task that was asked for, or none at all.
    """
    asked = None if tasks is None else list(tasks)
    heads, hierarchy = predictor.heads, predictor.hierarchy
    gold = {
        task: [passage.labels.get(heads[task].column or task) for passage in passages]
        for task in chosen_tasks(hierarchy, asked)
        if not heads[task].of_sentences
    }
    known = {task for task, values in gold.items() if any(v is not None for v in values)}
    check_gold(hierarchy, asked, has_gold=known, data=data)
    if details is not None and details.calibration:
        judged = list(predictor.predict_labels_with_scores(passages, sorted(known)))
    else:
        judged = [(said, {}) for said in predictor.predict_labels(passages, sorted(known))]
    found = [said for said, _ in judged]
    table = RowMaker(hierarchy, data=data, split=split, dtype=predictor.precision, seed=seed)
    for task in [task for task in gold if task in known]:
        places = [place for place, value in enumerate(gold[task]) if value is not None]
        right = [gold[task][place] for place in places]
        guesses = [found[place][task] for place in places]
        metric = metric_of(task, heads[task])
        names = [passages[place].passage_id or "" for place in places]
        name = GoldName()
        for place in places:
            name.add(*(s.words for s in passages[place].sentences), gold[task][place])
        table.add(
            task,
            metric,
            rows=metric.count(right, guesses),
            sentences=places,
            documents=names,
            gold=str(name),
        )
        if heads[task].layer == "label":
            seen = set(heads[task].labels)
            unseen = Counter(str(label) for label in right if label not in seen)
            table.notes.extend(unseen_note(task, unseen, head=heads[task], spans=False))
    if not details:
        return table.scores()
    watch = Watch(details, predictor)
    watch.add_passages(passages, judged, sorted(known))
    return watch.finish(table.scores())
