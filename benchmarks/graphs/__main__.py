"""How fast an exported graph is beside the model it was made of, on one thread.

    python -m benchmarks.graphs MODEL FOLDER FILE

MODEL is a trained model, FOLDER what `hiermtl export --int8` made of it, FILE a CoNLL-U file. What
is timed is all from words to labels, in seconds of processor time, the best of three rounds.
"""

import argparse
import json
import time
from itertools import islice
from pathlib import Path

import torch

import hiermtl
from hiermtl.annotation import Annotator
from hiermtl.commands.export import GraphAnnotator
from hiermtl.onnx.folder import GRAPH, SMALL, TASKS
from hiermtl.text.conllu import read_conllu

ROUNDS = 3


def main() -> None:
    """Prints words per second of processor time."""
    parser = argparse.ArgumentParser(description="How fast an exported graph is.")
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--sentences", type=int, default=500)
    given = parser.parse_args()
    torch.set_num_threads(1)
    tasks = list(json.loads((given.folder / TASKS).read_text(encoding="utf-8"))["tasks"])
    nlp = hiermtl.load(given.model, tasks=tasks, precision="fp32")
    sentences = [s.words for s in islice(read_conllu(given.file), given.sentences)]
    rows: dict[str, Annotator] = {"torch, fp32": nlp}
    for name in (GRAPH, SMALL):
        if (given.folder / name).exists():
            rows[name] = GraphAnnotator(nlp, given.folder / name, name=name, threads=1)
    for name, annotator in rows.items():
        print(f"{name}: {_speed(annotator, sentences, tasks):,.0f} words a second")  # noqa: T201


def _speed(annotator: Annotator, sentences: list[tuple[str, ...]], tasks: list[str]) -> float:
    words = sum(map(len, sentences))
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in annotator.predict_layers(sentences, tasks):
            pass
        found.append(words / (time.process_time() - start))
    return max(found)


if __name__ == "__main__":
    main()
