"""Word by word gives the library's own pieces."""

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hiermtl.errors import ModelError
from hiermtl.records import Example
from hiermtl.text.casing import casing
from hiermtl.tokens import Collator, PieceTokenizer
from tests.worlds import make_world, piece_backend

WORDS = st.text(st.sampled_from("abcdefgt-,.Z9é\u4f60"), min_size=1, max_size=6)


def tokenizer(limit: int = 64) -> PieceTokenizer:
    return PieceTokenizer(piece_backend(), limit)


@given(sentences=st.lists(st.lists(WORDS, min_size=1, max_size=5), min_size=1, max_size=4))
def test_pieces_equal_the_librarys_for_split_words(sentences: list[list[str]]) -> None:
    found = tokenizer().encode(sentences)
    for words, pieces, counts in zip(
        sentences, found["pieces"], found["piece_counts"], strict=True
    ):
        whole = piece_backend()(words, is_split_into_words=True, add_special_tokens=False)
        assert pieces.tolist() == whole["input_ids"]
        word_of_piece = np.repeat(np.arange(len(words)), counts)
        assert word_of_piece.tolist() == whole.word_ids()
        assert len(counts) == len(words)


def test_rows_stand_between_the_librarys_special_pieces() -> None:
    words = ["abc", "de", "f"]
    world = make_world("bert", depths={"upos": 1})
    batch = world.batch(world.examples([words]))
    assert (
        batch.inputs["ids"].tolist()
        == piece_backend()(words, is_split_into_words=True)["input_ids"]
    )
    assert (tokenizer().prefix, tokenizer().suffix) == ((2,), (3,))
    assert tokenizer(20).limit == 18


@pytest.mark.parametrize("nothing", ["\u200b", "\x01", "\ufeff"])
def test_a_word_without_pieces_is_read_as_unknown_and_counted(nothing: str) -> None:
    own = tokenizer()
    assert own.dropped == 0
    found = own.encode([["a", nothing, "b"], [nothing]])
    assert [pieces.tolist() for pieces in found["pieces"]] == [[5, 1, 6], [1]]
    assert [counts.tolist() for counts in found["piece_counts"]] == [[1, 1, 1], [1]]
    assert own.dropped == 2
    own.encode([[nothing]])
    assert own.dropped == 3
    own.encode([["a"]])
    assert own.dropped == 3


def test_sentences_without_words_have_no_pieces() -> None:
    found = tokenizer().encode([[], ["a"], []])
    assert [len(pieces) for pieces in found["pieces"]] == [0, 1, 0]
    assert [len(counts) for counts in found["piece_counts"]] == [0, 1, 0]
    assert tokenizer().encode([[]])["pieces"][0].size == 0


def test_no_sentences_have_no_arrays() -> None:
    for cased in (False, True):
        found = PieceTokenizer(piece_backend(), 64, casing=cased).encode([])
        assert set(found) == {"pieces", "piece_counts", *(["casing"] if cased else [])}
        assert not any(found.values())


def test_a_cache_that_overflows_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = [["abc", "de"], ["f", "abc", "gh"], ["de", "de", "ij"]]
    expected = tokenizer().encode(sentences)["pieces"]
    small = tokenizer()
    monkeypatch.setattr("hiermtl.tokens.pieces.CACHED_WORDS", 3)
    found = [small.encode([words])["pieces"][0] for words in sentences]
    assert [x.tolist() for x in found] == [x.tolist() for x in expected]


def test_of_ever_new_words_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the last call among them, however many they are."""
    monkeypatch.setattr("hiermtl.tokens.pieces.CACHED_WORDS", 30)
    own = PieceTokenizer(piece_backend(), 64, casing=True)
    for first in range(0, 500, 10):
        words = [f"{number}" for number in range(first, first + 20)]
        own.encode([words])
        for kept in (own._pieces, own._casings):
            assert set(words) <= set(kept)
            assert len(kept) <= 30
    many = [f"{number}" for number in range(100)]
    own.encode([many])
    assert set(own._pieces) == set(own._casings) == set(many)


class ReadsNeighbours(PreTrainedTokenizerFast):
    """A tokenizer that adds a piece where a word has neighbours."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        encoded = super().__call__(*args, **options)
        if len(encoded["input_ids"]) > 2 and isinstance(encoded["input_ids"][0], int):
            encoded["input_ids"].append(encoded["input_ids"][-1])
        return encoded


def test_a_tokenizer_that_reads_words_by_their_neighbours_is_refused() -> None:
    backend = Backend(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    PieceTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]"), 64)
    wrong = ReadsNeighbours(tokenizer_object=backend, unk_token="[UNK]")
    with pytest.raises(ModelError, match="ReadsNeighbours reads a word differently beside other"):
        PieceTokenizer(wrong, 64)


def test_the_fingerprint_follows_vocabulary_and_limit() -> None:
    assert tokenizer().fingerprint == tokenizer().fingerprint
    assert tokenizer(20).fingerprint != tokenizer(21).fingerprint
    backend = Backend(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    other = PieceTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]"), 64)
    assert other.fingerprint != tokenizer().fingerprint
    assert (other.prefix, other.suffix, other.limit) == ((), (), 64)


def test_a_saved_tokenizer_gives_the_same_pieces(tmp_path: Path) -> None:
    own = tokenizer()
    own.save(tmp_path)
    again = PieceTokenizer(AutoTokenizer.from_pretrained(tmp_path), 64)
    sentences = [["abc", "Zed", "k"]]
    assert (
        again.encode(sentences)["pieces"][0].tolist() == own.encode(sentences)["pieces"][0].tolist()
    )


def test_pieces_carry_the_casing_of_their_word() -> None:
    """In every copy of overlapping windows too; special and padding units carry none."""
    own = PieceTokenizer(piece_backend(), 8, casing=True)
    words = ["abc", "AB", "a", "Bc", "defgh", "Q"]
    found = own.encode([words, ["a"]])
    assert found["piece_counts"][0].tolist() == [3, 1, 1, 1, 5, 1]
    assert found["casing"][0].tolist() == [1, 1, 1, 4, 1, 2, 1, 1, 1, 1, 1, 3]
    examples = [
        Example(
            found["pieces"][i], found["piece_counts"][i], {"casing": found["casing"][i]}, index=i
        )
        for i in range(2)
    ]
    for flat in (True, False):
        batch = Collator(own, {}, flat=flat)(examples, [])
        layout = batch.layout
        expected = np.zeros(layout.units, dtype=np.int64)
        kinds = np.array([casing(word) for word in [*words, "a"]])
        expected[layout.scatter_units] = kinds[layout.scatter_words]
        assert batch.inputs["casing"].tolist() == expected.tolist()
        assert layout.rows > 2
    assert "casing" not in tokenizer().encode([words])
    assert own.fingerprint != PieceTokenizer(piece_backend(), 8).fingerprint


def test_a_tokenizer_of_lower_case_is_known_by_its_pieces() -> None:
    assert not tokenizer().lowers
    vocabulary = {name: at for at, name in enumerate(["[UNK]", "t", "##h", "##e", "don", "'"])}
    backend = Backend(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    found = PieceTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]"), 64)
    assert found.lowers
    backend.normalizer = normalizers.BertNormalizer(lowercase=False)
    found = PieceTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]"), 64)
    assert not found.lowers


def test_threads_that_forget_words_do_not_take_them_from_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hiermtl.tokens.pieces.CACHED_WORDS", 20)
    own = PieceTokenizer(piece_backend(), 64, casing=True)
    letters = "abcdefg"
    forms = [first + second for first in letters + letters.upper() for second in letters]

    def read(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(600):
            own.encode([draw.choices(forms, k=12)])

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(read, range(4)))
    finally:
        sys.setswitchinterval(before)
