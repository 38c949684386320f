"""Texts and pairs of texts with labels: CSV and TSV tables, and SICK."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from hiermtl.errors import DataError, RecipeError, listing, nearest
from hiermtl.text.lines import decoded_lines, read_lines
from hiermtl.text.plain import split_text
from hiermtl.text.sentence import Origin, Passage, Sentence

SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
_LONGEST = (1 << 31) - 1
"""Characters of a cell: more than `csv` itself allows, and the most it can be told."""

SICK_SPLITS = ("TRAIN", "TRIAL", "TEST")


def read_table(
    path: str | Path,
    *,
    text: str | int,
    labels: Mapping[str, str | int] = MappingProxyType({}),
    numbers: Mapping[str, str | int] = MappingProxyType({}),
    separator: str | None = None,
    language: str = "en",
) -> Iterator[Passage]:
    """Texts of a table, each a passage of one record whatever it says, with labels and numbers.

    Args:
        path: A table; `.gz` too. In a file separated by commas a cell in quotes may hold commas,
            quotes and line ends.
        text: The column of the text: its name in the header line, or its number from 0 in a table
            without one.
        labels: Layer to column, whose cells are texts.
        numbers: Layer to column, whose cells are numbers.
        separator: Default: a comma for `.csv`, else a tab.
        language: Whose tokenizer splits the texts.

    Raises:
        RecipeError: Columns are named and numbered at once.
        DataError: With file and line, when the file is missing, is not UTF-8, or a row lacks a
            column, or has no number where one is needed, or an empty text.
    """
    for cells, origin in _rows(path, [text, *labels.values(), *numbers.values()], separator):
        yield Passage(
            (_record(cells[text], language=language, origin=origin),),
            _labels(cells, labels, numbers=numbers, origin=origin),
            origin=origin,
        )


def read_pairs(
    path: str | Path,
    *,
    first: str | int,
    second: str | int,
    labels: Mapping[str, str | int] = MappingProxyType({}),
    numbers: Mapping[str, str | int] = MappingProxyType({}),
    separator: str | None = None,
    language: str = "en",
) -> Iterator[Passage]:
    """Pairs of texts of a table; arguments and errors as `read_table`."""
    wanted = [first, second, *labels.values(), *numbers.values()]
    for cells, origin in _rows(path, wanted, separator):
        yield Passage(
            tuple(
                _record(cells[column], language=language, origin=origin)
                for column in (first, second)
            ),
            _labels(cells, labels, numbers=numbers, origin=origin),
            pair=True,
            origin=origin,
        )


def read_sick(path: str | Path, split: str, *, language: str = "en") -> Iterator[Passage]:
    """The pairs of a split of SICK with `relatedness` (1 to 5) and `entailment`.

    Source: Marelli et al. 2014 (A SICK cure for the evaluation of compositional distributional
    semantic models). The split is the file's last column.

    Raises:
        RecipeError: There is no such split.
        DataError: As `read_table`.
    """
    if split not in SICK_SPLITS:
        raise RecipeError(
            f"split {split!r}; SICK has {listing(SICK_SPLITS)}{nearest(split, SICK_SPLITS)}"
        )
    names = ("pair_ID", "sentence_A", "sentence_B", "entailment_label", "relatedness_score")
    for cells, origin in _rows(path, [*names, "SemEval_set"], "\t"):
        if cells["SemEval_set"] != split:
            continue
        yield Passage(
            tuple(
                _record(cells[column], language=language, origin=origin)
                for column in ("sentence_A", "sentence_B")
            ),
            _labels(
                cells,
                {"entailment": "entailment_label"},
                numbers={"relatedness": "relatedness_score"},
                origin=origin,
            ),
            pair=True,
            passage_id=cells["pair_ID"],
            origin=origin,
        )


def _record(text: str, *, language: str, origin: Origin) -> Sentence:
    parts = split_text(text, language)
    words = tuple(word for part in parts for word in part.words)
    if not words:
        raise DataError(
            "the text is empty; fill it, or take the row out", origin.path, line=origin.line
        )
    spaces: list[bool] = []
    for part in parts:
        spaces += part.space_after or ()
    return Sentence(words, text=text, space_after=tuple(spaces), origin=origin)


def _labels(
    cells: Mapping[str | int, str],
    labels: Mapping[str, str | int],
    *,
    numbers: Mapping[str, str | int],
    origin: Origin,
) -> Mapping[str, str | float]:
    found: dict[str, str | float] = {}
    for name, column in labels.items():
        if not cells[column]:
            raise DataError(
                f"column {column!r} is empty; each row needs a label", origin.path, line=origin.line
            )
        found[name] = cells[column]
    for name, column in numbers.items():
        try:
            found[name] = float(cells[column])
            if not math.isfinite(float(cells[column])):
                raise ValueError
        except ValueError:
            raise DataError(
                f"column {column!r} is {cells[column]!r}; a finite number is needed",
                origin.path,
                line=origin.line,
            ) from None
    return MappingProxyType(found)


def _rows(
    path: str | Path, wanted: Iterable[str | int], separator: str | None
) -> Iterator[tuple[dict[str | int, str], Origin]]:
    """The wanted cells of each row, by column, with the row's first line."""
    columns = list(wanted)
    if len({isinstance(column, str) for column in columns}) > 1:
        raise RecipeError(
            f"columns {listing(columns)}; name all as in the header line, or number all from 0"
        )
    if any(not isinstance(column, str) and column < 0 for column in columns):
        raise RecipeError(f"columns {listing(columns)}; columns are counted from 0")
    if separator is not None and len(separator) != 1:
        raise RecipeError(f"separator {separator!r}; allowed is one character")
    name = str(path)
    if separator is None:
        separator = SEPARATORS.get(Path(name.removesuffix(".gz")).suffix, "\t")
    # Only tables separated by commas put cells in quotes.
    quoting = csv.QUOTE_MINIMAL if separator == "," else csv.QUOTE_NONE
    texts = (text for _, text in decoded_lines(read_lines(path), name))
    reader = csv.reader(texts, delimiter=separator, quoting=quoting, strict=True)
    places: dict[str | int, int] | None = None
    width = None
    while True:
        line = reader.line_num + 1
        try:
            row = _next_row(reader)
        except csv.Error as error:
            advice = (
                "close the quotes around a cell, and double those inside it"
                if quoting == csv.QUOTE_MINIMAL
                else "take carriage returns out of the cells"
            )
            raise DataError(f"no row of a table ({error}); {advice}", path, line=line) from None
        if row is None:
            return
        if not row:
            continue
        if places is None:
            if isinstance(columns[0], str):
                places, width = _header(row, columns, name), len(row)
                continue
            places = {column: int(column) for column in columns}
        if len(row) <= max(places.values()):
            raise DataError(
                f"{len(row)} columns; at least {1 + max(places.values())} are needed, separated by "
                f"{'tabs' if separator == chr(9) else repr(separator)}",
                path,
                line=line,
            )
        if width is not None and any(row[width:]):
            advice = (
                f"put a text that holds {separator!r} in quotes"
                if quoting == csv.QUOTE_MINIMAL
                else f"take {'tabs' if separator == chr(9) else repr(separator)} out of the cells"
            )
            raise DataError(
                f"{len(row)} cells, but the header line has {width} columns; {advice}",
                path,
                line=line,
            )
        yield {column: row[at] for column, at in places.items()}, Origin(name, line)


def _next_row(reader: Iterator[list[str]]) -> list[str] | None:
    """The next row, whose cells may be of any length; `None` behind the last."""
    # The limit is that of all readers of the process.
    before = csv.field_size_limit(_LONGEST)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(before)


def _header(row: list[str], columns: list[str | int], name: str) -> dict[str | int, int]:
    for column in columns:
        if column not in row:
            raise DataError(
                f"the header line has no column {column!r}; it has {listing(row)}"
                f"{nearest(str(column), row)}; a table without a header line has its columns "
                "numbered from 0",
                name,
                line=1,
            )
        if row.count(str(column)) > 1:
            raise DataError(
                f"the header line has {row.count(str(column))} columns {column!r}; rename all but "
                "one, or take the header line out and give columns by their number from 0",
                name,
                line=1,
            )
    return {column: row.index(str(column)) for column in columns}
