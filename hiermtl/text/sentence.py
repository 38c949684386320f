"""The record every reader makes: one sentence, its words, and whatever gold annotation it carries.

A *layer* is one kind of annotation under the name a recipe uses for it (`upos`, `ner`, `dep`). A
sentence carries any subset of layers; a layer that is absent is unknown, not empty.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias

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

Layer: TypeAlias = Tags | Tree


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a sentence was read: file and number of its first line, counted from 1."""

    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence.

    `space_after[i]` says whether white space follows word i in the text (`None`: unknown). `lines`
    are the sentence's verbatim lines in its file, kept by readers whose files are written back
    (CoNLL-U), without line ends.
    """

    words: tuple[str, ...]
    layers: Mapping[str, Layer] = field(default_factory=lambda: MappingProxyType({}))
    sent_id: str | None = None
    doc_id: str | None = None
    text: str | None = None
    space_after: tuple[bool, ...] | None = None
    origin: Origin | None = None
    lines: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Raises DataError when a layer does not have one value per word."""
        for name, layer in self.layers.items():
            count = len(layer.heads) if isinstance(layer, Tree) else len(layer)
            if count != len(self.words):
                path, line = (self.origin.path, self.origin.line) if self.origin else (None, None)
                raise DataError(
                    f"layer {name!r} has {count} values for {len(self.words)} words; give one "
                    "value per word",
                    path,
                    line=line,
                )

    def with_layers(self, layers: Mapping[str, Layer]) -> "Sentence":
        """The same sentence with these layers added or replaced."""
        return replace(self, layers=MappingProxyType({**self.layers, **layers}))
