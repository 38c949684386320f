"""Any dataset of the `datasets` library as sentences, by a mapping of its columns.

Only the functions here import `datasets`. Class ids become names, so a mapping is all that a new
dataset needs.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiermtl.atomic import disk_is_full
from hiermtl.errors import DataError, RecipeError, RunError, listing, nearest
from hiermtl.text.listed import ColumnMap, tags_of, tree_of
from hiermtl.text.sentence import Layer, Origin, Sentence, Tree

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

    Rows = Dataset | IterableDataset

_FORMATS = {".parquet": "parquet", ".json": "json", ".jsonl": "json", ".csv": "csv", ".tsv": "csv"}
_ROWS = 1000


def read_dataset(
    source: "str | Path | Dataset",
    columns: ColumnMap,
    *,
    split: str | None = None,
    words: str = "tokens",
    sent_id: str | None = None,
    doc_id: str | None = None,
    text: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    streaming: bool = False,
    max_rows: int | None = None,
) -> Iterator[Sentence]:
    """Sentences of a dataset, one at a time.

    Args:
        source: A `datasets.Dataset`, a local file or folder of parquet, JSON or CSV, or the id of a
            hub dataset.
        columns: Layer to column, see `ColumnMap`. Values may be class ids, strings or, for heads,
            integers from 0. Null and -1 mean "not annotated".
        split: The split; needed unless `source` is a `Dataset` or has one split.
        words: The column of the words, lists of strings.
        sent_id: The column of sentence ids, if there is one; likewise `doc_id` and `text`.
        doc_id: See `sent_id`.
        text: See `sent_id`.
        config: The configuration of a hub dataset.
        revision: The commit or tag of a hub dataset.
        streaming: Rows are read as they arrive, without a copy of the dataset on this machine.
        max_rows: How many rows are read; `None` all.

    Raises:
        RecipeError: `columns` is not such a mapping.
        DataError: The dataset, its split or a column cannot be had, or a row has another number of
            values than words.
    """
    data, name = _open(source, split, config=config, revision=revision, streaming=streaming)
    there = _columns(data, name)
    plain = {"sent_id": sent_id, "doc_id": doc_id, "text": text}
    wanted = [words, *(column for column in plain.values() if column is not None)]
    for layer, column in columns.items():
        if isinstance(column, str):
            wanted.append(column)
        elif isinstance(column, Mapping) and set(column) == {"heads", "relations"}:
            wanted += column.values()
        else:
            raise RecipeError(
                f"columns.{layer}: {column!r}; give the name of a column, or for a tree both "
                "`heads` and `relations`"
            )
    for column in wanted:
        if column not in there:
            raise DataError(
                f"no column {column!r}; this dataset has {listing(there)}{nearest(column, there)}",
                name,
            )
    data = data.select_columns(sorted(set(wanted)))
    if max_rows is not None:
        data = data.take(max_rows)
    return _rows(data, name, columns=columns, words=words, plain=plain)


def _columns(data: "Rows", name: str) -> list[str]:
    """The columns; a stream that does not know them before it is read is read from."""
    if data.column_names is not None:
        return data.column_names
    with _told(name):
        return list(next(iter(data), {}))


def _open(
    source: "str | Path | Dataset",
    split: str | None,
    *,
    config: str | None,
    revision: str | None,
    streaming: bool,
) -> "tuple[Rows, str]":
    import datasets

    if isinstance(source, datasets.Dataset):
        return source, "dataset"
    name = str(source)
    found = _load(source, config=config, revision=revision, streaming=streaming)
    if isinstance(found, datasets.Dataset | datasets.IterableDataset):
        return found, name
    if split is None and len(found) == 1:
        return next(iter(found.values())), name
    if split is None or split not in found:
        given = "no split named" if split is None else f"no split {split!r}"
        raise DataError(
            f"{given}; this dataset has {listing(found)}{nearest(split or '', map(str, found))}",
            name,
        )
    return found[split], name


def _load(source: str | Path, *, config: str | None, revision: str | None, streaming: bool) -> Any:
    """A dataset, or a mapping of splits to datasets."""
    import datasets

    path = Path(source)
    kind = _FORMATS.get(path.suffix)
    if path.is_file() and kind is None:
        raise DataError(f"ending {path.suffix!r}; allowed are {listing(_FORMATS)}", path)
    with _told(source):
        if path.is_dir() and (path / "dataset_info.json").is_file():
            return datasets.Dataset.load_from_disk(str(path))
        if path.is_dir() and (path / "dataset_dict.json").is_file():
            return datasets.DatasetDict.load_from_disk(str(path))
        name, given = _arguments(source, config=config, revision=revision)
        return datasets.load_dataset(name, **given, streaming=streaming)


def _arguments(
    source: str | Path, *, config: str | None, revision: str | None
) -> tuple[str, dict[str, Any]]:
    """What `datasets` is asked for."""
    path = Path(source)
    if path.is_file():
        more: dict[str, Any] = {"sep": "\t"} if path.suffix == ".tsv" else {}
        return _FORMATS[path.suffix], {"data_files": str(path), **more}
    return str(source), {"name": config, "revision": None if path.is_dir() else revision}


@contextmanager
def _told(source: str | Path) -> Iterator[None]:
    """What `datasets` cannot load is an error of ours."""
    from datasets.exceptions import DatasetsError

    try:
        yield
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        if disk_is_full(error):
            raise RunError(
                f"{source}: no space left for the data set's copy; make room, or set HF_HOME to "
                "another folder"
            ) from error
        reason = next(iter(str(error.__cause__ or error).splitlines()), type(error).__name__)
        advice = (
            "it must hold whole parquet, JSON or CSV"
            if Path(source).exists()
            else "check the id; without network, give a local file or folder of parquet, JSON or "
            "CSV instead, or fetch it once on a machine with network and set HF_HUB_OFFLINE=1 to "
            "use that copy"
        )
        raise DataError(
            f"cannot be loaded ({type(error).__name__}: {reason}); {advice}", source
        ) from error


def _rows(
    data: "Rows", name: str, *, columns: ColumnMap, words: str, plain: Mapping[str, str | None]
) -> Iterator[Sentence]:
    features = data.features or {}
    names = {column: _class_names(features.get(column)) for column in _columns(data, name)}
    start = 0
    for rows in _batches(data, name):
        for place, forms in enumerate(rows[words]):
            origin = Origin(name, start + place + 1)
            if not isinstance(forms, list) or not all(isinstance(form, str) for form in forms):
                raise DataError(
                    f"column {words!r} holds {forms!r:.60}; allowed are lists of words",
                    name,
                    line=origin.line,
                )
            layers: dict[str, Layer] = {}
            for layer, column in columns.items():
                value: Layer | None
                for name_of in (column,) if isinstance(column, str) else column.values():
                    given = rows[name_of][place]
                    if given is not None and not isinstance(given, list):
                        raise DataError(
                            f"column {name_of!r} holds {given!r:.60}; allowed are lists, a value "
                            "for each word, and null",
                            name,
                            line=origin.line,
                        )
                if isinstance(column, str):
                    value = tags_of(rows[column][place], names[column])
                else:
                    heads = rows[column["heads"]][place]
                    relations = tags_of(
                        rows[column["relations"]][place], names[column["relations"]]
                    )
                    value = _tree(heads, relations, column=column["heads"], origin=origin)
                if value is not None:
                    layers[layer] = value
            values = {key: None if c is None else rows[c][place] for key, c in plain.items()}
            yield Sentence(
                words=tuple(forms),
                layers=layers,
                sent_id=_text(values["sent_id"]),
                doc_id=_text(values["doc_id"]),
                text=_text(values["text"]),
                origin=origin,
            )
        start += len(rows[words])


def _batches(data: "Rows", name: str) -> Iterator[Any]:
    """Column -> list of values, for so many rows after the other."""
    with _told(name):
        yield from data.iter(batch_size=_ROWS)


def _class_names(feature: Any) -> tuple[str, ...] | None:
    """Names of a column of class ids, at whatever depth of lists; `None` of other columns."""
    while feature is not None and not hasattr(feature, "names"):
        feature = getattr(feature, "feature", None)
    return None if feature is None else tuple(feature.names)


def _tree(
    heads: Any, relations: tuple[str | None, ...] | None, *, column: str, origin: Origin
) -> Tree | None:
    if heads is None:
        return None
    try:
        # Heads often come as strings, as in the CoNLL-U loaders of the hub.
        found = [None if head in (None, "_", "None", "") else int(head) for head in heads]
    except (TypeError, ValueError):
        raise DataError(
            f"column {column!r} holds {heads!r:.60}; heads are integers: 0 for the root, else the "
            "word counted from 1",
            origin.path,
            line=origin.line,
        ) from None
    known = [None if head is None or head < 0 else head for head in found]
    return tree_of(known, relations, column=column, origin=origin)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def dataset_splits(
    source: "str | Path | Dataset",
    *,
    config: str | None = None,
    revision: str | None = None,
    streaming: bool = False,
) -> tuple[str, ...]:
    """The names of its splits; none of a dataset without splits.

    Raises:
        DataError: The dataset cannot be had.
    """
    import datasets

    if isinstance(source, datasets.Dataset):
        return ()
    found = _load(str(source), config=config, revision=revision, streaming=streaming)
    one = isinstance(found, datasets.Dataset | datasets.IterableDataset)
    return () if one else tuple(map(str, found))


def dataset_fingerprint(
    source: "str | Path | Dataset",
    *,
    split: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    streaming: bool = False,
) -> str:
    """The fingerprint `datasets` gives this data; arguments as in `read_dataset`.

    Raises:
        DataError: The dataset or its split cannot be had.
    """
    import datasets

    data, name = _open(source, split, config=config, revision=revision, streaming=streaming)
    if isinstance(data, datasets.Dataset):
        return str(getattr(data, "_fingerprint", ""))
    # A stream has none: the folder that a copy of its files would lie in is named after them.
    with _told(name):
        asked, given = _arguments(name, config=config, revision=revision)
        builder = datasets.load_dataset_builder(asked, **given)
    return "/".join((*Path(builder.cache_dir).parts[-4:], str(split)))
