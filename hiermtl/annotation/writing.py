"""Documents to files, written whole or not at all."""

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO

from hiermtl.annotation.parquet import Rows
from hiermtl.annotation.reading import PARQUET, STANDARD, Record
from hiermtl.atomic import written_whole
from hiermtl.document import Document
from hiermtl.document.parts import numbered_on
from hiermtl.errors import DataError
from hiermtl.text.conllu import render_conllu
from hiermtl.text.conllu_write import Written

SUFFIXES = {"conllu": ".conllu", "jsonl": ".jsonl", PARQUET: ".parquet", "docbin": ".spacy"}
FORMAT_OF = {**{suffix: name for name, suffix in SUFFIXES.items()}, ".docbin": "docbin"}

BY_LEVEL = ("tags", "trees", "spans", "roles", "relations", "clusters", "labels", "scores")
"""Keys of `Document.to_dict` that hold something for each level."""


class Writer(ABC):
    """Takes records with their documents in order, and writes them to an open file."""

    def __init__(self, file: BinaryIO, levels: Mapping[str, str]) -> None:
        """Takes the file, and of each level that documents have its key in `Document.to_dict`.

        Of levels with a number for the whole it is `numbers`.
        """
        self.file, self.levels = file, levels

    @abstractmethod
    def write(self, record: Record, document: Document) -> None:
        """Takes one document."""

    def finish(self) -> None:  # noqa: B027 - most writers hold nothing back
        """Writes what is held back."""

    def release(self) -> None:  # noqa: B027 - most writers hold nothing open
        """Closes what it holds open, also after an error, before the file is closed."""


class ConlluWriter(Writer):
    """Sentences read from CoNLL-U keep their lines; others get `# newdoc` and `# sent_id`.

    Clusters of a record that goes on with a document are none of those before.
    """

    def __init__(self, file: BinaryIO, levels: Mapping[str, str]) -> None:
        super().__init__(file, levels)
        self._sentences = 0
        self._written = Written()
        self._clusters: dict[str, int] = {}

    def write(self, record: Record, document: Document) -> None:
        """Writes the document's sentences."""
        blocks = []
        opens = record.opens
        if opens:
            self._clusters = {}
        own_layers = numbered_on(document.conllu_layers(), self._clusters)
        for sentence, layers in zip(document.source, own_layers, strict=True):
            self._sentences += 1
            own = sentence
            if sentence.lines is None:
                own = replace(sentence, doc_id=record.doc_id, sent_id=str(self._sentences))
            blocks.append(render_conllu(own, layers, newdoc=opens, written=self._written))
            opens = False
        self.file.write("".join(blocks).encode("utf-8"))


class JsonlWriter(Writer):
    """One object per record: its own keys, and over them those of `Document.to_dict`.

    A `text` that the record has itself stays, and so do levels that are not predicted.
    """

    def write(self, record: Record, document: Document) -> None:
        """Writes one line; errors are those of `merged`."""
        data = merged(record, document)
        try:
            # Of tables there are values that JSON has no type for, such as times.
            line = json.dumps(data, ensure_ascii=False, default=str).encode("utf-8")
        except UnicodeEncodeError:  # a half surrogate in a key of the input
            line = json.dumps(data, default=str).encode("ascii")
        self.file.write(line + b"\n")


class ParquetWriter(Writer):
    """A row per record, with its own columns and over them those of `Document.to_dict`."""

    def __init__(self, file: BinaryIO, levels: Mapping[str, str]) -> None:
        super().__init__(file, levels)
        self._rows = Rows(file, levels)

    def write(self, record: Record, document: Document) -> None:
        """Writes one row; errors are those of `merged`."""
        self._rows.add(merged(record, document), own=record.data)

    def finish(self) -> None:
        """Writes what is held back, and the file's end."""
        self._rows.finish()

    def release(self) -> None:
        """Closes what it holds open."""
        self._rows.release()


class DocBinWriter(Writer):
    """A spaCy `DocBin`, one `Doc` per document.

    Its format holds all documents in one compressed block, so that they stay in memory, as arrays
    of numbers, until the end.
    """

    def __init__(self, file: BinaryIO, levels: Mapping[str, str]) -> None:
        super().__init__(file, levels)
        from spacy.tokens import DocBin

        self._docs = DocBin(store_user_data=True)  # where roles and relations are
        self._parts: list[Document] = []
        self._pipeline: Any = None

    def write(self, record: Record, document: Document) -> None:
        """Takes one document, or one more sentence of a document."""
        if record.opens or record.doc_id is None:
            self._add()
        self._parts.append(document)

    def finish(self) -> None:
        """Writes the file."""
        self._add()
        self.file.write(self._docs.to_bytes())

    def _add(self) -> None:
        if not self._parts:
            return
        first = self._parts[0]
        if self._pipeline is None:
            import spacy

            self._pipeline = spacy.blank(first.language)
        whole = first if len(self._parts) == 1 else Document.join(self._parts)
        self._docs.add(whole.to_spacy(self._pipeline))
        self._parts = []


def merged(record: Record, document: Document) -> dict[str, Any]:
    """A record's own keys, and over them those of `Document.to_dict`.

    Raises:
        DataError: The record has something else where levels are to be written.
    """
    own, found = record.data, document.to_dict()
    data: dict[str, Any] = {**own, **found}
    if isinstance(own.get("text"), str):
        data["text"] = own["text"]
    for key in BY_LEVEL:
        before = own.get(key)
        if isinstance(before, Mapping):
            # Scores of what is predicted anew are no longer true, even if it has none now.
            kept = {level: v for level, v in before.items() if level not in document.levels}
            data[key] = {**kept, **found.get(key, {})}
        elif before is not None and key in found:
            raise DataError(
                f"object {record.doc_id}: its `{key}` is {before!r:.60}; allowed is an "
                "object with a key per level, where what is predicted has its place: rename it"
            )
    return data


WRITERS: dict[str, type[Writer]] = {
    "conllu": ConlluWriter,
    "jsonl": JsonlWriter,
    "docbin": DocBinWriter,
    PARQUET: ParquetWriter,
}


@contextmanager
def opened(target: str) -> Iterator[BinaryIO]:
    """A file to write in, which gets its name when all went well; `-` is standard output.

    Raises:
        RecipeError: There is no such folder, or `target` is one.
        RunError: It cannot be written.
    """
    if target == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with written_whole(target) as file:
        yield file
