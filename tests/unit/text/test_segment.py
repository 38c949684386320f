"""Gold to tags and back; tags of all kinds on texts of all kinds."""

import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiermtl.metrics.conll18 import evaluate_conll18
from hiermtl.metrics.raw import Analysis
from hiermtl.text.atoms import find_atoms
from hiermtl.text.conllu import parse_conllu, read_conllu, render_conllu
from hiermtl.text.documents import by_document, conllu_rows
from hiermtl.text.segment import STRETCH, gold_text, is_plain, segmented
from hiermtl.text.sentence import Sentence, Span

TREEBANKS = {
    "ud_english_ewt/en_ewt": 99.99,
    "ud_english_gum/en_gum": 99.9,
    "ud_swedish_talbanken/sv_talbanken": 99.99,
    "ud_chinese_gsdsimp/zh_gsdsimp": 99.99,
}


def sentence(written: str, *comments: str) -> Sentence:
    """Tokens with a space behind them, or `+`; a multiword token is `form=word,word`.

    A space inside a form is written `~`.
    """
    lines = list(comments)
    number = 0
    for token, glue in re.findall(r"([^ +]+)([ +]?)", written):
        form, _, words = token.replace("~", " ").partition("=")
        closes = "SpaceAfter=No" if glue == "+" else "_"
        parts = words.split(",") if words else [form]
        if words:
            span = f"{number + 1}-{number + len(parts)}"
            lines.append("\t".join([span, form, *"_______", closes]))
        for part in parts:
            number += 1
            lines.append("\t".join([str(number), part, *"_______", "_" if words else closes]))
    text = "\n".join(lines) + "\n\n"
    return next(iter(parse_conllu(text.encode().splitlines(keepends=True), "toy.conllu")))


def again(gold: list[Sentence]) -> list[Sentence]:
    found = gold_text(gold)
    return segmented(found.atoms, found.tags)


def written(sentences: list[Sentence]) -> list[str]:
    """Sentences as `sentence` takes them, without what follows the last token."""
    found = []
    for one in sentences:
        rows = [line.split("\t") for line in render_conllu(one).splitlines() if line[:1].isdigit()]
        tokens, inside = [], 0
        for row in rows:
            glue = "+" if "SpaceAfter=No" in row[9] else " "
            if "-" in row[0]:
                first, inside = map(int, row[0].split("-"))
                words = ",".join(other[1] for other in rows if other[0].isdigit())
                words = ",".join(words.split(",")[first - 1 : inside])
                tokens.append(f"{row[1]}={words}{glue}")
            elif int(row[0]) > inside:
                tokens.append(row[1].replace(" ", "~") + glue)
        found.append("".join(tokens).rstrip("+ "))
    return found


def told(gold: list[Sentence]) -> list[str]:
    """Atoms with their tags."""
    found = gold_text(gold)
    atoms = found.atoms
    pairs = zip(atoms.starts, atoms.ends, found.tags, strict=True)
    return [f"{atoms.text[a:b]} {tag}" for a, b, tag in pairs]


def analysis(sentences: list[Sentence]) -> Analysis:
    return Analysis.from_rows(conllu_rows(one, {}) for one in sentences)


@pytest.mark.parametrize(
    ("gold", "tags"),
    [
        ("I stop+.", ["I S", "stop B", ". B"]),
        ("Don't=Do,n't stop", ["Don S/-1", "' I", "t I", "stop B"]),
        ("It's=It,'s a~b", ["It S", "' W", "s I", "a B", "b J"]),
        ("can+not x", ["cannot S:-3", "x B"]),
        ("Icannot=I,can,not x", ["Icannot S/1/-3", "x B"]),
        ("del=de,el al=a,el x", ["del S=l> el", "al B=l> el", "x B"]),
        ("im=in,dem vom=von,dem", ["im S=m>n dem", "vom B=m>n dem"]),
        ("haciéndolo=haciendo,lo", ["haciéndolo S=éndolo>endo lo"]),
        ("בבית=ב,ה,בית", ["בבית S^ב>ב ה "]),
        ("2+.+50 x", ["2 S", ". B", "50 B", "x B"]),
        ("中文+字", ["中 S", "文 I", "字 B"]),
    ],
)
def test_tags_say_what_begins_with_an_atom(gold: str, tags: list[str]) -> None:
    assert told([sentence(gold)]) == tags
    assert written(again([sentence(gold)])) == [gold]


def test_sentences_follow_each_other_with_and_without_space() -> None:
    gold = [sentence("Go+.+"), sentence("Stay+!"), sentence("Now", "# newpar"), sentence("on")]
    found = again(gold)
    assert [one.text for one in found] == ["Go.", "Stay!", "Now", "on"]
    assert [one.space_after for one in found] == [
        (False, False), (False, True), (True,), (False,)
    ]  # fmt: skip


def test_a_multiword_token_is_written_as_a_range() -> None:
    gold = [sentence("Don't=Do,n't go+!")]
    (found,) = again(gold)
    assert found.words == ("Do", "n't", "go", "!")
    assert found.space_after == (False, True, False, False)
    assert found.multiwords == (Span(0, 2, "Don't"),)
    text = render_conllu(found, {"upos": ("A", "B", "C", "D")})
    assert text.splitlines() == [
        "# text = Don't go!",
        "1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_",
        "1\tDo\t_\tA\t_\t_\t_\t_\t_\t_",
        "2\tn't\t_\tB\t_\t_\t_\t_\t_\t_",
        "3\tgo\t_\tC\t_\t_\t_\t_\t_\tSpaceAfter=No",
        "4\t!\t_\tD\t_\t_\t_\t_\t_\tSpaceAfter=No",
        "",
    ]
    (read,) = parse_conllu(text.encode().splitlines(keepends=True), "written.conllu")
    assert (read.words, read.space_after) == (found.words, found.space_after)
    assert conllu_rows(read, {}) == conllu_rows(found, {})


@pytest.mark.parametrize(
    ("gold", "lost", "found"),
    [
        # No letter of `del` is left of `xy`, and white space inside a token cannot be rewritten.
        (["a~b=a,ab"], {"multiwords": 1}, ["a~b"]),
        (["a~b=a,b"], {"multiwords": 1}, ["a~b"]),
        (["one+two=t,wo"], {}, ["one+two=t,wo"]),
        (["one+two=t,w,oo"], {"multiwords": 1}, ["one+two"]),
        (["x=abcdefg,hijklmn"], {"multiwords": 1}, ["x"]),
        (["one+", "two"], {"sentences": 1}, ["one+two"]),
    ],
)
def test_what_tags_cannot_say_is_counted(
    gold: list[str], lost: dict[str, int], found: list[str]
) -> None:
    sentences = list(map(sentence, gold))
    assert {name: n for name, n in gold_text(sentences).lost.items() if n} == lost
    assert written(again(sentences)) == found


@pytest.mark.parametrize(
    ("text", "tags", "found"),
    [
        ("a b", "I I", ["a b"]),
        ("a b", "I W", ["a b"]),
        ("a b", "I J", ["a~b"]),
        ("a\n \nb", "S J", ["a", "b"]),
        ("ab", "Q", ["ab"]),
        ("ab", "S/5:-2:2", ["ab"]),
        ("ab", "S/1:-1", ["a+b"]),
        ("ab c", "S=x>y_z B", ["ab c"]),
        ("ab c", "S=b>b_ B", ["ab c"]),
        ("ab c", "S=b>b_x W", ["ab=ab,x c"]),
        ("ab.", "S=b>b_x W", ["ab.=ab,."]),
        ("ab.", "S=b>b_x I", ["ab."]),
        ("ab.", "S=.>_. I", ["ab.=ab,."]),
        ("ab.", "S I=.>_.", ["ab."]),
    ],
)
def test_tags_that_do_not_fit_are_passed_over(text: str, tags: str, found: list[str]) -> None:
    given_tags = [tag.replace("_", " ") for tag in tags.split(" ")]
    assert written(segmented(find_atoms(text), given_tags)) == found


TAGS = st.sampled_from(
    ["I", "J", "W", "B", "S", "B/-1", "I:1", "S/1/-1", "B:2:-1", "S=a>b c", "B^a>a b", "B=>x", "?"]
)
LETTERS = st.one_of(
    st.characters(),
    st.sampled_from("aab '.\n\u0301\u200b\u200d\u4e2d👩\x00\x1c\u3000\ufeff"),
)


@given(st.text(LETTERS, max_size=60), st.data())
def test_every_character_is_in_one_token_whatever_the_tags(text: str, data: st.DataObject) -> None:
    atoms = find_atoms(text)
    tags = data.draw(st.lists(TAGS, min_size=len(atoms), max_size=len(atoms)))
    found = segmented(atoms, tags)
    at, rest = 0, ""
    for one in found:
        assert one.words
        assert all(word for word in one.words)
        assert one.text is not None
        place = text.index(one.text, at)
        rest += text[at:place]
        at = place + len(one.text)
        assert one.space_after is not None
        assert one.space_after[-1] == text[at : at + 1].isspace()
        whole = {token.start: token for token in one.multiwords}
        inside = {n for t in one.multiwords for n in range(t.start, t.end)}
        written = "".join(
            whole[n].label if n in whole else word
            for n, word in enumerate(one.words)
            if n in whole or n not in inside
        )
        assert "".join(written.split()) == "".join(one.text.split())
    assert not (rest + text[at:]).strip()


@given(st.text(LETTERS, max_size=60), st.randoms(use_true_random=False))
def test_any_segmentation_between_atoms_comes_back(text: str, draw: random.Random) -> None:
    atoms = find_atoms(text)
    kinds = [draw.choice("SBI" if glued else "SB") for glued in atoms.glued.tolist()]
    first = segmented(atoms, kinds)
    gold = [one for one in first if not any("\n" in word for word in one.words)]
    if len(gold) == len(first):
        found = again(gold)
        assert [one.words for one in found] == [one.words for one in gold]


@pytest.mark.parametrize("text", ["", " ", "\n\n \t", "\u3000\u2028"])
def test_a_text_without_words_has_no_sentence(text: str) -> None:
    assert segmented(find_atoms(text), []) == []


def test_a_word_without_end() -> None:
    text = "x" * 100_000
    (found,) = segmented(find_atoms(text), ["B"])
    assert found.words == (text,)
    many = "." * 100_000
    (found,) = segmented(find_atoms(many), ["I"] * 100_000)
    assert found.words == (many,)


def test_paragraphs_are_cut_before_tokens() -> None:
    long = sentence(" ".join(f"w{n}x" for n in range(200)))
    gold = gold_text(
        [long, sentence("end"), sentence("new", "# newpar"), sentence("+".join("....."))]
    )
    found = list(gold.stretches())
    # 600 atoms, three a token, then a token; then another paragraph.
    assert found == [(0, 255), (255, 510), (510, 601), (601, 607)]
    assert all(gold.tags[first][0] in "SB" for first, _ in found)
    endless = gold_text([sentence("." * 300)])
    assert list(endless.stretches()) == [(0, STRETCH), (STRETCH, 300)]


def test_plain_tags_say_nothing_of_characters() -> None:
    assert [
        tag for tag in ("S", "B", "W", "I", "J", "B/-1", "I:2", "S=l> el") if is_plain(tag)
    ] == [*"SBWIJ"]


@pytest.mark.parametrize("name", TREEBANKS)
def test_gold_tags_give_the_treebank_back(data_folder: Path, name: str) -> None:
    """The scores of gold tags bound those of a model; tags one atom off are far from gold."""
    gold, system, shifted = [], [], []
    for document in by_document(read_conllu(data_folder / f"{name}-ud-dev.conllu")):
        found = gold_text(document)
        gold += document
        system += segmented(found.atoms, found.tags)
        shifted += segmented(found.atoms, [*found.tags[1:], "I"])
    scores = evaluate_conll18(analysis(gold), analysis(system))
    wrong = evaluate_conll18(analysis(gold), analysis(shifted))
    for metric in ("Tokens", "Words", "Sentences"):
        assert scores[metric].f1 >= TREEBANKS[name], metric
    # White space divides tokens whatever the tags are.
    assert wrong["Words"].f1 < scores["Words"].f1 - 1
    assert wrong["Sentences"].f1 < 10


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_word_of_white_space_alone_is_passed_over_and_counted(at: int) -> None:
    rows = ["a", "b", "."]
    rows.insert(at - 1 if at < 3 else 3, "\u00a0")
    lines = [f"{n}\t{form}" + "\t_" * 8 for n, form in enumerate(rows, 1)]
    block = "\n".join(lines) + "\n\n"
    found = list(parse_conllu((block * 2).encode().splitlines(keepends=True), "f"))
    gold = gold_text(found)
    assert gold.lost == {"words": 2}
    made = segmented(gold.atoms, gold.tags)
    assert [one.words for one in made] == [("a", "b", ".")] * 2
