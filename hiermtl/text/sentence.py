"""The record every reader makes: one sentence, its words, and whatever gold annotation it carries.

A *layer* is one kind of annotation under the name a recipe uses for it (`upos`, `ner`, `dep`): a
value per word, a tree over the words, or spans of words and what holds between them. A sentence
carries any subset; what is absent is unknown, not empty. What is said of whole texts and of pairs
of them belongs to a *passage*.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

from hiermtl.errors import DataError


@dataclass(frozen=True, slots=True)
class Tree:
    """A dependency tree over the words of a sentence.

    `heads[i]` is the head of word i, counted from 1, and 0 for the root; `relations[i]` is the
    label of that arc. Either holds `None` where the word's arc is not annotated.
    """

    heads: tuple[int | None, ...]
    relations: tuple[str | None, ...]


Tags: TypeAlias = tuple[str | None, ...]
"""One label per word; `None` where a word is not annotated."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Words `start` to `end`, half open, counted from 0 in the sentence, and what they are."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Spans:
    """Labelled spans, which may nest or overlap."""

    spans: tuple[Span, ...]


Words: TypeAlias = tuple[int, int]
"""The first word, and the one behind the last, counted from 0 in the sentence."""


@dataclass(frozen=True, slots=True, order=True)
class Relation:
    """A directed relation from the words `head` to the words `tail`."""

    head: Words
    tail: Words
    label: str


@dataclass(frozen=True, slots=True)
class Relations:
    """Directed, labelled pairs of spans.

    A pair may have several labels: it then occurs several times.
    """

    relations: tuple[Relation, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """A predicate, its sense if it is known, and its arguments with their roles."""

    predicate: int
    sense: str | None
    arguments: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Frames:
    """The predicates of a sentence, in the order of their words."""

    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Mentions:
    """Mentions of entities; those with one label, in one document, are of one entity."""

    mentions: tuple[Span, ...]


Structure: TypeAlias = Spans | Relations | Frames | Mentions
"""Annotation that is not one value per word: of spans and of pairs of them."""

Layer: TypeAlias = Tags | Tree | Structure

LayerKind: TypeAlias = Literal["tags", "tree", "spans", "relations", "frames", "mentions"]

STRUCTURES: tuple[LayerKind, ...] = ("spans", "relations", "frames", "mentions")
"""Kinds of layers that are structures."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a sentence was read: file and number of its first line, counted from 1."""

    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence.

    `space_after[i]` says whether white space follows
    word i in the text (`None`: unknown). `lines` are the sentence's verbatim lines in its file,
    kept by readers whose files are written back (CoNLL-U), without line ends. `multiwords` are the
    tokens of several words of a sentence without lines: words `start` to `end`, and as `label` how
    the text writes them; of the words inside only the last one's `space_after` may be true.
    """

    words: tuple[str, ...]
    layers: Mapping[str, Layer] = field(default_factory=lambda: MappingProxyType({}))
    sent_id: str | None = None
    doc_id: str | None = None
    text: str | None = None
    space_after: tuple[bool, ...] | None = None
    origin: Origin | None = None
    lines: tuple[str, ...] | None = None
    multiwords: tuple[Span, ...] = ()

    def __post_init__(self) -> None:
        """Raises DataError when a layer lacks words of the sentence, or leaves them."""
        for name, layer in self.layers.items():
            problem = misfit(layer, len(self.words))
            if problem:
                path, line = (self.origin.path, self.origin.line) if self.origin else (None, None)
                raise DataError(f"layer {name!r} has {problem}", path, line=line)

    def __reduce__(self) -> tuple[object, ...]:
        """Copies and pickles hold the layers in a plain dictionary; views of one have no such."""
        return _remade(self, layers=dict(self.layers))

    def with_layers(self, layers: Mapping[str, Layer]) -> "Sentence":
        """The same sentence with these layers added or replaced."""
        return replace(self, layers=MappingProxyType({**self.layers, **layers}))


@dataclass(frozen=True, slots=True)
class Passage:
    """Sentences that are annotated as one: a text, or a pair of texts that are compared.

    `labels` hold what is said of the whole, by name: labels as text, scores as numbers. Of a `pair`
    the sentences are two, in their order.
    """

    sentences: tuple[Sentence, ...]
    labels: Mapping[str, str | float] = field(default_factory=lambda: MappingProxyType({}))
    pair: bool = False
    passage_id: str | None = None
    origin: Origin | None = None

    def __post_init__(self) -> None:
        """Raises DataError when there is no sentence, or a pair has not two."""
        count = len(self.sentences)
        if count == 0 or (self.pair and count != 2):
            path, line = (self.origin.path, self.origin.line) if self.origin else (None, None)
            needed = "a pair has two" if self.pair else "a passage has one or more"
            raise DataError(f"a passage of {count} sentences; {needed}", path, line=line)

    def __reduce__(self) -> tuple[object, ...]:
        """As of a sentence."""
        return _remade(self, labels=dict(self.labels))


def _remade(record: Sentence | Passage, **plain: object) -> tuple[object, ...]:
    """What makes a record again, with these of its fields."""
    own = (plain.get(one.name, getattr(record, one.name)) for one in fields(record))
    return type(record), tuple(own)


def kind_of(layer: Layer) -> LayerKind:
    """What a layer is, in a word."""
    match layer:
        case Tree():
            return "tree"
        case Spans():
            return "spans"
        case Relations():
            return "relations"
        case Frames():
            return "frames"
        case Mentions():
            return "mentions"
        case _:
            return "tags"


def labels_of(layer: Layer) -> Iterator[str | None]:
    """Every label of a layer: of words, arcs, spans, pairs or arguments; mentions have none."""
    match layer:
        case Tree(relations=relations):
            yield from relations
        case Spans(spans):
            yield from (span.label for span in spans)
        case Relations(relations):
            yield from (relation.label for relation in relations)
        case Frames(frames):
            yield from (span.label for frame in frames for span in frame.arguments)
        case Mentions():
            return
        case tags:
            yield from tags


def _places(structure: Structure) -> Iterator[tuple[int, int, str]]:
    """Every span a structure names, and its label; a predicate as a span of one word."""
    match structure:
        case Spans(spans) | Mentions(spans):
            yield from ((span.start, span.end, span.label) for span in spans)
        case Relations(relations):
            for relation in relations:
                yield from ((*words, relation.label) for words in (relation.head, relation.tail))
        case Frames(frames):
            for frame in frames:
                yield frame.predicate, frame.predicate + 1, frame.sense or ""
                yield from ((span.start, span.end, span.label) for span in frame.arguments)


def misfit(layer: Layer, words: int) -> str | None:
    """What a layer has that a sentence of so many words cannot have; `None` where it fits."""
    if isinstance(layer, Structure):
        for start, end, label in _places(layer):
            if not 0 <= start < end <= words:
                return (
                    f"the span {start} to {end} ({label!r}) in a sentence of {words} words; spans "
                    "are half open and not empty"
                )
        return None
    columns = (layer.heads, layer.relations) if isinstance(layer, Tree) else (layer,)
    count = next((len(values) for values in columns if len(values) != words), words)
    return None if count == words else f"{count} values for {words} words; give one value per word"
