"""What annotation is given and gives: sentences, or sentences judged as one; a prediction each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from hiermtl.text.sentence import Layer, Structure

WORDS_PER_WINDOW = 65_536


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says about one sentence.

    `scores` has for each task the probability (0 to 1) of each word's label or arc, or of the one
    label of the text or pair whose first sentence this is; it is empty unless asked for, and lacks
    tasks whose head has no probabilities. `labels` are what is said of that text or pair: a label
    or a number. `informed` are layers of tasks that were told, of a `Known` sentence, what they
    otherwise read of others or find themselves. Where sentences may leave early, `depths` are those
    at which tasks with exits were read, and `sure` says for tasks that were left early how sure the
    exit was, 0 to 1; of a text or pair its first sentence says it.
    """

    layers: Mapping[str, Layer]
    scores: Mapping[str, tuple[float, ...]]
    labels: Mapping[str, str | float] = field(default_factory=dict)
    informed: Mapping[str, Layer] = field(default_factory=dict)
    depths: Mapping[str, int] = field(default_factory=dict)
    sure: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Together:
    """Sentences that are judged as one: a text's one, a pair's two, or those of a document.

    None of a text or pair is empty. With `words` they are asked the tasks of words as well. `known`
    has for each sentence gold that informed heads are told: task to its structure.
    """

    sentences: tuple[Sequence[str], ...]
    words: bool = True
    document: bool = False
    known: tuple[Mapping[str, Structure], ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """The words of a sentence with gold that informed heads are told: task to its structure."""

    words: Sequence[str]
    layers: Mapping[str, Structure]


Entry: TypeAlias = Sequence[str] | Together | Known
"""The words of a sentence, or sentences that are judged as one."""


def known_of(entry: Entry) -> Sequence[Mapping[str, Structure]]:
    """What is known of each sentence of an entry, if anything is."""
    match entry:
        case Together():
            return entry.known
        case Known():
            return (entry.layers,)
        case _:
            return ()


def sentences_of(entry: Entry) -> Sequence[Sequence[str]]:
    """The sentences of an entry, each its words."""
    match entry:
        case Together():
            return entry.sentences
        case Known():
            return (entry.words,)
        case words:
            return (words,)


def windows_of(entries: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    """Lists of at most `size` entries, fewer where they are long."""
    window: list[Entry] = []
    words = 0
    for entry in entries:
        window.append(entry)
        words += sum(map(len, sentences_of(entry)))
        if len(window) >= size or words >= WORDS_PER_WINDOW:
            yield window
            window, words = [], 0
    if window:
        yield window
