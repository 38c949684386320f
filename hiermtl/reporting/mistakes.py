"""Where a model is wrong: what it takes for what, and the sentences with the most that is wrong.

Everything is seen as *items* with a gold and a predicted label: words, arcs, spans, relations,
arguments, texts, pairs. An item that one side does not have has `NOTHING` there. Words without gold
are no items.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from hiermtl.evaluation.measures import known_words, metric_of
from hiermtl.evaluation.predictor import HeadInfo
from hiermtl.metrics.attachment import universal
from hiermtl.metrics.spans import SpanF1
from hiermtl.text.bio import bio_spans, repair_bio
from hiermtl.text.sentence import (
    Frames,
    Layer,
    Mentions,
    Passage,
    Relations,
    Sentence,
    Spans,
    Tree,
)

NOTHING = ""
"""The label of an item on the side that does not have it; no label of a corpus is empty."""

KEPT = 5
"""Sentences shown of a task."""

MOST_DOTS = 500
"""Pairs drawn of a task of numbers; of more, every second, third and so on."""

Places: TypeAlias = tuple[tuple[int, int], ...]
"""Stretches of words, half open: one, or of a relation or an argument two."""


@dataclass(frozen=True, slots=True)
class Item:
    """A thing with a label: the words it is of, and what gold and the model call it."""

    places: Places
    gold: str
    predicted: str

    @property
    def wrong(self) -> bool:
        """Whether they differ."""
        return self.gold != self.predicted


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

    `confusion` counts pairs of gold and predicted labels, right ones too; of what is one of ever
    so many strings (`open`) only wrong ones. `numbers` are gold and predicted numbers.
    """

    task: str
    data: str
    open: bool = False
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
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
        wrong = [item for item in items if item.wrong]
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
        wrong, total = self._sentence(sentence.words, gold, predicted)
        if wrong:
            bad = Bad(sentence.sent_id or "", (sentence.words,), tuple(wrong), total)
            self.found.keep(bad, weight=len(wrong), share=len(wrong) / total, most=self._most)

    def _sentence(
        self, words: Sequence[str], gold: Layer, predicted: Layer
    ) -> tuple[list[Item], int]:
        """What is wrong, to be shown, and how many items there are."""
        match gold, predicted:
            case Tree(), Tree():
                return self._tree(words, gold, predicted)
            case tuple(), tuple():
                items = (
                    _extents(_cut(gold, gold), _cut(predicted, gold))
                    if self._spans
                    else [
                        Item(((at, at + 1),), right, guess or NOTHING)
                        for at, (right, guess) in enumerate(zip(gold, predicted, strict=True))
                        if right is not None
                    ]
                )
            case Spans() | Mentions(), Spans() | Mentions():
                items = _items(_spans(gold), _spans(predicted))
            case Relations(), Relations():
                items = _items(_relations(gold), _relations(predicted))
            case Frames(), Frames():
                items = _items(_arguments(gold), _arguments(predicted))
            case _:
                items = []
        return self.found.count(items), len(items)

    def _tree(self, words: Sequence[str], gold: Tree, predicted: Tree) -> tuple[list[Item], int]:
        relations, shown = [], []
        for at in known_words(gold):
            labels = [universal(side.relations[at] or "") for side in (gold, predicted)]
            heads = [side.heads[at] for side in (gold, predicted)]
            relations.append(Item(((at, at + 1),), *labels))
            if heads[0] != heads[1] or labels[0] != labels[1]:
                own = [_arc(*arc, words) for arc in zip(labels, heads, strict=True)]
                shown.append(Item(((at, at + 1),), *own))
        self.found.count(relations)
        self.found.wrong += len(shown) - sum(item.wrong for item in relations)
        self.found.wrong_units += bool(shown) and not any(item.wrong for item in relations)
        return shown, len(relations)

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
            item = Item((), f"{right:g}", f"{guess:.2f}")
            off = abs(right - guess)
            bad = Bad(where, texts, (item,), 1, f"off by {off:.2f}")
            self.found.keep(bad, weight=off, share=1.0, most=self._most)
            return
        wrong = self.found.count([Item((), str(gold), str(predicted))])
        if wrong:
            said = "" if sure is None else f"{100 * sure:.1f} % sure"
            bad = Bad(where, texts, tuple(wrong), 1, said)
            self.found.keep(bad, weight=1.0, share=sure or 0.0, most=self._most)


def _arc(label: str, head: int | None, words: Sequence[str]) -> str:
    return f"{label} of {words[head - 1]} ({head})" if head else f"{label}, without a head"


def _cut(tags: Sequence[str | None], gold: Sequence[str | None]) -> list[str | None]:
    """The tags where there is gold; elsewhere no span goes on."""
    return [None if known is None else tag for tag, known in zip(tags, gold, strict=True)]


def _extents(gold: Sequence[str | None], predicted: Sequence[str | None]) -> list[Item]:
    """Spans of IOB2 tags as items, read as `conlleval` reads ill-formed ones."""
    return _items(_tagged(gold), _tagged(predicted))


def _tagged(tags: Sequence[str | None]) -> list[tuple[Places, str]]:
    named = ["O" if tag is None else f"{tag}-span" if tag in ("B", "I") else tag for tag in tags]
    spans = bio_spans(repair_bio(named)[0]) or []
    return [(((start, end),), label) for start, end, label in spans]


def _spans(layer: Layer) -> list[tuple[Places, str]]:
    if isinstance(layer, Mentions):
        return [(((span.start, span.end),), "mention") for span in layer.mentions]
    spans = layer.spans if isinstance(layer, Spans) else ()
    return [(((span.start, span.end),), span.label) for span in spans]


def _relations(layer: Relations) -> list[tuple[Places, str]]:
    return [((one.head, one.tail), one.label) for one in layer.relations]


def _arguments(layer: Frames) -> list[tuple[Places, str]]:
    return [
        (
            ((frame.predicate, frame.predicate + 1), (argument.start, argument.end)),
            argument.label,
        )
        for frame in layer.frames
        for argument in frame.arguments
    ]


def _items(
    gold: Sequence[tuple[Places, str]], predicted: Sequence[tuple[Places, str]]
) -> list[Item]:
    """What either side has: labels both have at a place first, then others in their order.

    Repetitions count once.
    """
    found: list[Item] = []
    sides = [_by_place(side) for side in (gold, predicted)]
    for place in sorted({*sides[0], *sides[1]}):
        right, guess = (side.get(place, []) for side in sides)
        both = [label for label in right if label in guess]
        found += [Item(place, label, label) for label in both]
        rests = ([label for label in side if label not in both] for side in (right, guess))
        found += [
            Item(place, own or NOTHING, other or NOTHING)
            for own, other in itertools.zip_longest(*rests, fillvalue=NOTHING)
        ]
    return found


def _by_place(side: Sequence[tuple[Places, str]]) -> dict[Places, list[str]]:
    found: dict[Places, list[str]] = {}
    for place, label in side:
        of_place = found.setdefault(place, [])
        if label not in of_place:
            of_place.append(label)
    return found


def judges(heads: Mapping[str, HeadInfo], *, data: str, most: int = KEPT) -> dict[str, Judge]:
    """A judge for each task."""
    return {task: Judge(task, head, data=data, most=most) for task, head in heads.items()}
