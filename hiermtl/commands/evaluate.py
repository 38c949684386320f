"""`hiermtl evaluate`: a model on a split of its own corpora, or on a file."""

import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from hiermtl.annotation import Annotator, load
from hiermtl.annotation.writing import FORMAT_OF
from hiermtl.commands.corpora import SPLITS, open_corpora, used_examples
from hiermtl.commands.sources import corpus_sources
from hiermtl.commands.tasks import base_of, layers_of, scorable
from hiermtl.corpus.build import Corpus
from hiermtl.corpus.plain import TextCorpus, sentences_in
from hiermtl.early_exit import block_rows
from hiermtl.errors import DataError, ModelError, RecipeError, listing, nearest
from hiermtl.evaluation import ScoreRow, Scores, evaluate_passages, evaluate_raw
from hiermtl.evaluation import evaluate as score
from hiermtl.evaluation.details import BlockRows, Details, ExitUse, LevelCost, read_kinds
from hiermtl.evaluation.measures import gold_layer
from hiermtl.model import HierarchicalModel
from hiermtl.precision import resolve_device
from hiermtl.recipe import Recipe, load_recipe
from hiermtl.text.annotated import read_annotated
from hiermtl.text.conllu import read_conllu
from hiermtl.text.docbin import read_docbin
from hiermtl.text.segment import SEGMENT
from hiermtl.text.sentence import Sentence
from hiermtl.text.unlearnt import Unlearnt, unread_notes

TIMED_WORDS, TIMED_ROUNDS = 2000, 3
"""On how many words levels are timed, and how often."""


def evaluate(
    model: str | Path | Annotator,
    data: str | Path | None = None,
    *,
    split: str | None = None,
    tasks: Iterable[str] | None = None,
    raw: bool = False,
    by: str | Iterable[str] = (),
    intervals: bool = False,
    calibration: bool = False,
    confusion: bool = False,
    cost: bool = False,
    exits: bool = False,
    precision: str | None = None,
    device: str | None = None,
    data_dir: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Scores:
    """One row per level, task and metric; `segment` is scored from plain text in any case.

    Args:
        model: A model, or where one lies.
        data: A file with gold for some of the tasks, in a form that `annotate` writes: `.conllu`,
            `.jsonl` or `.spacy`. Default: the corpora the model was trained on, found as the recipe
            found them.
        split: Which split of those corpora; of train, the examples that were trained on, or with
            `raw` all of it. Default: dev; test is read only when it is asked for.
        tasks: Default: every task with gold.
        raw: From plain text, words and sentences found by the model's own means.
        by: Further rows for parts of the data: by `length` of sentences, by words `seen` in
            training, by `genre` or by `label`; with `raw` by length and genre.
        intervals: Whether rows have 95 % intervals, of documents drawn again (sentences where there
            are no documents).
        calibration: Whether it is told how sure the model is and how often right; not with `raw`.
        confusion: Whether it is told what labels were taken for; not with `raw`.
        cost: Whether each level is timed on its own: blocks that run, words per second.
        exits: Whether sentences may leave early, where the model has exits: rows are of what is
            said then, and beside them stand the whole model's scores, where sentences were read and
            what blocks are spared; not with `raw`. Default: as the model that is given, else off.
        precision: `fp32` or `bf16`. Default: the model's.
        device: Where a model that is loaded here computes, such as `cpu` or `cuda`. Default:
            `cuda` where there is one.
        data_dir: Where corpora lie, instead of HIERMTL_DATA.
        overrides: Dotted keys below `corpora` and their values, such as `corpora.mine.test` and
            another file, which is read as that corpus is. Default: what the recipe says.

    Raises:
        ModelError: The model is not there, has no exits to use, or does not say what it was trained
            on.
        DataError: The data is missing, malformed or without gold.
        RecipeError: There is no such split, both a file and a split are given, details are asked
            for that there are not, or a key is none of a corpus.
    """
    _check_overrides(overrides or {}, data)
    details = _details(
        by, raw=raw, intervals=intervals, calibration=calibration, confusion=confusion
    )
    nlp = model
    if not isinstance(nlp, Annotator):
        nlp = load(nlp, device=resolve_device(device), precision=precision)
    nlp = nlp.with_exits(exits or nlp.exits)
    if raw and nlp.exits:
        raise RecipeError(
            "exits cannot be told with raw, where the model cuts words itself; leave raw out, or "
            "load the model without exits"
        )
    seed = nlp.model.config.recipe.get("training", {}).get("seed")
    asked = None if tasks is None else nlp.model.hierarchy.select(tasks)
    if data is not None:
        if split is not None:
            raise RecipeError(
                f"split {split!r} is one of the model's own corpora, but {data} is a file, which "
                "is scored whole: leave out one of the two"
            )
        path = Path(data)
        unlearnt = Unlearnt()
        sentences = list(unlearnt.watched(read_gold(path)))
        if "seen" in details.by:
            recipe = trained_on(nlp.model)
            corpora = open_corpora(recipe, data_dir=data_dir, splits=("train",))
            details = _with_known(details, recipe, corpora)
        judge = partial(
            evaluate_raw if raw else _score_file,
            sentences=sentences,
            tasks=asked,
            data=path.name,
            split="-",
            seed=seed,
            details=details,
        )
        scores = _with_and_without_exits(nlp, judge)
        layers = {task: nlp.heads[task].column or task for task in nlp.levels(asked)}
        scores = _noted(scores, unlearnt.notes(layers))
        if cost:
            scores = _with_cost(scores, nlp, sentences)
        if not nlp.model.config.recipe:
            return scores
        recipe = trained_on(nlp.model)
        return _with_notes(scores, recipe, corpora=layers_of(recipe))
    split = "dev" if split is None else split
    if split not in SPLITS:
        raise RecipeError(f"split is {split!r}; allowed are {listing(SPLITS)}")
    recipe = trained_on(nlp.model)
    if overrides:
        _check_corpora(overrides, recipe, split)
        recipe = load_recipe(recipe, overrides)
    corpora = open_corpora(recipe, data_dir=data_dir, splits=("train", split))
    if "seen" in details.by:
        details = _with_known(details, recipe, corpora)
    verbatim = None
    if raw:
        verbatim = {
            name: partial(_verbatim, recipe, name, split=split, data_dir=data_dir)
            for name, corpus in corpora.items()
            if not isinstance(corpus, TextCorpus)
        }
    judge = partial(
        score_corpora,
        recipe=recipe,
        corpora=corpora,
        split=split,
        tasks=asked,
        verbatim=verbatim,
        details=details,
    )
    scores = _with_and_without_exits(nlp, judge)
    changed = tuple(f"read with {key}={value}" for key, value in (overrides or {}).items())
    scores = replace(scores, notes=scores.notes + changed)
    if cost:
        words = [s for name in corpora.values() if split in name.splits for s in _some(name, split)]
        scores = _with_cost(scores, nlp, words)
    return scores


def _check_overrides(overrides: Mapping[str, Any], data: str | Path | None) -> None:
    """That they say what is scored, and nothing of the model."""
    if overrides and data is not None:
        raise RecipeError(
            f"{listing(overrides)} says how the model's own corpora are read, but {data} is a file "
            "that is scored instead: leave out one of the two"
        )
    others = [key for key in overrides if not key.startswith("corpora.")]
    if others:
        raise RecipeError(
            f"a model is as it was trained, so that {listing(others)} cannot be set; allowed are "
            "keys of its corpora, for example corpora.NAME.test=FILE"
        )


def _check_corpora(overrides: Mapping[str, Any], recipe: Recipe, split: str) -> None:
    """That they are of corpora there are, and of the split that is scored."""
    for key in overrides:
        name, _, rest = key.removeprefix("corpora.").partition(".")
        if name not in recipe.corpora:
            raise RecipeError(
                f"{key}: no corpus of the model is called {name!r}{nearest(name, recipe.corpora)}; "
                f"it has {listing(recipe.corpora)}"
            )
        if rest in SPLITS and rest != split:
            raise RecipeError(
                f"{key} says what {rest} is, but {split} is scored; set corpora.{name}.{split}, or "
                f"score {rest} instead"
            )


def _with_and_without_exits(nlp: Annotator, judge: Callable[..., Scores]) -> Scores:
    """Scores of a model; where its sentences may leave early with the whole model's beside them."""
    if not nlp.exits:
        return judge(nlp)
    early = nlp.with_exits()
    read: dict[str, Mapping[str, Counter[int]]] = {}

    def scored(data: str) -> None:
        read[data], early.left = early.left, {}

    with block_rows(nlp.computing) as before:
        whole = judge(nlp.with_exits(False))
    with block_rows(nlp.computing) as after:
        scores = judge(early, scored=scored)
    uses = [
        ExitUse(
            row.level,
            task,
            row.metric,
            row.data,
            row.split,
            row.score,
            other.score,
            dict(sorted(read[row.data][task].items())),
        )
        for task in scores.tasks
        if task in nlp.model.exits
        for row, other in zip(whole.mains(task), scores.mains(task), strict=True)
    ]
    note = "sentences left early, so that this is not what the whole model says"
    own = {task.name: task.depth for task in nlp.hierarchy}
    named = dict.fromkeys(use.task for use in uses if min(use.read) < own[use.task])
    return replace(
        scores,
        notes=(*scores.notes, f"{', '.join(named)}: {note}") if named else scores.notes,
        exits=tuple(uses),
        block_rows=tuple(BlockRows(at, before[at], after[at]) for at in sorted(before)),
    )


def _details(
    by: str | Iterable[str], *, raw: bool, intervals: bool, calibration: bool, confusion: bool
) -> Details:
    """What is asked for, by the names of the options.

    Raises:
        RecipeError: By is none of the kinds, or is not told of plain text.
    """
    kinds = read_kinds(by)
    words = ["calibration"] * calibration + ["confusion"] * confusion
    words += [f"by {kind}" for kind in kinds if kind in ("seen", "label")]
    if raw and words:
        raise RecipeError(
            f"{listing(words)} cannot be told with raw, where the model cuts words itself; leave "
            "raw out, or slice by length and genre"
        )
    return Details(kinds, intervals=intervals, calibration=calibration, confusion=confusion)


def _with_known(details: Details, recipe: Recipe, corpora: Mapping[str, Corpus]) -> Details:
    """With the words of the training data of each task's corpora."""
    known: dict[str, set[str]] = {}
    for name, layers in layers_of(recipe).items():
        if isinstance(corpora[name], TextCorpus) or "train" not in corpora[name].splits:
            continue
        read = corpora[name].sentences_of("train", **used_examples(recipe, name))
        words = {word for sentence in read for word in sentence.words}
        for task in layers:
            known.setdefault(task, set()).update(words)
    return replace(details, known={task: frozenset(words) for task, words in known.items()})


def _some(corpus: Corpus, split: str) -> Iterator[Sentence]:
    """Sentences of a corpus, as many as are timed."""
    count = 0
    for sentence in corpus.sentences(split):
        yield sentence
        count += len(sentence.words)
        if count >= TIMED_WORDS:
            return


def _with_cost(scores: Scores, nlp: Annotator, sentences: Iterable[Sentence]) -> Scores:
    """With what each level takes, and a note of the tasks that were not timed."""
    cost = cost_of_levels(nlp, scores.tasks, sentences)
    timed = {task for level in cost for task in level.tasks}
    others = [task for task in scores.tasks if task not in timed]
    note = f"{', '.join(others)}: not timed, as only tasks that label words in given sentences are"
    return replace(scores, cost=cost, notes=(*scores.notes, note) if others else scores.notes)


def cost_of_levels(
    nlp: Annotator, tasks: Iterable[str], sentences: Iterable[Sentence]
) -> tuple[LevelCost, ...]:
    """What each level takes alone: its blocks, and the median speed over some rounds.

    Timed are the tasks of words, on the first `TIMED_WORDS` words.
    """
    levels: dict[int, list[str]] = {}
    for task in tasks:
        if task in nlp.heads and task != SEGMENT and nlp.heads[task].unit == "word":
            levels.setdefault(nlp.hierarchy.level(task), []).append(task)
    given, count = [], 0
    for sentence in sentences:
        if count >= TIMED_WORDS:
            break
        given.append(sentence.words)
        count += len(sentence.words)
    ways = (False, True) if nlp.exits else (False,)
    timed = {exits: nlp.with_exits(exits) for exits in ways}
    seconds: dict[tuple[int, bool], list[float]] = {(n, way): [] for n in levels for way in ways}
    # Rounds are interleaved, so that a busy machine slows all levels alike; the first only warms.
    for number in range(TIMED_ROUNDS + 1):
        for level, own in levels.items():
            for way in ways:
                began = time.perf_counter()
                deque(timed[way].predict_layers(given, own), maxlen=0)
                if number:
                    seconds[level, way].append(time.perf_counter() - began)
    return tuple(
        LevelCost(
            level,
            tuple(own),
            nlp.model.heard().blocks(own),
            *(count / statistics.median(seconds[level, way]) for way in ways),
            words=count,
            precision=nlp.precision,
            device=str(nlp.model.device),
            threads=torch.get_num_threads(),
        )
        for level, own in sorted(levels.items())
    )


def _verbatim(
    recipe: Recipe, name: str, *, split: str, data_dir: str | Path | None
) -> list[Sentence]:
    """The sentences of a corpus as its files have them.

    Stored ones have no multiword tokens and no paragraphs.
    """
    return list(sentences_in(corpus_sources(recipe, name, data_dir=data_dir)[split]))


def _score_file(
    nlp: Annotator,
    sentences: list[Sentence],
    *,
    tasks: Sequence[str] | None,
    scored: Callable[[str], object] = lambda data: None,
    **about: Any,
) -> Scores:
    """Scores on the words of a file, and of `segment` on its text; `scored` is as `score_corpora`.

    Raises:
        DataError: As `evaluate`; or `segment` is asked for, and the file does not say where its
            text has white space.
    """
    asked = nlp.model.hierarchy.select(tasks)
    if SEGMENT not in asked:
        found = score(nlp, sentences, tasks=tasks, **about)
        scored(about["data"])
        return found
    parts, note = [], ""
    if all(sentence.space_after is None for sentence in sentences):
        note = (
            f"{SEGMENT}: {about['data']} does not say where its text has white space, so it is not "
            "scored"
        )
        parts.append(Scores((), (note,)))
    else:
        parts.append(evaluate_raw(nlp, sentences, tasks=(), **about))
    levels = nlp.levels(asked)
    if note and tasks is not None:
        raise DataError(f"{note}; ask for other tasks, or name a CoNLL-U file")
    heads = nlp.heads
    known = any(gold_layer(s, task, head=heads[task]) for s in sentences for task in levels)
    if note or known or (tasks is not None and levels):
        parts.append(score(nlp, sentences, tasks=None if tasks is None else levels, **about))
    scored(about["data"])
    return merged(parts)


def read_gold(file: str | Path) -> list[Sentence]:
    """The sentences of a file as `annotate` writes it, by its ending.

    Raises:
        DataError: The file is missing or malformed, or its ending is none of these.
    """
    path = Path(file)
    readers: dict[str, Callable[[Path], Iterable[Sentence]]] = {
        "conllu": read_conllu,
        "jsonl": read_annotated,
        "docbin": read_docbin,
    }
    packed = path.suffix.lower() == ".gz"
    format = FORMAT_OF.get(Path(path.stem if packed else path.name).suffix.lower())
    if format is None or (packed and format == "docbin"):
        raise DataError(
            f"the name {path.name!r} does not say how it is read; files with gold end in .conllu, "
            ".jsonl (both also packed, .gz) or .spacy: rename or convert it"
        )
    return list(readers[format](path))


def trained_on(model: HierarchicalModel) -> Recipe:
    """The recipe a model was trained by, with the tasks that the model has.

    Raises:
        ModelError: Its config does not hold one, or what it holds is none.
    """
    saved = model.config.recipe
    if not saved:
        raise ModelError(
            "the model's config.json does not say what it was trained on; train it with this "
            "version, or, to score it, give a file with --data FILE"
        )
    try:
        return load_recipe(saved).only(model.hierarchy.names)
    except RecipeError as error:
        raise ModelError(
            f"the recipe in the model's config.json is damaged: {error}; copy the model's folder "
            "again"
        ) from error


def score_corpora(
    nlp: Annotator,
    recipe: Recipe,
    corpora: Mapping[str, Corpus],
    *,
    split: str,
    tasks: Iterable[str] | None = None,
    verbatim: Mapping[str, Callable[[], list[Sentence]]] | None = None,
    details: Details | None = None,
    scored: Callable[[str], object] = lambda data: None,
) -> Scores:
    """Scores on one split of each corpus that has it, joined in order of level.

    With `verbatim`, corpus to its sentences as they stand in its files, from their plain text.
    `scored` is told of each corpus that is done.
    """
    asked = None if tasks is None else set(tasks)
    parts: list[Scores] = []
    without: list[str] = []
    raw: set[str] = set()
    for name, layers in layers_of(recipe).items():
        wanted = [task for task in nlp.tasks if task in layers and (not asked or task in asked)]
        if not wanted:
            continue
        if split not in corpora[name].splits:
            without.append(name)
            continue
        if asked is None:
            able = scorable(recipe, corpora, name, split)
            blind = [task for task in wanted if task not in able]
            wanted = [task for task in wanted if task in able]
            if blind:
                note = f"{', '.join(blind)}: {name} has nothing to score in {split}"
                parts.append(Scores((), (note,)))
        seed = recipe.training.seed
        corpus = corpora[name]
        if isinstance(corpus, TextCorpus):
            if wanted and corpus.base not in raw:
                about = {"data": corpus.base, "split": split, "seed": seed}
                scores = evaluate_raw(
                    nlp, corpus.treebank[split](), tasks=(), details=details, **about
                )
                parts.append(_with_notes(scores, recipe, corpora=[name]))
            continue
        of_words = [task for task in wanted if nlp.heads[task].of_sentences]
        found: list[Scores] = []
        used: dict[str, Any] = {"limit": None}
        if split == "train":
            used = used_examples(recipe, name)
        of_passages = [task for task in wanted if task not in of_words]
        if of_words:
            stored = corpora[name].sentences_of(split, **used)
            unlearnt, own = Unlearnt(), {task: layers[task] for task in of_words}
            sentences = list(unlearnt.watched(verbatim[name]() if verbatim else stored))
            said = [*unread_notes(corpora[name].reports[split], own), *unlearnt.notes(own)]
            judge = evaluate_raw if verbatim else score
            raw.update([name] if verbatim else ())
            # A task that was asked for must have gold; one that was not may lack it, with a note.
            named = None if asked is None else of_words
            scores = judge(
                nlp, sentences, tasks=named, data=name, split=split, seed=seed, details=details
            )
            scores = scores.filter(task=(*of_words, SEGMENT)) if asked is None else scores
            found.append(_noted(scores, said))
        if of_passages and verbatim:
            note = f"{', '.join(of_passages)}: judge whole texts or pairs, so not scored from text"
            found.append(Scores((), (note,)))
        elif of_passages:
            passages = list(corpora[name].read_passages(split, **used))
            found.append(
                evaluate_passages(
                    nlp,
                    passages,
                    tasks=of_passages,
                    data=name,
                    split=split,
                    seed=seed,
                    details=details,
                )
            )
        scored(name)
        parts += [_with_notes(scores, recipe, corpora=[name]) for scores in found]
    if not parts and not without:
        raise DataError(
            f"no corpus of the model has gold for {listing(sorted(asked or nlp.tasks))}; give a "
            "file with --data FILE"
        )
    if not parts:
        raise DataError(
            f"no corpus has a split {split!r} for these tasks (without it: "
            f"{listing(without)}); choose another split, or give a file with --data FILE"
        )
    return merged(parts)


def merged(parts: Iterable[Scores]) -> Scores:
    """Rows of several corpora as one table, in order of level; notes once each."""
    parts = list(parts)
    rows = [row for part in parts for row in part.rows]
    rows.sort(key=_order)
    every = [of for part in parts for of in part.counts.values()]
    often = Counter(of.task for of in every)
    counts = {of.task if often[of.task] == 1 else f"{of.task} ({of.data})": of for of in every}
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    slices = [row for part in parts for row in part.slices]
    # Kinds of slices stay together, in the order in which they were asked for.
    kinds = list(dict.fromkeys(str(row.slice).partition(" ")[0] for row in slices))
    slices.sort(key=lambda row: (kinds.index(str(row.slice).partition(" ")[0]), *_order(row)))
    return Scores(
        tuple(rows),
        tuple(notes),
        counts,
        slices=tuple(slices),
        calibration=tuple(one for part in parts for one in part.calibration),
        confusion=tuple(one for part in parts for one in part.confusion),
    )


def _order(row: ScoreRow) -> tuple[int, int, str]:
    return row.level, row.depth, row.task


def _noted(scores: Scores, notes: Iterable[str]) -> Scores:
    """With further notes, each once."""
    return replace(scores, notes=tuple(dict.fromkeys((*scores.notes, *notes))))


def _with_notes(scores: Scores, recipe: Recipe, *, corpora: Iterable[str]) -> Scores:
    """With what the recipe says of the data that the scored tasks were trained on."""
    notes = dict.fromkeys(scores.notes)
    for name in corpora:
        layers, options = layers_of(recipe)[name], recipe.corpora[base_of(recipe, name)]
        scored = [task for task in scores.tasks if task in layers]
        for source in (options, *getattr(options, "join", ())):
            own = [task for task in scored if layers[task] in getattr(source, "columns", layers)]
            if source.note and own:
                notes[f"{', '.join(own)}: {source.note}"] = None
    return replace(scores, notes=tuple(notes))
