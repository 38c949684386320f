"""`hiermtl probe`: at which depth of an encoder each task can be read; and `depth: auto`."""

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from hiermtl.annotation import Annotator
from hiermtl.arrays import evenly
from hiermtl.atomic import write_whole
from hiermtl.commands.build import inventories, make_encoder, split_examples
from hiermtl.commands.corpora import open_corpora, placed
from hiermtl.commands.evaluate import trained_on
from hiermtl.commands.tasks import dev_tasks
from hiermtl.corpus.build import Corpus
from hiermtl.earlier import KEYS
from hiermtl.errors import DataError, RecipeError, listing, nearest
from hiermtl.folders import PROBE
from hiermtl.heads import HEADS
from hiermtl.pictures import can_draw, curves, svg
from hiermtl.precision import resolve_device
from hiermtl.pretrained import load_model
from hiermtl.pretrained.finding import SHIPPED
from hiermtl.probing import Curve, FrozenEncoder, ProbeReport, States, probe_task, read_states
from hiermtl.probing.results import digits_of
from hiermtl.probing.run import LAYERS, Wanted
from hiermtl.recipe import (
    Recipe,
    auto_tasks,
    in_reading_order,
    load_recipe,
    recipe_names,
)
from hiermtl.recipe.encoder import BilstmEncoder
from hiermtl.recipe.resolved import NAMING
from hiermtl.recipe.tasks import AUTO
from hiermtl.text.bio import is_iob2
from hiermtl.tokens import Tokenizer
from hiermtl.training.examples import ChainedExamples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECIPE, PICTURE = "recipe.yaml", "probe.svg"
EXAMPLES = 1_000
"""Examples of each corpus that probes learn from, and at most as many that they are scored on."""

AUTO_SEEDS = (0, 1, 2)
"""The seeds of the probes that fix `depth: auto`: the same for every seed of training."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe found, and the recipe with the depths it proposes."""

    report: ProbeReport
    recipe: Recipe
    written: Mapping[str, Any]

    @property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """A row for each task and depth."""
        return self.report.rows

    @property
    def depths(self) -> Mapping[str, int]:
        """The proposed depth of each task that was probed and can be read."""
        return self.report.depths

    def to_text(self) -> str:
        """Tables for a terminal."""
        return self.report.to_text()

    def to_markdown(self) -> str:
        """Tables as Markdown."""
        return self.report.to_markdown()

    def to_json(self) -> str:
        """All of it, scores of each seed included."""
        return self.report.to_json()

    def to_yaml(self) -> str:
        """The recipe with the proposed depths, for `hiermtl train`."""
        head = "".join(f"# {line}\n" for line in (self.report.about, *self.report.notes))
        body = yaml.safe_dump(dict(self.written), sort_keys=False, allow_unicode=True, width=100)
        return head + body

    def picture(self) -> "Figure":
        """The curves. Raises RecipeError where matplotlib is not installed."""
        return curves(self.report.rows, self.report.depths)

    def save(self, folder: str | Path) -> Path:
        """Writes probe.json, recipe.yaml and, where matplotlib is installed, probe.svg.

        Returns the folder.

        Raises:
            RecipeError: The folder cannot be made.
            RunError: It cannot be written, for lack of permission or of space.
        """
        place = make_folder(folder)
        write_whole(place / PROBE, self.to_json() + "\n")
        write_whole(place / RECIPE, self.to_yaml())
        if can_draw():
            write_whole(place / PICTURE, svg(self.picture()))
        return place

    def __str__(self) -> str:
        """As `to_text`."""
        return self.to_text()


def make_folder(folder: str | Path) -> Path:
    """The folder, made where it is not there yet.

    Raises:
        RecipeError: It cannot be made, or nothing can be written there.
    """
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise RecipeError(
            f"the folder {place} cannot be made or written to ({error.strerror}); name another "
            "with -o"
        ) from error
    return place


def probe(
    model: str | Path | Mapping[str, Any] | Recipe | Annotator,
    *,
    output: str | Path | None = None,
    tasks: Iterable[str] | None = None,
    seeds: int = 5,
    examples: int = EXAMPLES,
    device: str | None = None,
    data_dir: str | Path | None = None,
    told: Callable[[str], None] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Probed:
    """Reads each task, by linear probes, at each depth of an encoder that stays as it is.

    Args:
        model: A trained model, or where one lies (a folder, a shipped name, a hub id): its own
            states, up to the deepest depth it has. Or a recipe (a file, a shipped name, a mapping):
            the states of the pretrained encoder it starts from.
        output: A folder for probe.json, recipe.yaml with the proposed depths and, where matplotlib
            is installed, probe.svg.
        tasks: Default: all.
        seeds: How many probes of each kind are trained, at least 1.
        examples: How many training sentences of each corpus probes learn from, spread over it, and
            at most how many of dev they are scored on; texts and pairs likewise.
        device: Where states and probes are computed. Default: `cuda` where there is one; of a model
            that is given, where it is.
        data_dir: Where corpora lie, instead of HIERMTL_DATA.
        told: Is called with a line about each task that is done.
        overrides: Dotted keys of a recipe and their values.

    Raises:
        HiermtlError: Its message gives the value, what is allowed and the next step.
    """
    for name, value, least in (("seeds", seeds, 1), ("examples", examples, 10)):
        if value < least:
            raise RecipeError(f"{name} is {value}; allowed is {least} or more")
    if output is not None:
        # What probes found, which takes a while, must not be lost for want of a place.
        make_folder(output)
    place = resolve_device(device)
    if isinstance(model, Annotator):
        place = str(model.model.device)
    recipe, source = _source(model, overrides or {}, place)
    wanted = _chosen(recipe, tasks)
    part = recipe.only(wanted)
    corpora = open_corpora(part, data_dir=data_dir, splits=("train", "dev"))
    if source is None:
        if isinstance(recipe.encoder, BilstmEncoder):
            raise RecipeError(
                "encoder 'bilstm' is trained from scratch, so that before training there is "
                "nothing in it to read; train the recipe and probe the run's folder, or name a "
                "pretrained encoder (encoder.name)"
            )
        source = _start(part, corpora, place)
    found = _probed(
        part,
        corpora,
        source,
        whole=recipe,
        seeds=range(seeds),
        examples=examples,
        device=place,
        told=told,
    )
    proposed = _with_proposed(recipe, found.depths)
    done = Probed(found, proposed, _shortened(proposed, placed(proposed, data_dir=data_dir)))
    if output is not None:
        done.save(output)
    return done


def fixed_depths(
    recipe: Recipe, corpora: Mapping[str, Corpus], *, told: Callable[[str], None] | None = None
) -> tuple[dict[str, int], ProbeReport]:
    """The depths that probes propose for the tasks of a recipe whose depth is `auto`.

    Probes learn from at most `EXAMPLES` of the training examples of each corpus, and are scored on
    dev, or where a task has none there on every fifth of those examples.

    Raises:
        RecipeError: A task can be read at no depth, or there are no probes for it.
    """
    device = resolve_device(None)
    source = _start(recipe, corpora, device)
    wanted = auto_tasks(recipe)
    found = _probed(
        recipe.only(wanted),
        corpora,
        source,
        whole=recipe,
        seeds=AUTO_SEEDS,
        examples=EXAMPLES,
        device=device,
        told=told,
        mixes=False,
    )
    for task in wanted:
        if task not in found.depths:
            why = next((note for note in found.notes if note.startswith(f"{task}: ")), "")
            raise RecipeError(
                f"tasks.{task}.depth is 'auto', but {why.partition(': ')[2]}; give a whole number "
                "from 1, or a share such as 50%"
            )
    return dict(found.depths), found


def _source(
    model: str | Path | Mapping[str, Any] | Recipe | Annotator,
    overrides: Mapping[str, Any],
    device: str,
) -> tuple[Recipe, tuple[FrozenEncoder, Tokenizer] | None]:
    """The recipe, and the states' source where that is a model."""
    if isinstance(model, Annotator):
        found = model.model, model.tokenizer
    elif isinstance(model, Mapping | Recipe) or _is_recipe(model):
        return load_recipe(model, overrides), None
    else:
        found = load_model(model, device=device)
    if overrides:
        raise RecipeError(
            f"a model is as it was trained, so that {listing(overrides)} cannot be set; leave it "
            "out, or name a recipe"
        )
    return trained_on(found[0]), (FrozenEncoder.of_model(found[0]), found[1])


def _is_recipe(name: str | Path) -> bool:
    """Whether a name is that of a recipe's file, or of a shipped recipe and no shipped model."""
    text = os.fspath(name)
    if os.path.isdir(text) or (SHIPPED / text).is_dir():
        return False
    return text.endswith((".yaml", ".yml")) or text in recipe_names()


def _start(
    recipe: Recipe, corpora: Mapping[str, Corpus], device: str
) -> tuple[FrozenEncoder, Tokenizer]:
    """The encoder a recipe starts from."""
    encoder, tokenizer = make_encoder(recipe, corpora)
    pooling = getattr(recipe.encoder, "pooling", "first")
    return FrozenEncoder.of_encoder(encoder, pooling=pooling, device=device), tokenizer


def _chosen(recipe: Recipe, tasks: Iterable[str] | None) -> list[str]:
    if tasks is None:
        return list(recipe.tasks)
    asked = [tasks] if isinstance(tasks, str) else list(tasks)
    for task in asked:
        if task not in recipe.tasks:
            raise RecipeError(
                f"there is no task {task!r}; the tasks are {listing(recipe.tasks)}"
                f"{nearest(task, recipe.tasks)}"
            )
    return [task for task in recipe.tasks if task in asked]


def _probed(
    recipe: Recipe,
    corpora: Mapping[str, Corpus],
    source: tuple[FrozenEncoder, Tokenizer],
    *,
    whole: Recipe,
    seeds: Sequence[int],
    examples: int,
    device: str,
    told: Callable[[str], None] | None,
    mixes: bool = True,
) -> ProbeReport:
    """Curves of all tasks of a recipe, which is a part of the `whole` one."""
    encoder, tokenizer = source
    labels = inventories(recipe, corpora)
    known, notes = [], []
    for task in recipe.tasks:
        head = HEADS[recipe.tasks[task].head.name]
        if head.unit == "document":
            notes.append(f"{task}: joins what lies in different sentences, which no probe reads")
        elif head.layer not in LAYERS:
            notes.append(f"{task}: there is no probe of {head.layer}")
        else:
            known.append(task)
    own = recipe.only(known) if known else recipe
    judged = dev_tasks(own, corpora)
    read: dict[str, States] = {}

    def states(split: str) -> States:
        if split not in read:
            parts, _ = split_examples(own, corpora, tokenizer, labels=labels, split=split)
            chained = ChainedExamples(
                [part for part, _ in parts.values()],
                chosen=[_spread(part, used, examples) for part, used in parts.values()],
            )
            entries = chained.fetch(range(len(chained)))
            read[split] = read_states(encoder, tokenizer, entries, device=device)
        return read[split]

    found: list[Curve] = []
    for task in known:
        begun = time.perf_counter()
        head = HEADS[recipe.tasks[task].head.name]
        bio = head.layer == "tags" and all(is_iob2(label) for label in labels[task])
        wanted = Wanted(task, head.layer, labels[task], bio=bio)
        dev = states("dev") if task in judged else None
        curve = probe_task(wanted, states("train"), dev, seeds=seeds, mixes=mixes, control=mixes)
        if curve is None:
            notes.append(f"{task}: none of the examples carries a label for it; use more")
            continue
        if task not in judged:
            notes.append(f"{task}: has nothing to score in dev; every fifth of train is held out")
        found.append(curve)
        if curve.depth is None:
            digits = digits_of(curve.metric)
            best, least = (f"{n:.{digits}f}" for n in (max(curve.means[1:]), curve.baseline))
            notes.append(
                f"{task}: {curve.metric} is {best} at the best depth and {least} "
                "without reading anything, so that no depth is proposed"
            )
        if told is not None:
            proposed = "none proposed" if curve.depth is None else f"depth {curve.depth} proposed"
            told(f"{task}: {proposed}, {time.perf_counter() - begun:.1f} s")
    if not found:
        raise DataError(
            f"there is nothing to probe: {'; '.join(notes)}"
            if notes
            else "there is nothing to probe; name other tasks"
        )
    depths = {curve.task: curve.depth for curve in found if curve.depth is not None}
    depths, moved = in_reading_order(whole, depths, blocks=len(encoder.blocks))
    counts = {split: len(read[split].examples) for split in read}
    about = (
        f"linear probes of {recipe.encoder.name}, depths 0 to {len(encoder.blocks)}; "
        f"{listing(f'{count:,} sentences of {split}' for split, count in counts.items())}; "
        f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}; fp32"
    )
    return ProbeReport(tuple(found), depths, about, (*notes, *moved))


def _with_proposed(recipe: Recipe, depths: Mapping[str, int]) -> Recipe:
    """The recipe with these depths, under a scheme that lets tasks be read there.

    Depths of other tasks stay; `auto` and, where the scheme reads all at the top, nothing said
    becomes the top.
    """
    changes: dict[str, Any] = {f"tasks.{task}.depth": depth for task, depth in depths.items()}
    named: dict[str, Any] = {"controls": None} if recipe.controls is not None else {}
    if recipe.sharing.depths == "top" or recipe.sharing.name == "learned":
        named["sharing"] = "low_supervision"
    for task, options in recipe.tasks.items():
        if task in depths:
            continue
        if options.depth is None or options.depth == AUTO:
            changes[f"tasks.{task}.depth"] = "100%"
    return load_recipe(recipe, {**named, **changes})


def _shortened(recipe: Recipe, plain: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved recipe without what is the default anyway."""
    given = recipe.model_dump(mode="json", exclude_defaults=True)

    def kept(whole: Mapping[str, Any], told: Mapping[str, Any], path: str) -> dict[str, Any]:
        found = {}
        for key, value in whole.items():
            place = f"{path}.{key}".removeprefix(".")
            naming = key in NAMING and path and (place not in KEYS or value != KEYS[place])
            if key not in told and not naming:
                continue
            own = told.get(key)
            if isinstance(value, Mapping) and isinstance(own, Mapping):
                value = kept(value, own, place)
            found[key] = value
        return found

    return kept(plain, given, "")


def _spread(part: Sized, used: np.ndarray | None, most: int) -> np.ndarray:
    """At most so many of the places of the examples that are used, evenly."""
    places = np.arange(len(part)) if used is None else used
    return places[evenly(len(places), min(most, len(places)))]
