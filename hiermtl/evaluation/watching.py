"""What is noted of each sentence while it is scored, and what is told of it at the end."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiermtl.evaluation.calibration import calibrated, confused
from hiermtl.evaluation.counts import Counts
from hiermtl.evaluation.details import (
    Details,
    genre_of,
    length_of,
)
from hiermtl.evaluation.intervals import Part, Sampler
from hiermtl.evaluation.items import Item, is_right, items_of, masked, only_spans, universal_tags
from hiermtl.evaluation.measures import counted_by, gold_layer, known_words, metric_of, scored_pair
from hiermtl.evaluation.predictor import Described
from hiermtl.evaluation.scores import DetailedRow, ScoreRow, Scores
from hiermtl.metrics.base import Metric
from hiermtl.metrics.labelled_spans import LabelledSpanF1
from hiermtl.metrics.spans import SpanF1
from hiermtl.text.sentence import (
    STRUCTURES,
    Frames,
    Layer,
    Passage,
    Relations,
    Sentence,
    Spans,
)

SEEN, UNSEEN = "words seen", "words unseen"


@dataclass(slots=True)
class _Noted:
    """What is noted of one task: of each of its sentences, in their order."""

    places: list[int] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)
    items: list[list[Item]] = field(default_factory=list)
    pairs: dict[str, list[tuple[Any, Any]]] = field(default_factory=dict)
    """Slice -> gold and prediction of each sentence, of its words alone."""
    sure: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)


class Watch:
    """Notes what details need, sentence by sentence."""

    def __init__(self, details: Details, model: Described, *, raw: bool = False) -> None:
        """Takes what is asked for, and the model.

        With `raw` structures are scored by document, and words are not noted.
        """
        by_document = STRUCTURES if raw else ("mentions",)
        self._whole = {task for task, head in model.heads.items() if head.layer in by_document}
        self._details, self._heads = details, model.heads
        self._lengths: list[int] = []
        self._noted: dict[str, _Noted] = {}
        self._spans = {
            task: head.of_sentences and isinstance(metric_of(task, head), SpanF1)
            for task, head in model.heads.items()
            if head.layer in ("tags", "tree", "edits")
        }
        self._labels = details.confusion or "label" in details.by
        self._by_word = "seen" in details.by

    def watched(
        self, found: Iterable[tuple[Sentence, Mapping[str, Layer], Mapping[str, Sequence[float]]]]
    ) -> Iterator[tuple[Sentence, Mapping[str, Layer]]]:
        """Sentences with their layers, as they come; their probabilities are noted and dropped."""
        for sentence, layers, scores in found:
            self.add(sentence, layers, scores)
            yield sentence, layers

    def add(
        self,
        sentence: Sentence,
        layers: Mapping[str, Layer],
        scores: Mapping[str, Sequence[float]],
    ) -> None:
        """Takes the next sentence, its predicted layers, and how sure each of their words is."""
        place = len(self._lengths)
        self._lengths.append(len(sentence.words))
        if not (self._labels or self._by_word or self._details.calibration):
            return
        for task, own in layers.items():
            if task not in self._heads:
                continue
            gold = gold_layer(sentence, task, head=self._heads[task])
            if gold is None:
                continue
            noted = self._of(task)
            noted.places.append(place)
            noted.documents.append(sentence.doc_id or "")
            spans = self._spans.get(task, False)
            if self._labels:
                # The labels of edits are words: ever so many.
                edits = self._heads[task].layer == "edits"
                noted.items.append([] if edits else items_of(gold, own, spans=spans))
            if self._by_word and self._details.known.get(task):
                self._note_words(task, noted, sentence, gold=gold, layers=layers)
            if self._details.calibration and task in scores:
                for word in known_words(gold):
                    noted.sure.append(scores[task][word])
                    noted.right.append(is_right(gold, own, word))

    def add_passages(
        self,
        passages: Sequence[Passage],
        found: Sequence[tuple[Mapping[str, str | float], Mapping[str, float]]],
        tasks: Iterable[str],
    ) -> None:
        """Takes all passages, what is said of them, and how sure that is."""
        tasks = list(tasks)
        for place, (passage, (labels, scores)) in enumerate(zip(passages, found, strict=True)):
            self._lengths.append(sum(len(sentence.words) for sentence in passage.sentences))
            for task in tasks:
                gold = passage.labels.get(self._heads[task].column or task)
                if gold is None or self._heads[task].layer != "label":
                    continue
                noted = self._of(task)
                noted.places.append(place)
                noted.documents.append(passage.passage_id or "")
                said = str(labels[task])
                noted.items.append([Item((), str(gold), said, str(gold) == said)])
                if task in scores:
                    noted.sure.append(scores[task])
                    noted.right.append(gold == labels[task])

    def finish(self, scores: Scores) -> Scores:
        """The scores, with the details of all that was added."""
        details, sampler = self._details, Sampler()
        rows: tuple[ScoreRow, ...] = scores.rows
        if details.intervals:
            rows = tuple(_with_intervals(scores, sampler))
        slices: list[DetailedRow] = []
        notes: list[str] = []
        for kind in details.by:
            parts = list(self._parts(kind, scores, notes))
            found = [
                row for part in parts for row in sampler.rows_of(part, intervals=details.intervals)
            ]
            slices += sorted(found, key=lambda row: row.level)
        origin = {row.task: row for row in reversed(scores.rows)}
        told = [(task, noted) for task, noted in self._noted.items() if task in origin]
        if details.calibration:
            bare = [task for task in scores.tasks if not self._of(task).sure]
            if bare:
                notes.append(f"{', '.join(bare)}: no probabilities, so not calibrated")
        return replace(
            scores,
            rows=rows,
            notes=(*scores.notes, *notes),
            slices=tuple(slices),
            calibration=tuple(
                calibrated(origin[task], noted.sure, noted.right)
                for task, noted in told
                if details.calibration and noted.sure
            ),
            confusion=tuple(
                confused(origin[task], noted.items)
                for task, noted in told
                if details.confusion and any(noted.items)
            ),
        )

    def _of(self, task: str) -> _Noted:
        return self._noted.setdefault(task, _Noted())

    def _parts(self, kind: str, scores: Scores, notes: list[str]) -> Iterator[Part]:
        if kind in ("length", "genre"):
            yield from self._parts_of_counts(kind, scores, notes)
            return
        without = []
        for task in scores.tasks:
            noted, row = self._noted.get(task), scores.main(task)
            own = [] if noted is None else [r for r in scores.rows if r.task == task]
            parts = [] if noted is None else [*self._noted_parts(kind, task, noted, own)]
            yield from parts
            if not parts:
                without.append(row.task)
        if without:
            reason = (
                "no label of its own per item"
                if kind == "label"
                else "scored otherwise than by words, or of unknown training data"
            )
            notes.append(f"{', '.join(without)}: {reason}, so not by {kind}")

    def _parts_of_counts(self, kind: str, scores: Scores, notes: list[str]) -> Iterator[Part]:
        """Slices of whole sentences: their counts are there already."""
        without = []
        for counts in scores.counts.values():
            like = [row for row in scores.rows if row.task == counts.task]
            names = self._names(kind, counts)
            found = sorted({name for name in names if name is not None}, key=_order)
            # Where all documents begin alike, that is no genre.
            if not like or len(found) < (2 if kind == "genre" else 1):
                without += [counts.task] if like else []
                continue
            for name in found:
                mask = np.array([own == name for own in names])
                part = np.where(mask[:, None], counts.rows, 0)
                yield Part(counted_by(counts), part, counts.documents, like, name)
        if without:
            reason = (
                "scored by document"
                if kind == "length"
                else "the data has no document ids that begin with different genres"
            )
            notes.append(f"{', '.join(without)}: {reason}, so not by {kind}")

    def _names(self, kind: str, counts: Counts) -> list[str | None]:
        """The slice of each row."""
        if kind == "genre":
            return [genre_of(document) for document in counts.documents.tolist()]
        if counts.task in self._whole:
            return []
        return [length_of(self._lengths[place]) for place in counts.sentences.tolist()]

    def _noted_parts(
        self, kind: str, task: str, noted: _Noted, own: Sequence[ScoreRow]
    ) -> Iterator[Part]:
        """Slices of words, arcs or spans."""
        documents = np.array(noted.documents, dtype=np.str_)
        if kind == "label":
            yield from _by_label(noted, documents, own[0])
            return
        for name in (SEEN, UNSEEN):
            pairs = noted.pairs.get(name)
            if pairs is None:
                continue
            metric: Metric = metric_of(task, self._heads[task])
            right, guess = ([pair[side] for pair in pairs] for side in (0, 1))
            if task == "feats" and own[0].scorer == "conll18":
                right, guess = (universal_tags(tags) for tags in (right, guess))
            rows = metric.count(right, guess)
            names = metric.score(rows.sum(axis=0))
            yield Part(metric, rows, documents, [r for r in own if r.metric in names], name)

    def _note_words(
        self,
        task: str,
        noted: _Noted,
        sentence: Sentence,
        *,
        gold: Layer,
        layers: Mapping[str, Layer],
    ) -> None:
        """Notes gold and prediction of the words that training had, and of the others."""
        if isinstance(gold, Relations | Frames) or self._heads[task].layer == "mentions":
            return
        known = self._details.known[task]
        seen = [word in known for word in sentence.words]
        spans = self._spans.get(task, False)
        for name, flags in ((SEEN, seen), (UNSEEN, [not flag for flag in seen])):
            own = gold if spans or isinstance(gold, Spans) else masked(gold, flags)
            pair = scored_pair(
                sentence,
                task,
                heads=self._heads,
                gold=own,
                predicted=layers,
                spans=spans,
            )
            if spans:
                pair = tuple(only_spans(tags, seen, all_seen=name == SEEN) for tags in pair)
            elif isinstance(gold, Spans):
                pair = tuple(
                    [s for s in side if all(seen[s[0] : s[1]]) == (name == SEEN)] for side in pair
                )
            noted.pairs.setdefault(name, []).append((pair[0], pair[1]))


def _with_intervals(scores: Scores, sampler: Sampler) -> Iterator[ScoreRow]:
    """The rows, each with the interval of its task's counts."""
    edges: dict[tuple[str, str, str], DetailedRow] = {}
    for counts in scores.counts.values():
        like = [row for row in scores.rows if (row.task, row.data) == (counts.task, counts.data)]
        part = Part(counted_by(counts), counts.rows, counts.documents, like)
        for row in sampler.rows_of(part, intervals=True):
            edges[row.task, row.data, row.metric] = row
    for row in scores.rows:
        yield edges.get((row.task, row.data, row.metric), row)


def _by_label(noted: _Noted, documents: NDArray[np.str_], main: ScoreRow) -> Iterator[Part]:
    """For each gold or predicted label the items that have it, as of spans."""
    metric = LabelledSpanF1()
    at: dict[str, NDArray[np.float64]] = {}
    for place, items in enumerate(noted.items):
        for item in items:
            for label, column in ((item.gold, 0), (item.predicted, 1)):
                if label is not None:
                    if label not in at:
                        at[label] = np.zeros((len(noted.items), 3))
                    at[label][place, column] += 1
            if item.right and item.gold is not None:
                at[item.gold][place, 2] += 1
    like = [replace(main, metric=name) for name in metric.score(np.zeros(3))]
    for label, rows in sorted(at.items(), key=lambda item: (-item[1][:, 0].sum(), item[0])):
        yield Part(metric, rows, documents, like, f"label {label}")


def _order(name: str) -> tuple[int, str]:
    """Lengths by number, other slices by name."""
    kind, _, rest = name.partition(" ")
    return (int(rest.partition("-")[0]), "") if kind == "length" else (0, rest)
