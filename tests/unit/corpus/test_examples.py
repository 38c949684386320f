import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest

from hiermtl import arrays
from hiermtl.corpus import encoded, store
from hiermtl.corpus.build import Source, build_corpus
from hiermtl.corpus.encoded import WordEncoder, encode_split
from hiermtl.corpus.examples import Examples, Wanted
from hiermtl.errors import DataError
from hiermtl.records import MISSING, Example
from hiermtl.text.sentence import Sentence, Tree
from hiermtl.training import BatchPlan, Sampling, TaskPlan, sampling

TokenizerClass = Callable[..., Any]

WANTED = {
    "upos": Wanted("upos", "tags", ("VERB", "ADJ", "X")),
    "ner": Wanted("ner", "tags", ("B-LOC", "O", "B-PER")),
    "dep": Wanted("dep", "tree", ("root", "nsubj")),
    "chunk": Wanted("chunk", "tags", ("O",)),
    "again": Wanted("upos", "tags", ()),
}


def slow_gold(sentence: Sentence) -> dict[str, dict[str, list[int]]]:
    def ids(tags: tuple[str | None, ...], labels: tuple[str, ...]) -> list[int]:
        return [labels.index(tag) if tag in labels else MISSING for tag in tags]

    gold = {}
    for task, wanted in WANTED.items():
        layer = sentence.layers.get(wanted.layer)
        if isinstance(layer, Tree):
            heads = [MISSING if head is None else head for head in layer.heads]
            gold[task] = {"heads": heads, "relations": ids(layer.relations, wanted.labels)}
        elif layer is not None:
            gold[task] = {"labels": ids(layer, wanted.labels)}
    return gold


def check(example: Example, sentence: Sentence, tokenizer: WordEncoder) -> None:
    expected = tokenizer.encode([sentence.words])
    assert example.pieces.tolist() == expected["pieces"][0].tolist()
    assert example.piece_counts.tolist() == expected["piece_counts"][0].tolist()
    assert {n: v.tolist() for n, v in example.features.items()} == {
        "cases": expected["cases"][0].tolist()
    }
    assert example.pieces.dtype == example.piece_counts.dtype == np.int32
    gold = {
        task: {name: values.tolist() for name, values in found.items()}
        for task, found in example.gold.items()
    }
    assert gold == slow_gold(sentence)
    assert all(v.dtype == np.int64 for found in example.gold.values() for v in found.values())


@pytest.mark.parametrize(("rows", "in_memory"), [(1, 0), (3, 1 << 22), (3, 0), (5000, 1 << 22)])
def test_fetched_examples_equal_those_made_slowly(
    sources: dict[str, Source],
    tmp_path: Path,
    tokenizer: TokenizerClass,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    in_memory: int,
) -> None:
    monkeypatch.setattr(arrays, "IN_MEMORY", in_memory)
    monkeypatch.setattr(store, "ROWS", rows)
    monkeypatch.setattr(encoded, "ROWS", max(1, rows - 1))
    corpus = build_corpus("toy", sources, cache=tmp_path)
    for split, source in sources.items():
        sentences = list(source.read())
        data = corpus.encode(split, tokenizer())
        examples = Examples(corpus.splits[split], data.dataset, tasks=WANTED)
        order = [*reversed(range(len(examples))), 0]
        found = examples.fetch(order)
        assert [example.index for example in found] == order
        for example in found:
            check(example, sentences[example.index], tokenizer())
        assert len(examples) == len(sentences)
        assert examples.words.tolist() == [len(s.words) for s in sentences]
        assert examples.lengths.tolist() == [sum(len(w[:4]) for w in s.words) for s in sentences]
        assert examples.lengths.dtype == examples.words.dtype == np.int32
        for task, counts in examples.items.items():
            golds = [slow_gold(s).get(task, {}) for s in sentences]
            expected = [
                sum(v != MISSING for v in gold.get("heads", gold.get("labels", [])))
                for gold in golds
            ]
            assert counts.tolist() == expected, task
            assert counts.dtype == np.int32


def test_an_index_outside_and_splits_that_differ_are_refused(
    sources: dict[str, Source], tmp_path: Path, tokenizer: TokenizerClass
) -> None:
    corpus = build_corpus("toy", sources, cache=tmp_path)
    train, dev = (corpus.encode(split, tokenizer()).dataset for split in ("train", "dev"))
    examples = Examples(corpus.splits["train"], train, tasks=WANTED)
    for index in (-1, 4):
        with pytest.raises(IndexError, match=f"example {index} of 4"):
            examples.fetch([index])
    with pytest.raises(DataError, match="4 sentences but 2 encoded ones"):
        Examples(corpus.splits["train"], dev, tasks={})
    with pytest.raises(DataError, match="rows were selected or shuffled"):
        Examples(corpus.splits["train"].select([1, 0, 2, 3]), train, tasks={})
    with pytest.raises(DataError, match="task 'd' reads layer 'dep' as tags"):
        Examples(corpus.splits["train"], train, tasks={"d": Wanted("dep", "tags", ())})


def test_a_split_is_encoded_once_per_tokenizer_and_content(
    sources: dict[str, Source], tmp_path: Path, tokenizer: TokenizerClass
) -> None:
    corpus = build_corpus("toy", sources, cache=tmp_path)
    first_one = tokenizer()
    first = corpus.encode("train", first_one)
    assert (first_one.calls, first.dropped) == (1, 1)
    other = tokenizer()
    assert corpus.encode("train", other).dropped == 1
    assert other.calls == 0
    changed = tokenizer("letters-2")
    corpus.encode("train", changed)
    corpus.encode("dev", changed)
    assert changed.calls == 2
    narrower = build_corpus("toy", sources, layers=["ner"], cache=tmp_path)
    narrower.encode("dev", changed)
    assert changed.calls == 3


class Broken:
    """Gives what it is told to give."""

    fingerprint = "broken"
    dropped = 0

    def __init__(self, **given: list[np.ndarray]) -> None:
        self.given = given
        self.features = tuple(given)

    def encode(self, sentences: Sequence[Sequence[str]]) -> dict[str, list[np.ndarray]]:
        del sentences
        return self.given


def test_arrays_that_do_not_fit_the_words_are_refused(tmp_path: Path) -> None:
    rows = [Sentence(("a", "b"))]
    data = build_corpus("toy", {"train": Source((), lambda: rows)}, cache=tmp_path).splits["train"]
    one = [np.ones(1, dtype=np.int32)]
    two = [np.array([0, 1], dtype=np.int32)]
    with pytest.raises(
        DataError, match=r"1 pieces and counts \[0, 1\] for the 2 words \['a', 'b'\]"
    ):
        encode_split(data, Broken(pieces=one, piece_counts=two), folder=tmp_path, key="k")
    with pytest.raises(DataError, match=r"1 pieces and counts \[1\] for the 2 words"):
        encode_split(data, Broken(pieces=one, piece_counts=one), folder=tmp_path, key="k")
    with pytest.raises(DataError, match="it must give `pieces`, `piece_counts` and"):
        encode_split(data, Broken(cases=one), folder=tmp_path, key="k")


def test_an_empty_sentence_has_an_example(tmp_path: Path, tokenizer: TokenizerClass) -> None:
    rows = [Sentence((), {"upos": ()}), Sentence(("a",), {"upos": ("X",)})]
    corpus = build_corpus("a", {"train": Source((), lambda: rows)}, cache=tmp_path)
    data = corpus.encode("train", tokenizer())
    examples = Examples(corpus.splits["train"], data.dataset, tasks=WANTED)
    empty = examples.fetch([0])[0]
    assert len(empty.pieces) == len(empty.piece_counts) == 0
    assert examples.words.tolist() == [0, 1]


def test_the_view_and_the_readers_import_without_datasets_and_spacy() -> None:
    rooms = "hiermtl.corpus.examples, hiermtl.text.conllu, hiermtl.text.plain, hiermtl.text.hub"
    code = f"import sys, {rooms}; print([m for m in ('datasets', 'spacy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def written(folder: Path, sentences: int) -> Examples:
    """Examples of as many random sentences, in stored form."""
    random, rows = np.random.default_rng(0), 5000
    ids = datasets.List(datasets.ClassLabel(names=["X", "Y"]))
    words = datasets.List(datasets.Value("int32"))
    kinds = {
        "split": {"upos": ids, "ner": ids},
        "encoded": {"pieces": words, "piece_counts": words},
    }
    found = {}
    for name, features in kinds.items():
        schema = datasets.Features(features).arrow_schema
        path = folder / f"{name}-{sentences}.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            for _ in range(sentences // rows):
                ends = np.zeros(rows + 1, dtype=np.int32)
                # Both tables have sentences of the same lengths.
                np.cumsum(np.arange(rows) % 7 + 1, out=ends[1:])
                columns = [
                    pa.ListArray.from_arrays(
                        ends,
                        pa.array(random.integers(1, 2, ends[-1]), field.type.value_type),
                        mask=pa.array(np.arange(rows) % 2 == 0) if field.name == "ner" else None,
                    )
                    for field in schema
                ]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
        found[name] = datasets.Dataset.from_file(str(path))
    wanted = {name: Wanted(name, "tags", ("X", "Y")) for name in ("upos", "ner")}
    return Examples(found["split"], found["encoded"], tasks=wanted)


@pytest.mark.parametrize("in_memory", [1 << 14, 1 << 30])
def test_what_training_holds_does_not_grow_with_the_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    """Less than a number a sentence, which is what each array would need in memory."""
    monkeypatch.setattr(arrays, "IN_MEMORY", in_memory)
    monkeypatch.setattr(arrays, "PART", 1 << 12)
    monkeypatch.setenv("HIERMTL_CACHE", str(tmp_path / "cache"))
    small = partial(BatchPlan, segment=16, chunk=64)
    monkeypatch.setattr(sampling, "BatchPlan", small)
    held = {}
    for sentences in (20_000, 400_000):
        tracemalloc.start()
        examples = written(tmp_path, sentences)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        plan = small(examples.lengths, 2_000, seed=0)
        drawn = TaskPlan(
            examples.lengths,
            examples.items,
            2_000,
            order=("upos", "ner"),
            sampling=Sampling("drawn"),
            epochs=1,
            seed=0,
        )
        for step in range(0, plan.steps_per_epoch, 50):
            examples.fetch(plan.step(step).tolist())
            examples.fetch(drawn.step(step).tolist())
        held[sentences] = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        assert not any((tmp_path / "cache").glob("*")), "the files have no names"
    grown = (held[400_000] - held[20_000]) / 380_000
    assert (grown < 4) == (in_memory < 1 << 20), held
