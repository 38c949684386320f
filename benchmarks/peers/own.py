"""hiermtl as a subject, and the bare encoder over the batches that it makes."""

import time
from collections.abc import Callable, Sequence

import torch

from benchmarks.peers.corpus import TASKS, Layers
from benchmarks.peers.subjects import OWN, About, Subject
from benchmarks.speed.bare import Blocks, Rows, Training, flat_rows, infer, operations
from benchmarks.speed.subjects import DEPTHS, Corpus, Epoch, Source, batches_of, examples
from hiermtl import Annotator, __version__
from hiermtl.document import Document
from hiermtl.model import HierarchicalModel
from hiermtl.precision import resolve_precision
from hiermtl.text.sentence import Tree
from hiermtl.tokens import Tokenizer
from hiermtl.training import MemoryExamples, Settings

CPU = torch.device("cpu")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
WARMUP = 0.1
"""Share of the steps. Everything else is as the package has it."""


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
        self.versions = {"hiermtl": __version__}
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
        epoch = self.new_epoch(tasks, count=count, epochs=epochs, seed=seed)
        began = time.perf_counter()
        epoch.data = self.read(epoch, count)
        epoch.run()
        seconds = time.perf_counter() - began
        self.model = epoch.model.eval()
        self.model.to(dtype=DTYPES[self.precision])
        return seconds

    def new_epoch(self, tasks: Sequence[str], *, count: int, epochs: int, seed: int) -> Epoch:
        """A new model, ready to be trained, which has read no sentence."""
        torch.manual_seed(seed)
        self.source = Source.of(self.encoder)
        labels = Corpus(self.corpus.train[:count], ()).inventory()
        model = self.source.model(
            {task: labels[task] for task in tasks}, {task: DEPTHS[task] for task in tasks}
        )
        settings = Settings(epochs=epochs, seed=seed, precision=self.precision, warmup=WARMUP)
        epoch = Epoch(model, self.source.tokenizer(), MemoryExamples(()), settings, device=CPU)
        epoch.prepare()
        return epoch

    def read(self, epoch: Epoch, count: int) -> MemoryExamples:
        """Words to pieces, labels to numbers."""
        tasks = epoch.model.config.tasks
        labels = {task: options["labels"] for task, options in tasks.items()}
        return examples(epoch.tokenizer, self.corpus.train[:count], labels)

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
            tree = isinstance(layer, Tree)
            found[task].append((layer.heads, layer.relations) if tree else layer)
    return found


def bare_annotation(own: Hiermtl, tasks: Sequence[str]) -> tuple[Callable[[], float], float]:
    """The blocks alone, over the batches of annotating: what gives seconds, and its operations."""
    assert own.model is not None
    depth = own.model.stack.depth
    rows = own.rows(tasks)
    run = infer(Blocks(own.model, depth), rows)
    return lambda: _seconds(run), operations(own.model, rows, depth)


def bare_training(
    own: Hiermtl, tasks: Sequence[str], count: int
) -> tuple[Callable[[], float], float]:
    """Forward, backward and update of the blocks with one linear layer, as `bare_annotation`.

    Over the batches of an epoch of hiermtl, which is trained here for them.
    """
    epoch = own.new_epoch(tasks, count=count, epochs=1, seed=0)
    epoch.data = own.read(epoch, count)
    rows = [flat_rows(batch) for batch in batches_of(epoch.model, epoch.run)]
    model, lr = epoch.model, epoch.settings.lr
    depth, width = model.stack.depth, model.config.encoder["hidden_size"]
    training = Training(Blocks(model, depth), width, lr=lr, dtype=own.precision, device=CPU)

    def run() -> float:
        training.prepare()
        return _seconds(lambda: training.run(rows))

    return run, 3 * operations(model, rows, depth)


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
