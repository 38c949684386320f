from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiermtl.errors import DataError, RecipeError
from hiermtl.text.bio import bio_spans, find_illegal, repair_bio, span_tags
from hiermtl.text.columns import parse_columns, read_columns

NASTY = Path(__file__).parents[2] / "data" / "nasty.iob2"
TAGS = st.lists(st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B", "E-A", "S-B", None]))


def write(folder: Path, text: str) -> Path:
    path = folder / "f.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_iob2_file_with_comments_is_read() -> None:
    first, second = read_columns(NASTY, {"ner": 2}, words=1)
    assert first.words == ("#", "1", "wins")
    assert first.layers["ner"] == ("O", "B-ORG", "O")
    assert (first.sent_id, first.doc_id, first.text) == ("a", "d1", "# 1 wins")
    assert (second.sent_id, second.doc_id) == ("b", "newdoc-2")
    assert second.layers["ner"] == ("B-PER", "I-PER", "B-LOC")


def test_a_hash_in_two_columns_is_a_word(tmp_path: Path) -> None:
    (tabbed,) = read_columns(write(tmp_path, "#\tO\n#tag\tO\n# x\tO\n"), {"ner": 1})
    assert tabbed.words == ("#", "#tag", "# x")
    (spaced,) = read_columns(write(tmp_path, "# O\n#tag O\n"), {"ner": 1})
    assert spaced.words == ("#", "#tag")


def test_conll2003_documents_and_blank_lines_with_tabs_are_boundaries(tmp_path: Path) -> None:
    start = "-DOCSTART- -X- O O\n\n"
    text = start + "EU NNP B-NP B-ORG\n\t\nrejects VBZ B-VP O\n\n" + start + "a b B-X O\n"
    found = list(read_columns(write(tmp_path, text), {"xpos": 1, "chunk": 2, "ner": 3}))
    assert [s.words for s in found] == [("EU",), ("rejects",), ("a",)]
    assert [s.doc_id for s in found] == ["newdoc-1", "newdoc-1", "newdoc-2"]
    assert found[0].layers == {"xpos": ("NNP",), "chunk": ("B-NP",), "ner": ("B-ORG",)}


@pytest.mark.parametrize("inside", ["\u00a0", "\u3000", "\u2009", "\x85"])
def test_other_white_space_is_part_of_a_word_in_columns_apart_by_spaces(
    tmp_path: Path, inside: str
) -> None:
    """As in `25 000`: cut there, its second half would be read as the label."""
    word = f"25{inside}000"
    path = write(tmp_path, f"{word} O\n\tkronor \t B-X \n")
    (found,) = read_columns(path, {"ner": 1}, separator=" ")
    assert (found.words, found.layers["ner"]) == ((word, "kronor"), ("O", "B-X"))


def test_columns_may_be_named_by_a_header(tmp_path: Path) -> None:
    path = write(tmp_path, "id\tform\ttag\n1\ta\tO\n\n1\tb\tB-X\n")
    found = list(read_columns(path, {"ner": "tag"}, words="form"))
    assert [s.words for s in found] == [("a",), ("b",)]
    with pytest.raises(
        DataError, match=":1: the header has no column 'tga'; it has id, form and tag"
    ):
        list(read_columns(path, {"ner": "tga"}, words="form"))


def test_a_value_may_mean_not_annotated(tmp_path: Path) -> None:
    first, second = read_columns(write(tmp_path, "a\tO\nb\t?\n\nc\t?\n"), {"ner": 1}, missing="?")
    assert first.layers["ner"] == ("O", None)
    assert "ner" not in second.layers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tO\nb\tI-X\n", ":2: tag 'I-X' of 'b' after 'O' breaks IOB2 in layer 'ner'"),
        ("b\tI-X\n", ":1: tag 'I-X' of 'b' after the start of the sentence"),
        ("a\tB-Y\nb\tI-X\n", ":2: tag 'I-X' of 'b' after 'B-Y'.*`bio: repair` to read it as 'B-X'"),
        ("a\tB-Y\nb\tE-Y\n", ":2: tag 'E-Y' of 'b' after 'B-Y'.*to read it as 'I-Y'"),
        ("a\tO\nb\n", ":2: 1 columns in 'b'; at least 2 are needed to read words: 0 and ner: 1"),
        ("a\tO\n\tO\n", ":2: the word \\(column 0\\) is empty"),
    ],
)
def test_a_malformed_line_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_columns(write(tmp_path, text), {"ner": 1}))


def test_repairs_are_made_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path, "a\tO\nb\tI-X\nc\tI-X\n\nd\tI-Y\n\ne\tS-X\nf\tO\n")
    repairs: Counter[str] = Counter()
    found = list(read_columns(path, {"ner": 1}, bio="repair", repairs=repairs))
    assert [s.layers["ner"] for s in found] == [("O", "B-X", "I-X"), ("B-Y",), ("B-X", "O")]
    assert repairs == {"ner": 3}
    off = next(read_columns(path, {"ner": 1}, bio="off"))
    assert off.layers["ner"] == ("O", "I-X", "I-X")


def test_labels_that_are_no_span_tags_are_left_alone() -> None:
    for tags in (["NOUN", "VERB"], ["S-x", "E-y"], ["B-", "X-Y"], []):
        assert find_illegal(tags) is None
        assert repair_bio(tags) == (tuple(tags), 0)


def test_options_that_are_not_allowed_are_refused() -> None:
    with pytest.raises(RecipeError, match="bio: 'lenient'; allowed are strict, repair and off"):
        read_columns("f", {"ner": 1}, bio="lenient")  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="separator: ','"):
        read_columns("f", {"ner": 1}, separator=",")
    with pytest.raises(RecipeError, match=r"columns: \[0, -1\]"):
        read_columns("f", {"ner": -1})
    with pytest.raises(RecipeError, match="header names for all"):
        read_columns("f", {"ner": "tag"})


@given(TAGS)
def test_repaired_tags_are_legal_and_their_spans_come_back(tags: list[str | None]) -> None:
    fixed, changed = repair_bio(tags)
    assert find_illegal(fixed) is None or not any(t == "O" or (t or "")[:1] in "BI" for t in fixed)
    assert changed == sum(a != b for a, b in zip(fixed, tags, strict=True))
    spans = bio_spans(fixed)
    if spans is not None:
        assert span_tags(spans, len(fixed)) == fixed


def test_lines_can_come_from_a_stream() -> None:
    (found,) = parse_columns([b"a\tO\r\n", b"b\tB-X"], "-", columns={"ner": 1})
    assert found.words == ("a", "b")


@pytest.mark.parametrize(
    ("name", "words", "place", "sentences", "count"),
    [
        ("wnut17/wnut17train.conll", 0, 1, 3394, 62730),
        ("wnut17/emerging.dev.conll", 0, 1, 1009, 15733),
        ("wnut17/emerging.test.annotated", 0, 1, 1287, 23394),
        ("uner_english_ewt/en_ewt-ud-train.normalized.iob2", 1, 2, 12543, 204579),
        ("uner_swedish_talbanken/sv_talbanken-ud-train.iob2", 1, 2, 4303, 66646),
        ("uner_chinese_gsdsimp/zh_gsdsimp-ud-train.iob2", 1, 2, 3997, 98616),
    ],
)
def test_real_files_have_their_known_sizes(
    data_folder: Path, name: str, words: int, place: int, sentences: int, count: int
) -> None:
    found = [len(s.words) for s in read_columns(data_folder / name, {"ner": place}, words=words)]
    assert (len(found), sum(found)) == (sentences, count)


def test_a_column_that_the_header_names_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "word\ttag\ttag\nHello\tA\tB\n")
    with pytest.raises(DataError, match=r"f.tsv:1: .*2 columns 'tag'; .*number"):
        next(read_columns(path, {"kind": "tag"}, words="word"))
