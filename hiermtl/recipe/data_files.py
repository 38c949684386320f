"""Where a corpus file lies: under --data-dir, HIERMTL_DATA, or beside the recipe."""

import os
from pathlib import Path

from hiermtl.errors import DataError
from hiermtl.recipe.models import Recipe

VARIABLE = "HIERMTL_DATA"


def data_file(file: str, recipe: Recipe, *, data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The existing file that a recipe means by `file`.

    An absolute path stands for itself. A relative one is looked up under `data_dir`, else under the
    folder in the environment variable HIERMTL_DATA, then beside the recipe. Raises DataError that
    names each place that was tried.
    """
    given = os.fspath(data_dir) if data_dir is not None else os.environ.get(VARIABLE)
    folders = [*([Path(given)] if given else []), *recipe.folders]
    tried = [Path(file)] if Path(file).is_absolute() else [folder / file for folder in folders]
    for path in tried:
        if os.path.isfile(path):
            return path
    places = ", ".join(str(path) for path in tried) or "nowhere"
    hint = (
        ""
        if given or Path(file).is_absolute()
        else f"; say where corpora lie with --data-dir or {VARIABLE}"
    )
    raise DataError(f"there is no file {file!r} (looked at: {places}){hint}")
