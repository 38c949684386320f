"""Raw texts segmented by a model: nothing is lost, and only the blocks it takes run."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hiermtl.annotation import Annotator, annotate_files
from hiermtl.annotation.entries import Prediction
from hiermtl.annotation.given import Pair
from hiermtl.annotation.segmenting import segment_texts
from hiermtl.config import HierarchicalConfig
from hiermtl.encoders.bilstm import BiLstmEncoder
from hiermtl.errors import DataError, ModelError
from hiermtl.model import HierarchicalModel
from hiermtl.text.atoms import find_atoms
from hiermtl.text.conllu import read_conllu
from hiermtl.text.segment import STRETCH, segmented
from hiermtl.tokens import WordTokenizer
from tests.unit.annotation.conftest import TASKS, make_bilstm, spread

TAGS = ["B", "B/-1", "I", "J", "S", "S=g>x g", "W"]
TEXTS = [
    "The dog barks. It isn't a cat!",
    "",
    "a",
    " \n\n ",
    "One\n\nTwo. Three\nfour",
    "x" * 700 + " " + "." * 700,
    "👩\u200d👧 ok \x00 中文字 \u200b",
    "\ud800 lone",
]


@pytest.fixture(scope="module")
def nlp() -> Annotator:
    """A BiLSTM with random weights, of whose three blocks segmentation takes the first."""
    torch.manual_seed(1)  # by which most tags are predicted
    encoder = BiLstmEncoder(
        layers=3, hidden=8, word_width=8, ngram_width=8, vocabulary=0, buckets=97
    )
    tasks = {**TASKS, "upos": {**TASKS["upos"], "depth": 2}}
    tasks = {"segment": {"depth": 1, "head": "tagging", "labels": TAGS}, **tasks}
    model = HierarchicalModel(HierarchicalConfig(encoder.config(), tasks, language="en"), encoder)
    with torch.no_grad():
        for name, weight in spread(model).named_parameters():
            if name.startswith("heads.segment") and weight.ndim == 1:
                weight.zero_()
            elif "blocks" in name:
                weight.mul_(4)
    return Annotator(model, WordTokenizer((), 97, sizes=[2, 3]))


def tokens(nlp: Annotator, text: str) -> list[list[str]]:
    return [list(sentence.words) for sentence in nlp(text, []).source]


def test_no_character_is_lost(nlp: Annotator) -> None:
    draw = random.Random(0)
    letters = "ab. '\n\u4e2d\u0301\u200d👧_"
    texts = [*TEXTS, *("".join(draw.choices(letters, k=60)) for _ in range(40))]
    for text, document in zip(texts, nlp.pipe(texts), strict=True):
        written = []
        for sentence in document.source:
            whole = {token.start: token for token in sentence.multiwords}
            inside = {n for t in sentence.multiwords for n in range(t.start, t.end)}
            written += [
                whole[n].label if n in whole else word
                for n, word in enumerate(sentence.words)
                if n in whole or n not in inside
            ]
        text = text.replace("\ud800", "\ufffd")
        assert "".join("".join(written).split()) == "".join(text.split())
        assert document.text == text


def test_sentences_are_those_that_the_tags_of_the_model_make(nlp: Annotator) -> None:
    for text in TEXTS[:2] + TEXTS[5:7]:
        atoms = find_atoms(text)
        if len(atoms) <= STRETCH:
            marked = [atoms.marked(0, len(atoms))]
            (found,) = nlp.predict_layers(marked, ["segment"])
            assert nlp(text, []).source == tuple(segmented(atoms, found["segment"]))
    assert len({tag for text in TEXTS for tag in str(tokens(nlp, text))}) > 5


def test_texts_are_the_same_in_company_and_alone(nlp: Annotator) -> None:
    alone = [nlp(text) for text in TEXTS]
    assert list(nlp.pipe(TEXTS)) == alone
    assert list(nlp.pipe(iter(TEXTS), window=1, tokens_per_batch=8)) == alone


def test_a_document_is_given_as_soon_as_it_is_read_if_that_is_asked(nlp: Annotator) -> None:
    read = []

    def stream() -> Iterator[str]:
        for text in ("One. Two.", "Three.", "Four."):
            read.append(text)
            yield text

    documents = nlp.pipe(stream(), window=1)
    next(documents)
    assert len(read) <= 2


def test_a_long_paragraph_is_read_in_stretches(
    nlp: Annotator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each atom is decided by one stretch, and the tags lie in the order of the atoms."""
    text = " ".join(f"w{n}" for n in range(1000)) + "\n\n" + "."
    given: list[list[str]] = []

    def predictions(entries: Any, tasks: Any, **options: Any) -> Iterator[Any]:
        for words in entries:
            given.append(list(words))
            tags = tuple("I" if word[-1] == "_" else "S" for word in words)
            yield Prediction({"segment": tags}, {})

    monkeypatch.setattr(nlp, "predictions", predictions)
    (found,) = segment_texts(nlp, [text], tokens_per_batch=64, window=8)
    assert [sentence.words for sentence in found] == [
        *((f"w{n}",) for n in range(1000)),
        (".",),
    ]
    assert max(map(len, given)) == STRETCH
    assert given[-1] == ["."]
    assert sum(map(len, given)) < 2 * 2001


def test_only_the_blocks_that_segmentation_takes_run(
    nlp: Annotator, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, asked = type(nlp.model).forward, []

    def seen(self: Any, batch: Any, tasks: Any = None) -> Any:
        asked.append(tuple(tasks))
        return forward(self, batch, tasks)

    monkeypatch.setattr(type(nlp.model), "forward", seen)
    assert nlp.model.routes["segment"].depth == 1
    document = nlp("The dog barks.", [])
    assert document.levels == ()
    assert set(asked) == {("segment",)}
    asked.clear()
    nlp("The dog barks.", ["upos"])
    assert set(asked) == {("segment",), ("upos",)}
    asked.clear()
    nlp(["The", "dog"])
    assert [set(tasks) for tasks in asked] == [{"upos", "ner", "dep"}]


def test_segmentation_is_no_level_of_a_document(nlp: Annotator) -> None:
    document = nlp("The dog barks.", ["segment", "upos"])
    assert document.levels == ("upos",)
    assert nlp("a", ["segment"]).levels == ()
    assert set(next(iter(nlp.predict_layers([["a"]])))) == {"upos", "ner", "dep"}
    with pytest.raises(ModelError, match=r"'segment'; it has upos; the model has ner, "):
        document.tags("segment")


def test_pairs_and_words_pass_beside_texts(nlp: Annotator) -> None:
    given: list[Any] = ["One. Two.", ["One", "."], Pair("A b.", ["c"]), "Three"]
    found = list(nlp.pipe(given))
    assert found[0] == nlp("One. Two.")
    assert found[1].words == ("One", ".")
    sides = [word for sentence in tokens(nlp, "A b.") for word in sentence]
    assert [list(sentence.words) for sentence in found[2].source] == [sides, ["c"]]
    assert found[3] == nlp("Three")
    with pytest.raises(DataError, match=r"the first text of a pair is empty"):
        nlp(Pair(" ", "a"))


def test_multiword_tokens_are_written_as_ranges(nlp: Annotator, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("\n\n".join(TEXTS[:7]), encoding="utf-8")
    report = annotate_files(nlp, tmp_path / "in.txt", tmp_path / "out.conllu")
    assert report.left_out == ()
    assert set(report.tasks) == {"upos", "ner", "dep"}
    text = (tmp_path / "out.conllu").read_text(encoding="utf-8")
    assert any("-" in line.split("\t")[0] for line in text.splitlines() if "\t" in line)
    read = list(read_conllu(tmp_path / "out.conllu"))
    assert sum(len(sentence.words) for sentence in read) == report.words
    assert all("upos" in sentence.layers for sentence in read)
    bare = annotate_files(nlp, tmp_path / "in.txt", tmp_path / "bare.conllu", tasks=["segment"])
    assert bare.words == report.words
    assert not any(sentence.layers for sentence in read_conllu(tmp_path / "bare.conllu"))


def test_other_models_split_by_the_rules_of_their_language() -> None:
    plain = Annotator(*make_bilstm())
    assert not plain.segments
    assert [s.words for s in plain("Don't go. Stay!").source] == [
        ("Do", "n't", "go", "."),
        ("Stay", "!"),
    ]
