"""Results to Markdown: `python -m benchmarks.render [FILE ...] [--update PAGE]`.

Without files, all in the `results` folders. With `--update`, what stands in the page between
`<!-- table: speed -->` and `<!-- table: end -->` is replaced.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cluster import report as cluster
from benchmarks.cold_start import report as cold_start
from benchmarks.exits import report as exits
from benchmarks.gpu import report as gpu
from benchmarks.graphs import report as graphs
from benchmarks.grids import Experiment, Trials
from benchmarks.growth import report as growth
from benchmarks.learnt import Sharings
from benchmarks.mechanisms import report as mechanisms
from benchmarks.peers import report as peers
from benchmarks.pipelines import report as pipelines
from benchmarks.processes import report as processes
from benchmarks.scale import report as scale
from benchmarks.sharing import report as sharing
from benchmarks.significance import report as significance
from benchmarks.speed import report as speed
from benchmarks.start_up import report as start_up
from benchmarks.upper import report as upper
from benchmarks.upper.scores import LevelScores

TABLES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "cluster": cluster.markdown,
    "cold_start": cold_start.markdown,
    "exits": exits.markdown,
    "gpu": gpu.markdown,
    "graphs": graphs.markdown,
    "growth": growth.markdown,
    "mechanisms": mechanisms.markdown,
    "peers": peers.markdown,
    "pipelines": pipelines.markdown,
    "processes": processes.markdown,
    "scale": scale.markdown,
    "sharing": sharing.markdown,
    "significance": significance.markdown,
    "speed": speed.markdown,
    "start_up": start_up.markdown,
    "upper_baselines": upper.baselines_markdown,
    "upper_cost": upper.cost_markdown,
    "upper_spancat": upper.spancat_markdown,
}
"""A benchmark's name, as its results and the pages say it, to what renders one result."""

FOLDERS = {"upper_baselines": "upper", "upper_cost": "upper", "upper_spancat": "upper"}
"""Where the results of a benchmark lie, if not in a folder of its name."""

HERE = Path(__file__).parent

JOINT_MANY = ("single", "hard", "joint_many")
FLAT = ("single", "hard")
PAIRS = "sentences and as many pairs"

SCHEMES = Experiment(HERE / "schemes" / "bilstm.yaml", FLAT)
SCHEMES_MINILM = Experiment(HERE / "schemes" / "minilm.yaml", FLAT)

GRIDS: dict[str, Experiment | Trials | Sharings | LevelScores] = {
    "joint_many_bilstm": Experiment(HERE / "joint_many" / "bilstm.yaml", JOINT_MANY, PAIRS),
    "joint_many_minilm": Experiment(HERE / "joint_many" / "minilm.yaml", JOINT_MANY, PAIRS),
    "depths_minilm": Experiment(HERE / "depths" / "minilm.yaml", ("by_hand", "top")),
    "upper_scores": LevelScores(
        HERE / "upper" / "scores.yaml", HERE / "upper" / "results" / "baselines.json"
    ),
    "upper_hmtl": Experiment(HERE / "upper" / "hmtl.yaml", ("hmtl",)),
    "schemes_bilstm": SCHEMES,
    "schemes_claims": Trials(
        HERE / "schemes" / "claims.yaml",
        SCHEMES,
        {
            "intent": "With intents of customers of a bank as a fifth task, in training",
            "shuffled": "With tags drawn without looking at words as a fifth task, in training",
            "flipped": "With every fifth label of training another one",
        },
    ),
    "schemes_mail": Experiment(HERE / "schemes" / "mail.yaml", FLAT),
    "schemes_minilm": SCHEMES_MINILM,
    "learnt_bilstm": Sharings(SCHEMES),
    "learnt_minilm": Sharings(SCHEMES_MINILM),
}
"""Experiments of many runs, whose results are compared, by the names that pages say."""

PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- table: end -->)", re.DOTALL)
"""Where a page has a table: its start, the name, its end."""


def render(name: str, files: Sequence[Path]) -> str:
    """The tables of one benchmark, one result after the other in order of the files' names."""
    results = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(files)]
    return "\n\n".join(TABLES[name](found) for found in results if found["benchmark"] == name)


def kept(name: str) -> str:
    """The tables of all kept results of a benchmark or a grid; empty where there are none."""
    if name not in GRIDS:
        return render(name, list((HERE / FOLDERS.get(name, name) / "results").glob("*.json")))
    return GRIDS[name].markdown()


def update(page: str, tables: Callable[[str], str]) -> str:
    """The page with its tables replaced; a table without results stays as it is.

    Raises:
        ValueError: A marker names no benchmark, or the page has none.
    """

    def replaced(match: re.Match[str]) -> str:
        name = match[2]
        if name not in {**TABLES, **GRIDS}:
            known = ", ".join([*TABLES, *GRIDS])
            raise ValueError(f"no benchmark is called {name!r}; known are {known}")
        table = tables(name)
        return f"{match[1]}\n{table}\n\n{match[3]}" if table else match[0]

    page, count = PLACE.subn(replaced, page)
    if not count:
        raise ValueError("there is no `<!-- table: ... -->` with its `<!-- table: end -->`")
    return page


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables, or puts them into a page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.render")
    parser.add_argument("files", nargs="*", type=Path, help="default: all results")
    parser.add_argument("--update", type=Path, metavar="PAGE", help="a page with markers")
    given = parser.parse_args(arguments)

    def tables(name: str) -> str:
        return (
            kept(name) if not given.files else render(name, given.files) if name in TABLES else ""
        )

    if given.update is None:
        names = [*TABLES, *GRIDS]
        sys.stdout.write("\n\n".join(filter(None, map(tables, names))) + "\n")
        return
    try:
        page = update(given.update.read_text(encoding="utf-8"), tables)
    except ValueError as error:
        raise SystemExit(f"{given.update}: {error}") from None
    given.update.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
