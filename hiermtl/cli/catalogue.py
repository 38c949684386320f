"""`hiermtl recipes`, `hiermtl sample` and `hiermtl schema`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hiermtl.atomic import write_whole
from hiermtl.cli.arguments import Quiet
from hiermtl.cli.output import say

RecipeArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A shipped recipe, such as low_supervision/ewt.")
]


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    recipes = typer.Typer(
        help="List, show or copy the recipes of hiermtl.",
        epilog="Example: hiermtl recipes copy low_supervision/ewt mine.yaml",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    recipes.command("list", epilog="Example: hiermtl recipes list")(list_recipes)
    recipes.command("show", epilog="Example: hiermtl recipes show quickstart")(show_recipe)
    recipes.command("copy", epilog="Example: hiermtl recipes copy quickstart mine.yaml")(
        copy_recipe
    )
    app.add_typer(recipes, name="recipes")
    app.command(epilog="Example: hiermtl sample corpora/sample --train 500")(sample)
    app.command(epilog="Example: hiermtl schema -o recipe.schema.json")(schema)


def list_recipes(*, quiet: Quiet = False) -> None:
    """List the shipped recipes; with --quiet, their names alone."""
    from hiermtl import commands

    found = commands.recipe_names()
    width = max(map(len, found), default=0)
    for name, description in found.items():
        typer.echo(name if quiet else f"{name:<{width}}  {description}".rstrip())


def show_recipe(name: RecipeArgument, *, quiet: Quiet = False) -> None:
    """Print a recipe; with --quiet, without its comments."""
    from hiermtl import commands

    text = commands.show_recipe(name)
    if quiet:
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        text = "\n".join(lines).strip() + "\n"
    typer.echo(text, nl=False)


def copy_recipe(
    name: RecipeArgument,
    destination: Annotated[
        str,
        typer.Argument(
            metavar="DEST",
            help="A new file ending in .yaml, or a folder: one that exists, or DEST/.",
        ),
    ],
    *,
    quiet: Quiet = False,
) -> None:
    """Copy a recipe, to change it and train it by its path."""
    from hiermtl import commands

    say(f"wrote {commands.copy_recipe(name, destination)}", quiet=quiet)


def sample(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write the files into.")],
    *,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which sentences are drawn.")] = 0,
    train: Annotated[int, typer.Option("--train", min=1, help="Training sentences.")] = 2000,
    dev: Annotated[int, typer.Option("--dev", min=1, help="Development sentences.")] = 300,
    test: Annotated[int, typer.Option("--test", min=1, help="Test sentences.")] = 300,
    quiet: Quiet = False,
) -> None:
    """Write the sample corpora. They are generated, in the formats of real ones."""
    from hiermtl import commands

    commands.sample(folder, seed=seed, train=train, dev=dev, test=test)
    say(f"wrote {folder}", quiet=quiet)


def schema(
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="File to write. Default: print it."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Print the JSON Schema of recipes. Editors complete and check with it."""
    from hiermtl import commands

    text = json.dumps(commands.schema(), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_whole(output, text)
        say(f"wrote {output}", quiet=quiet)
