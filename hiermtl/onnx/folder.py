"""Writes a folder with a model's graph, its labels and its tokenizer.

The folder has all that is needed to use the graph without this package: `model.onnx`, with int8
`model.int8.onnx` beside it, `tasks.json` and the tokenizer's files. Source of int8: the dynamic
quantisation of ONNX Runtime, matrices in 8 bits and activations rounded as they come.
"""

import contextlib
import copy
import io
import json
import logging
import os
import secrets
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from hiermtl.errors import ModelError, RunError, listing
from hiermtl.heads import CrfHead
from hiermtl.model import HierarchicalModel
from hiermtl.onnx.graph import Graph, example
from hiermtl.onnx.operators import keep_whole, translations
from hiermtl.structures.constraints import bio_transitions
from hiermtl.tokens import PieceTokenizer, Tokenizer

GRAPH, SMALL, TASKS = "model.onnx", "model.int8.onnx", "tasks.json"
FORMAT = 1
EVERY = 1 << 40
"""Numbers up to which a tensor of constants is computed when the graph is written: all of them."""

INPUTS = {
    "input_ids": "(rows, pieces) int64: pieces of a sentence, the special ones included",
    "attention_mask": "(rows, pieces) int64: 1, and 0 behind the last piece",
    "word_starts": "(rows, words) int64: the place of each word's first piece, -1 for no word",
    "word_ends": "(rows, words) int64: the place behind each word's last piece, 0 for no word",
    "casing": "(rows, pieces) int64: how the piece's word is capitalised, 0 for special pieces",
    "word_ids": "(rows, words) int64: the word's place among those known, 0 for others, -1 for no "
    "word",
    "ngrams": "(all,) int64: buckets of the n-grams of all words, one row after the other",
    "ngram_starts": "(rows, words) int64: the place of each word's first n-gram; of no word, that "
    "of the next",
}


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the graph, and with int8 the smaller one; sizes in bytes."""

    folder: Path
    tasks: tuple[str, ...]
    graph: Path
    small: Path | None

    @property
    def sizes(self) -> dict[str, int]:
        """The files of graphs and their sizes, those of weights beside them added."""
        return {path.name: _size(path) for path in (self.graph, self.small) if path}


def export_model(
    model: HierarchicalModel,
    tokenizer: Tokenizer,
    folder: str | Path,
    *,
    tasks: Iterable[str] | None = None,
    int8: bool = False,
) -> Written:
    """Writes the folder, whole or not at all.

    Args:
        model: Is not changed; the graph computes in fp32.
        tokenizer: The one the model was trained with.
        folder: A new one, or an empty one.
        tasks: Those whose scores the graph gives. Default: all.
        int8: Whether a second graph with matrices in 8 bits is written.

    Raises:
        ModelError: The packages are missing, the folder is occupied, or there is no graph of the
            encoder's family or of a task's head, or none for all lengths.
        RunError: The folder cannot be written.
    """
    check_packages()
    place = Path(folder).absolute()
    if place.suffix == ".onnx":
        raise ModelError(
            f"{folder} is named as a file; name a folder, which gets {GRAPH}, the labels and the "
            "tokenizer"
        )
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ModelError(f"{folder} is occupied; name another folder")
    names = model.hierarchy.select(tasks)
    own = copy.deepcopy(model.merged()).float().cpu()
    keep_whole(own)
    graph = Graph(own, names).eval()
    beside = place.parent / f".{place.name}.{secrets.token_hex(4)}.tmp"
    try:
        beside.mkdir(parents=True)
        about = _about(graph, tokenizer)
        _write_graph(graph, beside / GRAPH, about)
        if int8:
            _shrink(beside / GRAPH, beside / SMALL)
        text = json.dumps(about, ensure_ascii=False, indent=1) + "\n"
        (beside / TASKS).write_text(text, encoding="utf-8")
        tokenizer.save(beside)
        if place.exists():
            place.rmdir()
        os.rename(beside, place)
    except OSError as error:
        raise RunError(
            f"{folder}: the graph cannot be written ({error.strerror or error}); name a folder "
            "you may write to, with room"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Written(place, names, place / GRAPH, place / SMALL if int8 else None)


def _size(graph: Path) -> int:
    return sum(file.stat().st_size for file in graph.parent.glob(f"{graph.name}*"))


def check_packages() -> None:
    """Raises ModelError when what writes and runs graphs is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ModelError(
            f"graphs need the packages onnx, onnxscript and onnxruntime ({error}); "
            'install them: pip install "hiermtl[onnx]"'
        ) from None


def _write_graph(graph: Graph, path: Path, about: Mapping[str, Any]) -> None:
    """Writes the graph, what has to be known in its metadata; weights of over 1.5 GB beside it."""
    from onnxscript.optimizer import fold_constants
    from torch._dynamo.exc import UserError

    inputs, axes = example(graph)
    with _silence(), torch.no_grad():
        try:
            traced = torch.export.export(graph, inputs, dynamic_shapes=(axes,))
        except UserError as error:
            raise ModelError(
                f"torch cannot write the graph of {listing(graph.tasks)} for all numbers of rows, "
                f"pieces and words ({str(error).strip().splitlines()[0]}); name fewer tasks to "
                "find the one it is, and leave that out"
            ) from error
        program = torch.onnx.export(
            traced,
            dynamo=True,
            input_names=list(graph.inputs),
            output_names=[output.name for output in graph.outputs],
            custom_translation_table=translations(),
            verbose=False,
        )
        assert program is not None
        fold_constants(program.model, input_size_limit=EVERY, output_size_limit=EVERY)
        program.model.metadata_props["hiermtl"] = json.dumps(about, ensure_ascii=False)
        program.save(path)


def _about(graph: Graph, tokenizer: Tokenizer) -> dict[str, Any]:
    """What has to be known to use a graph, as plain data."""
    tasks: dict[str, Any] = {}
    outputs = graph.outputs
    for task in graph.tasks:
        head = graph.model.head(task)
        own = [output for output in outputs if output.name.split(".")[0] == task]
        tasks[task] = {
            "head": head.kind,
            "labels": list(head.labels),
            "outputs": {output.name: _plain(output) for output in own},
        }
        if isinstance(head, CrfHead):
            tasks[task]["chain"] = _chain(head)
    inputs = {name: INPUTS[name] for name in graph.inputs}
    return {"format": FORMAT, "inputs": inputs, **_reading(tokenizer), "tasks": tasks}


def _reading(tokenizer: Tokenizer) -> dict[str, Any]:
    """What has to be known to make pieces into rows; words need none of it."""
    if not isinstance(tokenizer, PieceTokenizer):
        return {}
    assert tokenizer.limit is not None, "families with a graph have rows that end"
    special = len(tokenizer.prefix) + len(tokenizer.suffix)
    return {
        "most_pieces": tokenizer.limit + special,
        "prefix": list(tokenizer.prefix),
        "suffix": list(tokenizer.suffix),
        "pad": tokenizer.pad,
        "unknown": tokenizer.unknown,
    }


def _plain(output: Any) -> dict[str, Any]:
    return {key: value for key, value in asdict(output).items() if key != "name"}


def _chain(head: CrfHead) -> dict[str, Any]:
    """Scores of steps from label to label, of the first and of the last label.

    `None` where decoding forbids it.
    """
    steps, start = head.transitions.detach(), head.start.detach()
    if head.bio:
        allowed, opening = bio_transitions(head.labels)
        steps = steps.masked_fill(~allowed, float("-inf"))
        start = start.masked_fill(~opening, float("-inf"))

    def listed(values: torch.Tensor) -> list[float | None]:
        return [None if value == float("-inf") else value for value in values.tolist()]

    return {
        "steps": [listed(row) for row in steps],
        "start": listed(start),
        "end": listed(head.end.detach()),
    }


def _shrink(path: Path, small: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _silence():
        quantize_dynamic(path, small, weight_type=QuantType.QInt8)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keeps the exporters' progress and advice off the terminal; errors are exceptions."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
