"""Pictures of what was learnt: shares between streams, shares of depths, how tasks relate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from hiermtl.pictures.canvas import EMPTY, INK, MUTED, PAPER, blank, on
from hiermtl.pictures.flow import Plan, paint, room

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

SIGNED, SHARE = "RdBu", "cividis"
"""Colour maps that colour-blind readers can read: around 0, and from 0 up."""

MOST_SHOWN = 8
"""Rows and columns up to which cells have their number written in them."""

BAR = 0.9
"""The inches that a scale of colours wants."""

KEPT = "#d55e00"
"""The colour around the depth that a task has kept."""


def mixes(title: str, learnt: Mapping[str, Any], structure: Mapping[str, Any]) -> "Figure":
    """Cross-stitch: for each depth how much of each stream goes into each, receivers in rows.

    With a number per channel the colour is their mean, and the standard deviation is beside it.
    """
    return _grid(f"{title}: what streams take from each other", learnt)


def sluices(title: str, learnt: Mapping[str, Any], structure: Mapping[str, Any]) -> "Figure":
    """Sluice networks: the shares of all parts in all parts, and of depths in what heads read."""
    said = f"{title}: what parts of streams take from each other"
    return _grid(said + (", and what heads read" if learnt["beta"] else ""), learnt)


def shares(title: str, learnt: Mapping[str, Any], structure: Mapping[str, Any]) -> "Figure":
    """Learned depth: each task's mix, its centre of gravity, and the depth it has kept."""
    from matplotlib.patches import Rectangle

    given = learnt["shares"]
    names, depths = list(given), max(map(len, given.values()))
    width, height = _room(names, range(1, depths + 1))
    figure = blank(width + BAR, height, f"{title}: the depths that heads read")
    axes = figure.add_subplot()
    mesh = _depths(axes, given, SHARE, limits=(0, 1), lift=0.16)
    said = "diamond: centre of gravity"
    for row, name in enumerate(names):
        at = learnt["centres"][name]
        axes.plot(at, row - 0.27, "D", markersize=5, color=PAPER, markeredgecolor=INK, zorder=4)
        if learnt["depths"] is not None:
            corner = (learnt["depths"][name] - 0.5, row - 0.5)
            outline = {"fill": False, "edgecolor": KEPT, "linewidth": 2.5, "zorder": 3}
            axes.add_patch(Rectangle(corner, 1, 1, **outline))
    if learnt["depths"] is not None:
        said += "\noutlined: the depth that was kept"
    axes.set_title(said, fontsize=8.5, color=MUTED)
    figure.colorbar(mesh, ax=axes, label="share")
    return figure


def correlations(title: str, learnt: Mapping[str, Any], structure: Mapping[str, Any]) -> "Figure":
    """Relationship networks: how the tasks' layers are correlated, from -1 to 1."""
    names = learnt["tasks"]
    width, height = _room(names, names)
    figure = blank(width + BAR, height, f"{title}: correlation of the tasks' layers")
    axes = figure.add_subplot()
    mesh = between(axes, np.array(learnt["correlations"]), names, SIGNED, limits=(-1, 1))
    figure.colorbar(mesh, ax=axes, label="correlation")
    return figure


def tree(title: str, learnt: Mapping[str, Any], structure: Mapping[str, Any]) -> "Figure":
    """Adaptive sharing: the tree of copies as it stands, and how alike tasks find sentences."""
    plan, names = Plan(structure), learnt["tasks"]
    values = np.array(learnt["affinities"], dtype=np.float64)
    compared = len(names) > 1 and not np.isnan(values[~np.eye(len(names), dtype=bool)]).all()
    width, height = room(plan)
    said = f"{title}: the tree as it stands"
    if not compared:
        figure = blank(width, height, said)
        paint(figure.add_subplot(), plan)
        return figure
    beside = _room(names, names)
    figure = blank(width + beside[0] + BAR, max(height, beside[1]), said)
    left, right = figure.subplots(1, 2, width_ratios=[width, beside[0] + BAR])
    paint(left, plan)
    mesh = between(right, values, names, SHARE, limits=(0, 1))
    right.set_title("sentences hard, or easy, for both", fontsize=9)
    figure.colorbar(mesh, ax=right, label="affinity")
    return figure


def heat(
    axes: "Axes",
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    colours: str,
    *,
    limits: tuple[float, float],
    spread: np.ndarray | None = None,
    lift: float = 0.0,
    first: int = 0,
) -> "QuadMesh":
    """A matrix in colours, cells centred on whole numbers; what is not known, NaN, is grey.

    Rows are counted from 0 and upwards, columns from `first`. Few cells have their numbers written
    in them, `lift` above the middle.
    """
    from matplotlib import colormaps

    scale = colormaps[colours].resampled(64).with_extremes(bad=EMPTY)
    edges = [np.arange(size + 1) - 0.5 for size in values.shape]
    shades = {"vmin": limits[0], "vmax": limits[1], "edgecolor": PAPER, "linewidth": 0.8}
    masked = np.ma.masked_invalid(values)
    mesh = axes.pcolormesh(edges[1] + first, edges[0], masked, cmap=scale, **shades)
    axes.set_aspect("equal")
    axes.set_xticks(np.arange(len(columns)) + first, columns)
    axes.set_yticks(np.arange(len(rows)), rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value) or max(values.shape) > MOST_SHOWN:
            continue
        # Adding 0 makes a plain 0 of -0.
        text = f"{round(value, 2) + 0.0:.2f}"
        text += "" if spread is None else f"\n±{spread[row, column]:.2f}"
        colour = on(scale((value - limits[0]) / (limits[1] - limits[0])))
        where = (column + first, row + lift)
        said = axes.text(*where, text, ha="center", va="center", fontsize=7.5, color=colour)
        # It lies in its cell, whatever else has to be given room.
        said.set_in_layout(False)
    return mesh


def between(
    axes: "Axes", values: np.ndarray, names: Sequence[str], colours: str, **options: Any
) -> "QuadMesh":
    """A matrix of tasks by tasks, the first on top."""
    mesh = heat(axes, values, names, names, colours, **options)
    axes.invert_yaxis()
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    return mesh


def _depths(
    axes: "Axes",
    given: Mapping[str, Sequence[float]],
    colours: str,
    *,
    limits: tuple[float, float],
    lift: float = 0.0,
) -> "QuadMesh":
    """Tasks by depths, the lowest task at the bottom; above a task's own depth there is nothing."""
    top = max(map(len, given.values()))
    values = np.full((len(given), top), np.nan)
    for row, own in enumerate(given.values()):
        values[row, : len(own)] = own
    depths = [str(depth) for depth in range(1, top + 1)]
    mesh = heat(axes, values, list(given), depths, colours, limits=limits, lift=lift, first=1)
    axes.set_xlabel("depth (blocks)")
    return mesh


@dataclass(frozen=True, slots=True)
class _Alpha:
    """The shares after the blocks of a depth: a row for each receiver, a column for each sender."""

    said: str
    names: list[str]
    values: np.ndarray
    spread: np.ndarray | None = None


def _alphas(learnt: Mapping[str, Any]) -> list[_Alpha]:
    """By depth, with mean and spread in place of a number for each channel."""
    parts, found = learnt.get("subspaces", 1), []
    for depth, given in sorted(learnt["alpha"].items(), key=lambda item: int(item[0])):
        told, spread = given["values"], None
        if isinstance(told, Mapping):
            values, spread = np.array(told["mean"]), np.array(told["spread"])
        else:
            values = np.array(told)
        if values.ndim > 2:
            values, spread = values.mean(-1), values.std(-1)
        names = given["streams"]
        pairs = len(names) * (len(names) - 1)
        if parts > 1:
            names = [f"{name} {part + 1}" for name in names for part in range(parts)]
        said = f"after block {depth}"
        zeros = learnt.get("zeros", {}).get(depth, 0)
        if zeros:
            said += f"\n{zeros} of {pairs} pairs are 0"
        found.append(_Alpha(said, names, values, spread))
    return found


def _grid(title: str, learnt: Mapping[str, Any]) -> "Figure":
    """A panel for each depth, and one for what heads read."""
    alphas, beta = _alphas(learnt), learnt.get("beta", {})
    whole = [alpha.values for alpha in alphas] + [np.array(own) for own in beta.values()]
    most = max(1.0, *(float(np.abs(values).max()) for values in whole))
    count = len(alphas) + bool(beta)
    names = max((alpha.names for alpha in alphas), key=len, default=list(beta))
    width, height = _room(names, names)
    columns = min(4, count)
    rows = ceil(count / columns)
    figure = blank(width * columns + BAR, height * rows, title)
    every = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, alpha in zip(every, alphas, strict=False):
        options: dict[str, Any] = {"limits": (-most, most), "spread": alpha.spread}
        between(axes, alpha.values, alpha.names, SIGNED, **options)
        axes.set(xlabel="from the stream of", ylabel="into the stream of")
        axes.set_title(alpha.said, fontsize=9)
        _parts(axes, alpha, learnt.get("subspaces", 1))
    if beta:
        _depths(every[len(alphas)], beta, SIGNED, limits=(-most, most))
        every[len(alphas)].set_title("what heads read", fontsize=9)
    for axes in every[count:]:
        axes.set_axis_off()
    figure.colorbar(every[0].collections[0], ax=every, label="share")
    return figure


def _parts(axes: "Axes", alpha: _Alpha, parts: int) -> None:
    """Lines between tasks, where each has parts; pairs of tasks that share nothing are hatched."""
    from matplotlib.patches import Rectangle

    if parts < 2:
        return
    for edge in range(parts, len(alpha.names), parts):
        for line in (axes.axvline, axes.axhline):
            line(edge - 0.5, color=INK, linewidth=1.0)
    for row in range(0, len(alpha.names), parts):
        for column in range(0, len(alpha.names), parts):
            if not alpha.values[row : row + parts, column : column + parts].any():
                corner = (column - 0.5, row - 0.5)
                hatched = {"fill": False, "hatch": "//", "edgecolor": EMPTY, "linewidth": 0}
                axes.add_patch(Rectangle(corner, parts, parts, **hatched))


def _room(rows: Sequence[object], columns: Sequence[object]) -> tuple[float, float]:
    """The inches that a matrix with such names wants."""
    cell = 0.6 if max(len(rows), len(columns)) <= MOST_SHOWN else 0.3
    left, below = (0.085 * max(len(str(name)) for name in names) for names in (rows, columns))
    return left + 0.5 + cell * len(columns), 0.8 * below + 0.7 + cell * len(rows)
