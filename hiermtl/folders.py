"""Where files lie that can be made again."""

import os
from pathlib import Path


def cache_folder(given: str | Path | None = None) -> Path:
    """The cache: what is given, else the environment's HIERMTL_CACHE, else `~/.cache/hiermtl`."""
    found = given or os.environ.get("HIERMTL_CACHE") or Path.home() / ".cache" / "hiermtl"
    return Path(found).expanduser()
