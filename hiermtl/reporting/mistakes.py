"""Where a model is wrong: what it takes for what, and the sentences with the most that is wrong.

Everything is seen as items with a gold and a predicted label: words, arcs, spans, relations,
arguments, texts, pairs.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hiermtl.evaluation.items import Item, items_of
from hiermtl.evaluation.measures import metric_of
from hiermtl.evaluation.predictor import HeadInfo
from hiermtl.metrics.spans import SpanF1
from hiermtl.text.sentence import Layer, Passage, Sentence, Tree

KEPT = 5
"""Sentences shown of a task."""

MOST_DOTS = 500
"""Pairs drawn of a task of numbers; of more, every second, third and so on."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A sentence (or a text, or a pair) with what is wrong in it, to be shown."""

    where: str
    texts: tuple[tuple[str, ...], ...]
    items: tuple[Item, ...]
    total: int
    said: str = ""


@dataclass(slots=True)
class Mistakes:
    """What is counted of one task on one corpus.

    `confusion` counts pairs of gold and predicted labels, right ones too, `None` for what one side
    does not have; of what is one of ever so many strings (`open`) only wrong ones. `numbers`
    are gold and predicted numbers.
    """

    task: str
    data: str
    open: bool = False
    confusion: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    numbers: list[tuple[float, float]] = field(default_factory=list)
    items: int = 0
    wrong: int = 0
    units: int = 0
    wrong_units: int = 0
    note: str = ""
    _worst: list[tuple[float, float, int, Bad]] = field(default_factory=list)
    _order: Any = field(default_factory=itertools.count)

    @property
    def worst(self) -> list[Bad]:
        """Those with the most that is wrong; of equals those where more of the whole is."""
        return [bad for *_, bad in sorted(self._worst, reverse=True, key=lambda one: one[:3])]

    def keep(self, bad: Bad, *, weight: float, share: float, most: int) -> None:
        """Takes a sentence among the worst if it belongs there; earlier ones win over equals."""
        entry = (weight, share, -next(self._order), bad)
        if len(self._worst) < most:
            heapq.heappush(self._worst, entry)
        else:
            heapq.heappushpop(self._worst, entry)

    def count(self, items: Sequence[Item]) -> list[Item]:
        """Counts the items of a sentence; returns those that are wrong."""
        wrong = [item for item in items if not item.right]
        self.items += len(items)
        self.wrong += len(wrong)
        self.units += 1
        self.wrong_units += bool(wrong)
        shown = wrong if self.open else items
        self.confusion.update((item.gold, item.predicted) for item in shown)
        return wrong


class Judge:
    """Gathers the mistakes of one task, sentence by sentence."""

    def __init__(self, task: str, head: HeadInfo, *, data: str, most: int = KEPT) -> None:
        self._task, self._head, self._most = task, head, most
        self._spans = isinstance(metric_of(task, head), SpanF1)
        self.found = Mistakes(task, data, open=head.layer == "edits")
        if head.layer == "mentions":
            self.found.note = "Mentions are compared by their extents; who is who is not shown."
        if head.layer == "tree":
            self.found.note = (
                "The table is of relations, without subtypes. A word is wrong if its head or its "
                "relation is."
            )

    def sentence(self, sentence: Sentence, gold: Layer, predicted: Layer) -> None:
        """Takes a sentence with its gold and its predicted layer."""
        items = items_of(gold, predicted, spans=self._spans)
        wrong = self.found.count(items)
        if isinstance(gold, Tree) and isinstance(predicted, Tree):
            wrong = [_told(item, gold, predicted, sentence.words) for item in wrong]
        if wrong:
            bad = Bad(sentence.sent_id or "", (sentence.words,), tuple(wrong), len(items))
            self.found.keep(bad, weight=len(wrong), share=len(wrong) / len(items), most=self._most)

    def passage(
        self, passage: Passage, gold: str | float, predicted: str | float, *, sure: float | None
    ) -> None:
        """Takes a text or a pair; `sure` is the probability of the label that was predicted."""
        texts = tuple(sentence.words for sentence in passage.sentences)
        where = passage.passage_id or ""
        if self._head.layer == "number":
            right, guess = float(gold), float(predicted)
            self.found.numbers.append((right, guess))
            self.found.items += 1
            self.found.units += 1
            item = Item((), f"{right:g}", f"{guess:.2f}", right == guess)
            off = abs(right - guess)
            bad = Bad(where, texts, (item,), 1, f"off by {off:.2f}")
            self.found.keep(bad, weight=off, share=1.0, most=self._most)
            return
        wrong = self.found.count([Item((), str(gold), str(predicted), gold == predicted)])
        if wrong:
            said = "" if sure is None else f"{100 * sure:.1f} % sure"
            bad = Bad(where, texts, tuple(wrong), 1, said)
            self.found.keep(bad, weight=1.0, share=sure or 0.0, most=self._most)


def _told(item: Item, gold: Tree, predicted: Tree, words: Sequence[str]) -> Item:
    """An arc with the words it comes from beside its relation."""
    ((at, _),) = item.places
    return replace(
        item,
        gold=_arc(item.gold, gold.heads[at], words),
        predicted=_arc(item.predicted, predicted.heads[at], words),
    )


def _arc(label: str | None, head: int | None, words: Sequence[str]) -> str:
    return f"{label} of {words[head - 1]} ({head})" if head else f"{label}, without a head"


def judges(heads: Mapping[str, HeadInfo], *, data: str, most: int = KEPT) -> dict[str, Judge]:
    """A judge for each task."""
    return {task: Judge(task, head, data=data, most=most) for task, head in heads.items()}
