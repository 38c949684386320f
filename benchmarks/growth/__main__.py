"""The command line: `python -m benchmarks.growth`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import facts
from benchmarks.arguments import count
from benchmarks.growth.measure import DEVICE, SERIES, measure
from benchmarks.growth.report import text


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table and, if asked for, writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth")
    names = [series.name for series in SERIES]
    parser.add_argument("--series", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=count, default=3)
    parser.add_argument("--json", type=Path, help="where to write the result")
    given = parser.parse_args(arguments)

    def say(line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    before = facts.load()
    chosen = [series for series in SERIES if series.name in given.series]
    found = measure(chosen, rounds=given.rounds, say=say)
    result = {
        "benchmark": "growth",
        "commit": facts.commit(),
        "machine": facts.machine(DEVICE),
        "load": [before, facts.load()],
        **found,
    }
    sys.stdout.write(text(result))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
