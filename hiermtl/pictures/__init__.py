"""Pictures of what tasks share and what was learnt of it, for pages and reports.

From plain data to a figure of matplotlib (extra `pictures`), whose `savefig` writes PNG and more;
`svg` gives text for a page.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiermtl.model import HierarchicalModel
from hiermtl.pictures.canvas import can_draw, laid_out, styled, svg
from hiermtl.pictures.curves import curves
from hiermtl.pictures.flow import flow
from hiermtl.pictures.matrices import correlations, mixes, shares, sluices, tree
from hiermtl.pretrained import load_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWINGS: dict[str, Callable[[str, Mapping[str, Any], Mapping[str, Any]], "Figure"]] = {
    "adaptive": tree,
    "cross_stitch": mixes,
    "learned": shares,
    "relationship": correlations,
    "sluice": sluices,
}
"""A scheme to what draws a title, what it has learnt, and its structure; others show structure."""


def draw(scheme: str, *, learnt: Mapping[str, Any], structure: Mapping[str, Any]) -> "Figure":
    """What a scheme has learnt; the hierarchy itself where it learns nothing, or has no drawing.

    Args:
        scheme: Its name.
        learnt: What `model.sharing.learnt()` returns, in short or whole.
        structure: The branches, and what flows between them.

    `draw(**described)` draws what `HierarchicalModel.described` tells, and what results of runs
    keep of it as `learnt`.

    Raises:
        RecipeError: Matplotlib is not installed.
    """
    with styled():
        if scheme in DRAWINGS and any(learnt.values()):
            return laid_out(DRAWINGS[scheme](scheme, learnt, structure))
        return laid_out(flow(scheme, structure))


def hierarchy(scheme: str, *, structure: Mapping[str, Any]) -> "Figure":
    """The hierarchy alone: copies of blocks, what flows between them, where heads read.

    Raises:
        RecipeError: Matplotlib is not installed.
    """
    with styled():
        return laid_out(flow(scheme, structure))


def sharing(model: HierarchicalModel | str | Path) -> "Figure":
    """What the tasks of a model share, and what was learnt of it.

    Args:
        model: A model, or where one lies: a folder, a shipped name or a hub id.

    Raises:
        ModelError: There is no such model, or its folder is damaged.
        RecipeError: Matplotlib is not installed.
    """
    if not isinstance(model, HierarchicalModel):
        model, _ = load_model(model)
    return draw(**model.described())


__all__ = ["DRAWINGS", "can_draw", "curves", "draw", "hierarchy", "sharing", "svg"]
