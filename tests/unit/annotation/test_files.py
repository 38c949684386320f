"""Whole files: read, annotated, written whole or not at all."""

import gzip
import io
import json
import os
import sys
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin

from hiermtl.annotation import Annotator, annotate_files, reading
from hiermtl.annotation.reading import Record, read_records
from hiermtl.annotation.writing import DocBinWriter
from hiermtl.config import HierarchicalConfig
from hiermtl.document import Document
from hiermtl.errors import DataError, RecipeError, RunError
from hiermtl.model import HierarchicalModel
from hiermtl.text.conllu import read_conllu
from hiermtl.text.plain import from_words
from hiermtl.text.sentence import Frame, Frames, Mentions, Relation, Relations, Span

CONLLU = """# newdoc id = n1
# sent_id = s1
# text = vámonos al mar
1-2	vámonos	_	_	_	_	_	_	_	_
1	vamos	ir	VERB	V	_	0	root	0:root	Gloss=go
2	nos	nosotros	PRON	P	_	1	obj	_	_
3-4	al	_	_	_	_	_	_	_	_
3	a	a	ADP	A	_	5	case	_	_
4	el	el	DET	D	_	5	det	_	_
5	mar	mar	NOUN	N	_	1	obl	_	SpaceAfter=No

# sent_id = s2
1	sí	sí	INTJ	I	_	0	root	_	_

"""
TEXT = (
    "A dog barks. It runs!\nAnother one.\n\n\n"
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd.\n😀\n"
)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_becomes_conllu_with_documents(nlp: Annotator, tmp_path: Path):
    source, output = tmp_path / "a.txt", tmp_path / "a.conllu"
    source.write_text(TEXT, encoding="utf-8")
    report = annotate_files(nlp, source, output)
    found = list(read_conllu(output))
    assert [s.doc_id for s in found] == ["doc-1"] * 3 + ["doc-2"] * 2
    assert [s.text for s in found][:3] == ["A dog barks.", "It runs!", "Another one."]
    assert report.sentences == len(found) == 5
    assert report.words == sum(len(s.words) for s in found)
    assert (report.documents, report.files) == (2, 1)
    assert report.seconds > 0
    assert report.words_per_second > 0
    assert set(found[0].layers) >= {"upos", "ner", "dep"}
    assert left(tmp_path) == ["a.conllu", "a.txt"]


def test_conllu_keeps_what_is_not_predicted(nlp: Annotator, tmp_path: Path):
    source, output = tmp_path / "a.conllu", tmp_path / "out.conllu"
    source.write_text(CONLLU, encoding="utf-8")
    report = annotate_files(nlp, source, output, tasks=["ner"])
    assert (report.sentences, report.words, report.documents) == (2, 6, 1)

    def without_misc(text: str) -> list[list[str]]:
        return [line.split("\t")[:9] for line in text.splitlines()]

    assert without_misc(output.read_text(encoding="utf-8")) == without_misc(CONLLU)
    first = next(read_conllu(output))
    assert first.layers["ner"] == nlp(list(first.words)).tags("ner")
    assert "Gloss=go" in output.read_text(encoding="utf-8")


def test_annotating_the_output_again_changes_nothing(nlp: Annotator, tmp_path: Path):
    (tmp_path / "a.txt").write_text(TEXT, encoding="utf-8")
    annotate_files(nlp, tmp_path / "a.txt", tmp_path / "1.conllu")
    annotate_files(nlp, tmp_path / "1.conllu", tmp_path / "2.conllu")
    assert (tmp_path / "1.conllu").read_bytes() == (tmp_path / "2.conllu").read_bytes()


def test_json_lines_keep_their_keys(nlp: Annotator, tmp_path: Path):
    rows = [
        {"id": 7, "text": "A dog. It barks.", "meta": {"k": [1]}},
        {"words": ["x", "y"], "tags": {"own": ["B", "C"], "upos": ["?", "?"]}, "labels": ["new"]},
        {"text": ""},
        {"words": ["z"], "text": "own text"},
        {"words": []},
    ]
    source, output = tmp_path / "a.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n\n".join(map(json.dumps, rows)), encoding="utf-8")
    report = annotate_files(nlp, source, output)
    found = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert len(found) == 5
    assert (report.sentences, report.documents) == (4, 5)
    assert found[0]["id"] == 7
    assert found[0]["meta"] == {"k": [1]}
    assert found[0]["sentences"] == [[0, 3], [3, 6]]
    assert found[1]["tags"] == {"own": ["B", "C"], **nlp(["x", "y"]).to_dict()["tags"]}
    assert found[1]["labels"] == ["new"]
    assert found[2]["words"] == found[2]["tags"]["upos"] == []
    assert found[3]["text"] == "own text"


def test_json_lines_can_be_annotated_level_by_level(nlp: Annotator, tmp_path: Path):
    (tmp_path / "a.txt").write_text("A dog. It barks.\n", encoding="utf-8")
    one, two, both = (tmp_path / f"{name}.jsonl" for name in ("one", "two", "both"))
    first, second = nlp.tasks[0], nlp.tasks[1:]
    annotate_files(nlp, tmp_path / "a.txt", one, tasks=[first])
    annotate_files(nlp, one, two, tasks=second)
    annotate_files(nlp, tmp_path / "a.txt", both)
    assert json.loads(two.read_text()) == json.loads(both.read_text())
    assert json.loads(two.read_text())["sentences"] == [[0, 3], [3, 6]]


def test_scores_of_what_is_predicted_anew_are_not_kept(nlp: Annotator, tmp_path: Path):
    row = {"words": ["x"], "scores": {"upos": [0.1], "own": [0.2]}}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    annotate_files(nlp, tmp_path / "a.jsonl", tmp_path / "o.jsonl", tasks=["upos"])
    assert json.loads((tmp_path / "o.jsonl").read_text())["scores"] == {"own": [0.2]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"id": "n3", "text": "Hi.", "tags": ["news"]},
            r"object n3: its `tags` is \['news'\]; allowed is an",
        ),
        ({"words": ["a", "b"], "sentences": [[0, 1]]}, r"a.jsonl:1: `sentences` is \[\[0, 1\]\];"),
    ],
)
def test_json_lines_that_would_lose_something_are_refused(
    nlp: Annotator, tmp_path: Path, row: dict[str, object], message: str
):
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match=message):
        annotate_files(nlp, tmp_path / "a.jsonl", tmp_path / "o.jsonl")
    assert not (tmp_path / "o.jsonl").exists()


def test_json_lines_become_conllu_documents(nlp: Annotator, tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"id": "x1", "text": "Hi."}\n{"text": "Ho."}\n')
    annotate_files(nlp, tmp_path / "a.jsonl", tmp_path / "o.conllu")
    assert [s.doc_id for s in read_conllu(tmp_path / "o.conllu")] == ["x1", "line-2"]


def test_half_surrogates_in_json_do_no_harm(nlp: Annotator, tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"words": ["a\\ud83d"], "x\\ud83d": 1}\n')
    annotate_files(nlp, tmp_path / "a.jsonl", tmp_path / "o.jsonl")
    (found,) = (tmp_path / "o.jsonl").read_text().splitlines()
    assert json.loads(found)["words"] == ["a\ufffd"]


def test_docbin_holds_a_doc_per_document(nlp: Annotator, tmp_path: Path):
    (tmp_path / "a.conllu").write_text(CONLLU, encoding="utf-8")
    annotate_files(nlp, tmp_path / "a.conllu", tmp_path / "a.spacy")
    blank = spacy.blank("en")
    (doc,) = DocBin().from_disk(tmp_path / "a.spacy").get_docs(blank.vocab)
    assert [t.text for t in doc] == ["vamos", "nos", "a", "el", "mar", "sí"]
    assert len(list(doc.sents)) == 2
    expected = [nlp(words).tags("upos") for words in (["vamos", "nos", "a", "el", "mar"], ["sí"])]
    assert [t.pos_ for t in doc] == [*expected[0], *expected[1]]


def test_docbin_holds_roles_and_relations(tmp_path: Path):
    layers = {
        "srl": Frames((Frame(1, "run.01", (Span(0, 1, "ARG0"),)),)),
        "relation": Relations((Relation((0, 1), (1, 2), "near"),)),
    }
    document = Document([from_words(["dogs", "run"])], [layers], language="en")
    with (tmp_path / "a.spacy").open("wb") as file:
        writer = DocBinWriter(file, {})
        writer.write(Record(["dogs", "run"], opens=True), document)
        writer.finish()
    (doc,) = DocBin().from_disk(tmp_path / "a.spacy").get_docs(spacy.blank("en").vocab)
    found = {key: json.loads(json.dumps(data)) for key, data in doc.user_data.items()}  # no tuples
    assert found["hiermtl.srl"] == document.to_dict()["roles"]["srl"]
    assert found["hiermtl.relation"] == document.to_dict()["relations"]["relation"]


def test_a_folder_becomes_a_folder(nlp: Annotator, tmp_path: Path):
    source, target = tmp_path / "in", tmp_path / "out"
    (source / "sub").mkdir(parents=True)
    (source / "a.txt").write_text("One. Two.\n")
    (source / "empty.txt").write_text("")
    (source / "notes.md").write_text("left alone")
    (source / ".hidden.txt").write_text("hidden")
    (source / "sub" / "b.jsonl").write_text('{"text": "Three."}\n')
    with gzip.open(source / "z.conllu.gz", "wb") as file:
        file.write(CONLLU.encode())
    report = annotate_files(nlp, source, target)
    assert left(target) == ["a.conllu", "empty.conllu", "sub", "z.conllu"]
    assert left(target / "sub") == ["b.jsonl"]
    assert (target / "empty.conllu").read_bytes() == b""
    assert (report.files, report.sentences) == (4, 5)
    assert [path.name for path in report.skipped] == ["notes.md"]


def test_standard_input_and_output(nlp: Annotator, monkeypatch: pytest.MonkeyPatch):
    class Standard:
        def __init__(self, content: bytes = b"") -> None:
            self.buffer = io.BytesIO(content)

    out = Standard()
    monkeypatch.setattr(sys, "stdin", Standard(b"A dog.\n"))
    monkeypatch.setattr(sys, "stdout", out)
    annotate_files(nlp, "-", "-", tasks=["upos"])
    written = out.buffer.getvalue().decode()
    assert written.startswith("# newdoc id = doc-1\n# sent_id = 1\n# text = A dog.\n1\tA\t_\t")
    monkeypatch.setattr(sys, "stdin", Standard(CONLLU.encode()))
    out = Standard()
    monkeypatch.setattr(sys, "stdout", out)
    annotate_files(nlp, "-", "-", source_format="conllu", format="jsonl")
    assert len(out.buffer.getvalue().splitlines()) == 2


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_empty_input_gives_empty_output(nlp: Annotator, tmp_path: Path, content: str):
    (tmp_path / "a.txt").write_text(content, encoding="utf-8")
    report = annotate_files(nlp, tmp_path / "a.txt", tmp_path / "o.conllu")
    assert (report.sentences, report.words, report.words_per_second) == (0, 0, 0.0)
    assert (tmp_path / "o.conllu").read_bytes() == b""


def test_a_very_long_line_is_annotated(nlp: Annotator, tmp_path: Path):
    (tmp_path / "a.txt").write_text("word " * 10_000)
    report = annotate_files(nlp, tmp_path / "a.txt", tmp_path / "o.jsonl", tasks=["upos", "ner"])
    assert report.words == 10_000


def test_an_error_leaves_the_old_output_and_nothing_else(nlp: Annotator, tmp_path: Path):
    (tmp_path / "a.conllu").write_text(CONLLU + "1\tbad\n", encoding="utf-8")
    (tmp_path / "o.conllu").write_text("old")
    with pytest.raises(DataError, match=r"a\.conllu:\d+: 2 columns"):
        annotate_files(nlp, tmp_path / "a.conllu", tmp_path / "o.conllu")
    assert (tmp_path / "o.conllu").read_text() == "old"
    assert left(tmp_path) == ["a.conllu", "o.conllu"]


def test_a_full_disk_is_named(nlp: Annotator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a.txt").write_text("One.\n")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"o\.conllu: cannot be written \(no space left\)"):
        annotate_files(nlp, tmp_path / "a.txt", tmp_path / "o.conllu")
    assert left(tmp_path) == ["a.txt"]


def test_a_link_is_followed_and_a_pipe_written_to(nlp: Annotator, tmp_path: Path):
    (tmp_path / "a.txt").write_text("One.\n")
    (tmp_path / "real.conllu").write_text("old")
    (tmp_path / "link.conllu").symlink_to(tmp_path / "real.conllu")
    annotate_files(nlp, tmp_path / "a.txt", tmp_path / "link.conllu")
    assert (tmp_path / "link.conllu").is_symlink()
    assert "One" in (tmp_path / "real.conllu").read_text()
    annotate_files(nlp, tmp_path / "a.txt", os.devnull)
    assert not Path(os.devnull).is_file()


def test_impossible_requests_are_refused_before_anything_is_read(nlp: Annotator, tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "bare").mkdir()
    (tmp_path / "a.txt").write_text("One.\n")
    (tmp_path / "in" / "x.txt").write_text("One.\n")
    (tmp_path / "in" / "x.conllu").write_text(CONLLU)
    (tmp_path / "a.pdf").write_text("")
    cases = [
        ("missing.txt", "o.conllu", {}, DataError, r"missing\.txt: no such file or folder"),
        ("a.pdf", "o.conllu", {}, RecipeError, r"a\.pdf ends in '\.pdf'.*\.txt, \.conllu or"),
        ("a.txt", "o.xml", {}, RecipeError, r"ends in '\.xml'; allowed are \.conllu, \.jsonl"),
        ("a.txt", "no/o.conllu", {}, RecipeError, r"the folder .*no does not exist"),
        ("a.txt", "a.txt", {"format": "conllu"}, RecipeError, "is the input itself"),
        ("a.txt", "in", {}, RecipeError, "is a folder, and .*a.txt a file"),
        ("a.txt", "o", {"format": "conll"}, RecipeError, "format 'conll'; allowed.*'conllu'"),
        ("a.txt", "o", {"source_format": "tx"}, RecipeError, "input format 'tx'.*did you mean"),
        ("in", "a.txt", {}, RecipeError, "a.txt is a file, and .*in a folder"),
        ("in", "in/out", {}, RecipeError, "lies in the input"),
        ("in", "o", {}, RecipeError, r"x\.conllu and .*x\.txt would both be written to"),
        ("in", "no/out", {}, RecipeError, "does not exist"),
        ("bare", "o", {}, DataError, "no file here can be annotated, of 0"),
    ]
    before = left(tmp_path)
    for source, output, options, kind, message in cases:
        with pytest.raises(kind, match=message):
            annotate_files(nlp, tmp_path / source, tmp_path / output, **options)
    with pytest.raises(RecipeError, match="its output is a folder too"):
        annotate_files(nlp, tmp_path / "in", "-")
    assert left(tmp_path) == before


def test_tasks_without_a_place_in_conllu(nlp: Annotator, tmp_path: Path):
    nlp.model.config.tasks["dep"]["column"] = "other"
    (tmp_path / "a.txt").write_text("One.\n")
    report = annotate_files(nlp, tmp_path / "a.txt", tmp_path / "o.conllu")
    assert (report.tasks, report.left_out) == (("upos", "ner"), ("dep",))
    with pytest.raises(RecipeError, match="CoNLL-U has no place for dep; it holds lemma, upos,"):
        annotate_files(nlp, tmp_path / "a.txt", tmp_path / "o.conllu", tasks=["dep"])
    assert annotate_files(nlp, tmp_path / "a.txt", tmp_path / "o.jsonl").left_out == ()


def test_a_task_is_written_to_the_column_it_was_trained_on(nlp: Annotator, tmp_path: Path):
    nlp.model.config.tasks["upos"]["column"] = "xpos"
    (tmp_path / "a.txt").write_text("One.\n")
    annotate_files(nlp, tmp_path / "a.txt", tmp_path / "o.conllu", tasks=["upos"])
    (found,) = read_conllu(tmp_path / "o.conllu")
    assert found.layers["xpos"] == nlp("One.").tags("upos")
    assert "upos" not in found.layers


def test_tasks_without_a_place_in_a_docbin(nlp: Annotator, tmp_path: Path):
    known = nlp.model.config.tasks
    tasks = {"word_class": known["upos"], "dep": known["dep"]}
    config = HierarchicalConfig(nlp.model.config.encoder, tasks)
    own = Annotator(HierarchicalModel(config), nlp.tokenizer)
    (tmp_path / "a.txt").write_text("One.\n")
    report = annotate_files(own, tmp_path / "a.txt", tmp_path / "o.spacy")
    assert (report.tasks, report.left_out) == (("dep",), ("word_class",))
    with pytest.raises(RecipeError, match="DocBin has no place for word_class; it holds upos,"):
        annotate_files(own, tmp_path / "a.txt", tmp_path / "o.spacy", tasks=["word_class"])
    assert annotate_files(own, tmp_path / "a.txt", tmp_path / "o.jsonl").left_out == ()


def test_documents_are_read_whole_where_they_are_judged_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "a.txt"
    text.write_text("One two.\nThree.\n\n\nFour.\n")
    found = list(read_records(text, "txt", whole=True))
    assert [(r.given, r.doc_id, r.opens) for r in found] == [
        ("One two.\n\nThree.", "doc-1", True),
        ("Four.", "doc-2", True),
    ]
    row = "1\t{}\t_\t_\t_\t_\t_\t_\t_\t_\n\n"
    conllu = tmp_path / "a.conllu"
    conllu.write_text(
        "# newdoc id = x\n" + row.format("a") + row.format("b") + "# newdoc\n" + row.format("c")
    )
    words = [[s.words for s in r.given] for r in read_records(conllu, "conllu", whole=True)]
    assert words == [[("a",), ("b",)], [("c",)]]
    monkeypatch.setattr(reading, "LONGEST", 1)
    parts = list(read_records(conllu, "conllu", whole=True))
    assert [(len(r.given), r.doc_id, r.opens) for r in parts] == [
        (1, "x", True),
        (1, "x", False),
        (1, "newdoc-2", True),
    ]


def clusters_in(path: Path) -> list[set[str]]:
    """The clusters of each sentence of a file."""
    found = []
    for sentence in read_conllu(path):
        layer = sentence.layers["coref"]
        assert isinstance(layer, Mentions)
        found.append({span.label for span in layer.mentions})
    return found


def test_clusters_of_a_document_in_parts_stay_apart(
    coreference: Annotator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "a.txt", tmp_path / "a.conllu"
    line = "the dog barks at the cat\n"
    source.write_text(f"{line}{line}{line}\n{line}\nthe dog\n")
    assert annotate_files(coreference, source, target).cut == 0
    whole = clusters_in(target)
    assert whole[0] & whole[1]  # something holds them together
    count = len(whole[0] | whole[1] | whole[2])
    monkeypatch.setattr(reading, "LONGEST", 1)
    report = annotate_files(coreference, source, target)
    assert (report.documents, report.cut) == (3, 1)
    first, second, third, other, last = clusters_in(target)
    assert all((first, second, third, other, last))
    assert first | second | third == set(map(str, range(3 * len(first))))
    assert len(first) == len(second) == len(third) != count
    # A document that is not cut has numbers from the first on, behind its own prefix.
    assert other == {f"d2.{number}" for number in range(len(first))}
    # In a DocBin the parts are one `Doc`.
    assert annotate_files(coreference, source, tmp_path / "a.spacy").cut == 1
    docs = list(DocBin().from_disk(tmp_path / "a.spacy").get_docs(spacy.blank("en").vocab))
    keys = [sorted(key for key in doc.spans if key.startswith("coref_")) for doc in docs]
    assert list(map(len, keys)) == [3 * len(first), len(first), len(last)]
    sentences = [{token.sent.start for span in docs[0].spans[k] for token in span} for k in keys[0]]
    assert all(len(starts) == 1 for starts in sentences)
    # As JSON each part is an object of its own.
    assert annotate_files(coreference, source, tmp_path / "a.jsonl").cut == 1
