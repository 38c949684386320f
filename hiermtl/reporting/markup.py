"""HTML and SVG as text in which what a user wrote can never become markup."""

import re
from collections.abc import Iterable
from html import escape
from typing import TypeAlias


class Markup(str):
    """Text that is markup already; all other text is escaped where it is put in."""

    __slots__ = ()


Content: TypeAlias = "Markup | str | int | float | Iterable[Content] | None"

EMPTY = frozenset({"br", "circle", "col", "line", "meta", "path", "polyline", "rect"})
"""Elements without content."""

_UNFIT = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that neither HTML nor XML can hold."""


def text(content: Content) -> Markup:
    """Content as markup: strings escaped, `None` nothing, the parts of an iterable joined.

    Characters that no page can hold become U+FFFD.
    """
    if isinstance(content, Markup):
        return content
    if content is None:
        return Markup()
    if isinstance(content, str | int | float):
        return Markup(escape(_UNFIT.sub("\ufffd", str(content)), quote=True))
    return Markup("".join(text(part) for part in content))


def tag(name: str, /, *content: Content, **attributes: str | float | None) -> Markup:
    """An element.

    Attributes that are `None` are left out. In names `_` stands for `-`, and one at the end is
    dropped, so that `class_` can be written.
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in EMPTY:
        return Markup(f"<{name}{shown}/>")
    return Markup(f"<{name}{shown}>{text(content)}</{name}>")


def table(
    head: Iterable[Content],
    rows: Iterable[Iterable[Content]],
    *,
    words: Iterable[int] = (0,),
) -> Markup:
    """A table that scrolls sideways where it is wider than the page.

    `words` are the columns that hold no numbers; numbers stand to the right.
    """
    left = set(words)

    def cells(kind: str, row: Iterable[Content]) -> list[Markup]:
        return [
            tag(kind, cell, class_=None if place in left else "number")
            for place, cell in enumerate(row)
        ]

    body = tag("tbody", [tag("tr", cells("td", row)) for row in rows])
    whole = tag("table", tag("thead", tag("tr", cells("th", head))), body)
    return tag("div", whole, class_="wide", tabindex="0")
