"""`hiermtl check`: what can be wrong with a recipe, its data and its encoder, before training."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiermtl.commands.build import build, make_encoder, make_settings
from hiermtl.commands.corpora import check_leakage, open_corpora
from hiermtl.commands.length import run_length
from hiermtl.commands.processes import check_shard
from hiermtl.commands.tasks import as_trained
from hiermtl.commands.train import check_installed, check_precision
from hiermtl.errors import listing
from hiermtl.model import HierarchicalModel
from hiermtl.recipe import Recipe, auto_tasks, in_reading_order, load_recipe, with_depths
from hiermtl.training import Settings
from hiermtl.training.balancing import make_balancer
from hiermtl.training.optimizer import freeze


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
    check_shard(loaded)
    probed = auto_tasks(loaded)
    corpora = open_corpora(loaded, data_dir=data_dir)
    start = make_encoder(loaded, corpora)
    blocks = start[0].blocks
    stand_in, lowered = in_reading_order(loaded, dict.fromkeys(probed, blocks), blocks=blocks)
    loaded = with_depths(loaded, stand_in)
    built = build(loaded, corpora, start=start)
    settings = make_settings(loaded, "fp32")
    length = run_length(built, loaded)
    check_installed(loaded)
    check_precision(loaded)
    lines = [*idle, *built.lines, *check_leakage(loaded, corpora)]
    for task in built.model.hierarchy:
        head = built.model.head(task.name)
        items = int(built.examples.items[task.name].sum())
        lines.append(
            f"{task.name}: level {built.model.hierarchy.level(task.name)}, depth {task.depth}, "
            f"{head.kind}, {len(head.labels)} labels, {items:,} training items"
            f"{', auxiliary' if task.auxiliary else ''}"
        )
    if probed:
        below = ", or where it is read below the top, that depth" if lowered else ""
        lines.append(
            f"{listing(probed)}: depth auto, which a probe fixes before training; until then the "
            f"top stands for it here{below}"
        )
    freeze(built.model, settings.freeze_from, settings.freeze_below)
    weights, trained = (
        sum(weight.numel() for weight in built.model.parameters() if weight.requires_grad or every)
        for every in (True, False)
    )
    held = f", {trained:,} of them trained" if trained < weights else ""
    lines.append(
        f"{weights:,} weights{held}; {length.per_epoch:,} steps an epoch, {length.total:,} in all"
    )
    lines += length.lines
    lines += _kept_apart(built.model, settings)
    limit = built.tokenizer.limit
    longer = int((built.examples.lengths > limit).sum()) if limit is not None else 0
    if longer:
        lines.append(f"{longer} training sentences are longer than the encoder and are windowed")
    return lines


def _kept_apart(model: HierarchicalModel, settings: Settings) -> list[str]:
    """What a balancing by gradients keeps of each task on weights that several share."""
    if not make_balancer(settings, {}).apart:
        return []
    kept = Counter(name for task in model.hierarchy.names for name in model.depends_on(task))
    sizes = {n: weight.numel() for n, weight in model.named_parameters() if weight.requires_grad}
    shared = {name: size for name, size in sizes.items() if kept[name] > 1}
    numbers = sum(size * kept[name] for name, size in shared.items())
    return [
        f"{settings.balancing}: {sum(shared.values()):,} weights are shared, on which the tasks' "
        f"gradients have {numbers:,} numbers, {numbers * 4 / 2**20:,.0f} MiB in fp32"
    ]
