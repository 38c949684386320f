"""What this room asks of a model: the tasks it has, and their layers for sentences or for text."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hiermtl.hierarchy import Hierarchy
from hiermtl.text.sentence import Layer, Passage, Sentence

if TYPE_CHECKING:
    from hiermtl.heads.base import Head


@dataclass(frozen=True, slots=True)
class HeadInfo:
    """What has to be known of a task's head to score it.

    Attributes:
        kind: The head's row in the table of heads, such as `tagging`, `crf` or `biaffine`.
        layer: `tags`, `edits` or `tree`; `label` or `number` of a passage.
        unit: What it judges: `word`, `text` or `pair`.
        labels: The inventory: all labels seen in training.
        bio: Whether the head decodes IOB2.
        column: The layer of the data that holds the gold; `None` if it is called as the task is.
    """

    kind: str
    layer: str
    labels: tuple[str, ...]
    bio: bool = False
    column: str | None = None
    unit: str = "word"

    @classmethod
    def of(cls, head: "Head", column: str | None = None) -> "HeadInfo":
        """What is to be known of this head."""
        labels = tuple(head.labels)
        return cls(head.kind, head.layer, labels, bio=head.bio, column=column, unit=head.unit)


class Described(Protocol):
    """What a score says of the model it is of."""

    @property
    def hierarchy(self) -> Hierarchy:
        """The tasks and their depths."""
        ...

    @property
    def heads(self) -> Mapping[str, HeadInfo]:
        """The head of each task of the hierarchy."""
        ...

    @property
    def precision(self) -> str:
        """The number format the model computes in, `fp32` or `bf16`."""
        ...


class Predictor(Described, Protocol):
    """A model that predicts layers for given words."""

    def predict_layers(
        self, sentences: Iterable[Sequence[str]], tasks: Sequence[str]
    ) -> Iterator[Mapping[str, Layer]]:
        """The layers of each sentence by task, in the order of the sentences."""
        ...


class PassagePredictor(Described, Protocol):
    """A model that judges passages."""

    def predict_labels(
        self, passages: Iterable[Passage], tasks: Sequence[str]
    ) -> Iterator[Mapping[str, str | float]]:
        """What is said of each passage by task, in the order of the passages."""
        ...


class RawPredictor(Described, Protocol):
    """A model with a tokenizer: it predicts layers for plain text."""

    def annotate_texts(
        self, texts: Iterable[str], tasks: Sequence[str]
    ) -> Iterator[Sequence[Sentence]]:
        """The sentences of each document, each with a layer for each of the tasks.

        Paragraphs of a text are separated by an empty line. The words must write its characters,
        white space aside. Texts may be read ahead.
        """
        ...
