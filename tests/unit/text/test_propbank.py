"""PropBank columns, and chunks read off their brackets."""

from pathlib import Path

import pytest

from hiermtl.errors import DataError, RecipeError
from hiermtl.text.chunks import chunk_tags
from hiermtl.text.columns import read_columns
from hiermtl.text.propbank import bracketed, chunks_from_propbank, read_propbank
from hiermtl.text.sentence import Frame, Frames, Origin, Span, Tree

HERE = Origin("f", 3)
ROWS = [
    ("1", "Ada", "NNP", "(TOP(S(NP*)", "-", "-", "(ARG0*)", "(ARG1*)"),
    ("2", "'s", "VBZ", "(VP*", "be", "be.03", "(V*)", "*"),
    ("3", "not", "RB", "*", "-", "-", "(ARGM-NEG*)", "*"),
    ("4", "gone", "VBN", "(VP*", "go", "go.02", "*", "(V*)"),
    ("5", "up", "RP", "(PRT*)", "-", "-", "*", "(C-V*)"),
    ("6", ".", ".", "*))))", "-", "-", "*", "*"),
]


def write(path: Path, rows: list[tuple[str, ...]], *, sent_id: str | None = "s-1") -> Path:
    lines = [f"# sent_id = {sent_id}"] if sent_id else []
    path.write_text("\n".join([*lines, *("\t".join(row) for row in rows), "", ""]))
    return path


def test_predicates_have_senses_and_arguments(tmp_path: Path) -> None:
    (found,) = read_propbank(write(tmp_path / "a.tsv", ROWS))
    assert found.words == ("Ada", "'s", "not", "gone", "up", ".")
    assert found.sent_id == "s-1"
    assert found.layers["srl"] == Frames(
        (
            Frame(1, "be.03", (Span(0, 1, "ARG0"), Span(2, 3, "ARGM-NEG"))),
            Frame(3, "go.02", (Span(0, 1, "ARG1"), Span(4, 5, "C-V"))),
        )
    )
    assert found.layers["xpos"] == ("NNP", "VBZ", "RB", "VBN", "RP", ".")


def test_a_sentence_without_predicates_has_six_columns(tmp_path: Path) -> None:
    rows = [("1", "Yes", "UH", "(TOP*)", "-", "-")]
    (found,) = read_propbank(write(tmp_path / "a.tsv", rows))
    assert found.layers["srl"] == Frames(())


def test_brackets_nest_and_repeat() -> None:
    assert bracketed(["(A(B*", "*)", "(C*)", "*)"], HERE) == [
        Span(0, 4, "A"),
        Span(0, 2, "B"),
        Span(2, 3, "C"),
    ]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["*)"], r"f:3: '\*\)' for word 1 closes what no word has opened"),
        (["(A*", "*"], r"f:3: \(A at word 1 is never closed"),
        (["*", "(*)"], r"f:4: '\(\*\)' for word 2 opens an argument without a role"),
        (["A"], r"f:3: 'A' for word 1 is no bracketing"),
        (["(A*", "x*)"], r"f:4: 'x\*\)' for word 2 is no bracketing"),
    ],
)
def test_brackets_must_balance(cells: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        bracketed(cells, HERE)


def test_malformed_rows_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", [ROWS[0], ROWS[1][:7]])
    with pytest.raises(DataError, match=r"a\.tsv:3: 7 columns, but 8 are needed"):
        list(read_propbank(path))
    write(path, [ROWS[0], ROWS[2]])
    with pytest.raises(DataError, match=r"a\.tsv:3: word number '3', but 2 is expected"):
        list(read_propbank(path))
    write(path, [(*row[:3], row[3].replace("))))", ")))"), *row[4:]) for row in ROWS])
    with pytest.raises(DataError, match=r"the constituent 'TOP' is never closed"):
        list(read_propbank(path))
    write(path, [(*row[:5], "-", *row[6:]) for row in ROWS])
    with pytest.raises(DataError, match=r"0 predicates have a sense, but there are 2 columns"):
        list(read_propbank(path))


TREES: list[tuple[str, str]] = [
    # cells_word_pos, and the chunk of each.
    ("(TOP(S(NP*)_Sharon_NNP (VP*_has_VBZ (VP*_lost_VBN (NP*)_hope_NN *))))_._.", "NP VP VP NP O"),
    ("(TOP(S(VP*_wants_VBZ (S(VP*_to_TO (VP*))))_turn_VB *))_._.", "VP VP+ VP O"),
    ("(TOP(NP(NP*_Tehran_NNP *)_'s_POS (NML*_Art_NN *)_Museum_NN *))_x_NN", "NP NP+ NP NP NP"),
    ("(TOP(NP*_battles_NNS *_and_CC *_wars_NNS *))_._.", "NP NP NP O"),
    ("(TOP(NP(NP*)_Rice_NNP *_and_CC (NP*)))_Rumsfeld_NNP", "NP O NP"),
    ("(TOP(NP*_the_DT (ADJP*_month_NN *_-_HYPH *)_long_JJ *))_fair_NN", "NP NP NP NP NP"),
    ("(TOP(PP(ADVP*)_even_RB *_with_IN (NP*)))_them_PRP", "PP PP NP"),
    ("(TOP(SBARQ(WHNP*)_what_WP (SQ*_do_VBP (NP*)_you_PRP (VP*))))_mean_VB", "NP VP NP VP"),
    ("(TOP(S(VP*_can_MD (ADVP*)_even_RB (VP*))))_go_VB", "VP VP VP"),
    ("(TOP(S(ADVP*)_still_RB (VP*)))_face_VBP", "ADVP VP"),
    ("(TOP(VP(VP*)_walk_VB *_and_CC (VP*_not_RB *)))_run_VB", "VP O ADVP VP"),
    ("(TOP(ADJP(ADJP*)_fresh_JJ *_and_CC (ADJP*_really_RB *)))_tasty_JJ", "ADJP ADJP ADJP ADJP"),
    ("(TOP(NP(NP*)_anything_NN (ADJP*)))_else_JJ", "NP NP+"),
    ("(TOP(NP*_both_CC *_Tina_NNP *_and_CC *))_Vicky_NNP", "NP NP NP NP"),
    ("(TOP(VP*_sign_VB (PRT*)))_up_RP", "VP PRT"),
]


@pytest.mark.parametrize(("tree", "kinds"), TREES)
def test_chunks_of_small_trees(tree: str, kinds: str) -> None:
    """A repeated kind goes on; `+` begins a new chunk of the kind before it."""
    rows = [token.split("_") for token in tree.split(" ")]
    cells, words, tags = zip(*rows, strict=True)
    expected, before = [], None
    for kind in kinds.split():
        name = kind.rstrip("+")
        goes_on = name == before and kind == name
        expected.append("O" if name == "O" else f"{'I' if goes_on else 'B'}-{name}")
        before = name
    assert chunk_tags(cells, tags, words, HERE) == tuple(expected)


def test_a_tree_that_is_not_closed_is_named() -> None:
    with pytest.raises(DataError, match=r"f:3: the constituent 'NP' is never closed"):
        chunk_tags(["(TOP(NP*"], ["NN"], ["a"], HERE)
    with pytest.raises(DataError, match=r"f:3: '\*\)' for word 1 closes what no word has opened"):
        chunk_tags(["*)"], ["NN"], ["a"], HERE)


def test_a_chunk_file_is_written_whole(tmp_path: Path) -> None:
    source = write(tmp_path / "a.tsv", ROWS)
    assert chunks_from_propbank(source, tmp_path / "c.tsv") == 1
    (found,) = read_columns(tmp_path / "c.tsv", {"xpos": 2, "chunk": 3}, words=1)
    assert found.layers["chunk"] == ("B-NP", "B-VP", "I-VP", "I-VP", "B-PRT", "O")
    assert found.sent_id == "s-1"
    write(source, [(*ROWS[0][:3], "(TOP", *ROWS[0][4:]), *ROWS[1:]])
    with pytest.raises(DataError):
        chunks_from_propbank(source, tmp_path / "c.tsv")
    assert len(list(read_columns(tmp_path / "c.tsv", {"chunk": 3}, words=1))) == 1
    with pytest.raises(RecipeError, match="does not exist"):
        chunks_from_propbank(source, tmp_path / "none" / "c.tsv")


@pytest.mark.parametrize(
    ("split", "sentences", "words", "predicates", "without"),
    [("dev", 1968, 24892, 4963, 437), ("test", 2058, 24944, 4795, 523)],
)
def test_real_files_have_their_known_sizes_and_chunks(
    data_folder: Path,
    tmp_path: Path,
    split: str,
    sentences: int,
    words: int,
    predicates: int,
    without: int,
) -> None:
    """Of the words, 99.8 % have the chunk of the derived corpus."""
    path = data_folder / "propbank_english_ewt" / f"en_ewt-pb-{split}.tsv"
    found = list(read_propbank(path))
    frames = [sentence.layers["srl"] for sentence in found]
    assert all(isinstance(of, Frames) for of in frames)
    counts = [len(of.frames) for of in frames if isinstance(of, Frames)]
    assert (len(found), sum(len(s.words) for s in found)) == (sentences, words)
    assert (sum(counts), counts.count(0)) == (predicates, without)
    chunks_from_propbank(path, tmp_path / "c.tsv")
    derived = data_folder / "chunks_english_ewt" / f"en_ewt-chunk-{split}.tsv"
    pairs = [read_columns(file, {"chunk": 3}, words=1) for file in (tmp_path / "c.tsv", derived)]
    different = 0
    for own, other in zip(*pairs, strict=True):
        assert own.sent_id == other.sent_id
        left, right = own.layers["chunk"], other.layers["chunk"]
        assert not isinstance(left, Tree)
        assert not isinstance(right, Tree)
        different += sum(a != b for a, b in zip(left, right, strict=True))
    assert different <= 0.002 * words
