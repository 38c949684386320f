"""Any dataset of the `datasets` library as sentences, by a mapping of its columns.

Only the functions here import `datasets`. Class ids become names, so a mapping is all that a new
dataset needs.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiermtl.atomic import disk_is_full
from hiermtl.errors import DataError, RecipeError, RunError, listing, nearest
from hiermtl.text.listed import ColumnMap, tags_of, tree_of
from hiermtl.text.sentence import Layer, Origin, Sentence, Tree

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

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

    Raises:
        RecipeError: `columns` is not such a mapping.
        DataError: The dataset, its split or a column cannot be had, or a row has another number of
            values than words.
    """
    data, name = _open(source, split=split, config=config, revision=revision)
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
        if column not in data.column_names:
            raise DataError(
                f"no column {column!r}; this dataset has {listing(data.column_names)}"
                f"{nearest(column, data.column_names)}",
                name,
            )
    return _rows(
        data.select_columns(sorted(set(wanted))), name, columns=columns, words=words, plain=plain
    )


def _open(
    source: "str | Path | Dataset", *, split: str | None, config: str | None, revision: str | None
) -> "tuple[Dataset, str]":
    import datasets

    if isinstance(source, datasets.Dataset):
        return source, "dataset"
    name = str(source)
    found = _load(source, config=config, revision=revision)
    if isinstance(found, datasets.Dataset):
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


def _load(
    source: str | Path, *, config: str | None, revision: str | None
) -> "Dataset | DatasetDict":
    import datasets
    from datasets.exceptions import DatasetsError

    path = Path(source)
    kind = _FORMATS.get(path.suffix)
    if path.is_file() and kind is None:
        raise DataError(f"ending {path.suffix!r}; allowed are {listing(_FORMATS)}", path)
    try:
        if path.is_file():
            more: dict[str, Any] = {"sep": "\t"} if path.suffix == ".tsv" else {}
            return datasets.load_dataset(str(kind), data_files=str(path), **more)
        if path.is_dir() and (path / "dataset_info.json").is_file():
            return datasets.Dataset.load_from_disk(str(path))
        if path.is_dir() and (path / "dataset_dict.json").is_file():
            return datasets.DatasetDict.load_from_disk(str(path))
        own = None if path.is_dir() else revision
        return datasets.load_dataset(str(source), config, revision=own)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        if disk_is_full(error):
            raise RunError(
                f"{source}: no space left for the data set's copy; make room, or set HF_HOME to "
                "another folder"
            ) from error
        reason = next(iter(str(error.__cause__ or error).splitlines()), type(error).__name__)
        advice = (
            "it must hold whole parquet, JSON or CSV"
            if path.exists()
            else "check the id; without network, give a local file or folder of parquet, JSON or "
            "CSV instead, or fetch it once on a machine with network and set HF_HUB_OFFLINE=1 to "
            "use that copy"
        )
        raise DataError(
            f"cannot be loaded ({type(error).__name__}: {reason}); {advice}", source
        ) from error


def _rows(
    data: "Dataset", name: str, *, columns: ColumnMap, words: str, plain: Mapping[str, str | None]
) -> Iterator[Sentence]:
    names = {column: _class_names(data.features[column]) for column in data.column_names}
    for start in range(0, len(data), _ROWS):
        rows: dict[str, list[Any]] = data[start : start + _ROWS]
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
    source: "str | Path | Dataset", *, config: str | None = None, revision: str | None = None
) -> tuple[str, ...]:
    """The names of its splits; none of a dataset without splits.

    Raises:
        DataError: The dataset cannot be had.
    """
    import datasets

    found = source if isinstance(source, datasets.Dataset) else None
    found = found or _load(str(source), config=config, revision=revision)
    return () if isinstance(found, datasets.Dataset) else tuple(map(str, found))


def dataset_fingerprint(
    source: "str | Path | Dataset",
    *,
    split: str | None = None,
    config: str | None = None,
    revision: str | None = None,
) -> str:
    """The fingerprint `datasets` gives this data; arguments as in `read_dataset`.

    Raises:
        DataError: The dataset or its split cannot be had.
    """
    data, _ = _open(source, split=split, config=config, revision=revision)
    return str(getattr(data, "_fingerprint", ""))
