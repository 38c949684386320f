"""The result of `benchmarks.cold_start` as Markdown."""

from collections.abc import Mapping
from statistics import mean, stdev
from typing import Any


def markdown(result: Mapping[str, Any]) -> str:
    """What was run, and a table: rows are arms, columns numbers of sentences."""
    sizes = sorted({row["sentences"] for row in result["rows"]})
    arms = list(dict.fromkeys(row["arm"] for row in result["rows"]))
    lines = [
        f"Model {result['model']} ({', '.join(result['tasks'])}); new task `chunk` at depth "
        f"{result['depth']}, {result['steps']} steps in every arm; F1 on EWT's test sentences "
        f"(conlleval), mean and standard deviation over {result['seeds']} draws of sentences with "
        "the seed of training.",
        "",
        "| training sentences | " + " | ".join(f"{size:,}" for size in sizes) + " |",
        "| :-- |" + " --: |" * len(sizes),
    ]
    for arm in arms:
        cells = []
        for size in sizes:
            found = [
                row["f1"]
                for row in result["rows"]
                if row["arm"] == arm and row["sentences"] == size
            ]
            spread = f" ± {stdev(found):.1f}" if len(found) > 1 else ""
            cells.append(f"{mean(found):.1f}{spread}")
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
