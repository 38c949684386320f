"""The command line: `python -m benchmarks.mechanisms`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import facts
from benchmarks.mechanisms.costs import DEVICE, ENCODERS, measure
from benchmarks.mechanisms.report import text
from hiermtl.precision import resolve_precision


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table and, if asked for, writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mechanisms")
    parser.add_argument("--data", default=os.environ.get("HIERMTL_DATA"), type=Path)
    parser.add_argument("--encoder", choices=ENCODERS, help="default: each")
    parser.add_argument("--sentences", type=int, default=300, help="and as many pairs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write the result")
    given = parser.parse_args(arguments)
    if given.data is None:
        raise SystemExit("name the folder of the corpora: --data DIR, or HIERMTL_DATA")

    def say(line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    loads = [facts.load()]
    found = [
        measure(name, given.data, sentences=given.sentences, rounds=given.rounds, say=say)
        for name in ([given.encoder] if given.encoder else ENCODERS)
    ]
    result = {
        "benchmark": "mechanisms",
        "commit": facts.commit(),
        "machine": facts.machine(DEVICE),
        "precision": resolve_precision("auto", DEVICE),
        "load": [*loads, facts.load()],
        "sentences": given.sentences,
        "encoders": found,
    }
    sys.stdout.write(text(result))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
