"""Evaluation from plain text: the system finds words and sentences itself."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hiermtl.errors import DataError, RunError
from hiermtl.evaluation.aligned import AlignedF1, ProjectedSpanF1
from hiermtl.evaluation.counts import GoldName
from hiermtl.evaluation.details import Details
from hiermtl.evaluation.measures import (
    check_iob2,
    gold_layer,
    metric_of,
    only_iob2,
    place_of,
    predicted_for,
    scored_items,
    seen_labels,
    unseen_labels,
)
from hiermtl.evaluation.official import TREE, is_official, is_whole, scores_of
from hiermtl.evaluation.predictor import HeadInfo, RawPredictor
from hiermtl.evaluation.score import RowMaker, check_gold, chosen_tasks, unseen_note
from hiermtl.evaluation.scores import Scores
from hiermtl.evaluation.structures import at_characters, clusters_in
from hiermtl.evaluation.watching import Watch
from hiermtl.metrics.base import Metric
from hiermtl.metrics.conll18 import count_conll18
from hiermtl.metrics.projection import word_places
from hiermtl.metrics.raw import Analysis
from hiermtl.metrics.spans import SpanF1
from hiermtl.text.documents import by_document, conllu_rows, raw_text
from hiermtl.text.segment import SEGMENT
from hiermtl.text.sentence import STRUCTURES, Layer, Mentions, Sentence, Structure, Tags

_MOST_WORDS = 1 << 16
"""More than the words of any token."""

_SEGMENTATION = {"words": "Words", "tokens": "Tokens", "sentences": "Sentences"}

Rows: TypeAlias = NDArray[np.float64]


def evaluate_raw(
    nlp: RawPredictor,
    sentences: Iterable[Sentence],
    *,
    tasks: Iterable[str] | None = None,
    data: str,
    split: str = "dev",
    seed: int | None = None,
    details: Details | None = None,
) -> Scores:
    """Scores a model on the plain text of gold documents.

    Words are aligned as in the CoNLL 2018 shared task, and all scores are F1: a word the system
    cut otherwise than gold is wrong on both sides. Spans are compared by their characters. A task
    is scored on the documents in which every word has gold for it; a note counts the others.

    Args:
        nlp: The model.
        sentences: Gold sentences, document by document; of them those are kept that the model is
            at work on.
        tasks: Tasks to score beside `segment`, maybe none; by default all tasks of the model that
            have gold.
        data: Name of the data, for the rows.
        split: Its split, for the rows.
        seed: Seed of the model's training, for the rows.
        details: What is told beside scores; of slices those by `length` and `genre`.

    Returns:
        First the rows `words`, `tokens` and `sentences` of the task `segment` (level 0 unless the
        model has a task of that name), then the rows of the tasks.

    Raises:
        ModelError: A task is none of the model's.
        DataError: The data has no gold for a task that was asked for; or the system's words write
            other characters than the text.
        RunError: The system's sentences lack a layer.
    """
    hierarchy, heads = nlp.hierarchy, nlp.heads
    asked = None if tasks is None else [task for task in tasks if task != SEGMENT]
    every = [task for task in chosen_tasks(hierarchy, asked) if task != SEGMENT]
    chosen = [task for task in every if heads[task].of_sentences]
    whole = [task for task in every if task not in chosen]
    gathered = {task: _Gathered(task, heads) for task in chosen}
    has_gold: set[str] = set()
    segment: list[Rows] = []
    name = GoldName()
    ids: list[str] = []
    documents = 0
    waiting: deque[list[Sentence]] = deque()
    watch = Watch(details or Details(), nlp, raw=True)
    wanted = predicted_for(chosen, heads)
    names = [task for task in hierarchy.names if task in wanted]
    for system in nlp.annotate_texts(_texts(sentences, waiting), names):
        gold = waiting.popleft()
        layers = {
            task: [gold_layer(sentence, task, head=heads[task]) for sentence in gold]
            for task in hierarchy.names
            if task != SEGMENT and heads[task].of_sentences
        }
        has_gold.update(task for task, found in layers.items() if any(found))
        _check_system(system, chosen)
        document = _Document(gold, system, layers=layers, heads=heads)
        segment.append(document.rows())
        name.add(*(sentence.words for sentence in gold))
        for of_task in gathered.values():
            of_task.add(document, number=documents, first=len(ids))
        ids += [sentence.doc_id or "" for sentence in gold]
        for sentence in gold:
            watch.add(sentence, {}, {})
        documents += 1
    if not documents:
        raise DataError(f"{data} has no sentences; name data that has some")
    if asked:
        check_gold(hierarchy, asked, has_gold=has_gold, data=data)
    table = RowMaker(hierarchy, data=data, split=split, dtype=nlp.precision, seed=seed)
    metric = AlignedF1(_SEGMENTATION)
    rows = metric.picked(np.concatenate(segment))
    table.add(
        SEGMENT,
        metric,
        rows=rows,
        sentences=range(len(ids)),
        documents=ids,
        gold=str(name),
        items=metric.items_of(rows.sum(axis=0)),
    )
    if whole:
        table.notes.append(f"{', '.join(whole)}: judges whole texts or pairs, so it is not scored")
    for task, of_task in gathered.items():
        if task not in has_gold:
            table.notes.append(f"{task}: {data} has no gold for it, so it is not scored")
        elif not of_task.documents:
            table.notes.append(
                f"{task}: no document of {data} is annotated throughout, so it is not scored"
            )
        else:
            metric = of_task.metric(gathered)
            rows = np.concatenate(of_task.rows)
            table.add(
                task,
                metric,
                rows=metric.picked(rows) if isinstance(metric, AlignedF1) else rows,
                sentences=of_task.sentences,
                documents=[ids[at] for at in of_task.sentences],
                gold=str(of_task.name),
            )
            table.notes.extend(of_task.notes(documents))
    return watch.finish(table.scores()) if details else table.scores()


def _texts(sentences: Iterable[Sentence], waiting: deque[list[Sentence]]) -> Iterator[str]:
    """The text of each document that has words; its sentences are put in line."""
    for document in by_document(sentences):
        gold = [sentence for sentence in document if sentence.words]
        if gold:
            waiting.append(gold)
            yield raw_text(gold)


@dataclass
class _Document:
    """A document in two analyses."""

    gold: Sequence[Sentence]
    system: Sequence[Sentence]
    layers: Mapping[str, Sequence[Layer | None]] = field(kw_only=True)
    heads: Mapping[str, HeadInfo] = field(kw_only=True)

    def __post_init__(self) -> None:
        self._official: Rows | None = None

    def rows(self) -> Rows:
        """The counts of the shared task, with all layers that CoNLL-U has a column for."""
        if self._official is None:
            own = [task for task in self.layers if is_official(task, self.heads[task])]
            self._official = self._compared(count_conll18, dict(zip(own, own, strict=True)))
        return self._official

    def rows_of(self, task: str) -> Rows:
        """The counts of the shared task, with a task in the column of language-specific tags."""
        tree = self.heads[task].layer == "tree"
        return self._compared(count_conll18, {"dep" if tree else "xpos": task})

    def span_rows(self, task: str) -> Rows:
        """The counts of spans."""
        head = self.heads[task]
        gold: list[Sequence[str]] = []
        for sentence, tags in zip(self.gold, self.layers[task], strict=True):
            assert isinstance(tags, tuple)
            check_iob2(sentence, task, head=head, gold=tags)
            gold.append(only_iob2(tags))
        system = [only_iob2(_tags(sentence.layers[task])) for sentence in self.system]
        return self._compared(
            lambda right, guess: ProjectedSpanF1().count([(right, gold)], [(guess, system)]), {}
        )

    def structures(self, task: str) -> tuple[Any, Any]:
        """Gold and prediction of a structure as its metric takes them, by characters."""
        system = {name: [one.layers.get(name) for one in self.system] for name in self.heads}
        for name in self.heads[task].reads:
            if None in self.layers[name]:
                # Where gold does not tell it there is nothing to compare.
                system[name] = [None] * len(self.system)
        return self._whole(task, self.gold, self.layers), self._whole(task, self.system, system)

    def _whole(
        self,
        task: str,
        sentences: Sequence[Sentence],
        layers: Mapping[str, Sequence[Layer | None]],
    ) -> Any:
        """One side's structure of all sentences, with what relations hold between."""
        counts = [len(sentence.words) for sentence in sentences]
        starts, ends = self._characters(sentences)

        def whole(name: str) -> Structure | None:
            found = [layer for layer in layers[name] if isinstance(layer, Structure)]
            return at_characters(found, counts, starts, ends) if len(found) == len(counts) else None

        own = whole(task)
        assert own is not None
        if isinstance(own, Mentions):
            return clusters_in([own])
        reads = self.heads[task].reads
        return scored_items(own, whole(reads[0]) if reads else None)

    def _characters(self, sentences: Sequence[Sentence]) -> tuple[list[int], list[int]]:
        """Where each word begins and ends, in characters without white space.

        The words of a token that do not write it lie at all of it and are told apart by number.
        """
        analysis = Analysis.from_rows(conllu_rows(sentence, {}) for sentence in sentences)
        places = word_places(analysis)
        return (
            [begin * _MOST_WORDS + number for begin, _, number in places],
            [end * _MOST_WORDS + number for _, end, number in places],
        )

    def _compared(self, count: Any, tasks: Mapping[str, str]) -> Rows:
        """Counts of the two analyses, with tasks in columns of CoNLL-U."""
        path, line = place_of(self.gold[0])
        try:
            gold = Analysis.from_rows(
                conllu_rows(sentence, {name: self.layers[task][at] for name, task in tasks.items()})
                for at, sentence in enumerate(self.gold)
            )
            system = Analysis.from_rows(
                conllu_rows(
                    sentence, {name: sentence.layers.get(task) for name, task in tasks.items()}
                )
                for sentence in self.system
            )
            return count(gold, system)
        except DataError as error:
            name = self.gold[0].doc_id
            raise DataError(
                f"in {f'document {name!r}' if name else 'the document that begins here'}: {error}",
                path,
                line=line,
            ) from None


class _Gathered:
    """What is gathered of one task over the documents."""

    def __init__(self, task: str, heads: Mapping[str, HeadInfo]) -> None:
        self._task = task
        # Nothing is told gold of a text whose words are not given.
        head = self._head = replace(heads[task], informed=False)
        self._structure = head.layer in STRUCTURES
        self._seen = seen_labels(head)
        self._spans = isinstance(metric_of(task, head), SpanF1)
        self._official = is_official(task, head)
        self.documents: set[int] = set()
        self.sentences: list[int] = []
        self.rows: list[Rows] = []
        self.name = GoldName()
        self._unseen: Counter[str] = Counter()
        self._partial = 0

    def add(self, document: _Document, *, number: int, first: int) -> None:
        """Takes a document and the place of its first sentence, if it is annotated throughout."""
        layers = document.layers[self._task]
        if all(layer is None for layer in layers):
            # Words that are known to have no lemma are no annotation by themselves.
            return
        if not all(map(self._is_whole, document.gold, layers)):
            self._partial += any(layer is not None for layer in layers)
            return
        for sentence, layer in zip(document.gold, layers, strict=True):
            self.name.add(sentence.words, layer)
            if layer is not None:
                self._unseen.update(
                    unseen_labels(layer, self._seen, head=self._head, words=sentence.words)
                )
        self.documents.add(number)
        if self._structure:
            right, guess = document.structures(self._task)
            self.sentences.append(first)
            self.rows.append(metric_of(self._task, self._head).count([right], [guess]))
            return
        self.sentences += range(first, first + len(document.gold))
        if self._spans:
            self.rows.append(document.span_rows(self._task))
        elif self._official:
            self.rows.append(document.rows())
        else:
            self.rows.append(document.rows_of(self._task))

    def _is_whole(self, sentence: Sentence, layer: Layer | None) -> bool:
        """Whether every word has gold."""
        if self._structure:
            return layer is not None
        return is_whole(sentence, self._task if self._official else "", layer=layer)

    def metric(self, others: Mapping[str, "_Gathered"]) -> Metric:
        """The metric of the task; scores of several layers need the others' documents, too."""
        if self._structure:
            return metric_of(self._task, self._head)
        if self._spans:
            return ProjectedSpanF1()
        if not self._official:
            return AlignedF1(TREE if self._head.layer == "tree" else {"f1": "XPOS"})
        also = [task for task, of in others.items() if self.documents <= of.documents]
        return AlignedF1(scores_of(self._task, also))

    def notes(self, documents: int) -> list[str]:
        """What a reader of the task's rows must know."""
        found = unseen_note(self._task, self._unseen, head=self._head, spans=self._spans)
        if self._partial:
            found.append(
                f"{self._task}: {self._partial} of {documents} documents "
                f"{'are' if self._partial > 1 else 'is'} annotated in part and left out"
            )
        return found


def _tags(layer: Layer) -> Tags:
    assert isinstance(layer, tuple)
    return layer


def _check_system(system: Sequence[Sentence], tasks: Sequence[str]) -> None:
    for sentence in system:
        for task in tasks:
            if task not in sentence.layers:
                raise RunError(
                    f"there is no prediction of {task!r} for the sentence "
                    f"{' '.join(sentence.words)!r}"
                )
