"""What is measured: the corpus, and models with four tasks at chosen depths."""

import functools
import itertools
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from hiermtl.config import HierarchicalConfig
from hiermtl.encoders import Encoder
from hiermtl.model import HierarchicalModel
from hiermtl.precision import resolve_precision
from hiermtl.pretrained.encoders import encoder_source, find_encoder
from hiermtl.pretrained.loading import load_model, load_tokenizer
from hiermtl.records import MISSING, Batch, Example
from hiermtl.text.columns import read_columns
from hiermtl.text.conllu import read_conllu
from hiermtl.text.join import join_layers
from hiermtl.text.sentence import Layer, Sentence, Tree
from hiermtl.tokens import Tokenizer
from hiermtl.training import MemoryExamples, Settings, train_model
from hiermtl.training.progress import Progress

TREEBANK = "ud_english_ewt/en_ewt-ud-{}.conllu"
ENTITIES = {
    "train": "uner_english_ewt/en_ewt-ud-train.normalized.iob2",
    "dev": "uner_english_ewt/en_ewt-ud-dev.iob2",
}
HEADS = {"upos": "tagging", "xpos": "tagging", "ner": "crf", "dep": "biaffine"}
DEPTHS = {"upos": 3, "xpos": 3, "ner": 4, "dep": 6}
LOW_DEPTHS = {**DEPTHS, "upos": 2}


@dataclass(frozen=True, slots=True)
class Corpus:
    """English EWT: sentences to train on with four layers, and dev sentences to annotate."""

    train: tuple[Sentence, ...]
    dev: tuple[Sentence, ...]

    @classmethod
    def read(cls, folder: Path, *, train: int | None, dev: int | None) -> "Corpus":
        """The first sentences of both splits; `None` takes all."""
        return cls(_split(folder, "train", train), _split(folder, "dev", dev))

    def inventory(self) -> dict[str, list[str]]:
        """The labels of each task in the training sentences; `O` of the entities in any case."""
        found: dict[str, set[str]] = {task: set() for task in HEADS}
        found["ner"].add("O")
        for sentence in self.train:
            for task, labels in found.items():
                labels.update(label for label in _labels(sentence.layers.get(task, ())) if label)
        return {task: sorted(labels) for task, labels in found.items()}


def _split(folder: Path, split: str, count: int | None) -> tuple[Sentence, ...]:
    trees = itertools.islice(read_conllu(folder / TREEBANK.format(split)), count)
    entities = read_columns(folder / ENTITIES[split], {"ner": 2}, words=1)
    return tuple(join_layers(trees, entities, layers=["ner"]))


def _labels(layer: Layer) -> Sequence[str | None]:
    return layer.relations if isinstance(layer, Tree) else layer


@dataclass(frozen=True, eq=False, slots=True)
class Source:
    """A pretrained encoder, and tokenizers that remember no word yet."""

    encoder: Encoder
    tokenizer: Callable[[], Tokenizer]

    @classmethod
    def of(cls, name: str) -> "Source":
        """Of an encoder's name, as in recipes."""
        encoder, _ = encoder_source(name)
        folder = find_encoder(name)
        return cls(encoder, functools.partial(load_tokenizer, folder, encoder.config()))

    def model(
        self, labels: Mapping[str, Sequence[str]], depths: Mapping[str, int]
    ) -> HierarchicalModel:
        """A model with the tasks at these depths, its heads untrained.

        In an encoder of another size than six blocks the depths are taken in proportion.
        """
        blocks = self.encoder.blocks
        tasks = {
            task: {
                "depth": max(1, round(depths[task] * blocks / DEPTHS["dep"])),
                "head": head,
                "labels": list(labels[task]),
            }
            for task, head in HEADS.items()
            if task in depths
        }
        return HierarchicalModel(HierarchicalConfig(self.encoder.config(), tasks), self.encoder)


def trained_model(folder: Path) -> tuple[HierarchicalModel, Callable[[], Tokenizer]]:
    """A model folder, or the folder of a run that has one, and its tokenizer."""
    folder = folder / "model" if (folder / "model" / "config.json").exists() else folder
    model, _ = load_model(folder)
    return model, functools.partial(load_tokenizer, folder, model.config.encoder)


def examples(
    tokenizer: Tokenizer, sentences: Sequence[Sentence], labels: Mapping[str, Sequence[str]]
) -> MemoryExamples:
    """Training examples, held in memory."""
    ids = {task: {label: i for i, label in enumerate(own)} for task, own in labels.items()}
    arrays = tokenizer.encode([sentence.words for sentence in sentences])
    return MemoryExamples(
        Example(pieces, counts, {}, _gold(sentence, ids), index)
        for index, (sentence, pieces, counts) in enumerate(
            zip(sentences, arrays["pieces"], arrays["piece_counts"], strict=True)
        )
    )


def _gold(
    sentence: Sentence, ids: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, np.ndarray]]:
    gold: dict[str, dict[str, np.ndarray]] = {}
    for task, known in ids.items():
        layer = sentence.layers.get(task)
        if layer is None:
            continue
        numbers = np.array([known.get(label or "", MISSING) for label in _labels(layer)])
        if isinstance(layer, Tree):
            heads = np.array([MISSING if head is None else head for head in layer.heads])
            gold[task] = {"heads": heads, "relations": numbers}
        else:
            gold[task] = {"labels": numbers}
    return gold


class Epoch:
    """Training as `train_model` does it, each time from the same weights over the same steps."""

    def __init__(
        self,
        model: HierarchicalModel,
        tokenizer: Tokenizer,
        data: MemoryExamples,
        settings: Settings,
        *,
        device: torch.device,
    ) -> None:
        """Takes a model, which is trained in place and put back before each epoch."""
        self.model, self.tokenizer, self.data, self.settings = model, tokenizer, data, settings
        self.device = device
        self.start = {name: value.clone() for name, value in model.state_dict().items()}
        self.accelerator: Accelerator | None = None

    def prepare(self) -> None:
        """Puts the weights back, and sets accelerate up for this precision."""
        self.model.load_state_dict(self.start)
        AcceleratorState._reset_state(reset_partial_state=True)
        mixed = "bf16" if self.settings.precision == "bf16" else "no"
        self.accelerator = Accelerator(cpu=self.device.type == "cpu", mixed_precision=mixed)

    def run(self) -> None:
        """One run of the loop, without evaluation."""
        with tempfile.TemporaryDirectory() as folder:
            train_model(
                self.model,
                self.tokenizer,
                self.data,
                self.settings,
                folder=Path(folder),
                accelerator=self.accelerator,
                progress=functools.partial(Progress, quiet=True),
            )


def train_briefly(
    model: HierarchicalModel, tokenizer: Tokenizer, data: MemoryExamples, device: torch.device
) -> None:
    """One pass at high rates, so that trees and chains are no longer random."""
    settings = Settings(
        epochs=1,
        tokens_per_batch=512,
        warmup=0.1,
        lr=4e-4,
        lr_heads=4e-3,
        precision=resolve_precision("auto", device),
    )
    epoch = Epoch(model.to(device), tokenizer, data, settings, device=device)
    epoch.prepare()
    epoch.run()


def batches_of(model: HierarchicalModel, run: Callable[[], object]) -> list[Batch]:
    """The batches the model is given while `run` goes on."""
    batches: list[Batch] = []

    def note(_: torch.nn.Module, given: tuple[Any, ...]) -> None:
        batches.append(given[0])

    handle = model.register_forward_pre_hook(note)
    try:
        run()
    finally:
        handle.remove()
    return batches


def exhaust(items: Iterable[object]) -> int:
    """Takes all there is; their number."""
    return sum(1 for _ in items)
