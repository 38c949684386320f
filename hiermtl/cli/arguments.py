"""Arguments that several commands share, and how their text is read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

RecipeName: TypeAlias = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A shipped recipe's name, or a YAML file.")
]
ModelName: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A run or model folder, a shipped name, or a hub id."),
]
Overrides: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Keys of the recipe to set, with dots between: training.epochs=2.",
        show_default=False,
    ),
]
DataDir: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Folder under which corpora lie. Default: HIERMTL_DATA.",
        exists=True,
        file_okay=False,
    ),
]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print results and errors, no progress.")
]
Tasks: TypeAlias = Annotated[
    str | None,
    typer.Option("--tasks", metavar="NAMES", help="Only these tasks: upos,ner. Default: all."),
]
Precision: TypeAlias = Annotated[
    Literal["fp32", "bf16"] | None,
    typer.Option("--precision", help="Number type. Default: what the model says it can bear."),
]
Device: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="cpu, or cuda. Default: cuda where there is one.",
    ),
]


def read_overrides(items: Sequence[str] | None) -> dict[str, object]:
    """`key=value` texts as a mapping; values are read as in a recipe, so `2` is a number."""
    from hiermtl.recipe.loader import read_value

    found: dict[str, object] = {}
    for item in items or ():
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise typer.BadParameter(
                f"{item!r} is not KEY=VALUE; write for example training.epochs=2",
                param_hint="KEY=VALUE",
            )
        if key in found:
            raise typer.BadParameter(f"{key!r} is set twice; set it once", param_hint="KEY=VALUE")
        if not text.strip():
            # What a shell makes of a variable that is not set.
            raise typer.BadParameter(
                f"{item!r} has no value; write one, or {key}=null to take the key away",
                param_hint="KEY=VALUE",
            )
        found[key] = read_value(text, source=key)
    return found


def read_names(text: str | None, *, option: str = "--tasks") -> list[str] | None:
    """`a,b` as a list; `None` where nothing was said."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise typer.BadParameter(f"{text!r} names no task", param_hint=option)
    return names
