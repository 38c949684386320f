"""Names of models to folders: a folder, a model shipped with the package, a model of the hub."""

import os
import re
from pathlib import Path

from hiermtl.errors import ModelError, listing, nearest
from hiermtl.pretrained.quiet import quiet

SHIPPED = Path(__file__).parents[1] / "_models"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "README.md"]


def find_model(name: str | Path, *, revision: str | None = None) -> Path:
    """The folder of a model; one of the hub is fetched into the cache first.

    Raises:
        ModelError: Nothing of that name is found; the message lists what was looked for.
    """
    if not isinstance(name, str | os.PathLike):
        raise ModelError(f"{name!r} is no model; name a folder, a shipped model or a hub id")
    path = Path(name).expanduser()
    if os.path.isdir(path):
        return path
    if os.path.exists(path):
        raise ModelError(f"{name} is a file; name the folder of the model")
    shipped = sorted(folder.name for folder in SHIPPED.glob("*") if folder.is_dir())
    if str(name) in shipped:
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
    return fetch(str(name), revision=revision, looked=looked)


def fetch(name: str, *, revision: str | None, looked: list[str]) -> Path:
    """The local folder of a hub id; `looked` says what was looked for before.

    Raises:
        ModelError: There is no such model, or no network.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        with quiet():
            return Path(snapshot_download(name, revision=revision, allow_patterns=_FILES))
    except RevisionNotFoundError:
        raise ModelError(f"{name} has no revision {revision!r} on the hub; name another") from None
    except (OSError, ValueError) as error:
        missing = isinstance(error, RepositoryNotFoundError)
        reason = "not there, or not public" if missing else f"not reachable: {_first(error)}"
        raise ModelError(
            f"there is no model {name!r}; looked for {listing([*looked, f'the hub ({reason})'])}; "
            "name an existing folder, or copy the model's folder here and name that"
        ) from None


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
