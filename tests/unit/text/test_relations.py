"""CrossRE and SemEval-2010 task 8."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hiermtl.errors import DataError
from hiermtl.text.relations import read_crossre, read_semeval
from hiermtl.text.sentence import Relation, Relations, Span, Spans

LINE: dict[str, Any] = {
    "doc_key": "ai-1",
    "sentence": ["Ada", "met", "Charles", "Babbage", "."],
    "ner": [[2, 3, "person"], [0, 0, "person"]],
    "relations": [
        [0, 0, 2, 3, "social", "", False, False],
        [0, 0, 2, 3, "role", "", False, False],
    ],
}
ADA, BABBAGE = Span(0, 1, "person"), Span(2, 4, "person")


def crossre(path: Path, *lines: Any) -> Path:
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    return path


def test_ends_become_half_open_and_a_pair_keeps_all_its_relations(tmp_path: Path) -> None:
    (found,) = read_crossre(crossre(tmp_path / "a.json", LINE))
    assert found.layers["entity"] == Spans((ADA, BABBAGE))
    pair = (0, 1), (2, 4)
    assert found.layers["relation"] == Relations(
        (Relation(*pair, "social"), Relation(*pair, "role"))
    )
    assert found.sent_id == "ai-1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"ner": [[0, 9, "person"]], "relations": []},
            r"a\.json:1: no object of CrossRE \(the entity \[0, 9, 'person'\] is outside of the "
            r"words 0 to 4, its end among them\); each line needs",
        ),
        ({"relations": [[0, 0, 1, 1, "x"]]}, r"a relation names the words \(1, 1\), which are no"),
        ({"ner": None}, "no object of CrossRE"),
        (
            {"relations": [[0, 0, 2, 3, None]]},
            r"a\.json:1: no object of CrossRE \(the relation \[0, 0, 2, 3, None\] has no label\)",
        ),
        ({"ner": [[0, 0, None]], "relations": []}, r"the entity \[0, 0, None\] has no label"),
        ({"ner": [[0, 0, ""]], "relations": []}, r"the entity \[0, 0, ''\] has no label"),
        ({"relations": [[0, 0, 2, 3, " "]]}, r"the relation \[0, 0, 2, 3, ' '\] has no label"),
        ({"ner": [[-1, 0, "a"]], "relations": []}, r"the entity \[-1, 0, 'a'\] is outside of the"),
        ({"ner": [[1, 0, "a"]], "relations": []}, r"the entity \[1, 0, 'a'\] is outside of the"),
        ({"relations": [[0, 0]]}, "a relation names the words|no object of CrossRE"),
        ({"sentence": "Ada met"}, "`sentence` is no list of words"),
        ({"ner": [[0, 0, "a"], [0, 0, "b"]]}, "two entities stand on the words 0 to 0"),
        ({"ner": [[0, 0.7, "a"]]}, "has no whole numbers"),
    ],
)
def test_malformed_objects_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_crossre(crossre(tmp_path / "a.json", {**LINE, **change})))


def test_lines_must_be_objects(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"sentence": ["a"], "ner": []}\n')
    with pytest.raises(DataError, match=r"a\.json:1: the key 'relations' is missing"):
        list(read_crossre(path))
    path.write_text("\nno json\n")
    with pytest.raises(DataError, match=r"a\.json:2: no object of CrossRE"):
        list(read_crossre(path))


def semeval(path: Path, sentence: str, relation: str = "Cause-Effect(e2,e1)") -> Path:
    path.write_text(f'7\t"{sentence}"\r\n{relation}\r\nComment: none.\r\n\r\n')
    return path


def test_marks_become_spans_and_directions_pairs(tmp_path: Path) -> None:
    text = "The <e1>burst</e1> was caused by water-hammer <e2>pressure</e2>."
    (found,) = read_semeval(semeval(tmp_path / "a.txt", text))
    assert found.words[:2] == ("The", "burst")
    assert found.words[-2:] == ("pressure", ".")
    assert found.text == "The burst was caused by water-hammer pressure."
    one, two = Span(1, 2, "e1"), Span(len(found.words) - 2, len(found.words) - 1, "e2")
    assert found.layers["relation"] == Relations(
        (Relation((two.start, two.end), (one.start, one.end), "Cause-Effect"),)
    )
    assert found.sent_id == "7"
    assert found.space_after is not None
    spaced = (w + " " * s for w, s in zip(found.words, found.space_after, strict=True))
    assert "".join(spaced) == found.text


def test_other_is_no_relation_and_marks_may_cut_words(tmp_path: Path) -> None:
    path = semeval(tmp_path / "a.txt", "<e2>Steam</e2>-driven <e1>two men</e1>.", "Other")
    (found,) = read_semeval(path)
    assert found.layers["relation"] == Relations(())
    assert found.words[0] == "Steam"
    assert found.layers["entity"] == Spans(
        (Span(0, 1, "e2"), Span(len(found.words) - 3, len(found.words) - 1, "e1"))
    )


@pytest.mark.parametrize(
    ("sentence", "relation", "message"),
    [
        ("No marks.", "Other", r"a\.txt:1: the marks are missing"),
        ("<e1>a</e1> b", "Other", r"the marks are <e1> </e1>"),
        ("<e1>a <e2>b</e2></e1>", "Other", r"one after the other"),
        ("<e1></e1> b <e2>c</e2>", "Other", r"<e1> has no word"),
        ("<e1>a</e1> <e2>b</e2>", "Cause-Effect", r"a\.txt:2: relation 'Cause-Effect'; write"),
        ("<e1>a</e1> <e2>b</e2>", "Cause-Effect(e1,e1)", r"write it with its direction"),
    ],
)
def test_malformed_blocks_are_named(
    tmp_path: Path, sentence: str, relation: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        list(read_semeval(semeval(tmp_path / "a.txt", sentence, relation)))


def test_a_block_holds_one_sentence(tmp_path: Path) -> None:
    """Where the blank line between two is missing, the second would be lost."""
    path = semeval(tmp_path / "a.txt", "The <e1>fire</e1> made <e2>smoke</e2>.")
    path.write_text(path.read_text().rstrip("\n") + "\n" + path.read_text().replace("7", "8"))
    with pytest.raises(DataError, match=r"a\.txt:4: sentence 8 stands in the block of sentence 7"):
        list(read_semeval(path))


def test_a_block_must_be_numbered(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Some text.\nOther\n")
    with pytest.raises(DataError, match=r"'Some text\.' is no numbered sentence in quotes"):
        list(read_semeval(tmp_path / "a.txt"))


def test_real_files_have_their_known_sizes(data_folder: Path) -> None:
    sizes = Counter()
    for path in (data_folder / "crossre" / "crossre_data").glob("*-dev.json"):
        for sentence in read_crossre(path):
            entity, relation = (sentence.layers[n] for n in ("entity", "relation"))
            assert isinstance(entity, Spans)
            assert isinstance(relation, Relations)
            sizes["sentences"] += 1
            sizes["words"] += len(sentence.words)
            sizes["entities"] += len(entity.spans)
            sizes["relations"] += len(relation.relations)
    assert sizes == {"sentences": 1801, "words": 68596, "entities": 10409, "relations": 7891}
    found = list(read_semeval(data_folder / "semeval2010_task8" / "TEST_FILE_FULL.TXT"))
    assert len(found) == 2717
    for sentence in found[:300]:
        assert sentence.space_after is not None
        pairs = zip(sentence.words, sentence.space_after, strict=True)
        joined = "".join(word + " " * after for word, after in pairs)
        assert joined.split() == (sentence.text or "").split()
