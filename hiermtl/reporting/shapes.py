"""Pictures as lists of shapes, with two ways out: SVG, which needs nothing, and PNG by matplotlib.

Colours are named by what they are for; a page, or an SVG file, says what they are in light and in
dark. Places are in units of a picture, from its upper left corner.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from hiermtl.pictures.canvas import DARK, EMPTY, HUES, INK, MUTED, PAPER, styled
from hiermtl.reporting.markup import Markup, tag

Ink: TypeAlias = Literal["ink", "muted", "faint", "paper", "accent", "second", "none"]

LIGHT: Mapping[str, str] = MappingProxyType(
    {
        "ink": INK,
        "muted": MUTED,
        "faint": EMPTY,
        "paper": PAPER,
        "accent": HUES[0],
        "second": HUES[5],
    }
)
NIGHT: Mapping[str, str] = MappingProxyType(
    {
        **{name: DARK[colour] for name, colour in LIGHT.items() if colour in DARK},
        "accent": HUES[4],
        "second": HUES[1],
    }
)
PIXELS = 96
"""Units of a picture in an inch."""

SCALE = 2
"""Pixels of a PNG to a unit."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points (x, y)."""

    points: Sequence[tuple[float, float]]
    ink: Ink = "ink"
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    fill: Ink = "none"
    ink: Ink = "none"
    round: float = 0.0


@dataclass(frozen=True, slots=True)
class Dot:
    """A point; `said` is shown when it is pointed at."""

    x: float
    y: float
    radius: float = 3.0
    fill: Ink = "accent"
    ink: Ink = "none"
    said: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """Text that stands on the line `y` and begins, ends or has its middle at `x`."""

    x: float
    y: float
    text: str
    size: float = 12.0
    ink: Ink = "ink"
    anchor: Literal["start", "middle", "end"] = "start"
    bold: bool = False


Shape: TypeAlias = Line | Box | Dot | Words


@dataclass(slots=True)
class Picture:
    """Shapes, drawn in their order; `title` says in words what is to be seen."""

    width: float
    height: float
    title: str
    shapes: list[Shape] = field(default_factory=list)

    def add(self, *shapes: Shape) -> None:
        """Draws over what is there."""
        self.shapes += shapes


def inline(picture: Picture) -> Markup:
    """The picture for a page that has `style_of_inks`."""
    return _svg(picture)


def svg_file(picture: Picture) -> str:
    """The picture as a file of its own; it follows whether its reader prefers light or dark."""
    ground = tag("rect", width="100%", height="100%", class_="f-paper")
    style = tag("style", Markup(style_of_inks()))
    return _svg(picture, style, ground, xmlns="http://www.w3.org/2000/svg") + "\n"


def style_of_inks() -> str:
    """The rules of CSS that give the inks their colours, in light and in dark."""
    light, dark = (
        "".join(f"--{name}:{colour};" for name, colour in inks.items()) for inks in (LIGHT, NIGHT)
    )
    rules = "".join(
        f".f-{ink}{{fill:var(--{ink})}}.s-{ink}{{stroke:var(--{ink})}}" for ink in LIGHT
    )
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f"svg text{{font-family:system-ui,sans-serif}}.f-none{{fill:none}}.s-none{{stroke:none}}"
        f"{rules}"
    )


def _svg(picture: Picture, *first: Markup, xmlns: str | None = None) -> Markup:
    return tag(
        "svg",
        tag("title", picture.title),
        first,
        map(_element, picture.shapes),
        xmlns=xmlns,
        viewBox=f"0 0 {picture.width:g} {picture.height:g}",
        width=f"{picture.width:g}",
        height=f"{picture.height:g}",
        role="img",
    )


def _element(shape: Shape) -> Markup:
    match shape:
        case Line(points, ink, width, dashed):
            return tag(
                "polyline",
                points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points),
                class_=f"f-none s-{ink}",
                stroke_width=f"{width:g}",
                stroke_linejoin="round",
                stroke_dasharray="4 3" if dashed else None,
            )
        case Box(x, y, width, height, fill, ink, round):
            return tag(
                "rect",
                x=f"{x:.1f}",
                y=f"{y:.1f}",
                width=f"{width:.1f}",
                height=f"{height:.1f}",
                rx=f"{round:g}" if round else None,
                class_=f"f-{fill} s-{ink}",
            )
        case Dot(x, y, radius, fill, ink, said):
            circle = tag(
                "circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=f"{radius:g}", class_=f"f-{fill} s-{ink}"
            )
            return tag("g", tag("title", said), circle) if said else circle
        case Words(x, y, words, size, ink, anchor, bold):
            return tag(
                "text",
                words,
                x=f"{x:.1f}",
                y=f"{y:.1f}",
                font_size=f"{size:g}",
                text_anchor=None if anchor == "start" else anchor,
                font_weight="600" if bold else None,
                class_=f"f-{ink}",
            )


def png(picture: Picture) -> bytes:
    """The picture in light colours, with `SCALE` pixels to a unit.

    Raises:
        RecipeError: Matplotlib is not installed.
    """
    with styled():
        from matplotlib.figure import Figure
        from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

        size = (picture.width / PIXELS, picture.height / PIXELS)
        figure = Figure(figsize=size, facecolor=LIGHT["paper"])
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set(xlim=(0, picture.width), ylim=(picture.height, 0))
        points = 72 / PIXELS

        def colours(fill: str, ink: str) -> dict[str, Any]:
            return {
                "facecolor": LIGHT.get(fill, "none"),
                "edgecolor": LIGHT.get(ink, "none"),
            }

        for order, shape in enumerate(picture.shapes):
            match shape:
                case Line(line, ink, width, dashed):
                    axes.plot(
                        [x for x, _ in line],
                        [y for _, y in line],
                        color=LIGHT[ink],
                        linewidth=width * points,
                        linestyle="--" if dashed else "-",
                        zorder=order,
                    )
                case Box(x, y, width, height, fill, ink, round):
                    corner = min(round, width / 2, height / 2)
                    box = (
                        FancyBboxPatch(
                            (x + corner, y + corner),
                            width - 2 * corner,
                            height - 2 * corner,
                            boxstyle=f"round,pad={corner}",
                            zorder=order,
                            **colours(fill, ink),
                        )
                        if corner
                        else Rectangle((x, y), width, height, zorder=order, **colours(fill, ink))
                    )
                    axes.add_patch(box)
                case Dot(x, y, radius, fill, ink):
                    axes.add_patch(Circle((x, y), radius, zorder=order, **colours(fill, ink)))
                case Words(x, y, words, size, ink, anchor, bold):
                    axes.text(
                        x,
                        y,
                        words,
                        fontsize=size * points,
                        color=LIGHT[ink],
                        ha={"start": "left", "middle": "center", "end": "right"}[anchor],
                        va="baseline",
                        weight="bold" if bold else "normal",
                        parse_math=False,
                        zorder=order,
                    )
        found = io.BytesIO()
        figure.savefig(found, format="png", dpi=PIXELS * SCALE, metadata={"Software": None})
        return found.getvalue()
