"""The annotator: texts and words in, documents out."""

import copy
from pathlib import Path

import pytest
import torch

from hiermtl.annotation import Annotator, load
from hiermtl.annotation.annotator import has_bf16
from hiermtl.document import Document
from hiermtl.errors import DataError, ModelError
from hiermtl.model import HierarchicalModel
from hiermtl.text.plain import from_words
from hiermtl.tokens import Tokenizer

TEXTS = ["A dog barks. It runs!", "", ["one", "two"], [], "\u200f\u05e9\u05dc\u05d5\u05dd 😀", "x"]


def test_a_text_becomes_sentences_and_words(nlp: Annotator):
    doc = nlp("A dog barks. It runs!")
    assert doc.text == "A dog barks. It runs!"
    assert [s.words for s in doc.sentences] == [("A", "dog", "barks", "."), ("It", "runs", "!")]
    assert doc.levels == nlp.tasks == ("upos", "ner", "dep")


def test_words_stay_as_they_are(nlp: Annotator):
    doc = nlp(["10 000", "do", "n't"])
    assert doc.words == ("10 000", "do", "n't")
    assert len(doc.sentences) == 1


def test_sentences_of_the_readers_are_taken_whole(nlp: Annotator):
    given = [from_words(["a", "b"]), from_words(["c"])]
    assert [s.words for s in nlp(given).sentences] == [("a", "b"), ("c",)]


def test_the_pipe_gives_what_single_calls_give(nlp: Annotator):
    assert list(nlp.pipe(TEXTS)) == [nlp(text) for text in TEXTS]
    assert list(nlp.pipe(iter(TEXTS), window=1)) == [nlp(text) for text in TEXTS]


@pytest.mark.parametrize("text", ["", "  \n ", []])
def test_an_empty_text_is_an_empty_document(nlp: Annotator, text: str | list[str]):
    doc = nlp(text)
    assert isinstance(doc, Document)
    assert len(doc) == 0
    assert doc.tags("upos") == ()
    assert doc.entities == ()


def test_the_pipe_reads_no_further_than_its_window(nlp: Annotator):
    read = 0

    def stream():
        nonlocal read
        while True:
            read += 1
            yield ["a"] if read % 2 else []

    documents = nlp.pipe(stream(), window=2)
    for _ in range(3):
        next(documents)
    assert read == 4


def test_tasks_may_be_one_name(nlp: Annotator):
    assert nlp(["a"], tasks="ner").levels == ("ner",)
    assert nlp(["a"], tasks=["dep", "upos"]).levels == ("upos", "dep")


def test_an_unknown_task_is_refused_before_the_first_text(nlp: Annotator):
    with pytest.raises(ModelError, match="no task 'pos'; it has upos, ner and dep"):
        nlp.pipe([], tasks=["pos"])


def test_scores_come_when_asked_for(nlp: Annotator):
    doc = nlp("A dog barks. It runs!", with_scores=True)
    assert {task: len(values) for task, values in doc.scores.items()} == dict.fromkeys(nlp.tasks, 7)
    with pytest.raises(ModelError, match="with_scores=True"):
        _ = nlp("A dog").scores


@pytest.mark.parametrize("wrong", [None, 3, b"bytes", {"a"}])
def test_what_is_no_text_is_refused(nlp: Annotator, wrong: object):
    with pytest.raises(DataError, match="is no text; pass a string, a list of words"):
        nlp(wrong)  # pyright: ignore[reportArgumentType]


def test_one_text_in_place_of_several_is_refused(nlp: Annotator):
    with pytest.raises(DataError, match="one text, 'a text', where several"):
        nlp.pipe("a text")


@pytest.mark.parametrize("words", [["a", " "], ["a", 3]])
def test_blank_words_and_numbers_are_refused(nlp: Annotator, words: list):
    with pytest.raises(DataError, match="word 1 of 2"):
        nlp(words)


def test_half_surrogates_are_read_as_the_replacement_character(nlp: Annotator):
    assert nlp(["a\ud83d"]).words == ("a\ufffd",)
    assert nlp("a \ud83d b").words == ("a", "\ufffd", "b")


def test_a_sentence_longer_than_the_encoder_is_annotated_whole(nlp: Annotator):
    doc = nlp(["word"] * 500)
    assert len(doc.tags("ner")) == len(doc.tree.heads) == 500


def test_a_saved_annotator_loads_to_the_same(nlp: Annotator, tmp_path: Path):
    nlp.save_pretrained(tmp_path / "copy")
    again = load(tmp_path / "copy")
    assert again.language == "en"
    assert list(again.pipe(TEXTS)) == list(nlp.pipe(TEXTS))


def test_the_card_of_a_model_stays_with_it(nlp: Annotator, tmp_path: Path):
    card = "# A model\n"
    Annotator(nlp.model, nlp.tokenizer, card=card).save_pretrained(tmp_path / "first")
    load(tmp_path / "first").save_pretrained(tmp_path / "second")
    assert (tmp_path / "second" / "README.md").read_text() == card


def test_bf16_computes_with_a_copy(nlp: Annotator, tmp_path: Path):
    low = Annotator(nlp.model, nlp.tokenizer, precision="bf16")
    assert low.precision == "bf16"
    assert len(low("A dog barks.", with_scores=True).tags("upos")) == 4
    assert nlp.model.dtype == torch.float32
    low.save_pretrained(tmp_path)
    assert load(tmp_path).model.dtype == torch.float32


def test_the_config_names_the_precision_where_the_processor_has_it(
    nlp: Annotator, monkeypatch: pytest.MonkeyPatch
):
    nlp.model.config.precision = "bf16"
    for there, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr("hiermtl.annotation.annotator.has_bf16", lambda _, there=there: there)
        assert Annotator(nlp.model, nlp.tokenizer).precision == expected
    assert isinstance(has_bf16(torch.device("cpu")), bool)


def test_an_unknown_precision_is_refused(nlp: Annotator):
    with pytest.raises(ModelError, match="precision 'fp16'; allowed are fp32 and bf16"):
        Annotator(nlp.model, nlp.tokenizer, precision="fp16")  # pyright: ignore[reportArgumentType]


def test_the_hierarchy_is_shown_from_the_top(nlp: Annotator):
    shown = repr(nlp).splitlines()
    assert "bert encoder" in shown[0]
    assert [line.split()[:3] for line in shown[2:]] == [
        ["3", "3", "dep"],
        ["2", "2", "ner"],
        ["1", "1", "upos"],
    ]


def test_bare_layers_and_sentences_are_the_documents(nlp: Annotator):
    text = "A dog barks. It runs!"
    doc = nlp(text)
    assert tuple(nlp.predict_layers([s.words for s in doc.source])) == doc.layers
    assert [dict(s.layers) for s in next(nlp.annotate_texts([text]))] == list(map(dict, doc.layers))


def test_padded_batches_give_the_same_documents(
    nlp: Annotator, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, seen = type(nlp.model).forward, []

    def watched(model, batch, *rest):
        seen.append(batch.layout.padded)
        return forward(model, batch, *rest)

    monkeypatch.setattr(type(nlp.model), "forward", watched)
    padded = Annotator(nlp.model, nlp.tokenizer, flat=False)
    assert list(padded.pipe(TEXTS)) == list(nlp.pipe(TEXTS))
    assert bool(seen[0])
    assert not seen[-1]


def test_precision_is_what_is_computed_in(bert: tuple[HierarchicalModel, Tokenizer]) -> None:
    model, tokenizer = bert
    words = [["abc", "de", "f"]]
    expected = next(Annotator(model, tokenizer, precision="fp32").pipe(words))
    doubles = Annotator(copy.deepcopy(model).double(), tokenizer)
    assert doubles.precision == "fp64"
    assert next(doubles.pipe(words)).tags("upos") == expected.tags("upos")
    seen: list[torch.dtype] = []
    half = Annotator(copy.deepcopy(model).bfloat16(), tokenizer, precision="fp32")
    half._computing.head("upos").register_forward_hook(
        lambda *parts: seen.append(parts[2]["labels"].dtype)
    )
    next(half.pipe(words))
    assert half.precision == "fp32"
    assert seen == [torch.float32]
    assert half.model.dtype == torch.bfloat16
