"""Structures as the metrics take them, of a sentence or of a whole document by its characters."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from hiermtl.text.sentence import (
    Frames,
    Layer,
    Mentions,
    Relation,
    Relations,
    Span,
    Spans,
    Structure,
)


def spans_in(layer: Layer | None) -> list[tuple[int, int, str]]:
    """Start, end and label of each span; none of another layer."""
    spans = layer.spans if isinstance(layer, Spans) else ()
    return [(span.start, span.end, span.label) for span in spans]


def relations_in(layer: Relations) -> list[tuple[int, int, int, int, str]]:
    """Start and end of both spans, and label, of each relation."""
    return [(*one.head, *one.tail, one.label) for one in layer.relations]


def frames_in(layer: Frames) -> list[tuple[int, str | None, list[tuple[int, int, str]]]]:
    """Predicate, sense and arguments of each frame."""
    return [
        (frame.predicate, frame.sense, [(a.start, a.end, a.label) for a in frame.arguments])
        for frame in layer.frames
    ]


def clusters_in(sentences: Sequence[Mentions]) -> list[list[tuple[int, int, int]]]:
    """The mentions of each entity of a document: sentence, first word, word behind the last."""
    found: dict[str, list[tuple[int, int, int]]] = {}
    for place, layer in enumerate(sentences):
        for span in layer.mentions:
            found.setdefault(span.label, []).append((place, span.start, span.end))
    return list(found.values())


def at_characters(
    layers: Sequence[Structure], counts: Sequence[int], starts: Sequence[int], ends: Sequence[int]
) -> Structure:
    """The structures of a document's sentences as one, places of words made those of characters.

    Args:
        layers: One for each sentence, all of one kind; at least one.
        counts: Words of each sentence.
        starts: For each word of the document where it begins, as a number that tells it from
            others.
        ends: Likewise where it ends.
    """
    begin = 0
    moved: list[Any] = []
    for layer, count in zip(layers, counts, strict=True):
        moved += _moved(layer, starts[begin : begin + count], ends[begin : begin + count])
        begin += count
    return type(layers[0])(tuple(moved))


def _moved(layer: Structure, starts: Sequence[int], ends: Sequence[int]) -> Iterator[Any]:
    def span(old: Span) -> Span:
        return Span(starts[old.start], ends[old.end - 1], old.label)

    match layer:
        case Spans(spans) | Mentions(spans):
            yield from map(span, spans)
        case Relations(relations):
            for one in relations:
                head, tail = ((starts[a], ends[b - 1]) for a, b in (one.head, one.tail))
                yield Relation(head, tail, one.label)
        case Frames(frames):
            for frame in frames:
                yield replace(
                    frame,
                    predicate=starts[frame.predicate],
                    arguments=tuple(map(span, frame.arguments)),
                )
