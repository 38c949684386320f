from pathlib import Path

import pytest

from hiermtl.errors import DataError
from hiermtl.text.jsonl import parse_jsonl, read_jsonl


def test_texts_and_words_are_read_and_other_keys_kept(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(
        '\ufeff{"text": "A cat sat. It ran.", "id": 7}\n\n{"words": ["x y", "_"], "text": "q"}\n'
        '{"text": ""}\n{"words": []}\n',
        encoding="utf-8",
    )
    first, second, third, fourth = read_jsonl(path)
    assert first.data == {"text": "A cat sat. It ran.", "id": 7}
    assert first.text == "A cat sat. It ran."
    assert (second.words, second.text, second.origin.line) == (("x y", "_"), None, 3)
    assert [s.words for s in second.sentences()] == [("x y", "_")]
    assert third.sentences() == fourth.sentences() == []


def test_words_are_divided_into_sentences_with_the_spacing_of_the_text() -> None:
    line = b'{"words": ["A", "b.", "C"], "sentences": [[0, 2], [2, 3]], "text": "A b.C"}'
    (found,) = parse_jsonl([line], "-")
    assert [(s.words, s.text, s.space_after) for s in found.sentences()] == [
        (("A", "b."), "A b.", (True, False)),
        (("C",), "C", (False,)),
    ]
    (other,) = parse_jsonl([line.replace(b'"A b.C"', b'"another"')], "-")
    assert [(s.text, s.space_after) for s in other.sentences()] == [(None, None)] * 2


def test_pairs_are_read_where_they_are_wanted() -> None:
    line = b'{"first": "A cat.", "second": ["A", "dog"], "id": 1}'
    (found,) = parse_jsonl([line], "-", pairs=True)
    assert found.pair == ("A cat.", ("A", "dog"))
    assert found.data["id"] == 1
    with pytest.raises(DataError, match="neither `text` nor `words`"):
        list(parse_jsonl([line], "-"))
    with pytest.raises(DataError, match="-:1: `second` without `first`; a pair needs both"):
        list(parse_jsonl([b'{"second": "a"}'], "-", pairs=True))
    for second, message in (
        (b"3", "-:1: `second` is 3; allowed is a string or a list of words"),
        (b'[""]', "-:1: `second`: word 0 of 1 is ''"),
        (b"[]", "-:1: `second` is empty; give it words, or leave the pair out"),
        (b'" \\u3000"', "-:1: `second` is empty; give it words, or leave the pair out"),
    ):
        with pytest.raises(DataError, match=message):
            list(parse_jsonl([b'{"first": "a", "second": ' + second + b"}"], "-", pairs=True))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": ', "-:1: not JSON .*: '{\"text\": '; each line must be one object"),
        (b"[" * 100_000, "-:1: not JSON"),
        (b'["a"]', "-:1: a JSON list, '\\[\"a\"\\]'; each line must be an object"),
        (
            b'{"txt": "a"}',
            "-:1: neither `text` nor `words`; this object has txt; did you mean 'text'",
        ),
        (b"{}", "-:1: neither `text` nor `words`; this object has none"),
        (b'{"text": 3}', "-:1: `text` is 3; allowed is a string"),
        (b'{"words": "a"}', "-:1: `words` is 'a'; allowed is a list of words"),
        (b'{"words": ["a", ""]}', "-:1: `words`: word 1 of 2 is ''"),
        (b'{"text": "\xff"}', "-:1: byte 10 of the file, 0xff, is not UTF-8"),
    ],
)
def test_a_malformed_line_is_refused(line: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(parse_jsonl([line], "-"))


def test_a_number_too_long_to_read_is_an_error_with_its_line() -> None:
    lines = [b'{"words": ["a"]}', b'{"words": ["a"], "id": %s}' % (b"9" * 5000)]
    found = parse_jsonl(lines, "f")
    next(found)
    with pytest.raises(DataError, match=r"f:2: not JSON \(Exceeds the limit"):
        next(found)
