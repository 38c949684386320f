"""The document: levels, spans, trees, and the formats it goes to."""

import copy
import io
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
import spacy

from hiermtl.document import Arcs, Document, Span, conllu_columns
from hiermtl.errors import DataError, ModelError
from hiermtl.text.annotated import read_annotated
from hiermtl.text.conllu import parse_conllu
from hiermtl.text.plain import from_words, split_text
from hiermtl.text.sentence import (
    Frame,
    Frames,
    Mentions,
    Passage,
    Relation,
    Relations,
    Sentence,
    Spans,
    Tree,
)
from hiermtl.text.sentence import Span as TextSpan

TEXT = "Ada Lovelace wrote to Babbage.  He read it!"
FIRST = {
    "upos": ("PROPN", "PROPN", "VERB", "ADP", "PROPN", "PUNCT"),
    "ner": ("B-PER", "I-PER", "O", "O", "B-PER", "O"),
    "dep": Tree((3, 1, 0, 5, 3, 3), ("nsubj", "flat", "root", "case", "obl", "punct")),
}
SECOND = {
    "upos": ("PRON", "VERB", "PRON", "PUNCT"),
    "ner": ("I-PER", "O", "O", "O"),
    "dep": Tree((2, 0, 2, 2), ("nsubj", "root", "obj", "punct")),
}


@pytest.fixture
def doc() -> Document:
    sentences = split_text(TEXT, "en")
    known = ("upos", "xpos", "ner", "dep")
    return Document(sentences, [FIRST, SECOND], known=known, text=TEXT, language="en")


def test_words_and_text_are_those_given(doc: Document):
    assert doc.text == TEXT
    assert doc.words == ("Ada", "Lovelace", "wrote", "to", "Babbage", ".", "He", "read", "it", "!")
    assert len(doc) == 10
    assert [TEXT[a:b] for a, b in doc.offsets] == list(doc.words)


def test_text_is_made_of_words_where_none_was_given():
    made = Document([from_words(["a", "b"]), from_words(["c"])], [{}, {}])
    assert made.text == "a b c"
    spaced = Sentence(("do", "n't", "!"), space_after=(False, True, False))
    assert Document([spaced, Sentence(("x",), text="[x]")], [{}, {}]).text == "don't ![x]"


def test_tags_run_over_the_whole_document(doc: Document):
    assert doc.tags("upos") == FIRST["upos"] + SECOND["upos"]


def test_entities_are_half_open_spans_and_an_orphan_begins_one(doc: Document):
    assert doc.entities == (Span(0, 2, "PER"), Span(4, 5, "PER"), Span(6, 7, "PER"))
    assert [span.text for span in doc.entities] == ["Ada Lovelace", "Babbage", "He"]


def test_spans_never_cross_sentences():
    layers = [{"chunk": ("B-NP", "I-NP")}, {"chunk": ("I-NP", "O")}]
    found = Document([from_words(["a", "b"]), from_words(["c", "d"])], layers)
    assert found.spans("chunk") == (Span(0, 2, "NP"), Span(2, 3, "NP"))


def test_heads_are_places_in_the_document(doc: Document):
    assert doc.tree == Arcs(
        (2, 0, -1, 4, 2, 2, 7, -1, 7, 7), FIRST["dep"].relations + SECOND["dep"].relations
    )


def test_sentences_know_their_place(doc: Document):
    second = doc.sentences[1]
    assert (second.start, second.end, len(second)) == (6, 10, 4)
    assert second.words == ("He", "read", "it", "!")
    assert second.text == "He read it!"
    assert second.tags("upos") == SECOND["upos"]
    assert second.spans("ner") == (Span(6, 7, "PER"),)
    assert second.layers["dep"] == SECOND["dep"]


@pytest.mark.parametrize(
    ("name", "level"),
    [("roles", "srl"), ("relations", "relation"), ("clusters", "coref")],
)
def test_levels_no_head_predicts_are_absent(doc: Document, name: str, level: str):
    message = rf"no level '{level}.*it has upos, ner and dep.*the model has upos, xpos, ner and dep"
    with pytest.raises(ModelError, match=message):
        getattr(doc, name)


def test_labels_of_the_whole_are_an_error_where_there_are_none(doc: Document) -> None:
    with pytest.raises(ModelError, match=r"no labels of the whole; annotate a text with"):
        _ = doc.labels


def test_a_level_the_model_has_says_how_to_ask_for_it(doc: Document):
    message = r"no level 'xpos'.*annotate with tasks=\['upos', 'ner', 'dep', 'xpos'\]"
    with pytest.raises(ModelError, match=message):
        doc.tags("xpos")


def test_entities_of_a_document_without_them_are_an_error_and_not_empty():
    plain = Document([from_words(["a"])], [{"upos": ("X",)}])
    with pytest.raises(ModelError, match="no level 'ner'; it has upos; annotate with a model that"):
        _ = plain.entities
    with pytest.raises(ModelError, match="did you mean 'upos'"):
        plain.tags("upso")
    with pytest.raises(ModelError, match="no level 'dep'"):
        _ = plain.tree


def test_a_level_read_as_another_kind_says_how_to_read_it(doc: Document):
    with pytest.raises(ModelError, match=r"'dep' is a tree, not tags; read it with arcs\('dep'\)"):
        doc.tags("dep")
    with pytest.raises(ModelError, match=r"'ner' holds tags, not a tree.*tags\('ner'\)"):
        doc.arcs("ner")
    with pytest.raises(ModelError, match=r"'upos' holds no spans: one of its labels is 'PROPN'"):
        doc.spans("upos")


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="level 'upos' has 2 values for 1 words"):
        Document([from_words(["a"])], [{"upos": ("X", "Y")}])
    with pytest.raises(DataError, match="layers of 0 sentences for 1 sentences"):
        Document([from_words(["a"])], [])
    with pytest.raises(DataError, match="lacks the level 'ner'"):
        Document([from_words(["a"])], [{}], levels={"ner": "tags"})


def test_equality_is_of_text_words_and_annotation(doc: Document):
    again = Document(doc.source, doc.layers, text=TEXT)
    assert doc == again
    assert doc != Document(doc.source, [{"upos": FIRST["upos"]}, {"upos": SECOND["upos"]}])
    assert doc != TEXT


def test_plain_data_survives_json(doc: Document):
    data = json.loads(json.dumps(doc.to_dict()))
    assert data["text"] == TEXT
    assert data["sentences"] == [[0, 6], [6, 10]]
    assert data["entities"][0] == {"start": 0, "end": 2, "label": "PER", "text": "Ada Lovelace"}
    assert data["trees"]["dep"]["heads"] == list(doc.tree.heads)
    assert list(data["tags"]) == ["upos", "ner"]
    assert "scores" not in data


def test_scores_run_over_the_document():
    sentences = [from_words(["a"]), from_words(["b", "c"])]
    layers = [{"upos": ("X",), "dep": Tree((0,), ("r",))}] * 1 + [
        {"upos": ("X", "Y"), "dep": Tree((0, 1), ("r", "s"))}
    ]
    scored = Document(sentences, layers, scores=[{"upos": (0.5,)}, {"upos": (0.25, 1.0)}])
    assert scored.scores == {"upos": (0.5, 0.25, 1.0)}
    assert scored.to_dict()["scores"] == {"upos": [0.5, 0.25, 1.0]}


def test_conllu_has_the_levels_it_has_a_place_for():
    made = Document([from_words(["a"])], [{"upos": ("X",), "mood": ("calm",)}])
    assert made.to_conllu() == "1\ta\t_\tX\t_\t_\t_\t_\t_\t_\n\n"


def test_joined_documents_are_one():
    first = Document([from_words(["a"])], [{"ner": ("B-X",)}])
    second = Document([from_words(["b"])], [{"ner": ("I-X",)}])
    assert Document.join([first, second]).entities == (Span(0, 1, "X"), Span(1, 2, "X"))


def test_spacy_gets_native_fields(doc: Document):
    found = doc.to_spacy()
    assert [t.text for t in found] == list(doc.words)
    assert found.text == "Ada Lovelace wrote to Babbage. He read it!"
    assert [t.pos_ for t in found] == list(doc.tags("upos"))
    assert [t.dep_ for t in found][:3] == ["nsubj", "flat", "ROOT"]
    assert [t.head.i for t in found] == [2, 0, 2, 4, 2, 2, 7, 7, 7, 7]
    assert [e.text for e in found.ents] == ["Ada Lovelace", "Babbage", "He"]
    assert [len(s) for s in found.sents] == [6, 4]


def test_spacy_gets_the_other_levels_too():
    layers = {
        "upos": ("NOUN", "STRANGE"),
        "xpos": ("NN", "NN"),
        "feats": ("Number=Sing", "_"),
        "lemma": ("a", "b"),
        "chunk": ("B-NP", "I-NP"),
        "mood": ("calm", "wild"),
    }
    nlp = spacy.blank("en")
    found = Document([from_words(["as", "bs"])], [layers]).to_spacy(nlp)
    assert found.vocab is nlp.vocab
    assert [(t.pos_, t.tag_, t.lemma_, str(t.morph)) for t in found] == [
        ("NOUN", "NN", "a", "Number=Sing"),
        ("", "NN", "b", ""),
    ]
    assert [(s.start, s.end, s.label_) for s in found.spans["chunk"]] == [(0, 2, "NP")]
    assert "mood" not in found.spans


def test_sentences_without_trees_are_kept_in_spacy():
    made = Document([from_words(["a", "b"]), from_words(["c"])], [{}, {}])
    assert [len(s) for s in made.to_spacy().sents] == [2, 1]
    assert len(Document([], []).to_spacy()) == 0


def test_it_is_shown_as_a_table(doc: Document):
    lines = repr(doc).splitlines()
    assert lines[0] == "Document of 10 words, 2 sentences, levels: upos, ner and dep"
    assert lines[1].split() == ["word", "upos", "ner", "dep", "head", "relation"]
    assert lines[2].split() == ["0", "Ada", "PROPN", "B-PER", "2", "wrote", "nsubj"]
    assert lines[8] == ""
    assert all(line == line.rstrip() for line in lines)


def test_a_long_table_is_cut_and_wide_letters_are_aligned():
    words = ["你好", "a" * 80, "tab\there"] + ["x"] * 60
    lines = repr(Document([from_words(words)], [{"t": ("T",) * 63}])).splitlines()
    assert len(lines) == 43
    assert lines[-1] == "... and 23 more words"
    assert lines[3].startswith(f" 1  {'a' * 23}…  T")
    assert lines[2].index("T") == lines[3].index("T") - 2
    assert "tab\ufffdhere" in lines[4]


def test_a_document_needs_neither_torch_nor_spacy():
    code = (
        "import sys, hiermtl.document; "
        "sys.exit(', '.join({'torch', 'spacy', 'transformers'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_tasks_have_places_in_conllu_by_layer_and_kind() -> None:
    layers = {"roles": "srl", "mention": "mention", "ents": "entity", "flat": "ner", "old": "coref"}
    kinds = {"roles": "frames", "mention": "spans", "ents": "spans", "flat": "tags", "old": "tags"}
    expected = {"roles": "srl", "ents": "entity", "flat": "ner"}
    assert conllu_columns(layers, kinds) == expected
    del layers["ents"]
    assert conllu_columns(layers, kinds) == {"roles": "srl", "mention": "mention", "flat": "ner"}


def test_structures_are_read_as_they_were_written(tmp_path: Path) -> None:
    sentences = [Sentence(("Ada", "met", "Max", ".")), Sentence(("She", "left", "."))]
    layers = [
        {
            "entity": Spans((TextSpan(0, 1, "person"), TextSpan(2, 3, "person"))),
            "coref": Mentions((TextSpan(0, 1, "0"),)),
            "srl": Frames((Frame(1, "meet.02", (TextSpan(0, 1, "ARG0"),)),)),
        },
        {
            "entity": Spans(()),
            "coref": Mentions((TextSpan(0, 1, "0"),)),
            "srl": Frames(()),
        },
    ]
    made = Document(sentences, layers)
    lines = io.BytesIO(made.to_conllu().encode())
    assert [dict(found.layers) for found in parse_conllu(lines, "x")] == layers
    related = Relations((Relation((0, 1), (2, 3), "knows"),))
    told = Mentions((TextSpan(0, 1, "1.0"),))  # of the file's first line
    whole = [
        {**layers[0], "relation": related, "coref": told},
        {**layers[1], "relation": Relations(()), "coref": told},
    ]
    (tmp_path / "a.jsonl").write_text(json.dumps(Document(sentences, whole).to_dict()))
    assert [dict(found.layers) for found in read_annotated(tmp_path / "a.jsonl")] == whole


GERMAN = b"""# text = Er lebt im Haus.
1\tEr\t_\tPRON\t_\t_\t2\tnsubj\t_\t_
2\tlebt\t_\tVERB\t_\t_\t0\troot\t_\t_
3-4\tim\t_\t_\t_\t_\t_\t_\t_\t_
3\tin\t_\tADP\t_\t_\t5\tcase\t_\t_
4\tdem\t_\tDET\t_\t_\t5\tdet\t_\t_
5\tHaus\t_\tNOUN\t_\t_\t2\tobl\t_\tSpaceAfter=No
6\t.\t_\tPUNCT\t_\t_\t2\tpunct\t_\t_

"""


@pytest.mark.parametrize("kept", [True, False])
def test_the_text_of_a_span_writes_multiword_tokens_as_the_text_does(kept: bool) -> None:
    (read,) = parse_conllu(GERMAN.splitlines(keepends=True), "f")
    found = replace(read, lines=None, multiwords=(TextSpan(2, 4, "im"),))
    spans = Spans((TextSpan(2, 5, "whole"), TextSpan(3, 5, "cut"), TextSpan(2, 4, "token")))
    own = Document([read if kept else found], [{"entity": spans}])
    assert [span.text for span in own.spans("entity")] == ["im Haus", "dem Haus", "im"]
    bare = Document([replace(read if kept else found, text=None)], [{}])
    assert bare.text == bare.sentences[0].text == "Er lebt im Haus."


def test_documents_and_sentences_are_copied_and_pickled(doc: Document) -> None:
    (read,) = parse_conllu(GERMAN.splitlines(keepends=True), "f")
    passage = Passage((read, from_words(["a"])), MappingProxyType({"like": 3.5}), pair=True)
    for again in (copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
        assert again(read) == read
        assert again(passage) == passage
        assert again(doc) == doc
        assert again(doc).to_dict() == doc.to_dict()


def test_levels_of_sentences_are_read_in_time_linear_in_the_document() -> None:
    class Counted(dict[str, object]):
        looked = 0

        def __getitem__(self, key: str) -> object:
            Counted.looked += 1
            return super().__getitem__(key)

    count = 30
    layer = {"upos": ("X", "Y"), "ner": ("B-A", "I-A"), "entity": Spans((TextSpan(0, 1, "p"),))}
    made = Document([from_words(["a", "b"])] * count, [layer] * count)
    made.layers = tuple(Counted(layers) for layers in made.layers)
    for number, view in enumerate(made.sentences):
        assert view.tags("upos") == ("X", "Y")
        assert view.spans() == (Span(2 * number, 2 * number + 2, "A"),)
        assert view.spans("entity") == (Span(2 * number, 2 * number + 1, "p"),)
    assert Counted.looked == 3 * count


def test_levels_that_a_sentence_lacks_or_has_otherwise_are_refused(doc: Document) -> None:
    view = doc.sentences[0]
    with pytest.raises(ModelError, match=r"no level 'xpos'"):
        view.tags("xpos")
    with pytest.raises(ModelError, match=r"'dep' is a tree"):
        view.spans("dep")
    with pytest.raises(ModelError, match=r"one of its labels is 'PROPN'"):
        view.spans("upos")
    with pytest.raises(ModelError, match=r"'dep' is a tree"):
        view.tags("dep")
