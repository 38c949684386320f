"""The command line on top of functions that only remember how they were called."""

import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import hiermtl
from hiermtl import recipe
from hiermtl.cli import app

ROWS = [{"level": 1, "task": "upos", "metric": "accuracy", "score": 97.5}]


class Program:
    """Runs the program and keeps what its functions were given."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.raises: BaseException | None = None

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments), prog_name="hiermtl")

    def function(self, name: str, result: object) -> Any:
        def call(*args: Any, **kwargs: Any) -> object:
            self.calls.append((name, args, kwargs))
            if self.raises is not None:
                raise self.raises
            return result

        return call


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Program:
    """The program, with `hiermtl.commands` replaced."""
    program = Program()
    commands = ModuleType("hiermtl.commands")
    scores = SimpleNamespace(
        to_json=lambda: json.dumps(ROWS, indent=2, ensure_ascii=False),
        to_text=lambda: "TEXT",
        to_markdown=lambda: "| MARK |",
        details=lambda: {"confusion": []},
        rows=ROWS,
    )
    results = {
        "train": SimpleNamespace(folder="runs/quickstart", scores=scores, example=None),
        "evaluate": scores,
        "annotate": SimpleNamespace(
            sentences=1200,
            words=24000,
            seconds=2.0,
            left_out=("topic",),
            skipped=(),
            there=0,
            left={},
            cut=2,
        ),
        "check": ["5 tasks", "1 corpus"],
        "report": SimpleNamespace(
            file="page.html", pictures=("a.svg", "b.svg"), notes=("the log is cut",)
        ),
        "make_folder": None,
        "probe": SimpleNamespace(**vars(scores), save=program.function("save", None)),
        "exits": scores,
        "compare": scores,
        "grid": scores,
        "export": SimpleNamespace(scores={}, to_text=lambda: "TEXT"),
        "sample": None,
        "demo": None,
    }
    for name, result in results.items():
        setattr(commands, name, program.function(name, result))
    for name in ("recipe_names", "show_recipe", "copy_recipe", "schema"):
        setattr(commands, name, getattr(recipe, name))
    monkeypatch.setitem(sys.modules, "hiermtl.commands", commands)
    monkeypatch.setattr(hiermtl, "commands", commands, raising=False)
    return program
