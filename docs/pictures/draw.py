"""The pictures of the sharing schemes on their pages: `python -m docs.pictures.draw`.

Each scheme is drawn from its structure on three tasks, and what schemes have learnt from the kept
results of the experiment that compares them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiermtl.evaluation.results import read_result
from hiermtl.hierarchy import Hierarchy, Task
from hiermtl.pictures import DRAWINGS, draw, hierarchy, svg
from hiermtl.sharing import SHARING, describe

FOLDER = Path(__file__).parent
RESULTS = FOLDER.parents[1] / "benchmarks" / "schemes"

OWN, TOP = {"upos": 1, "ner": 2, "dep": 3}, {"upos": 3, "ner": 3, "dep": 3}
"""Where tasks are read: at depths of their own, or all at the top."""

EXAMPLES: Mapping[str, tuple[Mapping[str, int], Mapping[str, Any]]] = {
    "adaptive": (OWN, {"tree": {"3": [["dep"]], "2": [["ner"], ["dep"]]}}),
    "hard": (TOP, {}),
    "hmtl": ({"upos": 1, "ner": 3, "dep": 3}, {}),
    "learned": (TOP, {}),
    "relationship": (TOP, {}),
}
"""Depths and options of schemes that do not read each task at its own depth, or have to split."""


SHOWN = ("bilstm", "minilm")
"""The grids of which pages show what was learnt."""


def picture(scheme: str) -> str:
    """SVG of a scheme on three tasks."""
    depths, options = EXAMPLES.get(scheme, (OWN, {}))
    tasks = Hierarchy(Task(name, depth) for name, depth in depths.items())
    sharing = SHARING[scheme](tasks, [8] * 4, labels=dict.fromkeys(depths, 4), **options)
    return svg(hierarchy(scheme, structure=describe(sharing)["structure"]))


def first_runs() -> dict[str, Path]:
    """Names of pictures of what was learnt, to the results of first seeds that they show."""
    return {
        f"learnt_{grid}_{scheme}": file
        for grid in SHOWN
        for scheme in DRAWINGS
        for file in sorted((RESULTS / grid / "results").glob(f"{scheme}-1000-*-0.json"))
    }


def learnt(result: Path) -> str:
    """SVG of what a run has learnt of sharing."""
    return svg(draw(**read_result(result).learnt))


def main() -> None:
    """Writes the picture of every scheme, and of what was learnt."""
    drawn = {scheme: picture(scheme) for scheme in SHARING}
    drawn |= {name: learnt(file) for name, file in first_runs().items()}
    for name, text in drawn.items():
        (FOLDER / f"{name}.svg").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
