"""Sentences as memory-mapped Arrow files with `ClassLabel` features, and back.

Columns: `words`, `sent_id`, `doc_id`, `text`, `space_after`; for each layer of tags a list of class
ids under its name, of the tags or of the edit scripts that make them of the words; for a tree
`<layer>.heads` (from 1, 0 the root) and `<layer>.relations`; for spans and what holds between them
a class id per item and in `<layer>.places` its numbers (`hiermtl.corpus.items`). Null says that a
sentence has no such layer, -1 that a word or item has no label. Sentences are written as they come:
neither reading nor writing holds a split in memory.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from hiermtl.corpus.drafts import append_table, provisional_ids, read_tables
from hiermtl.corpus.items import from_items, to_items
from hiermtl.corpus.names import OF_PASSAGES, PLACES, Kind, label_column, place_column
from hiermtl.corpus.passages import PassageDraft
from hiermtl.errors import DataError
from hiermtl.text.edits import apply_edits, edit_script
from hiermtl.text.sentence import Layer, Passage, Sentence, Tags, Tree, kind_of

ROWS = 5_000
"""Sentences per Arrow record batch: what is in memory at once while writing."""

_IDS = pa.list_(pa.int64())
_NUMBERS = pa.list_(pa.int32())
_PLAIN = {
    "words": pa.list_(pa.string()),
    "sent_id": pa.string(),
    "doc_id": pa.string(),
    "text": pa.string(),
    "space_after": pa.list_(pa.bool_()),
}


@dataclass(slots=True)
class Draft:
    """A split written with provisional label ids: numbers in the order in which labels were met.

    Layers named in `edits` are kept as scripts that make the label of the word. `entities` has for
    each layer of mentions the last document and the numbers of its entities.
    """

    path: Path
    edits: frozenset[str] = frozenset()
    sentences: int = 0
    words: int = 0
    kinds: dict[str, Kind] = field(default_factory=dict)
    ids: dict[str, dict[str, int]] = field(default_factory=dict)
    counts: dict[str, list[int]] = field(default_factory=dict)
    passages: PassageDraft = field(init=False)
    entities: dict[str, tuple[str | None, dict[str, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.passages = PassageDraft(self.path.with_suffix(".passages"))


def draft_split(
    records: Iterable[Sentence | Passage],
    path: Path,
    *,
    layers: Iterable[str] | None,
    edits: Iterable[str] = (),
) -> Draft:
    """Writes a split with provisional ids, one record batch of `ROWS` sentences after the other.

    Sentences of pairs are written once, however many pairs they are part of, unless they have
    layers of their own.

    `layers` are the layers to keep, `None` all, and `edits` those to keep as edit scripts. Each
    batch has the layers its sentences have.

    Raises:
        DataError: A layer is of one kind in one sentence and of another in another.
    """
    draft = Draft(path, frozenset(edits))
    wanted = None if layers is None else set(layers)
    rows: list[Sentence] = []
    count = 0
    for record in records:
        if isinstance(record, Sentence):
            new = [record]
        else:
            new, places = [], []
            for sentence in record.sentences:
                places.append(draft.passages.place(sentence, count + len(new), pair=record.pair))
                if places[-1] == count + len(new):
                    new.append(sentence)
            draft.passages.add(places, record, wanted=wanted)
        rows += new
        count += len(new)
        if len(rows) >= ROWS:
            _write_draft(rows, draft, wanted=wanted)
            rows = []
    if rows:
        _write_draft(rows, draft, wanted=wanted)
    for name, kind in draft.passages.kinds.items():
        if draft.kinds.setdefault(name, kind) != kind:
            raise DataError(
                f"layer {name!r} holds {draft.kinds[name]} of words and a {kind} of passages; "
                "give them different names"
            )
        draft.ids[name] = draft.passages.ids.get(name, {})
        draft.counts[name] = draft.passages.counts.get(name, [])
    return draft


def _write_draft(rows: list[Sentence], draft: Draft, *, wanted: set[str] | None) -> None:
    arrays: dict[str, pa.Array] = {
        "words": pa.array([row.words for row in rows], _PLAIN["words"]),
        "sent_id": pa.array([row.sent_id for row in rows], pa.string()),
        "doc_id": pa.array([row.doc_id for row in rows], pa.string()),
        "text": pa.array([row.text for row in rows], pa.string()),
        "space_after": pa.array([row.space_after for row in rows], _PLAIN["space_after"]),
    }
    present = dict.fromkeys(
        name for row in rows for name in row.layers if not wanted or name in wanted
    )
    for name in present:
        found = [row.layers.get(name) for row in rows]
        kind = _kind(name, found, rows, draft=draft)
        ids = draft.ids.setdefault(name, {})
        labels, places = _written(name, kind, found, rows, draft=draft)
        numbers = [
            None
            if tags is None
            else [-1 if t is None else ids.setdefault(t, len(ids)) for t in tags]
            for tags in labels
        ]
        column = pa.array(numbers, _IDS)
        arrays[label_column(name, kind)] = column
        beside = place_column(name, kind)
        if beside is not None:
            arrays[beside] = pa.array(places, _NUMBERS)
        values = column.values.to_numpy()
        counts = draft.counts.setdefault(name, [])
        counts += [0] * (len(ids) - len(counts))
        for place, count in enumerate(
            np.bincount(values[values >= 0], minlength=len(ids)).tolist()
        ):
            counts[place] += count
    draft.sentences += len(rows)
    draft.words += sum(len(row.words) for row in rows)
    append_table(draft.path, pa.table(arrays))


def _written(
    name: str, kind: Kind, found: list[Layer | None], rows: list[Sentence], *, draft: Draft
) -> tuple[list[Tags | None], list[list[int] | None]]:
    """The labels of a layer in each sentence, and the numbers that stand beside them."""
    labels: list[Tags | None] = []
    numbers: list[list[int] | None] = []
    document, known = draft.entities.get(name, (None, {}))
    for layer, row in zip(found, rows, strict=True):
        if row.doc_id != document:
            document, known = row.doc_id, {}
        beside: list[int] | None = None
        own: Tags | None
        match layer:
            case None:
                own = None
            case Tree(heads=heads, relations=own):
                beside = [-1 if head is None else head for head in heads]
            case tuple():
                own = _scripts(row.words, layer) if kind == "edits" else layer
            case structure:
                items = list(to_items(structure, row.words, entities=known))
                own = tuple(label for _, label in items)
                beside = [number for places, _ in items for number in places]
        labels.append(own)
        numbers.append(beside)
    draft.entities[name] = document, known
    return labels, numbers


def _scripts(words: Sequence[str], tags: Tags) -> Tags:
    return tuple(
        None if tag is None else edit_script(word, tag)
        for word, tag in zip(words, tags, strict=True)
    )


def _kind(name: str, found: list[Layer | None], rows: list[Sentence], *, draft: Draft) -> Kind:
    kind: Kind | None = draft.kinds.get(name)
    for layer, row in zip(found, rows, strict=True):
        if layer is None:
            continue
        here: Kind = kind_of(layer)
        if here == "tags" and name in draft.edits:
            here = "edits"
        kind = kind or here
        if here != kind:
            place = (row.origin.path, row.origin.line) if row.origin else (None, None)
            raise DataError(
                f"layer {name!r} holds {here} here and {kind} before; give them different names",
                place[0],
                line=place[1],
            )
    draft.kinds[name] = kind or "tags"
    return draft.kinds[name]


def finish_split(
    draft: Draft, path: Path, *, kinds: Mapping[str, Kind], names: Mapping[str, tuple[str, ...]]
) -> None:
    """Writes the split with the corpus's label ids, batch by batch, and removes the draft.

    `kinds` are the layers of the corpus and `names` their labels in the order of their ids; a layer
    this split lacks becomes a column of nulls.
    """
    kinds = of_words(kinds)
    features = split_features(kinds, names)
    schema = features.arrow_schema
    lookups = {name: provisional_ids(draft.ids.get(name, {}), names[name]) for name in kinds}
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for batch in read_tables(draft.path):
            arrays = [batch.column(name) for name in _PLAIN]
            for name, kind in kinds.items():
                column = label_column(name, kind)
                arrays.append(_renumber(batch, column, lookup=lookups[name]))
                beside = place_column(name, kind)
                if beside is not None:
                    arrays.append(_column(batch, beside, _NUMBERS))
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    draft.path.unlink()


def of_words(kinds: Mapping[str, Kind]) -> dict[str, Kind]:
    """The layers that sentences have."""
    return {name: kind for name, kind in kinds.items() if kind not in OF_PASSAGES}


def split_features(
    kinds: Mapping[str, Kind], names: Mapping[str, tuple[str, ...]]
) -> datasets.Features:
    """The features of a split, in the order of its columns."""
    text = datasets.Value("string")
    features: dict[str, Any] = {
        "words": datasets.List(text),
        "sent_id": text,
        "doc_id": text,
        "text": text,
        "space_after": datasets.List(datasets.Value("bool")),
    }
    for name, kind in kinds.items():
        labels = datasets.List(datasets.ClassLabel(names=list(names[name])))
        features[label_column(name, kind)] = labels
        beside = place_column(name, kind)
        if beside is not None:
            features[beside] = datasets.List(datasets.Value("int32"))
    return datasets.Features(features)


def _column(batch: pa.RecordBatch, name: str, kind: pa.DataType) -> pa.Array:
    if name in batch.schema.names:
        return batch.column(name)
    return pa.nulls(batch.num_rows, kind)


def _renumber(batch: pa.RecordBatch, name: str, *, lookup: np.ndarray) -> pa.Array:
    column = _column(batch, name, _IDS)
    if name not in batch.schema.names:
        return column
    # The last entry of `lookup` is -1, so that -1 stays what it is.
    values = pa.array(lookup[column.values.to_numpy()])
    return pa.ListArray.from_arrays(column.offsets, values, mask=column.is_null())


def read_sentences(
    split: datasets.Dataset, kinds: Mapping[str, Kind], *, names: Mapping[str, tuple[str, ...]]
) -> Iterator[Sentence]:
    """The sentences of a split again, without origin and verbatim lines."""
    kinds = of_words(kinds)
    lookups = {name: np.array([*names[name], None], dtype=object) for name in kinds}
    for batch in split.data.to_batches():
        plain = {name: batch.column(name).to_pylist() for name in _PLAIN}
        layers = {
            name: read_layer(batch, name, kind, lookup=lookups[name])
            for name, kind in kinds.items()
        }
        for row, words in enumerate(plain["words"]):
            spaces = plain["space_after"][row]
            found = {name: column[row] for name, column in layers.items()}
            yield Sentence(
                words=tuple(words),
                layers={name: layer for name, layer in found.items() if layer is not None},
                sent_id=plain["sent_id"][row],
                doc_id=plain["doc_id"][row],
                text=plain["text"][row],
                space_after=None if spaces is None else tuple(spaces),
            )


def read_layer(
    batch: pa.RecordBatch, name: str, kind: Kind, *, lookup: np.ndarray
) -> list[Layer | None]:
    """A layer of each sentence of a batch; `lookup` has the labels by id and, last, `None`."""
    labels = batch.column(label_column(name, kind))
    offsets = labels.offsets.to_numpy().tolist()
    values = lookup[labels.values.to_numpy()].tolist()
    beside = place_column(name, kind)
    numbers: list[int] = []
    if beside is not None:
        column = batch.column(beside)
        numbers = column.values.to_numpy().tolist()
        each = PLACES.get(kind, 1)
        if column.offsets.to_numpy().tolist() != [each * offset for offset in offsets]:
            raise DataError(f"layer {name!r}: labels and places differ in number")
    spelt = kind in ("edits", "frames")
    words = batch.column("words").to_pylist() if spelt else [()] * len(labels)
    out: list[Layer | None] = []
    for row, there in enumerate(labels.is_valid().to_pylist()):
        first, last = offsets[row], offsets[row + 1]
        own = tuple(values[first:last])
        if not there:
            out.append(None)
        elif kind == "tree":
            heads = tuple(None if head < 0 else head for head in numbers[first:last])
            out.append(Tree(heads, own))
        elif kind in PLACES:
            each = PLACES[kind]
            places = [numbers[each * at : each * (at + 1)] for at in range(first, last)]
            out.append(from_items(kind, places, own, words[row]))
        else:
            out.append(_edited(words[row], own) if kind == "edits" else own)
    return out


def _edited(words: Sequence[str], scripts: Tags) -> Tags:
    return tuple(
        None if script is None else apply_edits(word, script)
        for word, script in zip(words, scripts, strict=True)
    )
