"""A graph in the place of a model: the same batches in, the same outputs, from ONNX Runtime."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hiermtl.errors import ModelError
from hiermtl.heads.base import split_by_sentence
from hiermtl.model import HierarchicalModel
from hiermtl.records import Batch, HeadOutput, Selection, placed
from hiermtl.structures.tree import maximum_spanning_trees


@dataclass(frozen=True, eq=False, slots=True)
class Joined(HeadOutput):
    """Of a batch with sentences longer than a row: the graph's output, and the model's of these.

    `scores` are there where both have the same tensors, not of trees.
    """

    parts: tuple[HeadOutput, ...] = ()


class Running:
    """Answers for a model as far as prediction asks: scores are the graph's, decoding the heads'.

    Sentences longer than a row are the model's to compute; `long` counts those it was asked for.
    """

    def __init__(self, model: HierarchicalModel, file: Path, *, threads: int = 0) -> None:
        """Takes the model that was exported, and the graph; 0 threads are as many as cores."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.model = model
        self.session = onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"]
        )
        self.reads = [given.name for given in self.session.get_inputs()]
        self.gives = [made.name for made in self.session.get_outputs()]
        self.long = 0

    def __getattr__(self, name: str) -> Any:
        """What is not computed is the model's."""
        return getattr(self.model, name)

    def modules(self) -> Iterator[nn.Module]:
        """The model's."""
        return self.model.modules()

    def __call__(self, batch: Batch, tasks: Mapping[str, np.ndarray]) -> dict[str, HeadOutput]:
        """The tasks' scores of the sentences they are asked of."""
        rows = np.bincount(batch.layout.row_sentences, minlength=batch.layout.sentences)
        short = rows == 1
        asked = np.any(list(tasks.values()), axis=0)
        self.long += int((asked & ~short).sum())
        ours = self._by_graph(batch, {task: who & short for task, who in tasks.items()})
        rest = {task: who & ~short for task, who in tasks.items() if (who & ~short).any()}
        theirs = self.model(batch, rest) if rest else {}
        return {
            task: _join([part[task] for part in (ours, theirs) if task in part], batch)
            for task in tasks
        }

    def _by_graph(self, batch: Batch, tasks: Mapping[str, np.ndarray]) -> dict[str, HeadOutput]:
        """The graph's scores of sentences of one row; nothing of tasks asked of none."""
        tasks = {task: who for task, who in tasks.items() if who.any()}
        if not tasks:
            return {}
        chosen = batch.layout.select(np.flatnonzero(np.any(list(tasks.values()), axis=0)))
        wanted = [name for name in self.gives if name.split(".")[0] in tasks]
        made: list[Any] = list(self.session.run(wanted, self._inputs(batch, chosen)))
        found = dict(zip(wanted, made, strict=True))
        return {
            task: self._output(task, found, batch, np.flatnonzero(who), chosen.sentences)
            for task, who in tasks.items()
        }

    def _inputs(self, batch: Batch, chosen: Selection) -> dict[str, np.ndarray]:
        """Some sentences of a batch, a row for each, as the graph reads them.

        Raises ModelError for rows that lie end to end.
        """
        layout = chosen.layout
        if not layout.padded:
            raise ModelError("a graph reads padded rows; make batches with flat=False")
        longest, counts = layout.row_lengths.max(), layout.word_counts

        there = np.arange(counts.max()) < counts[:, None]
        if "word_ids" in self.reads:
            return _word_inputs(batch, chosen, there)

        def rows(name: str) -> np.ndarray:
            values = chosen.take_units(batch.inputs[name]).view(layout.rows, layout.padded)
            return np.ascontiguousarray(values[:, :longest].numpy())

        units = layout.word_units - np.repeat(layout.row_starts, counts)
        sizes = np.bincount(layout.piece_words, minlength=layout.words)
        starts, ends = np.full(there.shape, -1), np.zeros(there.shape, dtype=np.int64)
        starts[there], ends[there] = units, units + sizes
        every = {
            "input_ids": rows("ids"),
            "attention_mask": (np.arange(longest) < layout.row_lengths[:, None]).astype(np.int64),
            "word_starts": starts,
            "word_ends": ends,
        }
        if "casing" in batch.inputs:
            every["casing"] = rows("casing")
        return {name: every[name] for name in self.reads}

    def _output(
        self,
        task: str,
        found: Mapping[str, np.ndarray],
        batch: Batch,
        sentences: np.ndarray,
        computed: np.ndarray,
    ) -> HeadOutput:
        """What was found of these sentences, among those that were computed."""
        head, layout = self.model.head(task), batch.layout.select(sentences).layout
        rows = np.searchsorted(computed, sentences)
        if head.unit == "text":
            groups = batch.groups.inside(sentences, "text")
            members = batch.groups.at(groups).within(sentences)
            scores = placed(found[task][rows[members.members]], layout.device)
            return HeadOutput({"labels": scores}, layout, sentences, groups, members)
        scores = {
            name.partition(".")[2] or "labels": _words(values[rows], layout.word_counts)
            for name, values in found.items()
            if name.split(".")[0] == task
        }
        return HeadOutput(scores, layout, sentences)

    def decode(
        self, outputs: Mapping[str, HeadOutput], tasks: Iterable[str]
    ) -> dict[str, list[Any]]:
        """As `HierarchicalModel.decode`."""
        return {task: self._decoded(task, outputs[task]) for task in tasks}

    def _decoded(self, task: str, output: HeadOutput) -> list[Any]:
        head = self.model.head(task)
        if isinstance(output, Joined):
            found = [self._decoded(task, part) for part in output.parts]
            together = [one for part in found for one in part]
            return [together[place] for place in _order([_places(p) for p in output.parts])]
        if "heads" not in output.scores:
            return head.decode(output)
        counts = output.layout.word_counts
        arcs, relations = (output.scores[name].numpy() for name in ("heads", "relations"))
        longest = int(counts.max(initial=0))
        square = np.full((len(counts), longest + 1, longest + 1), -np.inf, dtype=arcs.dtype)
        owners = output.layout.word_sentences
        within = np.arange(len(owners)) - output.layout.word_starts[owners]
        square[owners, within + 1] = arcs[:, : longest + 1]
        trees = maximum_spanning_trees(square, counts)
        heads = trees[owners, within]
        chosen = relations[np.arange(len(heads)), heads].argmax(-1)
        pair = (split_by_sentence(values, counts) for values in (heads, chosen))
        return list(zip(*pair, strict=True))


def _word_inputs(batch: Batch, chosen: Selection, there: np.ndarray) -> dict[str, np.ndarray]:
    """Inputs of a graph that reads words, of which `there` (rows, words) says where they are."""
    layout = chosen.layout
    ids, grams, starts = (batch.inputs[name].numpy() for name in ("ids", "ngrams", "ngram_starts"))
    sizes = np.diff(starts, append=len(grams))
    every = chosen.take_units(torch.arange(batch.layout.units)).numpy()
    units = every.reshape(layout.rows, layout.padded)[:, : there.shape[1]]
    counts = sizes[units].ravel()
    begins = np.cumsum(counts) - counts
    taken = np.repeat(starts[units].ravel() - begins, counts) + np.arange(counts.sum())
    return {
        "word_ids": np.where(there, ids[units], -1),
        "ngrams": grams[taken],
        "ngram_starts": begins.reshape(units.shape),
    }


def _words(values: np.ndarray, counts: np.ndarray) -> Tensor:
    """(rows, words, ...) to (words of all rows, ...)."""
    there = np.arange(values.shape[1]) < counts[:, None]
    return torch.from_numpy(np.ascontiguousarray(values[there]))


def _join(parts: Sequence[HeadOutput], batch: Batch) -> HeadOutput:
    """One output of those of different sentences of a batch."""
    if len(parts) == 1:
        return parts[0]
    sentences = np.sort(np.concatenate([part.sentences for part in parts]))
    groups = members = None
    owners = [part.sentences[part.layout.word_sentences] for part in parts]
    if parts[0].groups is not None:
        owners = [_places(part) for part in parts]
        groups = np.sort(np.concatenate(owners))
        members = batch.groups.at(groups).within(sentences)
    scores = {}
    if all("labels" in part.scores for part in parts):
        labels = torch.cat([part.scores["labels"] for part in parts])
        scores["labels"] = labels[torch.from_numpy(_order(owners))]
    layout = batch.layout.select(sentences).layout
    return Joined(scores, layout, sentences, groups, members, parts=tuple(parts))


def _places(output: HeadOutput) -> np.ndarray:
    """Those in the batch of what an output judges: groups, or sentences."""
    return output.sentences if output.groups is None else output.groups


def _order(places: Sequence[np.ndarray]) -> np.ndarray:
    """How to take what stands at these places one after the other, to have it in their order."""
    return np.concatenate(places).argsort(kind="stable")
