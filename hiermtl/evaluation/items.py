"""The labelled items of a sentence, gold and predicted side by side, and parts of them."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from hiermtl.evaluation.measures import known_words
from hiermtl.evaluation.predictor import HeadInfo
from hiermtl.metrics.attachment import universal
from hiermtl.metrics.conll18 import universal_features
from hiermtl.text.sentence import Frames, Layer, Relations, Spans, Tree

Item: TypeAlias = tuple[str | None, str | None, bool]
"""A gold label, a predicted one, and whether it is right; `None` where a side has no such item."""


def items_of(head: HeadInfo, gold: Layer, own: Layer, *, spans: bool) -> list[Item]:
    """The labels of a sentence's items; none of edits, whose labels are words."""
    match gold, own:
        case Tree(), Tree():
            return [_arc(gold, own, at) for at in known_words(gold)]
        case tuple(), tuple():
            if head.layer == "edits":
                return []
            if spans:
                return _matched(_extents(gold, gold), _extents(own, gold))
            return [
                (label, guess, label == guess)
                for label, guess in zip(gold, own, strict=True)
                if label is not None
            ]
        case Spans(), Spans():
            return _matched(*([((s.start, s.end), s.label) for s in x.spans] for x in (gold, own)))
        case Relations(), Relations():
            return _matched(
                *([((r.head, r.tail), r.label) for r in x.relations] for x in (gold, own))
            )
        case Frames(), Frames():
            return _matched(
                *(
                    [
                        ((frame.predicate, a.start, a.end), a.label)
                        for frame in x.frames
                        for a in frame.arguments
                    ]
                    for x in (gold, own)
                )
            )
    return []


def _arc(gold: Tree, own: Tree, at: int) -> Item:
    relation, guess = universal(gold.relations[at] or ""), universal(own.relations[at] or "")
    return relation, guess, relation == guess and gold.heads[at] == own.heads[at]


def _matched(gold: Iterable[tuple[Any, str]], own: Iterable[tuple[Any, str]]) -> list[Item]:
    """Items of both sides by their places: those that agree, then those that differ in label."""
    right, guess = set(gold), set(own)
    found: list[Item] = [(label, label, True) for _, label in sorted(right & guess, key=str)]
    rest: dict[Any, tuple[list[str], list[str]]] = {}
    for side, items in enumerate((right - guess, guess - right)):
        for place, label in sorted(items, key=str):
            rest.setdefault(place, ([], []))[side].append(label)
    for labels, guesses in rest.values():
        for at in range(max(len(labels), len(guesses))):
            label = labels[at] if at < len(labels) else None
            found.append((label, guesses[at] if at < len(guesses) else None, False))
    return found


def _extents(tags: Sequence[str | None], gold: Sequence[str | None]) -> list[tuple[Any, str]]:
    """The spans of IOB2 tags, read as conlleval reads them; words without gold are outside."""
    found: list[tuple[Any, str]] = []
    start, kind = 0, None
    for at, tag in enumerate([*tags, "O"]):
        known = at < len(gold) and gold[at] is not None
        begins = tag[2:] if known and tag is not None and tag[:1] in ("B", "I") else None
        goes_on = begins is not None and kind == begins and tag is not None and tag[0] == "I"
        if kind is not None and not goes_on:
            found.append(((start, at), kind))
            kind = None
        if begins is not None and not goes_on:
            start, kind = at, begins
    return found


def only_spans(tags: Sequence[str], seen: Sequence[bool], *, all_seen: bool) -> list[str]:
    """The tags of the spans whose words were all seen, or of the others; the rest are outside."""
    kept = ["O"] * len(tags)
    for (start, end), _ in _extents(tags, tags):
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
