"""Words to labels: the part of annotation that must be fast.

Sentences pass through in windows. Within a window they are sorted by length and cut into batches of
a number of pieces, so that little is padded and every batch costs about the same; results leave in
the order in which the sentences came. Nothing but the current window is held in memory.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import torch

from hiermtl.annotation.entries import (
    Entry,
    Prediction,
    Together,
    known_of,
    sentences_of,
    windows_of,
)
from hiermtl.annotation.streams import streamed
from hiermtl.corpus.items import from_items, to_items
from hiermtl.corpus.names import PLACES
from hiermtl.errors import ModelError
from hiermtl.exit_heads import Left
from hiermtl.heads import Head, RolesHead
from hiermtl.model import HierarchicalModel
from hiermtl.records import MISSING, Example, Group, HeadOutput, Unit
from hiermtl.text.edits import apply_edits
from hiermtl.text.sentence import Layer, Structure, Tree
from hiermtl.tokens import Collator, Tokenizer
from hiermtl.tokens.collate import windows

TOKENS_PER_BATCH = 1024
WINDOW = 2048


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
    sentences: Iterable[Entry],
    *,
    tasks: Iterable[str] | None = None,
    tokens_per_batch: int = TOKENS_PER_BATCH,
    flat: bool = True,
    device: torch.device | str | None = None,
    window: int = WINDOW,
    with_scores: bool = True,
    exits: bool = False,
) -> Iterator[Prediction]:
    """Like `predict`, with the probabilities of what was chosen, one prediction per sentence.

    Sentences may come together with others they are judged with. With `exits` they may leave below
    a task's depth (`HierarchicalModel.leave`), so that answers are not those of the whole model.
    """
    names = model.hierarchy.select(tasks)
    check_sizes(tokens_per_batch=tokens_per_batch, window=window)
    place = model.device if device is None else torch.device(device)
    collator = Collator(tokenizer, model.routes.depths(), flat=flat, device=place)
    labels = {task: np.array(model.head(task).labels, dtype=object) for task in names}
    predictor = _Predictor(
        model, collator, names, labels, tokens_per_batch, with_scores=with_scores, exits=exits
    )
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


@dataclass(frozen=True, eq=False, slots=True)
class _Said:
    """What a head, a task's own or an exit's, says of some sentences of a batch; `decoded` too."""

    task: str
    head: Head
    output: HeadOutput
    decoded: Sequence[Any]
    depth: int
    sure: np.ndarray | None = None


@dataclass(frozen=True, eq=False, slots=True)
class _Predictor:
    """Predicts one window at a time."""

    model: HierarchicalModel
    collator: Collator
    tasks: tuple[str, ...]
    labels: Mapping[str, np.ndarray]
    budget: int
    with_scores: bool
    exits: bool

    def predict(self, entries: Sequence[Entry]) -> list[Prediction]:
        """One prediction per sentence."""
        sentences: list[Sequence[str]] = []
        parts: list[list[int]] = []
        begins = []
        for entry in entries:
            own = sentences_of(entry)
            begins.append(len(sentences))
            parts.append([len(sentences) + place for place, words in enumerate(own) if len(words)])
            sentences += own
        nothing = Prediction({task: self._empty(task) for task in self._words}, {})
        results = [nothing] * len(sentences)
        filled = [place for of_entry in parts for place in of_entry]
        if not filled or not self.tasks:
            return results
        arrays = self.collator.tokenizer.encode([sentences[place] for place in filled])
        pieces, counts = arrays["pieces"], arrays["piece_counts"]
        others = [name for name in arrays if name not in ("pieces", "piece_counts")]
        told = {
            place: self._items(layers, sentences[place])
            for entry, begin in zip(entries, begins, strict=True)
            for place, layers in enumerate(known_of(entry), begin)
        }
        examples = {
            place: Example(
                pieces[i],
                counts[i],
                {name: arrays[name][i] for name in others},
                items=told.get(place, {}),
            )
            for i, place in enumerate(filled)
        }
        chosen = [i for i, of_entry in enumerate(parts) if of_entry]
        batches = [
            [chosen[i] for i in batch]
            for batch in self._batches([[examples[p] for p in parts[i]] for i in chosen])
        ]

        def compute(own: Sequence[int]) -> dict[int, Prediction]:
            given = [entries[i] for i in own], [parts[i] for i in own]
            return self._batch(*given, examples, sentences)

        with evaluating(self.model):
            for found in streamed(compute, batches, self.collator.device):
                for place, prediction in found.items():
                    results[place] = prediction
        return results

    def _items(
        self, layers: Mapping[str, Structure], words: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Task to the items (items, numbers) of what is known of a sentence."""
        found = {}
        for task, layer in layers.items():
            head = self.model.head(task)
            ids = {label: number for number, label in enumerate(head.labels)}
            rows = [
                (*places, MISSING if label is None else ids.get(label, MISSING))
                for places, label in to_items(layer, words, entities={})
            ]
            width = PLACES[head.layer] + 1
            found[task] = np.array(rows, dtype=np.int64).reshape(-1, width)
        return found

    @property
    def _words(self) -> list[str]:
        """The tasks whose annotation lies in sentences."""
        return [task for task in self.tasks if self.model.head(task).of_sentences]

    def _batches(self, entries: Sequence[Sequence[Example]]) -> Iterator[list[int]]:
        """Places of the entries of each batch, longest first; equal lengths in their order."""
        tokenizer = self.collator.tokenizer
        special, limit = len(tokenizer.prefix) + len(tokenizer.suffix), tokenizer.limit
        rows, units, longest = [], [], []
        for examples in entries:
            lengths = [len(example.pieces) for example in examples]
            cut = [
                part
                for length in lengths
                for part in (
                    [(0, length)] if limit is None or length <= limit else windows(length, limit)
                )
            ]
            rows.append(len(cut))
            units.append(sum(row[1] - row[0] for row in cut) + special * len(cut))
            longest.append(max(row[1] - row[0] for row in cut) + special)
        end_to_end = self.collator.flat and not self.model.stack.side_by_side
        order = units if end_to_end else longest
        batch: list[int] = []
        used = 0
        for place in np.argsort(-np.array(order), kind="stable").tolist():
            # The first entry has the longest row, to which all others would be padded.
            width = longest[batch[0] if batch else place]
            size = units[place] if end_to_end else rows[place] * width
            if batch and used + size > self.budget:
                yield batch
                batch, used = [], 0
                size = units[place] if end_to_end else rows[place] * longest[place]
            batch.append(place)
            used += size
        if batch:
            yield batch

    def _batch(
        self,
        entries: Sequence[Entry],
        parts: Sequence[Sequence[int]],
        examples: Mapping[int, Example],
        sentences: Sequence[Sequence[str]],
    ) -> dict[int, Prediction]:
        """The predictions of the sentences of these entries, by their places."""
        batch = self.collator(
            [
                Group(tuple(examples[place] for place in own), document=entry.document)
                if isinstance(entry, Together)
                else examples[own[0]]
                for entry, own in zip(entries, parts, strict=True)
            ],
            self.tasks,
        )
        places = [place for own in parts for place in own]
        places = [places[i] for i in batch.order.tolist()]
        asked = self._asked(entries, parts, places)
        outputs, left = (
            self.model.leave(batch, asked) if self.exits else (self.model(batch, asked), {})
        )
        decoded = self.model.decode(outputs, [task for task in asked if task in outputs])
        told = [task for task in asked if batch.items and self.model.head(task).informed]
        informed = self.model.decode_informed(batch, outputs, told)
        grouped = [own for e, own in zip(entries, parts, strict=True) if isinstance(e, Together)]
        first = [own[0] for own in grouped]
        layers: dict[int, dict[str, Layer]] = {place: {} for place in places}
        scores: dict[int, dict[str, tuple[float, ...]]] = {place: {} for place in places}
        labels: dict[int, dict[str, str | float]] = {place: {} for place in first}
        known: dict[int, dict[str, Layer]] = {place: {} for place in places}
        depths: dict[int, dict[str, int]] = {place: {} for place in places}
        sure: dict[int, dict[str, float]] = {place: {} for place in places}
        for said in self._said(asked, outputs, decoded, left):
            task, head, output = said.task, said.head, said.output
            values = self._scores(head, output, said.decoded) if self.with_scores else None
            if output.groups is None:
                where: list[int] = [places[i] for i in output.sentences.tolist()]
                words = [sentences[place] for place in where]
                made = self._layers(task, said.decoded, words)
                for place, layer in zip(where, made, strict=True):
                    layers[place][task] = layer
                if task in informed:
                    made = self._layers(task, informed[task], words)
                    for place, layer in zip(where, made, strict=True):
                        known[place][task] = layer
            elif head.unit == "document":
                for i, items in zip(output.groups.tolist(), said.decoded, strict=True):
                    cuts = np.searchsorted(items[:, 0], np.arange(1, len(grouped[i])))
                    own = np.split(items[:, 1:], cuts)
                    words = [sentences[int(place)] for place in grouped[i]]
                    made = self._layers(task, own, words)
                    for place, layer in zip(grouped[i], made, strict=True):
                        layers[place][task] = layer
                continue
            else:
                where = [first[i] for i in output.groups.tolist()]
                for place, found in zip(where, said.decoded, strict=True):
                    labels[place][task] = head.labels[found] if head.layer == "label" else found
            if values is not None:
                for place, value in zip(where, values, strict=True):
                    scores[place][task] = value
            if self.exits and task in self.model.exits:
                for place in where:
                    depths[place][task] = said.depth
            if said.sure is not None:
                for place, value in zip(where, said.sure.tolist(), strict=True):
                    sure[place][task] = value
        return {
            place: Prediction(
                found,
                scores[place],
                labels.get(place, {}),
                known[place],
                depths[place],
                sure[place],
            )
            for place, found in layers.items()
        }

    def _said(
        self,
        asked: Iterable[str],
        outputs: Mapping[str, HeadOutput],
        decoded: Mapping[str, Sequence[Any]],
        left: Mapping[str, Sequence[Left]],
    ) -> Iterator[_Said]:
        """Task by task what its own head says, and what exits said of sentences that left."""
        for task in asked:
            if task in outputs:
                depth = self.model.hierarchy[task].depth
                yield _Said(task, self.model.head(task), outputs[task], decoded[task], depth)
            for part in left.get(task, ()):
                head, output, sure = self.model.exits.head(task, part.depth), part.output, part.sure
                if output.members is not None:
                    # Each sentence of a group is as sure as the group.
                    starts = np.cumsum(output.members.sizes) - output.members.sizes
                    sure = sure[output.members.members[starts]]
                yield _Said(task, head, output, head.decode(output), part.depth, sure)

    def _asked(
        self, entries: Sequence[Entry], parts: Sequence[Sequence[int]], places: Sequence[int]
    ) -> dict[str, np.ndarray]:
        """Task -> which of the sentences at these places it is asked of."""
        units: dict[str, set[int]] = {unit: set() for unit in get_args(Unit)}
        for entry, own in zip(entries, parts, strict=True):
            if not isinstance(entry, Together) or entry.words:
                units["word"].update(own)
            if isinstance(entry, Together):
                unit = "text" if len(own) == 1 else "pair"
                units["document" if entry.document else unit].update(own)
        masks = {
            unit: np.array([place in of_unit for place in places])
            for unit, of_unit in units.items()
        }
        asked = {task: masks[self.model.head(task).unit] for task in self.tasks}
        return {task: mask for task, mask in asked.items() if mask.any()}

    def _layers(
        self, task: str, decoded: Sequence[Any], words: Sequence[Sequence[str]]
    ) -> list[Layer]:
        """Label ids of each sentence to labels, by one look-up for the batch.

        `words` are those of the sentences.
        """
        head, names = self.model.head(task), self.labels[task]
        kind = head.layer
        if kind in PLACES:
            senses = head.senses if isinstance(head, RolesHead) else ()
            return [
                from_items(
                    kind, items[:, :-1].tolist(), names[items[:, -1]].tolist(), own, senses=senses
                )
                for items, own in zip(decoded, words, strict=True)
            ]
        if kind == "tree":
            heads = np.concatenate([pair[0] for pair in decoded]).tolist()
            labels = names[np.concatenate([pair[1] for pair in decoded])].tolist()
            return [
                Tree(tuple(heads[a:b]), tuple(labels[a:b]))
                for a, b in _ranges([pair[0] for pair in decoded])
            ]
        labels = names[np.concatenate(decoded)].tolist()
        found = [tuple(labels[a:b]) for a, b in _ranges(decoded)]
        if kind == "edits":
            # A script that leaves nothing of the word is not meant for it.
            return [
                tuple(
                    apply_edits(word, script) or word
                    for word, script in zip(own, tags, strict=True)
                )
                for own, tags in zip(words, found, strict=True)
            ]
        return list(found)

    @staticmethod
    def _scores(
        head: Head, output: HeadOutput, decoded: Sequence[Any]
    ) -> list[tuple[float, ...]] | None:
        values = head.confidence(output, decoded)
        if values is None:
            return None
        flat = values.tolist()
        if output.groups is not None:
            return [(value,) for value in flat]
        starts = output.layout.word_starts.tolist()
        return [tuple(flat[a:b]) for a, b in pairwise(starts)]

    def _empty(self, task: str) -> Layer:
        kind = self.model.head(task).layer
        if kind in PLACES:
            return from_items(kind, (), (), ())
        return Tree((), ()) if kind == "tree" else ()


def _ranges(arrays: Sequence[np.ndarray]) -> Iterator[tuple[int, int]]:
    """Where each array lies when all lie end to end."""
    start = 0
    for array in arrays:
        yield start, start + len(array)
        start += len(array)


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
