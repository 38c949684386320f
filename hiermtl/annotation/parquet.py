"""Parquet: rows to annotate, and rows that are annotated."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from hiermtl.errors import DataError
from hiermtl.text.jsonl import JsonLine, line_of
from hiermtl.text.sentence import Origin

if TYPE_CHECKING:
    from hiermtl.annotation.reading import Part

ROWS = 1_000
"""Rows that are read or written at once."""

_TEXTS = pa.list_(pa.string())
_TREE = pa.struct({"heads": pa.list_(pa.int32()), "relations": _TEXTS})
_SPAN = pa.struct(
    {"start": pa.int32(), "end": pa.int32(), "label": pa.string(), "text": pa.string()}
)
_WORDS = (("start", pa.int32()), ("end", pa.int32()))
_LABELLED = pa.struct([*_WORDS, ("label", pa.string())])
_ROLE = pa.struct([*_WORDS, ("role", pa.string())])
_FRAME = pa.struct(
    [("predicate", pa.int32()), ("sense", pa.string()), ("arguments", pa.list_(_ROLE))]
)
_ENDS = [f"{side}_{end}" for side in ("head", "tail") for end in ("start", "end")]
_RELATION = pa.struct([*((name, pa.int32()) for name in _ENDS), ("label", pa.string())])
_LEVELS = {
    "tags": ("tags", _TEXTS),
    "trees": ("trees", _TREE),
    "spans": ("spans", pa.list_(_LABELLED)),
    "roles": ("roles", pa.list_(_FRAME)),
    "relations": ("relations", pa.list_(_RELATION)),
    "clusters": ("clusters", pa.list_(pa.list_(pa.list_(pa.int32())))),
    "labels": ("labels", pa.string()),
    "numbers": ("labels", pa.float64()),
}
"""Kind of level -> the column it is part of, and its type there."""


PREDICTED = {"text", "words", "sentences", "entities", *(c for c, _ in _LEVELS.values())}
"""Columns of documents."""


class Row(dict[str, Any]):
    """A row's values by column, and the types of all columns."""

    schema: pa.Schema


def read_rows(path: str | Path, part: "Part | None") -> Iterator[JsonLine]:
    """The rows of a Parquet file or a part of it, as lines of JSON are read.

    Raises:
        DataError: The file is missing or malformed, or a row has nothing that could be annotated.
    """
    file = open_parquet(path)
    first, end = (0, file.metadata.num_rows) if part is None else (part.begin, part.end)
    names = file.schema_arrow.names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"two columns are called {twice!r}; rename one", path)
    before, groups = 0, []
    for group in range(file.num_row_groups):
        behind = before + file.metadata.row_group(group).num_rows
        if before < end and behind > first:
            groups.append((group, before))
        before = behind
    number = groups[0][1] if groups else 0
    for batch in _batches(file, [group for group, _ in groups], path):
        skipped = max(0, first - number)
        for place, values in enumerate(batch[skipped:], number + skipped):
            if place >= end:
                return
            row = Row(values)
            row.schema = file.schema_arrow
            yield line_of(row, Origin(str(path), place + 1), pairs=True)
        number += len(batch)


def _batches(
    file: pq.ParquetFile, groups: list[int], path: str | Path
) -> Iterator[list[dict[str, Any]]]:
    """Rows of these groups, so many at a time."""
    try:
        for batch in file.iter_batches(batch_size=ROWS, row_groups=groups):
            yield batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise _damaged(error, path) from error


def open_parquet(path: str | Path) -> pq.ParquetFile:
    """The file, of which only the table of contents has been read.

    Raises:
        DataError: It is missing, or no Parquet.
    """
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError:
        raise DataError(
            "no such file; check the name, or the folder it is looked up in", path
        ) from None
    except (pa.ArrowException, OSError) as error:
        raise _damaged(error, path) from None


def _damaged(error: Exception, path: str | Path) -> DataError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return DataError(f"not a whole Parquet file ({reason}); write it again", path)


class Rows:
    """Rows with levels, written to an open file a thousand at a time.

    What `Document.to_dict` has as lists of numbers and a label are objects here, since a list of
    Parquet has one type.
    """

    def __init__(self, file: BinaryIO, levels: Mapping[str, str]) -> None:
        """Takes the file, and the kind of each level that is predicted."""
        self._file, self._levels = file, levels
        self._rows: list[Mapping[str, Any]] = []
        self._own: Mapping[str, Any] = {}
        self._writer: pq.ParquetWriter | None = None
        self._count = 0

    def add(self, row: Mapping[str, Any], *, own: Mapping[str, Any]) -> None:
        """Takes a row; `own` is what it was read from.

        Raises:
            DataError: A column holds something else than in rows before.
        """
        self._own = self._own or own
        self._rows.append(self._with_objects(row))
        if len(self._rows) >= ROWS:
            self._write()

    def _with_objects(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row with objects for what its predicted levels list."""
        made: dict[str, Any] = {}
        for level, kind in self._levels.items():
            column = _LEVELS[kind][0]
            if kind == "roles":
                found = [
                    {**one, "arguments": _objects(one["arguments"], _ROLE)}
                    for one in row[column][level]
                ]
            elif kind in ("spans", "relations"):
                form = _LABELLED if kind == "spans" else _RELATION
                found = _objects(row[column][level], form)
            else:
                continue
            made.setdefault(column, dict(row[column]))[level] = found
        return {**row, **made}

    def finish(self) -> None:
        """Writes what is held back, and the file's end."""
        if self._rows or self._writer is None:
            self._write()
        self.release()

    def release(self) -> None:
        """Closes the table, which must not be open when its file is closed."""
        if self._writer is not None:
            self._writer.close()

    def _write(self) -> None:
        rows, self._rows = self._rows, []
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, self._schema(rows))
        schema = self._writer.schema
        for place, row in enumerate(rows):
            new = next((key for key in row if key not in schema.names), None)
            if new is not None:
                raise DataError(
                    f"row {self._count + place + 1} has a key {new!r} that none of the first "
                    f"{ROWS:,} rows has, and Parquet's columns are the same in all; give it to one "
                    "of them, such as null, or use --format jsonl"
                )
        columns = [self._column(field, [row.get(field.name) for row in rows]) for field in schema]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=schema))
        self._count += len(rows)

    def _column(self, field: pa.Field, values: list[Any]) -> pa.Array:
        """Values as the column's type, none of them changed."""
        try:
            if isinstance(self._own, Row) or field.name in PREDICTED:
                return pa.array(values, field.type)
            # Given a type, a list is cut to it; an array is not.
            return pa.array(values).cast(field.type)
        except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
            first = self._count + 1
            raise DataError(
                f"column {field.name!r} of rows {first} to {first + len(values) - 1} cannot be "
                f"written to Parquet as {field.type}, its type so far "
                f"({str(error).splitlines()[0]}); mend it, or use --format jsonl"
            ) from error

    def _inferred(self, key: str, values: list[Any]) -> pa.DataType:
        """The type of a key's values."""
        try:
            found = pa.array(values).type
            if pa.types.is_struct(found) and not found.num_fields:
                raise ValueError("objects without keys have no place in it")
        except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
            raise DataError(
                f"key {key!r} cannot be a column of Parquet ({str(error).splitlines()[0]}); mend "
                "it, or use --format jsonl"
            ) from error
        return found

    def _schema(self, rows: list[Mapping[str, Any]]) -> pa.Schema:
        """The types of the columns: the input's own, and those of levels."""
        own = self._own.schema if isinstance(self._own, Row) else None
        known = {} if own is None else {field.name: field.type for field in own}
        if own is None:
            keys = dict.fromkeys(key for row in rows for key in row if key not in PREDICTED)
            known = {key: self._inferred(key, [row.get(key) for row in rows]) for key in keys}
        types = {
            **known,
            "text": known.get("text", pa.string()),
            "words": _TEXTS,
            "sentences": pa.list_(pa.list_(pa.int32())),
        }
        if "ner" in self._levels:
            types["entities"] = pa.list_(_SPAN)
        for column in dict.fromkeys(column for column, _ in _LEVELS.values()):
            before = known.get(column)
            fields: dict[str, pa.DataType] = {}
            if before is not None and pa.types.is_struct(before):
                own_fields = [before.field(at) for at in range(before.num_fields)]
                fields = {field.name: field.type for field in own_fields}
            for level, kind in self._levels.items():
                if _LEVELS[kind][0] == column:
                    fields[level] = _LEVELS[kind][1]
            if fields:
                types[column] = pa.struct(fields)
        return pa.schema(types)


def _objects(lists: Sequence[Sequence[Any]], form: pa.StructType) -> list[dict[str, Any]]:
    names = [form.field(at).name for at in range(form.num_fields)]
    return [dict(zip(names, values, strict=True)) for values in lists]
