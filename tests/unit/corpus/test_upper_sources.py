"""Sources of roles and relations."""

import json
from pathlib import Path

import pytest

from hiermtl.corpus.sources import (
    conllu_source,
    crossre_source,
    jsonl_source,
    propbank_source,
    semeval_source,
    sick_source,
    table_source,
)
from hiermtl.errors import DataError
from hiermtl.text.sentence import Frames, Passage, Sentence

BLOCK = '{}\t"The <e1>fire</e1> caused <e2>smoke</e2> {}."\nCause-Effect(e1,e2)\nComment: none.\n\n'


def sentences(source: object) -> list[Sentence]:
    found = list(source.read())  # type: ignore[attr-defined]
    assert not any(isinstance(record, Passage) for record in found)
    return found


def test_examples_from_all_over_train_are_held_out_for_dev(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("".join(BLOCK.format(n, "x" * n) for n in range(1, 6)))
    whole = sentences(semeval_source(path, language="en"))
    train = sentences(semeval_source(path, language="en", held_out=2))
    dev = sentences(semeval_source(path, language="en", held_out=2, dev=True))
    names = [s.sent_id for s in whole]
    assert [s.sent_id for s in dev] == [names[0], names[2]]
    assert [s.sent_id for s in train] == [names[1], *names[3:]]
    keys = [semeval_source(path, language="en", held_out=2, dev=dev).options for dev in (0, 1)]
    assert keys[0] != keys[1]
    with pytest.raises(DataError, match="5 examples, of which 5 are to be held out"):
        sentences(semeval_source(path, language="en", held_out=5))


def test_roles_come_without_the_brackets_of_the_tree(tmp_path: Path) -> None:
    rows = ["1\tIt\tPRP\t(S(NP*)\t-\t-\t(ARG1*)", "2\train\tVBD\t(VP*))\train\train.01\t(V*)"]
    path = tmp_path / "a.tsv"
    path.write_text("\n".join(rows) + "\n\n")
    (found,) = sentences(propbank_source(path))
    assert set(found.layers) == {"xpos", "srl"}
    assert isinstance(found.layers["srl"], Frames)


def test_relations_come_with_their_entities(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    line = {"sentence": ["Ada", "met", "Bob"], "ner": [[0, 0, "p"], [2, 2, "p"]], "relations": []}
    path.write_text(json.dumps(line))
    (found,) = sentences(crossre_source(path))
    assert set(found.layers) == {"entity", "relation"}


def test_relations_that_no_pair_of_spans_can_have_are_counted(tmp_path: Path) -> None:
    """They are not learnt, since pairs are of two different spans, and scored as missed."""
    path = tmp_path / "a.json"
    ner = [[0, 0, "p"], [2, 2, "p"]]
    good, own = [0, 0, 2, 2, "met"], [0, 0, 0, 0, "is"]
    lines = [
        {"sentence": ["Ada", "met", "Bob"], "ner": ner, "relations": [good, own]},
        {"sentence": ["Ada", "met", "Bob"], "ner": ner, "relations": [own, own]},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = crossre_source(path)
    assert len(sentences(source)) == len(sentences(source)) == 2
    assert source.reports() == (
        "relation: 3 from words to themselves, not learnt, and missed in scores",
    )
    path.write_text(json.dumps({**lines[0], "relations": [good]}))
    assert sentences(source)
    assert source.reports() == ()


def test_relations_of_words_that_are_no_span_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    line = {
        "words": ["Ada", "met", "Bob"],
        "spans": {"entity": [[0, 1, "p"], [2, 3, "p"]], "mention": [[1, 2, "v"]]},
        "relations": {"relation": [[0, 1, 2, 3, "met"], [0, 2, 2, 3, "met"], [1, 2, 2, 3, "x"]]},
    }
    path.write_text(json.dumps(line) + "\n" + json.dumps({**line, "spans": {}}) + "\n")
    columns = {"entity": "spans.entity", "relation": "relations.relation"}
    source = jsonl_source(path, columns)
    assert len(sentences(source)) == 2
    assert source.reports() == (
        "relation: 2 of words that are no span of entity, neither learnt nor found from gold spans",
    )
    both = jsonl_source(path, {**columns, "mention": "spans.mention"})
    assert len(sentences(both)) == 2
    assert both.reports() == (
        "relation: 1 of words that are no span of entity or mention, neither learnt nor found from "
        "gold spans",
    )
    alone = jsonl_source(path, {"relation": "relations.relation"})
    assert len(sentences(alone)) == 2
    assert alone.reports() == ()


def test_sentences_whose_mentions_are_no_spans_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.conllu"
    sentence = "1\tAda\t_\tX\t_\t_\t0\troot\t_\t{}\n2\tcame\t_\tX\t_\t_\t1\tdep\t_\t{}\n\n"
    declared = "# global.Entity = eid-etype-head-other\n"
    parts = sentence.format("Entity=(e1[1/2]-person-1-)", "Entity=(e1[2/2]-person-1-)")
    whole = sentence.format("Entity=(e1-person-1-)", "_")
    path.write_text(declared + parts + whole + parts + sentence.format("_", "_"))
    source = conllu_source(path)
    assert len(sentences(source)) == len(sentences(source)) == 4
    assert source.reports() == (
        "Entity= of 2 sentences is not read: mentions have several parts or stand on empty nodes, "
        "or `# global.Entity` names no group and type",
    )
    path.write_text(f"{declared}# global.EntityLayers = mention\n{whole}")
    assert len(sentences(source)) == 1
    assert source.reports() == ()


def test_clusters_spans_and_arguments_that_are_not_learnt_are_counted(tmp_path: Path) -> None:
    """At each reading anew, whatever the file; `hiermtl.text.unlearnt` has what is counted."""
    path = tmp_path / "a.jsonl"
    line = {
        "words": list("abcdefgh"),
        "spans": {"entity": [[0, 4, "p"], [3, 7, "p"]]},
        "roles": {"srl": [{"predicate": 7, "arguments": [[0, 3, "A0"], [2, 7, "A1"]]}]},
        "clusters": {"coref": [[[0, 4], [3, 7]], [[0, 4], [5, 6]]]},
    }
    path.write_text(json.dumps(line) + "\n")
    columns = {"entity": "spans.entity", "srl": "roles.srl", "coref": "clusters.coref"}
    source = jsonl_source(path, columns)
    assert len(sentences(source)) == len(sentences(source)) == 1
    assert [told.partition(" ")[0:3:2] for told in source.reports()] == [
        ("entity:", "2 spans cross another one: of two that cross only one can be found"),
        (
            "srl:",
            "2 arguments share words with another one of their predicate: one is learnt or found",
        ),
        (
            "coref:",
            "1 mentions have the words of another one: of a place one cluster is learnt or found",
        ),
        (
            "coref:",
            "1 of words that are no span of entity, neither learnt nor found from gold spans",
        ),
    ]
    word = "{}\tw\t_\tX\t_\t_\t_\t_\t_\t{}\n"
    cells = ("Entity=(a-x-1-", "Entity=(b-x-1-", "Entity=a)", "Entity=b)")
    rows = [word.format(at, cell) for at, cell in enumerate(cells, 1)]
    other = tmp_path / "a.conllu"
    other.write_text("".join(["# global.Entity = eid-etype-head-other\n", *rows, "\n"]))
    crossed = conllu_source(other)
    assert len(sentences(crossed)) == 1
    assert [told.partition(":")[0] for told in crossed.reports()] == ["entity"]


def test_corpora_whose_texts_spacy_splits_are_read_anew_with_another_spacy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def options() -> list[dict[str, object]]:
        table = {"labels": {"kind": "label"}, "numbers": {}, "language": "en"}
        made = (
            table_source("a.csv", ["text"], **table),
            semeval_source("a.txt", language="en"),
            sick_source("a.txt", "TRAIN"),
        )
        return [dict(source.options) for source in made]

    before = options()
    assert options() == before
    monkeypatch.setattr("hiermtl.corpus.sources.version", lambda name: f"{name} 99")
    for old, new in zip(before, options(), strict=True):
        assert new != old
