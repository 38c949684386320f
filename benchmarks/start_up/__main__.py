"""The command line: `python -m benchmarks.start_up [MODEL]`."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import facts
from benchmarks.start_up.report import text

FIRST = """
import hiermtl
hiermtl.load({model!r})(["A", "first", "document", "."])
"""
NEEDED = (
    FIRST
    + """
import json, sys
known = sys.stdlib_module_names | {{"hiermtl", "__main__"}}
own = [name for name in sys.modules if name.partition(".")[0] not in known]
print(json.dumps(own))
"""
)
"""Prints what the first document imported from other packages, in the order of the imports."""

BARE = """
import importlib
for name in {names!r}:
    try:
        importlib.import_module(name)
    except ImportError:  # put into `sys.modules` by another module, not to be imported itself
        pass
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table and, if asked for, writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start_up")
    parser.add_argument("model", nargs="?", default="en_small", help="a model's folder or name")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="where to write the result")
    given = parser.parse_args(arguments)
    result = measure(given.model, rounds=given.rounds)
    sys.stdout.write(text(result))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(model: str, *, rounds: int) -> dict[str, Any]:
    """Whole processes, in turn; the first round, which fills the system's caches, is left out."""
    asked = [sys.executable, "-c", NEEDED.format(model=model)]
    needed = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)
    commands = {
        "import hiermtl": ["-c", "import hiermtl"],
        "hiermtl --help": ["-c", "from hiermtl.cli import main; main()", "--help"],
        "bare imports": ["-c", BARE.format(names=needed)],
        "load and first document": ["-c", FIRST.format(model=model)],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    loads = [facts.load()]
    for number in range(rounds + 1):
        for name, arguments in commands.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
            if number:
                seconds[name].append(time.perf_counter() - began)
    loads.append(facts.load())
    return {
        "benchmark": "start_up",
        "machine": facts.machine(torch.device("cpu")),
        "commit": facts.commit(),
        "load": loads,
        "model": Path(model).name,
        "spacy": any(name.partition(".")[0] == "spacy" for name in needed),
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()
