"""`hiermtl export`: a model as an ONNX graph, and what 8 bits cost it."""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from hiermtl.annotation import Annotator, load
from hiermtl.commands.corpora import open_corpora
from hiermtl.commands.evaluate import evaluate, read_gold, score_corpora, trained_on
from hiermtl.errors import DataError, ModelError, RecipeError
from hiermtl.evaluation import Scores
from hiermtl.onnx import Running, Written, export_model


@dataclass(frozen=True, slots=True)
class Export:
    """What was written, and the scores of each graph; `unmeasured` says why there are none.

    `scores` maps the name of a graph's file to its rows. `long` is the number of sentences longer
    than a row, which the model itself computed in both.
    """

    written: Written
    scores: dict[str, Scores]
    unmeasured: str = ""
    long: int = 0

    def to_text(self) -> str:
        """The files, and for each task its main score in each of them."""
        sizes = self.written.sizes.items()
        lines = [f"{name}: {size / 1e6:,.1f} MB" for name, size in sizes]
        lines.append(f"tasks: {', '.join(self.written.tasks)}")
        if self.unmeasured:
            lines.append(f"what int8 costs was not measured: {self.unmeasured}")
        if self.scores:
            (_, whole), (_, small) = self.scores.items()
            lines += ["", f"{'task':<14}{'metric':<10}{'fp32':>8}{'int8':>8}{'change':>8}"]
            for task in whole.tasks:
                for row, other in zip(whole.mains(task), small.mains(task), strict=True):
                    change = other.score - row.score
                    lines.append(
                        f"{task:<14}{row.metric:<10}{row.score:>8.2f}{other.score:>8.2f}"
                        f"{change:>+8.2f}"
                    )
            data = ", ".join(dict.fromkeys(row.data for row in whole))
            split = "split dev; " if {row.split for row in whole} == {"dev"} else ""
            lines.append(f"{split}data {data}; ONNX Runtime, with this processor's kernels")
            if self.long:
                lines.append(
                    f"sentences longer than a row, which the model computed in fp32: {self.long}"
                )
        return "\n".join(lines)


def export(
    model: str | Path | Annotator,
    output: str | Path,
    *,
    tasks: Iterable[str] | None = None,
    int8: bool = False,
    data: str | Path | None = None,
    data_dir: str | Path | None = None,
) -> Export:
    """Writes an ONNX graph of an encoder with the scores of its tasks.

    Args:
        model: A model, or where one lies.
        output: A new folder: `model.onnx`, `tasks.json` and the tokenizer.
        tasks: Those whose scores are given. Default: all.
        int8: Whether a graph with matrices in 8 bits is written too, `model.int8.onnx`. Both are
            then scored, if there is gold.
        data: A file with that gold, as `hiermtl.evaluate` reads it. Default: dev of the model's
            corpora, if they are at hand.
        data_dir: Where corpora lie, instead of HIERMTL_DATA.

    Raises:
        ModelError: There is no such model or task, no graph of such an encoder or head, the folder
            is occupied, or packages are missing.
        DataError: The file is not there, or cannot be read.
        RecipeError: A file is given, and nothing is to be scored.
    """
    if data is not None:
        if not int8:
            raise RecipeError(
                f"{data} is a file to score graphs on, which is done only with int8: ask for that, "
                "or leave out the file"
            )
        read_gold(data)
    if isinstance(tasks, Iterator):
        tasks = tuple(tasks)  # it is read twice
    nlp = model if isinstance(model, Annotator) else load(model, tasks=tasks, precision="fp32")
    wanted = nlp.hierarchy.select(tasks)
    written = export_model(nlp.model, nlp.tokenizer, output, tasks=wanted, int8=int8)
    if written.small is None:
        return Export(written, {})
    graphs = {
        path.name: GraphAnnotator(nlp, path, name=name)
        for path, name in ((written.graph, "fp32"), (written.small, "int8"))
    }
    try:
        scores = {
            name: _scored(graph, written.tasks, data_dir=data_dir)
            if data is None
            else evaluate(graph, data, tasks=tasks).filter(task=written.tasks)
            for name, graph in graphs.items()
        }
    except (DataError, ModelError) as error:
        return Export(written, {}, str(error))
    return Export(written, scores, long=max(graph.long for graph in graphs.values()))


class GraphAnnotator(Annotator):
    """A model whose scores a graph computes, on the processor."""

    def __init__(self, nlp: Annotator, file: Path, *, name: str, threads: int = 0) -> None:
        """Takes the model that was exported, its graph, and how that is called in scores.

        0 threads are as many as there are cores.
        """
        model = nlp.model
        if model.device.type != "cpu" or model.dtype != torch.float32:
            model = copy.deepcopy(model).float().cpu()
        super().__init__(model, nlp.tokenizer, precision="fp32", flat=False)
        self._computing = Running(model, file, threads=threads)
        self.precision = name

    @property
    def long(self) -> int:
        """The sentences so far that were longer than a row, which the model computed."""
        return self._computing.long


def _scored(graph: GraphAnnotator, tasks: Iterable[str], *, data_dir: str | Path | None) -> Scores:
    recipe = trained_on(graph.model)
    corpora = open_corpora(recipe, data_dir=data_dir, splits=("train", "dev"))
    return score_corpora(graph, recipe, corpora, split="dev", tasks=tasks)
