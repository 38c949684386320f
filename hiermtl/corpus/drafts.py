"""Tables that are written while it is not yet known which columns and labels there will be."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa


def append_table(path: Path, table: pa.Table) -> None:
    """Writes a table behind those of the file; each may have columns of its own."""
    with path.open("ab") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


def read_tables(path: Path) -> Iterator[pa.RecordBatch]:
    """The record batches of all tables of the file; none where there is no file."""
    if not path.exists():
        return
    with closing(pa.memory_map(str(path))) as file:
        while file.tell() < file.size():
            with pa.ipc.open_stream(file) as reader:
                yield from reader


def provisional_ids(ids: Mapping[str, int], names: Sequence[str]) -> np.ndarray:
    """(ids + 1,) the final id of each provisional one; the last entry leaves -1 what it is."""
    place = {label: number for number, label in enumerate(names)}
    return np.array([*(place[label] for label in ids), -1], dtype=np.int64)
