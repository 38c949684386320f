"""Model folders of the hub: fetched into the cache, and pushed."""

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiermtl.errors import HiermtlError, ModelError, RunError, listing
from hiermtl.pretrained.quiet import quiet

FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "README.md")
"""What is fetched: tensors, JSON and text."""

_CODE = "*.py"
_CODE_KEY = "auto_map"
_OLD_WEIGHTS = (
    "model*.safetensors",
    "model.safetensors.index.json",
    "pytorch_model*.bin",
    "pytorch_model.bin.index.json",
)
"""What transformers would find as a model's weights."""

_BAD_CARD = "Invalid metadata in README.md."
_LOG_IN = "log in (`hf auth login`) with an account that may read it"


def fetch(name: str, *, revision: str | None, looked: list[str], bare: bool = False) -> Path:
    """The local folder of a hub id.

    Args:
        name: owner/name.
        revision: Branch, tag or commit. Default: the main branch.
        looked: What was looked for before, for the message.
        bare: Whether a repository with files of code is refused. They are never fetched.

    Raises:
        ModelError: There is no such model or revision, it may not be read, it asks for code, or
            the hub cannot be reached and the cache has no copy.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        with quiet():
            if bare:
                _refuse_files(name, revision)
            return Path(snapshot_download(name, revision=revision, allow_patterns=list(FILES)))
    except RevisionNotFoundError:
        raise ModelError(
            f"{name} has no revision {revision!r} on the hub; {_known_revisions(HfApi(), name)}"
        ) from None
    except (OSError, ValueError, _unanswered()) as error:
        raise ModelError(
            f"there is no model {name!r}; looked for {listing([*looked, _why(name, error)])}; "
            "name an existing folder, or copy the model's folder here and name that"
        ) from None


def push(
    folder: Path,
    name: str,
    *,
    revision: str | None,
    private: bool | None,
    message: str,
    token: str | None,
) -> str:
    """Uploads a model folder in one commit, and returns that commit.

    The repository, and the branch if one is named, are made if need be. Weights that lay there
    under other names are taken away in the same commit; everything else stays.

    Raises:
        ModelError: The name is none, or nobody, or somebody without the right to write, is logged
            in; or the hub does not take the card's metadata.
        RunError: The hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    api = HfApi(token=token)
    try:
        with quiet():
            api.create_repo(name, private=private, exist_ok=True)
            if revision is not None:
                api.create_branch(name, branch=revision, exist_ok=True)
            done = api.upload_folder(
                repo_id=name,
                folder_path=folder,
                revision=revision,
                commit_message=message,
                delete_patterns=list(_OLD_WEIGHTS),
            )
    except HFValidationError as error:
        raise ModelError(
            f"{name!r} is no name on the hub ({_first(error)}); allowed is owner/name"
        ) from None
    except (OSError, ValueError, RuntimeError, _unanswered()) as error:
        raise _refused(name, error) from None
    return done.oid


def refuse_code(config: Mapping[str, Any], path: Path) -> None:
    """Refuses what a file of a model names to be run.

    Raises:
        ModelError: It names classes of its own.
    """
    if config.get(_CODE_KEY):
        raise ModelError(
            f"{path}: asks for code of its own ({_CODE_KEY}: {_named(config[_CODE_KEY])}), which "
            "hiermtl never runs; allowed are models of its own classes: use one without "
            f"{_CODE_KEY}, or its authors' program"
        )


def _refuse_files(name: str, revision: str | None) -> None:
    """Raises ModelError for a repository with files of code; without network there is no telling.

    Of what is in the cache none were fetched.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError
    from huggingface_hub.errors import RevisionNotFoundError as NoRevision

    try:
        files = HfApi().list_repo_files(name, revision=revision)
    except (RepositoryNotFoundError, NoRevision):
        raise
    except (OSError, _unanswered()):
        return
    code = sorted(fnmatch.filter(files, _CODE))
    if code:
        raise ModelError(
            f"{name} holds code ({listing(code[:3])}{' and more' if code[3:] else ''}); a model of "
            "hiermtl is tensors, JSON and text; nothing of it was fetched. If you trust it, "
            "download its other files into a folder and name that"
        )


def _unanswered() -> type[Exception]:
    """What the hub's library raises where nobody answers, which is no `OSError`.

    It is an error of its HTTP library, another one from version to version, and its own errors
    descend from it.
    """
    from huggingface_hub.errors import HfHubHTTPError

    return next(kind for kind in HfHubHTTPError.__bases__ if issubclass(kind, Exception))


def _known_revisions(api: Any, name: str) -> str:
    """What revisions there are, as far as can be told."""
    try:
        refs = api.list_repo_refs(name)
    except Exception:  # only the message is poorer
        return "name a branch, a tag or a commit"
    branches = listing(ref.name for ref in refs.branches)
    tags = f" and the tags {listing(ref.name for ref in refs.tags)}" if refs.tags else ""
    return f"it has the branches {branches}{tags}: name one of them, or a commit"


def _why(name: str, error: Exception) -> str:
    """Why the hub did not give a model."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        where = f"{constants.ENDPOINT}/{name}"
        return f"the hub (gated: ask its owners for access on {where}, then {_LOG_IN})"
    status = _status(error)
    if isinstance(error, RepositoryNotFoundError) or status == 401:
        return f"the hub (not there, or not public: if it is private, {_LOG_IN})"
    if constants.is_offline_mode():
        return (
            "the hub (not reachable: offline mode is on and the cache has no copy; unset "
            "HF_HUB_OFFLINE to fetch it)"
        )
    return f"the hub (not reachable: {_first(error)})"


def _refused(name: str, error: Exception) -> HiermtlError:
    """What a failed upload is told as."""
    from huggingface_hub.errors import LocalTokenNotFoundError

    status = _status(error)
    if isinstance(error, LocalTokenNotFoundError) or status == 401:
        return ModelError(
            f"{name}: nobody is logged in at the hub; log in (`hf auth login`) or pass "
            "token=, one that may write"
        )
    if status in (403, 404):
        return ModelError(
            f"{name}: your account may not write there ({status}); name a repository of yours, or "
            "use a token that may write"
        )
    if isinstance(error, ValueError) and str(error).startswith(_BAD_CARD):
        lines = str(error).removeprefix(_BAD_CARD).splitlines()
        told = "; ".join(line.removeprefix("- ") for line in lines if line)
        return ModelError(
            f"{name}: nothing was pushed, the hub does not take the card's metadata ({told}); save "
            "the model, correct README.md in its folder, load that and push again"
        )
    return RunError(
        f"{name}: nothing was pushed ({_first(error)}); look whether the hub can be reached, and "
        "push again"
    )


def _named(asked: Any) -> str:
    """The classes an `auto_map` names."""
    values = asked.values() if isinstance(asked, Mapping) else [asked]
    flat = [v for value in values for v in (value if isinstance(value, list) else [value]) if v]
    return listing(flat[:3])


def _status(error: BaseException) -> int | None:
    """The number the hub answered with, if it did."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _first(error: BaseException) -> str:
    """What went wrong in a line; of an upload that failed, why it did."""
    if isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    if (status := _status(error)) is not None:
        return f"it answered {status}"
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
