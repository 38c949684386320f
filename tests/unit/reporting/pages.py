"""How pages are read in tests: their elements, and the material they are made of."""

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

from hiermtl.evaluation.scores import ScoreRow
from hiermtl.reporting import Facts, Material

VOID = {"br", "circle", "col", "hr", "img", "input", "line", "link", "meta", "path", "polyline"}
SECTIONS = (
    *("hierarchy", "curves", "scores", "comparison", "confusion", "errors", "probes", "sharing"),
    *("recipe", "environment"),
)


class Page(HTMLParser):
    """The elements and the text of a page; `problems` are tags that do not match."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.problems: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()
        self.problems += [f"<{name}> is never closed" for name in self._open]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def anchors(self) -> list[str | None]:
        return [of["id"] for name, of in self.elements if name == "h2"]

    def names(self) -> set[str]:
        return {name for name, _ in self.elements}

    def resources(self) -> list[str]:
        """Whatever an element asks a reader to fetch from elsewhere."""
        asked = ("src", "srcset", "href", "xlink:href", "data", "action", "poster")
        found = [str(of[key]) for _, of in self.elements for key in asked if key in of]
        return [value for value in found if not value.startswith(("#", "data:"))]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self._open or self._open[-1] != tag:
            self.problems.append(f"</{tag}> where {self._open[-1:]} is open")
        else:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def row(task: str = "upos", score: float = 90.0, **changes: Any) -> ScoreRow:
    given = {
        "level": 1,
        "depth": 1,
        "task": task,
        "metric": "accuracy",
        "score": score,
        "items": 10,
        "data": "own",
        "split": "dev",
        "scorer": "accuracy",
        "dtype": "fp32",
        "seed": 0,
    }
    return ScoreRow(**{**given, **changes})


def material(facts: Facts, **given: Any) -> Material:
    return Material(**{"facts": facts, "rungs": facts.rungs(), **given})


def facts(**changes: Any) -> Facts:
    tasks: Mapping[str, Any] = {"upos": {"depth": 1, "head": "tagging", "labels": ["A", "B"]}}
    given: dict[str, Any] = {
        "folder": "run",
        "asked": "runs/run",
        "finished": True,
        "recipe": {"name": "own", "training": {"seed": 0}},
        "config": {"encoder": {"layers": 2}, "tasks": tasks, "sharing": {"name": "hard"}},
        "rows": {"dev": (row(),)},
    }
    return Facts(**{**given, **changes})
