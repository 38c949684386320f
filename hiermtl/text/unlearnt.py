"""What sentences are annotated with that is not learnt or found as it stands, counted."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from hiermtl.text.entities import TYPED
from hiermtl.text.sentence import Frames, Layer, Mentions, Relations, Sentence, Span, Spans

BRACKETED = (*TYPED, "coref")
"""The layers that `Entity=` in CoNLL-U holds."""

_UNREAD = (
    "Entity= of {} sentences is not read: mentions have several parts or stand on empty nodes, or "
    "`# global.Entity` names no group and type"
)
_ITSELF = "{} from words to themselves, not learnt, and missed in scores"
_NO_SPAN = "{} of words that are no span of {}, neither learnt nor found from gold spans"
_TWICE = "{} mentions have the words of another one: of a place one cluster is learnt or found"
_CROSSING = "{} spans cross another one: of two that cross only one can be found"
_NAMELESS = "{} spans have an empty label, which is learnt as one"
_SHARED = "{} arguments share words with another one of their predicate: one is learnt or found"


class Unlearnt:
    """Counts while sentences are read."""

    def __init__(self) -> None:
        """With nothing counted."""
        self._found: Counter[tuple[str, str, str]] = Counter()
        self._unread = 0

    def watched(self, sentences: Iterable[Sentence]) -> Iterator[Sentence]:
        """The same sentences; what is counted begins anew, and is complete behind the last."""
        self._found.clear()
        self._unread = 0
        for sentence in sentences:
            self._look(sentence)
            yield sentence

    def lines(self) -> tuple[str, ...]:
        """What was counted, layer by layer."""
        told = tuple(f"{layer}: {text}" for layer, text in self._told())
        return (_UNREAD.format(self._unread), *told) if self._unread else told

    def notes(self, layers: Mapping[str, str]) -> list[str]:
        """The same for the tasks among `layers`, task to layer, under their names."""
        return unread_notes(self.lines(), layers) + [
            f"{task}: {text}"
            for task, own in layers.items()
            for layer, text in self._told()
            if layer == own
        ]

    def _told(self) -> Iterator[tuple[str, str]]:
        for (layer, text, spans), count in self._found.items():
            yield layer, text.format(count, spans)

    def _look(self, sentence: Sentence) -> None:
        layers = sentence.layers
        if layers.keys().isdisjoint(BRACKETED):
            lines = sentence.lines or ()
            self._unread += any("Entity=" in line for line in lines if line[0] != "#")
        spans = {name: layer.spans for name, layer in layers.items() if isinstance(layer, Spans)}
        there = {(span.start, span.end) for own in spans.values() for span in own}
        known = " or ".join(sorted(spans))
        for name, layer in layers.items():
            for text, count in _counts(layer, there if spans else None):
                if count:
                    self._found[name, text, known if text == _NO_SPAN else ""] += count


def unread_notes(lines: Iterable[str], layers: Mapping[str, str]) -> list[str]:
    """Of the lines about some sentences those of mentions that are not read, under tasks' names.

    `layers` are the tasks' layers, of which one must lie in `Entity=`.
    """
    tasks = [task for task, layer in layers.items() if layer in BRACKETED]
    begin = _UNREAD.partition("{}")[0]
    return [f"{', '.join(tasks)}: {line}" for line in lines if tasks and line.startswith(begin)]


def _counts(layer: Layer, spans: set[tuple[int, int]] | None) -> Iterator[tuple[str, int]]:
    """What is counted of a layer, and how much; `spans` are those of the sentence, if known."""
    match layer:
        case Spans(own):
            yield _NAMELESS, sum(not span.label for span in own)
            yield _CROSSING, crossing(own)
        case Relations(relations):
            ends = [(one.head, one.tail) for one in relations]
            others = [pair for pair in ends if pair[0] != pair[1]]
            yield _ITSELF, len(ends) - len(others)
            if spans is not None:
                yield _NO_SPAN, sum(not spans.issuperset(pair) for pair in others)
        case Mentions(mentions):
            places = [(span.start, span.end) for span in mentions]
            yield _TWICE, len(places) - len(set(places))
            if spans is not None:
                yield _NO_SPAN, sum(place not in spans for place in set(places))
        case Frames(frames):
            yield _SHARED, sum(sharing(frame.arguments) for frame in frames)
        case _:
            pass


def sharing(spans: Sequence[Span]) -> int:
    """How many spans share words with another one."""
    if len(spans) < 2:
        return 0
    covered = Counter(at for span in spans for at in range(span.start, span.end))
    return sum(any(covered[at] > 1 for at in range(s.start, s.end)) for s in spans)


def crossing(spans: Sequence[Span]) -> int:
    """How many spans share words with another one of which neither has the other's all.

    Spans that nest, or have the same words, do not count.
    """
    if len(spans) < 2:
        return 0
    far: dict[int, int] = {}
    near: dict[int, int] = {}
    for span in spans:
        far[span.start] = max(far.get(span.start, 0), span.end)
        near[span.end] = min(near.get(span.end, span.start), span.start)
    return sum(
        any(far.get(at, 0) > span.end or near.get(at, at) < span.start for at in inner)
        for span in spans
        for inner in [range(span.start + 1, span.end)]
    )
