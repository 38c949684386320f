"""`hiermtl evaluate`: a model on a split of its own corpora, or on a file."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hiermtl.annotation import Annotator, load
from hiermtl.annotation.writing import FORMAT_OF
from hiermtl.commands.corpora import (
    SPLITS,
    base_of,
    corpus_sources,
    layers_of,
    open_corpora,
    scorable,
    used_examples,
)
from hiermtl.corpus.build import Corpus
from hiermtl.corpus.plain import TextCorpus, sentences_in
from hiermtl.errors import DataError, ModelError, RecipeError, listing
from hiermtl.evaluation import Scores, evaluate_passages, evaluate_raw
from hiermtl.evaluation import evaluate as score
from hiermtl.evaluation.measures import gold_layer
from hiermtl.model import HierarchicalModel
from hiermtl.precision import resolve_device
from hiermtl.recipe import Recipe, load_recipe
from hiermtl.text.annotated import read_annotated
from hiermtl.text.conllu import read_conllu
from hiermtl.text.docbin import read_docbin
from hiermtl.text.segment import SEGMENT
from hiermtl.text.sentence import Sentence


def evaluate(
    model: str | Path | Annotator,
    data: str | Path | None = None,
    *,
    split: str | None = None,
    tasks: Iterable[str] | None = None,
    raw: bool = False,
    precision: str | None = None,
    device: str | None = None,
    data_dir: str | Path | None = None,
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
        precision: `fp32` or `bf16`. Default: the model's.
        device: Where a model that is loaded here computes, such as `cpu` or `cuda`. Default:
            `cuda` where there is one.
        data_dir: Where corpora lie, instead of HIERMTL_DATA.

    Raises:
        ModelError: The model is not there, or does not say what it was trained on.
        DataError: The data is missing, malformed or without gold.
        RecipeError: There is no such split, or both a file and a split are given.
    """
    nlp = model
    if not isinstance(nlp, Annotator):
        nlp = load(nlp, device=resolve_device(device), precision=precision)
    seed = nlp.model.config.recipe.get("training", {}).get("seed")
    asked = None if tasks is None else nlp.model.hierarchy.select(tasks)
    if data is not None:
        if split is not None:
            raise RecipeError(
                f"split {split!r} is one of the model's own corpora, but {data} is a file, which "
                "is scored whole: leave out one of the two"
            )
        path = Path(data)
        sentences = list(_gold(path))
        judge = evaluate_raw if raw else _score_file
        scores = judge(nlp, sentences, tasks=asked, data=path.name, split="-", seed=seed)
        if not nlp.model.config.recipe:
            return scores
        recipe = trained_on(nlp.model)
        return _with_notes(scores, recipe, corpora=layers_of(recipe))
    split = "dev" if split is None else split
    if split not in SPLITS:
        raise RecipeError(f"split is {split!r}; allowed are {listing(SPLITS)}")
    recipe = trained_on(nlp.model)
    corpora = open_corpora(recipe, data_dir=data_dir, splits=("train", split))
    verbatim = None
    if raw:
        verbatim = {
            name: partial(_verbatim, recipe, name, split=split, data_dir=data_dir)
            for name, corpus in corpora.items()
            if not isinstance(corpus, TextCorpus)
        }
    return score_corpora(nlp, recipe, corpora, split=split, tasks=asked, verbatim=verbatim)


def _verbatim(
    recipe: Recipe, name: str, *, split: str, data_dir: str | Path | None
) -> list[Sentence]:
    """The sentences of a corpus as its files have them.

    Stored ones have no multiword tokens and no paragraphs.
    """
    return list(sentences_in(corpus_sources(recipe, name, data_dir=data_dir)[split]))


def _score_file(
    nlp: Annotator, sentences: list[Sentence], *, tasks: Sequence[str] | None, **about: Any
) -> Scores:
    """Scores on the words of a file, and of `segment` on its text.

    Raises:
        DataError: As `evaluate`; or `segment` is asked for, and the file does not say where its
            text has white space.
    """
    asked = nlp.model.hierarchy.select(tasks)
    if SEGMENT not in asked:
        return score(nlp, sentences, tasks=tasks, **about)
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
    return merged(parts)


def _gold(path: Path) -> Iterable[Sentence]:
    """The sentences of a file as `annotate` writes it, by its ending."""
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
    return readers[format](path)


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
) -> Scores:
    """Scores on one split of each corpus that has it, joined in order of level.

    With `verbatim`, corpus to its sentences as they stand in its files, from their plain text.
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
                scores = evaluate_raw(nlp, corpus.treebank[split](), tasks=(), **about)
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
            sentences = verbatim[name]() if verbatim else list(stored)
            judge = evaluate_raw if verbatim else score
            raw.update([name] if verbatim else ())
            # A task that was asked for must have gold; one that was not may lack it, with a note.
            named = None if asked is None else of_words
            scores = judge(nlp, sentences, tasks=named, data=name, split=split, seed=seed)
            found.append(scores.filter(task=(*of_words, SEGMENT)) if asked is None else scores)
        if of_passages and verbatim:
            note = f"{', '.join(of_passages)}: judge whole texts or pairs, so not scored from text"
            found.append(Scores((), (note,)))
        elif of_passages:
            passages = list(corpora[name].read_passages(split, **used))
            found.append(
                evaluate_passages(
                    nlp, passages, tasks=of_passages, data=name, split=split, seed=seed
                )
            )
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
    rows.sort(key=lambda row: (row.level, row.depth, row.task))
    every = [of for part in parts for of in part.counts.values()]
    often = Counter(of.task for of in every)
    counts = {of.task if often[of.task] == 1 else f"{of.task} ({of.data})": of for of in every}
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    return Scores(tuple(rows), tuple(notes), counts)


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
    return Scores(scores.rows, tuple(notes), scores.counts)
