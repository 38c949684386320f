"""Texts and pairs with labels of their own, stored beside their sentences."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hiermtl import arrays
from hiermtl.corpus import passages
from hiermtl.corpus.build import Corpus, Source, build_corpus
from hiermtl.corpus.examples import Examples, PassageExamples, SomeExamples, Wanted
from hiermtl.errors import DataError
from hiermtl.records import Example, Group
from hiermtl.text.sentence import Origin, Passage, Sentence
from tests.worlds import make_tokenizer

A, B, C = (Sentence(tuple(text)) for text in ("abc", "de", "fghij"))
PAIRS = (
    Passage((A, B), {"related": 1.5, "entails": "yes"}, pair=True, passage_id="1"),
    Passage((B, A), {"entails": "no"}, pair=True),
    Passage((C, C), {"related": 4}, pair=True),
)
DEV = (Passage((A, C), {"entails": "maybe", "related": 2.0}, pair=True),)


def corpus(
    tmp_path: Path, train: Sequence[Passage | Sentence] = PAIRS, **options: Sequence[str]
) -> Corpus:
    sources = {
        split: Source((), lambda r=records: r, {"records": repr(records)})
        for split, records in (("train", train), ("dev", DEV))
    }
    return build_corpus("own", sources, cache=tmp_path, **options)  # type: ignore[arg-type]


def test_passages_come_back_and_each_sentence_is_stored_once(tmp_path: Path) -> None:
    found = corpus(tmp_path)
    assert [s.words for s in found.sentences("train")] == [A.words, B.words, C.words]
    assert list(found.read_passages("train")) == list(PAIRS)
    assert found.layers == {"entails": "label", "related": "number"}
    assert found.inventory("entails") == ("no", "yes")
    assert found.unseen == {"entails": {"maybe": {"dev": 1}}}
    assert found.gold("train", "related") == [1.5, None, 4.0]
    assert found.gold("train", "entails") == ["yes", "no", None]
    assert "own train: 3 passages of 3 sentences, 10 words" in found.lines()
    again = corpus(tmp_path)
    assert list(again.read_passages("train")) == list(PAIRS)


def test_layers_that_nobody_asked_for_are_not_stored(tmp_path: Path) -> None:
    found = corpus(tmp_path, layers=["entails"])
    assert found.layers == {"entails": "label"}
    assert [p.labels for p in found.read_passages("train")] == [
        {"entails": "yes"},
        {"entails": "no"},
        {},
    ]


def test_sentences_with_layers_of_their_own_are_kept_apart(tmp_path: Path) -> None:
    tagged = Sentence(A.words, {"upos": ("X", "Y", "Z")})
    given = (Passage((tagged,), {"topic": "a"}), Passage((A,), {"topic": "b"}), C)
    found = corpus(tmp_path, given, layers=["topic", "upos"])
    assert [dict(s.layers) for s in found.sentences("train")] == [dict(tagged.layers), {}, {}]
    assert [p.labels["topic"] for p in found.read_passages("train")] == ["a", "b"]


def test_a_layer_is_of_one_kind(tmp_path: Path) -> None:
    given = (PAIRS[0], Passage((A,), {"related": "much"}, origin=Origin("f.csv", 3)))
    with pytest.raises(DataError, match=r"f\.csv:3: .*'related' holds a label here and a number"):
        corpus(tmp_path, given)
    both = (Passage((A,), {"upos": "X"}), Sentence(B.words, {"upos": ("X", "Y")}))
    with pytest.raises(DataError, match="'upos' holds tags of words and a label of passages"):
        corpus(tmp_path, both)


@pytest.mark.parametrize(("sentences", "pair"), [((), False), ((A,), True), ((A, B, C), True)])
def test_a_passage_has_sentences_and_a_pair_two(
    sentences: tuple[Sentence, ...], pair: bool
) -> None:
    with pytest.raises(DataError, match=f"a passage of {len(sentences)} sentences"):
        Passage(sentences, pair=pair)


@pytest.mark.parametrize(
    ("in_memory", "part", "rows"), [(0, 1, 1), (0, 2, 2), (1 << 22, 1 << 20, 5000)]
)
def test_passages_are_examples_and_so_are_sentences_outside_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int, part: int, rows: int
) -> None:
    monkeypatch.setattr(arrays, "IN_MEMORY", in_memory)
    monkeypatch.setattr(arrays, "PART", part)
    monkeypatch.setattr(passages, "ROWS", rows)
    tagged = Sentence(("lm", "n"), {"upos": ("X", "Y")})
    found = corpus(tmp_path, (*PAIRS, tagged), layers=["entails", "related", "upos"])
    tokenizer = make_tokenizer("bert")
    encoded = found.encode("train", tokenizer).dataset
    words = {"upos": Wanted("upos", "tags", ("X", "Y"))}
    whole = {
        "entails": Wanted("entails", "label", ("no",)),
        "related": Wanted("related", "number", ("1", "4")),
    }
    sentences = Examples(found.split("train"), encoded, tasks=words)
    rest = SomeExamples(sentences, found.chosen("train").rows)
    examples = PassageExamples(sentences, found.passages["train"], tasks=whole, rest=rest)
    assert len(examples) == 4
    assert examples.words.tolist() == [5, 5, 10, 2]
    assert examples.lengths.tolist() == [5, 5, 10, 3]
    assert {task: counts.tolist() for task, counts in examples.items.items()} == {
        "upos": [0, 0, 0, 2],
        "entails": [0, 1, 0, 0],
        "related": [1, 0, 1, 0],
    }
    first, second, _, last = examples.fetch(range(4))
    assert isinstance(first, Group)
    assert isinstance(second, Group)
    assert isinstance(last, Example)
    assert (first.gold, second.gold) == ({"related": 1.5}, {"entails": 0})
    assert np.array_equal(first.examples[0].pieces, second.examples[1].pieces)
    assert last.gold["upos"]["labels"].tolist() == [0, 1]
    with pytest.raises(IndexError, match="example 4 of 4"):
        examples.fetch([4])
