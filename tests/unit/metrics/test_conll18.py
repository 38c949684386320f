"""The CoNLL 2018 scores against the official program, and spans projected by character."""

import io
import random
from dataclasses import dataclass, field

import numpy as np
import pytest
from udtools import udeval

from hiermtl.errors import DataError
from hiermtl.metrics.alignment import align_words
from hiermtl.metrics.attachment import Attachment
from hiermtl.metrics.base import Tally
from hiermtl.metrics.conll18 import SCORES, RawText, evaluate_conll18
from hiermtl.metrics.projection import count_projected_spans
from hiermtl.metrics.raw import Analysis
from hiermtl.metrics.spans import SpanF1

Rows = list[list[list[str]]]

NASTY_GOLD = """
1 Vámonos Vámonos VERB V Mood=Ind|Odd=Yes 0 root _ _

1-2 du _ _ _ _ _ _ _ _
1 de de ADP P _ 3 case:part _ _
2 le le DET D Definite=Def|Gender=Masc 3 det _ _
3 PAIN pain NOUN N Number=Sing|Gender=Masc 0 root _ _
3.1 vide vide VERB V _ _ _ 0:exroot _
4 , , PUNCT , _ 3 punct _ _
5-7 dámelo _ _ _ _ _ _ _ _
5 da dar VERB V _ 3 conj _ _
6 me yo PRON P Case=Dat 5 iobj _ _
7 lo él PRON P Case=Acc 5 obj:x _ _

1 𝒳𝒴 _ SYM S _ 2 nmod:poss _ _
2 İstanbul'da İstanbul PROPN P Case=Loc 0 root _ _
3 new\u00a0york new_york PROPN P _ 2 flat _ _
"""

NASTY_SYSTEM = """
1-2 Vámonos _ _ _ _ _ _ _ _
1 vamos ir VERB V Mood=Ind 0 root _ _
2 nos nos PRON P _ 1 obj _ _

1 d d ADP P _ 2 case _ _
2 u u DET D _ 3 det _ _
3-4 PAIN, _ _ _ _ _ _ _ _
3 pain pain NOUN N Gender=Masc|Number=Sing 0 root _ _
4 , , PUNCT , _ 3 punct _ _

1-3 dámelo _ _ _ _ _ _ _ _
1 DA dar VERB V _ 0 root _ _
2 lo yo PRON P Case=Acc 1 obj _ _
3 me él PRON P Case=Dat 1 iobj _ _
4 𝒳𝒴 x SYM S _ 1 nmod _ _
5 İstanbul' İstanbul PROPN P Case=Loc 1 root _ _
6 da da ADP P _ 5 case _ _
7 new new PROPN P _ 5 flat _ _
8 york york PROPN P _ 7 flat _ _
"""


def read(text: str, separator: str | None = None) -> Rows:
    sentences: Rows = [[]]
    for line in text.split("\n"):
        if not line:
            sentences.append([])
        elif not line.startswith("#"):
            sentences[-1].append(line.split(separator or " "))
    return [rows for rows in sentences if rows]


def write(sentences: Rows) -> str:
    return "".join("\n".join(map("\t".join, rows)) + "\n\n" for rows in sentences)


def official(gold: Rows, system: Rows) -> dict[str, tuple[float | None, ...]]:
    sides = [
        udeval.load_conllu(io.StringIO(write(rows), newline="\n"), name, {})
        for name, rows in (("gold", gold), ("system", system))
    ]
    table = udeval.evaluate(*sides)
    found = {}
    for name in SCORES:
        line = table[name]
        rates = (line.precision, line.recall, line.f1, line.aligned_accuracy)
        found[name] = (
            *(None if rate is None else 100 * rate for rate in rates),
            line.correct,
            line.gold_total,
            line.system_total,
            line.aligned_total,
        )
    return found


def assert_equal_to_official(gold: Rows, system: Rows) -> dict[str, tuple[float | None, ...]]:
    expected = official(gold, system)
    ours = evaluate_conll18(Analysis.from_rows(gold), Analysis.from_rows(system))
    assert list(ours) == list(SCORES)
    for name in SCORES:
        for mine, theirs in zip(ours[name], expected[name], strict=True):
            assert (mine is None) == (theirs is None), name
            assert mine is None or mine == pytest.approx(theirs, rel=0, abs=1e-9), name
    return expected


@dataclass(eq=False)
class Node:
    """A word of a sentence that is being corrupted."""

    fields: list[str]
    parent: "Node | None" = None

    def depth(self) -> int:
        return 0 if self.parent is None else 1 + self.parent.depth()


@dataclass(eq=False)
class Piece:
    """A token of a sentence that is being corrupted."""

    text: str
    words: list[Node] = field(default_factory=list)
    multi: bool = False


def take_apart(rows: list[list[str]]) -> list[Piece]:
    nodes = [Node(list(row)) for row in rows if row[0].isdecimal()]
    for node in nodes:
        head = int(node.fields[6])
        node.parent = nodes[head - 1] if head else None
    pieces, used, until = [], 0, 0
    for row in rows:
        if "." in row[0]:
            continue
        if "-" in row[0]:
            until = int(row[0].split("-")[1])
            pieces.append(Piece(row[1], nodes[used:until], multi=True))
            used = until
        elif int(row[0]) > until:
            pieces.append(Piece(row[1], [nodes[used]]))
            used += 1
    return pieces


def put_together(sentences: list[list[Piece]]) -> Rows:
    result = []
    for pieces in sentences:
        words = [word for piece in pieces for word in piece.words]
        number = {id(word): at for at, word in enumerate(words, start=1)}
        roots = [w for w in words if w.parent is None or id(w.parent) not in number]
        for word in words:
            if word not in roots:
                word.fields[6] = str(number[id(word.parent)])
            else:
                word.fields[6] = "0" if word is roots[0] else str(number[id(roots[0])])
        rows, at = [], 0
        for piece in pieces:
            if piece.multi:
                span = f"{at + 1}-{at + len(piece.words)}"
                rows.append([span, piece.text, *"________"])
            for word in piece.words:
                at += 1
                form = word.fields[1] if piece.multi else piece.text
                rows.append([str(at), form, *word.fields[2:8], "_", "_"])
        result.append(rows)
    return result


def corrupt(gold: Rows, rate: float, source: random.Random) -> Rows:
    """Change labels, trees, words, tokens and sentences here and there."""
    sentences: list[list[Piece]] = []
    for rows in gold:
        pieces = take_apart(rows)
        words = [word for piece in pieces for word in piece.words]
        for word in words:
            for column, values in (
                (2, ["_", "be"]),
                (3, ["NOUN", "X"]),
                (4, ["NN", "_"]),
                (5, ["_", "Number=Sing", "Typo=Yes|Number=Sing", "Case=Nom|Abbr=Yes"]),
                (7, ["nsubj", "case", "punct", "obl:x", "_"]),
            ):
                if source.random() < rate:
                    word.fields[column] = source.choice(values)
            if source.random() < rate:
                other = source.choice(words)
                if other.parent is not None and word.depth() <= other.depth():
                    other.parent = word if word is not other else other.parent
        if source.random() < rate and sentences:
            sentences[-1] += pieces
        elif source.random() < rate and len(pieces) > 1:
            at = source.randrange(1, len(pieces))
            sentences += [pieces[:at], pieces[at:]]
        else:
            sentences.append(pieces)
    return put_together([retokenise(pieces, rate, source) for pieces in sentences])


def retokenise(pieces: list[Piece], rate: float, source: random.Random) -> list[Piece]:
    done: list[Piece] = []
    for piece in pieces:
        letters = piece.text
        if source.random() > 2 * rate:
            done.append(piece)
        elif piece.multi and source.random() < 0.5:
            top = min(piece.words, key=Node.depth)
            redirect(pieces, piece.words, top)
            done.append(Piece(letters, [top]))
        elif piece.multi:
            piece.words[-1].fields[1] = source.choice(["not", "'s", piece.words[0].fields[1]])
            done.append(piece)
        elif done and source.random() < 0.3:
            before = done.pop()
            top = min(before.words + piece.words, key=Node.depth)
            redirect(pieces, before.words + piece.words, top)
            done.append(Piece(before.text + letters, [top]))
        elif done and source.random() < 0.5:
            before = done.pop()
            done.append(Piece(before.text + letters, before.words + piece.words, multi=True))
            if not before.multi:
                before.words[0].fields[1] = before.text
            piece.words[0].fields[1] = letters
        elif len(letters) > 1 and "\u00a0" not in letters:
            at = source.randrange(1, len(letters))
            second = Node(list(piece.words[0].fields), piece.words[0])
            done += [Piece(letters[:at], piece.words), Piece(letters[at:], [second])]
        else:
            done.append(piece)
    return done


def redirect(pieces: list[Piece], old: list[Node], new: Node) -> None:
    for piece in pieces:
        for word in piece.words:
            if word.parent in old and word is not new:
                word.parent = new


def random_document(letters: str, source: random.Random) -> Rows:
    """Any tokens, words, sentences and trees over some letters."""
    sentences: list[list[Piece]] = [[]]
    at = 0
    while at < len(letters):
        end = min(len(letters), at + source.choice([1, 1, 1, 2, 2, 3, 4]))
        count = source.choice([1, 1, 1, 2, 3])
        words = []
        for _ in range(count):
            begin = source.randrange(at, end)
            form = letters[begin : source.randrange(begin, end) + 1] or "a"
            deprel = source.choice(["nsubj", "obl:x", "case", "det", "punct"])
            feats = source.choice(["_", "Case=Nom"])
            lemma = source.choice("ab_")
            words.append(
                Node(["", form, lemma, source.choice("XY"), "_", feats, "0", deprel, "_", "_"])
            )
        multi = count > 1 or source.random() < 0.1
        sentences[-1].append(Piece(letters[at:end], words, multi=multi))
        at = end
        if source.random() < 0.15 and at < len(letters):
            sentences.append([])
    for pieces in sentences:
        words = [word for piece in pieces for word in piece.words]
        for place, word in enumerate(words):
            word.parent = source.choice(words[:place]) if place else None
    return put_together(sentences)


def test_hand_written_cases_score_as_the_official_program_does():
    gold, system = read(NASTY_GOLD), read(NASTY_SYSTEM)
    table = assert_equal_to_official(gold, system)
    assert 0 < table["Words"][2] < 100
    assert_equal_to_official(system, gold)
    perfect = assert_equal_to_official(gold, gold)
    assert all(line[2] == 100 for line in perfect.values())


@pytest.mark.parametrize("seed", range(20))
def test_any_two_analyses_score_as_the_official_program_scores_them(seed):
    source = random.Random(seed)
    for _ in range(60):
        letters = "".join(source.choices("aAb", k=source.randrange(1, 25)))
        assert_equal_to_official(random_document(letters, source), random_document(letters, source))


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.15])
def test_a_treebank_scores_as_the_official_program_scores_it(data_folder, rate):
    path = data_folder / "ud_english_ewt" / "en_ewt-ud-dev.conllu"
    gold = read(path.read_text("utf-8"), "\t")[:700]
    system = corrupt(gold, rate, random.Random(7))
    table = assert_equal_to_official(gold, system)
    if rate:
        assert all(5 < line[2] < 99.9 for line in table.values())


@pytest.mark.slow
def test_a_whole_treebank_scores_as_the_official_program_scores_it(data_folder):
    for name in ("ud_english_ewt/en_ewt-ud-dev", "ud_swedish_talbanken/sv_talbanken-ud-dev"):
        gold = read((data_folder / f"{name}.conllu").read_text("utf-8"), "\t")
        for seed in range(3):
            assert_equal_to_official(gold, corrupt(gold, 0.05, random.Random(seed)))


def test_counts_of_sentences_add_up_to_the_table():
    source = random.Random(3)
    tally = Tally(RawText())
    totals = np.zeros(len(SCORES) * 4)
    sentences = 0
    for _ in range(20):
        letters = "".join(source.choices("aAb", k=30))
        gold, system = (Analysis.from_rows(random_document(letters, source)) for _ in range(2))
        tally.add([gold], [system])
        sentences += len(gold.sentences)
        for at, line in enumerate(evaluate_conll18(gold, system).values()):
            totals[4 * at : 4 * at + 3] += (line.correct, line.gold, line.system)
    assert len(tally.rows) == sentences
    assert np.array_equal(tally.totals.reshape(-1, 4)[:, :3], totals.reshape(-1, 4)[:, :3])
    scores = tally.scores()
    assert list(scores)[:3] == ["las", "uas", "clas"]
    correct, gold, system = totals.reshape(-1, 4)[SCORES.index("MLAS"), :3]
    assert scores["mlas"] == pytest.approx(200 * correct / (gold + system))
    assert tally.items() == totals.reshape(-1, 4)[SCORES.index("Words"), 1]
    stacked = RawText().score(np.stack([tally.totals, 2 * tally.totals]))
    assert stacked["las"].tolist() == pytest.approx([scores["las"]] * 2)


def test_a_document_without_sentences_scores_nothing():
    empty = Analysis.from_rows([])
    assert all(line.f1 == 0 for line in evaluate_conll18(empty, empty).values())
    assert RawText().count([], []).shape == (0, 4 * len(SCORES))


def test_with_gold_words_the_scores_are_the_attachment_scores():
    gold = read(NASTY_GOLD)
    system = corrupt(gold, 0.0, random.Random(0))
    source = random.Random(1)
    for rows in system:
        for row in rows:
            if row[7] != "_" and source.random() < 0.5:
                row[7] = source.choice(["nsubj:x", "case", "det", "root"])
    table = evaluate_conll18(Analysis.from_rows(gold), Analysis.from_rows(system))
    trees = [
        [
            (
                [int(row[6]) for row in rows if row[0].isdecimal()],
                [row[7] for row in rows if row[0].isdecimal()],
            )
            for rows in side
        ]
        for side in (gold, system)
    ]
    scores = Attachment().score(Attachment().count(*trees).sum(0))
    assert scores == pytest.approx(
        {name: table[name.upper()].f1 for name in ("las", "uas", "clas")}
    )
    assert 0 < scores["las"] < scores["uas"]


def test_aligning_by_position_would_be_noticed():
    letters = "aabbaab"
    wrong = 0
    for seed in range(30):
        source = random.Random(seed)
        gold, system = (Analysis.from_rows(random_document(letters, source)) for _ in range(2))
        counts = [sum(map(len, side.words)) for side in (gold, system)]
        pairs = align_words(gold, system)
        wrong += pairs.tolist() != [[at, at] for at in range(min(counts))]
        assert (np.diff(pairs, axis=0) > 0).all()
    assert wrong > 20


def test_words_without_heads_are_never_attached():
    rows = read("1 a _ _ _ _ _ _ _ _\n2 b _ _ _ _ _ _ _ _")
    analysis = Analysis.from_rows(rows)
    table = evaluate_conll18(analysis, analysis)
    assert table["Words"].f1 == 100
    assert table["UAS"].f1 == 0


def test_different_text_is_refused_with_the_place():
    gold = Analysis.from_rows(read("1 abc _ _ _ _ 0 root _ _"))
    system = Analysis.from_rows(read("1 abd _ _ _ _ 0 root _ _"))
    with pytest.raises(DataError, match=r"from character 2 on .* gold has 'c' .* system has 'd'"):
        evaluate_conll18(gold, system)
    shorter = Analysis.from_rows(read("1 ab _ _ _ _ 0 root _ _"))
    with pytest.raises(DataError, match="from character 2"):
        align_words(gold, shorter)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 a _", "sentence 1, row 1: 3 fields instead of 10"),
        ("2 a _ _ _ _ 0 root _ _", "id '2' where 1 was expected"),
        ("1 \u00a0 _ _ _ _ 0 root _ _", "the form is empty"),
        ("1 a _ _ _ _ 2 root _ _", "word 1: head 2 lies outside"),
        ("1 a _ _ _ _ x root _ _", "head 'x' is neither"),
        ("1 a _ _ _ _ -1 root _ _", "head '-1' is neither"),
        ("1-2 a _ _ _ _ _ _ _ _\n1 a _ _ _ _ 0 root _ _", "too few words"),
        ("2-1 a _ _ _ _ _ _ _ _\n1 a _ _ _ _ 0 root _ _", "no multiword token"),
        ("1-x a _ _ _ _ _ _ _ _\n1 a _ _ _ _ 0 root _ _", "no multiword token"),
        ("1-2 a _ _ _ _ _ _ _ _\n1-2 a _ _ _ _ _ _ _ _", "overlaps another"),
        ("1.1 a _ _ _ _ _ _ _ _", "sentence 1: no words"),
    ],
)
def test_malformed_rows_are_named(text, message):
    with pytest.raises(DataError, match=message):
        Analysis.from_rows(read(text))


def tags_of(rows: Rows, source: random.Random) -> list[list[str]]:
    choices = ["O", "B-X", "I-X", "B-Y", "I-Y"]
    return [
        source.choices(choices, k=sum(row[0].isdecimal() for row in sentence)) for sentence in rows
    ]


@pytest.mark.parametrize("seed", range(10))
def test_projected_spans_over_equal_words_are_plain_spans(seed):
    source = random.Random(seed)
    rows = random_document("".join(source.choices("ab", k=200)), source)
    gold, system = tags_of(rows, source), tags_of(rows, source)
    analysis = Analysis.from_rows(rows)
    found = count_projected_spans(analysis, gold, system=analysis, system_tags=system)
    assert np.array_equal(found, SpanF1().count(gold, system))


def test_projected_spans_agree_if_their_characters_do():
    gold = Analysis.from_rows(
        read(
            "1 New _ _ _ _ 0 root _ _\n2 York _ _ _ _ 1 flat _ _\n"
            "3-4 doesn't _ _ _ _ _ _ _ _\n3 does _ _ _ _ 1 aux _ _\n4 n't _ _ _ _ 1 aux _ _\n\n"
            "1 Paris _ _ _ _ 0 root _ _"
        )
    )
    system = Analysis.from_rows(
        read(
            "1 NewYork _ _ _ _ 0 root _ _\n2 does _ _ _ _ 1 aux _ _\n3 n't _ _ _ _ 1 aux _ _\n"
            "4 Par _ _ _ _ 1 obj _ _\n5 is _ _ _ _ 1 obj _ _"
        )
    )
    found = count_projected_spans(
        gold,
        [["B-LOC", "I-LOC", "B-V", "O"], ["B-LOC"]],
        system=system,
        system_tags=[["B-LOC", "I-V", "O", "B-LOC", "O"]],
    )
    assert found.tolist() == [[2, 2, 2, 2, 1, 1], [1, 1, 0, 1, 1, 0]]


def test_words_that_do_not_write_their_token_are_told_apart_by_number():
    text = "1-2 du _ _ _ _ _ _ _ _\n1 de _ _ _ _ 0 root _ _\n2 le _ _ _ _ 1 det _ _"
    analysis = Analysis.from_rows(read(text))
    found = count_projected_spans(
        analysis, [["B-X", "O"]], system=analysis, system_tags=[["O", "B-X"]]
    )
    assert found.tolist() == [[1, 1, 0, 1, 1, 0]]


def test_projected_tags_must_match_the_words():
    analysis = Analysis.from_rows(read("1 a _ _ _ _ 0 root _ _"))
    with pytest.raises(ValueError, match="sentence 0: 1 gold words, but 2"):
        count_projected_spans(analysis, [["O", "O"]], system=analysis, system_tags=[["O"]])
