"""Structures as items, and back: what a sentence has as a list of places with a label each.

An item of `spans` is a first word and the word behind the last; of `relations` those two of its
head and of its tail; of `frames` a predicate and the two of an argument; of `mentions` the two and
the number of its entity in the document, in the order in which entities are met. All mentions have
one label. A frame begins with the item of its predicate, whose argument is the predicate itself and
whose label is the script that makes the sense of the word (`hiermtl.text.edits`), behind `SENSE`.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import TypeAlias

from hiermtl.text.edits import apply_edits, edit_script
from hiermtl.text.sentence import (
    Frame,
    Frames,
    Mentions,
    Relation,
    Relations,
    Span,
    Spans,
    Structure,
)

SENSE = "V:"
"""What stands before the script of a sense among the labels of frames."""

MENTION = "mention"
"""The label of all mentions."""

Item: TypeAlias = tuple[tuple[int, ...], str | None]


def to_items(layer: Structure, words: Sequence[str], *, entities: dict[str, int]) -> Iterator[Item]:
    """The items of a layer of a sentence.

    `entities` numbers those of the document so far, and is told of new ones.
    """
    match layer:
        case Spans(spans):
            yield from (((span.start, span.end), span.label) for span in spans)
        case Relations(relations):
            yield from (((*one.head, *one.tail), one.label) for one in relations)
        case Mentions(mentions):
            for span in mentions:
                number = entities.setdefault(span.label, len(entities))
                yield (span.start, span.end, number), MENTION
        case Frames(frames):
            for frame in frames:
                at = frame.predicate
                sense = None
                if frame.sense is not None:
                    sense = SENSE + edit_script(words[at], frame.sense)
                yield (at, at, at + 1), sense
                yield from (((at, span.start, span.end), span.label) for span in frame.arguments)


def from_items(
    kind: str,
    places: Sequence[Sequence[int]],
    labels: Sequence[str | None],
    words: Sequence[str],
    *,
    senses: Collection[str | None] = (),
) -> Structure:
    """The layer that `to_items` gives these items of; entities are called by their numbers.

    With `senses` a frame may begin with several items of its predicate, the best sense first: the
    first that is among `senses` is taken, or, if none is, the first.
    """
    match kind:
        case "spans":
            pairs = zip(places, labels, strict=True)
            return Spans(tuple(Span(start, end, label or "") for (start, end), label in pairs))
        case "relations":
            pairs = zip(places, labels, strict=True)
            return Relations(
                tuple(Relation((a, b), (c, d), label or "") for (a, b, c, d), label in pairs)
            )
        case "mentions":
            return Mentions(tuple(Span(start, end, str(n)) for start, end, n in places))
        case _:
            return _frames(places, labels, words, senses=senses)


def _frames(
    places: Sequence[Sequence[int]],
    labels: Sequence[str | None],
    words: Sequence[str],
    *,
    senses: Collection[str | None],
) -> Frames:
    found: list[tuple[int, str | None, list[Span]]] = []
    for (at, start, end), label in zip(places, labels, strict=True):
        if label is not None and not label.startswith(SENSE):
            found[-1][2].append(Span(start, end, label))
            continue
        another = bool(senses and found) and found[-1][0] == at
        if another and found[-1][1] in senses:
            continue
        sense = None if label is None else apply_edits(words[at], label.removeprefix(SENSE))
        if not another:
            found.append((at, sense, []))
        elif sense in senses:
            found[-1] = (at, sense, [])
    return Frames(tuple(Frame(at, sense, tuple(own)) for at, sense, own in found))
