"""The upper levels of the sample corpora: what is written is what the derivations know."""

import io
import warnings
from collections import defaultdict
from pathlib import Path

import pytest
from udtools import incident
from udtools.validator import Validator

from hiermtl.sample.derivation import TYPES, Derivation
from hiermtl.sample.write import SampleCorpus, conllu, relation_lines, sentence_id
from hiermtl.text.conllu import parse_conllu
from hiermtl.text.conllu_write import Written, render_conllu
from hiermtl.text.relations import read_crossre
from hiermtl.text.sentence import Frame, Frames, Mentions, Relations, Sentence, Span, Spans


@pytest.fixture(scope="module")
def text(corpus: SampleCorpus) -> str:
    return conllu(corpus.train)


@pytest.fixture(scope="module")
def read(text: str) -> list[Sentence]:
    return list(parse_conllu(io.BytesIO(text.encode()), "train.conllu"))


@pytest.fixture(scope="module")
def derived(corpus: SampleCorpus) -> list[Derivation]:
    return [sentence for document in corpus.train for sentence in document.sentences]


def test_entities_are_the_noun_phrases(read: list[Sentence], derived: list[Derivation]) -> None:
    labels = set()
    for found, sentence in zip(read, derived, strict=True):
        spans = tuple(Span(p.start, p.end, p.label) for p in sentence.noun_phrases)
        assert found.layers["entity"] == Spans(spans)
        labels |= {span.label for span in spans}
    assert labels == set(TYPES.values())


def test_groups_are_the_clusters(corpus: SampleCorpus, read: list[Sentence]) -> None:
    place, seen = 0, set[str]()
    for document in corpus.train:
        groups = defaultdict[str, list[tuple[int, int, int]]](list)
        for number in range(len(document.sentences)):
            coref = read[place].layers["coref"]
            assert isinstance(coref, Mentions)
            for span in coref.mentions:
                groups[span.label].append((number, span.start, span.end))
            place += 1
        clusters = [tuple(group) for group in groups.values() if len(group) > 1]
        assert sorted(clusters) == sorted(document.clusters)
        # Ids are of a file, as CorefUD has them.
        assert not seen & groups.keys()
        seen |= groups.keys()


def test_roles_are_the_frames(read: list[Sentence], derived: list[Derivation]) -> None:
    for found, sentence in zip(read, derived, strict=True):
        frames = tuple(
            Frame(f.predicate, f.sense, tuple(Span(a.start, a.end, a.role) for a in f.arguments))
            for f in sentence.roles
        )
        assert found.layers["srl"] == Frames(frames)


def test_relations_are_those_of_the_derivations(corpus: SampleCorpus, tmp_path: Path) -> None:
    path = tmp_path / "train.relations.jsonl"
    path.write_text(relation_lines(corpus.train), encoding="utf-8")
    found = iter(read_crossre(path))
    count = 0
    for document in corpus.train:
        for number, derivation in enumerate(document.sentences):
            sentence = next(found)
            assert sentence.sent_id == sentence_id(document, number)
            assert sentence.words == derivation.words
            entity, relation = sentence.layers["entity"], sentence.layers["relation"]
            assert isinstance(entity, Spans)
            assert isinstance(relation, Relations)
            assert {(s.start, s.end, s.label) for s in entity.spans} == {
                (p.start, p.end, p.label) for p in derivation.noun_phrases
            }
            assert [(r.head, r.tail, r.label) for r in relation.relations] == [
                (r.head, r.tail, r.label) for r in derivation.relations
            ]
            count += len(relation.relations)
    assert next(found, None) is None
    assert count > 100


def test_noun_phrases_nest_and_never_cross(sentences: list[Derivation]) -> None:
    nested = 0
    for sentence in sentences:
        spans = [(p.start, p.end) for p in sentence.noun_phrases]
        assert len(set(spans)) == len(spans)
        for phrase, (a, b) in zip(sentence.noun_phrases, spans, strict=True):
            assert a <= phrase.head < b
            assert not any(a < c < b < d for c, d in spans)
            nested += any(c <= a < b <= d for c, d in spans if (c, d) != (a, b))
    assert nested > 500


def test_phrases_cover_the_names_they_hold(sentences: list[Derivation]) -> None:
    """Of `Mirtex and Trurski`, a name, no mention is `Mirtex` alone."""
    for sentence in sentences:
        phrases = {(p.start, p.end) for p in sentence.noun_phrases if p.source == "NAM"}
        for entity in sentence.entities:
            assert any(a <= entity.start and entity.end <= b for a, b in phrases), sentence.text


def test_the_files_have_the_form_that_is_written(text: str, read: list[Sentence]) -> None:
    blocks, written = [], Written()
    for place, sentence in enumerate(read):
        if not place or sentence.doc_id != read[place - 1].doc_id:
            written = Written()
        own = {name: sentence.layers[name] for name in ("entity", "coref", "srl")}
        blocks.append(render_conllu(sentence, own, written=written))
    assert "".join(blocks) == text


def test_corefud_finds_nothing_wrong(corpus: SampleCorpus) -> None:
    gapped = next(d for d in corpus.train if any(s.empty_nodes for s in d.sentences))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        validator = Validator(lang="en", level=2, check_coref=True, output=None)
        state = validator.validate_file_handle(io.StringIO(conllu([*corpus.test, gapped])))
    assert not [
        str(error) for error in state.error_tracker if error.testclass == incident.TestClass.COREF
    ]
