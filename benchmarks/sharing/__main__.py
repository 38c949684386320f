"""The command line: `python -m benchmarks.sharing`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import facts
from benchmarks.sharing.arms import ENCODERS
from benchmarks.sharing.measure import PIECES, Options, measure
from benchmarks.sharing.report import text
from hiermtl.precision import resolve_precision


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and, if asked for, writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharing")
    parser.add_argument("--data", default=os.environ.get("HIERMTL_DATA"), type=Path)
    parser.add_argument("--encoder", choices=ENCODERS, help="default: each")
    parser.add_argument("--sentences", type=int, default=300)
    parser.add_argument("--steps", type=int, default=2, help="of each arm in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pieces", type=int, nargs="+", default=PIECES, help="of columns' steps")
    parser.add_argument("--columns", action="store_true", help="nothing but columns both ways")
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
        sentences=given.sentences,
        steps=given.steps,
        rounds=given.rounds,
        precision=resolve_precision(given.precision, device),
        device=device,
        pieces=given.pieces,
        columns_only=given.columns,
    )
    loads = [facts.load()]
    found = [
        measure(name, options, say) for name in ([given.encoder] if given.encoder else ENCODERS)
    ]
    result = {
        "benchmark": "sharing",
        "commit": facts.commit(),
        "machine": facts.machine(device),
        "precision": options.precision,
        "load": [*loads, facts.load()],
        "sentences": given.sentences,
        "steps": given.steps,
        "encoders": found,
    }
    sys.stdout.write(text(result))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
