"""Column files: one word per line, one sentence per block (IOB2, CoNLL-2003, WNUT, UNER).

Comments are lines such as `# sent_id = 3` or, in files separated by tabs, lines that begin with `#`
and have no tab; a word `#` has its columns and so is never taken for one. `-DOCSTART-` lines begin
a document.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hiermtl.errors import DataError, RecipeError, listing, nearest
from hiermtl.text.bio import BIO_MODES, Bio, find_illegal, illegal_tag, repair_bio
from hiermtl.text.lines import read_blocks, read_lines
from hiermtl.text.sentence import Layer, Origin, Sentence, Tags

_SPACES = re.compile(r"[ \t]+")
_PAIR = re.compile(r"#\s?([\w.:-]+(?: id)?) =(?: (.*))?", re.DOTALL)


def read_columns(
    path: str | Path,
    columns: Mapping[str, int | str],
    *,
    words: int | str = 0,
    separator: str | None = None,
    bio: Bio = "strict",
    missing: str | None = None,
    repairs: Counter[str] | None = None,
) -> Iterator[Sentence]:
    r"""Sentences of a column file (`.gz` too), one at a time.

    Args:
        path: The file.
        columns: Layer to column: its number from 0, or its name in a header line, which the first
            line then must be.
        words: The column of the word, likewise.
        separator: A tab, a space (any run of spaces) or `None`: a tab if the first sentence has
            one.
        bio: What to do where tags break IOB2: `strict` raises, `repair` reads them as `repair_bio`
            says and adds their number per layer to `repairs`, `off` leaves them.
        missing: The value that means "not annotated".
        repairs: Filled as the sentences are read.

    Raises:
        RecipeError: An option has a value that is not allowed.
        DataError: With file and line, when the file is missing, is not UTF-8 or is malformed.
    """
    reader = _Reader(str(path), dict(columns), words, separator, bio, missing, repairs)
    return reader.parse(read_lines(path))


def parse_columns(
    lines: Iterable[bytes], name: str, *, columns: Mapping[str, int | str], words: int | str = 0
) -> Iterator[Sentence]:
    """Like `read_columns` with its defaults, from encoded lines such as standard input."""
    return _Reader(name, dict(columns), words, None, "strict", None, None).parse(lines)


@dataclass(slots=True)
class _Reader:
    name: str
    columns: dict[str, int | str]
    words: int | str
    separator: str | None
    bio: Bio
    missing: str | None
    repairs: Counter[str] | None
    places: dict[str, int] = field(default_factory=dict)
    word_place: int = 0
    width: int = 0

    def __post_init__(self) -> None:
        if self.bio not in BIO_MODES:
            raise RecipeError(f"bio: {self.bio!r}; allowed are {listing(BIO_MODES)}")
        if self.separator not in (None, "\t", " "):
            raise RecipeError(f"separator: {self.separator!r}; allowed are a tab, a space and none")
        wanted = [self.words, *self.columns.values()]
        if any(
            isinstance(place, bool) or (isinstance(place, int) and place < 0) for place in wanted
        ):
            raise RecipeError(
                f"columns: {wanted}; columns are counted from 0, or named as in the header"
            )
        if len({isinstance(place, str) for place in wanted}) > 1:
            raise RecipeError(
                f"columns: {wanted}; give numbers for all columns, or header names for all"
            )

    def parse(self, lines: Iterable[bytes]) -> Iterator[Sentence]:
        doc_id, documents = None, 0
        for first, block in read_blocks(lines, self.name, blank=b" \t\r\n"):
            if self.separator is None:
                # A comment may lack tabs in a file with tabs, so one line would not tell.
                self.separator = "\t" if any("\t" in line for line in block) else " "
            sent_id = text = None
            rows: list[tuple[int, list[str]]] = []
            for number, line in enumerate(block, first):
                if line[0] == "#" and (pair := self._comment(line)):
                    key, value = pair
                    if key in ("newdoc", "newdoc id"):
                        documents += 1
                        doc_id = value or f"newdoc-{documents}"
                    elif key == "sent_id":
                        sent_id = value or None
                    elif key == "text":
                        text = value
                    continue
                if line.startswith("-DOCSTART-"):
                    documents += 1
                    doc_id = f"newdoc-{documents}"
                    continue
                cells = self._cells(line, number)
                if cells is not None:
                    rows.append((number, cells))
            if rows:
                origin = Origin(self.name, first)
                layers = self._layers(rows)
                forms = tuple(cells[self.word_place] for _, cells in rows)
                yield Sentence(forms, layers, sent_id, doc_id, text, origin=origin)

    def _comment(self, line: str) -> tuple[str, str] | None:
        """Key and value; `("", "")` of a comment without them; `None` when the line is a word."""
        if match := _PAIR.fullmatch(line):
            return match[1], (match[2] or "").strip()
        if line.strip() in ("# newdoc", "#newdoc"):
            return "newdoc", ""
        comment = self.separator == "\t" and "\t" not in line
        return ("", "") if comment else None

    def _cells(self, line: str, number: int) -> list[str] | None:
        # Not `split()`: it would also cut words at white space inside, such as U+00A0.
        cells = line.split("\t") if self.separator == "\t" else _SPACES.split(line.strip(" \t"))
        if self.width == 0 and not self._set_places(cells, number):
            return None
        if len(cells) < self.width:
            wrong = "a tab" if self.separator == "\t" else "spaces"
            raise DataError(
                f"{len(cells)} columns in {line[:40]!r}; at least {self.width} are needed to read "
                f"{self._wanted()} (columns are separated by {wrong} here and counted from 0)",
                self.name,
                line=number,
            )
        if not cells[self.word_place]:
            raise DataError(
                f"the word (column {self.word_place}) is empty in {line[:40]!r}; write a word or "
                "remove the line",
                self.name,
                line=number,
            )
        return cells

    def _wanted(self) -> str:
        return listing(
            f"{name}: {place}" for name, place in {"words": self.words, **self.columns}.items()
        )

    def _set_places(self, cells: list[str], number: int) -> bool:
        """Fixes column numbers at the first word line; `False` if that line is the header."""
        if not isinstance(self.words, str):
            self.word_place = self.words
            self.places = {name: int(place) for name, place in self.columns.items()}
            self.width = 1 + max(self.word_place, *self.places.values(), 0)
            return True
        for place in (self.words, *self.columns.values()):
            if place not in cells:
                raise DataError(
                    f"the header has no column {place!r}; it has "
                    f"{listing(cells)}{nearest(str(place), cells)}",
                    self.name,
                    line=number,
                )
            if cells.count(str(place)) > 1:
                raise DataError(
                    f"the header has {cells.count(str(place))} columns {place!r}; rename all but "
                    "one, or take the header out and give columns by their number from 0",
                    self.name,
                    line=number,
                )
        self.word_place = cells.index(self.words)
        self.places = {name: cells.index(str(place)) for name, place in self.columns.items()}
        self.width = 1 + max(self.word_place, *self.places.values(), 0)
        return False

    def _layers(self, rows: list[tuple[int, list[str]]]) -> dict[str, Layer]:
        layers: dict[str, Layer] = {}
        for name, place in self.places.items():
            tags: Tags = tuple(cells[place] or None for _, cells in rows)
            if self.missing is not None:
                tags = tuple(None if tag == self.missing else tag for tag in tags)
            if self.bio != "off" and (wrong := find_illegal(tags)) is not None:
                if self.bio == "strict":
                    raise self._illegal(name, tags, rows=rows, wrong=wrong)
                tags, changed = repair_bio(tags)
                if self.repairs is not None:
                    self.repairs[name] += changed
            if any(tag is not None for tag in tags):
                layers[name] = tags
        return layers

    def _illegal(
        self, name: str, tags: Tags, *, rows: list[tuple[int, list[str]]], wrong: int
    ) -> DataError:
        number, cells = rows[wrong]
        message = illegal_tag(name, tags, cells[self.word_place], at=wrong)
        return DataError(message, self.name, line=number)
