"""Depths as a recipe writes them to depths of its encoder: shares, the scheme's rule, controls."""

import math
import random
from collections.abc import Mapping
from fractions import Fraction

from hiermtl.errors import RecipeError, nearest
from hiermtl.recipe.encoder import BilstmEncoder
from hiermtl.recipe.messages import Problem
from hiermtl.recipe.models import Recipe
from hiermtl.recipe.schemes import LearnedSharing, SharingOptions
from hiermtl.recipe.tasks import AUTO

CONTROLS = ("random_depth", "shuffled", "inverted")


def resolve_depth(value: int | str, blocks: int, *, path: str, encoder: str) -> int:
    """A depth as a whole number from 1 to `blocks`.

    A share of the encoder (`50%`) is rounded half up and at least 1. `path` and `encoder` are named
    in the error. Raises RecipeError when the encoder has no such depth, or it is `auto` still.
    """
    if value == AUTO:
        raise RecipeError(
            f"{path} is 'auto', which a probe fixes where an encoder is trained from its start; "
            "here give a whole number from 1, or a share such as 50%"
        )
    depth = _blocks_up(value, blocks)
    if not 1 <= depth <= blocks:
        raise RecipeError(f"{path} {_outside(depth, blocks, encoder)}")
    return depth


def resolve_depths(recipe: Recipe, blocks: int) -> dict[str, int]:
    """Task -> the depth it is read at in an encoder of so many blocks, controls applied.

    Raises RecipeError listing every depth that the encoder or the sharing scheme does not allow.
    """
    found = depth_problems(recipe, blocks)
    if found:
        raise RecipeError("\n".join(f"{'.'.join(item.path)} {item.message}" for item in found))
    depths = {
        name: blocks
        if task.depth is None
        else resolve_depth(
            task.depth, blocks, path=f"tasks.{name}.depth", encoder=recipe.encoder.name
        )
        for name, task in recipe.tasks.items()
    }
    if recipe.controls is None:
        return depths
    return permute_depths(depths, recipe.controls, seed=recipe.training.seed, blocks=blocks)


def auto_tasks(recipe: Recipe) -> list[str]:
    """The tasks whose depth a probe is to fix."""
    return [name for name, task in recipe.tasks.items() if task.depth == AUTO]


def with_depths(recipe: Recipe, depths: Mapping[str, int | str]) -> Recipe:
    """The same recipe, with these depths of these tasks."""
    tasks = {
        name: task.model_copy(update={"depth": depths.get(name, task.depth)})
        for name, task in recipe.tasks.items()
    }
    return recipe.model_copy(update={"tasks": tasks}).located(recipe.source, recipe.folders)


def in_reading_order(
    recipe: Recipe, depths: Mapping[str, int], *, blocks: int
) -> tuple[dict[str, int], list[str]]:
    """Depths that are free to move, so moved that no head is below what it reads; a line each.

    Tasks that are not among the depths stay where the recipe has them, at the top where it gives
    none. What such a task reads, itself or through others, is lowered to it; then a task that is
    below what it reads is lifted.

    Raises:
        RecipeError: The encoder has no such depth as the recipe gives a task.
    """
    found, lines = dict(depths), []
    reads = {task: _read_by(recipe, task) for task in recipe.tasks}

    def where(task: str) -> int:
        return found[task] if task in found else _given(recipe, task, blocks)

    for task in depths:
        readers = [name for name in reads if name not in depths and task in reads[name]]
        ceiling, reader = min(((where(name), name) for name in readers), default=(blocks, ""))
        if ceiling < found[task]:
            lines.append(
                f"{task}: depth {found[task]} by itself; lowered to {ceiling}, since {reader}, "
                "which reads it, is there"
            )
            found[task] = ceiling
    for task in depths:
        floor, lower = max((where(name), name) for name in (task, *reads[task]))
        if floor > found[task]:
            lines.append(
                f"{task}: depth {found[task]} by itself; lifted to {floor}, since it reads {lower}"
            )
            found[task] = floor
    return found, lines


def _read_by(recipe: Recipe, task: str) -> list[str]:
    """The tasks that a task's head reads, and those that theirs read."""
    found: list[str] = []
    waiting = [task]
    while waiting:
        lower = getattr(recipe.tasks[waiting.pop()].head, "reads", ())
        new = [name for name in lower if name not in found and name != task]
        found += new
        waiting += new
    return found


def _given(recipe: Recipe, task: str, blocks: int) -> int:
    """The depth that a recipe gives a task; the top where it gives none."""
    depth = recipe.tasks[task].depth
    if depth is None or depth == AUTO:
        return blocks
    path = f"tasks.{task}.depth"
    return resolve_depth(depth, blocks, path=path, encoder=recipe.encoder.name)


def permute_depths(
    depths: Mapping[str, int], control: str, *, seed: int, blocks: int
) -> dict[str, int]:
    """Depths that a hierarchy must beat: a pure function of its arguments.

    `inverted` reverses the order of the depths in use. `shuffled` deals the same depths out to
    other tasks (never the given assignment, where there is another). `random_depth` draws each
    depth from 1 to `blocks`, all equally likely.
    """
    names = sorted(depths)
    # Seeding by text does not depend on the process's hash seed.
    draw = random.Random(f"hiermtl.controls:{control}:{seed}")
    match control:
        case "inverted":
            used = sorted(set(depths.values()))
            mirror = dict(zip(used, reversed(used), strict=True))
            chosen = {name: mirror[depths[name]] for name in names}
        case "shuffled":
            values = [depths[name] for name in names]
            given = list(values)
            while len(set(given)) > 1 and values == given:
                draw.shuffle(values)
            chosen = dict(zip(names, values, strict=True))
        case "random_depth":
            chosen = {name: draw.randint(1, blocks) for name in names}
        case _:
            raise RecipeError(
                f"controls is {control!r}, but allowed are "
                f"{', '.join(CONTROLS)}{nearest(control, CONTROLS)}"
            )
    return {name: chosen[name] for name in depths}


def depth_problems(recipe: Recipe, blocks: int | None = None) -> list[Problem]:
    """What is wrong with the recipe's depths; without `blocks`, what is wrong for every encoder."""
    rule = recipe.sharing.depths
    found = []
    if rule == "top" and recipe.controls is not None:
        message = (
            f"is {recipe.controls!r}, but sharing {recipe.sharing.name!r} reads every task at the "
            "top; controls need a scheme with depths, such as low_supervision"
        )
        found.append(Problem(("controls",), message))
    for name, task in recipe.tasks.items():
        path = ("tasks", name, "depth")
        if task.depth is None:
            if rule == "own":
                message = (
                    f"is missing; sharing {recipe.sharing.name!r} reads each task at its own "
                    "depth: give a whole number from 1, a share such as 50%, or auto"
                )
                found.append(Problem(path, message))
        elif task.depth == AUTO:
            found += [Problem(path, message) for message in _no_probe(recipe)]
        elif blocks is not None and isinstance(task.depth, int) and task.depth > blocks:
            found.append(Problem(path, _outside(task.depth, blocks, recipe.encoder.name)))
    return [*found, *_uneven(recipe, recipe.sharing, blocks)]


def _no_probe(recipe: Recipe) -> list[str]:
    """Why no probe can fix depths."""
    found = []
    if isinstance(recipe.encoder, BilstmEncoder):
        found.append(
            "is 'auto', but encoder 'bilstm' is trained from scratch, so that a probe would read "
            "random states; give a whole number from 1 or a share such as 50%, or name a "
            "pretrained encoder (encoder.name)"
        )
    if isinstance(recipe.sharing, LearnedSharing):
        found.append(
            "is 'auto', which a probe fixes before training, but sharing 'learned' learns depths "
            "in training; leave depth out, or use sharing: low_supervision"
        )
    elif recipe.sharing.depths == "top":
        found.append(
            f"is 'auto', but sharing {recipe.sharing.name!r} reads every task at the top; leave "
            "depths out, or use sharing: low_supervision"
        )
    return found


def _uneven(recipe: Recipe, sharing: SharingOptions, blocks: int | None) -> list[Problem]:
    """Depths below the top under a scheme that reads everything there."""
    if sharing.depths != "top":
        return []
    given = {
        name: task.depth
        for name, task in recipe.tasks.items()
        if task.depth is not None and task.depth != AUTO
    }
    whole = [depth for depth in given.values() if isinstance(depth, int)]
    # Without the encoder at hand, the top is at least the deepest depth that is written down.
    top = max(whole, default=None) if blocks is None else blocks
    found = []
    for name, depth in given.items():
        known = isinstance(depth, int) or blocks is not None
        if top is None or not known or _blocks_up(depth, top) >= top:
            continue
        message = (
            f"is {depth}, but sharing {sharing.name!r} reads every task at the top (depth {top}); "
            "leave depths out, or use sharing: low_supervision"
        )
        found.append(Problem(("tasks", name, "depth"), message))
    return found


def _blocks_up(value: int | str, blocks: int) -> int:
    if isinstance(value, int):
        return value
    share = Fraction(value.removesuffix("%")) * blocks / 100
    return max(1, math.floor(share + Fraction(1, 2)))


def _outside(value: int, blocks: int, encoder: str) -> str:
    return (
        f"is {value}, but encoder {encoder!r} has depths 0 to {blocks}; a task is read at 1 to "
        f"{blocks}; lower it or choose a deeper encoder"
    )
