from collections import Counter

import pytest

from hiermtl.sample.derivation import Derivation
from hiermtl.sample.draws import Draws
from hiermtl.sample.lexicon import build_lexicon
from hiermtl.sample.pairs import (
    CHANGES,
    CONTRADICTION,
    ENTAILMENT,
    NEUTRAL,
    SentencePair,
    sample_pair,
    usable,
)


@pytest.fixture(scope="module")
def pairs(sentences: list[Derivation]) -> list[SentencePair]:
    lexicon = build_lexicon(0)
    draws = Draws("pairs")
    sources = [sentence for sentence in sentences if usable(sentence)]
    others = sources[17:] + sources[:17]
    return [
        sample_pair(first, second, lexicon=lexicon, draws=draws)
        for first, second in zip(sources, others, strict=True)
    ]


def test_every_change_and_label_occurs(pairs: list[SentencePair]) -> None:
    assert set(Counter(pair.change for pair in pairs)) == set(CHANGES)
    labels = Counter(pair.label for pair in pairs)
    assert set(labels) == {ENTAILMENT, NEUTRAL, CONTRADICTION}
    assert min(labels.values()) > len(pairs) / 10


def test_relatedness_follows_the_change(pairs: list[SentencePair]) -> None:
    for pair in pairs:
        assert 1 <= pair.relatedness <= 5
        assert pair.first.words != pair.second.words
        if pair.change == "unrelated":
            assert pair.relatedness < 2
        elif pair.label == ENTAILMENT:
            assert pair.relatedness >= 4


def test_a_negation_adds_or_removes_one(pairs: list[SentencePair]) -> None:
    for pair in pairs:
        if pair.change == "negated":
            counts = [side.feats.count("Polarity=Neg") for side in (pair.first, pair.second)]
            assert abs(counts[0] - counts[1]) == 1


def test_voice_keeps_the_roles(pairs: list[SentencePair]) -> None:
    checked = 0
    for pair in pairs:
        if pair.change != "voice" or not pair.first.roles:
            continue
        both = []
        for side in (pair.first, pair.second):
            root = side.deprels.index("root")
            frame = next(frame for frame in side.roles if frame.predicate == root)
            heads = {a.role: side.lemmas[a.head] for a in frame.arguments}
            both.append({role: heads.get(role) for role in ("ARG0", "ARG1")})
        assert both[0] == both[1]
        checked += 1
    assert checked > 20


def test_same_draws_give_same_pairs(sentences: list[Derivation]) -> None:
    lexicon = build_lexicon(0)
    sources = [sentence for sentence in sentences if usable(sentence)][:20]
    twice = [
        [sample_pair(sentence, sources[0], lexicon=lexicon, draws=draws) for sentence in sources]
        for draws in (Draws("a"), Draws("a"))
    ]
    assert twice[0] == twice[1]


def test_a_question_makes_no_pair(sentences: list[Derivation]) -> None:
    question = next(s for s in sentences if s.meaning is not None and s.meaning.mood == "polar")
    with pytest.raises(ValueError, match="two declarative sentences"):
        sample_pair(question, question, lexicon=build_lexicon(0), draws=Draws("a"))
