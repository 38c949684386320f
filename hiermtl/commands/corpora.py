"""From a recipe's `corpora` section to stored corpora."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hiermtl.commands.sources import clean_sources, corpus_sources, place_of_dataset, with_noise
from hiermtl.commands.tasks import base_of, document_tasks, layers_of, text_name
from hiermtl.corpus.build import Corpus, Source, build_corpus
from hiermtl.corpus.leakage import leaks
from hiermtl.corpus.plain import TextCorpus, text_corpus, text_source
from hiermtl.corpus.sources import (
    WordCounts,
    hinted_source,
)
from hiermtl.errors import DataError, RecipeError, listing
from hiermtl.evaluation.counts import GoldName
from hiermtl.heads import HEADS
from hiermtl.recipe import Recipe, corpora_of, resolved
from hiermtl.recipe.corpora import (
    CORPORA,
    SPLITS,
    DatasetCorpus,
    FileCorpus,
    SickCorpus,
)
from hiermtl.recipe.data_files import VARIABLE
from hiermtl.recipe.heads import HintHead
from hiermtl.text.hints import COUNTED
from hiermtl.text.segment import SEGMENT

MOST_WORDS = 1_000
"""Words of a document that are one example; what is longer is cut between sentences."""


def used_examples(recipe: Recipe, name: str) -> dict[str, Any]:
    """Which examples of the train split of a corpus are used, as `Corpus.chosen` is told."""
    training = recipe.training
    return {
        "limit": training.max_examples,
        "spread": training.examples == "spread",
        "document": MOST_WORDS if document_tasks(recipe, name) else None,
    }


def training_data(recipe: Recipe, corpora: Mapping[str, Corpus]) -> dict[str, str]:
    """For each corpus how many of its training examples are used, and a short name of them all.

    That name is made of the words of the whole split: which of them are used is said by the recipe,
    and arms with other tasks choose whole documents where others choose sentences.
    """
    found = {}
    for name, corpus in corpora.items():
        whole, used = corpus.chosen("train"), corpus.chosen("train", **used_examples(recipe, name))
        counts = [f"{len(one.passages) + len(one.rows):,}" for one in (used, whole)]
        words = GoldName()
        for batch in corpus.split("train").data.to_batches():
            for sentence in batch.column("words").to_pylist():
                words.add(sentence)
        found[name] = f"{' of '.join(dict.fromkeys(counts))} examples ({words})"
    return found


def placed(recipe: Recipe, *, data_dir: str | Path | None = None) -> dict[str, Any]:
    """The resolved recipe, with files that lie only beside it under their absolute paths.

    A run must find its corpora again without knowing where its recipe lay.
    """
    plain = resolved(recipe)
    given = os.fspath(data_dir) if data_dir is not None else os.environ.get(VARIABLE)

    def place(file: str) -> str:
        if Path(file).is_absolute() or (given and os.path.isfile(Path(given) / file)):
            return file
        found = (folder / file for folder in recipe.folders if os.path.isfile(folder / file))
        return next((str(path.absolute()) for path in found), file)

    for name, corpus in plain["corpora"].items():
        if isinstance(recipe.corpora[name], DatasetCorpus):
            found = place_of_dataset(corpus["path"], recipe, data_dir=data_dir)
            if os.path.exists(found):
                corpus["path"] = os.path.abspath(found)
            continue
        if not issubclass(CORPORA[corpus["format"]], FileCorpus | SickCorpus):
            continue
        for part in (corpus, *corpus.get("join", ())):
            for key in (*SPLITS, "file"):
                files = part.get(key)
                if files is not None:
                    part[key] = (
                        place(files) if isinstance(files, str) else [place(file) for file in files]
                    )
    return plain


def open_corpora(
    recipe: Recipe, *, data_dir: str | Path | None = None, splits: Sequence[str] = SPLITS
) -> dict[str, Corpus]:
    """The corpora that the recipe's tasks use, read and stored unless they lie in the cache.

    Raises:
        DataError: A file is missing or malformed, or a corpus lacks a layer.
    """
    corpora = {}
    counts = _counted(recipe, data_dir=data_dir)
    for name, tasks in layers_of(recipe).items():
        base = base_of(recipe, name)
        if base != name:
            corpora[name] = _open_text(recipe, base, data_dir=data_dir, splits=splits)
            continue
        sources = corpus_sources(recipe, name, data_dir=data_dir)
        sources = _with_hints(sources, recipe, tasks, counts=counts)
        chosen = {split: source for split, source in sources.items() if split in splits}
        edits = _edits(recipe, tasks)
        layers = sorted(set(tasks.values()))
        corpora[name] = build_corpus(name, chosen, layers=layers, edits=edits)
    return corpora


def _open_text(
    recipe: Recipe, base: str, *, data_dir: str | Path | None, splits: Sequence[str]
) -> TextCorpus:
    """The plain text of a corpus."""
    options = recipe.corpora[base]
    sources = clean_sources(options, recipe, base, data_dir)
    sources = {split: source for split, source in sources.items() if split in splits}
    texts = {split: text_source(source) for split, source in sources.items()}
    texts = with_noise(texts, options, base, layers={SEGMENT})
    corpus = build_corpus(text_name(base), texts, layers=[SEGMENT])
    return text_corpus(corpus, base=base, sources=sources)


def _counted(recipe: Recipe, *, data_dir: str | Path | None) -> dict[str, WordCounts]:
    """Of each task of hints the words in the training data of all its corpora, where it asks.

    Never those in dev or test.
    """
    found = {}
    for task, options in recipe.tasks.items():
        if isinstance(options.head, HintHead):
            names = corpora_of(recipe, task) if options.head.feature in COUNTED else ()
            own = [corpus_sources(recipe, name, data_dir=data_dir)["train"] for name in names]
            found[task] = WordCounts(own)
    return found


def _with_hints(
    sources: Mapping[str, Source],
    recipe: Recipe,
    tasks: Iterable[str],
    *,
    counts: Mapping[str, WordCounts],
) -> dict[str, Source]:
    """The sources of a corpus, with the layers that its tasks of hints have computed."""
    found = dict(sources)
    for task in tasks:
        options = recipe.tasks[task]
        head = options.head
        if not isinstance(head, HintHead):
            continue
        for split, base in found.items():
            found[split] = hinted_source(
                base, head.feature, layer=options.column, size=head.characters, counts=counts[task]
            )
    return found


def training_corpora(recipe: Recipe, *, data_dir: str | Path | None = None) -> dict[str, Corpus]:
    """The splits that training reads, train and dev.

    Raises:
        DataError: As `open_corpora`, and as `check_leakage`, for which test is read as well.
    """
    if recipe.check.leakage == "error":
        check_leakage(recipe, open_corpora(recipe, data_dir=data_dir))
    return open_corpora(recipe, data_dir=data_dir, splits=("train", "dev"))


def check_leakage(recipe: Recipe, corpora: Mapping[str, Corpus]) -> list[str]:
    """Lines on dev and test sentences that stand in training data.

    Raises:
        DataError: The recipe takes it for an error, and one of `LONG` words or more does.
    """
    if recipe.check.leakage == "off":
        return []
    # The text of a corpus is that of its sentences.
    texts = {c.base: name for name, c in corpora.items() if isinstance(c, TextCorpus)}
    again = {name for base, name in texts.items() if base in corpora}
    found = leaks({name: corpus for name, corpus in corpora.items() if name not in again})
    bad = [leak for leak in found if leak.long]
    if bad and recipe.check.leakage == "error":
        raise DataError(
            f"{bad[0]}; take them out of one of the two, or set check.leakage=warn to train all "
            "the same"
        )
    lines = [f"leakage: {leak}" for leak in found]
    return lines or ["leakage: nothing of dev or test stands in training data"]


def _edits(recipe: Recipe, tasks: Mapping[str, str]) -> list[str]:
    """The layers that are learnt as edit scripts.

    Raises:
        RecipeError: Two tasks read one layer, one as scripts and one as labels.
    """
    found = {True: set[str](), False: set[str]()}
    for task, layer in tasks.items():
        found[HEADS[recipe.tasks[task].head.name].layer == "edits"].add(layer)
    for layer in sorted(found[True] & found[False]):
        both = [task for task, column in tasks.items() if column == layer]
        raise RecipeError(
            f"tasks {listing(both)} read the layer {layer!r}, some as edit scripts and some as "
            "labels; give them heads of one kind"
        )
    return sorted(found[True])
