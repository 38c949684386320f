"""From a recipe's `corpora` section to stored corpora."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from hiermtl._version import __version__
from hiermtl.commands.sample import sample
from hiermtl.corpus.build import Corpus, Source, build_corpus
from hiermtl.corpus.cache import digest, file_digest, kept
from hiermtl.corpus.catalogue import missing_file_error
from hiermtl.corpus.leakage import leaks
from hiermtl.corpus.noise import Noise, noisy_source
from hiermtl.corpus.plain import TextCorpus, text_corpus, text_source
from hiermtl.corpus.sources import (
    WordCounts,
    columns_source,
    conllu_source,
    crossre_source,
    dataset_source,
    dataset_splits,
    docbin_source,
    hinted_source,
    joined_source,
    jsonl_source,
    propbank_source,
    selected_source,
    semeval_source,
    sick_source,
    table_source,
)
from hiermtl.errors import DataError, RecipeError, listing
from hiermtl.folders import cache_folder
from hiermtl.heads import HEADS
from hiermtl.recipe import Recipe, corpora_of, data_file, resolved
from hiermtl.recipe.corpora import (
    CORPORA,
    PAIR_LAYERS,
    SPLITS,
    ColumnsCorpus,
    ColumnsJoin,
    ConlluCorpus,
    CorpusOptions,
    CrossreCorpus,
    DatasetCorpus,
    DocBinCorpus,
    FileCorpus,
    Join,
    JsonlCorpus,
    PairsCorpus,
    PropbankCorpus,
    SampleCorpus,
    SemevalCorpus,
    SickCorpus,
    TableCorpus,
    joined_layers,
)
from hiermtl.recipe.data_files import VARIABLE
from hiermtl.recipe.heads import HintHead
from hiermtl.text.hints import COUNTED
from hiermtl.text.segment import SEGMENT
from hiermtl.text.sentence import Passage, Sentence

SICK = {"train": "TRAIN", "dev": "TRIAL", "test": "TEST"}
"""Our names of splits, and SICK's."""

MOST_WORDS = 1_000
"""Words of a document that are one example; what is longer is cut between sentences."""


def layers_of(recipe: Recipe) -> dict[str, dict[str, str]]:
    """Corpus -> task -> the layer of the corpus that holds the task's gold.

    What is learnt from the plain text of a corpus has a corpus of its own, `text_name` of it.
    """
    names = [name for own in recipe.corpora for name in (own, text_name(own))]
    found: dict[str, dict[str, str]] = {name: {} for name in names}
    for task, options in recipe.tasks.items():
        for corpus in corpora_of(recipe, task):
            name = text_name(corpus) if options.column == SEGMENT else corpus
            found[name][task] = options.column
    return {corpus: tasks for corpus, tasks in found.items() if tasks}


def document_tasks(recipe: Recipe, name: str) -> list[str]:
    """The tasks of a corpus that judge whole documents; of one that no task is for, none."""
    tasks = layers_of(recipe).get(name, {})
    return [task for task in tasks if HEADS[recipe.tasks[task].head.name].unit == "document"]


def used_examples(recipe: Recipe, name: str) -> dict[str, Any]:
    """Which examples of the train split of a corpus are used, as `Corpus.chosen` is told."""
    training = recipe.training
    return {
        "limit": training.max_examples,
        "spread": training.examples == "spread",
        "document": MOST_WORDS if document_tasks(recipe, name) else None,
    }


def text_name(corpus: str) -> str:
    """What the plain text of a corpus is called."""
    return f"{corpus} (text)"


def base_of(recipe: Recipe, name: str) -> str:
    """The corpus of the recipe that a corpus of `layers_of` is, or whose text it is."""
    return next((own for own in recipe.corpora if text_name(own) == name), name)


def main_tasks(recipe: Recipe) -> list[str]:
    """The tasks that decide which checkpoint is best."""
    if recipe.evaluation.main is not None:
        return [task for task in recipe.evaluation.main if task in recipe.tasks]
    return [name for name, task in recipe.tasks.items() if not task.auxiliary]


def auxiliary_tasks(recipe: Recipe) -> list[str]:
    """The tasks that the model is saved without."""
    return [name for name, task in recipe.tasks.items() if task.auxiliary]


def as_trained(recipe: Recipe) -> tuple[Recipe, list[str]]:
    """Without auxiliary tasks where tasks share nothing, and a line for each of these."""
    idle = auxiliary_tasks(recipe) if recipe.sharing.name == "single" else []
    if not idle:
        return recipe, []
    lines = [
        f"{task}: auxiliary, so that it is not trained: under sharing 'single' it can help no other"
        for task in idle
    ]
    return recipe.only(set(recipe.tasks) - set(idle)), lines


def judging_tasks(recipe: Recipe, corpora: Mapping[str, Corpus]) -> list[str]:
    """Of the tasks that decide which checkpoint is best, those with something to score in dev."""
    return [task for task in main_tasks(recipe) if task in dev_tasks(recipe, corpora)]


def dev_tasks(recipe: Recipe, corpora: Mapping[str, Corpus]) -> set[str]:
    """The tasks that can be scored on dev."""
    return {task for name in layers_of(recipe) for task in scorable(recipe, corpora, name, "dev")}


def scorable(
    recipe: Recipe, corpora: Mapping[str, Corpus], name: str, split: str
) -> dict[str, str]:
    """Of the tasks a corpus is for, those that can be scored on a split, with their layers."""
    corpus = corpora[name]
    if split not in corpus.splits:
        return {}
    tasks = layers_of(recipe)[name]
    return {task: layer for task, layer in tasks.items() if corpus.scorable(split, layer)}


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
    sources = _clean_sources(options, recipe, base, data_dir)
    sources = {split: source for split, source in sources.items() if split in splits}
    texts = {split: text_source(source) for split, source in sources.items()}
    texts = _with_noise(texts, options, base, layers={SEGMENT})
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


def corpus_sources(
    recipe: Recipe, name: str, *, data_dir: str | Path | None = None
) -> dict[str, Source]:
    """The splits of a corpus as sources to read."""
    options = recipe.corpora[name]
    sources = _clean_sources(options, recipe, name, data_dir)
    return _with_noise(sources, options, name, layers=set(options.noise or ()) - {SEGMENT})


def _with_noise(
    sources: Mapping[str, Source], options: CorpusOptions, name: str, *, layers: Set[str]
) -> dict[str, Source]:
    """The sources, of which train has the wrong labels in these layers that are asked for."""
    given: Mapping[str, Noise] = options.noise or {}
    noise: dict[str, Noise] = {name: given[name] for name in given if name in layers}
    found = dict(sources)
    if noise and "train" in found:
        found["train"] = noisy_source(found["train"], noise, key=f"corpora.{name}.noise")
    return found


def _clean_sources(
    options: CorpusOptions, recipe: Recipe, name: str, data_dir: str | Path | None
) -> dict[str, Source]:
    if isinstance(options, SampleCorpus):
        return _sample_sources(options, layers=set(layers_of(recipe).get(name, {}).values()))
    if isinstance(options, DatasetCorpus):
        return _dataset_sources(options, recipe, data_dir)
    if isinstance(options, SickCorpus):
        file = _file(options.file, recipe, data_dir)
        return {split: sick_source(file, theirs) for split, theirs in SICK.items()}
    if isinstance(options, SemevalCorpus) and options.held_out:
        return _semeval_sources(options, recipe, data_dir)
    sources = {}
    for split in SPLITS:
        files = _files(getattr(options, split), recipe, data_dir)
        if files:
            base = _chained([_file_source(options, file, recipe.language) for file in files])
            for join in getattr(options, "join", ()):
                base = _with_join(base, join, split=split, recipe=recipe, data_dir=data_dir)
            # After joins, of which some go by the place of a sentence.
            patterns = getattr(getattr(options, "documents", None), split, None)
            if patterns:
                key = f"corpora.{name}.documents.{split}"
                base = selected_source(base, patterns, key=key)
            sources[split] = base
    return sources


def _semeval_sources(
    options: SemevalCorpus, recipe: Recipe, data_dir: str | Path | None
) -> dict[str, Source]:
    """The splits where dev is cut from the end of train."""
    files = _files(options.train, recipe, data_dir)
    if len(files) > 1:
        raise RecipeError(
            f"corpora of format semeval hold examples of one file out for dev, but train names "
            f"{len(files)}; name one, or a file for dev"
        )
    cut = {"language": recipe.language, "held_out": options.held_out}
    sources = {
        "train": semeval_source(files[0], **cut),
        "dev": semeval_source(files[0], **cut, dev=True),
    }
    test = _files(options.test, recipe, data_dir)
    if test:
        whole = [semeval_source(file, language=recipe.language) for file in test]
        sources["test"] = _chained(whole)
    return sources


def _files(given: Any, recipe: Recipe, data_dir: str | Path | None) -> list[Path]:
    names = () if given is None else (given,) if isinstance(given, str) else given
    return [_file(name, recipe, data_dir) for name in names]


def _file(name: str, recipe: Recipe, data_dir: str | Path | None) -> Path:
    try:
        return data_file(name, recipe, data_dir=data_dir)
    except DataError as error:
        entry = str(missing_file_error(name))
        known = "\n" + entry.split("\n", 1)[1] if "\n" in entry else ""
        raise DataError(f"{error}{known}") from None


def _file_source(options: CorpusOptions, file: Path, language: str) -> Source:
    if isinstance(options, ConlluCorpus):
        return conllu_source(file, bio=options.bio)
    if isinstance(options, JsonlCorpus):
        return jsonl_source(file, options.columns, heads_from=options.heads_from, bio=options.bio)
    if isinstance(options, DocBinCorpus):
        return docbin_source(file)
    if isinstance(options, PropbankCorpus):
        return propbank_source(file)
    if isinstance(options, CrossreCorpus):
        return crossre_source(file)
    if isinstance(options, SemevalCorpus):
        return semeval_source(file, language=language)
    if isinstance(options, TableCorpus | PairsCorpus):
        texts = (
            [options.text] if isinstance(options, TableCorpus) else [options.first, options.second]
        )
        return table_source(
            file, texts, labels=options.labels, numbers=options.numbers, language=language
        )
    assert isinstance(options, ColumnsCorpus), options
    return columns_source(file, options.columns, words=options.words, bio=options.bio)


def _with_join(
    base: Source, join: Join, *, split: str, recipe: Recipe, data_dir: str | Path | None
) -> Source:
    files = _files(getattr(join, split), recipe, data_dir)
    if not files:
        return base
    other = _chained(
        [
            columns_source(file, join.columns, words=join.words, bio=join.bio)
            if isinstance(join, ColumnsJoin)
            else propbank_source(file)
            for file in files
        ]
    )
    layers = list(joined_layers(join))
    return joined_source(base, other, layers=layers, key=join.key, mismatch=join.mismatch)


def _chained(sources: Sequence[Source]) -> Source:
    """Several files one after the other; in each, other documents begin."""
    if len(sources) == 1:
        return sources[0]

    def read() -> Iterator[Sentence | Passage]:
        last: list[str | None] = []
        for number, source in enumerate(sources, 1):
            before, last = last, []
            for record in source.read():
                if isinstance(record, Sentence):
                    # The first document may be called as the last one of the file before it.
                    if before and record.doc_id == before[0]:
                        name = "" if record.doc_id is None else f"{record.doc_id} "
                        last = [record.doc_id]
                        yield replace(record, doc_id=f"{name}(file {number})")
                        continue
                    before, last = [], [record.doc_id]
                yield record

    return Source(
        tuple(chain.from_iterable(source.files for source in sources)),
        read,
        {"reader": "chain", "parts": [dict(source.options) for source in sources]},
        lambda: tuple(chain.from_iterable(source.reports() for source in sources)),
    )


def _dataset_sources(
    options: DatasetCorpus, recipe: Recipe, data_dir: str | Path | None
) -> dict[str, Source]:
    columns: Mapping[str, Any] = options.columns
    path = place_of_dataset(options.path, recipe, data_dir=data_dir)
    there = dataset_splits(
        path,
        config=options.config,
        revision=options.revision,
        streaming=options.streaming,
    )
    wanted = {
        "train": options.train,
        "dev": options.dev or ("validation" if "validation" in there else None),
        "test": options.test or ("test" if "test" in there else None),
    }
    return {
        split: dataset_source(
            path,
            columns,
            split=name,
            words=options.words,
            config=options.config,
            revision=options.revision,
            streaming=options.streaming,
            max_rows=options.max_rows,
            bio=options.bio,
        )
        for split, name in wanted.items()
        if name is not None
    }


def place_of_dataset(path: str, recipe: Recipe, *, data_dir: str | Path | None) -> str:
    """A folder or file where corpora are looked up, or the id of the hub as it is."""
    given = data_dir if data_dir is not None else os.environ.get(VARIABLE)
    folders = [Path(given)] if given else []
    found = (folder / path for folder in (*folders, *recipe.folders, Path()))
    return next((str(place) for place in found if place.exists()), path)


def _sample_sources(options: SampleCorpus, *, layers: Set[str]) -> dict[str, Source]:
    """Writes the sample corpora to the cache, under a key of the generator's own files.

    Pairs are read where one of their layers is wanted.
    """
    import hiermtl.sample

    made_by = sorted(Path(hiermtl.sample.__file__).parent.glob("*"))
    sizes = {split: getattr(options, split) for split in SPLITS}
    key = {
        "version": __version__,
        "seed": options.seed,
        "files": [file_digest(file) for file in made_by if file.is_file()],
        **sizes,
    }
    folder = cache_folder() / "sample" / digest(key)[:16]

    def write(place: Path) -> dict[str, Any]:
        sample(place, seed=options.seed, **sizes)
        return {}

    kept(folder, write)
    sources = {}
    for split in SPLITS:
        base = conllu_source(folder / f"{split}.conllu")
        for layer, suffix, column in (("ner", "ner.iob2", 2), ("chunk", "chunk.tsv", 3)):
            other = columns_source(folder / f"{split}.{suffix}", {layer: column}, words=1)
            base = joined_source(base, other, layers=[layer])
        if "relation" in layers:
            other = crossre_source(folder / f"{split}.relations.jsonl")
            base = joined_source(base, other, layers=["relation"])
        if layers & PAIR_LAYERS:
            base = _chained([base, _sample_pairs(folder / f"{split}.pairs.tsv")])
        sources[split] = base
    return sources


def _sample_pairs(file: Path) -> Source:
    return table_source(
        file,
        ["first", "second"],
        labels={"entailment": "entailment"},
        numbers={"relatedness": "relatedness"},
        language="en",
    )
