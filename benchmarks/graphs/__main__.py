"""What an exported graph gains and costs beside the model it is made of.

    python -m benchmarks.graphs MODEL FILE --tasks TASK ... --json RESULT

MODEL is a trained model, whose corpora are at hand, and FILE a CoNLL-U file. The model is exported
with int8 and both graphs are scored on dev; what is timed is all from words to labels, in seconds
of processor time on one thread.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

import hiermtl
from benchmarks import facts
from benchmarks.graphs.report import GRAPH, SMALL, TORCH, text
from hiermtl.annotation import Annotator
from hiermtl.commands.export import Export, GraphAnnotator
from hiermtl.text.conllu import read_conllu

ROUNDS = 3


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table and, if asked for, writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graphs")
    parser.add_argument("model")
    parser.add_argument("file", type=Path)
    parser.add_argument("--tasks", nargs="+", help="default: all")
    parser.add_argument("--sentences", type=int, default=500, help="how many are timed")
    parser.add_argument("--json", type=Path, help="where to write the result")
    given = parser.parse_args(arguments)
    result = measure(given.model, given.file, tasks=given.tasks, sentences=given.sentences)
    sys.stdout.write(text(result))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(model: str, file: Path, *, tasks: list[str] | None, sentences: int) -> dict[str, Any]:
    """Exports, scores and times; rounds are interleaved, and the first only warms."""
    torch.set_num_threads(1)
    loads = [facts.load()]
    nlp = hiermtl.load(model, tasks=tasks, precision="fp32")
    words = [sentence.words for sentence in islice(read_conllu(file), sentences)]
    with TemporaryDirectory(prefix="hiermtl-") as place:
        made = hiermtl.export(nlp, Path(place) / "graph", tasks=tasks, int8=True)
        if not made.scores:
            raise SystemExit(made.unmeasured)
        graph, small = made.written.graph, made.written.small
        assert small is not None
        annotators = {
            TORCH: nlp,
            GRAPH: GraphAnnotator(nlp, graph, name="fp32", threads=1),
            SMALL: GraphAnnotator(nlp, small, name="int8", threads=1),
        }
        seconds: dict[str, list[float]] = {name: [] for name in annotators}
        for number in range(ROUNDS + 1):
            for name, annotator in annotators.items():
                taken = _seconds(annotator, words, made.written.tasks)
                if number:
                    seconds[name].append(taken)
        sizes = dict(zip((GRAPH, SMALL), made.written.sizes.values(), strict=True))
    loads.append(facts.load())
    machine = facts.machine(torch.device("cpu"))
    machine["versions"]["onnxruntime"] = version("onnxruntime")
    return {
        "benchmark": "graphs",
        "machine": machine,
        "commit": facts.commit(),
        "load": loads,
        "model": nlp.model.config.recipe.get("name") or Path(model).name,
        "data": file.name,
        "sentences": len(words),
        "words": sum(map(len, words)),
        "sizes": sizes,
        "scores": _scores(made),
        "long": made.long,
        "seconds": seconds,
    }


def _scores(made: Export) -> list[dict[str, Any]]:
    """The main scores of each task by both graphs."""
    whole, small = made.scores.values()
    return [
        {"task": task, "metric": row.metric, GRAPH: row.score, SMALL: other.score}
        for task in whole.tasks
        for row, other in zip(whole.mains(task), small.mains(task), strict=True)
    ]


def _seconds(annotator: Annotator, sentences: list[tuple[str, ...]], tasks: Sequence[str]) -> float:
    began = time.process_time()
    for _ in annotator.predict_layers(sentences, tasks):
        pass
    return time.process_time() - began


if __name__ == "__main__":
    main()
