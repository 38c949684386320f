from collections.abc import Callable

import pytest

from hiermtl.sample.draws import Draws, Ranked
from hiermtl.sample.lexicon import build_lexicon, known_nouns, known_verbs
from hiermtl.sample.meaning import Clause, Nominal
from hiermtl.sample.morphology import (
    comparative,
    indefinite_article,
    past,
    past_participle,
    plural,
    present_participle,
    superlative,
    third_person,
)
from hiermtl.sample.verbforms import inflected, verb_group


@pytest.mark.parametrize(
    ("function", "word", "form"),
    [
        (plural, "city", "cities"),
        (plural, "child", "children"),
        (plural, "box", "boxes"),
        (plural, "day", "days"),
        (past, "stop", "stopped"),
        (past, "visit", "visited"),
        (past, "try", "tried"),
        (past, "like", "liked"),
        (past, "write", "wrote"),
        (past_participle, "write", "written"),
        (present_participle, "lie", "lying"),
        (present_participle, "agree", "agreeing"),
        (present_participle, "run", "running"),
        (present_participle, "write", "writing"),
        (third_person, "have", "has"),
        (third_person, "reach", "reaches"),
        (comparative, "big", "bigger"),
        (comparative, "happy", "happier"),
        (superlative, "good", "best"),
        (indefinite_article, "university", "a"),
        (indefinite_article, "hourly", "an"),
        (indefinite_article, "old", "an"),
    ],
)
def test_forms(function: Callable[[str], str], word: str, form: str) -> None:
    assert function(word) == form


def test_be_agrees() -> None:
    assert inflected("be", "finite-present", person=1, number="Sing")[0] == "am"
    assert inflected("be", "finite-past", person=3, number="Plur")[0] == "were"
    assert inflected("be", "finite-present", person=3, number="Sing")[:2] == ("is", "VBZ")


def test_long_verb_group() -> None:
    verb = next(verb for verb in known_verbs() if verb.lemma == "paint")
    person = Nominal("pronoun", "P", gender="Masc")
    spec = Clause(verb, person, person, modal="must", perfect=True, passive=True)
    nodes = verb_group(spec, "paint", person=3, number="Sing", copular=False, inverted=False)
    assert [node.form for node in nodes] == ["must", "have", "been", "painted"]
    assert [node.role for node in nodes] == ["aux", "aux", "aux:pass", "verb"]


def test_reserved_words_are_not_shared() -> None:
    lexicon = build_lexicon(5)
    for kind in "POLTAE":
        shared = {noun.lemma for noun in lexicon.shared.nouns[kind]}
        assert not shared & {noun.lemma for noun in lexicon.reserved.nouns[kind]}
    assert not set(lexicon.shared.surnames) & set(lexicon.reserved.surnames)


def test_seeds_invent_different_words() -> None:
    first, second = build_lexicon(0), build_lexicon(1)
    common = set(first.reserved.surnames) & set(second.reserved.surnames)
    assert len(common) < len(first.reserved.surnames) / 10


def test_many_words_belong_to_several_classes() -> None:
    both = {noun.lemma for noun in known_nouns()} & {verb.lemma for verb in known_verbs()}
    assert len(both) > 80


def test_frequencies_fall_with_rank() -> None:
    draws = Draws("ranks")
    ranked = Ranked(tuple("abcdefgh"), 1.0)
    counts = [0] * 8
    for _ in range(4000):
        counts["abcdefgh".index(ranked.draw(draws))] += 1
    assert counts[0] > counts[2] > counts[7] > 0


def test_draws_are_the_same_everywhere() -> None:
    draws = Draws("fixed")
    again = Draws("fixed")
    items = list(range(10))
    assert draws.shuffled(items) == again.shuffled(items)
    assert sorted(draws.shuffled(items)) == items
    assert {draws.number(2, 4) for _ in range(100)} == {2, 3, 4}
