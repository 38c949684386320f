"""From a recipe's `corpora` section to sources, to be read split by split."""

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from hiermtl._version import __version__
from hiermtl.commands.sample import sample
from hiermtl.commands.tasks import layers_of
from hiermtl.corpus.build import Source
from hiermtl.corpus.cache import digest, file_digest, kept
from hiermtl.corpus.catalogue import missing_file_error
from hiermtl.corpus.noise import Noise, noisy_source
from hiermtl.corpus.sources import (
    columns_source,
    conllu_source,
    crossre_source,
    dataset_source,
    dataset_splits,
    docbin_source,
    joined_source,
    jsonl_source,
    propbank_source,
    selected_source,
    semeval_source,
    sick_source,
    table_source,
)
from hiermtl.errors import DataError, RecipeError
from hiermtl.folders import cache_folder
from hiermtl.recipe import Recipe, data_file
from hiermtl.recipe.corpora import (
    PAIR_LAYERS,
    SPLITS,
    ColumnsCorpus,
    ColumnsJoin,
    ConlluCorpus,
    CorpusOptions,
    CrossreCorpus,
    DatasetCorpus,
    DocBinCorpus,
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
from hiermtl.text.segment import SEGMENT
from hiermtl.text.sentence import Passage, Sentence

SICK = {"train": "TRAIN", "dev": "TRIAL", "test": "TEST"}
"""Our names of splits, and SICK's."""


def corpus_sources(
    recipe: Recipe, name: str, *, data_dir: str | Path | None = None
) -> dict[str, Source]:
    """The splits of a corpus as sources to read."""
    options = recipe.corpora[name]
    sources = clean_sources(options, recipe, name, data_dir)
    return with_noise(sources, options, name, layers=set(options.noise or ()) - {SEGMENT})


def with_noise(
    sources: Mapping[str, Source], options: CorpusOptions, name: str, *, layers: Set[str]
) -> dict[str, Source]:
    """The sources, of which train has the wrong labels in these layers that are asked for."""
    given: Mapping[str, Noise] = options.noise or {}
    noise: dict[str, Noise] = {name: given[name] for name in given if name in layers}
    found = dict(sources)
    if noise and "train" in found:
        found["train"] = noisy_source(found["train"], noise, key=f"corpora.{name}.noise")
    return found


def clean_sources(
    options: CorpusOptions, recipe: Recipe, name: str, data_dir: str | Path | None
) -> dict[str, Source]:
    """The splits of a corpus as sources to read, without the noise that is asked for."""
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
