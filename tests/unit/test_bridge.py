"""What a document says on spaCy's documents, new ones and those with more tokens than words."""

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin

from hiermtl.document import Document
from hiermtl.document.bridge import Related, Role, fill
from hiermtl.text.sentence import (
    Frame,
    Frames,
    Mentions,
    Relation,
    Relations,
    Sentence,
    Span,
    Spans,
    Tree,
)

VOCAB = spacy.blank("en").vocab
WORDS = ("Ada", "Lovelace", "wrote", "letters", ".")
SECOND = ("She", "slept", ".")
LAYERS = {
    "upos": ("PROPN", "PROPN", "VERB", "NOUN", "PUNCT"),
    "feats": ("_", "_", "Tense=Past", "Number=Plur", "_"),
    "lemma": ("Ada", "Lovelace", "write", "letter", "."),
    "chunk": ("B-NP", "I-NP", "B-VP", "B-NP", "O"),
    "mood": ("calm", "calm", "wild", "calm", None),
    "dep": Tree((3, 1, 0, 3, 3), ("nsubj", "flat", "root", "obj", "punct")),
    "edep": Tree((3, 1, 0, 3, 3), ("a", "b", "root", "c", "d")),
    "ner": ("B-PER", "I-PER", "O", "O", "O"),
    "entity": Spans((Span(0, 2, "person"), Span(1, 2, "name"))),
    "srl": Frames((Frame(2, "write.01", (Span(0, 2, "ARG0"), Span(3, 4, "ARG1"))),)),
    "relation": Relations((Relation((0, 2), (3, 4), "writes"),)),
    "coref": Mentions((Span(0, 2, "0"), Span(3, 4, "1"))),
}
MORE = {
    "upos": ("PRON", "VERB", "PUNCT"),
    "feats": ("_", "Tense=Past", "_"),
    "lemma": ("she", "sleep", "."),
    "chunk": ("B-NP", "B-VP", "O"),
    "mood": ("calm", "calm", None),
    "dep": Tree((2, 0, 2), ("nsubj", "root", "punct")),
    "edep": Tree((2, 0, 2), ("a", "root", "d")),
    "ner": ("O", "O", "O"),
    "entity": Spans((Span(0, 1, "person"),)),
    "srl": Frames(()),
    "relation": Relations(()),
    "coref": Mentions((Span(0, 1, "0"),)),
}
SPACED = ["\n", "Ada", " ", "Lovelace", "wrote", "letters", ".", "  ", "She", "slept", ".", "\n"]
PLACES = [1, 3, 4, 5, 6, 8, 9, 10]


@pytest.fixture
def document() -> Document:
    sentences = [Sentence(WORDS), Sentence(SECOND)]
    return Document(sentences, [LAYERS, MORE], labels={"topic": "letters", "length": 2.5})


def spaced() -> Doc:
    return Doc(VOCAB, words=SPACED, spaces=[False] * len(SPACED))


def test_every_level_is_there_by_native_fields_or_by_the_extension(document: Document) -> None:
    doc = document.to_spacy()
    assert [t.pos_ for t in doc] == list(document.tags("upos"))
    assert [str(t.morph) for t in doc][2:4] == ["Tense=Past", "Number=Plur"]
    assert [t.lemma_ for t in doc] == list(document.tags("lemma"))
    assert [(s.start, s.end, s.label_) for s in doc.spans["entity"]] == [
        (0, 2, "person"),
        (1, 2, "name"),
        (5, 6, "person"),
    ]
    found = doc._.hiermtl
    (role,) = found["srl"]
    assert isinstance(role, Role)
    assert (role.predicate.i, role.sense) == (2, "write.01")
    assert [(a.text, a.label_) for a in role.arguments] == [
        ("Ada Lovelace", "ARG0"),
        ("letters", "ARG1"),
    ]
    (relation,) = found["relation"]
    assert isinstance(relation, Related)
    assert (relation.head.text, relation.label, relation.tail.text) == (
        "Ada Lovelace",
        "writes",
        "letters",
    )
    assert [[s.text for s in chain] for chain in found["coref"]] == [
        ["Ada Lovelace", "She"],
        ["letters"],
    ]
    assert found["mood"] == list(document.tags("mood"))
    assert [(head.i, name) for head, name in found["edep"]][:3] == [(2, "a"), (0, "b"), (2, "root")]
    assert (found["topic"], found["length"]) == ("letters", 2.5)
    assert doc.cats == {"letters": 1.0}
    native = {"upos", "feats", "lemma", "dep", "ner", "entity", "chunk"}
    assert set(found) | native == set(document.levels)


def test_what_has_no_field_is_plain_data_as_in_to_dict(document: Document) -> None:
    doc, data = document.to_spacy(), document.to_dict()
    assert doc.user_data["hiermtl.srl"] == data["roles"]["srl"]
    assert doc.user_data["hiermtl.relation"] == data["relations"]["relation"]


def test_places_are_those_of_tokens_where_white_space_is_one(document: Document) -> None:
    doc, plain = spaced(), document.to_spacy()
    fill(doc, document, PLACES)
    for field in ("pos_", "lemma_", "morph", "dep_"):
        expected = [str(getattr(token, field)) for token in plain]
        assert [str(getattr(doc[place], field)) for place in PLACES] == expected
    assert [doc[place].head.i for place in PLACES] == [PLACES[t.head.i] for t in plain]
    assert [e.text for e in doc.ents] == ["Ada Lovelace"]
    assert [(e.start, e.end) for e in doc.ents] == [(1, 4)]
    assert [s.text for s in doc.spans["chunk"]][:3] == ["Ada Lovelace", "wrote", "letters"]
    found = doc._.hiermtl
    (role,) = found["srl"]
    assert role.predicate.text == "wrote"
    assert [(a.start, a.end, a.label_) for a in role.arguments] == [(1, 4, "ARG0"), (5, 6, "ARG1")]
    assert [(r.head.start, r.head.end, r.tail.text) for r in found["relation"]] == [
        (1, 4, "letters")
    ]
    assert found["mood"][0] is None
    assert [found["mood"][place] for place in PLACES] == list(document.tags("mood"))
    assert [found["edep"][place][0].i for place in PLACES] == [PLACES[t.head.i] for t in plain]
    assert [len(sentence) for sentence in doc.sents] == [8, 4]


def test_places_that_are_not_counted_in_tokens_would_show(document: Document) -> None:
    """The negative control of the test above: words taken for tokens."""
    doc = spaced()
    fill(doc, document, range(len(document)))
    assert [e.text for e in doc.ents] != ["Ada Lovelace"]


def test_white_space_is_marked_as_spacy_marks_it(document: Document) -> None:
    doc = spaced()
    fill(doc, document, PLACES)
    blank = [token for token in doc if token.is_space]
    assert {(token.pos_, token.dep_) for token in blank} == {("SPACE", "dep")}
    assert [token.head.text for token in blank] == ["Ada", "Ada", ".", "."]
    assert [token.lemma_ for token in blank] == [token.text for token in blank]


def test_it_goes_through_a_docbin_with_its_upper_levels(document: Document) -> None:
    doc = spaced()
    fill(doc, document, PLACES)
    data = DocBin(docs=[doc], store_user_data=True).to_bytes()
    (again,) = DocBin().from_bytes(data).get_docs(spacy.blank("en").vocab)
    before, after = doc._.hiermtl, again._.hiermtl
    assert before.keys() == after.keys()
    plain = ("mood", "topic", "length")
    assert [after[task] for task in plain] == [before[task] for task in plain]
    assert after["srl"][0].arguments[0].text == "Ada Lovelace"
    assert [[s.text for s in c] for c in after["coref"]] == [["Ada Lovelace", "She"], ["letters"]]
    assert again.cats == {"letters": 1.0}


def test_marks_of_sentences_are_exact_whatever_crosses() -> None:
    """Arcs that cross so often that spaCy's own search for the edges gives up."""
    draw = np.random.default_rng(0)
    trees = []
    for _ in range(3):
        order = draw.permutation(40)
        heads = np.zeros(40, dtype=int)
        heads[order[1:]] = order[:-1] + 1  # a path that jumps to and fro
        trees.append(Tree(tuple(heads.tolist()), ("x",) * 40))
    sentences = [Sentence(("a",) * 40)] * 3
    doc = Document(sentences, [{"dep": tree} for tree in trees]).to_spacy()
    assert [len(sentence) for sentence in doc.sents] == [40, 40, 40]
    assert [t.head.i - 40 if t.head != t else -1 for t in doc[40:80]] == [
        head - 1 for head in trees[1].heads
    ]


def test_filled_again_nothing_of_before_is_left(document: Document) -> None:
    doc = spaced()
    fill(doc, document, PLACES)
    bare = {**LAYERS, "coref": Mentions(()), "ner": ("O",) * 5}
    layers = [bare, {**MORE, "coref": Mentions(())}]
    fill(doc, Document(document.source, layers), PLACES)
    assert doc.ents == ()
    assert doc._.hiermtl["coref"] == []
    kept = spaced()
    fill(kept, document, PLACES)
    fill(kept, Document(document.source, layers), PLACES, overwrite=False)
    assert [e.text for e in kept.ents] == ["Ada Lovelace"]
    assert len(kept._.hiermtl["coref"]) == 2


def test_sentences_without_words_are_none() -> None:
    empty, tree = Sentence(()), Tree((0,), ("root",))
    layers = [{"dep": Tree((), ())}, {"dep": tree}, {"dep": Tree((), ())}, {"dep": tree}]
    doc = Document([empty, Sentence(("a",)), empty, Sentence(("b",))], layers).to_spacy()
    assert [sentence.text.strip() for sentence in doc.sents] == ["a", "b"]
    assert [token.dep_ for token in doc] == ["ROOT", "ROOT"]


def test_of_entities_that_nest_the_longest_are_spacys_and_all_are_a_group() -> None:
    nested = Spans((Span(0, 2, "person"), Span(1, 2, "name"), Span(3, 4, "thing")))
    doc = Document([Sentence(WORDS)], [{"ner": nested}]).to_spacy()
    assert [(e.start, e.end, e.label_) for e in doc.ents] == [(0, 2, "person"), (3, 4, "thing")]
    assert [(s.start, s.end) for s in doc.spans["ner"]] == [(0, 2), (1, 2), (3, 4)]
    assert "ner" not in Document([Sentence(WORDS)], [{"ner": LAYERS["ner"]}]).to_spacy().spans


def test_tags_that_may_be_spans_or_not_are_found_as_both() -> None:
    doc = Document([Sentence(WORDS)], [{"mark": ("O",) * 5}]).to_spacy()
    assert (list(doc.spans["mark"]), list(doc._.hiermtl["mark"])) == ([], ["O"] * 5)


def test_tags_that_a_document_does_not_read_as_spans_stay_tags() -> None:
    """Bare letters have no type; they were never spans of a document."""
    bare = {"mark": ("B", "I", "O", "B", "O"), "typed": ("B-X", "I-X", "O", "B-X", "O")}
    doc = Document([Sentence(WORDS)], [bare]).to_spacy()
    assert list(doc._.hiermtl["mark"]) == list(bare["mark"])
    assert list(doc.spans) == ["typed"]


def test_features_and_parts_of_speech_that_spacy_cannot_hold_are_kept_beside_it() -> None:
    given = {"feats": ("m|sg", "Case=Nom", "_"), "upos": ("NOUN", "FOO", "PUNCT")}
    doc = Document([Sentence(("a", "b", "c"))], [given]).to_spacy()
    assert [str(token.morph) for token in doc] == ["", "Case=Nom", ""]
    assert [token.pos_ for token in doc] == ["NOUN", "", "PUNCT"]
    kept = {name: list(tags) for name, tags in given.items()}
    assert doc._.hiermtl == kept
    packed = DocBin(docs=[doc], store_user_data=True)
    (again,) = packed.get_docs(VOCAB)
    assert again._.hiermtl == kept
    fine = {"feats": ("Case=Nom", "_", "_"), "upos": ("NOUN", "X", "PUNCT")}
    fill(doc, Document([Sentence(("a", "b", "c"))], [fine]), range(3))
    assert doc._.hiermtl == {}  # filled again, nothing of before is left
    plain = {"feats": ("Case=Nom", "_", None), "upos": ("NOUN", "X", None)}
    assert Document([Sentence(("a", "b", "c"))], [plain]).to_spacy()._.hiermtl == {}
