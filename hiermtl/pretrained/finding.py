"""Names of models to folders: a folder, a model shipped with the package, a model of the hub."""

import os
import re
from pathlib import Path

from hiermtl.errors import ModelError, listing, nearest
from hiermtl.folders import RECIPE
from hiermtl.pretrained.hub import fetch

SHIPPED = Path(__file__).parents[1] / "_models"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def find_model(name: str | Path, *, revision: str | None = None) -> Path:
    """The folder of a model; one of the hub is fetched into the cache first.

    Raises:
        ModelError: Nothing of that name is found; the message lists what was looked for. Or it is
            no hub model, and a revision is asked for; or it is one that asks for code.
    """
    if not isinstance(name, str | os.PathLike):
        raise ModelError(f"{name!r} is no model; name a folder, a shipped model or a hub id")
    path = Path(name).expanduser()
    if os.path.isdir(path):
        _only_of_the_hub(revision, f"{name} is a folder")
        return path
    if os.path.exists(path):
        raise ModelError(f"{name} is a file; name the folder of the model")
    shipped = sorted(folder.name for folder in SHIPPED.glob("*") if folder.is_dir())
    if str(name) in shipped:
        _only_of_the_hub(revision, f"{name} comes with the package")
        return SHIPPED / str(name)
    looked = [
        f"a folder ({path.absolute()})",
        f"a shipped model ({listing(shipped)}{nearest(str(name), shipped)})",
    ]
    if not _HUB_ID.fullmatch(str(name)):
        raise ModelError(
            f"there is no model {str(name)!r}; looked for {listing(looked)}, and it is no hub id "
            "(owner/name); name the folder of a trained model"
        )
    runs = sorted(str(recipe.parent) for recipe in path.parent.glob(f"*/{RECIPE}"))
    if revision is None and runs:
        # A mistyped run folder, and not a hub model, which would be asked for over the network.
        raise ModelError(
            f"there is no model {str(name)!r}; {path.parent} is a folder of runs, and has none of "
            f"that name{nearest(str(name), runs)}; name one of its folders, or, for a model of the "
            f"hub, call from a place that has no folder {str(path.parent)!r}"
        )
    return fetch(str(name), revision=revision, looked=looked, bare=True)


def is_hub_id(name: str) -> bool:
    """Whether a name has the form owner/name and no folder is called so."""
    return bool(_HUB_ID.fullmatch(name)) and not os.path.exists(name)


def _only_of_the_hub(revision: str | None, what: str) -> None:
    if revision is not None:
        raise ModelError(
            f"revision is {revision!r}, and {what}; revisions are those of hub models "
            "(owner/name): leave it out"
        )
