"""The command line: `python -m benchmarks.cold_start MODEL`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import facts
from benchmarks.cold_start.curves import SETTINGS, curves
from benchmarks.cold_start.report import markdown
from hiermtl.pretrained import find_model, load_model


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs all arms, prints the table and, if asked for, writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold_start")
    parser.add_argument("model", help="folder or shipped name of a model without chunks")
    parser.add_argument("--data", default=os.environ.get("HIERMTL_DATA"), type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--depth", type=int, default=1, help="of the new task")
    parser.add_argument("--json", type=Path, help="where to write the result")
    given = parser.parse_args(arguments)
    if given.data is None:
        raise SystemExit("name the folder of the corpora: --data DIR, or HIERMTL_DATA")
    rows = []
    for row in curves(
        given.model,
        given.data,
        sizes=given.sizes,
        seeds=given.seeds,
        steps=given.steps,
        depth=given.depth,
    ):
        rows.append(row)
        sys.stderr.write(f"{row}\n")
        sys.stderr.flush()
    result = {
        "benchmark": "cold_start",
        "commit": facts.commit(),
        "model": Path(given.model).name,
        "tasks": list(load_model(find_model(given.model))[0].hierarchy.names),
        "machine": facts.machine(torch.device("cpu")),
        "settings": SETTINGS,
        "depth": given.depth,
        "steps": given.steps,
        "seeds": given.seeds,
        "rows": rows,
    }
    sys.stdout.write(markdown(result) + "\n")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
