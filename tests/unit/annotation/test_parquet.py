"""Rows of Parquet: read, annotated and written with their own columns."""

import datetime
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hiermtl.annotation import Annotator, annotate_files, parquet
from hiermtl.annotation.reading import Part, read_records
from hiermtl.errors import DataError, RecipeError

ROWS: list[dict[str, Any]] = [
    {"id": 1, "text": "A dog barks. It runs!", "when": datetime.date(2024, 1, 2)},
    {"id": 2, "text": "", "when": None},
    {"id": 3, "text": "Another one.", "when": datetime.date(2024, 1, 3)},
    {"id": 4, "text": None, "when": None, "words": ["no", "text"]},
]
WORDS = pa.list_(pa.string())
SCHEMA = pa.schema(
    {"id": pa.int16(), "text": pa.large_string(), "when": pa.date32(), "words": WORDS}
)


def written(path: Path, rows: list[dict[str, Any]] = ROWS, **options: Any) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path, **options)
    return path


def test_rows_keep_their_columns_and_get_those_of_documents(nlp: Annotator, tmp_path: Path) -> None:
    source = written(tmp_path / "a.parquet")
    report = annotate_files(nlp, source, tmp_path / "o.parquet")
    assert report.documents == 4
    table = pq.read_table(tmp_path / "o.parquet")
    assert {table.schema.field(name).type for name in ("id", "when")} == {pa.int16(), pa.date32()}
    for row, given in zip(table.to_pylist(), ROWS, strict=True):
        expected = nlp(given["words"] if given["text"] is None else given["text"]).to_dict()
        assert {key: row[key] for key in ("id", "when")} == {k: given[k] for k in ("id", "when")}
        assert {key: row[key] for key in expected if key != "text"} == {
            key: value for key, value in expected.items() if key != "text"
        }
        assert row["text"] == (expected["text"] if given["text"] is None else given["text"])


def test_levels_are_added_to_those_that_are_there(nlp: Annotator, tmp_path: Path) -> None:
    source = written(tmp_path / "a.parquet")
    annotate_files(nlp, source, tmp_path / "1.parquet", tasks=["upos"])
    annotate_files(nlp, tmp_path / "1.parquet", tmp_path / "2.parquet", tasks=["ner", "dep"])
    annotate_files(nlp, source, tmp_path / "both.parquet")
    found = [pq.read_table(tmp_path / f"{name}.parquet").to_pylist() for name in ("2", "both")]
    assert found[0] == found[1]


@pytest.mark.parametrize("size", [1, 2, 3, 10])
@pytest.mark.parametrize("group", [1, 2, 10])
def test_parts_are_the_rows_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, group: int
) -> None:
    monkeypatch.setattr(parquet, "ROWS", 2)
    rows = [{"id": n, "text": f"t {n}"} for n in range(7)]
    path = written(tmp_path / "a.parquet", rows, row_group_size=group)
    parts = [Part(at, min(at + size, 7)) for at in range(0, 7, size)]
    found = [record for part in parts for record in read_records(path, "parquet", part=part)]
    whole = list(read_records(path, "parquet"))
    assert [record.given for record in found] == [f"t {n}" for n in range(7)]
    assert [(r.given, r.doc_id) for r in found] == [(r.given, r.doc_id) for r in whole]


def test_other_formats_become_rows_and_rows_other_formats(nlp: Annotator, tmp_path: Path) -> None:
    lines = [{"id": "x", "more": {"a": 1}, "text": "A dog."}, {"text": "It runs."}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    annotate_files(nlp, tmp_path / "a.jsonl", tmp_path / "a.parquet")
    first, second = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert (first["id"], first["more"], second["id"]) == ("x", {"a": 1}, None)
    annotate_files(nlp, tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    found = (tmp_path / "b.jsonl").read_text(encoding="utf-8").splitlines()
    for row, line in zip((first, second), found, strict=True):
        expected = json.loads(line)
        assert {key: row[key] for key in expected} == expected
    source = written(tmp_path / "dates.parquet")
    annotate_files(nlp, source, tmp_path / "dates.jsonl")
    line = json.loads((tmp_path / "dates.jsonl").read_text().splitlines()[0])
    assert line["when"] == "2024-01-02"


def test_no_rows_make_a_file_without_rows(nlp: Annotator, tmp_path: Path) -> None:
    source = written(tmp_path / "a.parquet", [])
    annotate_files(nlp, source, tmp_path / "o.parquet")
    table = pq.read_table(tmp_path / "o.parquet")
    assert len(table) == 0
    assert "tags" in table.column_names


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        # A number that would be cut, a key that comes too late, one too large, and no columns.
        ([{"k": 1}, {"k": 1.5}], "column 'k' of rows 2 to 2 cannot be .* as int64"),
        ([{"k": 1}, {"k": 1, "late": 2}], "row 2 has a key 'late' that none of the first 1 rows"),
        ([{"k": 2**70}], "key 'k' cannot be a column of Parquet"),
        ([{"k": {}}], "key 'k' cannot be a column .*objects without keys"),
        ([{"k": None}, {"k": 1}], "column 'k' of rows 2 to 2 cannot be .* as null"),
    ],
)
def test_nothing_is_cut_or_lost_to_make_a_table(
    nlp: Annotator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[dict[str, Any]],
    message: str,
) -> None:
    monkeypatch.setattr(parquet, "ROWS", 1)
    text = "".join(json.dumps({"text": "a", **line}) + "\n" for line in lines)
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(DataError, match=message):
        annotate_files(nlp, tmp_path / "a.jsonl", tmp_path / "o.parquet")


def test_keys_that_only_later_rows_have_are_columns(nlp: Annotator, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "k": 1}\n{"text": "b", "k": 2.5, "l": "x"}\n')
    annotate_files(nlp, tmp_path / "a.jsonl", tmp_path / "o.parquet")
    rows = pq.read_table(tmp_path / "o.parquet").to_pylist()
    assert [(row["k"], row["l"]) for row in rows] == [(1.0, None), (2.5, "x")]


def test_damage_inside_and_columns_of_one_name_are_named(nlp: Annotator, tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", [{"id": n, "text": f"text {n}"} for n in range(2000)])
    raw = bytearray(path.read_bytes())
    raw[20:2000] = bytes(1980)
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.parquet: not a whole Parquet file"):
        annotate_files(nlp, path, tmp_path / "o.parquet")
    table = pa.table([["a"], [1], [2]], names=["text", "k", "k"])
    pq.write_table(table, tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet: two columns are called 'k'"):
        annotate_files(nlp, tmp_path / "b.parquet", tmp_path / "o.parquet")


def test_what_is_no_parquet_is_refused(nlp: Annotator, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("text")
    with pytest.raises(DataError, match=r"a\.parquet: not a whole Parquet file"):
        annotate_files(nlp, tmp_path / "a.parquet", tmp_path / "o.parquet")
    path = written(tmp_path / "b.parquet", [{"id": 1}])
    with pytest.raises(DataError, match=r"b\.parquet:1: its `text` is null"):
        annotate_files(nlp, path, tmp_path / "o.parquet")
    with pytest.raises(RecipeError, match="cannot be read from standard input"):
        annotate_files(nlp, "-", tmp_path / "o.parquet", source_format="parquet")
