"""The command line: `python -m benchmarks.cluster`."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

import torch

from benchmarks import facts
from benchmarks.cluster.report import text
from benchmarks.timing import Variant, interleave
from hiermtl.text.conllu import read_conllu

TREEBANK = "ud_english_ewt/en_ewt-ud-dev.conllu"
WAYS = {
    "one process": (),
    "2 workers": ("--workers", "2"),
    "Ray, 2 workers": ("--engine", "ray", "--workers", "2"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table and, if asked for, writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster")
    parser.add_argument("--data", default=os.environ.get("HIERMTL_DATA"), type=Path)
    parser.add_argument("--model", default="en_small")
    parser.add_argument("--sentences", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the result")
    given = parser.parse_args(arguments)
    if given.data is None:
        raise SystemExit("name the folder of the corpora: --data DIR, or HIERMTL_DATA")
    dev = [list(sentence.words) for sentence in read_conllu(given.data / TREEBANK)]
    device = torch.device("cpu")
    loads = [facts.load()]
    sizes = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in given.sentences:
            source = folder / f"{count}.jsonl"
            lines = [json.dumps({"words": words}) for words in islice(cycle(dev), count)]
            source.write_text("\n".join(lines) + "\n", encoding="utf-8")
            words = sum(map(len, islice(cycle(dev), count)))
            variants = [
                Variant(way, "", "", lambda o=options, s=source: run(given.model, s, o), words, 0)
                for way, options in WAYS.items()
            ]
            seconds = interleave(
                variants,
                given.rounds,
                device=device,
                say=lambda line, n=count: sys.stderr.write(f"{n:,} sentences: {line}\n"),
            )
            sizes.append({"sentences": count, "words": words, "seconds": seconds})
    result = {
        "benchmark": "cluster",
        "commit": facts.commit(),
        "machine": facts.machine(device),
        "load": [*loads, facts.load()],
        "model": given.model,
        "sizes": sizes,
    }
    sys.stdout.write(text(result))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def run(model: str, source: Path, options: Sequence[str]) -> None:
    """The whole command, from its start to its end."""
    target = source.with_name("out")
    if "ray" not in options:
        target = target.with_suffix(".jsonl")
    command = [sys.executable, "-m", "hiermtl", "annotate", model, str(source), "-q"]
    subprocess.run([*command, "-o", str(target), *options], check=True)
    shutil.rmtree(target) if target.is_dir() else target.unlink()


if __name__ == "__main__":
    main()
