import gzip
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiermtl.errors import DataError
from hiermtl.text.conllu import parse_conllu, read_conllu, render_conllu
from hiermtl.text.sentence import Sentence, Tree

NASTY = Path(__file__).parents[2] / "data" / "nasty.conllu"
REAL = [
    "ud_english_ewt/en_ewt-ud-train.conllu",
    "ud_english_ewt/en_ewt-ud-dev.conllu",
    "ud_english_ewt/en_ewt-ud-test.conllu",
    "ud_english_gum/en_gum-ud-train.conllu",
    "ud_english_gum/en_gum-ud-dev.conllu",
    "ud_swedish_talbanken/sv_talbanken-ud-dev.conllu",
    "ud_swedish_talbanken/sv_talbanken-ud-test.conllu",
    "ud_chinese_gsdsimp/zh_gsdsimp-ud-dev.conllu",
    "ud_chinese_gsdsimp/zh_gsdsimp-ud-test.conllu",
]


def row(number: object, form: str = "w", head: object = "_", *, misc: str = "_") -> str:
    relation = "_" if head == "_" else "dep"
    return f"{number}\t{form}\t_\t_\t_\t_\t{head}\t{relation}\t_\t{misc}"


def parse(*lines: str) -> list[Sentence]:
    return list(parse_conllu([f"{line}\n".encode() for line in lines], "f.conllu"))


def same_content(one: Sentence, other: Sentence) -> bool:
    return (one.words, dict(one.layers), one.space_after) == (
        other.words,
        dict(other.layers),
        other.space_after,
    )


@pytest.mark.parametrize("name", REAL)
def test_a_real_treebank_is_written_back_byte_for_byte(data_folder: Path, name: str) -> None:
    path = data_folder / name
    written = "".join(map(render_conllu, read_conllu(path)))
    assert written.encode() == path.read_bytes()


def test_a_nasty_file_is_written_back_byte_for_byte() -> None:
    assert "".join(map(render_conllu, read_conllu(NASTY))).encode() == NASTY.read_bytes()


def test_writing_what_was_read_as_a_prediction_reads_back_the_same() -> None:
    for sentence in read_conllu(NASTY):
        (again,) = parse(*render_conllu(sentence, sentence.layers).split("\n"))
        assert same_content(again, sentence)
        bare = Sentence(sentence.words, space_after=sentence.space_after)
        (again,) = parse(*render_conllu(bare, sentence.layers).split("\n"))
        assert same_content(again, sentence) or "\x85" in "".join(sentence.words)


def test_columns_and_comments_are_read_per_word() -> None:
    first, second, third, fourth, fifth = read_conllu(NASTY)
    assert first.words == ("Vamos", "nos", "a", "el", "mar", "🌊👩‍👩‍👧", ".")
    assert (first.sent_id, first.doc_id) == ("n-1", "nasty one")
    assert first.text == "Vámonos al mar 🌊👩‍👩‍👧."
    assert first.space_after == (False, True, False, True, True, False, False)
    assert "xpos" not in first.layers
    assert first.layers["upos"] == ("VERB", "PRON", "ADP", "DET", "NOUN", "SYM", "PUNCT")
    assert first.layers["feats"][2] == "_"
    assert first.layers["ner"] == (None, None, "O", None, None, None, None)
    assert first.layers["dep"].heads == (0, 1, 5, 5, 1, 1, 1)
    assert first.origin is not None
    assert first.origin.line == 1
    assert second.words == ("_", "s k", "_")
    assert second.layers["lemma"] == ("_", "så_kallad", "_")
    assert second.space_after == (False, True, True)
    assert second.sent_id is None
    assert second.doc_id == "nasty one"
    assert third.doc_id == "newdoc-2"
    assert third.layers["ner"] == ("B-A|B", None, None)
    assert third.layers["chunk"] == ("B-NP", "I-NP", None)
    assert set(third.layers) == {"ner", "chunk"}
    assert dict(fourth.layers) == {}
    assert fourth.words[1] == "only\x0c\x85"
    assert fifth.layers["upos"] == ("NOUN", None, "NOUN")
    assert fifth.layers["feats"] == ("_", None, "_")
    assert fifth.layers["dep"] == Tree((2, None, 0), ("obl", None, "root"))


def test_mark_crlf_gzip_and_a_missing_last_blank_line_are_tolerated(tmp_path: Path) -> None:
    text = "# sent_id = 1\n" + row(1, "a") + "\n\n\n" + row(1, "b") + "\n" + row(2, "c")
    packed = tmp_path / "f.conllu.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()))
    first, second = read_conllu(packed)
    assert (first.words, first.sent_id, second.words) == (("a",), "1", ("b", "c"))
    assert second.origin is not None
    assert second.origin.line == 5
    assert render_conllu(first) == "# sent_id = 1\n" + row(1, "a") + "\n\n"


def test_a_file_without_sentences_yields_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.conllu"
    for content in (b"", b"\n\n", b"\xef\xbb\xbf", b" \r\n"):
        path.write_bytes(content)
        assert list(read_conllu(path)) == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([row(1) + "\tx"], "f.conllu:1: 11 columns; CoNLL-U has 10"),
        (["1\tw"], "f.conllu:1: 2 columns"),
        (["1 w _ _ _ _ 0 root _ _"], "f.conllu:1: columns are separated by spaces: '1 w _"),
        (["# x", "hello"], "f.conllu:2: no tab in this line: 'hello'"),
        ([row(1), "2\t\t_\t_\t_\t_\t_\t_\t_\t_"], "f.conllu:2: column FORM is empty"),
        ([row(1), row(3)], "f.conllu:2: word id '3'; expected '2'"),
        ([row(1), row(1)], "f.conllu:2: word id '1'; expected '2'"),
        ([row(0)], "f.conllu:1: id '0'; allowed are a word"),
        ([row("01")], "f.conllu:1: id '01'; allowed"),
        ([row("x")], "f.conllu:1: id 'x'; allowed"),
        (["# only"], "f.conllu:1: a sentence without words"),
        ([row("1-3"), row(1), row(2)], "f.conllu:1: multiword range ends at word 3, but the"),
        ([row("1-3"), row(1), row("2-3"), row(2)], "f.conllu:3: multiword range '2-3' overlaps"),
        ([row(1), row("1-2"), row(2)], "f.conllu:2: multiword range '1-2' is out of order"),
        ([row("2-1"), row(1), row(2)], "f.conllu:1: multiword range '2-1' runs backwards"),
        ([row(1), row("2.1")], "f.conllu:2: empty node id '2.1'; expected '1.1'"),
        ([row(1), row("1.2")], "f.conllu:2: empty node id '1.2'; expected '1.1'"),
        ([row(1), row("1.x")], "f.conllu:2: id '1.x'; allowed"),
        ([row(1, "a", 0), row(2, "b", 3)], "f.conllu:2: HEAD '3' of word 2 'b'; allowed are 0"),
        ([row(1, "a", 0), row(2, "b", "x")], "f.conllu:2: HEAD 'x' of word 2 'b'"),
        ([row(1, "a", 0), row(2, "b", "-1")], "f.conllu:2: HEAD '-1' of word 2"),
        ([row(1, "a", 0), row(2, "b", 0)], "f.conllu:2: 2 roots (HEAD 0): words 1 'a' and 2 'b'"),
        ([row(1, "a", 0), row(2, "b", 2)], "f.conllu:2: word 2 'b' is its own head"),
        (
            [row(1, "a", 0), row(2, "b", 3), row(3, "c", 2)],
            "f.conllu:2: words 2 'b' and 3 'c' form a cycle",
        ),
        ([row(1, "a", 2), row(2, "b", 1)], "f.conllu:1: words 1 'a' and 2 'b' form a cycle"),
        (["# x", row("1-1"), row(1, "a", 0), row(2, "b", 9)], "f.conllu:4: HEAD '9'"),
    ],
)
def test_a_malformed_sentence_is_refused_with_line_and_value(
    lines: list[str], message: str
) -> None:
    with pytest.raises(DataError, match="^" + re.escape(message)):
        parse(*lines)


def test_bytes_that_are_not_utf8_are_named_by_offset_and_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.conllu"
    good = b"\xef\xbb\xbf# sent_id = 1\n" + row(1).encode() + b"\n\n"
    bad = b"# x\n" + row(1).encode() + b"\n# caf\xe9\n"
    path.write_bytes(good + bad)
    offset = len(good) + bad.index(b"\xe9")
    with pytest.raises(DataError, match=f"{path}:6: byte {offset} of the file, 0xe9, is not UTF-8"):
        list(read_conllu(path))
    for encoding, named in (("utf-16", "utf-16"), ("latin1", "latin1")):
        path.write_bytes("# café\n".encode(encoding))
        with pytest.raises(DataError, match=f"iconv -f {named} -t utf-8"):
            list(read_conllu(path))


def test_a_missing_file_a_folder_and_a_broken_archive_are_data_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.conllu: no such file"):
        list(read_conllu(tmp_path / "none.conllu"))
    with pytest.raises(DataError, match="this is a folder"):
        list(read_conllu(tmp_path))
    broken = tmp_path / "broken.conllu.gz"
    broken.write_bytes(gzip.compress(row(1).encode() * 99)[:-9])
    with pytest.raises(DataError, match="not a whole gzip file"):
        list(read_conllu(broken))


def test_the_tree_may_be_annotated_in_part_and_long() -> None:
    assert "dep" not in parse(row(1))[0].layers
    tree = parse(row(1), row(2, "b", 1))[0].layers["dep"]
    assert tree == Tree((None, 1), (None, "dep"))
    many = parse(*(row(n, "w", n - 1) for n in range(1, 3001)))[0].layers["dep"]
    assert many.heads == tuple(range(3000))


def test_predictions_replace_their_columns_and_nothing_else() -> None:
    first = next(read_conllu(NASTY))
    heads = (0, 1, 1, 1, 1, 1, 1)
    tree = Tree(heads, ("root", *["dep"] * 6))
    out = render_conllu(first, {"dep": tree, "ner": ("O",) * 6 + ("B-X",), "upos": (None,) * 7})
    lines, before = out.split("\n"), first.lines or ()
    assert lines[-2:] == ["", ""]
    for line, old in zip(lines, before, strict=False):
        new_cells, old_cells = line.split("\t"), old.split("\t")
        if not old_cells[0].isdecimal():
            assert line == old
            continue
        kept = [0, 1, 2, 4, 5]
        assert [new_cells[i] for i in kept] == [old_cells[i] for i in kept]
        assert (new_cells[3], new_cells[8]) == ("_", "_")
    assert "\n2\tnos\tnosotros\t_\t_\tCase=Acc|Number=Plur\t1\tdep\t_\tNER=O\n" in out
    assert "\t1\tdep\t_\tGloss=to|NER=O\n" in out
    assert "\t1\tdep\t_\tNER=B-X\n" in out


def test_a_missing_value_removes_the_key() -> None:
    sentence = parse(row(1, misc="A=1|NER=O|Z=2"))[0]
    assert "\tA=1|Z=2\n" in render_conllu(sentence, {"ner": (None,)})


def test_a_layer_without_a_place_or_of_another_length_is_refused() -> None:
    sentence = Sentence(("a", "b"))
    with pytest.raises(DataError, match="layer 'srl' \\(tags\\) has no place in CoNLL-U"):
        render_conllu(sentence, {"srl": ("x", "y")})
    with pytest.raises(DataError, match="layer 'upos' has 1 values for 2 words"):
        render_conllu(sentence, {"upos": ("x",)})


def test_sentences_of_other_origin_get_lines_that_udtools_would_accept() -> None:
    sentence = Sentence(
        ("a\tb", "\n", "_", "c"),
        sent_id="s\n1",
        doc_id="d",
        space_after=(True, True, False, True),
    )
    out = render_conllu(
        sentence, {"feats": ("B=1|a=2", "_", "_", None), "ner": ("B-X", "O", "O", "O")}, newdoc=True
    )
    assert out == (
        "# newdoc id = d\n# sent_id = s 1\n# text = a b   _c\n"
        "1\ta b\t_\t_\t_\ta=2|B=1\t_\t_\t_\tNER=B-X\n"
        "2\t_\t_\t_\t_\t_\t_\t_\t_\tNER=O\n"
        "3\t_\t_\t_\t_\t_\t_\t_\t_\tNER=O|SpaceAfter=No\n"
        "4\tc\t_\t_\t_\t_\t_\t_\t_\tNER=O\n\n"
    )
    assert render_conllu(Sentence(())) == ""


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1), min_size=1))
def test_any_words_are_written_as_one_readable_sentence(words: list[str]) -> None:
    tags = tuple(f"B-{word}" for word in words)
    lines = render_conllu(Sentence(tuple(words)), {"ner": tags}).split("\n")
    (again,) = parse(*lines)
    assert len(again.words) == len(words)
    assert render_conllu(again, again.layers).split("\n") == lines


def test_a_name_too_long_for_the_system_is_a_missing_file() -> None:
    with pytest.raises(DataError, match="no such file"):
        list(read_conllu("a" * 300 + ".conllu"))
