"""Coreference scores: examples of the papers, test cases of the reference scorer, brute force."""

import random
import time
from fractions import Fraction as F
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hiermtl.metrics.coreference import MEASURES, Coreference, CoreferenceBoth

PARTITION = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 3)), max_size=8, unique_by=lambda pair: pair[0]
).map(lambda pairs: [[m for m, c in pairs if c == number] for number in {c for _, c in pairs}])


def clusters(text):
    """`AB CD` are two clusters of two mentions."""
    return [list(word) for word in text.split()]


def parts(key, response, **options):
    """Of each measure numerator and denominator of recall, then of precision."""
    row = Coreference(**options).count([clusters(key)], [clusters(response)])[0]
    return dict(zip(MEASURES, row.reshape(4, 4).tolist(), strict=True))


def rates(key, response, measure):
    part, whole, own, all_of_them = parts(key, response)[measure]
    return part / whole if whole else 0.0, own / all_of_them if all_of_them else 0.0


def f1_of(key, response, **options):
    metric = Coreference(**options)
    return metric.score(metric.count([clusters(key)], [clusters(response)])[0])


# Vilain et al. (1995): key, response, recall, precision.
VILAIN = [
    ("ABCD", "AB CD", F(2, 3), F(2, 2)),
    ("AB CD", "ABCD", F(2, 2), F(2, 3)),
    ("ABCD", "ABCD", F(3, 3), F(3, 3)),
    ("ABC", "AC", F(1, 2), F(1, 1)),
    ("BCDEGHJ", "ABC DEF GHI", F(3, 6), F(3, 6)),
]


@pytest.mark.parametrize(("key", "response", "recall", "precision"), VILAIN)
def test_muc_has_the_values_of_its_paper(key, response, recall, precision):
    assert rates(key, response, "muc") == pytest.approx((float(recall), float(precision)))


# The key and four responses of Luo (2005, figure 1); (a) and (b) are Bagga and Baldwin's (1998).
LUO_KEY = "12345 67 89ABC"
LUO = {
    "a": ("12345 6789ABC", 0.947, 0.865, 0.733),
    "b": ("1234589ABC 67", 0.947, 0.737, 0.667),
    "c": ("123456789ABC", 0.900, 0.545, 0.294),
    "d": ("1 2 3 4 5 6 7 8 9 A B C", 0.0, 0.400, 0.178),
}


@pytest.mark.parametrize("system", LUO)
def test_ceaf_has_the_values_of_its_paper(system):
    response, muc, b3, ceafe = LUO[system]
    scores = f1_of(LUO_KEY, response)
    assert scores["muc"] == pytest.approx(100 * muc, abs=0.05)
    assert scores["b3"] == pytest.approx(100 * b3, abs=0.05)
    assert scores["ceafe"] == pytest.approx(100 * ceafe, abs=0.05)
    mean = (scores["muc"] + scores["b3"] + scores["ceafe"]) / 3
    assert scores["conll"] == pytest.approx(mean)


def test_b3_has_the_values_of_its_paper():
    assert rates(LUO_KEY, LUO["a"][0], "b3") == pytest.approx((1, 16 / 21))
    assert rates(LUO_KEY, LUO["b"][0], "b3") == pytest.approx((1, 7 / 12))


def test_mentions_without_a_twin_count_as_in_the_reference_scorer():
    # The example of Pradhan et al. (2014, section 4); Moosavi and Strube (2016) have it for LEA.
    key, response = "abc defg", "ab cd fghi"
    assert rates(key, response, "muc") == pytest.approx((2 / 5, 2 / 5))
    assert rates(key, response, "b3") == pytest.approx((35 / 84, 1 / 2))
    assert rates(key, response, "ceafe") == pytest.approx((1.3 / 2, 1.3 / 3))
    assert rates(key, response, "lea") == pytest.approx((5 / 21, 1 / 3))
    # Taking the twinless out of the response would change them.
    assert rates(key, "ab cd fg", "b3") != pytest.approx((35 / 84, 1 / 2))


# Test cases A of the reference scorer, as its version with LEA lists them (TestCases.README): the
# response, and recall and precision of the four measures. The key is `a bc def`. From case 10 on
# there is no CEAFe.
REFERENCE = {
    "1": ("a bc def", (1, 1), (1, 1), (1, 1), (1, 1)),
    "2": ("a de", (F(1, 3), 1), (F(7, 18), 1), (F(3, 5), F(9, 10)), (F(2, 6), 1)),
    "3": (
        "a bcx defy z",
        (1, F(3, 5)),
        (1, F(55, 108)),
        (F(31, 35), F(93, 140)),
        (1, F(4, 9)),
    ),
    "4": (
        "a bcx dy z",
        (F(1, 3), F(1, 3)),
        (F(5, 9), F(17, 42)),
        (F(11, 15), F(11, 20)),
        (F(1, 2), F(2, 7)),
    ),
    "5": (
        "a bcxB dy z",
        (F(1, 3), F(1, 4)),
        (F(5, 9), F(5, 16)),
        (F(31, 45), F(31, 60)),
        (F(1, 2), F(5, 24)),
    ),
    "6": (
        "a bcx dy Bz",
        (F(1, 3), F(1, 4)),
        (F(5, 9), F(17, 48)),
        (F(11, 15), F(11, 20)),
        (F(1, 2), F(2, 8)),
    ),
    "7, a mention twice in a cluster": (
        "a bcxb dy z",
        (F(1, 3), F(1, 3)),
        (F(5, 9), F(17, 42)),
        (F(11, 15), F(11, 20)),
        (F(1, 2), F(2, 7)),
    ),
    "8, a mention in two clusters": (
        "a bcx dy bz",
        (F(1, 3), F(1, 3)),
        (F(5, 9), F(17, 42)),
        (F(11, 15), F(11, 20)),
        (F(1, 2), F(2, 7)),
    ),
    "10": ("a b c d e f", (0, 0), (F(1, 2), 1), None, (F(1, 6), F(1, 6))),
    "11": ("abcdef", (1, F(3, 5)), (1, F(7, 18)), None, (F(5, 6), F(4, 15))),
    "12": ("a x y c d e z", (0, 0), (F(13, 36), F(4, 7)), None, (F(1, 6), F(1, 7))),
    "13": (
        "axycdez",
        (F(1, 3), F(1, 6)),
        (F(17, 36), F(6, 49)),
        None,
        (F(1, 6), F(1, 21)),
    ),
}


@pytest.mark.parametrize("case", REFERENCE)
def test_scores_are_those_of_the_reference_scorer(case):
    response, *expected = REFERENCE[case]
    for measure, pair in zip(MEASURES, expected, strict=True):
        if pair is not None:
            wanted = tuple(map(float, pair))
            assert rates("a bc def", response, measure) == pytest.approx(wanted), measure


def test_lea_gives_singletons_a_link_to_themselves():
    assert rates("a b cd", "a b c d", "lea") == pytest.approx((2 / 4, 2 / 4))
    assert rates("a", "ab", "lea") == (0, 0)
    assert rates("ab", "a", "lea") == (0, 0)
    assert rates("a b c d e f", "a b c x y z", "lea") == pytest.approx((1 / 2, 1 / 2))


def links_by_hand(key, response):
    """MUC by spanning links: how many of a cluster's links survive the partition by the others."""
    kept = whole = 0
    for cluster in key:
        pieces = [frozenset(cluster) & frozenset(other) for other in response]
        covered = frozenset().union(*pieces)
        pieces = [piece for piece in pieces if piece] + [{m} for m in set(cluster) - covered]
        kept += len(cluster) - len(pieces)
        whole += len(cluster) - 1
    return kept, whole


def b3_by_hand(key, response):
    part = F(0)
    for cluster in key:
        for mention in cluster:
            other = next((c for c in response if mention in c), [])
            part += F(len(set(cluster) & set(other)), len(cluster))
    return part, sum(map(len, key))


def ceafe_by_hand(key, response):
    """Every one-to-one alignment is tried."""
    less, more = sorted((key, response), key=len)
    best = max(
        sum(F(2 * len(set(a) & set(b)), len(a) + len(b)) for a, b in zip(less, order, strict=True))
        for order in permutations(more, len(less))
    )
    return best, len(key)


def lea_by_hand(key, response):
    def links(cluster):
        return {frozenset(pair) for pair in combinations(cluster, 2)} or {frozenset(cluster)}

    part = F(0)
    for cluster in key:
        own = links(cluster)
        found = sum(len(own & links(other)) for other in response)
        part += F(len(cluster) * found, len(own))
    return part, sum(map(len, key))


BY_HAND = (links_by_hand, b3_by_hand, ceafe_by_hand, lea_by_hand)


@given(PARTITION, PARTITION)
def test_counts_are_those_of_a_search_through_everything(key, response):
    row = Coreference().count([key], [response])[0]
    expected = [
        float(value)
        for by_hand in BY_HAND
        for value in (*by_hand(key, response), *by_hand(response, key))
    ]
    assert row.tolist() == pytest.approx(expected, abs=1e-12)


@given(PARTITION, PARTITION)
def test_without_singletons_they_are_taken_out_first(key, response):
    row = Coreference(singletons=False).count([key], [response])
    links = [[c for c in side if len(c) > 1] for side in (key, response)]
    assert np.array_equal(row, Coreference().count([links[0]], [links[1]]))


def test_singletons_make_a_difference():
    assert f1_of("ab c", "ab c", singletons=False)["conll"] == 100.0
    assert f1_of("ab c d", "ab", singletons=False)["b3"] == 100.0
    assert f1_of("ab c d", "ab")["b3"] == pytest.approx(200 / 3)
    assert parts("ab c", "abc", singletons=False)["b3"] == pytest.approx(
        [4 / 3 * 3 / 2, 2, 4 / 3, 3]
    )
    every = f1_of("a b", "a b")
    assert every == pytest.approx({"conll": 200 / 3, "muc": 0, "b3": 100, "ceafe": 100, "lea": 100})


def test_alignment_is_not_greedy():
    # abcdx and abce are the most similar, 6 / 9, but their alignment leaves nothing for e and dx.
    aligned = parts("abcdx e", "abce dx")["ceafe"][0]
    assert aligned == pytest.approx(4 / 7 + 2 / 5)
    assert aligned > 6 / 9


def test_a_perfect_prediction_has_all_points():
    assert set(f1_of("ab cde f", "f ab ecd").values()) == {100.0}


@given(PARTITION, PARTITION, st.randoms())
def test_names_and_order_change_nothing(key, response, source):
    names = {mention: (mention, "name") for mention in range(8)}

    def renamed(side):
        shuffled = [source.sample([names[m] for m in c], len(c)) for c in side]
        return source.sample(shuffled, len(shuffled))

    rows = Coreference().count([key], [response])
    np.testing.assert_allclose(Coreference().count([renamed(key)], [renamed(response)]), rows)


@given(PARTITION, PARTITION)
def test_gold_and_prediction_swapped_swap_precision_and_recall(key, response):
    rows = Coreference().count([key], [response]).reshape(4, 2, 2)
    swapped = Coreference().count([response], [key]).reshape(4, 2, 2)
    np.testing.assert_allclose(swapped, rows[:, ::-1])


@given(st.lists(st.tuples(PARTITION, PARTITION), max_size=4))
def test_documents_add_up(documents):
    keys, responses = [key for key, _ in documents], [response for _, response in documents]
    rows = Coreference().count(keys, responses)
    assert rows.shape == (len(documents), 16)

    def apart(sides):
        return [[(at, m) for m in c] for at, side in enumerate(sides) for c in side]

    together = Coreference().count([apart(keys)], [apart(responses)])[0]
    np.testing.assert_allclose(rows.sum(axis=0), together, atol=1e-12)


def test_mentions_of_different_documents_are_never_one():
    rows = Coreference().count([clusters("ab"), []], [[], clusters("ab")])
    assert Coreference().score(rows.sum(axis=0))["b3"] == 0.0


def test_documents_without_annotation_are_not_counted():
    rows = Coreference().count([None, clusters("ab")], [clusters("ab"), clusters("ab")])
    assert not rows[0].any()
    assert Coreference().items(rows.sum(axis=0)) == 2


def test_empty_clusters_are_none():
    empty = Coreference().count([[[], ["a", "b"], []]], [[["a", "b"], []]])
    assert np.array_equal(empty, Coreference().count([[["a", "b"]]], [[["a", "b"]]]))


def test_every_score_names_its_definition():
    assert Coreference().scorer_of("conll") == "conll12"
    assert Coreference().scorer_of("lea") == "lea"
    assert Coreference(singletons=False).scorer_of("b3") == "conll12-no-singletons"
    assert Coreference(singletons=False).scorer_of("lea") == "lea-no-singletons"
    assert list(f1_of("ab", "ab")) == ["conll", "muc", "b3", "ceafe", "lea"]


def test_documents_that_disagree_in_number_are_refused():
    with pytest.raises(ValueError, match="2 gold documents, but 1 predicted"):
        Coreference().count([[], []], [[]])


def test_a_long_document_is_counted_quickly():
    source = random.Random(0)

    def side():
        groups: dict[int, list[tuple[int, int]]] = {}
        for mention in range(10_000):
            group = mention // 2 if source.random() < 0.7 else source.randrange(5_000)
            groups.setdefault(group, []).append((mention // 20, mention))
        return list(groups.values())

    key, response = side(), side()
    begin = time.perf_counter()
    Coreference().count([key], [response])
    assert time.perf_counter() - begin < 2.0


def test_both_ways_are_those_of_each_alone():
    """A mention alone on both sides is right with singletons, and nothing without."""
    sides = [clusters("ab c"), clusters("de f")], [clusters("ab c"), clusters("d e f")]
    both, plain, linked = CoreferenceBoth(), Coreference(), Coreference(singletons=False)
    scores = both.score(both.count(*sides).sum(axis=0))
    own = plain.score(plain.count(*sides).sum(axis=0))
    assert {name: scores[name] for name in own} == own
    without = linked.score(linked.count(*sides).sum(axis=0))["conll"]
    assert scores["conll_no_singletons"] == without < own["conll"]
    assert next(iter(scores)) == "conll"
    assert both.items(both.count(*sides).sum(axis=0)) == 6
    assert both.scorer_of("conll_no_singletons") == "conll12-no-singletons"
    assert (both.scorer_of("muc"), both.scorer_of("lea")) == ("conll12", "lea")
