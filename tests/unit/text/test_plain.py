from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiermtl.errors import DataError, RecipeError
from hiermtl.text import plain
from hiermtl.text.plain import from_words, read_text, split_text, word_offsets
from hiermtl.text.sentence import Sentence


def check_against(text: str, sentences: list[Sentence]) -> None:
    """Every character that is not white space is in exactly one word, and spacing is told truly."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    words = [word for s in sentences for word in s.words]
    spaces = [space for s in sentences for space in s.space_after or ()]
    offsets = word_offsets(text, words)
    assert "".join(words) == "".join(text.split())
    for (start, end), word, space in zip(offsets, words, spaces, strict=True):
        assert text[start:end] == word
        assert space == text[end : end + 1].isspace()
    for sentence in sentences:
        assert sentence.text is not None
        assert sentence.text in text
        assert len(word_offsets(sentence.text, sentence.words)) == len(sentence.words)


def test_sentences_words_and_spacing_are_found() -> None:
    first, second = split_text("Ada wrote  to Babbage. He didn't\tanswer!", "en")
    assert first.words == ("Ada", "wrote", "to", "Babbage", ".")
    assert first.text == "Ada wrote  to Babbage."
    assert first.space_after == (True, True, True, False, True)
    assert second.words == ("He", "did", "n't", "answer", "!")
    assert second.space_after == (True, False, True, False, False)


@pytest.mark.parametrize("language", ["en", "sv", "zh", "ar", "xx"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        " \t\n ",
        "a",
        "  a  ",
        "👩‍👩‍👧 🌊! ok\u00a0then",
        "مرحبا بالعالم. ‏שלום עולם.",
        "我们爱北京。你呢？",
        "one\n\ntwo\n \t\nthree\r\n\r\nfour",
        "\ud800 half",
        "nul\x00 \x85 \u2028 end",
        "word " * 10_000,
    ],
)
def test_any_text_gives_words_that_are_its_slices(text: str, language: str) -> None:
    check_against(text, split_text(text, language))


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_generated_text_gives_words_that_are_its_slices(text: str) -> None:
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    check_against(text, split_text(text, "en"))


def test_a_blank_line_ends_a_sentence() -> None:
    assert [s.words for s in split_text("A title\n\nand text", "en")] == [
        ("A", "title"),
        ("and", "text"),
    ]


def test_text_longer_than_the_window_is_split_as_if_it_were_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "The first one. And a second one, longer! A third? " * 20
    whole = split_text(text, "en")
    monkeypatch.setattr(plain, "WINDOW", 70)
    assert split_text(text, "en") == whole
    monkeypatch.setattr(plain, "WINDOW", 5)
    check_against(text, split_text(text, "en"))
    check_against("x" * 17, split_text("x" * 17, "en"))


def test_more_than_a_million_characters_are_read() -> None:
    text = "Well, it is long. " * 60_000
    assert sum(len(s.words) for s in split_text(text, "xx")) == 360_000


def test_an_unknown_language_is_refused_by_name() -> None:
    for code in ("qq", "../en", ""):
        with pytest.raises(RecipeError, match=f"language '{code}'; allowed are the codes of spaCy"):
            split_text("a", code)


def test_a_file_is_read_one_paragraph_per_line(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    path.write_bytes(b"\xef\xbb\xbfIt ran. We sat.\r\n\nlast")
    found = list(read_text(path, "en"))
    assert [(s.words, s.origin and s.origin.line) for s in found] == [
        (("It", "ran", "."), 1),
        (("We", "sat", "."), 1),
        (("last",), 3),
    ]
    assert found[-1].space_after == (False,)
    assert found[-2].space_after is not None
    assert found[-2].space_after[-1]
    path.write_bytes(b"ok\nna\xefve\n")
    with pytest.raises(DataError, match=r"f\.txt:2: byte 5 of the file, 0xef"):
        list(read_text(path, "en"))


def test_words_that_are_given_stay_as_they_are() -> None:
    assert from_words(["a b", "_"]) == Sentence(("a b", "_"))
    assert from_words([]).words == ()
    with pytest.raises(DataError, match="word 1 of 2 is ' '; every word must be"):
        from_words(["a", " "])
    with pytest.raises(DataError, match="word 0 of 1 is 3"):
        from_words([3])  # type: ignore[list-item]
    with pytest.raises(DataError, match="a text where a list of words is expected: 'a b'"):
        from_words("a b")


def test_words_that_do_not_belong_to_the_text_are_refused() -> None:
    with pytest.raises(DataError, match="word 1, 'c', does not follow in the text at character 1"):
        word_offsets("a b c", ["a", "c"])


def test_words_that_were_met_are_forgotten_once_they_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plain, "STRINGS", 20)
    plain._pipeline.cache_clear()
    text = "Ada wrote to Babbage. He didn't answer {}!"
    expected = split_text(text, "en")
    strings = plain._pipeline("en")._pipeline.vocab.strings
    known = len(strings)
    for number in range(100):
        split_text(text.format(f"letter{number}"), "en")
        assert len(strings) < known + 40
    assert split_text(text, "en") == expected


def test_threads_split_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "STRINGS", 5)
    plain._pipeline.cache_clear()
    texts = [f"Ada{n} wrote{n} to Babbage{n}. He didn't answer{n}!" for n in range(200)]
    expected = [[sentence.words for sentence in split_text(text, "en")] for text in texts]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda text: split_text(text, "en"), texts))
    assert [[sentence.words for sentence in sentences] for sentences in found] == expected
