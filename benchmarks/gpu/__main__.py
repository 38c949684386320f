"""The command line: `python -m benchmarks.gpu`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import facts
from benchmarks.gpu.measure import Options, measure
from benchmarks.gpu.report import text


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table and, if asked for, writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("--data", default=os.environ.get("HIERMTL_DATA"), type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--sentences", type=int, default=12_000, help="to train on and annotate")
    parser.add_argument("--epochs", type=int, default=3, help="over them, in each training run")
    parser.add_argument("--tokens-per-batch", type=int, default=32_768)
    parser.add_argument("--brief", type=int, default=10, help="epochs before annotating")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", type=int, default=8192, help="of the square product's sides")
    parser.add_argument("--json", type=Path, help="where to write the result")
    given = parser.parse_args(arguments)
    if given.data is None:
        raise SystemExit("name the folder of the corpora: --data DIR, or HIERMTL_DATA")

    def say(line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    device = torch.device(given.device)
    options = Options(
        data=given.data,
        device=device,
        blocks=given.blocks,
        width=given.width,
        sentences=given.sentences,
        epochs=given.epochs,
        tokens_per_batch=given.tokens_per_batch,
        brief=given.brief,
        rounds=given.rounds,
        peak=given.peak,
    )
    loads = [facts.load()]

    def keep(found: dict[str, Any]) -> dict[str, Any]:
        result = {
            "benchmark": "gpu",
            "commit": facts.commit(),
            "machine": facts.machine(device),
            "load": [*loads, facts.load()],
            **found,
        }
        if given.json:
            given.json.parent.mkdir(parents=True, exist_ok=True)
            given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        return result

    sys.stdout.write(text(keep(measure(options, say, keep))))


if __name__ == "__main__":
    main()
