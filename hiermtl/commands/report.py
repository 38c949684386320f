"""`hiermtl report`: one page on a run, for a person who was not there."""

import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from hiermtl.annotation import Annotator, load
from hiermtl.annotation.entries import Together
from hiermtl.atomic import written_whole
from hiermtl.commands.benchmark import benchmark
from hiermtl.commands.compare import compare
from hiermtl.commands.corpora import open_corpora
from hiermtl.commands.evaluate import trained_on
from hiermtl.commands.tasks import layers_of, scorable
from hiermtl.config import HierarchicalConfig
from hiermtl.corpus.build import Corpus
from hiermtl.corpus.plain import TextCorpus
from hiermtl.environment import environment
from hiermtl.errors import HiermtlError, ModelError, RecipeError, listing
from hiermtl.evaluation.measures import gold_layer
from hiermtl.folders import CHECKPOINTS, CONFIG, LOG, RECIPE
from hiermtl.model import HierarchicalModel
from hiermtl.pictures import draw, svg
from hiermtl.precision import resolve_device
from hiermtl.pretrained import find_model
from hiermtl.recipe import Recipe, differences, flattened, load_recipe, resolved
from hiermtl.reporting import (
    KEPT,
    Drawn,
    Facts,
    Material,
    Mistakes,
    Rung,
    gather,
    judges,
    page,
    pictures_of,
    refuse_file,
    write_pictures,
)
from hiermtl.text.sentence import Sentence

WORDS, ROUNDS = 4000, 3
"""How many words a task is timed on, and how often."""

NO_COMPARISON = (
    "No other runs were named. With `--compare SINGLE --compare HARD` the run is set against "
    "controls, such as runs of `single` and `hard`, over as many seeds as are named."
)


@dataclass(frozen=True, slots=True)
class Report:
    """What was written: the page, and pictures beside it; `notes` say what could not be shown."""

    file: Path
    pictures: tuple[Path, ...]
    notes: tuple[str, ...]


def report(
    run: str | Path,
    output: str | Path,
    *,
    compare_with: Iterable[str | Path] = (),
    controls: Sequence[str] | None = None,
    probe: str | Path | None = None,
    pictures: str | Path | None = None,
    errors: int = KEPT,
    speed: bool = False,
    device: str | None = None,
    data_dir: str | Path | None = None,
) -> Report:
    """Writes a page on a run: one file of HTML that needs nothing else.

    What is missing does not stop it: of an unfinished or failed run, or without the corpora, the
    page says what it lacks.

    Args:
        run: A run folder, or a model: a folder, a shipped name or a hub id.
        output: The page; a file of that name is replaced, whole or not at all.
        compare_with: Runs and results that the run is compared with, as `compare` takes them.
        controls: Arms that the others are set against. Default: as in `compare`.
        probe: A file of probes. Default: `probe.json` of the run folder, if it is there.
        pictures: A folder for the pictures, as SVG, and as PNG where matplotlib is installed.
        errors: How many sentences are shown of each task's errors.
        speed: Whether each task is timed, which takes a while.
        device: Where the model computes. Default: `cuda` where there is one.
        data_dir: Where corpora lie, instead of HIERMTL_DATA.

    Raises:
        ModelError: There is no such run or model.
        RecipeError: A number is below 0, the page cannot stand there, or runs cannot be compared.
        RunError: The page cannot be written.
    """
    if errors < 0:
        raise RecipeError(f"errors is {errors}; allowed is 0 or more")
    others = list(compare_with)
    if controls and not others:
        raise RecipeError(
            f"controls names {listing(map(repr, controls))}, but no run is given to compare with; "
            "give some (compare_with, --compare), or leave controls out"
        )
    if probe is not None and not Path(probe).is_file():
        raise RecipeError(f"{probe}: there is no such file; name what `hiermtl probe` wrote")
    if pictures is not None:
        refuse_file(Path(pictures))
    with written_whole(output) as file:
        material, drawn = _material(
            run,
            others,
            controls,
            probe=None if probe is None else Path(probe),
            errors=errors,
            speed=speed,
            device=device,
            data_dir=data_dir,
        )
        file.write(page(material).encode("utf-8"))
    written: list[Path] = []
    notes = [*material.facts.notes, *material.notes]
    if pictures is not None:
        written, missing = write_pictures(Path(pictures), pictures_of(material), drawn=drawn)
        notes += [missing] if missing else []
    return Report(Path(output), tuple(written), tuple(notes))


def _material(
    run: str | Path,
    others: Sequence[str | Path],
    controls: Sequence[str] | None,
    *,
    probe: Path | None,
    errors: int,
    speed: bool,
    device: str | None,
    data_dir: str | Path | None,
) -> tuple[Material, Drawn | None]:
    """What the page is made of, and the picture of what is shared for a file."""
    folder = find_model(run)
    if not any((folder / name).exists() for name in (RECIPE, CONFIG, LOG)):
        raise ModelError(
            f"{folder} holds no run and no model ({RECIPE} and {CONFIG} are missing); name a run "
            "folder, such as runs/quickstart"
        )
    facts = gather(folder, asked=run, probe=probe)
    notes: list[str] = []
    why = {"comparison": NO_COMPARISON}
    rungs = facts.rungs()
    described: dict[str, Any] = {}
    mistakes: list[Mistakes] = []
    comparison = None
    if others and not facts.finished:
        why["comparison"] = "The run is not finished, so that there is nothing to compare."
    elif others:
        comparison = compare([folder, *others], controls=controls, data_dir=data_dir)
    nlp = _loaded(folder, facts, device=device, notes=notes) if facts.finished else None
    model = nlp.model if nlp is not None else _resting(folder, facts, notes=notes)
    if model is not None:
        described = model.described()
        rungs = _costs(rungs, model)
    if nlp is not None:
        if speed:
            rungs = _timed(rungs, nlp, notes=notes)
        try:
            mistakes = _mistakes(nlp, most=errors, data_dir=data_dir, notes=notes)
        except HiermtlError as error:
            why["confusion"] = why["errors"] = f"The corpora could not be read: {error}"
    else:
        why["confusion"] = why["errors"] = "There is no model that could be asked."
        why["sharing"] = "There is neither a model nor a checkpoint that could be read."
    drawn = _drawn(described, why=why)
    material = Material(
        facts=facts,
        rungs=rungs,
        described=described,
        drawn=None if drawn is None else _inside(drawn.svg),
        mistakes=mistakes,
        comparison=comparison,
        changed=_changed(facts),
        here=environment(),
        notes=notes,
        why=why,
    )
    return material, drawn


def _loaded(
    folder: Path, facts: Facts, *, device: str | None, notes: list[str]
) -> Annotator | None:
    try:
        return load(folder, device=resolve_device(device))
    except HiermtlError as error:
        notes.append(f"the model cannot be loaded: {error}")
        facts.finished = False
        return None


def _resting(folder: Path, facts: Facts, *, notes: list[str]) -> HierarchicalModel | None:
    """The model of a run that is not finished, as its newest checkpoint has it."""
    if not facts.checkpoints or not facts.config:
        return None
    place = folder / CHECKPOINTS / facts.checkpoints[-1]
    try:
        model = HierarchicalModel(HierarchicalConfig(**facts.config))
        model.load_state_dict(load_file(place / "model.safetensors"), strict=False)
    except Exception as error:  # whatever a damaged checkpoint makes of itself
        notes.append(f"{place.name} cannot be read: {error}")
        return None
    return model


def _costs(rungs: Iterable[Rung], model: HierarchicalModel) -> list[Rung]:
    """With what runs for each task alone."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    found = []
    for rung in rungs:
        if rung.task in model.hierarchy:
            route = model.routes[rung.task]
            names = model.depends_on(rung.task)
            rung = replace(
                rung,
                blocks=model.heard().blocks([rung.task]),
                others=tuple(sorted(route.tasks - {rung.task})),
                parameters=sum(sizes[name] for name in names if name in sizes),
            )
        found.append(rung)
    return found


def _timed(rungs: Iterable[Rung], nlp: Annotator, *, notes: list[str]) -> list[Rung]:
    """With the words each task annotates in a second, as `hiermtl benchmark` times them."""
    rungs = list(rungs)
    try:
        found = benchmark(nlp, words=WORDS, rounds=ROUNDS)
    except HiermtlError as error:
        notes.append(f"not timed: {error}")
        return rungs
    speeds = {row.tasks[0]: row.words_per_second for row in found.rows if len(row.tasks) == 1}
    notes.append(
        f"words/s: {found.words:,} words of {found.source} sentences, {found.precision}, "
        f"{found.threads} threads, median of {found.rounds} rounds, from words to documents"
    )
    return [replace(rung, speed=speeds.get(rung.task)) for rung in rungs]


def _mistakes(
    nlp: Annotator, *, most: int, data_dir: str | Path | None, notes: list[str]
) -> list[Mistakes]:
    """What the model gets wrong on dev, lowest level first.

    Raises:
        HiermtlError: The model does not say what it was trained on, or that is not there.
    """
    recipe = trained_on(nlp.model)
    corpora = open_corpora(recipe, data_dir=data_dir, splits=("train", "dev"))
    found: list[Mistakes] = []
    for name in layers_of(recipe):
        corpus = corpora[name]
        if isinstance(corpus, TextCorpus):
            notes.append(
                f"{', '.join(layers_of(recipe)[name])}: errors in plain text are not shown"
            )
            continue
        tasks = [task for task in nlp.tasks if task in _able(recipe, corpora, name)]
        found += _of_corpus(nlp, corpus, tasks, name=name, most=most)
    place = {task: at for at, task in enumerate(nlp.tasks)}
    return sorted(found, key=lambda one: (place[one.task], one.data))


def _able(recipe: Recipe, corpora: Mapping[str, Corpus], name: str) -> Iterable[str]:
    return scorable(recipe, corpora, name, "dev")


def _of_corpus(
    nlp: Annotator, corpus: Corpus, tasks: Sequence[str], *, name: str, most: int
) -> Iterator[Mistakes]:
    heads = {task: nlp.heads[task] for task in tasks}
    inside = {task: head for task, head in heads.items() if head.of_sentences}
    if inside:
        own = judges(inside, data=name, most=most)
        sentences = [s for s in corpus.sentences("dev") if s.words]
        for sentence, layers in zip(sentences, _layers(nlp, sentences, inside), strict=True):
            for task, judge in own.items():
                gold = gold_layer(sentence, task, head=inside[task])
                if gold is not None:
                    judge.sentence(sentence, gold, layers[task])
        yield from (judge.found for judge in own.values())
    whole = {task: head for task, head in heads.items() if not head.of_sentences}
    if whole:
        own = judges(whole, data=name, most=most)
        passages = list(corpus.read_passages("dev"))
        entries = (Together(tuple(s.words for s in p.sentences), words=False) for p in passages)
        found = nlp.predictions(entries, list(whole), with_scores=True)
        for passage in passages:
            first = next(found)
            for _ in passage.sentences[1:]:
                next(found)
            for task, judge in own.items():
                gold = passage.labels.get(whole[task].column or task)
                if gold is not None and task in first.labels:
                    sure = first.scores.get(task)
                    judge.passage(passage, gold, first.labels[task], sure=sure[0] if sure else None)
        yield from (judge.found for judge in own.values())


def _layers(
    nlp: Annotator, sentences: Sequence[Sentence], heads: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """Predicted layers; of documents where a task judges those."""
    if any(head.informed or head.unit == "document" for head in heads.values()):
        return nlp.predict_sentences(sentences, list(heads))
    return nlp.predict_layers((sentence.words for sentence in sentences), list(heads))


def _drawn(described: Mapping[str, Any], *, why: dict[str, str]) -> Drawn | None:
    """The picture of what is shared, where matplotlib is installed."""
    if not described:
        return None
    try:
        figure = draw(
            described["scheme"],
            learnt=described["learnt"],
            structure=described["structure"],
        )
    except RecipeError as error:
        why["drawn"] = f"Not drawn: {error}."
        return None
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=200, metadata={"Software": None})
    return Drawn(svg(figure), image.getvalue())


def _inside(text: str) -> str:
    """The SVG of a file as a part of a page: without what stands before its first element."""
    return text[text.index("<svg") :]


def _changed(facts: Facts) -> dict[str, tuple[Any, Any]] | None:
    """Keys that differ from the shipped recipe of that name: its value, and the run's."""
    name = facts.recipe.get("name")
    if not name or os.path.exists(str(name)):
        return None
    try:
        shipped = load_recipe(str(name))
    except HiermtlError:
        return None
    theirs, ours = flattened(resolved(shipped)), flattened(facts.recipe)
    keys = differences(shipped, facts.recipe)
    return {key: (theirs.get(key), ours.get(key)) for key in keys}
