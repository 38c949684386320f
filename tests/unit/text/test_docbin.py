"""spaCy's DocBin."""

from collections import Counter
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin

from hiermtl.errors import DataError
from hiermtl.text.docbin import read_docbin
from hiermtl.text.documents import raw_text
from hiermtl.text.sentence import Tree

VOCAB = spacy.blank("en").vocab


def annotated() -> Doc:
    return Doc(
        VOCAB,
        words=["Ada", "Lovelace", "wrote", ".", "\n", "It", "rained", "."],
        spaces=[True, True, False, True, False, True, False, False],
        pos=["PROPN", "PROPN", "VERB", "PUNCT", "SPACE", "PRON", "VERB", "PUNCT"],
        tags=["NNP", "NNP", "VBD", ".", "_SP", "PRP", "VBD", "."],
        lemmas=["Ada", "Lovelace", "write", ".", "\n", "it", "rain", "."],
        morphs=["Number=Sing", "Number=Sing", "Tense=Past", "", "", "", "Tense=Past", ""],
        heads=[1, 2, 2, 2, 6, 6, 6, 6],
        deps=["compound", "nsubj", "root", "punct", "dep", "nsubj", "root", "punct"],
        ents=["B-PER", "I-PER", "O", "O", "O", "O", "O", "O"],
        sent_starts=[True, False, False, False, True, False, False, False],
    )


def write(path: Path, *documents: Doc) -> Path:
    DocBin(docs=documents, store_user_data=False).to_disk(path)
    return path


def test_layers_are_those_of_the_document(tmp_path: Path) -> None:
    one, two = read_docbin(write(tmp_path / "a.spacy", annotated()))
    assert one.words == ("Ada", "Lovelace", "wrote", ".")
    assert one.space_after == (True, True, False, True)
    assert one.layers["upos"] == ("PROPN", "PROPN", "VERB", "PUNCT")
    assert one.layers["ner"] == ("B-PER", "I-PER", "O", "O")
    assert one.layers["dep"] == Tree((2, 3, 0, 3), ("compound", "nsubj", "root", "punct"))
    assert one.layers["feats"] == ("Number=Sing", "Number=Sing", "Tense=Past", "_")
    assert two.words == ("It", "rained", ".")
    assert two.layers["dep"] == Tree((2, 0, 2), ("nsubj", "root", "punct"))
    assert two.layers["lemma"] == ("it", "rain", ".")
    assert one.doc_id == two.doc_id == "doc-1"


def test_what_is_not_annotated_is_absent(tmp_path: Path) -> None:
    bare = Doc(VOCAB, words=["a", "b"])
    partial = Doc(VOCAB, words=["c", "d"], pos=["X", ""])
    one, two = read_docbin(write(tmp_path / "a.spacy", bare, partial))
    assert dict(one.layers) == {}
    assert dict(two.layers) == {"upos": ("X", None)}
    assert two.doc_id == "doc-2"


def test_what_is_no_docbin_is_named(tmp_path: Path) -> None:
    for content in (b"", b"text", b"\x78\x9c\x03\x00\x00\x00\x00\x01"):
        (tmp_path / "a.spacy").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.spacy: no DocBin"):
            list(read_docbin(tmp_path / "a.spacy"))
    with pytest.raises(DataError, match="no such file"):
        list(read_docbin(tmp_path / "b.spacy"))


def test_a_head_of_white_space_is_named(tmp_path: Path) -> None:
    document = Doc(VOCAB, words=["a", "\n"], heads=[1, 1], deps=["x", "root"])
    with pytest.raises(DataError, match=r"the head of 'a' in document 1 is '\\n'"):
        list(read_docbin(write(tmp_path / "a.spacy", document)))


def test_entities_cut_by_a_sentence_mark_begin_again(tmp_path: Path) -> None:
    document = Doc(
        VOCAB,
        words=["New", "York", "City"],
        ents=["B-LOC", "I-LOC", "I-LOC"],
        sent_starts=[True, True, False],
    )
    found = list(read_docbin(write(tmp_path / "a.spacy", document)))
    assert [sentence.layers["ner"] for sentence in found] == [("B-LOC",), ("B-LOC", "I-LOC")]


def test_what_was_left_out_or_mended_is_counted(tmp_path: Path) -> None:
    document = Doc(
        VOCAB,
        words=["New", "\n", "York", "City"],
        ents=["B-LOC", "I-LOC", "I-LOC", "I-LOC"],
        sent_starts=[True, False, False, True],
    )
    repairs: Counter[str] = Counter()
    one, two = read_docbin(write(tmp_path / "a.spacy", document), repairs=repairs)
    assert (one.layers["ner"], two.layers["ner"]) == (("B-LOC", "I-LOC"), ("B-LOC",))
    assert repairs == {"white space": 1, "ner": 1}
    repairs.clear()
    whole = Doc(VOCAB, words=["New", "York"], ents=["B-LOC", "I-LOC"])
    list(read_docbin(write(tmp_path / "b.spacy", whole), repairs=repairs))
    assert not repairs


def test_white_space_that_is_a_token_follows_the_word_before(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    text = "\n Hello  there.\nNew line\there.\n\nAnd more"
    found = list(read_docbin(write(tmp_path / "a.spacy", nlp(text))))
    assert [sentence.words for sentence in found] == [
        ("Hello", "there", "."),
        ("New", "line", "here", "."),
        ("And", "more"),
    ]
    assert [sentence.space_after for sentence in found] == [
        (True, False, True),
        (True, True, False, True),
        (True, False),
    ]
    assert [sentence.text for sentence in found] == ["Hello  there.", "New line\there.", "And more"]
    assert raw_text(found) == "Hello  there. New line\there. And more"


def test_features_stand_in_the_order_of_ud(tmp_path: Path) -> None:
    given = ("Number=Sing|NumType=Card", "Number=Plur|Number[psor]=Sing|PronType=Int,Rel")
    doc = Doc(VOCAB, words=["a", "b"], morphs=list(given))
    (found,) = read_docbin(write(tmp_path / "a.spacy", doc))
    assert found.layers["feats"] == given
