"""What a document is read in: spans, trees, sentences."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from hiermtl.text.documents import Multiword, multiwords_of
from hiermtl.text.sentence import Layer, Mentions, Sentence, Tags

if TYPE_CHECKING:
    from hiermtl.document.base import Document


@dataclass(frozen=True, slots=True)
class Span:
    """Words `start` to `end` of a document (half open, from 0), their label and their text."""

    start: int
    end: int
    label: str
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Arcs:
    """Dependency trees over the words of a document, one tree per sentence.

    `heads[i]` is the place in the document, from 0, of the head of word i, and -1 where word i is
    the root of its sentence; `relations[i]` is the label of that arc.
    """

    heads: tuple[int, ...]
    relations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Predicate:
    """A predicate: its word, its sense where there is one, and its arguments with their roles."""

    word: int
    sense: str | None
    arguments: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation from one span to another, with its label."""

    head: Span
    tail: Span
    label: str


@dataclass(frozen=True, eq=False, slots=True)
class SentenceView:
    """One sentence of a document: words `start` to `end` of it, half open."""

    document: "Document" = field(repr=False)
    place: int
    start: int
    end: int

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the sentence."""
        return self.document.source[self.place].words

    @property
    def text(self) -> str:
        """The text of the sentence, without the white space behind it."""
        return text_of([self.document.source[self.place]])

    @property
    def layers(self) -> Mapping[str, Layer]:
        """What the model said; trees count words from 1 within the sentence, 0 is the root."""
        return self.document.layers[self.place]

    def tags(self, task: str) -> Tags:
        """The labels of the sentence's words.

        Raises:
            ModelError: The level is absent, or no tags.
        """
        self.document.check_kind(task, "tags")
        return cast("Tags", self.layers[task])

    def spans(self, task: str = "ner") -> tuple[Span, ...]:
        """The spans that lie in the sentence, in words of the document.

        Raises:
            ModelError: The level is absent, or holds no spans.
        """
        return self.document.spans_in(self, task)

    def __len__(self) -> int:
        """The number of words."""
        return self.end - self.start


def text_of(sentences: Sequence[Sentence]) -> str:
    """The text of neighbouring sentences, without white space behind the last."""
    parts = []
    for sentence in sentences:
        text = sentence.text
        parts.append(slice_of(sentence, 0, len(sentence.words)) if text is None else text)
        spaces = sentence.space_after
        parts.append(" " if spaces is None or (spaces and spaces[-1]) else "")
    return "".join(parts[:-1])


def slice_of(
    sentence: Sentence, start: int, end: int, multiwords: Sequence[Multiword] | None = None
) -> str:
    """Words `start` to `end` as text, without white space behind the last.

    Tokens of several words are written as in the text where all of their words are among these.
    `multiwords` are the sentence's, if they are known.
    """
    spaces = sentence.space_after or (True,) * len(sentence.words)
    parts = [
        f"{word} " if space else word
        for word, space in zip(sentence.words[start:end], spaces[start:end], strict=True)
    ]
    for first, last, form in multiwords_of(sentence) if multiwords is None else multiwords:
        if start <= first and last <= end:
            space = " " if spaces[last - 1] else ""
            parts[first - start : last - start] = [form + space, *[""] * (last - first - 1)]
    return "".join(parts).rstrip(" ")


def numbered_on(
    layers: Iterable[Mapping[str, Layer]], known: dict[str, int]
) -> Iterator[dict[str, Layer]]:
    """Layers of a part of a document, whose clusters are none of those of the parts before.

    They are called by numbers. `known` has for each level how many there are so far, and is told
    of those here when the last layers are taken.
    """
    found: dict[str, dict[str, str]] = {}
    for own in layers:
        numbered = dict(own)
        for level, layer in own.items():
            if isinstance(layer, Mentions):
                names, before = found.setdefault(level, {}), known.get(level, 0)
                numbered[level] = Mentions(
                    tuple(
                        replace(m, label=names.setdefault(m.label, str(before + len(names))))
                        for m in layer.mentions
                    )
                )
        yield numbered
    for level, names in found.items():
        known[level] = known.get(level, 0) + len(names)
