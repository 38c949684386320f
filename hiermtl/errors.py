"""Every error a user can cause: what was given, what is allowed, what to do next.

Each class is one kind of cause. The command line prints the message alone and exits with the
class's `exit_code`; from Python they are ordinary exceptions.
"""

import difflib
from collections.abc import Iterable


class HiermtlError(Exception):
    """Base of all errors whose cause lies outside this package.

    `exit_code` is 2, the user's input.
    """

    exit_code = 2


class RecipeError(HiermtlError):
    """A recipe, or an option of a command, asks for what does not exist or cannot be done."""


class DataError(HiermtlError):
    """A data file is missing or malformed.

    The message begins with `path:line:` when the place is known, so that editors can jump to it.
    """

    def __init__(self, message: str, path: object = None, *, line: int | None = None) -> None:
        """Puts the place, if known, before the message."""
        self.path, self.line = path, line
        place = "" if path is None else f"{path}:{line}: " if line is not None else f"{path}: "
        super().__init__(place + message)


class ModelError(HiermtlError):
    """A model or run folder is missing, damaged, or of a format this version does not read."""


class RunError(HiermtlError):
    """A run failed while running (diverged, disk full, a process died). `exit_code` is 1."""

    exit_code = 1


def nearest(given: str, allowed: Iterable[str]) -> str:
    """A clause `; did you mean 'x'?` for the allowed name closest to `given`, or nothing."""
    found = difflib.get_close_matches(given, list(allowed), n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


def listing(names: Iterable[object]) -> str:
    """Allowed values as text: `a, b and c`."""
    names = [str(name) for name in names]
    return (
        names[0]
        if len(names) == 1
        else f"{', '.join(names[:-1])} and {names[-1]}"
        if names
        else "none"
    )
