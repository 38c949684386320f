"""Sources of the readers: each knows its files and options, hence the key of its corpus."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from hiermtl.arrays import evenly
from hiermtl.corpus.build import Source
from hiermtl.errors import DataError, listing
from hiermtl.text.annotated import read_annotated
from hiermtl.text.bio import Bio, with_legal_spans
from hiermtl.text.columns import read_columns
from hiermtl.text.conllu import MISC_KEYS, read_conllu
from hiermtl.text.docbin import read_docbin
from hiermtl.text.hints import hint_tags
from hiermtl.text.hub import dataset_fingerprint, dataset_splits, read_dataset
from hiermtl.text.join import JoinReport, join_layers
from hiermtl.text.listed import ColumnMap
from hiermtl.text.propbank import read_propbank
from hiermtl.text.relations import read_crossre, read_semeval
from hiermtl.text.sentence import Passage, Sentence
from hiermtl.text.tables import read_pairs, read_sick, read_table
from hiermtl.text.unlearnt import Unlearnt


def conllu_source(path: str | Path, *, bio: Bio = "strict") -> Source:
    """A CoNLL-U file; see `read_conllu`. Layers of MISC are held to IOB2 as `bio` says.

    Its report counts repaired tags, sentences whose mentions are not read, and what cannot be
    learnt.
    """
    options = {"reader": "conllu", "bio": bio}
    source = _counted(Source((Path(path),), lambda: read_conllu(path), options))
    return _held_to_iob2(source, bio, layers=tuple(MISC_KEYS))


def columns_source(
    path: str | Path,
    columns: Mapping[str, int | str],
    *,
    words: int | str = 0,
    separator: str | None = None,
    bio: Bio = "strict",
    missing: str | None = None,
) -> Source:
    """A column file; see `read_columns`. Its report counts repaired tags."""
    repairs: Counter[str] = Counter()

    def read() -> Iterator[Sentence]:
        repairs.clear()
        return read_columns(
            path,
            columns,
            words=words,
            separator=separator,
            bio=bio,
            missing=missing,
            repairs=repairs,
        )

    options = {
        "reader": "columns",
        "columns": dict(columns),
        "words": words,
        "separator": separator,
        "bio": bio,
        "missing": missing,
    }
    return Source((Path(path),), read, options, lambda: _repaired(repairs))


def jsonl_source(
    path: str | Path, columns: ColumnMap, *, heads_from: int = 0, bio: Bio = "strict"
) -> Source:
    """JSON lines with annotation; see `read_annotated`.

    Its report counts repaired tags, and what cannot be learnt.
    """
    options = {"reader": "jsonl", "columns": dict(columns), "heads_from": heads_from, "bio": bio}
    source = Source(
        (Path(path),), lambda: read_annotated(path, columns, heads_from=heads_from), options
    )
    return _counted(_held_to_iob2(source, bio, layers=None))


def table_source(
    path: str | Path,
    texts: Sequence[str | int],
    *,
    labels: Mapping[str, str | int],
    numbers: Mapping[str, str | int],
    language: str,
) -> Source:
    """A table with a text, or the two of a pair, per row; see `read_table` and `read_pairs`."""
    said = {"labels": labels, "numbers": numbers, "language": language}

    def read() -> Iterator[Passage]:
        if len(texts) == 1:
            return read_table(path, text=texts[0], **said)
        return read_pairs(path, first=texts[0], second=texts[1], **said)

    plain = {"labels": dict(labels), "numbers": dict(numbers), "language": language}
    return Source(
        (Path(path),), read, {"reader": "table", "texts": list(texts), **plain, **_split()}
    )


def propbank_source(path: str | Path) -> Source:
    """A file in PropBank's columns; see `read_propbank`. Its brackets of the tree are left out.

    Its report counts what cannot be learnt.
    """

    def read() -> Iterator[Sentence]:
        for sentence in read_propbank(path):
            kept = {name: layer for name, layer in sentence.layers.items() if name != "parse"}
            yield replace(sentence, layers=kept)

    return _counted(Source((Path(path),), read, {"reader": "propbank"}))


def crossre_source(path: str | Path) -> Source:
    """A file of CrossRE; see `read_crossre`. Its report counts what cannot be learnt."""
    source = Source((Path(path),), lambda: read_crossre(path), {"reader": "crossre"})
    return _counted(source)


def semeval_source(
    path: str | Path, *, language: str, held_out: int = 0, dev: bool = False
) -> Source:
    """A file of SemEval-2010 task 8; see `read_semeval`.

    Without `held_out` of its examples, spread evenly over it, or (`dev`) only these. Its end is
    not like the rest: 31 % of the last 800 training examples are `Other`, of all 18 %.

    Raises:
        DataError: While reading: it has not more of them.
    """

    def read() -> Iterator[Sentence]:
        if not held_out:
            yield from read_semeval(path, language=language)
            return
        every = list(read_semeval(path, language=language))
        if len(every) <= held_out:
            raise DataError(
                f"{len(every)} examples, of which {held_out} are to be held out; hold fewer out",
                path,
            )
        out = set(evenly(len(every), held_out).tolist())
        yield from (one for place, one in enumerate(every) if (place in out) == dev)

    options = {"reader": "semeval", "language": language, "spread": held_out, "dev": dev}
    options |= _split()
    return Source((Path(path),), read, options)


def sick_source(path: str | Path, split: str) -> Source:
    """A split of SICK; see `read_sick`."""
    options = {"reader": "sick", "split": split, **_split()}
    return Source((Path(path),), lambda: read_sick(path, split), options)


def _split() -> dict[str, str]:
    """What decides, beside a text and its language, which words it is split into."""
    return {"spacy": version("spacy")}


def docbin_source(path: str | Path) -> Source:
    """A file of spaCy documents; see `read_docbin`. Its report counts what was mended."""
    repairs: Counter[str] = Counter()

    def read() -> Iterator[Sentence]:
        repairs.clear()
        return read_docbin(path, repairs=repairs)

    def report() -> tuple[str, ...]:
        spaces = repairs["white space"]
        left = (f"{spaces} tokens of white space left out",) if spaces else ()
        return (*left, *_repaired(Counter({n: c for n, c in repairs.items() if n == "ner"})))

    return Source((Path(path),), read, {"reader": "docbin"}, report)


def _held_to_iob2(source: Source, bio: Bio, *, layers: Sequence[str] | None) -> Source:
    """The source with its span layers checked or repaired; its report counts repaired tags."""
    repairs: Counter[str] = Counter()

    def read() -> Iterator[Sentence]:
        repairs.clear()
        return with_legal_spans(sentences_of(source), bio=bio, repairs=repairs, layers=layers)

    return replace(source, read=read, reports=lambda: (*source.reports(), *_repaired(repairs)))


def _counted(source: Source) -> Source:
    """The source; its report says what of its sentences cannot be learnt, or not be found."""
    unlearnt = Unlearnt()
    return replace(
        source,
        read=lambda: unlearnt.watched(sentences_of(source)),
        reports=lambda: (*source.reports(), *unlearnt.lines()),
    )


def sentences_of(source: Source) -> Iterator[Sentence]:
    """What a source of sentences gives; one of passages has no place where this is called."""
    for record in source.read():
        assert isinstance(record, Sentence)
        yield record


class WordCounts:
    """How often words occur in some sources, which are read once, when the first is asked for.

    That may be while another source is being read: these must have been made for this alone.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        """Takes the sources."""
        self.sources = tuple(sources)
        self._counts: Counter[str] | None = None

    def __call__(self, word: str) -> int:
        """The occurrences of a word."""
        if self._counts is None:
            records = chain.from_iterable(source.read() for source in self.sources)
            sentences = chain.from_iterable(map(_sentences_in, records))
            self._counts = Counter(word for sentence in sentences for word in sentence.words)
        return self._counts[word]


def hinted_source(
    base: Source, feature: str, *, layer: str, size: int, counts: WordCounts
) -> Source:
    """`base` with a layer that is computed from the words; see `hiermtl.text.hints`.

    `counts` are those of the training data, for features that count words there.
    """

    def hinted(sentence: Sentence) -> Sentence:
        tags = hint_tags(sentence.words, feature, seen=counts, size=size)
        return sentence.with_layers({layer: tags})

    def read() -> Iterator[Sentence | Passage]:
        for record in base.read():
            if isinstance(record, Sentence):
                yield hinted(record)
            else:
                yield replace(record, sentences=tuple(map(hinted, record.sentences)))

    options = {
        "reader": "hint",
        "base": {"files": len(base.files), **base.options},
        "feature": feature,
        "layer": layer,
        "size": size,
        "counted": [{"files": len(source.files), **source.options} for source in counts.sources],
    }
    files = (*base.files, *chain.from_iterable(source.files for source in counts.sources))
    return replace(base, files=files, read=read, options=options)


def _sentences_in(record: Sentence | Passage) -> Sequence[Sentence]:
    return (record,) if isinstance(record, Sentence) else record.sentences


def _repaired(repairs: Counter[str]) -> tuple[str, ...]:
    return tuple(f"{count} tags of {layer} repaired" for layer, count in repairs.items())


def dataset_source(
    source: Any,
    columns: ColumnMap,
    *,
    split: str | None = None,
    bio: Bio = "strict",
    **rest: Any,
) -> Source:
    """A dataset of the `datasets` library; further arguments as in `read_dataset`.

    The key has the fingerprint `datasets` gives the data, so the dataset is opened (and fetched, if
    need be) here.
    """
    fingerprint = dataset_fingerprint(
        source, split=split, config=rest.get("config"), revision=rest.get("revision")
    )
    options = {
        "reader": "dataset",
        "fingerprint": fingerprint,
        "columns": dict(columns),
        "split": split,
        "bio": bio,
        **rest,
    }
    made = Source((), lambda: read_dataset(source, columns, split=split, **rest), options)
    return _counted(_held_to_iob2(made, bio, layers=None))


def joined_source(
    base: Source,
    other: Source,
    *,
    layers: Sequence[str],
    key: Literal["sent_id", "position"] = "sent_id",
    mismatch: Literal["skip", "project"] = "skip",
) -> Source:
    """`base` with layers of `other`; see `join_layers`. Its report has what the join counted."""
    found: list[JoinReport] = []

    def read() -> Iterator[Sentence]:
        found.clear()
        return join_layers(
            sentences_of(base),
            sentences_of(other),
            layers=layers,
            key=key,
            mismatch=mismatch,
            report=found.append,
        )

    def report() -> tuple[str, ...]:
        joined = tuple(f"{listing(layers)}: {line}" for one in found for line in one.lines())
        return (*base.reports(), *other.reports(), *joined)

    options = {
        "reader": "join",
        "base": {"files": len(base.files), **base.options},
        "other": {"files": len(other.files), **other.options},
        "layers": list(layers),
        "key": key,
        "mismatch": mismatch,
    }
    return replace(base, files=base.files + other.files, read=read, options=options, reports=report)


def selected_source(base: Source, patterns: Sequence[str], *, key: str) -> Source:
    """The sentences of documents whose names match; `key` names the recipe's key in errors.

    A pattern is one of file names (`weblog-*`); with `!` in front it says what is left out. Where
    all are such, the rest is read.

    Raises:
        DataError: While reading: no document matches.
    """
    out = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    into = [pattern for pattern in patterns if not pattern.startswith("!")] or ["*"]
    left: list[int] = []

    def wanted(name: str) -> bool:
        return any(fnmatchcase(name, p) for p in into) and not any(
            fnmatchcase(name, p) for p in out
        )

    def read() -> Iterator[Sentence]:
        found = dropped = 0
        names: dict[str, None] = {}
        for sentence in sentences_of(base):
            name = sentence.doc_id or ""
            if wanted(name):
                found += 1
                yield sentence
            else:
                dropped += 1
                if len(names) < 5:
                    names[name] = None
        left[:] = [dropped]
        if not found:
            raise DataError(
                f"{key} is {listing(patterns)}, which no document matches; names are such as "
                f"{listing(names)}"
            )

    def report() -> tuple[str, ...]:
        told = tuple(f"{count:,} sentences of other documents left out" for count in left if count)
        return (*base.reports(), *told)

    options = {"reader": "documents", "patterns": list(patterns), "base": dict(base.options)}
    return replace(base, read=read, options=options, reports=report)


__all__ = [
    "Source",
    "WordCounts",
    "columns_source",
    "conllu_source",
    "dataset_source",
    "dataset_splits",
    "docbin_source",
    "hinted_source",
    "joined_source",
    "jsonl_source",
    "selected_source",
    "sick_source",
    "table_source",
]
