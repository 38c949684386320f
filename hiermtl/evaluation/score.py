"""Gold sentences and predicted layers to scores."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hiermtl.errors import DataError, ModelError, listing, nearest
from hiermtl.evaluation.counts import Counts, GoldName
from hiermtl.evaluation.measures import (
    checked_prediction,
    gold_between,
    gold_layer,
    has_all,
    known_words,
    metric_of,
    scored_pair,
    seen_labels,
    unseen_labels,
)
from hiermtl.evaluation.official import GoldWords
from hiermtl.evaluation.predictor import HeadInfo
from hiermtl.evaluation.scores import ScoreRow, Scores
from hiermtl.evaluation.structures import clusters_in
from hiermtl.hierarchy import Hierarchy
from hiermtl.metrics.base import Metric, Tally
from hiermtl.metrics.conll18 import universal_features
from hiermtl.metrics.spans import SpanF1
from hiermtl.text.segment import SEGMENT
from hiermtl.text.sentence import Layer, Mentions, Sentence, Tree

_BLOCK = 256
_SHOWN = 5


def score_layers(
    pairs: Iterable[tuple[Sentence, Mapping[str, Layer]]],
    hierarchy: Hierarchy,
    *,
    heads: Mapping[str, HeadInfo],
    tasks: Iterable[str] | None = None,
    data: str,
    split: str = "dev",
    dtype: str = "fp32",
    seed: int | None = None,
) -> Scores:
    """Scores of predictions for gold words.

    Words without gold are not counted. A gold label that the head has never seen is an error of
    the model, and a note says how many there are.

    Args:
        pairs: Each gold sentence with its predicted layers, by task. They are read once; of the
            sentences nothing but counts is kept.
        hierarchy: The model's tasks.
        heads: The head of each task.
        tasks: Tasks to score; by default all of the hierarchy.
        data: Name of the data, for the rows.
        split: Its split, for the rows.
        dtype: Number format of the model, for the rows.
        seed: Seed of its training, for the rows.

    Returns:
        Rows by level, a note on each task that has none, and the counts.

    Raises:
        ModelError: A task is none of the hierarchy's, or of a kind that nothing here scores.
        DataError: The data has no gold for a task that was asked for, or none at all.
        RunError: A prediction is missing or does not fit its sentence.
    """
    tasks = None if tasks is None else list(tasks)
    chosen = chosen_tasks(hierarchy, tasks)
    gathered = {task: _gathered(task, heads) for task in chosen}
    official = GoldWords({task: heads[task] for task in chosen})
    has_gold: set[str] = set()
    for place, (sentence, layers) in enumerate(pairs):
        found: dict[str, Layer] = {}
        for task in hierarchy.names:
            if task in has_gold and task not in gathered:
                continue
            gold = gold_layer(sentence, task, head=heads[task])
            if gold is None:
                continue
            has_gold.add(task)
            if task in gathered:
                gathered[task].add(place, sentence, gold=gold, predicted=layers)
                found[task] = gold
        official.add(place, sentence, gold=found, predicted=layers)
    check_gold(hierarchy, tasks, has_gold=has_gold, data=data)
    table = RowMaker(hierarchy, data=data, split=split, dtype=dtype, seed=seed)
    counted = official.rows()
    if official.note is not None:
        table.notes.append(official.note)
    for task, of_task in gathered.items():
        of_task.flush()
        if task in counted:
            metric, rows = counted[task]
            table.add(
                task,
                metric,
                rows=rows,
                sentences=official.sentences,
                documents=official.documents,
                gold=str(of_task.name),
            )
            table.notes.extend(of_task.notes(official=True))
            continue
        if task not in has_gold:
            table.notes.append(f"{task}: {data} has no gold for it, so it is not scored")
            continue
        metric = of_task.tally.metric
        table.add(
            task,
            metric,
            rows=of_task.tally.rows,
            sentences=of_task.sentences,
            documents=of_task.documents,
            gold=str(of_task.name),
        )
        table.notes.extend(of_task.notes())
    return table.scores()


def chosen_tasks(hierarchy: Hierarchy, tasks: Iterable[str] | None) -> list[str]:
    """The tasks asked for, or all that are scored on words, lowest first.

    Raises:
        ModelError: A task is none of the hierarchy's.
    """
    asked = [n for n in hierarchy.names if n != SEGMENT] if tasks is None else list(tasks)
    for task in asked:
        if task not in hierarchy:
            raise ModelError(
                f"the model has no task {task!r}; it has {listing(hierarchy.names)}"
                f"{nearest(task, hierarchy.names)}"
            )
    return [task for task in hierarchy.names if task in asked]


def check_gold(
    hierarchy: Hierarchy,
    tasks: Sequence[str] | None,
    *,
    has_gold: set[str],
    data: str,
) -> None:
    """Checks that there is something to score.

    Raises:
        DataError: A task that was asked for has no gold, or no task has any.
    """
    present = [task for task in hierarchy.names if task in has_gold]
    if not present:
        raise DataError(
            f"{data} has no gold for any task of the model, which are {listing(hierarchy.names)}; "
            "score it on data that is annotated for one of them"
        )
    missing = [task for task in tasks or () if task not in has_gold]
    if missing:
        raise DataError(
            f"{data} has no gold for {listing(missing)}; of the model's tasks it has gold for "
            f"{listing(present)}: ask for those, or name other data"
        )


class RowMaker:
    """Makes rows and counts of tasks, all with the same origin."""

    def __init__(
        self, hierarchy: Hierarchy, *, data: str, split: str, dtype: str, seed: int | None
    ) -> None:
        self._hierarchy = hierarchy
        self._origin: dict[str, Any] = {"data": data, "split": split, "dtype": dtype, "seed": seed}
        self._rows: list[ScoreRow] = []
        self._counts: dict[str, Counts] = {}
        self.notes: list[str] = []

    def add(
        self,
        task: str,
        metric: Metric,
        *,
        rows: np.ndarray[Any, np.dtype[np.float64]],
        sentences: Sequence[int],
        documents: Sequence[str],
        gold: str,
        items: Mapping[str, int] | None = None,
    ) -> None:
        """Adds a task from its counts; one without items gets a note and no row.

        `items` gives the number of items of each metric, where they differ; `gold` is the name of
        what was scored against.
        """
        inside = task in self._hierarchy
        self._counts[task] = Counts(
            task=task,
            rows=rows,
            sentences=np.array(sentences, dtype=np.int64),
            documents=np.array(documents, dtype=np.str_),
            metric=metric.name,
            columns=metric.columns,
            scorer=metric.scorer,
            gold=gold,
            **self._origin,
        )
        scored = metric.items(rows.sum(axis=0))
        if not scored:
            what = "spans" if isinstance(metric, SpanF1) else "items"
            self.notes.append(
                f"{task}: the gold of {self._origin['data']} has no {what}, so it is not scored"
            )
            return
        found = metric.score_rows(rows)
        undefined = [name for name, score in found.items() if not math.isfinite(score)]
        if undefined:
            self.notes.append(
                f"{task}: {listing(undefined)} of {self._origin['data']} cannot be told, since all "
                "predictions or all gold values are equal; 0 is written"
            )
        self._rows += [
            ScoreRow(
                level=self._hierarchy.level(task) if inside else 0,
                depth=self._hierarchy[task].depth if inside else 0,
                task=task,
                metric=name,
                score=0.0 if name in undefined else float(score),
                items=scored if items is None else items[name],
                scorer=metric.scorer_of(name),
                **self._origin,
            )
            for name, score in found.items()
        ]

    def scores(self) -> Scores:
        """All that was added, lowest level first."""
        rows = sorted(self._rows, key=lambda row: row.level)
        return Scores(tuple(rows), tuple(self.notes), self._counts)


class _Gathered:
    """What is gathered of one task: counts, and labels that its head has never seen."""

    def __init__(self, task: str, heads: Mapping[str, HeadInfo]) -> None:
        self._task, self._heads = task, heads
        head = self._head = heads[task]
        self._seen = seen_labels(head)
        self.tally = Tally(metric_of(task, head))
        self.sentences: list[int] = []
        self.documents: list[str] = []
        self.name = GoldName()
        self._spans = isinstance(self.tally.metric, SpanF1)
        self._gold: list[Any] = []
        self._predicted: list[Any] = []
        self._unseen: Counter[str] = Counter()
        self._halves = 0
        self._untold = 0

    def add(
        self, place: int, sentence: Sentence, *, gold: Layer, predicted: Mapping[str, Layer]
    ) -> None:
        """Takes the sentence at a place of the data, and its layers of all tasks."""
        right, guess = scored_pair(
            sentence,
            self._task,
            heads=self._heads,
            gold=gold,
            predicted=predicted,
            spans=self._spans,
        )
        self._unseen.update(unseen_labels(gold, self._seen, head=self._head, words=sentence.words))
        if isinstance(gold, Tree) and not has_all(gold):
            arcs = zip(gold.heads, gold.relations, strict=True)
            some = sum(parent is not None or relation is not None for parent, relation in arcs)
            self._halves += some - len(known_words(gold))
        if self._head.informed and self._head.reads and sentence.words:
            self._untold += gold_between(sentence, self._task, heads=self._heads) is None
        self.name.add(sentence.words, gold)
        self._gold.append(right)
        self._predicted.append(guess)
        self.sentences.append(place)
        self.documents.append(sentence.doc_id or "")
        if len(self._gold) == _BLOCK:
            self.flush()

    def flush(self) -> None:
        """Counts the sentences that wait to be counted."""
        if self._gold:
            self.tally.add(self._gold, self._predicted)
            self._gold, self._predicted = [], []

    def notes(self, *, official: bool = False) -> list[str]:
        """What a reader of the task's rows must know; `official` scores compare feats loosely."""
        unseen = self._unseen
        if official and self._task == "feats":
            known = {universal_features(label) for label in self._seen}
            unseen = Counter(
                {name: n for name, n in unseen.items() if universal_features(name) not in known}
            )
        found = unseen_note(self._task, unseen, head=self._head, spans=self._spans)
        if self._halves:
            has = "words have" if self._halves > 1 else "word has"
            found.append(
                f"{self._task}: {self._halves} {has} a gold head without a relation or a relation "
                "without a head, not scored"
            )
        if self._untold:
            have = "sentences have" if self._untold > 1 else "sentence has"
            found.append(
                f"{self._task}: {self._untold} {have} no gold of {self._head.reads[0]!r}, so "
                "f1_given is there of predicted ones"
            )
        return found


class _GatheredDocuments(_Gathered):
    """The same of mentions, which are scored document by document.

    Neighbouring sentences with the same document id are one, and so are those without one.
    """

    def __init__(self, task: str, heads: Mapping[str, HeadInfo]) -> None:
        super().__init__(task, heads)
        self._last: str | None = None
        self._unnamed = 0
        self._open: list[tuple[Mentions, Mentions]] = []

    def add(
        self, place: int, sentence: Sentence, *, gold: Layer, predicted: Mapping[str, Layer]
    ) -> None:
        """Takes the sentence at a place of the data, and its layers of all tasks."""
        own = checked_prediction(sentence, self._task, gold=gold, predicted=predicted)
        assert isinstance(gold, Mentions)
        assert isinstance(own, Mentions)
        self.name.add(sentence.words, gold)
        if not self._open or sentence.doc_id != self._last:
            self._close()
            self._last = sentence.doc_id
            self.sentences.append(place)
            self.documents.append(sentence.doc_id or "")
        self._unnamed += sentence.doc_id is None
        self._open.append((gold, own))

    def flush(self) -> None:
        """Counts the documents that wait to be counted."""
        self._close()
        super().flush()

    def notes(self, *, official: bool = False) -> list[str]:
        """What a reader of the task's rows must know."""
        found = super().notes(official=official)
        if self._unnamed:
            found.append(
                f"{self._task}: {self._unnamed} sentences name no document; those that follow each "
                "other are scored as one"
            )
        return found

    def _close(self) -> None:
        """Takes the last document as whole."""
        if not self._open:
            return
        gold, predicted = zip(*self._open, strict=True)
        self._gold.append(clusters_in(gold))
        self._predicted.append(clusters_in(predicted))
        self._open = []


def _gathered(task: str, heads: Mapping[str, HeadInfo]) -> _Gathered:
    kind = _GatheredDocuments if heads[task].layer == "mentions" else _Gathered
    return kind(task, heads)


def unseen_note(task: str, unseen: Counter[str], *, head: HeadInfo, spans: bool) -> list[str]:
    """A note on gold labels that the head has never seen, if there are any."""
    count = unseen.total()
    if not count:
        return []
    unit = "word" if spans else "item"
    within = " in las and clas" if head.layer == "tree" else ""
    carrying = f"{count} {unit}s carry labels" if count > 1 else f"1 {unit} carries a label"
    ordered = sorted(unseen.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(repr(label) for label, _ in ordered[:_SHOWN])
    more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    if head.layer == "edits":
        many = f"{count} items have labels" if count > 1 else "1 item has a label"
        return [f"{task}: {many} that no script of the head makes of the word: {shown}{more}"]
    return [
        f"{task}: {carrying} never seen in training: {shown}{more}, scored as "
        f"{'errors' if count > 1 else 'an error'}{within}"
    ]
