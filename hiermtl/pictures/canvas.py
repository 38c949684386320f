"""What all pictures have in common: figures, colours, and SVG text.

Matplotlib is imported when a picture is drawn, and never through pyplot: no figure is kept anywhere
but with the caller.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hiermtl.errors import RecipeError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, PAPER, EMPTY = "#1f2328", "#59636e", "#ffffff", "#d1d9e0"
"""Colours of text, of lines and what is said by the way, of the ground, and of the unknown."""

DARK = MappingProxyType({INK: "#e6edf3", MUTED: "#9198a1", PAPER: "#0d1117", EMPTY: "#3d444d"})
"""What they are in SVG where a reader prefers dark pages."""

HUES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
"""Colours that tell tasks apart, also for colour-blind readers (Okabe and Ito 2008)."""

TITLE = 0.4
"""The height of a title in inches."""

STYLE: Mapping[Any, Any] = MappingProxyType(
    {
        "font.family": ["sans-serif"],
        "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
        "font.size": 9.0,
        "axes.titlesize": 10.0,
        "axes.labelsize": 9.0,
        "figure.titlesize": 11.0,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "text.color": INK,
        "axes.titlecolor": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": MUTED,
        "axes.facecolor": PAPER,
        "axes.grid": False,
        # Names are a user's, whose dollars enclose no formulas.
        "text.parse_math": False,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "figure.facecolor": PAPER,
        "savefig.facecolor": PAPER,
        # Text stays text: pictures are small, and can be searched and read aloud.
        "svg.fonttype": "none",
        "svg.hashsalt": "hiermtl",
    }
)
ASK = "install it with `pip install 'hiermtl[pictures]'`"


@contextmanager
def styled() -> Iterator[None]:
    """Figures made inside look alike, whatever a user has set.

    Raises:
        RecipeError: Matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise RecipeError(f"pictures need matplotlib ({error}); {ASK}") from None
    with matplotlib.rc_context(dict(STYLE)):
        yield


def can_draw() -> bool:
    """Whether matplotlib, which draws, is installed."""
    try:
        with styled():
            return True
    except RecipeError:
        return False


def blank(width: float, height: float, title: str) -> "Figure":
    """An empty figure of that many inches, wider if the title is, which stands on top."""
    from matplotlib.figure import Figure

    width = max(width, 0.1 * len(title) + 0.3)
    figure = Figure(figsize=(width, height + TITLE), layout="constrained")
    figure.suptitle(title)
    return figure


def laid_out(figure: "Figure") -> "Figure":
    """The figure, whose parts stay where they are now however often it is saved."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def svg(figure: "Figure") -> str:
    """The picture as text for a file or a page; the same figure gives the same bytes.

    It follows whether its reader prefers light or dark pages.
    """
    text = io.StringIO()
    with styled():
        unnamed: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", metadata=unnamed)
    rules = "".join(
        f'[style*="{part}: {light}"]{{{part}:{dark} !important}}'
        for light, dark in DARK.items()
        for part in ("fill", "stroke")
    )
    style = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"
    head, found, rest = text.getvalue().partition(" <defs>\n")
    lines = f"{head} {style}\n{found}{rest}".splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def hues(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name, in whatever order they come; after seven they come again."""
    return {name: HUES[place % len(HUES)] for place, name in enumerate(sorted(names))}


def on(colour: Any) -> str:
    """Black or white, whichever is read better on a colour."""
    from matplotlib.colors import to_rgb

    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    light = sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    # The contrast ratios of WCAG 2: (lighter + 0.05) / (darker + 0.05).
    return "#000000" if (light + 0.05) ** 2 > 0.05 * 1.05 else "#fefefe"
