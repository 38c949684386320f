"""Whole words and hashed n-grams."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hiermtl.model import HierarchicalModel
from hiermtl.tokens import Collator, WordTokenizer
from hiermtl.tokens.words import word_code
from tests.worlds import World, make_config, make_encoder, make_world

BUCKETS = 2**31  # so many that nothing collides


def codes(*words: str) -> tuple[int, ...]:
    return tuple(map(word_code, words))


def tokenizer(*sizes: int) -> WordTokenizer:
    return WordTokenizer(codes("de", "k"), BUCKETS, sizes=sizes)


def test_ngrams_are_a_set_over_the_marked_word() -> None:
    own = tokenizer(1)
    assert len(own.ngrams("aaa")) == len({"\x02", "a", "\x03", "\x02aaa\x03"})
    assert len(tokenizer(2).ngrams("aaa")) == len({"\x02a", "aa", "a\x03", "\x02aaa\x03"})
    assert len(tokenizer(2, 3).ngrams("ab")) == len(
        {"\x02a", "ab", "b\x03", "\x02ab", "ab\x03", "\x02ab\x03"}
    )


@given(st.text(max_size=8), st.permutations([1, 2, 3, 4]))
def test_ngrams_are_distinct_sorted_and_indifferent_to_the_order_of_sizes(
    word: str, sizes: list[int]
) -> None:
    found = tokenizer(*sizes).ngrams(word)
    assert (
        found.tolist() == sorted(set(found.tolist())) == tokenizer(1, 2, 3, 4).ngrams(word).tolist()
    )
    assert len(found)
    assert 0 <= found.min() <= found.max() < BUCKETS


def test_words_differ_at_their_ends() -> None:
    own = tokenizer(2)
    assert set(own.ngrams("ab")) != set(own.ngrams("ba"))
    assert not set(own.ngrams("a")) & set(own.ngrams("b"))


def test_ids_are_places_in_the_vocabulary_and_zero_beyond_it() -> None:
    found = tokenizer(2).encode([["k", "x", "de"], []])
    assert [ids.tolist() for ids in found["pieces"]] == [[2, 0, 1], []]
    assert [counts.tolist() for counts in found["piece_counts"]] == [[1, 1, 1], []]
    assert [len(grams) for grams in found["ngrams"]] == [int(found["ngram_counts"][0].sum()), 0]


def test_the_vocabulary_holds_frequent_words_in_a_fixed_order() -> None:
    sentences = [["b", "a", "c"], ["a", "b"], ["d", "a"]]
    assert WordTokenizer.count_words(sentences, 2) == codes("a", "b")
    assert WordTokenizer.count_words(sentences, 1) == codes("a", "b", "c", "d")
    assert WordTokenizer.count_words(sentences, 4) == ()


def test_words_of_one_code_share_a_place() -> None:
    one, other = "plumless", "buckeroo"  # a well-known pair of CRC-32
    assert word_code(one) == word_code(other)
    found = WordTokenizer.count_words([[one, other, "a"]], 1)
    assert len(found) == 2
    ids = WordTokenizer(found, 50, sizes=(2,)).encode([[one, other, "a"]])["pieces"][0]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("flat", [True, False])
@torch.no_grad()
def test_unknown_words_and_an_empty_vocabulary_give_numbers(flat: bool) -> None:
    encoder = make_encoder("bilstm")
    encoder = type(encoder).from_config({**encoder.config(), "vocabulary": 0})
    config = make_config(encoder, depths={"upos": 1})
    world = World(HierarchicalModel(config, encoder).eval(), WordTokenizer((), 50, sizes=(2, 3)))
    examples = world.examples([["völlig", "\U0001f600", ""], ["x"]], [("upos",)])
    batch = Collator(world.tokenizer, {"upos": 1}, flat=flat)(examples)
    scores = world.model(batch)["upos"].scores["labels"]
    assert scores.isfinite().all()
    assert not torch.equal(scores[0], scores[1])


@pytest.mark.parametrize("flat", [True, False])
def test_each_unit_reads_the_ngrams_of_its_own_word(flat: bool) -> None:
    world = make_world("bilstm", depths={"upos": 1})
    assert isinstance(world.tokenizer, WordTokenizer)
    sentences = [["abc", "de"], ["f", "ghij", "k", "t"], ["lmn"]]
    batch = world.batch(world.examples(sentences), flat=flat)
    words = [word for place in batch.order for word in sentences[place]]
    starts, ngrams = batch.inputs["ngram_starts"].tolist(), batch.inputs["ngrams"].tolist()
    ends = [*starts[1:], len(ngrams)]
    found = [ngrams[start:end] for start, end in zip(starts, ends, strict=True)]
    for word, unit in zip(words, batch.layout.word_units, strict=True):
        assert found[unit] == world.tokenizer.ngrams(word).tolist()
    others = set(range(batch.layout.units)) - set(batch.layout.word_units.tolist())
    assert all(found[unit] == [] for unit in others)
    behind = set(range(len(words), batch.layout.units))
    assert others == behind if flat else others - behind


def test_a_saved_tokenizer_is_the_same(tmp_path: Path) -> None:
    own = WordTokenizer(codes("ä", "k", "\u2028"), 77, sizes=(2, 4))
    own.save(tmp_path)
    again = WordTokenizer.load(tmp_path)
    assert (again.vocabulary, again.buckets, again.sizes) == (own.vocabulary, 77, (2, 4))
    assert again.fingerprint == own.fingerprint
    changed = (
        WordTokenizer(codes("ä", "k"), 77, sizes=(2, 4)),
        WordTokenizer(own.vocabulary, 78, sizes=(2, 4)),
        WordTokenizer(own.vocabulary, 77, sizes=(2, 3)),
    )
    assert len({own.fingerprint, *(other.fingerprint for other in changed)}) == 4


def test_a_cache_that_overflows_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["abc", "de", "f", "abc", "de"]
    expected = [tokenizer(2).ngrams(word).tolist() for word in words]
    monkeypatch.setattr("hiermtl.tokens.words.CACHED_WORDS", 2)
    own = tokenizer(2)
    assert [own.ngrams(word).tolist() for word in words] == expected
