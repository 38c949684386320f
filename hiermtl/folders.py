"""Where files lie: those of a run, and those that can be made again."""

import os
from pathlib import Path

RECIPE = "recipe.json"
"""In a run's folder, the recipe with every default; it is there from the first step on."""

CONFIG = "config.json"
"""In a run's folder, what makes it a model's folder; it is there once training has ended."""

SCORES, COST, LOG = "scores.json", "cost.json", "log.jsonl"
TRAINED = "trained.json"
"""In a run's folder, how much of which training data was used."""
ENVIRONMENT, FAILURE = "environment.json", "failure.json"
EXTENDS, PROBE, REMARKS = "extends.json", "probe.json", "remarks.json"
CHECKPOINTS, SKIPPED = "checkpoints", "skipped"
"""Subfolders: checkpoints, and what steps that were left out trained on."""


def cache_folder(given: str | Path | None = None) -> Path:
    """The cache: what is given, else the environment's HIERMTL_CACHE, else `~/.cache/hiermtl`."""
    found = given or os.environ.get("HIERMTL_CACHE") or Path.home() / ".cache" / "hiermtl"
    return Path(found).expanduser()
