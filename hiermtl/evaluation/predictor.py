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
        layer: `tags`, `edits`, `tree`, `spans`, `relations`, `frames` or `mentions`; `label` or
            `number` of a passage.
        unit: What it judges: `word`, `text`, `pair` or `document`.
        labels: The inventory: all labels seen in training.
        bio: Whether the head decodes IOB2.
        column: The layer of the data that holds the gold; `None` if it is called as the task is.
        informed: Whether it is also scored with gold in place of what it reads of other tasks, or
            of the predicates it finds.
        reads: The tasks whose predictions it reads.
    """

    kind: str
    layer: str
    labels: tuple[str, ...]
    bio: bool = False
    column: str | None = None
    unit: str = "word"
    informed: bool = False
    reads: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, head: "Head", column: str | None = None, *, reads: Sequence[str] = ()
    ) -> "HeadInfo":
        """What is to be known of this head, which reads these tasks."""
        return cls(
            head.kind,
            head.layer,
            tuple(head.labels),
            bio=head.bio,
            column=column,
            unit=head.unit,
            informed=head.informed,
            reads=tuple(reads),
        )

    @property
    def of_sentences(self) -> bool:
        """Whether what it says lies in sentences, not beside them."""
        return self.unit in ("word", "document")


INFORMED = ".informed"
"""What a task's name ends on where its prediction was told gold."""


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

    def predict_sentences(
        self, sentences: Iterable[Sentence], tasks: Sequence[str]
    ) -> Iterator[Mapping[str, Layer]]:
        """The same of sentences in the order of their documents, for tasks that need gold or these.

        What informed heads say where they are told gold stands under the task's name and
        `INFORMED`.
        """
        ...

    def predict_with_scores(
        self, sentences: Iterable[Sentence], tasks: Sequence[str]
    ) -> Iterator[tuple[Mapping[str, Layer], Mapping[str, Sequence[float]]]]:
        """The same with how probable each word's label, or head, is, for tasks that can tell."""
        ...


class PassagePredictor(Described, Protocol):
    """A model that judges passages."""

    def predict_labels(
        self, passages: Iterable[Passage], tasks: Sequence[str]
    ) -> Iterator[Mapping[str, str | float]]:
        """What is said of each passage by task, in the order of the passages."""
        ...

    def predict_labels_with_scores(
        self, passages: Iterable[Passage], tasks: Sequence[str]
    ) -> Iterator[tuple[Mapping[str, str | float], Mapping[str, float]]]:
        """The same with how probable each label is, for tasks that can tell."""
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
