"""A corpus: its stored splits, one label inventory for all, and what only dev or test has."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from hiermtl.arrays import new_array, nonzero
from hiermtl.corpus.cache import digest, file_digest, kept
from hiermtl.corpus.chosen import Chosen, choose, document_parts
from hiermtl.corpus.encoded import EncodedSplit, WordEncoder, encode_split
from hiermtl.corpus.names import OF_PASSAGES, PLACES, Kind
from hiermtl.corpus.passages import read_passages
from hiermtl.corpus.store import (
    Draft,
    draft_split,
    finish_split,
    read_layer,
    read_sentences,
)
from hiermtl.errors import DataError, RecipeError, listing, nearest
from hiermtl.folders import cache_folder
from hiermtl.text.bio import is_iob2
from hiermtl.text.sentence import (
    Frames,
    Layer,
    Mentions,
    Passage,
    Relations,
    Sentence,
    Spans,
    Tree,
)

FORMAT = 8
"""Version of the stored form and of what the readers give; a change makes every entry new."""


@dataclass(frozen=True)
class Source:
    """A split to be read: `read` gives its sentences anew at each call.

    Texts and pairs with labels of their own come as passages. `files` are all files it reads and
    `options` all else that decides what it yields (JSON types); both make the key of the stored
    form, so that a change of either is noticed. `reports` is called after reading and gives what
    the readers counted (joined sentences, repaired tags), to be kept with the corpus.
    """

    files: tuple[Path, ...]
    read: Callable[[], Iterable[Sentence | Passage]]
    options: Mapping[str, Any] = field(default_factory=dict)
    reports: Callable[[], Sequence[str]] = tuple


@dataclass(frozen=True)
class Corpus:
    """Splits of one corpus, memory-mapped.

    `passages` are the texts and pairs with labels of their own, for splits that have any; `layers`
    gives the kind of each layer; `names` its labels by id: those of train, sorted, then
    those seen only in other splits, sorted; `trained` how many are train's. `unseen` counts the
    items of the others: layer -> label -> split -> words or passages. `reports` are lines its
    readers left, by split. `keys` changes whenever the content of a split does. `counts` has for
    each layer the words (or passages) of train with each label, by id.
    """

    name: str
    splits: Mapping[str, datasets.Dataset]
    passages: Mapping[str, datasets.Dataset]
    layers: Mapping[str, Kind]
    names: Mapping[str, tuple[str, ...]]
    trained: Mapping[str, int]
    unseen: Mapping[str, Mapping[str, Mapping[str, int]]]
    reports: Mapping[str, tuple[str, ...]]
    keys: Mapping[str, str]
    words: Mapping[str, int]
    counts: Mapping[str, Sequence[int]]
    cache: Path

    def inventory(self, layer: str, *, least: int = 1) -> tuple[str, ...]:
        """The labels that stand on `least` words of train or more, sorted; a tree's relations.

        Raises:
            DataError: The corpus has no such layer.
        """
        self._check(layer)
        labels = self.names[layer][: self.trained[layer]]
        return tuple(
            n for n, count in zip(labels, self.counts[layer], strict=False) if count >= least
        )

    def sentences(self, split: str) -> Iterator[Sentence]:
        """The sentences of a split, without origin and verbatim lines.

        Raises:
            DataError: The corpus has no such split.
        """
        return read_sentences(self.split(split), self.layers, names=self.names)

    def chosen(
        self,
        split: str,
        limit: int | None = None,
        *,
        spread: bool = False,
        document: int | None = None,
    ) -> Chosen:
        """Which passages and which sentences `limit` examples of a split are; `None`: all.

        The first ones, or as many that are `spread` evenly over it: its passages, then the
        sentences that are in none. Where documents of at most `document` words are examples,
        sentences are counted still, and documents are kept whole, see `choose`.

        Raises:
            DataError: The corpus has no such split.
        """
        data, passages = self.split(split), self.passages.get(split)
        apart = new_array(len(data), np.bool_)
        apart[:] = True
        for chunk in () if passages is None else passages.data.column("sentences").chunks:
            apart[chunk.flatten().to_numpy()] = False
        lone = nonzero(apart)
        parts = None
        if document is not None:
            names = data.data.column("doc_id").to_pylist()
            chunks = data.data.column("words").chunks
            words = np.concatenate([np.diff(chunk.offsets.to_numpy()) for chunk in chunks])
            parts = document_parts(names, words, document, apart=~apart)[lone]
        count = 0 if passages is None else len(passages)
        return choose(count, lone, limit, spread=spread, parts=parts)

    def sentences_of(self, split: str, limit: int | None, **how: Any) -> Iterator[Sentence]:
        """The sentences of `limit` examples of a split; further arguments are those of `chosen`.

        Raises:
            DataError: The corpus has no such split.
        """
        if limit is None:
            yield from self.sentences(split)
            return
        chosen = self.chosen(split, limit, **how)
        found = set(chosen.rows.tolist())
        if len(chosen.passages):
            rows = list(self.passages[split]["sentences"])
            found.update(row for place in chosen.passages.tolist() for row in rows[place])
        for row, sentence in enumerate(islice(self.sentences(split), max(found) + 1)):
            if row in found:
                yield sentence

    def read_passages(self, split: str, limit: int | None = None, **how: Any) -> Iterator[Passage]:
        """The passages of a split, without origin; none where it has only sentences.

        With `limit` those among so many examples, as in `sentences_of`.

        Raises:
            DataError: The corpus has no such split.
        """
        sentences = list(self.sentences(split)) if split in self.passages else []
        if not sentences:
            return
        found = read_passages(self.passages[split], sentences, self.layers, names=self.names)
        if limit is None:
            yield from found
            return
        chosen = set(self.chosen(split, limit, **how).passages.tolist())
        yield from (passage for place, passage in enumerate(found) if place in chosen)

    def gold(self, split: str, layer: str) -> Sequence[Layer | str | float | None]:
        """A layer of every sentence (or passage) of a split, `None` where one does not have it.

        Raises:
            DataError: The corpus has no such split or layer.
        """
        self._check(layer)
        if self.layers[layer] in OF_PASSAGES:
            return [passage.labels.get(layer) for passage in self.read_passages(split)]
        lookup = np.array([*self.names[layer], None], dtype=object)
        batches = self.split(split).data.to_batches()
        kind = self.layers[layer]
        return [one for batch in batches for one in read_layer(batch, layer, kind, lookup=lookup)]

    def scorable(self, split: str, layer: str) -> bool:
        """Whether a split has anything of a layer to score: an item, of spans or their tags a span.

        Raises:
            DataError: The corpus has no such split or layer.
        """
        self._check(layer)
        kind = self.layers[layer]
        data = self.split(split)
        if kind in OF_PASSAGES:
            passages = self.passages.get(split)
            if passages is None or layer not in passages.column_names:
                return False
            return passages.data.column(layer).null_count < len(passages)
        nothing = (None, "O") if all(map(is_iob2, self.names[layer])) else (None,)
        lookup = np.array([*self.names[layer], None], dtype=object)
        for batch in data.data.to_batches():
            for one in read_layer(batch, layer, kind, lookup=lookup):
                if one is not None and _has_items(one, nothing):
                    return True
        return False

    def split(self, name: str) -> datasets.Dataset:
        """A split as a dataset.

        Raises:
            DataError: The corpus has no such split.
        """
        if name not in self.splits:
            raise DataError(
                f"corpus {self.name!r} has no split {name!r}; it has {listing(self.splits)}"
                f"{nearest(name, self.splits)}"
            )
        return self.splits[name]

    def encode(self, split: str, tokenizer: WordEncoder) -> EncodedSplit:
        """A split through a tokenizer, from the cache if it is there.

        Raises:
            DataError: The corpus has no such split.
        """
        data = self.split(split)
        return encode_split(data, tokenizer, folder=self.cache / "encoded", key=self.keys[split])

    def lines(self) -> list[str]:
        """Sizes, reports and labels outside train, as lines to print."""
        out = []
        for split, data in self.splits.items():
            size = f"{len(data)} sentences, {self.words[split]} words"
            if split in self.passages:
                size = f"{len(self.passages[split])} passages of {size}"
            out.append(f"{self.name} {split}: {size}")
            out += [f"{self.name} {split}: {line}" for line in self.reports[split]]
        for layer, labels in self.unseen.items():
            items = sum(sum(counts.values()) for counts in labels.values())
            shown = ", ".join(list(labels)[:5]) + (", ..." if len(labels) > 5 else "")
            kind = self.layers[layer]
            what = "passages" if kind in OF_PASSAGES else "items" if kind in PLACES else "words"
            out.append(
                f"{self.name} {layer}: {len(labels)} labels on {items} {what} do not occur in "
                f"train ({shown})"
            )
        return out

    def _check(self, layer: str) -> None:
        if layer not in self.layers:
            raise DataError(
                f"corpus {self.name!r} has no layer {layer!r}; it has {listing(self.layers)}"
                f"{nearest(layer, self.layers)}"
            )


def build_corpus(
    name: str,
    sources: Mapping[str, Source],
    *,
    layers: Sequence[str] | None = None,
    edits: Sequence[str] = (),
    cache: str | Path | None = None,
) -> Corpus:
    """Opens the stored corpus, or reads its sources and stores it.

    The key is made of the bytes of all files, the options of all sources, the layers, our format
    version and the major version of `datasets`. `layers` are those to keep (`None`: all); one that
    no sentence has is an error. Those of `edits` have as labels the scripts that make a tag of its
    word (`hiermtl.text.edits`); their sentences have the tags again. A layer `feats` that says "no
    features" everywhere is left out: such a file is not annotated with them.

    Raises:
        RecipeError: There are no sources.
        DataError: A file is missing (the message says where to get it) or malformed, a split has no
            sentences, or no sentence has a layer of `layers`.
    """
    if not sources:
        raise RecipeError(f"corpus {name!r} has no splits; give at least one")
    folder = cache_folder(cache)
    key = digest(
        {
            "format": FORMAT,
            "datasets": datasets.__version__.split(".")[0],
            "layers": None if layers is None else sorted(layers),
            "edits": sorted(edits),
            "splits": {
                split: {
                    "files": [file_digest(file) for file in source.files],
                    "options": source.options,
                }
                for split, source in sources.items()
            },
        }
    )
    place = folder / "corpora" / key
    make = partial(_make, name=name, sources=sources, layers=layers, edits=edits)
    meta = kept(place, make)
    splits = {
        split: datasets.Dataset.from_file(str(place / f"{split}.arrow"), split=_named(split))
        for split in sources
    }
    return Corpus(
        name=name,
        splits=splits,
        passages={
            split: datasets.Dataset.from_file(str(file), split=_named(split))
            for split in sources
            if (file := place / f"{split}.passages.arrow").exists()
        },
        layers=meta["layers"],
        names={layer: tuple(labels) for layer, labels in meta["names"].items()},
        trained=meta["trained"],
        unseen=meta["unseen"],
        reports={split: tuple(lines) for split, lines in meta["reports"].items()},
        keys={split: f"{key}-{split}" for split in sources},
        words=meta["words"],
        counts=meta["counts"],
        cache=folder,
    )


def _named(split: str) -> datasets.NamedSplit | None:
    # `datasets` allows fewer names than we do; the name is only for its own printing.
    return datasets.NamedSplit(split) if split.isidentifier() else None


def _make(
    folder: Path,
    *,
    name: str,
    sources: Mapping[str, Source],
    layers: Sequence[str] | None,
    edits: Sequence[str],
) -> dict[str, Any]:
    drafts: dict[str, Draft] = {}
    reports: dict[str, list[str]] = {}
    for split, source in sources.items():
        path = folder / f"{split}.draft"
        draft = draft_split(source.read(), path, layers=layers, edits=edits)
        if draft.sentences == 0:
            file = source.files[0] if source.files else None
            raise DataError(
                f"no sentence for split {split!r} of corpus {name!r}; give a file with "
                "sentences, or leave the split out",
                file,
            )
        drafts[split] = draft
        reports[split] = list(source.reports())
    kinds = _kinds(drafts, name=name, layers=layers)
    names, trained, unseen = _inventories(drafts, kinds)
    for split, draft in drafts.items():
        finish_split(draft, folder / f"{split}.arrow", kinds=kinds, names=names)
        if len(draft.passages):
            own: dict[str, Kind] = {
                layer: kind for layer, kind in kinds.items() if kind in OF_PASSAGES
            }
            draft.passages.finish(folder / f"{split}.passages.arrow", kinds=own, names=names)
    return {
        "layers": kinds,
        "names": names,
        "trained": trained,
        "unseen": unseen,
        "reports": reports,
        "words": {split: draft.words for split, draft in drafts.items()},
        "counts": _train_counts(drafts, names),
    }


def _train_counts(
    drafts: Mapping[str, Draft], names: Mapping[str, Sequence[str]]
) -> dict[str, list[int]]:
    """For each layer, on how many words of train each of its labels stands."""
    if "train" not in drafts:
        return {layer: [0] * len(labels) for layer, labels in names.items()}
    ids, counts = drafts["train"].ids, drafts["train"].counts
    return {
        layer: [
            counts[layer][ids[layer][label]] if label in ids.get(layer, ()) else 0
            for label in labels
        ]
        for layer, labels in names.items()
    }


def _kinds(
    drafts: Mapping[str, Draft], *, name: str, layers: Sequence[str] | None
) -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    for split, draft in drafts.items():
        for layer, kind in draft.kinds.items():
            if kinds.setdefault(layer, kind) != kind:
                raise DataError(
                    f"layer {layer!r} of corpus {name!r} holds {kind} in split {split!r} and "
                    f"{kinds[layer]} in another; "
                    "give them different names"
                )
    if {label for draft in drafts.values() for label in draft.ids.get("feats", ())} == {"_"}:
        # "No features" on every word is a file that is not annotated with them.
        del kinds["feats"]
    for layer in layers or ():
        if layer not in kinds:
            raise DataError(
                f"no sentence of corpus {name!r} has layer {layer!r}; its sources have "
                f"{listing(kinds)}{nearest(layer, kinds)} (to leave this corpus out, name those "
                "that have the layer: tasks.<name>.corpus)"
            )
    return {layer: kinds[layer] for layer in sorted(kinds)}


def _inventories(
    drafts: Mapping[str, Draft], kinds: Mapping[str, Kind]
) -> tuple[dict[str, tuple[str, ...]], dict[str, int], dict[str, dict[str, dict[str, int]]]]:
    names, trained, unseen = {}, {}, {}
    for layer in kinds:
        of_train = set(drafts["train"].ids.get(layer, ())) if "train" in drafts else set()
        of_any = {label for draft in drafts.values() for label in draft.ids.get(layer, ())}
        later = sorted(of_any - of_train)
        names[layer] = (*sorted(of_train), *later)
        trained[layer] = len(of_train)
        if of_train and later:
            unseen[layer] = {
                label: {
                    split: draft.counts[layer][draft.ids[layer][label]]
                    for split, draft in drafts.items()
                    if label in draft.ids.get(layer, ())
                }
                for label in later
            }
    return names, trained, unseen


def _has_items(layer: Layer, nothing: Sequence[str | None]) -> bool:
    """Whether there is a label that is not `nothing`, an arc, or an item."""
    match layer:
        case tuple():
            return any(label not in nothing for label in layer)
        case Tree(heads=heads):
            return any(head is not None for head in heads)
        case Spans(items) | Relations(items) | Frames(items) | Mentions(items):
            return bool(items)
