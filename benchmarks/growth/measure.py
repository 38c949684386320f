"""Series: one size grows over two orders of magnitude and more, and nothing else does.

Encoders are narrow and drawn at random, so that what the package itself does is not hidden behind
products, and so are labels. Words are those of generated sentences.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.speed.subjects import Epoch, exhaust
from benchmarks.timing import Variant, interleave
from hiermtl import Annotator
from hiermtl.config import HierarchicalConfig
from hiermtl.encoders.bert import BertEncoder
from hiermtl.model import HierarchicalModel
from hiermtl.pretrained.encoders import MINILM, find_encoder
from hiermtl.pretrained.loading import load_tokenizer
from hiermtl.records import Example
from hiermtl.sample import sample_corpus
from hiermtl.tokens import Tokenizer
from hiermtl.training import MemoryExamples, Settings

WIDTH = 64
BLOCKS = 4
LABELS = 20
LENGTH = 16
SENTENCES = 300
LONG = 16
DEVICE = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Series:
    """What grows, through which sizes, and how fast its cost may grow with it.

    `order` is the exponent that the work itself has: 1 where each further one is a like piece of
    work, 2 where each is related to each.
    """

    name: str
    about: str
    sizes: tuple[int, ...]
    order: int
    make: Callable[["Bench", int], "Subject"]
    trained: bool = True


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, and the sentences it annotates or is trained on."""

    model: HierarchicalModel
    sentences: list[list[str]]


class Bench:
    """Words, a tokenizer for them, and models of any tasks and depth."""

    def __init__(self) -> None:
        """Reads the tokenizer of the extra `minilm`, and generates words."""
        folder = find_encoder(MINILM)
        documents = sample_corpus().documents("train")
        sentences = (sentence for document in documents for sentence in document.sentences)
        self.words = [word for sentence in sentences for word in sentence.words]
        self.config = {
            "family": "bert",
            "hidden_size": WIDTH,
            "intermediate_size": 4 * WIDTH,
            "num_attention_heads": 2,
        }
        self.tokenizer: Tokenizer = load_tokenizer(folder, self.encoder(1).config())

    def encoder(self, blocks: int) -> BertEncoder:
        """Of so many blocks."""
        return BertEncoder.from_config({**self.config, "num_hidden_layers": blocks})

    def model(
        self, heads: Mapping[str, tuple[str, int]], blocks: int = BLOCKS
    ) -> HierarchicalModel:
        """Task -> head and number of labels; all are read at the top."""
        torch.manual_seed(0)
        encoder = self.encoder(blocks)
        tasks = {
            task: {"depth": blocks, "head": head, "labels": [f"L{i}" for i in range(labels)]}
            for task, (head, labels) in heads.items()
        }
        return HierarchicalModel(HierarchicalConfig(encoder.config(), tasks), encoder)

    def text(self, sentences: int, length: int) -> list[list[str]]:
        """So many sentences of so many words each."""
        words = itertools.cycle(self.words)
        return [list(itertools.islice(words, length)) for _ in range(sentences)]

    def examples(self, subject: Subject) -> MemoryExamples:
        """Its sentences with labels drawn at random; each word hangs on the one before."""
        generator = np.random.default_rng(0)
        arrays = self.tokenizer.encode(subject.sentences)
        golds = (self._gold(subject.model, words, generator) for words in subject.sentences)
        parts = zip(arrays["pieces"], arrays["piece_counts"], golds, strict=True)
        return MemoryExamples(
            Example(pieces, counts, {}, gold, index)
            for index, (pieces, counts, gold) in enumerate(parts)
        )

    def _gold(
        self, model: HierarchicalModel, words: Sequence[str], generator: np.random.Generator
    ) -> dict[str, dict[str, np.ndarray]]:
        count = len(words)
        gold: dict[str, dict[str, np.ndarray]] = {}
        for task, options in model.config.tasks.items():
            labels = generator.integers(len(options["labels"]), size=count)
            gold[task] = {"labels": labels}
            if options["head"] == "biaffine":
                gold[task] = {"heads": np.arange(count), "relations": labels}
        return gold


def measure(
    series: Sequence[Series], *, rounds: int, say: Callable[[str], object]
) -> dict[str, Any]:
    """Seconds of each size in each round, as plain data."""
    bench, found = Bench(), []
    for own in series:
        say(own.name)
        subjects = {size: own.make(bench, size) for size in own.sizes}
        for work, variants in _works(bench, own, subjects):
            seconds = interleave(variants, rounds, device=DEVICE)
            found.append(
                {
                    "series": own.name,
                    "about": own.about,
                    "work": work,
                    "order": own.order,
                    "sizes": list(own.sizes),
                    "seconds": [seconds[variant.name] for variant in variants],
                }
            )
    return {"series": found, "rounds": rounds, "width": WIDTH}


def _works(
    bench: Bench, series: Series, subjects: Mapping[int, Subject]
) -> Iterator[tuple[str, list[Variant]]]:
    yield "annotate", [_annotated(bench, size, own) for size, own in subjects.items()]
    if series.trained:
        yield "train", [_trained(bench, size, own) for size, own in subjects.items()]


def _annotated(bench: Bench, size: int, subject: Subject) -> Variant:
    nlp = Annotator(subject.model, bench.tokenizer, precision="fp32")
    return _variant("annotate", size, subject, lambda: exhaust(nlp.pipe(subject.sentences)))


def _trained(bench: Bench, size: int, subject: Subject) -> Variant:
    settings = Settings(epochs=1, evaluate_every=1, precision="fp32")
    examples = bench.examples(subject)
    epoch = Epoch(subject.model, bench.tokenizer, examples, settings, device=DEVICE)
    return _variant("train", size, subject, epoch.run, epoch.prepare)


def _variant(
    group: str,
    size: int,
    subject: Subject,
    run: Callable[[], object],
    prepare: Callable[[], object] | None = None,
) -> Variant:
    words = sum(map(len, subject.sentences))
    return Variant(
        str(size), group=group, dtype="fp32", run=run, words=words, operations=0, prepare=prepare
    )


TAGS: Mapping[str, tuple[str, int]] = {"tags": ("tagging", LABELS)}
FOUR: Mapping[str, tuple[str, int]] = {
    "tags": ("tagging", LABELS),
    "more": ("tagging", LABELS),
    "chain": ("crf", LABELS),
    "tree": ("biaffine", LABELS),
}


def _of_sentences(bench: Bench, size: int) -> Subject:
    return Subject(bench.model(FOUR), bench.text(size, LENGTH))


def _of_words(bench: Bench, size: int, *, heads: Mapping[str, tuple[str, int]] = TAGS) -> Subject:
    return Subject(bench.model(heads), bench.text(LONG, size))


def _of_tasks(bench: Bench, size: int) -> Subject:
    heads = {f"tags {i}": ("tagging", LABELS) for i in range(size)}
    return Subject(bench.model(heads), bench.text(SENTENCES, LENGTH))


def _of_labels(bench: Bench, size: int, *, head: str = "tagging") -> Subject:
    return Subject(bench.model({"tags": (head, size)}), bench.text(SENTENCES, LENGTH))


def _of_depth(bench: Bench, size: int) -> Subject:
    return Subject(bench.model(TAGS, blocks=size), bench.text(SENTENCES, LENGTH))


SERIES = (
    Series(
        "sentences", "four tasks", (100, 300, 1_000, 3_000, 10_000), order=1, make=_of_sentences
    ),
    Series(
        "words in a sentence",
        "tags; in windows above 510 pieces",
        (8, 32, 128, 512, 2_048),
        order=1,
        make=_of_words,
    ),
    Series(
        "words in a sentence, trees",
        "every word may hang on every other",
        (4, 12, 40, 120, 400),
        order=2,
        make=partial(_of_words, heads={"tree": ("biaffine", LABELS)}),
    ),
    Series("tasks", "tags, all read at the top", (1, 3, 10, 30, 100), order=1, make=_of_tasks),
    Series("labels", "tags", (10, 100, 1_000, 10_000), order=1, make=_of_labels),
    Series(
        "labels of a chain",
        "every label may follow every other",
        (3, 10, 30, 100, 300),
        order=2,
        make=partial(_of_labels, head="crf"),
    ),
    Series("depth", "tags at the top", (1, 3, 10, 30, 100), order=1, make=_of_depth),
)
"""All that is measured."""
