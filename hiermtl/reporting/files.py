"""The pictures of a report as files beside it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hiermtl.atomic import write_whole, written_whole
from hiermtl.errors import RecipeError, RunError
from hiermtl.reporting.charts import forest, probe_picture, scatter
from hiermtl.reporting.curves import Log, curve_picture
from hiermtl.reporting.ladder import ladder
from hiermtl.reporting.material import Material
from hiermtl.reporting.mistakes import MOST_DOTS
from hiermtl.reporting.shapes import Picture, png, svg_file


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture that is made already, as text and, if there is one, as PNG."""

    svg: str
    png: bytes | None


def pictures_of(material: Material) -> Iterator[tuple[str, Picture]]:
    """The pictures of a page with names for their files."""
    facts = material.facts
    if material.rungs:
        structure = material.described.get("structure", {})
        yield "hierarchy", ladder(facts, material.rungs, structure)
    log = facts.log or Log()
    for curve in log.metrics:
        best, end = log.best.get(curve.name), log.last or 0
        yield f"dev-{curve.name}", curve_picture(curve, best=best, end=end)
    for curve in log.losses:
        yield f"loss-{curve.name}", curve_picture(curve, end=log.last or 0)
    for curve in log.penalties:
        yield f"penalty-{curve.name}", curve_picture(curve, end=log.last or 0)
    differences = material.comparison.differences if material.comparison else ()
    for size, control in dict.fromkeys((item.size, item.control) for item in differences):
        own = [d for d in differences if (d.size, d.control) == (size, control)]
        name = f"difference-{control}" + ("" if size is None else f"-{size}")
        yield name, forest(f"Difference to {control}, in points", own)
    for found in material.mistakes or ():
        if found.numbers:
            yield f"numbers-{found.task}", scatter(found.task, found.numbers, most=MOST_DOTS)
    depths = {rung.task: rung.depth for rung in material.rungs}
    for task in dict.fromkeys(str(row["task"]) for row in facts.probe):
        rows = [row for row in facts.probe if row["task"] == task]
        yield f"probe-{task}", probe_picture(task, rows, depth=depths.get(task))


def refuse_file(folder: Path) -> None:
    """Raises RecipeError where pictures cannot be written since a file has the folder's name."""
    if folder.exists() and not folder.is_dir():
        raise RecipeError(f"{folder} is a file; name a folder for the pictures")


def write_pictures(
    folder: Path, pictures: Iterable[tuple[str, Picture]], *, drawn: Drawn | None
) -> tuple[list[Path], str]:
    """Writes each as SVG, and as PNG where matplotlib is installed.

    Returns the files, and a line on what is missing, if anything is.

    Raises:
        RecipeError: The folder is a file.
        RunError: It cannot be written.
    """
    refuse_file(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{folder} cannot be made ({error.strerror}); name another folder for the pictures"
        ) from error
    written: list[Path] = []
    missing = ""
    for name, picture in pictures:
        file = _free(folder, name, written)
        write_whole(file, svg_file(picture))
        written.append(file)
        if missing:
            continue
        try:
            made = png(picture)
        except RecipeError as error:
            missing = f"no PNG: {error}"
            continue
        written.append(_bytes(file.with_suffix(".png"), made))
    if drawn is not None:
        file = _free(folder, "sharing", written)
        write_whole(file, drawn.svg)
        written.append(file)
        if drawn.png is not None:
            written.append(_bytes(file.with_suffix(".png"), drawn.png))
    return written, missing


def _bytes(file: Path, made: bytes) -> Path:
    with written_whole(file) as out:
        out.write(made)
    return file


def _free(folder: Path, name: str, written: Iterable[Path]) -> Path:
    """A file of a name that systems bear, and that is not taken by another picture."""
    plain = re.sub(r"[^\w-]+", "-", name).strip("-")[:80] or "picture"
    taken = {path.name for path in written}
    names = [f"{plain}.svg", *(f"{plain}-{number}.svg" for number in range(2, 1000))]
    return folder / next(name for name in names if name not in taken)
