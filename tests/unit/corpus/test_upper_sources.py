"""Sources of roles and relations."""

import json
from pathlib import Path

import pytest

from hiermtl.corpus.sources import crossre_source, propbank_source, semeval_source
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
