"""The labelled items of a sentence, gold and predicted side by side, and parts of them."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from hiermtl.evaluation.measures import known_words
from hiermtl.metrics.attachment import universal
from hiermtl.metrics.conll18 import universal_features
from hiermtl.text.sentence import Frames, Layer, Mentions, Relations, Spans, Tree

Places: TypeAlias = tuple[tuple[int, int], ...]
"""Stretches of words, half open: one, or of a relation or an argument two; of a text none."""

UNTYPED = "span"
"""The label of spans whose tags have no type: bare `B` and `I`."""

_Side: TypeAlias = Iterable[tuple[Places, str]]


@dataclass(frozen=True, slots=True)
class Item:
    """A thing with a label: the words it is of, and what gold and the model call it.

    `None` where a side has no such item. `right` is whether all of it is: of an arc its head too.
    """

    places: Places
    gold: str | None
    predicted: str | None
    right: bool


def items_of(gold: Layer, own: Layer, *, spans: bool) -> list[Item]:
    """The items of a sentence: words, arcs, spans, mentions, relations or arguments.

    With `spans` tags are read as those of spans. Words without gold are no items.
    """
    match gold, own:
        case Tree(), Tree():
            return [_arc(gold, own, at) for at in known_words(gold)]
        case tuple(), tuple():
            if spans:
                return _matched(_extents(gold, gold), _extents(own, gold))
            return [
                Item(((at, at + 1),), label, guess, label == guess)
                for at, (label, guess) in enumerate(zip(gold, own, strict=True))
                if label is not None
            ]
        case Spans() | Mentions(), Spans() | Mentions():
            return _matched(_spans(gold), _spans(own))
        case Relations(), Relations():
            return _matched(
                *([((r.head, r.tail), r.label) for r in side.relations] for side in (gold, own))
            )
        case Frames(), Frames():
            return _matched(_arguments(gold), _arguments(own))
    return []


def _arc(gold: Tree, own: Tree, at: int) -> Item:
    relation, guess = universal(gold.relations[at] or ""), universal(own.relations[at] or "")
    right = relation == guess and gold.heads[at] == own.heads[at]
    return Item(((at, at + 1),), relation, guess, right)


def _spans(layer: Spans | Mentions) -> _Side:
    if isinstance(layer, Mentions):
        return [(((span.start, span.end),), "mention") for span in layer.mentions]
    return [(((span.start, span.end),), span.label) for span in layer.spans]


def _arguments(layer: Frames) -> _Side:
    return [
        (((frame.predicate, frame.predicate + 1), (one.start, one.end)), one.label)
        for frame in layer.frames
        for one in frame.arguments
    ]


def _matched(gold: _Side, own: _Side) -> list[Item]:
    """What either side has, by place: labels that both have there, then others in their order.

    Repetitions count once.
    """
    found: list[Item] = []
    sides = [_by_place(side) for side in (gold, own)]
    for place in sorted({*sides[0], *sides[1]}):
        labels, guesses = (side.get(place, []) for side in sides)
        both = [label for label in labels if label in guesses]
        found += [Item(place, label, label, True) for label in both]
        rests = ([label for label in side if label not in both] for side in (labels, guesses))
        found += [Item(place, one, other, False) for one, other in itertools.zip_longest(*rests)]
    return found


def _by_place(side: _Side) -> dict[Places, list[str]]:
    found: dict[Places, list[str]] = {}
    for place, label in side:
        of_place = found.setdefault(place, [])
        if label not in of_place:
            of_place.append(label)
    return found


def _extents(tags: Sequence[str | None], gold: Sequence[str | None]) -> list[tuple[Places, str]]:
    """The spans of IOB2 tags, read as conlleval reads them; words without gold are outside."""
    found: list[tuple[Places, str]] = []
    start, kind = 0, None
    for at, tag in enumerate([*tags, "O"]):
        known = at < len(gold) and gold[at] is not None
        begins = tag[2:] if known and tag is not None and tag[:1] in ("B", "I") else None
        goes_on = begins is not None and kind == begins and tag is not None and tag[0] == "I"
        if kind is not None and not goes_on:
            found.append((((start, at),), kind or UNTYPED))
            kind = None
        if begins is not None and not goes_on:
            start, kind = at, begins
    return found


def only_spans(tags: Sequence[str], seen: Sequence[bool], *, all_seen: bool) -> list[str]:
    """The tags of the spans whose words were all seen, or of the others; the rest are outside."""
    kept = ["O"] * len(tags)
    for ((start, end),), _ in _extents(tags, tags):
        if all(seen[start:end]) == all_seen:
            kept[start:end] = tags[start:end]
    return kept


def masked(gold: Layer, flags: Sequence[bool]) -> Layer:
    """Gold of these words alone."""
    if isinstance(gold, Tree):
        kept = zip(gold.heads, gold.relations, flags, strict=True)
        heads, relations = zip(
            *((head, relation) if flag else (None, None) for head, relation, flag in kept),
            strict=True,
        )
        return Tree(heads, relations)
    assert isinstance(gold, tuple)
    return tuple(tag if flag else None for tag, flag in zip(gold, flags, strict=True))


def universal_tags(sentences: Sequence[Sequence[str | None]]) -> list[list[Any]]:
    """Features as the shared task compares them."""
    return [
        [None if tag is None else universal_features(tag) for tag in tags] for tags in sentences
    ]


def is_right(gold: Layer, own: Layer, at: int) -> bool:
    """Whether what a word's probability is of is right: its tag, or its head."""
    if isinstance(gold, Tree) and isinstance(own, Tree):
        return gold.heads[at] == own.heads[at]
    assert isinstance(gold, tuple)
    assert isinstance(own, tuple)
    return gold[at] == own[at]
