"""A result as a picture: `python -m benchmarks.peers.picture RESULT -o FILE`.

Words per second of every subject, one bar each, and a ring where hiermtl is on the same tasks. The
axis is logarithmic, since subjects lie far apart. FILE ends in `.svg` or `.png`.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.peers.goals import own_row
from benchmarks.peers.report import TITLES
from benchmarks.peers.subjects import BARE, LOOP, OWN, PEER
from hiermtl.errors import RecipeError
from hiermtl.pictures import laid_out, styled, svg
from hiermtl.pictures.canvas import EMPTY, HUES, INK, MUTED, blank
from hiermtl.pretrained.encoders import MINILM

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {OWN: HUES[0], BARE: MUTED, LOOP: HUES[1], PEER: HUES[2]}
"""By kind of row."""
WIDTH, BAR, AROUND = 7.5, 0.28, 0.9
"""Inches: of the picture, of a bar, and around the bars of a work."""


def picture(result: Mapping[str, Any]) -> "Figure":
    """Bars of the works that are measured in seconds.

    Raises:
        RecipeError: Matplotlib is not installed.
        ValueError: Nothing in the result was measured in seconds.
    """
    works = {work: bars(result["works"].get(work, ())) for work in ("annotate", "epoch")}
    works = {work: found for work, found in works.items() if found}
    if not works:
        raise ValueError("the result has no rows with seconds; measure annotate or epoch")
    encoder = result["parameters"]["encoder"]
    about = "MiniLM" if encoder == MINILM else encoder
    with styled():
        heights = [BAR * len(found) + AROUND for found in works.values()]
        figure = blank(WIDTH, sum(heights), f"words per second, {about} on English EWT")
        grid = figure.add_gridspec(len(works), 1, height_ratios=heights)
        for place, (work, found) in enumerate(works.items()):
            axes = figure.add_subplot(grid[place])
            for height, (_, kind, rate, own) in enumerate(reversed(found)):
                axes.barh(height, rate, height=0.7, color=COLOURS[kind])
                axes.text(rate, height, f" {rate:,.0f}", va="center", color=INK)
                if own is not None:
                    axes.plot([own], [height], marker="o", fillstyle="none", color=INK)
            axes.set_yticks(range(len(found)), [name for name, *_ in reversed(found)])
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.xaxis.set_minor_formatter(lambda *_: "")
            axes.margins(x=0.15)
            axes.set_title(TITLES[work])
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(visible=True, axis="x", color=EMPTY, linewidth=0.5)
            axes.set_axisbelow(True)
        figure.supxlabel("words per second (ring: hiermtl on the same tasks)")
        return laid_out(figure)


def bars(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, float, float | None]]:
    """Name with tasks, kind, words per second, and hiermtl's on the same tasks, of another."""
    found = []
    for row in rows:
        if row["failed"] or not row["seconds"]:
            continue
        own = own_row(rows, row["tasks"]) if row["kind"] in (LOOP, PEER) else None
        name = f"{row['subject']} ({', '.join(row['tasks'])})"
        found.append((name, row["kind"], _rate(row), None if own is None else _rate(own)))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws one result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.picture")
    parser.add_argument("result", type=Path, help="the JSON of a run")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".svg or .png")
    given = parser.parse_args(arguments)
    if given.output.suffix not in (".svg", ".png"):
        raise SystemExit(f"{given.output} is neither .svg nor .png; name a file that is")
    try:
        figure = picture(json.loads(given.result.read_text(encoding="utf-8")))
    except (RecipeError, ValueError) as error:
        raise SystemExit(str(error)) from None
    if given.output.suffix == ".svg":
        given.output.write_text(svg(figure), encoding="utf-8")
    else:
        figure.savefig(given.output, dpi=150)


def _rate(row: Mapping[str, Any]) -> float:
    return row["words"] / median(row["seconds"])


if __name__ == "__main__":
    main()
