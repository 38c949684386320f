"""hiermtl as a subject, and the bare encoder over the batches that it makes."""

import time
from collections.abc import Callable, Sequence

import torch

from benchmarks.peers.corpus import TASKS, Layers
from benchmarks.peers.subjects import OWN, About, Subject
from benchmarks.speed.bare import Blocks, Rows, Training, flat_rows, infer
from benchmarks.speed.subjects import DEPTHS, Corpus, Epoch, Source, batches_of, examples
from hiermtl import Annotator
from hiermtl.document import Document
from hiermtl.model import HierarchicalModel
from hiermtl.precision import resolve_precision
from hiermtl.text.sentence import Tree
from hiermtl.tokens import Tokenizer
from hiermtl.training import MemoryExamples, Settings

CPU = torch.device("cpu")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def about(precision: str) -> About:
    """What is told of hiermtl on this machine."""
    training = "bf16 autocast" if precision == "bf16" else precision
    return About(
        name="hiermtl",
        kind=OWN,
        tasks=TASKS,
        precision=f"{precision}; training {training}",
        batching="1,024 pieces of similar length, flat",
        encoder="once",
        decoder="argmax, CRF, biaffine spanning tree",
    )


class Hiermtl(Subject):
    """The package itself, in this process."""

    def __init__(self, encoder: str, corpus: Corpus) -> None:
        """Takes the name of the encoder and the sentences."""
        self.precision = resolve_precision("auto", CPU)
        super().__init__(about(self.precision))
        self.encoder, self.corpus = encoder, corpus
        self.words = [sentence.words for sentence in corpus.dev]
        self.source: Source | None = None
        self.model: HierarchicalModel | None = None

    def start(self) -> None:
        """There is nothing to do."""

    def briefly(self, tasks: Sequence[str], count: int) -> None:
        """One epoch; it is not kept, since it takes seconds."""
        self.train(tasks, count=count, epochs=1, seed=0)

    def train(self, tasks: Sequence[str], *, count: int, epochs: int, seed: int) -> float:
        """Words to pieces, plan, steps and the last weights written; no evaluation."""
        sentences = self.corpus.train[:count]
        labels = Corpus(sentences, ()).inventory()
        labels = {task: labels[task] for task in tasks}
        torch.manual_seed(seed)
        self.source = Source.of(self.encoder)
        tokenizer = self.source.tokenizer()
        model = self.source.model(labels, {task: DEPTHS[task] for task in tasks})
        settings = Settings(epochs=epochs, seed=seed, precision=self.precision, warmup=0.1)
        epoch = Epoch(model, tokenizer, MemoryExamples(()), settings, device=CPU)
        epoch.prepare()
        began = time.perf_counter()
        epoch.data = examples(tokenizer, sentences, labels)
        epoch.run()
        seconds = time.perf_counter() - began
        self.model = model.eval().to(DTYPES[self.precision])
        return seconds

    def annotate(self, tasks: Sequence[str], *, predictions: bool) -> tuple[float, Layers | None]:
        """Lists of words to documents, by a tokenizer that has seen no word."""
        annotator = self._annotator()
        began = time.perf_counter()
        documents = list(annotator.pipe(self.words, tasks))
        seconds = time.perf_counter() - began
        return seconds, layers_of(documents, tasks) if predictions else None

    def close(self) -> None:
        """There is nothing that has to be."""

    def rows(self, tasks: Sequence[str]) -> list[Rows]:
        """What the encoder is given while annotating."""
        annotator = self._annotator()
        assert self.model is not None
        return [
            flat_rows(batch)
            for batch in batches_of(self.model, lambda: list(annotator.pipe(self.words, tasks)))
        ]

    def _annotator(self) -> Annotator:
        assert self.model is not None
        assert self.source is not None
        tokenizer: Tokenizer = self.source.tokenizer()
        return Annotator(self.model, tokenizer, precision=self.precision)


def layers_of(documents: Sequence[Document], tasks: Sequence[str]) -> Layers:
    """The layers of documents of one sentence each."""
    found: Layers = {task: [] for task in tasks}
    for document in documents:
        for task in tasks:
            layer = document.sentences[0].layers[task]
            heads_or_tags = (
                [list(layer.heads), list(layer.relations)]
                if isinstance(layer, Tree)
                else list(layer)
            )
            found[task].append(heads_or_tags)
    return found


def bare_annotation(own: Hiermtl, tasks: Sequence[str]) -> Callable[[], float]:
    """Seconds of the blocks alone, over the batches of annotating, ready on the device."""
    assert own.model is not None
    run = infer(Blocks(own.model, own.model.stack.depth), own.rows(tasks))
    return lambda: _seconds(run)


def bare_training(own: Hiermtl, tasks: Sequence[str], count: int) -> Callable[[], float]:
    """Seconds of forward, backward and update of the blocks with one linear layer.

    Over the batches of an epoch of hiermtl, which is trained here for them.
    """
    sentences = own.corpus.train[:count]
    labels = {task: own.corpus.inventory()[task] for task in tasks}
    source = Source.of(own.encoder)
    tokenizer = source.tokenizer()
    model = source.model(labels, {task: DEPTHS[task] for task in tasks})
    settings = Settings(epochs=1, precision=own.precision, warmup=0.1)
    epoch = Epoch(model, tokenizer, examples(tokenizer, sentences, labels), settings, device=CPU)
    epoch.prepare()
    rows = [flat_rows(batch) for batch in batches_of(model, epoch.run)]
    width = model.config.encoder["hidden_size"]
    training = Training(
        Blocks(model, model.stack.depth), width, lr=settings.lr, dtype=own.precision, device=CPU
    )

    def run() -> float:
        training.prepare()
        return _seconds(lambda: training.run(rows))

    return run


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
