"""A hierarchy of four tasks, and a model that answers from a list."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from hiermtl.evaluation import HeadInfo
from hiermtl.hierarchy import Hierarchy, Task
from hiermtl.text.sentence import Layer, Sentence

HEADS = {
    "upos": HeadInfo("tagging", "tags", ("DET", "NOUN", "VERB")),
    "xpos": HeadInfo("tagging", "tags", ("DT", "NN", "VB")),
    "ner": HeadInfo("crf", "tags", ("O", "B-PER", "I-PER", "B-LOC", "I-LOC"), bio=True),
    "dep": HeadInfo("biaffine", "tree", ("det", "nsubj", "obj", "root", "punct")),
}


@dataclass
class Answers:
    """A model whose predictions are given; it remembers what it was asked."""

    layers: Sequence[Mapping[str, Layer]] = ()
    system: Sequence[Sequence[Sentence]] = ()
    heads: Mapping[str, HeadInfo] = field(default_factory=lambda: dict(HEADS))
    precision: str = "fp32"
    depths: Mapping[str, int] = field(
        default_factory=lambda: {"upos": 1, "xpos": 1, "ner": 2, "dep": 4}
    )
    window: int = 2
    asked: list[tuple[str, ...]] = field(default_factory=list)
    tasks: tuple[str, ...] = ()
    texts: list[str] = field(default_factory=list)

    @property
    def hierarchy(self) -> Hierarchy:
        return Hierarchy(Task(name, self.depths[name]) for name in self.heads)

    def predict_layers(
        self, sentences: Iterable[Sequence[str]], tasks: Sequence[str]
    ) -> Iterator[Mapping[str, Layer]]:
        self.tasks = tuple(tasks)
        answers = iter(self.layers)
        waiting = 0
        for words in sentences:
            self.asked.append(tuple(words))
            waiting += 1
            if waiting == self.window:
                for _ in range(waiting):
                    yield next(answers)
                waiting = 0
        yield from answers

    def annotate_texts(
        self, texts: Iterable[str], tasks: Sequence[str]
    ) -> Iterator[Sequence[Sentence]]:
        self.tasks = tuple(tasks)
        for text in texts:
            self.texts.append(text)
            yield self.system[len(self.texts) - 1]


@pytest.fixture(scope="session")
def answers() -> Callable[..., Answers]:
    return Answers
