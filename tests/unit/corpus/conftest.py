"""A small corpus whose annotation is partial, and a tokenizer of the shape the rooms agreed on."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from hiermtl.corpus.build import Source
from hiermtl.text.sentence import Sentence, Tree


class Letters:
    """A word's first four letters are its pieces; words that begin with `?` count as dropped."""

    features = ("pieces", "piece_counts", "cases")

    def __init__(self, fingerprint: str = "letters-1") -> None:
        self.fingerprint = fingerprint
        self.dropped = 0
        self.calls = 0

    def encode(self, sentences: Sequence[Sequence[str]]) -> dict[str, list[np.ndarray]]:
        self.calls += 1
        out: dict[str, list[np.ndarray]] = {name: [] for name in self.features}
        for words in sentences:
            cut = [word[:4] for word in words]
            self.dropped += sum(word.startswith("?") for word in words)
            out["pieces"].append(np.array([ord(c) for word in cut for c in word], dtype=np.int32))
            out["piece_counts"].append(np.array([len(word) for word in cut], dtype=np.int32))
            out["cases"].append(np.array([word.isupper() for word in cut], dtype=np.int32))
        return out


TRAIN = [
    Sentence(
        ("Ada", "wrote", "?!"),
        {
            "upos": ("PROPN", "VERB", None),
            "ner": ("B-PER", "O", "O"),
            "dep": Tree((2, 0, None), ("nsubj", "root", None)),
        },
        sent_id="t1",
        doc_id="d",
        text="Ada wrote?!",
        space_after=(True, False, True),
    ),
    Sentence(("no", "gold")),
    Sentence(("B-only",), {"ner": ("B-LOC",)}, sent_id="t3"),
    Sentence(("x", "y"), {"upos": (None, "ADJ"), "dep": Tree((0, 1), ("root", None))}),
]
DEV = [
    Sentence(("new", "labels"), {"upos": ("X", "X"), "ner": ("B-ORG", "O")}),
    Sentence(("one",), {"upos": ("VERB",), "dep": Tree((0,), ("vocative",))}),
]


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Source]:
    def source(name: str, sentences: list[Sentence]) -> Source:
        path = tmp_path / f"{name}.txt"
        path.write_text(repr(sentences), encoding="utf-8")
        return Source((path,), lambda: iter(sentences))

    return {"train": source("train", TRAIN), "dev": source("dev", DEV)}


@pytest.fixture
def count_reads() -> Callable[[Source], tuple[Source, list[int]]]:
    def counted(source: Source) -> tuple[Source, list[int]]:
        reads: list[int] = []

        def read() -> Iterator[Sentence]:
            reads.append(1)
            yield from source.read()

        return Source(source.files, read, source.options), reads

    return counted


@pytest.fixture
def tokenizer() -> type[Letters]:
    return Letters
