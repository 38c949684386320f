"""The spaCy component: a model's levels on spaCy's documents, whatever pipeline made them."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import spacy
import torch
from spacy import displacy
from spacy.language import Language
from spacy.pipeline import EntityRuler
from spacy.tokens import Doc, DocBin

from hiermtl.annotation import Annotator
from hiermtl.annotation.segmenting import segment_texts
from hiermtl.component import HierarchicalPipe
from hiermtl.config import HierarchicalConfig
from hiermtl.encoders.bilstm import BiLstmEncoder
from hiermtl.errors import ModelError
from hiermtl.model import HierarchicalModel
from hiermtl.text.docbin import read_docbin
from hiermtl.text.plain import from_words
from hiermtl.tokens import WordTokenizer
from tests.unit.annotation.conftest import TASKS, make_bert, spread

ROOT = Path(__file__).parents[2]
TEXTS = [
    "Ada wrote to Charles. It rained in London!",
    "",
    "One line\n\nAnother  line, with two spaces.\n",
    " \n ",
    " begins blank",
    "a",
    "word " * 60 + ".",
]


@pytest.fixture(scope="module")
def annotator() -> Annotator:
    """A BERT with random weights."""
    torch.manual_seed(0)
    return Annotator(*make_bert())


@pytest.fixture(scope="module")
def folder(annotator: Annotator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("component") / "model"
    annotator.save_pretrained(target)
    return target


@pytest.fixture(scope="module")
def segmenting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that finds sentences by itself, here and there."""
    torch.manual_seed(1)
    encoder = BiLstmEncoder(
        layers=3, hidden=8, word_width=8, ngram_width=8, vocabulary=0, buckets=97
    )
    segment = {"depth": 1, "head": "tagging", "labels": ["B", "S"]}
    config = HierarchicalConfig(encoder.config(), {"segment": segment, **TASKS}, language="en")
    model = spread(HierarchicalModel(config, encoder))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.startswith("heads.segment") and weight.ndim == 1:
                weight.zero_()
            elif "blocks" in name:
                weight.mul_(4)
    target = tmp_path_factory.mktemp("component") / "segmenting"
    Annotator(model, WordTokenizer((), 97, sizes=[2, 3])).save_pretrained(target)
    return target


def pipeline(model: Path | None, language: str = "en", **config: object) -> Language:
    nlp = spacy.blank(language)
    nlp.add_pipe("hiermtl", config={"model": model and str(model), **config})
    return nlp


def part(nlp: Language) -> HierarchicalPipe:
    return cast("HierarchicalPipe", nlp.get_pipe("hiermtl"))


def said(doc: Doc) -> list[tuple[object, ...]]:
    """All that the component puts on tokens, and the document's entities."""
    tokens = [
        (t.text, t.pos_, t.tag_, t.lemma_, str(t.morph), t.dep_, t.head.i, t.is_sent_start)
        for t in doc
    ]
    return [*tokens, *((e.start, e.end, e.label_) for e in doc.ents)]


def words_of(doc: Doc) -> list[int]:
    return [token.i for token in doc if not token.is_space]


@pytest.mark.parametrize("language", ["en", "sv", "zh", "xx"])
def test_a_text_gets_what_the_annotator_says_of_its_words(
    annotator: Annotator, folder: Path, language: str
) -> None:
    texts = [*TEXTS, "Det regnade i Lund. Hon skrev.", "她写信。下雨了。"]
    nlp = pipeline(folder, language)
    for text, doc in zip(texts, nlp.pipe(texts), strict=True):
        assert doc.text == text
        places = words_of(doc)
        marks = [sentence.start for sentence in doc.sents]
        given = [
            [doc[i].text for i in places if a <= i < b]
            for a, b in zip(marks, [*marks[1:], len(doc)], strict=False)
        ]
        expected = annotator([from_words(words) for words in given if words])
        assert tuple(doc[i].pos_ for i in places) == expected.tags("upos")
        heads = [
            i if h < 0 else places[h] for i, h in zip(places, expected.tree.heads, strict=True)
        ]
        assert [doc[i].head.i for i in places] == heads
        relations = ["ROOT" if r == "root" else r for r in expected.tree.relations]
        assert [doc[i].dep_ for i in places] == relations
        entities = [(places[s.start], places[s.end - 1] + 1, s.label) for s in expected.entities]
        assert [(e.start, e.end, e.label_) for e in doc.ents] == entities


def test_an_english_text_is_annotated_as_by_the_annotator(
    annotator: Annotator, folder: Path
) -> None:
    """The same tokenizer, the same rules for sentences, and so the same words."""
    nlp = pipeline(folder)
    for text in TEXTS:
        doc, expected = nlp(text), annotator(text)
        places = words_of(doc)
        assert tuple(doc[i].text for i in places) == expected.words
        assert tuple(doc[i].pos_ for i in places) == expected.tags("upos")
        found = [[t.text for t in s if not t.is_space] for s in doc.sents]
        assert [words for words in found if words] == [list(s.words) for s in expected.sentences]


def test_the_pipe_gives_what_calls_give_in_their_order(folder: Path) -> None:
    nlp = pipeline(folder)
    single = [said(nlp(text)) for text in TEXTS]
    assert any(len(set(tokens)) > 1 for tokens in single)
    for size in (1, 3, 100):
        assert [said(doc) for doc in nlp.pipe(TEXTS, batch_size=size)] == single
    pairs = list(nlp.pipe(((text, at) for at, text in enumerate(TEXTS)), as_tuples=True))
    assert [(said(doc), at) for doc, at in pairs] == [(own, at) for at, own in enumerate(single)]
    streamed = part(nlp).pipe(nlp.make_doc(text) for text in TEXTS)
    assert [said(doc) for doc in streamed] == single


def test_the_pipe_reads_no_further_than_a_batch(folder: Path) -> None:
    nlp, read = pipeline(folder), 0

    def stream() -> Iterator[Doc]:
        nonlocal read
        while True:
            read += 1
            yield nlp.make_doc("a b")

    found = part(nlp).pipe(stream(), batch_size=3)
    for _ in range(4):
        next(found)
    assert read == 6


def test_documents_are_changed_in_place_and_by_one_pass_for_all_tasks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp = pipeline(folder)
    model, passes = part(nlp).annotator.model, []
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda *a, **k: passes.append(1) or forward(*a, **k))
    docs = [nlp.make_doc(text) for text in ("a b.", "c d e.")]
    found = list(part(nlp).pipe(docs))
    assert [id(doc) for doc in found] == [id(doc) for doc in docs]
    assert len(passes) == 1


def test_tasks_may_be_chosen(folder: Path) -> None:
    doc = pipeline(folder, tasks=["upos"])("Ada wrote.")
    assert doc.has_annotation("POS")
    assert not doc.has_annotation("DEP")
    assert not doc.has_annotation("ENT_IOB")


def test_tokens_of_white_space_are_not_seen_and_hang_on_the_word_before(folder: Path) -> None:
    nlp = pipeline(folder)
    spaced, plain = nlp(" \n Ada   wrote.  "), nlp("Ada wrote.")
    places = words_of(spaced)
    assert [spaced[i].text for i in places] == ["Ada", "wrote", "."]
    assert [spaced[i].pos_ for i in places] == [t.pos_ for t in plain]
    assert [spaced[i].dep_ for i in places] == [t.dep_ for t in plain]
    assert [spaced[i].head.text for i in places] == [t.head.text for t in plain]
    blank = [token for token in spaced if token.is_space]
    assert len(blank) == 3
    assert {(token.pos_, token.dep_) for token in blank} == {("SPACE", "dep")}
    assert [token.head.text for token in blank] == ["Ada", "Ada", "."]
    assert len(list(spaced.sents)) == 1


def test_a_text_of_white_space_alone_is_one_blank_sentence(folder: Path) -> None:
    doc = pipeline(folder)(" \n ")
    assert [(t.pos_, t.dep_, t.head.i) for t in doc] == [("SPACE", "ROOT", 0)]
    assert len(pipeline(folder)("")) == 0


def test_sentences_that_are_marked_stay(annotator: Annotator, folder: Path) -> None:
    nlp = pipeline(folder)
    words = ["a", "b.", "\n", " ", "c", "d", "."]
    marks = [True, False, True, False, True, True, False]
    doc = part(nlp)(Doc(nlp.vocab, words=words, spaces=[False] * 7, sent_starts=marks))
    assert [token.is_sent_start for token in doc] == marks
    assert [len(sentence) for sentence in doc.sents] == [2, 2, 1, 2]
    assert [(t.head.i, t.dep_) for t in doc[2:4]] == [(2, "ROOT"), (2, "dep")]
    expected = annotator([from_words(own) for own in (["a", "b."], ["c"], ["d", "."])])
    assert tuple(doc[i].pos_ for i in (0, 1, 4, 5, 6)) == expected.tags("upos")


def test_a_blank_line_ends_a_sentence(folder: Path) -> None:
    doc = pipeline(folder, tasks=[])("No stop\n \n here.  Two\nlines")
    assert [s.text for s in doc.sents] == ["No stop\n \n ", "here.  ", "Two\nlines"]


def test_a_model_that_segments_marks_the_sentences(segmenting: Path) -> None:
    nlp = pipeline(segmenting)
    text = " the dog barks at the cat and it isn't here or there\n\nAda wrote 1843 letters "
    doc, own = nlp(text), part(nlp).annotator
    (expected,) = segment_texts(own, [text], tokens_per_batch=64, window=8)
    starts, at = [], 0
    for sentence in expected:
        starts.append(text.index(cast("str", sentence.text), at))
        at = starts[-1] + len(cast("str", sentence.text))
    assert len(starts) > 2
    begins = [token.idx for token in doc]
    tokens = {min((b for b in begins if b >= s), default=None) for s in starts}
    found = {sentence.start_char for sentence in doc.sents}
    assert found - {0} == tokens - {None, begins[1]}
    by_rules = pipeline(segmenting)
    by_rules.add_pipe("sentencizer", first=True)
    assert {sentence.start_char for sentence in by_rules(text).sents} != found


def test_values_that_are_there_are_replaced_unless_they_are_to_stay(folder: Path) -> None:
    plain = pipeline(folder)("Ada wrote to Babbage .")

    def given(nlp: Language) -> Doc:
        return Doc(
            nlp.vocab,
            words=["Ada", "wrote", "to", "Babbage", "."],
            pos=["INTJ", "", "", "", ""],
            ents=["B-MINE", "I-MINE", "O", "O", "O"],
        )

    nlp = pipeline(folder)
    assert said(part(nlp)(given(nlp))) == said(plain)
    nlp = pipeline(folder, overwrite=False)
    doc = part(nlp)(given(nlp))
    assert [t.pos_ for t in doc] == ["INTJ", *(t.pos_ for t in plain[1:])]
    free = [(e.start, e.end, e.label_) for e in plain.ents if e.start > 1]
    assert free
    assert [(e.start, e.end, e.label_) for e in doc.ents] == [(0, 2, "MINE"), *free]
    again = Doc(nlp.vocab, words=["a", "b"], heads=[0, 0], deps=["ROOT", "mine"])
    assert [t.dep_ for t in part(nlp)(again)] == ["ROOT", "mine"]


def test_entities_of_rules_before_it_stay_when_asked(folder: Path) -> None:
    nlp = pipeline(folder, overwrite=False)
    ruler = cast("EntityRuler", nlp.add_pipe("entity_ruler", before="hiermtl"))
    ruler.add_patterns([{"label": "PROGRAMMER", "pattern": "Ada"}])
    assert "PROGRAMMER" in {entity.label_ for entity in nlp("Then Ada wrote.").ents}


def test_a_pipeline_goes_to_disk_with_its_model_and_back(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    Annotator(*make_bert()).save_pretrained(own)
    nlp = pipeline(own, tasks=["upos", "dep"], overwrite=False)
    before = [said(doc) for doc in nlp.pipe(TEXTS)]
    nlp.to_disk(tmp_path / "pipeline")
    own.rename(tmp_path / "gone")
    again = spacy.load(tmp_path / "pipeline")
    assert [said(doc) for doc in again.pipe(TEXTS)] == before
    assert (part(again).tasks, part(again).overwrite) == (("upos", "dep"), False)
    again.to_disk(tmp_path / "pipeline")
    assert said(spacy.load(tmp_path / "pipeline")(TEXTS[0])) == before[0]


def test_a_pipeline_goes_to_bytes_and_back(folder: Path, tmp_path: Path) -> None:
    nlp = pipeline(folder)
    data = nlp.to_bytes()
    again = pipeline(None).from_bytes(data)
    assert said(again(TEXTS[0])) == said(nlp(TEXTS[0]))
    assert not any(
        protocol in part(nlp).to_bytes()[:200] for protocol in (b"\x80\x04", b"\x80\x05")
    )


@pytest.mark.parametrize("name", ["../config.json", "/config.json", "C:\\config.json", ""])
def test_bytes_that_name_other_places_are_refused(name: str, folder: Path) -> None:
    import srsly

    component = HierarchicalPipe(model=folder)
    for data in (srsly.msgpack_dumps({name: b"x"}), srsly.msgpack_dumps([1]), b"\xc1", b""):
        with pytest.raises(ModelError, match="no model; pass what to_bytes of this component"):
            component.from_bytes(data)


def test_documents_go_through_a_docbin(folder: Path, tmp_path: Path) -> None:
    nlp = pipeline(folder)
    docs = list(nlp.pipe(TEXTS))
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "a.spacy")
    again = list(DocBin().from_disk(tmp_path / "a.spacy").get_docs(nlp.vocab))
    assert [said(doc) for doc in again] == [said(doc) for doc in docs]
    sentences = list(read_docbin(tmp_path / "a.spacy"))
    words = [token.text for doc in docs for token in doc if not token.is_space]
    assert [word for sentence in sentences for word in sentence.words] == words


def test_displacy_draws_trees_entities_and_spans(folder: Path) -> None:
    doc = pipeline(folder)("Ada wrote to Charles Babbage . " * 3)
    tree = displacy.render(doc, style="dep", jupyter=False)
    assert tree.count("displacy-arrow") > len(doc)
    assert all(t.dep_ in tree for t in doc if t.dep_ != "ROOT")
    entities = displacy.render(doc, style="ent", jupyter=False)
    labels = {entity.label_ for entity in doc.ents}
    assert labels
    assert all(label in entities for label in labels)
    doc.spans["sc"] = list(doc.ents)
    spans = displacy.render(doc, style="span", jupyter=False)
    assert all(label in spans for label in labels)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model": "runs/nowhere"}, "there is no model 'runs/nowhere'; looked for a folder"),
        (
            {"model": None},
            r"'hiermtl' has no model; add it with config=\{\"model\": \"runs/ewt\"\}",
        ),
        ({"tasks": ["upso"]}, "no task 'upso'; it has upos, ner and dep; did you mean 'upos'"),
        ({"precision": "fp8"}, "precision 'fp8'; allowed are fp32 and bf16"),
        ({"tokens_per_batch": 0}, "tokens_per_batch is 0; allowed is 1 or more"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_remedy(
    folder: Path, config: dict[str, object], message: str
) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("hiermtl", config={"model": str(folder), **config})
    with pytest.raises(ModelError, match=message):
        nlp("a")


def test_errors_can_be_handled_as_those_of_other_components(folder: Path) -> None:
    nlp = pipeline(None)
    seen: list[str] = []
    nlp.set_error_handler(lambda name, proc, docs, error: seen.append(str(error)))
    assert list(nlp.pipe(["a", "b"])) == []
    assert "has no model" in seen[0]
    nlp("a")
    assert len(seen) == 2


def test_the_factory_is_found_by_its_entry_point(tmp_path: Path) -> None:
    """As installed: nothing but the metadata names the module."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (entry,) = project["entry-points"]["spacy_factories"].items()
    assert entry == ("hiermtl", "hiermtl.component:make_component")
    info = tmp_path / "hiermtl-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hiermtl\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[spacy_factories]\n{} = {}\n".format(*entry))
    code = (
        "import sys, spacy\n"
        "nlp = spacy.blank('en')\n"
        "nlp.add_pipe('hiermtl', config={'model': 'runs/ewt'})\n"
        "assert 'hiermtl.model' not in sys.modules, 'a model before it is needed'\n"
        "print(type(nlp.get_pipe('hiermtl')).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "HierarchicalPipe"


@pytest.mark.slow
def test_processes_that_spacy_forks_do_not_wait_for_ever(folder: Path, tmp_path: Path) -> None:
    """With more threads than one, which this process has computed with before."""
    code = (
        "import sys, spacy, torch, hiermtl.component\n"
        "torch.set_num_threads(2)\n"
        "nlp = spacy.blank('en')\n"
        "nlp.add_pipe('hiermtl', config={'model': sys.argv[1]})\n"
        "texts = ['Ada wrote to Babbage. ' * 5] * 8\n"
        "one = [doc.to_json() for doc in nlp.pipe(texts)]\n"
        "assert one == [d.to_json() for d in nlp.pipe(texts, n_process=2, batch_size=2)]\n"
    )
    (tmp_path / "run.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "run.py"), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr
