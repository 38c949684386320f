"""Tables of texts and of pairs."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hiermtl.errors import DataError, RecipeError
from hiermtl.text.tables import read_pairs, read_sick, read_table

CSV = 'text,category\nWhere is my card?,card\n"Hello, ""you""\nthere",greeting\n'


def test_cells_in_quotes_hold_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\ufeff" + CSV, encoding="utf-8")
    first, second = read_table(path, text="text", labels={"intent": "category"})
    (one,), (two,) = first.sentences, second.sentences
    assert (one.words, first.labels, first.pair) == (
        ("Where", "is", "my", "card", "?"),
        {"intent": "card"},
        False,
    )
    assert two.text == 'Hello, "you"\nthere'
    assert two.words == ("Hello", ",", '"', "you", '"', "there")
    assert two.space_after is not None
    assert len(two.space_after) == len(two.words)
    assert [sentence.origin and sentence.origin.line for sentence in (one, two)] == [2, 3]


def test_tabs_columns_by_number_and_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('a "b\tc d\t3.5\n\ne\tf\t4\n')
    pairs = list(read_pairs(path, first=0, second=1, numbers={"score": 2}))
    assert [(*(s.words for s in p.sentences), p.labels, p.pair) for p in pairs] == [
        (("a", '"', "b"), ("c", "d"), {"score": 3.5}, True),
        (("e",), ("f",), {"score": 4.0}, True),
    ]
    assert pairs[1].origin is not None
    assert pairs[1].origin.line == 3


def test_empty_cells_behind_the_last_column_are_none(tmp_path: Path) -> None:
    """As spreadsheets write them."""
    path = tmp_path / "a.csv"
    path.write_text("text,n\na,b,,\n")
    (found,) = read_table(path, text="text", labels={"n": "n"})
    assert found.labels == {"n": "b"}


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_texts_may_be_long(tmp_path: Path, name: str) -> None:
    """`csv` refuses cells of more than 131,072 characters, unless told otherwise for all."""
    count, limit = 30_000, csv.field_size_limit()
    mark = "," if name == "a.csv" else "\t"
    (tmp_path / name).write_text(f"text{mark}label\n{'word ' * count}{mark}x\n")
    (found,) = read_table(tmp_path / name, text="text", labels={"kind": "label"})
    assert len(found.sentences[0].words) == count
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (CSV, {"text": "txet"}, r"no column 'txet'; it has text and category; did you mean 'text'"),
        ("a\n", {"text": 1}, r"a\.csv:1: 1 columns; at least 2 are needed, separated by ','"),
        ("text,n\nx,y\n", {"text": "text", "numbers": {"n": "n"}}, r":2: column 'n' is 'y'; a fin"),
        ("text,n\nx,\n", {"text": "text", "labels": {"n": "n"}}, r":2: column 'n' is empty"),
        ("text\n   \n", {"text": "text"}, r":2: the text is empty; fill it"),
        (
            'text\nx\n"a\nb\n',
            {"text": "text"},
            r"a\.csv:3: no row of a table \(unexpected end of data\); close the quotes",
        ),
        (
            'text\n"a" b\n',
            {"text": "text"},
            r"a\.csv:2: no row of a table \(.*\); .*, and double those inside it",
        ),
        (
            "text\tn\na\rb\tc\n",
            {"text": "text", "separator": "\t"},
            r"a\.csv:2: no row of a table \(new-line.*\); take carriage returns out of the cells",
        ),
        (
            "text,n\nwell,a\nno, never,b\n",
            {"text": "text", "labels": {"n": "n"}},
            r"a\.csv:3: 3 cells, but the header line has 2 columns; put a text that holds ','",
        ),
        (
            "text\tn\na\tb\tc\n",
            {"text": "text", "separator": "\t"},
            r"a\.csv:2: 3 cells, but the header line has 2 columns; take tabs out of the cells",
        ),
        (CSV, {"text": -1}, "columns are counted from 0"),
        (CSV, {"text": "text", "separator": "::"}, "separator '::'; allowed is one character"),
        (
            "x,y\n",
            {"text": "text"},
            "has no column 'text'; it has x and y; a table without a header line has its columns "
            "numbered from 0",
        ),
        ("text,n\nx,nan\n", {"text": "text", "numbers": {"n": "n"}}, r":2: column 'n' is 'nan'"),
    ],
)
def test_malformed_tables_are_named(
    tmp_path: Path, content: str, options: dict[str, Any], message: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises((DataError, RecipeError), match=message):
        list(read_table(path, **options))


def test_columns_are_all_named_or_all_numbered(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    with pytest.raises(RecipeError, match="name all as in the header line, or number all"):
        list(read_table(tmp_path / "a.csv", text="text", labels={"intent": 1}))


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text\nok\n\xff\n")
    with pytest.raises(DataError, match=r"a\.csv:3: byte 8 of the file, 0xff"):
        list(read_table(tmp_path / "a.csv", text="text"))


def test_sick_has_splits_by_its_last_column(tmp_path: Path) -> None:
    head = "pair_ID\tsentence_A\tsentence_B\tentailment_label\trelatedness_score\tSemEval_set\r\n"
    rows = "1\tA dog runs\tAn animal runs\tENTAILMENT\t4.5\tTRAIN\r\n"
    rows += "2\tA dog runs\tNo dog runs\tCONTRADICTION\t3\tTEST\r\n"
    (tmp_path / "SICK.txt").write_text(head + rows)
    (found,) = read_sick(tmp_path / "SICK.txt", "TEST")
    assert found.passage_id == "2"
    assert found.sentences[1].words == ("No", "dog", "runs")
    assert found.labels == {"entailment": "CONTRADICTION", "relatedness": 3.0}
    with pytest.raises(RecipeError, match=r"split 'TRIAK'; .*did you mean 'TRIAL'"):
        list(read_sick(tmp_path / "SICK.txt", "TRIAK"))


def test_real_files_have_their_known_sizes(data_folder: Path) -> None:
    sick = data_folder / "sick" / "SICK.txt"
    found = list(read_sick(sick, "TRIAL"))
    assert len(found) == 495
    assert Counter(pair.labels["entailment"] for pair in found) == {
        "NEUTRAL": 281,
        "ENTAILMENT": 143,
        "CONTRADICTION": 71,
    }
    path = data_folder / "banking77" / "test.csv"
    texts = list(read_table(path, text="text", labels={"intent": "category"}))
    assert (len(texts), len({text.labels["intent"] for text in texts})) == (3080, 77)


def test_a_column_that_the_header_names_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("label,text,label,note,note\nno,Hello,yes,,\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"a.csv:1: .*2 columns 'label'; .*number"):
        next(read_table(path, text="text", labels={"kind": "label"}))
    (found,) = read_table(path, text="text")  # what is not asked for may stand twice
    assert found.sentences[0].words == ("Hello",)
