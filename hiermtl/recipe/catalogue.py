"""The recipes that come with the package: found by name, listed, shown, copied."""

import os
from pathlib import Path

from hiermtl.errors import RecipeError, nearest
from hiermtl.recipe.loader import read_file

_SUFFIX = ".yaml"


def recipes_folder() -> Path:
    """Where the shipped recipes lie: in the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_recipes"
    # The installed folder first: a `recipes` beside an installed package belongs to somebody else.
    return installed if installed.is_dir() else package.parent / "recipes"


def recipe_names() -> dict[str, str]:
    """Name -> description of every shipped recipe, in order of name."""
    folder = recipes_folder()
    paths = sorted(folder.rglob(f"*{_SUFFIX}"), key=lambda path: path.relative_to(folder).parts)
    return {
        path.relative_to(folder).with_suffix("").as_posix(): str(
            read_file(path).data.get("description", "")
        )
        for path in paths
    }


def recipe_path(name: str) -> Path:
    """File of a shipped recipe. Raises RecipeError with near names when there is none."""
    folder = recipes_folder()
    path = (folder / f"{name}{_SUFFIX}").resolve()
    if path.is_relative_to(folder.resolve()) and os.path.isfile(path):
        return path
    names = _names(folder)
    near = nearest(name, names)
    related = [other for other in names if other.split("/")[0] == name.split("/")[0]]
    if not near and related:
        near = f"; recipes of that name are {', '.join(related)};"
    raise RecipeError(
        f"there is no recipe {name!r}{near or ';'} `hiermtl recipes list` shows all; "
        "a file of your own is given by its path, ending in .yaml"
    )


def show_recipe(name: str) -> str:
    """Text of a shipped recipe."""
    return recipe_path(name).read_text(encoding="utf-8")


def copy_recipe(name: str, destination: str | os.PathLike[str]) -> Path:
    """Copies a shipped recipe to a new file, or into a folder, and returns the file."""
    text = show_recipe(name)
    path = Path(destination)
    if path.is_dir() or os.fspath(destination).endswith(("/", os.sep)):
        path = path / (name.replace("/", "-") + _SUFFIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise RecipeError(f"{path} exists; choose another destination or remove it") from error
    except OSError as error:
        raise RecipeError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def _names(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob(f"*{_SUFFIX}")
    )
