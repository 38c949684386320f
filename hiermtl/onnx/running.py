"""A graph in the place of a model: the same batches in, the same outputs, from ONNX Runtime."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hiermtl.errors import ModelError
from hiermtl.heads.base import split_by_sentence
from hiermtl.model import HierarchicalModel
from hiermtl.records import Batch, HeadOutput, placed
from hiermtl.structures.tree import maximum_spanning_trees


class Running:
    """Answers for a model as far as prediction asks: scores are the graph's, decoding the heads'.

    `long` counts the sentences longer than a row, which the model computes itself.
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
        if batch.layout.rows != batch.layout.sentences:
            self.long += batch.layout.rows - batch.layout.sentences
            return self.model(batch, tasks)
        wanted = {name: n for n, name in enumerate(self.gives) if name.split(".")[0] in tasks}
        made: list[Any] = list(self.session.run(list(wanted), self.inputs(batch)))
        found = dict(zip(wanted, made, strict=True))
        return {task: self._output(task, found, batch, who) for task, who in tasks.items()}

    def inputs(self, batch: Batch) -> dict[str, np.ndarray]:
        """A batch with a row for each sentence as the graph reads it.

        Raises ModelError for rows that lie end to end.
        """
        layout = batch.layout
        if not layout.padded:
            raise ModelError("a graph reads padded rows; make batches with flat=False")
        shape, counts = (layout.rows, layout.padded), layout.word_counts
        ids = batch.inputs["ids"].view(shape).numpy()
        places = np.arange(shape[1])
        there = np.arange(counts.max()) < counts[:, None]
        units = layout.word_units - np.repeat(layout.row_starts, counts)
        sizes = np.bincount(layout.piece_words, minlength=layout.words)
        starts, ends = np.full(there.shape, -1), np.zeros(there.shape, dtype=np.int64)
        starts[there], ends[there] = units, units + sizes
        every = {
            "input_ids": ids,
            "attention_mask": (places < layout.row_lengths[:, None]).astype(np.int64),
            "word_starts": starts,
            "word_ends": ends,
        }
        if "casing" in batch.inputs:
            every["casing"] = batch.inputs["casing"].view(shape).numpy()
        return {name: every[name] for name in self.reads}

    def _output(
        self, task: str, found: Mapping[str, np.ndarray], batch: Batch, who: np.ndarray
    ) -> HeadOutput:
        head, layout = self.model.head(task), batch.layout
        sentences = np.flatnonzero(who)
        chosen = layout.select(sentences)
        if head.unit == "text":
            groups = batch.groups.inside(sentences, "text")
            members = batch.groups.at(groups).within(sentences)
            scores = placed(found[task][sentences[members.members]], layout.device)
            return HeadOutput({"labels": scores}, chosen.layout, sentences, groups, members)
        there = np.arange(layout.word_counts.max()) < layout.word_counts[:, None]
        scores = {
            name.partition(".")[2] or "labels": chosen.take_words(_words(values, there))
            for name, values in found.items()
            if name.split(".")[0] == task
        }
        return HeadOutput(scores, chosen.layout, sentences)

    def decode(
        self, outputs: Mapping[str, HeadOutput], tasks: Iterable[str]
    ) -> dict[str, list[Any]]:
        """As `HierarchicalModel.decode`."""
        return {task: self._decoded(task, outputs[task]) for task in tasks}

    def _decoded(self, task: str, output: HeadOutput) -> list[Any]:
        head = self.model.head(task)
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


def _words(values: np.ndarray, there: np.ndarray) -> Tensor:
    """(rows, words, ...) to (words of all rows, ...)."""
    return torch.from_numpy(np.ascontiguousarray(values[there]))
