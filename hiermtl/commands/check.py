"""`hiermtl check`: what can be wrong with a recipe, its data and its encoder, before training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiermtl.commands.build import build, make_settings
from hiermtl.commands.corpora import as_trained, check_leakage, open_corpora
from hiermtl.commands.train import check_trackers
from hiermtl.recipe import Recipe, load_recipe
from hiermtl.training import make_plan


def check(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    *,
    data_dir: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> list[str]:
    """Reads the recipe, its corpora and its encoder, builds the model, and says what it found.

    Raises:
        HiermtlError: What would stop the run, with the remedy.
    """
    loaded, idle = as_trained(load_recipe(recipe, overrides or {}))
    corpora = open_corpora(loaded, data_dir=data_dir)
    built = build(loaded, corpora)
    settings = make_settings(loaded, "fp32")
    plan = make_plan(built.model, built.tokenizer, built.examples, settings)
    check_trackers(loaded)
    lines = [*idle, *built.lines, *check_leakage(loaded, corpora)]
    for task in built.model.hierarchy:
        head = built.model.head(task.name)
        items = int(built.examples.items[task.name].sum())
        lines.append(
            f"{task.name}: level {built.model.hierarchy.level(task.name)}, depth {task.depth}, "
            f"{head.kind}, {len(head.labels)} labels, {items:,} training items"
            f"{', auxiliary' if task.auxiliary else ''}"
        )
    weights = sum(parameter.numel() for parameter in built.model.parameters())
    total = plan.steps_per_epoch * settings.epochs
    if settings.max_steps is not None:
        total = min(total, settings.max_steps)
    lines.append(f"{weights:,} weights; {plan.steps_per_epoch:,} steps an epoch, {total:,} in all")
    limit = built.tokenizer.limit
    longer = int((built.examples.lengths > limit).sum()) if limit is not None else 0
    if longer:
        lines.append(f"{longer} training sentences are longer than the encoder and are windowed")
    return lines
