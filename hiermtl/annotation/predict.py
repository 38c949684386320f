"""Words to labels: the part of annotation that must be fast.

Sentences pass through in windows. Within a window they are sorted by length and cut into batches of
a number of pieces, so that little is padded and every batch costs about the same; results leave in
the order in which the sentences came. Nothing but the current window is held in memory.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from hiermtl.errors import ModelError, listing, nearest
from hiermtl.model import HierarchicalModel
from hiermtl.records import Example, HeadOutput
from hiermtl.text.edits import apply_edits
from hiermtl.text.sentence import Layer, Tree
from hiermtl.tokens import Collator, Tokenizer
from hiermtl.tokens.collate import windows

TOKENS_PER_BATCH = 1024
WINDOW = 2048
_WORDS_PER_WINDOW = 65_536


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says about one sentence.

    `scores` has for each task the probability (0 to 1) of each word's label, or of its arc; it is
    empty unless asked for, and lacks tasks whose head has no probabilities.
    """

    layers: Mapping[str, Layer]
    scores: Mapping[str, tuple[float, ...]]


def predict(
    model: HierarchicalModel,
    tokenizer: Tokenizer,
    sentences: Iterable[Sequence[str]],
    *,
    tasks: Iterable[str] | None = None,
    tokens_per_batch: int = TOKENS_PER_BATCH,
    flat: bool = True,
    device: torch.device | str | None = None,
    window: int = WINDOW,
) -> Iterator[dict[str, Layer]]:
    """The predicted layers of each sentence, in the order given.

    Args:
        model: Runs in evaluation mode while it predicts; its modes are restored after each window.
        tokenizer: The one the model was trained with.
        sentences: Words; a sentence without words gets empty layers.
        tasks: Default: all of the model's. Only the blocks these need are run.
        tokens_per_batch: Units (pieces, special ones included) in a batch, what it is rounded up by
            not counted; a longer sentence is a batch of its own.
        flat: Whether rows lie end to end instead of being padded. The labels are the same.
        device: Where batches are put. Default: where the model is.
        window: Sentences that are read ahead and sorted.

    Raises:
        ModelError: At once, when the model lacks a task or a number is below 1.
    """
    found = predict_scored(
        model,
        tokenizer,
        sentences,
        tasks=tasks,
        tokens_per_batch=tokens_per_batch,
        flat=flat,
        device=device,
        window=window,
        with_scores=False,
    )
    return (dict(prediction.layers) for prediction in found)


def predict_scored(
    model: HierarchicalModel,
    tokenizer: Tokenizer,
    sentences: Iterable[Sequence[str]],
    *,
    tasks: Iterable[str] | None = None,
    tokens_per_batch: int = TOKENS_PER_BATCH,
    flat: bool = True,
    device: torch.device | str | None = None,
    window: int = WINDOW,
    with_scores: bool = True,
) -> Iterator[Prediction]:
    """Like `predict`, with the probabilities of what was chosen."""
    names = check_tasks(model, tasks)
    check_sizes(tokens_per_batch=tokens_per_batch, window=window)
    place = model.device if device is None else torch.device(device)
    collator = Collator(tokenizer, model.routes.depths(), flat=flat, device=place)
    labels = {task: np.array(model.head(task).labels, dtype=object) for task in names}
    predictor = _Predictor(model, collator, names, labels, tokens_per_batch, with_scores)
    return (
        prediction
        for given in windows_of(sentences, window)
        for prediction in predictor.predict(given)
    )


def check_sizes(**sizes: int) -> None:
    """Raises ModelError for a size below 1, by its name."""
    for name, value in sizes.items():
        if value < 1:
            raise ModelError(f"{name} is {value}; allowed is 1 or more")


def check_tasks(model: HierarchicalModel, tasks: Iterable[str] | None) -> tuple[str, ...]:
    """The tasks, each once, lowest first; `None` means all of the model's, a string one task.

    Raises:
        ModelError: The model does not have one of them.
    """
    known = model.hierarchy.names
    if tasks is None:
        return known
    asked = [tasks] if isinstance(tasks, str) else list(tasks)
    for task in asked:
        if task not in model.hierarchy:
            raise ModelError(
                f"the model has no task {task!r}; it has {listing(known)}{nearest(task, known)}"
            )
    return tuple(task for task in known if task in asked)


@dataclass(frozen=True, eq=False, slots=True)
class _Predictor:
    """Predicts one window at a time."""

    model: HierarchicalModel
    collator: Collator
    tasks: tuple[str, ...]
    labels: Mapping[str, np.ndarray]
    budget: int
    with_scores: bool

    def predict(self, sentences: Sequence[Sequence[str]]) -> list[Prediction]:
        """One prediction per sentence."""
        nothing = Prediction({task: self._empty(task) for task in self.tasks}, {})
        results = [nothing] * len(sentences)
        filled = [index for index, words in enumerate(sentences) if len(words)]
        if not filled or not self.tasks:
            return results
        arrays = self.collator.tokenizer.encode([sentences[index] for index in filled])
        pieces, counts = arrays["pieces"], arrays["piece_counts"]
        others = [name for name in arrays if name not in ("pieces", "piece_counts")]
        examples = [
            Example(pieces[i], counts[i], {name: arrays[name][i] for name in others})
            for i in range(len(filled))
        ]
        edits = [task for task in self.tasks if self.model.head(task).layer == "edits"]
        with evaluating(self.model), torch.inference_mode():
            for chosen in self._batches(examples):
                found = self._batch([examples[i] for i in chosen])
                for i, prediction in zip(chosen, found, strict=True):
                    results[filled[i]] = (
                        self._edited(prediction, sentences[filled[i]], edits)
                        if edits
                        else prediction
                    )
        return results

    @staticmethod
    def _edited(prediction: Prediction, words: Sequence[str], edits: Sequence[str]) -> Prediction:
        """With the scripts of these tasks applied to the words."""
        made: dict[str, Layer] = {}
        for task in edits:
            scripts = prediction.layers[task]
            assert isinstance(scripts, tuple)
            # A script that leaves nothing of the word is not meant for it.
            made[task] = tuple(
                apply_edits(word, script or "") or word
                for word, script in zip(words, scripts, strict=True)
            )
        return Prediction({**prediction.layers, **made}, prediction.scores)

    def _batches(self, examples: Sequence[Example]) -> Iterator[list[int]]:
        """Places of the examples of each batch, longest first; equal lengths in their order."""
        tokenizer = self.collator.tokenizer
        special, limit = len(tokenizer.prefix) + len(tokenizer.suffix), tokenizer.limit
        rows, units = [], []
        for example in examples:
            length = len(example.pieces)
            cut = [(0, length)] if limit is None or length <= limit else windows(length, limit)
            rows.append(len(cut))
            units.append(sum(row[1] - row[0] for row in cut) + special * len(cut))
        end_to_end = self.collator.flat and not self.model.stack.side_by_side
        batch: list[int] = []
        used = longest = 0
        for place in np.argsort(-np.array(units), kind="stable").tolist():
            # The first sentence has the longest rows, to which the others would be padded.
            size = units[place] if end_to_end or not batch else rows[place] * longest
            if batch and used + size > self.budget:
                yield batch
                batch, used, size = [], 0, units[place]
            if not batch:
                longest = -(-units[place] // rows[place])
            batch.append(place)
            used += size
        if batch:
            yield batch

    def _batch(self, examples: Sequence[Example]) -> list[Prediction]:
        """The predictions of these examples, in their order."""
        batch = self.collator(examples, self.tasks)
        outputs = self.model(batch, self.tasks)
        decoded = self.model.decode(outputs, self.tasks)
        back = np.argsort(batch.order).tolist()
        layers: dict[str, list[Layer]] = {}
        scores: dict[str, list[tuple[float, ...]]] = {}
        for task in self.tasks:
            found = self._layers(task, decoded[task])
            layers[task] = [found[i] for i in back]
            if self.with_scores:
                values = self._scores(task, outputs[task], decoded[task])
                if values is not None:
                    scores[task] = [values[i] for i in back]
        return [
            Prediction(
                {task: found[i] for task, found in layers.items()},
                {task: values[i] for task, values in scores.items()},
            )
            for i in range(len(examples))
        ]

    def _layers(self, task: str, decoded: Sequence[Any]) -> list[Layer]:
        """Label ids of each sentence to labels, by one look-up for the batch."""
        head = self.model.head(task)
        names = self.labels[task]
        if head.layer != "tree":
            labels = names[np.concatenate(decoded)].tolist()
            return [tuple(labels[a:b]) for a, b in _ranges(decoded)]
        heads = np.concatenate([pair[0] for pair in decoded]).tolist()
        labels = names[np.concatenate([pair[1] for pair in decoded])].tolist()
        return [
            Tree(tuple(heads[a:b]), tuple(labels[a:b]))
            for a, b in _ranges([pair[0] for pair in decoded])
        ]

    def _scores(
        self, task: str, output: HeadOutput, decoded: Sequence[Any]
    ) -> list[tuple[float, ...]] | None:
        values = self.model.head(task).confidence(output, decoded)
        if values is None:
            return None
        flat = values.tolist()
        starts = output.layout.word_starts.tolist()
        return [tuple(flat[a:b]) for a, b in pairwise(starts)]

    def _empty(self, task: str) -> Layer:
        return Tree((), ()) if self.model.head(task).layer == "tree" else ()


def _ranges(arrays: Sequence[np.ndarray]) -> Iterator[tuple[int, int]]:
    """Where each array lies when all lie end to end."""
    start = 0
    for array in arrays:
        yield start, start + len(array)
        start += len(array)


def windows_of(sentences: Iterable[Sequence[str]], size: int) -> Iterator[list[Sequence[str]]]:
    """Lists of at most `size` sentences, fewer where they are long."""
    window: list[Sequence[str]] = []
    words = 0
    for sentence in sentences:
        window.append(sentence)
        words += len(sentence)
        if len(window) >= size or words >= _WORDS_PER_WINDOW:
            yield window
            window, words = [], 0
    if window:
        yield window


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Inside, the model is in evaluation mode; each module's own mode comes back afterwards."""
    training = [module for module in model.modules() if module.training]
    if training:
        model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
