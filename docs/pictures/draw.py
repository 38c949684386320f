"""The pictures of the sharing schemes on their pages: `python -m docs.pictures.draw`.

Each is drawn from the structure of a real scheme on three tasks.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiermtl.hierarchy import Hierarchy, Task
from hiermtl.pictures import hierarchy, svg
from hiermtl.sharing import SHARING, describe

FOLDER = Path(__file__).parent

OWN, TOP = {"upos": 1, "ner": 2, "dep": 3}, {"upos": 3, "ner": 3, "dep": 3}
"""Where tasks are read: at depths of their own, or all at the top."""

EXAMPLES: Mapping[str, tuple[Mapping[str, int], Mapping[str, Any]]] = {
    "adaptive": (OWN, {"tree": {"3": [["dep"]], "2": [["ner"], ["dep"]]}}),
    "hard": (TOP, {}),
    "hmtl": ({"upos": 1, "ner": 3, "dep": 3}, {}),
    "learned": (TOP, {}),
}
"""Depths and options of schemes that do not read each task at its own depth, or have to split."""


def picture(scheme: str) -> str:
    """SVG of a scheme on three tasks."""
    depths, options = EXAMPLES.get(scheme, (OWN, {}))
    tasks = Hierarchy(Task(name, depth) for name, depth in depths.items())
    sharing = SHARING[scheme](tasks, [8] * 4, labels=dict.fromkeys(depths, 4), **options)
    return svg(hierarchy(scheme, structure=describe(sharing)["structure"]))


def main() -> None:
    """Writes the picture of every scheme."""
    for scheme in SHARING:
        (FOLDER / f"{scheme}.svg").write_text(picture(scheme), encoding="utf-8")


if __name__ == "__main__":
    main()
