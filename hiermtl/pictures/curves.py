"""Curves of probes: how well each task is read at each depth, and the depth that is proposed."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

from hiermtl.pictures.canvas import EMPTY, INK, MUTED, blank, hues, laid_out, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3
"""Tasks beside each other."""

SIZE = (2.6, 1.9)
"""The inches of a task's axes."""

MOST_TICKS = 9
"""Depths that are named below a picture."""


def curves(rows: Sequence[Mapping[str, Any]], depths: Mapping[str, int]) -> "Figure":
    """A small picture per task, of its score by depth with the spread over seeds around it.

    `rows` are those of a probe, without a spread where there is one seed; the proposed depth is
    ringed. Scores of control labels are dotted.

    Raises:
        RecipeError: Matplotlib is not installed.
    """
    with styled():
        names = list(dict.fromkeys(row["task"] for row in rows))
        across = min(COLUMNS, max(1, len(names)))
        down = max(1, ceil(len(names) / across))
        figure = blank(SIZE[0] * across, SIZE[1] * down, "what a linear probe reads at each depth")
        colours = hues(names)
        for place, task in enumerate(names):
            axes = figure.add_subplot(down, across, place + 1)
            own = [row for row in rows if row["task"] == task]
            where = [row["depth"] for row in own]
            means = [row["score"] for row in own]
            if all(row["spread"] is not None for row in own):
                low = [row["score"] - row["spread"] for row in own]
                high = [row["score"] + row["spread"] for row in own]
                axes.fill_between(where, low, high, color=colours[task], alpha=0.25, linewidth=0)
            axes.plot(where, means, color=colours[task], marker="o", markersize=3)
            if own[0]["control"] is not None:
                control = [row["control"] for row in own]
                axes.plot(where, control, color=MUTED, linestyle=":", linewidth=1)
            title = task
            if task in depths:
                at = depths[task]
                axes.plot([at], [means[at]], marker="o", markersize=9, fillstyle="none", color=INK)
                title = f"{task}: depth {at}"
            axes.set_title(title)
            axes.set_ylabel(own[0]["metric"])
            axes.set_xticks(where[:: ceil(len(where) / MOST_TICKS)])
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(visible=True, axis="y", color=EMPTY, linewidth=0.5)
            if place + across >= len(names):
                axes.set_xlabel("depth")
        return laid_out(figure)
